"""Reading what servers answer: what is missing is nothing, what is of another type is garbage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bastide.errors import UpstreamGarbage

_TOKENS_MAX = 1_000_000_000_000


def object_of(found: Any) -> Mapping[str, Any]:
    """An object. Raises UpstreamGarbage for anything else."""
    if isinstance(found, Mapping):
        return found
    raise UpstreamGarbage("A part of the answer is not the object that it should be.")


def table_of(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An inner object; empty where there is none. Raises UpstreamGarbage."""
    found = raw.get(name)
    return {} if found is None else object_of(found)


def list_of(raw: Mapping[str, Any], name: str) -> list[Any]:
    """A list; empty where there is none. Raises UpstreamGarbage."""
    found = raw.get(name)
    if found is None:
        return []
    if type(found) is not list:
        raise UpstreamGarbage(f"`{name}` of the answer is no list.")
    return found


def text_of(raw: Mapping[str, Any], name: str) -> str:
    """A text; empty where there is none. Raises UpstreamGarbage."""
    found = raw.get(name)
    if found is None:
        return ""
    if type(found) is not str:
        raise UpstreamGarbage(f"`{name}` of the answer is no text.")
    return found


def number(raw: Mapping[str, Any], name: str) -> int | None:
    """A number of tokens or the like; None where there is none that can be meant."""
    found = raw.get(name)
    if type(found) is float and found.is_integer():
        found = int(found)
    return found if type(found) is int and 0 <= found < _TOKENS_MAX else None


def score(found: Any) -> float:
    """How likely something was; nothing is certain."""
    return float(found) if type(found) in {int, float} else 0.0
