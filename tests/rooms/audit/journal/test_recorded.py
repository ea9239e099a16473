"""What a call left is in the log exactly once, and proves itself."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rooms.audit.conftest import Logged, facts, somebody

from bastide.audit import Journal, canonical, verify_file
from bastide.audit.composing import Composer
from bastide.audit.entries import Common, Noted, Who
from bastide.audit.leaf import Pseudonyms, compose, derive, pseudonym
from bastide.audit.packing import Packer, unpacked
from bastide.audit.receipts import body_of, evidence_of
from bastide.errors import BlobDamaged, UnknownReceipt
from bastide.store import Query, TenantKeys, new_id
from bastide.store.db import Db

from .journals import IN, OUT, call, carried, made, recorded

PACKED_1 = "0128b52ffd2051b50000383031347d5d7d7d0400c01065f30c68cf383a2fe720"


async def test_a_receipt_of_a_call_proves_itself_offline(logged: Logged, tmp_path: Path) -> None:
    ours, neighbour = somebody(), somebody()
    id = made(logged.audit.journal, ours, resource="doc_1", subjects=["anna"])
    receipt = await logged.audit.receipt(ours, id)  # asked for at once: it is waited for
    wire = receipt.to_wire()
    assert (wire["outcome"], wire["tokens"], wire["estimated"]) == ("done", {"input": 7, "output": 6}, False)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(wire))
    found = verify_file(file, logged.home / "log.vkey")
    assert found.valid, found.problems
    assert await logged.audit.matches(ours, id, input=IN, output=OUT)
    assert not await logged.audit.matches(ours, id, output=OUT + b" ")
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(neighbour, id)
    async with logged.store.under(ours) as db:
        assert await logged.audit.forget(db, "anna") == 1
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(ours, id)
    assert (await logged.audit.verify()).valid


async def test_many_calls_of_many_tenants_come_in_their_order_and_once(logged: Logged, either: Journal) -> None:
    journal = either
    tenants = [somebody() for _ in range(3)]
    said = call()
    expected = {scope.tenant: [made(journal, scope, said) for _ in range(400)] for scope in tenants}
    await carried(journal)
    for scope in tenants:
        assert await recorded(logged, scope) == expected[scope.tenant]
    found = await logged.audit.verify()
    assert found.valid, found.problems


@pytest.mark.parametrize("calls", [511, 512, 513, 1024])
async def test_calls_that_just_fill_their_frames_are_carried_to_the_last(
    logged: Logged, either: Journal, calls: int
) -> None:
    ours, said = somebody(), call()
    ids = [made(either, ours, said) for _ in range(calls)]
    await carried(either)
    assert await recorded(logged, ours) == ids


async def test_a_long_answer_is_committed_to_as_a_short_one(logged: Logged) -> None:
    ours = somebody()
    entry = logged.audit.journal.begin(ours)
    piece = os.urandom(50_000)
    for _ in range(20):
        entry.output(piece)
    entry.close(call())
    assert await logged.audit.matches(ours, entry.id, input=b"", output=piece * 20)


async def test_what_went_in_is_committed_to_while_a_call_runs_and_when_it_has_just_ended(
    logged: Logged, journal: Journal
) -> None:
    entry = journal.begin(somebody())
    entry.input(IN)
    before = entry.committed_input()
    entry.output(OUT)
    entry.close(call())  # the thread may ask for a call that was noted as begun a moment later
    assert entry.committed_input() == before == entry.sides[0]


TEXT = st.text(max_size=20)
JSON = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-9, 9) | TEXT, max_size=3)


@settings(max_examples=60)
@given(
    model=TEXT, decision=JSON, label=JSON, tls=st.none() | JSON, place=TEXT, subjects=st.lists(TEXT, max_size=3),
    rules=st.lists(st.sampled_from(["R01", "R04", "a rule with a name"]), max_size=3), estimated=st.booleans(),
    t=st.integers(0, 4_000_000_000_000),
)  # fmt: skip
def test_what_is_composed_quickly_is_what_recording_composes(
    model: str, decision: Any, label: Any, tls: Any, place: str, subjects: list[str], rules: list[str],
    estimated: bool, t: int,
) -> None:  # fmt: skip
    decision = {**decision, "rules": [{"id": one, "ok": one == "R01"} for one in rules], "policy": place}
    endpoint = {"id": place, "record": "sha256:ab"}
    secret, tenant, id = os.urandom(32), new_id("ten"), new_id("rcp")
    keys, when = TenantKeys.of(tenant, b"k" * 32), datetime.fromtimestamp(t / 1000, UTC)
    spelled = [canonical(one).decode() for one in (decision, label, endpoint, tls)]
    noted = Noted(
        id, Who(tenant, "usr_1", "app_1"), Common("inference", model, "attested", *spelled), secret,
        commit_of(secret, "input", IN), commit_of(secret, "output", OUT), 1, 2, estimated, t, t, "done", model,
        subjects,
    )  # fmt: skip
    row = Composer().row(noted, keys)
    whole = facts(
        decision=decision, label=label, endpoint=endpoint, tls=tls, model=model, tokens_in=1, tokens_out=2,
        assurance="attested", started=when, ended=when,
    )  # fmt: skip
    body = {**body_of(whole, id=id, t=t, outcome="done", secret=secret), "estimated": estimated}
    opened = keys.unseal(row.sealed, f"audit.payload|{id}")
    assert opened[:32] == secret
    payload = unpacked(opened[32:])
    content = json.loads(payload)
    assert canonical(content["receipt"]) == canonical(body)
    assert canonical(body) in payload
    slow = json.loads(
        compose(
            id=id, act="inference", outcome="done", t=t, subjects=subjects, payload=payload, secret=secret,
            who=Pseudonyms(
                pseudonym(keys.keyed(b"", "audit tenant")),
                pseudonym(keys.keyed(b"usr_1", "audit actor")),
                pseudonym(keys.keyed(b"app_1", "audit app")),
                pseudonym(keys.keyed(model.encode(), "audit resource")) if model else "",
            ),
            evidence=evidence_of(body, whole, secret),
        )
    )  # fmt: skip
    quick = json.loads(row.body)
    assert row.body.isascii()
    assert "\n" not in row.body
    assert row.body.count('"log":{}') == 1, "the sequencer puts its place there"
    assert {**quick, "nonce": ""} == {**slow, "nonce": ""}


def commit_of(secret: bytes, side: str, content: bytes) -> bytes:
    return hmac.digest(derive(secret, side), content, "sha256")


async def test_what_the_log_cannot_take_holds_up_nothing(logged: Logged, journal: Journal) -> None:
    ours = somebody()
    made(journal, ours, call(assurance="sworn"))
    made(journal, ours, outcome="A Sentence!")
    good = made(journal, ours)
    await carried(journal)
    assert await recorded(logged, ours) == [good]


@given(st.binary(max_size=3000).map(lambda raw: b"{" + raw))
def test_what_is_packed_is_unpacked(payload: bytes) -> None:
    assert unpacked(Packer()(payload)) == payload == unpacked(payload)


def test_what_earlier_versions_packed_can_be_read() -> None:
    packed = bytes.fromhex(PACKED_1)
    assert unpacked(packed) == b'{"actor":"usr_01","receipt":{"act":"inference","rules":[{"id":"R04","ok":true}]}}'
    assert len(packed) < 60, "it refers to the vocabulary, whose letters must stay as they are"


@pytest.mark.parametrize("content", [b"", b"\x01", b"\x01{}", b"\xff(\xb5/\xfd", b"[]"])
def test_what_is_not_packed_rightly_is_named(content: bytes) -> None:
    with pytest.raises(BlobDamaged):
        unpacked(content)


async def test_a_receipt_from_before_it_was_packed_proves_itself(
    logged: Logged, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, sizes = somebody(), []
    for packed in (bytes, Packer()):
        monkeypatch.setattr(journal._composer, "_packed", packed)
        id = made(journal, ours)
        await carried(journal)
        assert (await logged.audit.receipt(ours, id)).body["outcome"] == "done"
        assert await logged.audit.matches(ours, id, input=IN, output=OUT)
        sizes.append(await logged.value(f"select length(sealed) from audit.payload where id = '{id}'"))
    assert sizes[1] < sizes[0] - 300, "nothing of it is packed, and then nearly all"


async def test_ones_own_call_needs_no_permission(logged: Logged) -> None:
    ours = somebody(permissions=frozenset())
    id = made(logged.audit.journal, ours)
    assert (await logged.audit.receipt(ours, id)).proof
    with pytest.raises(UnknownReceipt):
        await logged.audit.receipt(replace(ours, user=new_id("usr")), id)


async def test_a_receipt_that_arrives_between_two_looks_is_not_called_erased(
    logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt and its place in the log are committed together, and looked for one after the other."""
    scope, looks = somebody(), 0
    entry = logged.audit.journal.begin(scope)
    plain = Db.value

    async def value(self: Db, query: Query, **values: Any) -> Any:
        nonlocal looks
        found = await plain(self, query, **values)
        if values.get("id") == entry.id:
            looks += 1
            if looks == 1:
                assert found is None
                entry.close(call())
                while entry.id not in await recorded(logged, scope):
                    await asyncio.sleep(0.01)
        return found

    monkeypatch.setattr(Db, "value", value)
    async with asyncio.timeout(60):
        assert (await logged.audit.receipt(scope, entry.id)).id == entry.id
    assert looks > 1
