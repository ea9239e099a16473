"""Outgoing: what is written in one turn goes out at its end, in its order, and nothing of it is lost or said twice."""

from __future__ import annotations

import asyncio
from typing import cast

from bastide.egress import Outgoing


class Wire:
    """A transport that remembers."""

    def __init__(self, said: list[tuple[str, bytes]], name: str) -> None:
        self._said = said
        self._name = name
        self.closing = False

    def write(self, data: bytes) -> None:
        assert not self.closing, "nothing is written to a connection that is gone"
        self._said.append((self._name, data))

    def is_closing(self) -> bool:
        return self.closing


async def test_a_turn_s_writes_go_out_together_and_in_order() -> None:
    said: list[tuple[str, bytes]] = []
    one, other = (cast(asyncio.Transport, Wire(said, name)) for name in ("one", "other"))
    outgoing = Outgoing()
    outgoing.write(one, b"a")
    outgoing.write(other, b"b")
    outgoing.write(one, b"c")
    assert said == []
    await asyncio.sleep(0)
    assert said == [("one", b"a"), ("other", b"b"), ("one", b"c")]
    outgoing.write(other, b"d")
    await asyncio.sleep(0)
    assert said[3:] == [("other", b"d")], "the next turn has an end of its own"


async def test_who_cannot_wait_flushes_and_what_is_gone_is_left_out() -> None:
    said: list[tuple[str, bytes]] = []
    gone, one = Wire(said, "gone"), Wire(said, "one")
    outgoing = Outgoing()
    outgoing.write(cast(asyncio.Transport, one), b"a")
    outgoing.write(cast(asyncio.Transport, gone), b"b")
    gone.closing = True
    outgoing.flush()
    assert said == [("one", b"a")]
    await asyncio.sleep(0)
    assert said == [("one", b"a")], "once"
