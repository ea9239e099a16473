"""What every kind of target keeps: one suite, each test run against each kind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bastide.app import House
from bastide.errors import AirGapClosed, BastideError, UnknownProjection
from bastide.knowledge import NewProjection
from bastide.knowledge.projections.feeding import Feeding
from bastide.knowledge.projections.gathering import about
from bastide.policy import TenantPolicy
from bastide.store import Query, Scope
from tests.conftest import scope_of
from tests.rooms.knowledge.projections.conftest import Aim
from tests.rooms.knowledge.projections.doubles import OfNeo4j, OfS3, Place

LEASE = (
    b"# Lease\n\nAcme GmbH leases the workshop in Ghent from Beta AG. The lease ends on 30 June 2031."
    b" The European Data Protection Board (EDPB) was told. Acme GmbH pays Beta AG 1,200 euros a month.\n"
)
MENU = b"# Menu\n\nToday the kitchen of Gamma SA in Lyon serves lentil soup with carrots, and pancakes.\n"
SECRET_WORDS = ("workshop", "pancakes", "1,200 euros")
INTERNAL = {"class": "internal", "personal": "none"}

RESTING = Query("test", "resting", "select failures, problem, rests_until > now() from knowledge.projection")
WAITING = Query("test", "waiting", "select subject, attempts, problem, due_at > now() from knowledge.projection_change")
EVENTS = Query("test", "events", "select act from audit.event")


async def take(house: House, scope: Scope, name: str, data: bytes, **given: Any) -> str:
    """A document's id."""
    done = await house.knowledge.ingest(scope, name, data, label=given.pop("label", INTERNAL), **given)
    assert done.documents[0].status == "ready", done.documents[0]
    return done.documents[0].id or ""


async def feed(house: House, scope: Scope, name: str = "copy") -> None:
    """Send what waits, whatever rests."""
    for _ in range(20):
        done = await house.projections.feeding.turn(scope, name, even_resting=True)
        assert not done.failed, (done, await waiting(house, scope))
        if not (await house.projections.get(scope, name)).behind:
            return
    raise AssertionError("it is still behind")


async def waiting(house: House, scope: Scope) -> list[tuple[str, int, str, bool]]:
    """The outbox."""
    async with house.store.under(scope) as db:
        return await db.rows(tuple, WAITING)


async def verified(house: House, scope: Scope) -> dict[str, Any]:
    """What the verifier says."""
    job = await house.projections.verify(scope, "copy")
    done = await house.workflows.result(scope, job.id, timeout_s=60)
    assert isinstance(done.output, dict), (done.status, done.problem)
    return done.output


@pytest.fixture
async def here(quiet: House, ours: Scope) -> dict[str, str]:
    """Two documents of ours."""
    return {
        "lease": await take(quiet, ours, "lease.md", LEASE, collection="contracts"),
        "menu": await take(quiet, ours, "menu.md", MENU, collection="kitchen"),
    }


# -- to and fro -------------------------------------------------------------------------------------


async def test_what_is_here_is_projected_and_again_changes_nothing(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    made = await aim(ours)
    assert place.backend.documents(ours.tenant) == set(here.values())
    assert (made.documents, made.behind, made.problem) == (2, 0, "")
    before = await verified(quiet, ours)
    assert before["agrees"], before
    assert before["found"] == before["items"] > 0
    await quiet.workflows.result(ours, (await quiet.projections.rebuild(ours, "copy")).id, timeout_s=60)
    after = await verified(quiet, ours)
    assert {**after, "agrees": True} == {**before, "agrees": after["agrees"]}
    assert after["agrees"], after


async def test_a_new_document_and_a_new_version_follow(quiet: House, place: Place, aim: Aim, ours: Scope) -> None:
    await aim(ours)
    assert place.backend.documents(ours.tenant) == set()
    id = await take(quiet, ours, "lease.md", LEASE * 3)
    assert (await quiet.projections.get(ours, "copy")).behind >= 1
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {id}
    first = await verified(quiet, ours)
    assert await take(quiet, ours, "lease.md", MENU) == id
    await feed(quiet, ours)
    second = await verified(quiet, ours)
    assert first["agrees"], first
    assert second["agrees"], second
    assert place.backend.documents(ours.tenant) == {id}
    if place.backend.kind == "s3":
        assert second["items"] == 2, "the originals of both versions"
    else:
        assert "Acme" not in place.backend.all_of_it(), "what the first version said is gone"


async def test_a_document_whose_class_rises_above_the_limit_is_taken_away(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    await quiet.knowledge.relabel(ours, here["lease"], {"class": "confidential"})
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {here["menu"]}
    (left,) = await quiet.projections.departures(ours, documents=[here["lease"]])
    assert (left.why, left.pending) == ("Its class is above internal.", "")
    assert left.gone_at is not None
    await quiet.knowledge.relabel(ours, here["lease"], {"class": "internal"}, reason="it was a mistake")
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == set(here.values())
    assert await quiet.projections.departures(ours, documents=[here["lease"]]) == ()


async def test_a_document_that_is_moved_out_of_the_collections_leaves(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours, collections=["contracts"])
    assert place.backend.documents(ours.tenant) == {here["lease"]}
    await quiet.knowledge.upkeep.move(ours, [here["lease"]], "kitchen")
    await quiet.knowledge.add_collection(ours, "contracts")
    await quiet.knowledge.upkeep.move(ours, [here["menu"]], "contracts")
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {here["menu"]}


async def test_an_erased_document_is_gone_and_looked_for(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    await quiet.knowledge.delete(ours, here["lease"])
    (pending,) = await quiet.projections.departures(ours, documents=[here["lease"]])
    assert (pending.why, pending.gone_at, pending.verified_at) == ("erased", None, None)
    assert pending.pending
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {here["menu"]}
    assert here["lease"] not in place.backend.all_of_it()
    (done,) = await quiet.projections.departures(ours, documents=[here["lease"]])
    assert (done.why, done.pending) == ("erased", "")
    assert done.gone_at is not None
    assert done.verified_at is not None
    found = await verified(quiet, ours)
    assert found["agrees"], found
    assert found["departed"] == 1


async def test_a_collection_with_members_is_not_projected_unless_it_is_named(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    await quiet.knowledge.upkeep.set_members(ours, "contracts", {ours.user or "": "manage"})
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {here["menu"]}
    await quiet.knowledge.upkeep.set_members(ours, "contracts", {})
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == set(here.values())


# -- loss and faults --------------------------------------------------------------------------------


async def test_what_was_lost_is_found_missing_and_made_anew(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    place.backend.lose()
    found = await verified(quiet, ours)
    assert not found["agrees"]
    assert set(found["differing"]) == set(here.values())
    await feed(quiet, ours)  # the verifier has put them into the outbox
    assert place.backend.documents(ours.tenant) == set(here.values())
    place.backend.lose()
    await quiet.workflows.result(ours, (await quiet.projections.rebuild(ours, "copy")).id, timeout_s=60)
    assert place.backend.documents(ours.tenant) == set(here.values())
    assert (await verified(quiet, ours))["agrees"]


@pytest.mark.parametrize(
    ("fault", "code", "whole"),
    [
        (500, "knowledge.target_busy", True),
        (429, "knowledge.target_busy", True),
        (403, "knowledge.target_refused", False),
        (302, "egress.redirect_refused", True),
        ("half", "egress.broken_reply", True),
        ("nonsense", "", True),
        ("slow", "egress.too_slow", True),
        ("down", "egress.unreachable", True),
    ],
)
async def test_a_target_in_trouble_is_waited_for_and_nothing_is_lost(
    quiet: House,
    place: Place,
    aim: Aim,
    ours: Scope,
    monkeypatch: pytest.MonkeyPatch,
    fault: int | str,
    code: str,
    whole: bool,
) -> None:
    await aim(ours)
    id = await take(quiet, ours, "lease.md", LEASE)
    monkeypatch.setattr("bastide.knowledge.projections.feeding._ASKING_S", 0.2 if fault == "slow" else 30.0)
    place.fault = None if fault == "down" else fault
    if fault == "down":
        await place.down()
    done = await quiet.projections.feeding.turn(ours, "copy", even_resting=True)
    assert (done.sent, done.taken) == (0, 0)
    assert done.failed >= 1
    (_, attempts, problem, later) = next(row for row in await waiting(quiet, ours) if row[1])
    assert (attempts, later) == (1, True)
    assert problem.startswith(code)
    async with quiet.store.under(ours) as db:
        ((failures, _, resting),) = await db.rows(tuple, RESTING)
    assert (failures > 0, resting) == (whole, whole)
    assert (await quiet.projections.feeding.turn(ours, "copy")).tried == 0 or not whole, (
        "it rests, or one document does"
    )
    place.fault = None
    if fault == "down":
        await place.__aenter__()
    async with quiet.store.under(ours) as db:
        await db.run(Query("test", "now", "update knowledge.projection_change set due_at = now()"))
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {id}
    assert (await quiet.projections.get(ours, "copy")).problem == ""


async def test_a_worker_that_dies_between_sending_and_marking_sends_again(
    quiet: House, place: Place, aim: Aim, ours: Scope
) -> None:
    await aim(ours)
    id = await take(quiet, ours, "lease.md", LEASE)

    class Dead(BaseException):
        """kill -9, as far as a coroutine can be."""

    class Killed(Feeding):
        async def target(self, scope: Scope, name: str) -> Any:
            found = await super().target(scope, name)
            house_record = self._audit.record

            async def record(*_: Any, **__: Any) -> str:
                raise Dead

            self._audit = type("Audit", (), {"record": staticmethod(record)})()  # type: ignore[assignment]
            assert house_record is not None
            return found

    killed = Killed(quiet.store, quiet.audit, quiet.policy, quiet.egress)
    with pytest.raises(Dead):
        await killed.turn(ours, "copy", even_resting=True)
    assert place.backend.documents(ours.tenant) == {id}, "it was sent"
    assert (await quiet.projections.get(ours, "copy")).behind >= 1, "and not marked"
    await feed(quiet, ours)
    found = await verified(quiet, ours)
    assert found["agrees"], found


async def test_who_was_overtaken_has_it_sent_anew(quiet: House, place: Place, aim: Aim, ours: Scope) -> None:
    await aim(ours)
    id = await take(quiet, ours, "lease.md", LEASE)
    feeding = quiet.projections.feeding
    await asyncio.gather(*(feeding.turn(ours, "copy", even_resting=True) for _ in range(3)))
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {id}
    found = await verified(quiet, ours)
    assert found["agrees"], found


# -- the law, and the neighbour ---------------------------------------------------------------------


async def test_a_neighbour_shares_a_target_and_neither_meets_the_other(
    quiet: House, place: Place, aim: Aim, ours: Scope, neighbour: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    theirs = await take(quiet, neighbour, "menu.md", MENU)
    await aim(neighbour)
    assert place.backend.documents(neighbour.tenant) == {theirs}
    assert place.backend.documents(ours.tenant) == set(here.values())
    target = await quiet.projections.feeding.target(neighbour, "copy")
    async with quiet.projections.feeding.opened(neighbour, target) as adapter:
        assert await adapter.held(here["lease"]) == 0
        await adapter.take(here["lease"])
        await adapter.clear()
    assert place.backend.documents(ours.tenant) == set(here.values()), "ours are where they were"
    assert (await verified(quiet, ours))["agrees"]
    assert await quiet.projections.departures(neighbour, documents=[here["lease"]]) == ()
    with pytest.raises(UnknownProjection):
        await quiet.projections.get(scope_of("ten_" + "0" * 26), "copy")


async def test_policy_that_says_no_later_takes_what_lies_there_only_while_it_may_speak(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    policy: TenantPolicy = await quiet.policy.settings(ours)
    await quiet.policy.set_policy(ours, replace(policy, enabled=frozenset({"local/onnx"})))
    await quiet.knowledge.delete(ours, here["menu"])
    done = await quiet.projections.feeding.turn(ours, "copy", even_resting=True)
    assert done.failed >= 1
    (left,) = await quiet.projections.departures(ours, documents=[here["menu"]])
    assert "local/runtime" in left.pending, left
    assert here["menu"] in place.backend.documents(ours.tenant), "and the report says so"
    policy = await quiet.policy.settings(ours)
    await quiet.policy.set_policy(ours, replace(policy, enabled=policy.enabled | {"local/runtime"}))
    async with quiet.store.under(ours) as db:
        await db.run(Query("test", "now", "update knowledge.projection_change set due_at = now()"))
    await feed(quiet, ours)
    assert place.backend.documents(ours.tenant) == {here["lease"]}


async def test_what_the_target_sees_is_no_more_than_was_asked(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    seen = place.backend.all_of_it()
    assert not [word for word in SECRET_WORDS if word in seen]
    if isinstance(place.backend, OfNeo4j):
        assert "Acme GmbH" in seen, "names are what it is for"
    if isinstance(place.backend, OfS3):
        (key,) = [one for one, _ in place.backend._keys() if here["lease"] in one]
        sealed = place.backend._tell("GET", f"/{key}", b"")
        async with quiet.store.under(ours) as db:
            assert await db.unseal(sealed, about=about(here["lease"], 1)) == LEASE


async def test_removing_a_target_empties_it_first(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    place.fault = 500
    job = await quiet.projections.remove(ours, "copy")
    assert (await quiet.projections.get(ours, "copy")).leaving
    place.fault = None
    done = await quiet.workflows.result(ours, job.id, timeout_s=60)  # type: ignore[union-attr]
    assert done.status == "done", done.problem
    assert isinstance(done.output, dict)
    assert done.output["left"] == 0
    assert done.output["deleted"] > 0
    assert place.backend.documents(ours.tenant) == set()
    with pytest.raises(UnknownProjection):
        await quiet.projections.get(ours, "copy")


async def test_abandoning_a_target_says_what_is_left(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    await aim(ours)
    await place.down()
    left = await quiet.projections.remove(ours, "copy", abandon=True, reason="the machine is gone")
    assert (left.documents, left.items > 0) == (2, True)  # type: ignore[union-attr]
    assert place.backend.documents(ours.tenant) == set(here.values())
    assert await quiet.projections.list(ours) == ()


async def test_a_target_on_this_machine_is_inside_the_air_gap(
    quiet: House, place: Place, aim: Aim, ours: Scope, here: dict[str, str]
) -> None:
    policy = await quiet.policy.settings(ours)
    await quiet.policy.set_policy(ours, replace(policy, air_gap=True))
    made = await aim(ours)
    assert (made.documents, made.problem) == (2, "")


OUTSIDE = {"url": "https://api.mistral.ai", "record": "mistral/la-plateforme/eu"}


async def test_an_outside_target_is_decided_on_and_a_closed_air_gap_says_no(
    quiet: House, place: Place, ours: Scope, here: dict[str, str]
) -> None:
    backend = place.backend
    new = NewProjection("far", backend.kind, key=backend.key, options=backend.options, **OUTSIDE)
    await quiet.projections.add(ours, new)
    policy = await quiet.policy.settings(ours)
    await quiet.policy.set_policy(ours, replace(policy, air_gap=True))
    target = await quiet.projections.feeding.target(ours, "far")
    with pytest.raises(BastideError) as refused:
        async with quiet.projections.feeding.opened(ours, target):
            raise AssertionError("no connection without a yes")
    assert {"R01", "R02"} <= set(refused.value.facts["rules"])  # type: ignore[call-overload]
    assert not isinstance(refused.value, AirGapClosed), "policy says it before any socket does"
