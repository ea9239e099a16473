"""Canonical JSON (RFC 8785): one value, one spelling, so that it can be signed and compared.

Keys are sorted by their UTF-16 code units, numbers are written as ECMAScript writes them, and nothing
that another reader could take differently (a key twice, NaN, half a surrogate pair) is accepted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from bastide.audit.merkle import NotProven

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

_DEPTH_MAX = 64
_EXACT = 2**53


def canonical(value: JsonValue) -> bytes:
    """`value` in its one spelling.

    Raises ValueError for what JSON cannot carry exactly: NaN, an integer that no double is, half a surrogate pair.
    """
    return _write(value, 0).encode("utf-8")


def _write(value: JsonValue, depth: int) -> str:
    if depth > _DEPTH_MAX:
        raise ValueError("nested too deeply")
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value) if abs(value) <= _EXACT else _large(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not a text")
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        inside = ",".join(f"{json.dumps(key, ensure_ascii=False)}:{_write(value[key], depth + 1)}" for key in keys)
        return "{" + inside + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_write(one, depth + 1) for one in value) + "]"
    raise ValueError(f"{type(value).__name__} is not JSON")


def _large(value: int) -> str:
    """An integer beyond 2**53, which JSON carries only where a double does."""
    if value.bit_length() > 1023 or int(float(value)) != value:
        raise ValueError("a large integer is not exact in JSON: write it as a text")
    return _number(float(value))


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it (RFC 8785, section 3.2.2.3)."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not JSON")
    if value == 0:
        return "0"
    sign, text = ("-", repr(-value)) if value < 0 else ("", repr(value))
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        body = digits.ljust(point, "0")
        return sign + body[:point] + ("." + body[point:] if len(body) > point else "")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + ("." + digits[1:] if len(digits) > 1 else "") + tail


def parse_json(text: str | bytes) -> JsonValue:
    """JSON that has one meaning only. Raises NotProven."""
    try:
        found: JsonValue = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole)
    except (ValueError, RecursionError) as fault:
        raise NotProven(f"this is not JSON: {fault}"[:200]) from fault
    return found


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _whole(digits: str) -> int | float:
    # To the standard every number is a double: 9007199254740994 may be one that was written without its point.
    if len(digits) < 16:
        return int(digits)
    if math.isinf(found := float(digits)):
        raise ValueError("a number is too large")
    return found


def _refuse(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")
