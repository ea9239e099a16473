"""Reading JSON with suspicion: no NUL, no half characters, no NaN, no endless nesting."""

from __future__ import annotations

import json
from typing import Any

from bastide.errors import BadRequest

DEPTH_MAX = 64
"""How deep objects and lists of a request may be nested."""


def parse(body: bytes) -> Any:
    """The value that `body` spells. Raises BadRequest, saying where it goes wrong."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except json.JSONDecodeError as fault:
        raise BadRequest(f"The body is not JSON: {fault.msg} at character {fault.pos}.") from fault
    except UnicodeDecodeError as fault:
        raise BadRequest(f"The body is not UTF-8: byte {fault.start} cannot be read.") from fault
    except RecursionError as fault:
        raise BadRequest(f"The body is nested deeper than {DEPTH_MAX} levels.") from fault
    except ValueError as fault:
        raise BadRequest(f"The body is not JSON: {fault}.") from fault
    check(value)
    return value


def check(value: Any) -> None:
    """Refuse text that no database and no model takes, and nesting that nobody means."""
    level = [value]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                check_text(item)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
        if not below:
            return
        level = below
    raise BadRequest(f"The body is nested deeper than {DEPTH_MAX} levels.")


def check_text(text: str) -> str:
    """The text itself. Raises BadRequest for a NUL character or half of a character pair."""
    if "\0" in text:
        raise BadRequest("The request holds a NUL character.", next_step="Remove the NUL character from the text.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            raise BadRequest(
                "The request holds half of a surrogate pair.", next_step="Send the text as well-formed Unicode."
            ) from fault
    return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")
