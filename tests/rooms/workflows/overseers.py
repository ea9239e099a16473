"""A post room: jobs that send something, a tenant of persons who oversee them, and a record of what was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bastide.app import House
from bastide.errors import BastideError
from bastide.settings import WorkSettings
from bastide.store import Query, Scope, new_id
from bastide.workflows import Effect, Job, JobRecord, JobType, JsonValue, Limits, Retry, Run, Workflows
from bastide.workflows.approvals import Approvals
from bastide.workflows.decisions import Approval
from bastide.workflows.overseers import Overseers

QUICK = WorkSettings(concurrency=8, heartbeat_s=0.5, stale_s=3.0, poll_s=0.2, grace_s=1.0)


@dataclass(frozen=True)
class Letter:
    """What to send, and how the handler behaves."""

    to: str = "ada@example.org"
    n: int = 1
    how: str = "plain"


@dataclass
class Sent:
    """One call of the world outside."""

    job: str
    arguments: Any
    key: str
    at: float


@dataclass
class PostRoom:
    """Workflows at work, and what left the house."""

    house: House
    workflows: Workflows
    sent: list[Sent] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    act: Callable[[Run[Letter]], Awaitable[JsonValue]] | None = None  # what a job with how="act" does

    @property
    def approvals(self) -> Approvals:
        """Where persons decide."""
        return self.workflows.approvals

    @property
    def overseers(self) -> Overseers:
        """Who was trained, and how persons decide."""
        return self.workflows.overseers

    def of(self, job: str) -> list[Sent]:
        """What one job has sent."""
        return [one for one in self.sent if one.job == job]

    async def put(self, scope: Scope, type: str, **given: JsonValue) -> str:
        """Dispatch; the id."""
        return (await self.workflows.dispatch(scope, Job(type, given))).id

    async def end(self, scope: Scope, job: str, *, timeout_s: float = 60.0) -> JobRecord:
        """The job, ended."""
        record = await self.workflows.result(scope, job, timeout_s=timeout_s)
        assert record.ended, f"{record.status}: {record.why}"
        return record

    async def agree(self, scope: Scope, id: str, *, digest: str | None = None) -> Approval:
        """What a person does: open it, and say yes."""
        await self.approvals.get(scope, id)
        return await self.approvals.approve(scope, id, digest=digest)

    async def asked(self, scope: Scope, job: str, *, status: str = "pending", but: str = "") -> Approval:
        """The approval that this job waits for, once it does."""
        for _ in range(400):
            page = await self.approvals.list(scope, status=status, job=job)
            found = [one for one in page.items if one.id != but]
            record = await self.workflows.job(scope, job)
            if found and (status != "pending" or record.status == "waiting"):
                return await self.approvals.get(scope, found[0].id)
            await asyncio.sleep(0.02)
        raise AssertionError(f"nobody was asked: {await self.workflows.trace(scope, job)}")


def types_of(room: PostRoom) -> list[JobType]:
    """Types whose effect is to send, each with another oversight."""

    async def send(run: Run[Letter], arguments: JsonValue, key: str) -> JsonValue:
        room.sent.append(Sent(run.id, arguments, key, time.monotonic()))
        return {"sent": True, "key": key}

    async def hang(run: Run[Letter], arguments: JsonValue, key: str) -> JsonValue:
        await send(run, arguments, key)
        if run.attempt == 1:
            await asyncio.Event().wait()
        return {"sent": True, "key": key}

    async def wait(run: Run[Letter], arguments: JsonValue, key: str) -> JsonValue:
        await asyncio.sleep(0.15)
        return await send(run, arguments, key)

    async def fail(run: Run[Letter], arguments: JsonValue, key: str) -> JsonValue:
        await send(run, arguments, key)
        if run.attempt < 3:
            raise ConnectionError("the line is down")
        return {"sent": True, "key": key}

    async def bytes_back(run: Run[Letter], arguments: JsonValue, key: str) -> JsonValue:
        await send(run, arguments, key)
        return b"not JSON"  # type: ignore[return-value]

    hows = {"plain": send, "hang": hang, "wait": wait, "fail": fail, "bytes": bytes_back}

    async def run(run: Run[Letter]) -> JsonValue:
        room.calls[run.id] = room.calls.get(run.id, 0) + 1
        if run.input.how == "act" and room.act is not None:
            return await room.act(run)
        given, results = run.input, []
        for n in range(given.n):
            arguments = (
                {"to": given.to, "n": n} if given.how != "changes" else {"to": given.to, "n": room.calls[run.id]}
            )
            work = partial(hows.get(given.how, send), run)
            name = "burn" if given.how == "undeclared" else "send"
            what: JsonValue = arguments if given.how != "not JSON" else {"to": {1, 2}}  # type: ignore[dict-item]
            results.append(await run.effect(name, what, work, shown=f"a letter to {given.to}"))
        return results if given.n != 1 else results[0]

    retry = Retry(attempts=4, first_s=0.05, factor=1.0)
    kind = partial(JobType, about="Sends letters.", input=Letter, run=run, permission="work:run", retry=retry)
    modes = ("none", "informed", "approve", "two_persons")
    limits = Limits(step_s=1.0, per_tenant=50)
    return [kind(f"post.{mode}", effects={"send": Effect("Sends a letter.", mode)}, limits=limits) for mode in modes]  # type: ignore[arg-type]


@asynccontextmanager
async def opened(house: House, *, work: bool = True) -> AsyncIterator[PostRoom]:
    """A post room on the rooms of the house."""
    workflows = Workflows(house.store, house.audit, house.tenancy, house.policy, QUICK)
    room = PostRoom(house, workflows)
    for kind in types_of(room):
        workflows.register(kind)
    await workflows.start(work=work)
    try:
        yield room
    finally:
        await workflows.stop()


@dataclass(frozen=True)
class Team:
    """The persons of one tenant."""

    tenant: str
    admin: Scope  # a key without a user
    ada: Scope  # a member: dispatches
    bob: Scope  # oversee
    cyd: Scope
    dan: Scope
    fay: Scope  # an administrator: dispatches and oversees
    robot: Scope  # an overseer's key without a user


async def team(house: House, platform: Scope) -> Team:
    """A tenant with persons, each admitted as everybody is: by a key."""
    tenancy = house.tenancy
    tenant = (await tenancy.create_tenant(platform, f"team {new_id('x')}")).id

    async def admitted(role: str, name: str = "") -> Scope:
        user = None
        if name:
            user = (await tenancy.create_user(platform, email=f"{name}@example.org", roles=[role], tenant=tenant)).id
        key = await tenancy.create_key(platform, tenant=tenant, role=role, user=user)
        return await tenancy.authenticate(key.key)

    return Team(
        tenant,
        await admitted("administrator"),
        await admitted("member", "ada"),
        await admitted("overseer", "bob"),
        await admitted("overseer", "cyd"),
        await admitted("overseer", "dan"),
        await admitted("administrator", "fay"),
        await admitted("overseer"),
    )


async def refused(call: Awaitable[Any], error: type[BastideError], say: str = "") -> BastideError:
    """That the call is refused so, with a code, a status below 500 and a next step."""
    try:
        await call
    except error as fault:
        assert say in fault.message, fault.message
        assert fault.code.startswith("workflows."), fault.code
        assert fault.status < 500
        assert fault.next_step
        return fault
    raise AssertionError(f"this was not refused as {error.__name__}")


def question(sql: str) -> Query:
    """What somebody asks the database who goes around the room."""
    return Query("test", "around", sql)
