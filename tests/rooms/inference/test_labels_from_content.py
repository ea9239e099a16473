"""What is found in a request raises its label: the receipt shows it, and who may not have it does not get it."""

from __future__ import annotations

from typing import Any

import pytest

from bastide.errors import BastideError, NoPermittedModel
from bastide.inference import ChatRequest, Message, ModelSpec
from bastide.policy import Label
from bastide.store import Scope
from bastide.testing import ScriptedModel

from .conftest import Rooms
from .test_gateway import add, call, scope

__all__ = ["scope"]

MAIL = "Write to ada@example.eu about DE89 3704 0044 0532 0130 00."


def asking(content: str, model: str = "ours") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("content", "said", "shown"),
    [
        (MAIL, "none", "personal"),
        (MAIL, "pseudonymised", "personal"),
        (MAIL, "special", "special"),
        ("The lease ends on 2027-06-30, see no. 2026-11-0012345.", "none", "none"),
        ("The lease ends in June.", "pseudonymised", "pseudonymised"),
    ],
)
async def test_the_receipt_shows_the_label_that_the_content_wants(
    rooms: Rooms, scope: Scope, content: str, said: str, shown: str
) -> None:
    async with ScriptedModel("Here.") as server:
        await add(rooms, scope, server)
        taken = await call(rooms, scope, asking(content), label=Label(personal=said))
    receipt = await rooms.audit.receipt(scope, taken.headers["x-bastide-receipt"])
    assert receipt.body["label"]["personal"] == shown  # type: ignore[call-overload, index]


async def test_who_may_have_no_personal_data_does_not_get_any_and_the_refusal_says_why(
    rooms: Rooms, scope: Scope
) -> None:
    await rooms.inference.add_model(scope, ModelSpec("far", provider="test/foreign"))
    let_go = await call(rooms, scope, asking("hello", "far"))
    assert let_go.json["error"]["code"].startswith("egress."), "allowed, and then nobody was there"
    refused = await call(rooms, scope, asking(MAIL, "far"))
    plain = await call(rooms, scope, asking("hello", "far"), label=Label(personal="personal"))
    assert (refused.status, plain.status) == (409, 409)
    error = refused.json["error"]
    assert error["code"] == "inference.no_permitted_model"
    assert error["found"] == ["email", "iban"]
    assert "(email, iban)" in error["message"]
    assert b"ada@" not in refused.body
    assert b"3704" not in refused.body
    assert "found" not in plain.json["error"], "nothing was found, the caller said so"


@pytest.mark.parametrize(("text", "shown"), [(MAIL, "personal"), ("The lease ends in June.", "none")])
async def test_what_the_house_asks_for_itself_is_looked_into_as_well(
    rooms: Rooms, scope: Scope, text: str, shown: str
) -> None:
    inference = rooms.inference
    async with ScriptedModel("Here.") as server:
        able = ("chat", "embeddings", "rerank")
        await inference.add_model(scope, ModelSpec("ours", server.url, local=True, capabilities=able))
        call = Message("assistant", "", {"tool_calls": [{"function": {"name": "note", "arguments": text}}]})
        said = ChatRequest((Message("user", text),), "ours")
        receipts = [
            (await inference.chat(scope, said, label=Label())).receipt,
            (
                await inference.chat(scope, ChatRequest((call, Message("user", "Go on.")), "ours"), label=Label())
            ).receipt,
            [piece async for piece in inference.stream_chat(scope, said, label=Label())][-1].receipt,
            (await inference.embed(scope, ["hello", text], label=Label(), model="ours")).receipt,
            (await inference.rerank(scope, "lease", ["hello", text], label=Label(), model="ours")).receipt,
            (await inference.answer_extractively(scope, "Whom?", [text], label=Label())).receipt,
        ]
    labels: list[Any] = [(await rooms.audit.receipt(scope, one)).body["label"] for one in receipts]
    assert [one["personal"] for one in labels] == [shown] * len(receipts)


async def test_the_house_sends_nobody_personal_data_who_may_have_none(rooms: Rooms, scope: Scope) -> None:
    await rooms.inference.add_model(scope, ModelSpec("far", provider="test/foreign"))
    with pytest.raises(NoPermittedModel):
        await rooms.inference.chat(scope, ChatRequest((Message("user", MAIL),), "far"), label=Label())
    with pytest.raises(BastideError) as away:
        await rooms.inference.chat(scope, ChatRequest((Message("user", "hello"),), "far"), label=Label())
    assert away.value.code.startswith("egress."), "allowed, and then nobody was there"
