"""Files of calls and their batches in the room: labels, time, what was in the way, what is deleted, whose it is."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.conftest import scope_of

from bastide.app import House, open_house
from bastide.errors import BatchFileTooLarge, FileInUse, FilesFull, Forbidden, UnknownBatch, UnknownFile
from bastide.inference import ModelSpec
from bastide.inference.batches.files import Files
from bastide.inference.batches.lines import LINES_MAX, declared, read
from bastide.inference.batches.values import Batch
from bastide.inference.jobs import Batches
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope, Store
from bastide.testing import Asked, Fails, Says, ScriptedModel
from bastide.workflows import Job, Lane

CHATS = "/v1/chat/completions"
TYPE = "inference.batch_file"
PLAIN = Label()


@pytest.fixture(scope="module")
async def house(settings: Settings, store: Store) -> AsyncIterator[House]:
    """Every room, with a worker."""
    async with open_house(settings, sequence=True, work=True) as opened:
        yield opened


def chat(name: str, text: str, *, content: Any = None, **body: Any) -> dict[str, Any]:
    """A line that asks for a chat."""
    body = {"model": "ours", "messages": [{"role": "user", "content": content or text}], **body}
    return {"custom_id": name, "method": "POST", "url": CHATS, "body": body}


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def begun(house: House, scope: Scope, *lines: Any, label: Label = PLAIN, **more: Any) -> Batch:
    """A batch of these lines, just made."""
    file = await house.batches.files.add(scope, "calls.jsonl", jsonl(*lines), label=label)
    return await house.batches.create(scope, input_file=file.id, endpoint=CHATS, label=PLAIN, **more)


async def ended(house: House, scope: Scope, batch: Batch) -> Batch:
    """The batch when its job has ended."""
    await house.workflows.result(scope, batch.job, timeout_s=60)
    return await house.batches.get(scope, batch.id)


async def lines_of(house: House, scope: Scope, file: str | None) -> list[Any]:
    """What stands in a file."""
    assert file is not None
    _, pieces = await house.batches.files.content(scope, file)
    return [json.loads(line) for line in b"".join([piece async for piece in pieces]).splitlines()]


async def run(house: House, scope: Scope, sql: str, **values: Any) -> int:
    async with house.store.under(scope) as db:
        return await db.run(Query("test", "raw", sql), **values)


async def count(house: House, scope: Scope, table: str) -> int:
    async with house.store.under(scope) as db:
        return int(await db.value(Query("test", "raw", f"select count(*) from {table}")))


def said(server: ScriptedModel) -> Counter[str]:
    """How often each text was asked."""
    return Counter(str(one.body["messages"][0]["content"]) for one in server.chats)


# -- labels -----------------------------------------------------------------------------------------


async def test_each_line_has_its_own_label(house: House, ours: Scope) -> None:
    part = [{"type": "text", "text": "The plan.", "x_label": {"class": "restricted"}}]
    lines = [chat("plain", "Hello"), chat("mail", "Write to clara.weiss@example.org"), chat("part", "", content=part)]
    async with ScriptedModel("Yes.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await ended(house, ours, await begun(house, ours, *lines, label=Label(cls="internal")))
        assert "x_label" not in json.dumps([one.body for one in server.chats])
    answers = await lines_of(house, ours, batch.output_file)
    labels: list[Any] = [(await house.audit.receipt(ours, one["response"]["receipt"])).body["label"] for one in answers]
    assert [(one["class"], one["personal"]) for one in labels] == [
        ("internal", "none"),
        ("internal", "personal"),
        ("restricted", "none"),
    ], "its own, not that of the whole file"
    for id in (batch.input_file, batch.output_file):
        file = await house.batches.files.get(ours, str(id))
        assert (file.label.cls, file.label.personal) == ("restricted", "personal"), "the file's is that of all it holds"


async def test_an_answer_may_raise_the_label_of_the_output(house: House, ours: Scope) -> None:
    async with ScriptedModel("Ask clara.weiss@example.org.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await ended(house, ours, await begun(house, ours, chat("a", "Whom?")))
    assert (await house.batches.files.get(ours, batch.input_file)).label.personal == "none"
    assert (await house.batches.files.get(ours, str(batch.output_file))).label.personal == "personal"


async def test_every_wire_that_clients_speak_may_be_the_endpoint(house: House, ours: Scope) -> None:
    turn = [{"role": "user", "content": "Hello"}]
    bodies: dict[str, dict[str, Any]] = {
        CHATS: {"messages": turn},
        "/v1/responses": {"input": "Hello"},
        "/v1/messages": {"messages": turn, "max_tokens": 5},
        "/v1/completions": {"prompt": "Hello"},
        "/v1/embeddings": {"input": ["Hello"]},
    }
    async with ScriptedModel("Yes.") as server:
        able = ("chat", "embeddings")
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True, capabilities=able))
        made: list[Batch] = []
        for endpoint, body in bodies.items():
            line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"model": "ours", **body}}
            bad = {**line, "custom_id": "b", "body": {"model": "nowhere", **body}}
            file = await house.batches.files.add(ours, "calls.jsonl", jsonl(line, bad), label=PLAIN)
            made.append(await house.batches.create(ours, input_file=file.id, endpoint=endpoint, label=PLAIN))
        for batch in made:
            done = await ended(house, ours, batch)
            assert (done.status, done.answered, done.failed) == ("completed", 1, 1), done.endpoint
            assert done.tokens_in > 0, done.endpoint
            (answer,) = await lines_of(house, ours, done.output_file)
            assert "Yes." in json.dumps(answer["response"]["body"]) or done.endpoint == "/v1/embeddings"
            (error,) = await lines_of(house, ours, done.error_file)
            assert error["response"]["body"]["error"]["code"] == "inference.unknown_model"
            assert error["response"]["body"].get("type") == ("error" if done.endpoint == "/v1/messages" else None)


# -- time, and what was in the way ------------------------------------------------------------------


async def test_what_the_window_leaves_no_time_for_is_told(house: House, ours: Scope) -> None:
    def answer(asked: Asked) -> Says:
        return Says("Yes.", pause_s=30.0 if asked.body["messages"][0]["content"] == "slow" else 0.0)

    async with ScriptedModel(answer) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        await house.workflows.set_lane(ours, Lane(TYPE, paused=True))
        batch = await begun(house, ours, chat("a", "quick"), *(chat(f"s{n}", "slow") for n in range(20)))
        await run(house, ours, "update inference.batch set expires_at = now() + interval '1.5 seconds'")
        await house.workflows.set_lane(ours, Lane(TYPE))
        done = await ended(house, ours, batch)
        assert said(server)["slow"] <= 8
    assert (done.status, done.total, done.answered, done.failed) == ("expired", 21, 1, 20)
    errors = await lines_of(house, ours, done.error_file)
    assert [one["custom_id"] for one in errors] == [f"s{n}" for n in range(20)]
    assert {(one["response"], one["error"]["code"]) for one in errors} == {(None, "batch_expired")}
    assert [one["custom_id"] for one in await lines_of(house, ours, done.output_file)] == ["a"]


async def test_who_asks_to_wait_beyond_the_window_is_told_of_and_not_waited_for(house: House, ours: Scope) -> None:
    def answer(asked: Asked) -> Says | Fails:
        spent = asked.body["model"] == "spent"
        return Fails(429, "The quota of the day is used up.", {"Retry-After": "7200"}) if spent else Says("Yes.")

    async with ScriptedModel(answer) as server:
        for name in ("spent", "fresh"):
            await house.inference.add_model(ours, ModelSpec(name, server.url, local=True, upstream=name))
        await house.workflows.set_lane(ours, Lane(TYPE, paused=True))
        lines = [chat(f"s{n}", "x", model="spent") for n in range(30)]
        batch = await begun(house, ours, *lines, chat("a", "x", model="fresh"))
        await run(house, ours, "update inference.batch set expires_at = now() + interval '1 hour'")
        earliest = datetime.now(UTC) + timedelta(hours=2)
        await house.workflows.set_lane(ours, Lane(TYPE))
        done = await ended(house, ours, batch)
        assert sum(asked.body["model"] == "spent" for asked in server.chats) <= 8, "those that were out at once"
    assert (done.status, done.answered, done.failed) == ("expired", 1, 30)
    errors = await lines_of(house, ours, done.error_file)
    assert [one["custom_id"] for one in errors] == [line["custom_id"] for line in lines]
    assert {one["response"]["status_code"] for one in errors} == {429}
    refused = Counter(one["response"]["body"]["error"]["code"] for one in errors)
    assert refused.keys() <= {"inference.upstream_busy", "inference.upstream_paced"}, "asked, or not any more"
    assert refused["inference.upstream_busy"] == sum(asked.body["model"] == "spent" for asked in server.chats)
    for one in errors:
        assert one["error"]["code"] == "batch_expired"
        assert one["error"]["message"].startswith("The model's server asks to wait.")
        until = datetime.fromisoformat(re.search(r"again at (\S+Z)", one["error"]["message"])[1])  # type: ignore[index]
        assert timedelta(seconds=-2) < until - earliest < timedelta(seconds=90)


async def test_what_may_pass_is_asked_again(house: House, ours: Scope) -> None:
    tried: Counter[str] = Counter()

    def answer(asked: Asked) -> Says | Fails:
        text = asked.body["messages"][0]["content"]
        tried[text] += 1
        status = {"busy": 429, "away": 503, "wrong": 400}.get(text, 0)
        return Fails(status) if status and (tried[text] == 1 or status == 400) else Says("Yes.")

    async with ScriptedModel(answer) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await begun(house, ours, *(chat(text, text) for text in ("busy", "away", "wrong", "fine")))
        done = await ended(house, ours, batch)
    assert tried == {"busy": 2, "away": 2, "wrong": 1, "fine": 1}
    assert (done.status, done.answered, done.failed) == ("completed", 3, 1)


async def test_a_budget_bounds_a_batch_line_by_line(house: House, ours: Scope) -> None:
    async with ScriptedModel("Yes.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        await house.inference.accounts.set_budget(ours, of="tenant", tokens=0)
        done = await ended(house, ours, await begun(house, ours, chat("a", "x"), chat("b", "x")))
        assert server.chats == []
    errors = await lines_of(house, ours, done.error_file)
    assert {one["response"]["status_code"] for one in errors} == {402}
    assert {one["response"]["body"]["error"]["code"] for one in errors} == {"inference.budget_spent"}


# -- jobs -------------------------------------------------------------------------------------------


async def test_a_batch_whose_job_was_stopped_goes_on_when_that_is_begun_again(house: House, ours: Scope) -> None:
    held, free = asyncio.Event(), asyncio.Event()

    def answer(asked: Asked) -> Says:
        if asked.body["messages"][0]["content"] == "slow" and not free.is_set():
            held.set()
            return Says("Yes.", pause_s=30.0)
        return Says("Yes.")

    async with ScriptedModel(answer) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await begun(house, ours, *(chat(f"q{n}", f"quick {n}") for n in range(20)), chat("s", "slow"))
        async with asyncio.timeout(60):
            await held.wait()
            while (await house.batches.get(ours, batch.id)).answered < 20:
                await asyncio.sleep(0.02)
        await house.workflows.cancel(ours, batch.job)
        stopped = await house.batches.get(ours, batch.id)
        assert (stopped.status, stopped.answered) == ("cancelled", 20)
        first = stopped.output_file
        free.set()
        await house.workflows.retry(ours, batch.job)
        done = await ended(house, ours, batch)
        times = said(server)
    assert (done.status, done.answered, done.total) == ("completed", 21, 21)
    assert {text for text, times in times.items() if times > 1} == {"slow"}, "what was kept was not asked again"
    assert len(await lines_of(house, ours, done.output_file)) == 21
    with pytest.raises(UnknownFile):
        await house.batches.files.get(ours, str(first))


async def test_a_batch_is_the_house_s_own_kind_of_work(house: House, ours: Scope) -> None:
    reader = scope_of(ours.tenant, permissions=frozenset({"model:use", "work:read"}))
    file = await house.batches.files.add(reader, "a.jsonl", jsonl(chat("a", "x")), label=PLAIN)
    with pytest.raises(Forbidden):
        await house.batches.create(reader, input_file=file.id, endpoint=CHATS, label=PLAIN)
    with pytest.raises(Exception, match="dispatched by the house"):
        await house.workflows.dispatch(ours, Job(TYPE, {"batch": "batch_x"}))


# -- what is deleted --------------------------------------------------------------------------------


async def test_a_file_goes_when_its_days_are_over(house: House, ours: Scope, neighbour: Scope) -> None:
    async with ScriptedModel("Yes.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await ended(house, ours, await begun(house, ours, chat("a", "x"), keep_s=3600))
        young = await house.batches.files.add(ours, "young.jsonl", jsonl(chat("b", "x")), label=PLAIN)
    theirs = await house.batches.files.add(neighbour, "theirs.jsonl", jsonl(chat("a", "x")), label=PLAIN)
    await run(house, ours, "update inference.file set expires_at = now() where id <> %(id)s", id=young.id)
    for id in (batch.input_file, batch.output_file):
        with pytest.raises(UnknownFile):
            await house.batches.files.content(ours, str(id))
    assert [one.id for one in (await house.batches.files.list(ours)).items] == [young.id]
    assert await house.batches.sweep(ours) == 2
    assert (await count(house, ours, "inference.file"), await count(house, ours, "store.blob")) == (1, 1)
    assert await count(house, ours, "inference.batch_line") == 0
    assert (await house.batches.get(ours, batch.id)).status == "completed", "that it was is known for a while"
    await run(house, ours, "update inference.batch set ended_at = now() - interval '31 days'")
    await house.batches.sweep(ours)
    with pytest.raises(UnknownBatch):
        await house.batches.get(ours, batch.id)
    assert (await house.batches.files.get(neighbour, theirs.id)).bytes == theirs.bytes


async def test_what_a_batch_still_reads_is_not_swept_nor_deleted(house: House, ours: Scope) -> None:
    async with ScriptedModel("Yes.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        await house.workflows.set_lane(ours, Lane(TYPE, paused=True))
        batch = await begun(house, ours, chat("a", "x"))
        with pytest.raises(FileInUse):
            await house.batches.files.delete(ours, batch.input_file)
        await run(house, ours, "update inference.file set expires_at = now()")
        assert await house.batches.sweep(ours) == 0
        await house.workflows.set_lane(ours, Lane(TYPE))
        assert (await ended(house, ours, batch)).status == "completed"


async def test_a_batch_that_is_deleted_with_its_file_stops(house: House, ours: Scope) -> None:
    held = asyncio.Event()

    def answer(asked: Asked) -> Says:
        held.set()
        return Says("Yes.", pause_s=30.0)

    async with ScriptedModel(answer) as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        batch = await begun(house, ours, *(chat(f"n{n}", "x") for n in range(40)))
        async with asyncio.timeout(60):
            await held.wait()
        await house.batches.files.delete(ours, batch.input_file, derived=True)
        assert (await house.workflows.result(ours, batch.job, timeout_s=30)).status == "cancelled"
        assert len(server.chats) <= 8
    for table in ("inference.file", "inference.batch", "inference.batch_line", "store.blob"):
        assert await count(house, ours, table) == 0, table


async def test_a_person_is_erased_with_the_files_about_him(house: House, ours: Scope) -> None:
    async with ScriptedModel("Yes.") as server:
        await house.inference.add_model(ours, ModelSpec("ours", server.url, local=True))
        about = Label(subjects=frozenset({"person-17"}))
        batch = await ended(house, ours, await begun(house, ours, chat("a", "x"), label=about))
        other = await begun(house, ours, chat("b", "y"))
        await ended(house, ours, other)
    made = await house.workflows.dispatch(ours, Job("knowledge.erase", {"subject": "person-17"}))
    erased: Any = (await house.workflows.result(ours, made.id, timeout_s=60)).output
    assert erased["files"] == 2, "what was handed in, and what came of it"
    with pytest.raises(UnknownBatch):
        await house.batches.get(ours, batch.id)
    assert {one.id for one in (await house.batches.list(ours)).items} == {other.id}
    assert await count(house, ours, "inference.batch_line") == 1


# -- the lines of a file ----------------------------------------------------------------------------

LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b" ", b"{", b"null", b'{"custom_id":"a"}', b"\xff", b"[" * 2000]),
        st.binary(max_size=20).map(lambda some: some.replace(b"\n", b"")),
        st.text(max_size=8).map(lambda text: json.dumps(chat(text or "x", text)).encode()),
    ),
    max_size=12,
)


@given(LINES)
@example([b"\xef\xbb\xbf" + json.dumps(chat("bom", "x")).encode()])
def test_a_line_is_asked_as_it_came_or_told_by_its_number(given: list[bytes]) -> None:
    data = b"\n".join(given)
    lines, problems = read(data, CHATS)
    numbers = [problem["line"] for problem in problems if problem["line"] is not None]
    filled = [n for n, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1) if line.strip()]
    assert sorted([*lines.numbers, *numbers]) == filled, "none is passed over, none is told twice"
    if not problems:
        named = [(n, one.custom_id, json.loads(bytes(one.body))) for n, one in lines]
        split = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        assert named == [(n, json.loads(split[n - 1])["custom_id"], json.loads(split[n - 1])["body"]) for n in filled]
        assert len({name for _, name, _ in named}) == len(named)
        assert [lines.at(n).custom_id for n in reversed(filled)] == [name for _, name, _ in reversed(named)]
    declared(data)


def test_too_many_lines_and_too_many_bytes() -> None:
    whole = b"".join(json.dumps(chat(str(n), "x")).encode() + b"\n" for n in range(LINES_MAX + 1))
    _, problems = read(whole, CHATS)
    assert [one["code"] for one in problems] == ["too_many_requests"]
    lines, problems = read(whole[: whole.rindex(b"\n", 0, -1) + 1], CHATS)
    assert problems == []
    assert [n for n, _ in lines] == list(range(1, LINES_MAX + 1))


async def test_a_tenant_keeps_so_much_and_no_more_however_it_comes(house: House, ours: Scope, neighbour: Scope) -> None:
    files = Files(house.store, house.audit, house.workflows, bytes_max=1000)
    data = b" " * 399 + b"\n"

    async def add(scope: Scope = ours) -> str:
        return (await files.add(scope, "a.jsonl", data, label=PLAIN)).id

    found = await asyncio.gather(*(add() for _ in range(5)), return_exceptions=True)
    kept = [one for one in found if isinstance(one, str)]
    full = [one for one in found if isinstance(one, FilesFull)]
    assert (len(kept), len(full)) == (2, 3), "two that come at once do not both take what is left"
    assert (full[0].status, full[0].facts["bytes_kept"], full[0].facts["bytes_max"]) == (413, 800, 1000)
    await add(neighbour)
    await files.delete(ours, kept[0])
    await add()
    with pytest.raises(FilesFull):
        await add()


async def test_a_file_over_the_limit(house: House, ours: Scope) -> None:
    with pytest.raises(BatchFileTooLarge):
        await house.batches.files.add(ours, "a.jsonl", bytes(Batches.FILE_BYTES_MAX + 1), label=PLAIN)
