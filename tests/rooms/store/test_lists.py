"""Lists written at once arrive as those that the driver writes element by element."""

from __future__ import annotations

import math
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bastide.store import Query, Scope, Store

_KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bigint[]": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "double precision[]": st.floats() | st.none(),
    "text[]": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.none(),
    "bytea[]": st.binary() | st.none(),
    "boolean[]": st.booleans() | st.none(),
}


def _asked(type: str) -> Query:
    return Query("test", type, f"select %(values)s::{type}")


@pytest.mark.parametrize("type", _KINDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
async def test_a_list_arrives_as_it_was_sent(store: Store, ours: Scope, type: str, data: st.DataObject) -> None:
    sent = data.draw(st.lists(_KINDS[type], max_size=20))
    async with store.under(ours) as db:
        came = await db.value(_asked(type), values=sent)
        ((packed,),) = await db.packed(_asked(type), values=sent)
    for what in (came, packed):
        assert len(what) == len(sent)
        assert all(
            one == other or (math.isnan(one) and math.isnan(other)) for one, other in zip(what, sent, strict=True)
        )


@pytest.mark.parametrize("sent", [['"', "\\", "{}", "NULL", "null", "", ",", " a ", "\n", "é", '\\"x'], ["null"], [""]])
async def test_marks_of_the_notation_are_text_like_any_other(store: Store, ours: Scope, sent: list[str]) -> None:
    async with store.under(ours) as db:
        assert await db.value(_asked("text[]"), values=sent) == sent


async def test_a_list_written_into_the_statement_itself_arrives_too(store: Store, ours: Scope) -> None:
    sent = ["it's", 'a "list"', "\\'; select 1"]
    assert await store.ask(ours, tuple, _asked("text[]"), values=sent) == [(sent,)]


@pytest.mark.parametrize("sent", [["a\0b"], ["a", 1], [[1, 2], [3]]])
async def test_what_the_database_does_not_take_is_refused_as_before(store: Store, ours: Scope, sent: list[Any]) -> None:
    with pytest.raises(psycopg.DataError):
        async with store.under(ours) as db:
            await db.value(_asked("text[]"), values=sent)
