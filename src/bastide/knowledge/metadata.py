"""Metadata: what is said of a document beside its label: `{"kind": "lease", "year": 2024, "parties": ["A", "B"]}`.

It is kept twice: whole with the document, to be shown, and as one row a value, to be found. Row security lets no
operator on jsonb use an index, and comparisons of texts and numbers it does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bastide.audit import Audit, JsonValue
from bastide.errors import BadOption
from bastide.policy import Label
from bastide.store import Db, Json, queries

KEYS_MAX = 64
VALUES_MAX = 100
VALUE_CHARACTERS_MAX = 400
BYTES_MAX = 16 * 1024
CONDITIONS_MAX = 16

Scalar = str | int | float | bool
Metadata = dict[str, Any]
"""By key a scalar, or a list of scalars."""

_Q = queries("bastide.knowledge")
_GET, _SET, _FORGET, _ADD = _Q["metadata_of"], _Q["set_metadata"], _Q["forget_metadata_rows"], _Q["add_metadata_rows"]

_KEY = re.compile(r"[^\W\d_][\w .:/-]{0,63}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_WHOLE_MAX = 2**53  # beyond, two whole numbers may be one number
_TEXT, _NEXT = "s", "t"  # all words of texts begin with the first, so they end before the second
_JUST_ABOVE = "\x01"  # no value holds it, so nothing stands between a text and the text with it
_RANGE = frozenset({"gt", "gte", "lt", "lte"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a document's metadata must meet under `key`: one of `words`, or a range of texts (`low` to below
    `high`) or of numbers (`least` to `most`), or that the key is there; with `absent`, that it is not."""

    key: str
    words: tuple[str, ...] = ()
    texts: tuple[str, str] | None = None
    numbers: tuple[float, float] | None = None
    absent: bool = False


# -- what may be said -------------------------------------------------------------------------------


def checked(wire: object, *, dropping: bool = False) -> Metadata:
    """Metadata as it came, each key and value looked at; with `dropping`, null takes a key away.

    Raises BadOption, which names the key.
    """
    if not isinstance(wire, Mapping):
        raise BadOption('Metadata is a JSON object such as {"kind": "lease", "year": 2024}.', option="metadata")
    found: Metadata = {}
    for key, value in wire.items():
        name = _key(key)
        if value is None and dropping:
            found[name] = None
        elif isinstance(value, list | tuple):
            if len(value) > VALUES_MAX:
                raise BadOption(f"metadata.{name} has more than {VALUES_MAX} values.", option=f"metadata.{name}")
            found[name] = [_scalar(name, one) for one in value]
        else:
            found[name] = _scalar(name, value)
    _bounded(found)
    return found


def _key(key: object) -> str:
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key != key.rstrip():
        raise BadOption(
            "A key of metadata has 1 to 64 letters, digits, spaces and . : / _ -, and begins with a letter.",
            option="metadata",
        )
    return key


def _scalar(key: str, value: object) -> Scalar:
    if isinstance(value, str):
        if len(value) <= VALUE_CHARACTERS_MAX and not _UNPRINTABLE.search(value):
            return value
        raise BadOption(
            f"metadata.{key} is a text of at most {VALUE_CHARACTERS_MAX} printable characters.",
            option=f"metadata.{key}",
        )
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= _WHOLE_MAX):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise BadOption(
        f"metadata.{key} is a text, a number below 2^53, true or false, or a list of these.", option=f"metadata.{key}"
    )


def _bounded(found: Metadata) -> None:
    if len(found) > KEYS_MAX or len(json.dumps(found, ensure_ascii=False).encode()) > BYTES_MAX:
        raise BadOption(
            f"A document's metadata has at most {KEYS_MAX} keys and {BYTES_MAX // 1024} KiB.", option="metadata"
        )


# -- what is written --------------------------------------------------------------------------------


async def describe(db: Db, number: int, change: Mapping[str, Any] | None) -> list[str]:
    """Change a document's metadata, the rest stays; the keys that are not as they were. Raises BadOption beyond bounds.

    The document's row is locked by who calls.
    """
    if not change:
        return []
    before: Metadata = await db.value(_GET, document=number)
    after = {key: value for key, value in {**before, **change}.items() if value is not None}
    changed = sorted(key for key in before.keys() | after.keys() if not _same(before.get(key), after.get(key)))
    if changed:
        _bounded(after)
        rows = list(dict.fromkeys(_rows(after)))
        await db.run(_SET, document=number, metadata=Json(after))
        await db.run(_FORGET, document=number)
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        await db.run(_ADD, document=number, **dict(zip(("keys", "words", "numbers"), columns, strict=True)))
    return changed


async def described(
    db: Db, audit: Audit, number: int, change: Mapping[str, Any] | None, *, id: str, label: Label, reason: str
) -> None:
    """The same, recorded: which keys were changed, and not to what."""
    keys = await describe(db, number, change)
    if keys:
        details = {"keys": cast("JsonValue", keys), "reason": reason}
        await audit.record(db, "document.describe", resource=id, subjects=sorted(label.subjects), details=details)


def _same(one: object, other: object) -> bool:
    return json.dumps(one) == json.dumps(other)  # 1, 1.0 and true are equal in Python, and are not the same here


def _rows(found: Metadata) -> Iterator[tuple[str, str, float | None]]:
    for key, value in found.items():
        for one in value if isinstance(value, list) else [value]:
            yield key, _word(one), float(one) if isinstance(one, int | float) and not isinstance(one, bool) else None


def _word(value: Scalar) -> str:
    """A value as it is compared: equal values are equal words, and words of texts stand in the order of the texts."""
    if isinstance(value, str):
        return _TEXT + value
    if isinstance(value, bool):
        return f"b{value}"
    return f"n{float(value)!r}" if value else "n0.0"


# -- what is asked ----------------------------------------------------------------------------------


def conditions(wire: object) -> tuple[Condition, ...]:
    """The filter `metadata`: by key a value, a list of which one must be there, or an object of operators: `eq`, `any`,
    `gt`, `gte`, `lt`, `lte`, `exists`. All must hold. Raises BadOption."""
    if not isinstance(wire, Mapping) or len(wire) > CONDITIONS_MAX:
        raise BadOption(
            f"The filter metadata is an object of at most {CONDITIONS_MAX} keys.", option="filters.metadata"
        )
    return tuple(one for key, asked in wire.items() for one in _asked(_key(key), asked))


def _asked(key: str, asked: object) -> Iterator[Condition]:
    if not isinstance(asked, Mapping):
        yield _any(key, asked)
        return
    unknown = set(asked) - _RANGE - {"eq", "any", "exists"}
    if unknown or not asked:
        raise BadOption(
            f"The filter on metadata.{key} knows eq, any, gt, gte, lt, lte, exists.", option=f"filters.metadata.{key}"
        )
    for word in {"eq", "any"} & set(asked):
        yield _any(key, asked[word])
    if "exists" in asked:
        if not isinstance(asked["exists"], bool):
            raise BadOption("exists is true or false.", option=f"filters.metadata.{key}")
        yield Condition(key, absent=not asked["exists"])
    bounds = {word: _scalar(key, asked[word]) for word in _RANGE & set(asked)}
    if bounds:
        yield _between(key, bounds)


def _any(key: str, asked: object) -> Condition:
    values = asked if isinstance(asked, list | tuple) else [asked]
    if not values or len(values) > VALUES_MAX:
        raise BadOption(f"The filter on metadata.{key} has 1 to {VALUES_MAX} values.", option=f"filters.metadata.{key}")
    return Condition(key, words=tuple(_word(_scalar(key, one)) for one in values))


def _between(key: str, bounds: Mapping[str, Scalar]) -> Condition:
    if all(isinstance(one, str) for one in bounds.values()):
        lows = [_TEXT + str(bounds["gte"])] if "gte" in bounds else []
        lows += [f"{_TEXT}{bounds['gt']}{_JUST_ABOVE}"] if "gt" in bounds else []
        highs = [_TEXT + str(bounds["lt"])] if "lt" in bounds else []
        highs += [f"{_TEXT}{bounds['lte']}{_JUST_ABOVE}"] if "lte" in bounds else []
        return Condition(key, texts=(max(lows, default=_TEXT), min(highs, default=_NEXT)))
    if any(isinstance(one, str | bool) for one in bounds.values()):
        raise BadOption("A range is from text to text, or from number to number.", option=f"filters.metadata.{key}")
    numbers = {word: float(one) for word, one in bounds.items()}
    least = [numbers["gte"]] if "gte" in numbers else []
    least += [math.nextafter(numbers["gt"], math.inf)] if "gt" in numbers else []
    most = [numbers["lte"]] if "lte" in numbers else []
    most += [math.nextafter(numbers["lt"], -math.inf)] if "lt" in numbers else []
    return Condition(key, numbers=(max(least, default=-math.inf), min(most, default=math.inf)))


def columns(asked: Sequence[Condition]) -> dict[str, Any]:
    """Conditions as the query takes them: one row for each way to meet one, `places` saying which one it is."""
    rows: list[tuple[int, str, str | None, str | None, str | None, float | None, float | None]] = []
    wanted = [one for one in asked if not one.absent]
    for place, one in enumerate(wanted):
        low, high = one.texts or (None, None)
        least, most = one.numbers or (None, None)
        rows += [(place, one.key, word, low, high, least, most) for word in one.words or (None,)]
    names = ("places", "keys", "words", "lows", "highs", "leasts", "mosts")
    by_name = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    return {
        **dict(zip(names, by_name, strict=True)),
        "wanted": len(wanted),
        "absent": [one.key for one in asked if one.absent],
    }
