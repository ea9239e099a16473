import asyncio, time
from .clockwork import *
from .test_triggers import on_documents, happen
async def test_pool(ours):
    async with a_quiet_house() as house:
        c=Clockwork(house); ours=await a_tenant(house, ours)
        await on_documents(c, ours)
        await happen(c, ours)
        for n in (8,15,20,40):
            house.tenancy._forget()
            t=time.perf_counter(); r=await asyncio.gather(*(happen(c, ours) for _ in range(n)), return_exceptions=True); print("AAA", n, round(time.perf_counter()-t,2), [x for x in r if x])
        t=time.perf_counter()
        for _ in range(100): await happen(c, ours)
        print("AAA fire", (time.perf_counter()-t)*10,"ms")
        async with c.store.under(ours) as db:
            t=time.perf_counter()
            for _ in range(200): await c.triggers.happened(db,"entity.changed",{"a":1},label=Label())
            print("AAA none", (time.perf_counter()-t)*5,"ms")
            t=time.perf_counter()
            for _ in range(200):
                c.triggers._firing.forget(); await c.triggers.happened(db,"entity.changed",{"a":1},label=Label())
            print("AAA none, asked", (time.perf_counter()-t)*5,"ms")
