"""What is found in a request raises its label: the receipt shows it, and who may not have it does not get it."""

from __future__ import annotations

from typing import Any

import pytest

from bastide.inference import ModelSpec
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
