"""The seals of reasonings, carried through a client that speaks another format than their maker.

A seal of the format's own maker stands as it is; another's stands with its maker's name before it.
"""

from __future__ import annotations

from typing import Final

from bastide.inference.wires.values import Reasoning

_MAKERS: Final = ("messages", "gemini", "responses")
_REDACTED: Final = "redacted"


def marked(part: Reasoning, wire: str) -> str:
    """The seal as a client of `wire` keeps it."""
    if not part.maker or part.maker == wire:
        return part.seal
    return f"{_REDACTED if part.redacted else part.maker}:{part.seal}"


def unmarked(text: str, seal: str, wire: str, *, id: str = "", redacted: bool = False) -> Reasoning:
    """The reasoning that a client of `wire` kept with this seal."""
    maker, colon, rest = seal.partition(":")
    if colon and maker == _REDACTED:
        return Reasoning(text, rest, "messages", id, redacted=True)
    if colon and maker in _MAKERS:
        return Reasoning(text, rest, maker, id)
    return Reasoning(text, seal, wire if seal else "", id, redacted=redacted)
