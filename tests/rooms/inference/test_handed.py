"""Batches that a provider works through: what is handed over, what never leaves, what comes of it, what is deleted."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conftest import scope_of
from tests.rooms.inference.batch_provider import BatchProvider, Body, Fault, echo
from tests.rooms.inference.test_batches import CHATS, begun, chat, count, ended, house, jsonl, lines_of, run

from bastide.app import House
from bastide.errors import UnknownBatch, WrongCapability
from bastide.inference import ChatRequest, ModelRoute, ModelSpec
from bastide.inference.batches.values import Batch
from bastide.policy import Label
from bastide.store import Query, Scope, new_id
from bastide.testing import ScriptedModel
from bastide.workflows import Job, Lane

__all__ = ["house"]

NO_PURPOSE = {"purposes": ["archiving"]}  # bytes that may serve nothing that is done here: R13 refuses everybody
NOTE = "1 line is handed over to local/runtime/scripted"
PLAIN = Label()


async def added(house: House, scope: Scope, provider: BatchProvider, name: str = "ours", **more: Any) -> None:
    spec = ModelSpec(
        name, provider.url, kind="ovhcloud-batch", key="sk-theirs", local=True, upstream="scripted", **more
    )
    await house.inference.add_model(scope, spec)


@pytest.fixture
async def provider() -> AsyncIterator[BatchProvider]:
    async with BatchProvider() as made:
        yield made


async def withdrawn(house: House, scope: Scope) -> None:
    """Nothing of the tenant lies anywhere any more, and nothing is known of it."""
    async with asyncio.timeout(60):
        while await count(house, scope, "inference.handed"):
            await asyncio.sleep(0.05)


async def told(house: House, scope: Scope, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Answers and errors by their names; every line of the input is in one of them, once."""
    answers = await lines_of(house, scope, batch.output_file) if batch.output_file else []
    errors = await lines_of(house, scope, batch.error_file) if batch.error_file else []
    names = Counter(one["custom_id"] for one in [*answers, *errors])
    given = await lines_of(house, scope, batch.input_file)
    assert names == Counter(one["custom_id"] for one in given), "each line once"
    return {one["custom_id"]: one for one in answers}, {one["custom_id"]: one for one in errors}


async def at_work(house: House, scope: Scope, times: int = 1) -> None:
    """So many files are worked through at the provider, and the house knows it."""
    sql = Query("test", "raw", "select count(*) from inference.handed where state = 'running' and doomed_at is null")
    async with asyncio.timeout(60):
        while True:
            async with house.store.under(scope) as db:
                if await db.value(sql) == times:
                    return
            await asyncio.sleep(0.02)


async def events(house: House, scope: Scope, act: str, times: int = 1) -> list[Any]:
    """What is in the log of this act, once there is so much of it."""
    async with asyncio.timeout(60):
        while True:
            found = [one for one in (await house.audit.events(scope, limit=500)).items if one.act == act]
            if len(found) >= times:
                return found
            await asyncio.sleep(0.05)


def text(entry: Any) -> str:
    return str(entry["response"]["body"]["choices"][0]["message"]["content"])


# -- handing over -----------------------------------------------------------------------------------


async def test_lines_are_handed_over_and_a_refused_one_never_leaves(
    house: House, ours: Scope, neighbour: Scope, provider: BatchProvider
) -> None:
    await added(house, ours, provider)
    secret = [{"type": "text", "text": "Tiefseewal", "x_label": NO_PURPOSE}]
    lines = [
        chat("mara.klein", "one"),
        chat("no", "", content=secret),
        chat("three", "three"),
        chat("mail", "a@b.example"),
    ]
    batch = await ended(house, ours, await begun(house, ours, *lines))
    assert (batch.status, batch.total, batch.answered, batch.failed) == ("completed", 4, 3, 1)
    assert (batch.tokens_in, batch.tokens_out) == (30, 15)
    answers, errors = await told(house, ours, batch)
    assert {name: text(one) for name, one in answers.items()} == {
        "mara.klein": "You said one",
        "three": "You said three",
        "mail": "You said a@b.example",
    }
    refused = errors["no"]["response"]
    assert (refused["status_code"], refused["body"]["error"]["code"]) == (409, "inference.no_permitted_model")
    assert b"Tiefseewal" not in provider.heard
    assert b"mara.klein" not in provider.heard, "what a line is called here is nobody's business there"
    assert b"x_label" not in provider.heard
    assert provider.keys == {"Bearer sk-theirs"}
    assert [one["body"]["model"] for one in provider.lines] == ["scripted"] * 3
    receipts = [await house.audit.receipt(ours, one["response"]["receipt"]) for one in answers.values()]
    personal = {str(one.body["label"]["personal"]) for one in receipts}  # type: ignore[call-overload,index]
    assert personal == {"none", "personal"}, "each by its own decision"
    assert [one.body["tokens"] for one in receipts] == [{"input": 10, "output": 5}] * 3
    assert len({one.id for one in receipts}) == 3
    (handover,) = await events(house, ours, "batch.handover")
    assert handover.details is not None
    assert (handover.details["lines"], handover.resource) == (3, batch.id)
    await withdrawn(house, ours)
    assert provider.files == {}, "neither what was handed in nor what came of it is left there"
    (gone,) = await events(house, ours, "batch.withdraw")
    assert gone.details is not None
    assert (gone.outcome, gone.details["deleted"]) == ("done", 2)
    with pytest.raises(UnknownBatch):
        await house.batches.get(neighbour, batch.id)


async def test_calls_by_themselves_never_choose_such_a_model(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    await added(house, ours, provider)
    asked = ChatRequest.from_wire({"model": "ours", "messages": [{"role": "user", "content": "x"}]})
    with pytest.raises(WrongCapability, match=r"batch\.chat"):
        await house.inference.chat(ours, asked, label=PLAIN)
    assert "ours" not in {
        one.name for one in await house.inference.models(ours) if one.does("chat") or one.does("embeddings")
    }
    assert {path for _, path in provider.asked} <= {"/v1/models"}


async def test_a_route_hands_over_what_it_may_and_asks_the_rest(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    """A route with a batch's member and one that answers by itself: in a batch the first goes first."""
    await added(house, ours, provider, "by-file")
    async with ScriptedModel("By itself.") as server:
        await house.inference.add_model(ours, ModelSpec("now", server.url, local=True))
        await house.inference.routes.add(ours, ModelRoute("both", ("by-file", "now")))
        lines = [chat("a", "x", model="both"), chat("b", "y", model="now"), chat("c", "z", model="nowhere")]
        batch = await ended(house, ours, await begun(house, ours, *lines))
        assert len(server.chats) == 1
    answers, errors = await told(house, ours, batch)
    assert {name: text(one) for name, one in answers.items()} == {"a": "You said x", "b": "By itself."}
    assert errors["c"]["response"]["body"]["error"]["code"] == "inference.unknown_model"
    assert len(provider.lines) == 1


async def test_another_wire_is_translated_on_the_way_there_and_back(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    await added(house, ours, provider)
    body = {"model": "ours", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/messages", "body": body}
    file = await house.batches.files.add(ours, "m.jsonl", jsonl(line), label=PLAIN)
    made = await house.batches.create(ours, input_file=file.id, endpoint="/v1/messages", label=PLAIN)
    answers, _ = await told(house, ours, await ended(house, ours, made))
    assert answers["a"]["response"]["body"]["type"] == "message"
    assert answers["a"]["response"]["body"]["content"][0]["text"] == "You said Hello"
    assert provider.lines[0]["url"] == CHATS


async def test_texts_are_embedded_in_batches(house: House, ours: Scope, provider: BatchProvider) -> None:
    await added(house, ours, provider, capabilities=("batch.embeddings",))
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "ours", "input": ["x"]}}
    file = await house.batches.files.add(ours, "e.jsonl", jsonl(line), label=PLAIN)
    made = await house.batches.create(ours, input_file=file.id, endpoint="/v1/embeddings", label=PLAIN)
    done = await ended(house, ours, made)
    answers, _ = await told(house, ours, done)
    assert answers["a"]["response"]["body"]["data"][0]["embedding"] == [0.6, 0.8]
    assert (done.tokens_in, provider.lines[0]["url"]) == (3, "/v1/embeddings")


async def test_what_is_too_large_goes_in_several_files(house: House, ours: Scope, provider: BatchProvider) -> None:
    provider.bytes_max = 1200
    await added(house, ours, provider)
    batch = await ended(house, ours, await begun(house, ours, *(chat(f"n{n}", f"text {n}") for n in range(12))))
    answers, errors = await told(house, ours, batch)
    assert (len(answers), errors) == (12, {})
    assert len(provider.made) > 1
    assert Counter(one["body"]["messages"][0]["content"] for one in provider.lines) == Counter(
        f"text {n}" for n in range(12)
    ), "no line is in two of them"


async def test_a_provider_that_asks_to_wait_is_waited_for(house: House, ours: Scope, provider: BatchProvider) -> None:
    provider.faults = {
        "POST /files": [Fault(429, {"retry-after": "1"})],
        "POST /batches": [Fault(503)],
        "GET /batches/ID": [Fault(500)],
        "GET /files/ID/content": [Fault(502)],
    }
    await added(house, ours, provider)
    batch = await ended(house, ours, await begun(house, ours, chat("a", "x")))
    answers, _ = await told(house, ours, batch)
    assert text(answers["a"]) == "You said x"
    assert all(not left for left in provider.faults.values())
    assert len(provider.made) == 1


async def test_what_a_provider_refuses_is_told_to_each_line(house: House, ours: Scope, provider: BatchProvider) -> None:
    provider.faults = {"POST /batches": [Fault(400)]}
    await added(house, ours, provider)
    batch = await ended(house, ours, await begun(house, ours, chat("a", "x"), chat("b", "y")))
    _, errors = await told(house, ours, batch)
    assert {one["response"]["body"]["error"]["code"] for one in errors.values()} == {"inference.upstream_refused"}
    receipt = await house.audit.receipt(ours, errors["a"]["response"]["receipt"])
    assert receipt.body["tokens"] == {"input": 0, "output": 0}
    await withdrawn(house, ours)
    assert provider.files == {}, "the file that nobody works through is deleted"


async def test_what_its_key_may_name_no_more_is_not_handed_over(house: House, provider: BatchProvider) -> None:
    first = await house.tenancy.first_start() or await house.tenancy.renew_admin_key()
    operator = await house.tenancy.authenticate(first.key)
    tenant = await house.tenancy.create_tenant(operator, f"bound {new_id('x')}")
    key = await house.tenancy.create_key(operator, tenant=tenant.id, role="administrator", models=["ours", "way"])
    scope = await house.tenancy.authenticate(key.key)
    await added(house, scope, provider)
    await house.inference.routes.add(scope, ModelRoute("way", ("ours",)))
    provider.faults = {"POST /files": [Fault(429, {"retry-after": "1"}) for _ in range(100)]}
    batch = await begun(house, scope, chat("a", "x"), chat("b", "y", model="way"))
    await provider.until(lambda: len(provider.faults["POST /files"]) < 100)
    await house.tenancy.bind_key(operator, key.about.id, ["another"], tenant=tenant.id)
    batch = await ended(house, scope, batch)
    _, errors = await told(house, scope, batch)
    codes = {name: one["response"]["body"]["error"]["code"] for name, one in errors.items()}
    assert codes == dict.fromkeys("ab", "inference.unknown_model")
    assert provider.made == []


# -- crossing the same step twice -------------------------------------------------------------------


@pytest.mark.parametrize("step", ["POST /files", "POST /batches"])
async def test_what_was_done_although_nobody_heard_of_it_is_not_done_again(
    house: House, ours: Scope, provider: BatchProvider, step: str
) -> None:
    provider.faults = {step: [Fault(500, after=True)], step.replace("POST", "GET"): [Fault(429, {"retry-after": "1"})]}
    await added(house, ours, provider)
    batch = await ended(house, ours, await begun(house, ours, chat("a", "x")))
    answers, _ = await told(house, ours, batch)
    assert text(answers["a"]) == "You said x"
    assert (len(provider.uploads), len(provider.made)) == (1, 1), "it was looked for before it was asked again"


async def test_what_cannot_be_known_is_not_done_twice(house: House, ours: Scope) -> None:
    async with BatchProvider(lists=False) as provider:
        provider.faults = {"POST /batches": [Fault(500, after=True)]}
        await added(house, ours, provider)
        batch = await ended(house, ours, await begun(house, ours, chat("a", "x")))
        _, errors = await told(house, ours, batch)
        assert errors["a"]["response"]["body"]["error"]["code"] == "inference.handover_unknown"
        assert len(provider.made) == 1
        await withdrawn(house, ours)
        assert {one.outcome for one in await events(house, ours, "batch.withdraw")} == {"unknown"}, "and that is told"


async def test_a_file_that_may_lie_there_unknown_is_told(house: House, ours: Scope) -> None:
    async with BatchProvider(lists=False) as provider:
        provider.faults = {"POST /files": [Fault(500, after=True)]}
        await added(house, ours, provider)
        batch = await ended(house, ours, await begun(house, ours, chat("a", "x")))
        answers, _ = await told(house, ours, batch)
        assert (text(answers["a"]), len(provider.made)) == ("You said x", 1)
        assert {one.outcome for one in await events(house, ours, "batch.handover", 2)} == {"unknown", "done"}


# -- what comes back --------------------------------------------------------------------------------


async def test_what_comes_back_is_not_trusted_to_be_what_was_agreed(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    def spoils(good: list[bytes]) -> list[bytes]:
        first, second, third, *_ = good
        lost = json.dumps({**json.loads(first), "custom_id": "77"}).encode()
        named = json.dumps({**json.loads(first), "custom_id": "mara"}).encode()
        hollow = json.dumps({**json.loads(third), "response": {"status_code": 200, "body": {"choices": []}}}).encode()
        return [b"{", b"[]", b"\xff\xfe", first, first, lost, named, b'{"custom_id": 5}', second, hollow, b"null"]

    def answer(body: Body) -> tuple[int, Body]:
        return (400, {"error": {"message": "no rain"}}) if "rain" in str(body) else echo(body)

    provider.spoils, provider.answer = spoils, answer
    await added(house, ours, provider)
    names = ("first", "second", "hollow", "lost", "rain")
    batch = await ended(house, ours, await begun(house, ours, *(chat(name, name) for name in names)))
    answers, errors = await told(house, ours, batch)
    assert set(answers) == {"first", "second"}
    codes = {name: one["response"]["body"]["error"]["code"] for name, one in errors.items()}
    assert codes == {
        "hollow": "inference.upstream_garbage",
        "lost": "inference.upstream_garbage",
        "rain": "inference.upstream_refused",
    }
    assert batch.tokens_in == 20, "only what was answered is counted"
    outcomes = Counter(one.outcome for one in await events(house, ours, "inference", 5))
    assert outcomes == {"done": 2, "failed": 3}, "each line that left is on record"


@pytest.mark.parametrize(("status", "code"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled")])
async def test_what_was_answered_before_a_provider_stopped_is_kept(
    house: House, ours: Scope, provider: BatchProvider, status: str, code: str
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, *(chat(f"n{n}", f"{n}") for n in range(4)))
    await at_work(house, ours)
    provider.finish(status=status, only=lambda n: n < 2)
    done = await ended(house, ours, batch)
    answers, errors = await told(house, ours, done)
    assert set(answers) == {"n0", "n1"}
    assert {one["error"]["code"] for one in errors.values()} == {code}
    assert done.status == ("expired" if status == "expired" else "completed")


async def test_why_a_provider_s_batch_failed_is_told_without_the_key(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, chat("a", "x"))
    await at_work(house, ours)
    (theirs,) = provider.batches.values()
    theirs |= {"status": "failed", "errors": {"data": [{"code": "c", "message": "sk-theirs may not", "line": 1}]}}
    _, errors = await told(house, ours, await ended(house, ours, batch))
    error = errors["a"]["response"]["body"]["error"]
    assert (error["code"], error["message"]) == (
        "inference.upstream_failed",
        "The provider's batch failed: *** may not",
    )


async def test_a_batch_that_its_provider_knows_no_more_is_told(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, chat("a", "x"))
    await at_work(house, ours)
    provider.batches.clear()
    _, errors = await told(house, ours, await ended(house, ours, batch))
    assert errors["a"]["response"]["body"]["error"]["code"] == "inference.upstream_failed"


async def test_a_file_that_breaks_off_is_collected_on_without_a_line_twice(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    """What was kept before is neither kept nor paid for again."""
    provider.cuts = [0.6, 0.9]
    await added(house, ours, provider)
    await house.inference.accounts.set_budget(ours, of="tenant", tokens=10**9)
    batch = await ended(house, ours, await begun(house, ours, *(chat(f"n{n}", f"{n}") for n in range(700))))
    answers, errors = await told(house, ours, batch)
    assert (len(answers), errors, provider.cuts) == (700, {}, [])
    assert (batch.answered, batch.tokens_in, batch.tokens_out) == (700, 7000, 3500)
    (budget,) = await house.inference.accounts.budgets(ours)
    assert budget.spent_tokens == 10_500
    assert len({one["response"]["receipt"] for one in answers.values()}) == 700


@pytest.mark.parametrize("seed", range(3))
async def test_each_line_stands_once_in_the_output_or_the_errors(
    house: House, ours: Scope, provider: BatchProvider, seed: int
) -> None:
    """Whatever the law, the provider and its files do to each of them; what was refused never left."""
    chance = random.Random(seed)
    fates = ("answered", "refused", "wrong", "lost", "twice", "garbled", "by itself", "unknown")
    lines, wanted = [], {}
    for n in range(80):
        fate = wanted[f"n{n}"] = chance.choice(fates)
        model = {"by itself": "now", "unknown": "nowhere"}.get(fate, "ours")
        part = [{"type": "text", "text": f"{fate} {n}", "x_label": NO_PURPOSE if fate == "refused" else {}}]
        lines.append(chat(f"n{n}", "", content=part, model=model))

    def answer(body: Body) -> tuple[int, Body]:
        return (422, {"error": {"message": "no"}}) if "wrong" in str(body) else echo(body)

    def spoils(good: list[bytes]) -> list[bytes]:
        kept = [one for one in good if b"lost" not in one]
        kept += [one for one in kept if b"twice" in one]
        kept = [one[: len(one) // 2] if b"garbled" in one else one for one in kept]
        chance.shuffle(kept)
        return kept

    provider.answer, provider.spoils = answer, spoils
    await added(house, ours, provider)
    async with ScriptedModel("By itself.") as server:
        await house.inference.add_model(ours, ModelSpec("now", server.url, local=True))
        batch = await ended(house, ours, await begun(house, ours, *lines))
    answers, _ = await told(house, ours, batch)
    fine = {name for name, fate in wanted.items() if fate in {"answered", "twice", "by itself"}}
    assert set(answers) == fine
    assert (batch.total, batch.answered, batch.failed) == (80, len(fine), 80 - len(fine))
    assert b"refused" not in provider.heard
    assert len(provider.lines) == sum(fate not in {"refused", "by itself", "unknown"} for fate in wanted.values())


async def test_when_the_window_closes_the_provider_is_stopped_and_what_it_has_is_kept(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, *(chat(f"n{n}", f"{n}") for n in range(3)))
    await at_work(house, ours)
    await run(house, ours, "update inference.batch set expires_at = now()")
    await provider.until(lambda: [one["status"] for one in provider.batches.values()] == ["cancelling"])
    provider.finish(status="cancelled", only=lambda n: n == 0)
    done = await ended(house, ours, batch)
    assert (done.status, done.answered, done.failed) == ("expired", 1, 2)
    _, errors = await told(house, ours, done)
    assert {one["error"]["code"] for one in errors.values()} == {"batch_expired"}


# -- stopping and deleting --------------------------------------------------------------------------


async def test_who_cancels_a_batch_cancels_that_of_its_provider(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, *(chat(f"n{n}", f"{n}") for n in range(3)))
    await at_work(house, ours)
    stopped = await house.batches.cancel(ours, batch.id)
    assert stopped.status == "cancelling", "what was answered there by now is still collected"
    await provider.until(lambda: [one["status"] for one in provider.batches.values()] == ["cancelling"])
    provider.finish(status="cancelled", only=lambda n: n == 1)
    done = await ended(house, ours, batch)
    assert (done.status, done.answered, done.failed) == ("cancelled", 1, 2)
    answers, errors = await told(house, ours, done)
    assert set(answers) == {"n1"}
    assert {one["error"]["code"] for one in errors.values()} == {"batch_cancelled"}
    await withdrawn(house, ours)
    assert provider.files == {}


async def test_what_was_cancelled_before_it_was_planned_is_not_handed_over(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    """A worker that died between the word and the deed: whoever goes on begins nothing."""
    await added(house, ours, provider)
    await house.workflows.set_lane(ours, Lane("inference.batch_file", paused=True))
    batch = await begun(house, ours, chat("a", "x"))
    await run(house, ours, "update inference.batch set status = 'cancelling', cancelling_at = now()")
    await house.workflows.set_lane(ours, Lane("inference.batch_file"))
    assert (await ended(house, ours, batch)).status == "cancelled"
    assert provider.uploads == []


@pytest.mark.parametrize("how", ["derived", "person", "job"])
async def test_what_is_erased_here_is_erased_there(
    house: House, ours: Scope, provider: BatchProvider, how: str
) -> None:
    """A file that is deleted with what was made of it, a person that is erased, a job that somebody stops by hand."""
    provider.held = True
    await added(house, ours, provider)
    about = Label(subjects=frozenset({"person-17"}))
    batch = await begun(house, ours, chat("a", "x"), label=about)
    other = await begun(house, ours, chat("b", "y"))
    await at_work(house, ours, 2)
    await house.inference.remove_model(ours, "ours")
    if how == "derived":
        await house.batches.files.delete(ours, batch.input_file, derived=True)
    elif how == "person":
        made = await house.workflows.dispatch(ours, Job("knowledge.erase", {"subject": "person-17"}))
        await house.workflows.result(ours, made.id, timeout_s=60)
    else:
        await house.workflows.cancel(ours, batch.job)
        assert (await house.batches.get(ours, batch.id)).status == "cancelled"
    await provider.until(lambda: "cancelling" in {one["status"] for one in provider.batches.values()})
    theirs = next(one for one in provider.batches.values() if one["status"] == "cancelling")
    theirs["status"] = "cancelled"
    await provider.until(lambda: bool(provider.deleted))
    assert provider.deleted == [theirs["input_file_id"]], "that of the other batch is not touched"
    assert [json.loads(one.data)["body"]["messages"][0]["content"] for one in provider.files.values()] == ["y"]
    provider.finish()
    answers, _ = await told(house, ours, await ended(house, ours, other))
    assert text(answers["b"]) == "You said y", "with the key that its model had when it was handed over"


async def test_what_a_provider_refuses_to_delete_is_told_and_asked_for_again(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.refuses_to_delete = True
    await added(house, ours, provider)
    batch = await ended(house, ours, await begun(house, ours, chat("a", "x")))
    assert batch.status == "completed", "nobody waits for the deletion"
    refused = await events(house, ours, "batch.withdraw")
    assert [(one.outcome, dict(one.details or {})["problem"]) for one in refused] == [
        ("failed", "inference.upstream_failed")
    ]
    assert len(provider.files) == 2
    provider.refuses_to_delete = False
    await withdrawn(house, ours)
    assert provider.files == {}


async def test_what_a_lost_job_had_handed_over_is_found_by_the_sweep(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, chat("a", "x"))
    await at_work(house, ours)
    await house.workflows.cancel(ours, batch.job)
    await house.batches.sweep(ours)
    await provider.until(lambda: [one["status"] for one in provider.batches.values()] == ["cancelling"])
    provider.finish(status="cancelled", only=lambda n: False)
    await withdrawn(house, ours)
    assert provider.files == {}


async def test_what_was_answered_there_and_nobody_collected_is_paid_for(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, *(chat(f"n{n}", f"{n}") for n in range(3)))
    await at_work(house, ours)
    await house.batches.files.delete(ours, batch.input_file, derived=True)
    await provider.until(lambda: [one["status"] for one in provider.batches.values()] == ["cancelling"])
    provider.finish(status="cancelled", only=lambda n: n < 2)
    await withdrawn(house, ours)
    assert provider.files == {}, "the answers, too"
    (used,) = await house.inference.accounts.usage(ours, by="outcome")
    assert (used.name, used.tokens_in, used.tokens_out) == ("aborted", 20, 10)


@pytest.mark.slow
async def test_what_was_begun_there_while_its_job_was_stopped_is_found_and_stopped(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    """Nobody has heard its id: it is looked for by its file, once it must be there."""
    provider.held, provider.stalls = True, ["POST /batches"]
    await added(house, ours, provider)
    batch = await begun(house, ours, chat("a", "x"))
    await provider.until(lambda: bool(provider.batches))
    await house.workflows.cancel(ours, batch.job)
    assert (await house.batches.get(ours, batch.id)).status == "cancelled"
    await provider.until(lambda: [one["status"] for one in provider.batches.values()] == ["cancelling"])
    provider.finish(status="cancelled", only=lambda n: False)
    await withdrawn(house, ours)
    assert provider.files == {}


# -- money ------------------------------------------------------------------------------------------


async def reserved(house: House, scope: Scope) -> int:
    sql = "select coalesce(sum(tokens), 0) from inference.lease where holder like 'hov_%%'"
    async with house.store.under(scope) as db:
        return int(await db.value(Query("test", "raw", sql)))


async def test_a_budget_is_reserved_before_and_settled_by_what_came_back(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    await house.inference.accounts.set_budget(ours, of="tenant", tokens=250)
    lines = [chat(f"n{n}", f"{n}", max_tokens=60) for n in range(5)]
    batch = await begun(house, ours, *lines)
    await at_work(house, ours)
    over = len(provider.lines)
    assert 0 < over < 5, "as many as the budget has room for"
    assert 0 < await reserved(house, ours) <= 250
    provider.finish()
    done = await ended(house, ours, batch)
    answers, errors = await told(house, ours, done)
    assert (len(answers), len(errors)) == (over, 5 - over)
    assert {one["response"]["body"]["error"]["code"] for one in errors.values()} == {"inference.budget_spent"}
    (budget,) = await house.inference.accounts.budgets(ours)
    assert budget.spent_tokens == 15 * over, "what was used, not what was thought, and each line once"
    assert await reserved(house, ours) == 0
    (used,) = await house.inference.accounts.usage(ours, by="model")
    assert (used.name, used.calls, used.tokens_in, used.tokens_out) == ("ours", over, 10 * over, 5 * over)


async def test_lines_that_one_member_s_budget_has_no_room_for_go_to_the_next(
    house: House, ours: Scope, provider: BatchProvider
) -> None:
    """And what all of them used counts for the route as well."""
    accounts = house.inference.accounts
    for name in ("first", "second"):
        await added(house, ours, provider, name)
    await house.inference.routes.add(ours, ModelRoute("way", ("first", "second")))
    await accounts.set_budget(ours, of="model", subject="first", tokens=250)
    await accounts.set_budget(ours, of="model", subject="second", tokens=250)
    await accounts.set_budget(ours, of="model", subject="way", tokens=10_000)
    lines = [chat(f"n{n}", f"{n}", model="way", max_tokens=60) for n in range(7)]
    answers, errors = await told(house, ours, done := await ended(house, ours, await begun(house, ours, *lines)))
    assert done.answered == len(answers)
    assert {one["response"]["body"]["error"]["code"] for one in errors.values()} == {"inference.budget_spent"}
    used = {one.name: one.calls for one in await accounts.usage(ours, by="model")}
    assert used["first"] == used["second"] >= 2, "as many as each has room for"
    assert used["first"] + used["second"] == len(answers) < 7
    found = {one.subject: one.spent_tokens for one in await accounts.budgets(ours)}
    assert found == {"first": 15 * used["first"], "second": 15 * used["second"], "way": 15 * len(answers)}
    assert await reserved(house, ours) == 0


async def test_who_paid_is_forgotten_while_it_is_worked_on(house: House, ours: Scope, provider: BatchProvider) -> None:
    provider.held = True
    await added(house, ours, provider)
    assert ours.user is not None
    await house.inference.accounts.set_budget(ours, of="user", subject="*", tokens=10**6)
    batch = await begun(house, ours, chat("a", "x"))
    await at_work(house, ours)
    async with asyncio.timeout(60):
        while (await house.workflows.job(ours, batch.job)).progress.note != NOTE:
            await asyncio.sleep(0.02)
    rights = scope_of(ours.tenant, permissions=frozenset({"rights:use", "model:use"}))
    await house.inference.accounts.erase_person(rights, ours.user)
    provider.finish()
    assert (await ended(house, ours, batch)).answered == 1
    assert [one.name for one in await house.inference.accounts.usage(ours, by="user")] == [""]
    assert await count(house, ours, "inference.pot") == 0


# -- the neighbour ----------------------------------------------------------------------------------


async def test_what_is_handed_over_is_the_tenant_s_own(
    house: House, ours: Scope, neighbour: Scope, provider: BatchProvider
) -> None:
    provider.held = True
    await added(house, ours, provider)
    batch = await begun(house, ours, chat("a", "x"))
    await at_work(house, ours)
    assert await count(house, ours, "inference.handed") == 1
    assert await count(house, neighbour, "inference.handed") == 0
    with pytest.raises(UnknownBatch):
        await house.batches.cancel(neighbour, batch.id)
    sql = "update inference.handed set doomed_at = now()"
    assert await run(house, neighbour, sql) == 0
    provider.finish()
    assert (await ended(house, ours, batch)).answered == 1
