import asyncio, time
from functools import partial
import pytest
from tests.rooms.workflows.overseers import *
from tests.conftest import scope_of
async def test_bench(house):
    async with opened(house) as room:
        scope = scope_of(new_id("ten"))
        async def steps(run):
            t=time.perf_counter()
            async def give(): return 1
            for _ in range(100): await run.step("s", give)
            a=time.perf_counter()
            async def send(args,key): return 1
            for _ in range(100): await run.effect("send", {"n":1}, send)
            b=time.perf_counter()
            return [(a-t)*10, (b-a)*10]
        room.act = steps
        for kind in ("post.none","post.informed"):
            r = await room.end(scope, await room.put(scope, kind, how="act"))
            print(kind, "ms per step, per effect", r.output, r.problem)
        t = await room.workflows.trace(scope, r.id)
        print([ (m.kind, m.said) for m in t.moments][:4])
