"""JSON and lines of JSON: structure as sections, keys kept beside their values, alike records as tables."""

import json
from typing import cast

from bastide.errors import FileTooLarge
from bastide.knowledge.reading.blocks import Block, Draft
from bastide.knowledge.reading.decoding import decode, hold
from bastide.knowledge.reading.plain import plain_blocks
from bastide.knowledge.reading.rows import Field, row
from bastide.knowledge.reading.values import Limits

_DEEPEST = 6
"""Sections within sections; deeper keys are told by their path."""
_NESTED_MAX = 200
_NAMING = ("title", "name", "heading", "head", "label", "id", "@id")
_COLUMNS_MAX = 50


class Object(list[tuple[str, "Value"]]):
    """The pairs of a JSON object as they stand: a key may come twice."""


Value = Object | list["Value"] | str | bool | None
"""Numbers are kept as they are written."""


def read_json(data: bytes, limits: Limits) -> Draft:
    """The blocks of a JSON text; one that is none, or is cut off, is read as plain text, and that is told."""
    draft = Draft([])
    text = hold(decode(data, draft.problems), limits)
    try:
        value = _parsed(text)
    except ValueError:
        return read_ndjson(data, limits)
    except RecursionError as error:
        raise _too_deep() from error
    _Walk(draft, limits).value(value, "", 0)
    return draft


def read_ndjson(data: bytes, limits: Limits) -> Draft:
    """The blocks of a text with one JSON value on each line."""
    draft = Draft([])
    text = hold(decode(data, draft.problems), limits)
    values: list[Value] = []
    wrong = 0
    for line in filter(str.strip, text.split("\n")):
        try:
            values.append(_parsed(line))
        except ValueError:
            wrong += 1
        except RecursionError as error:
            raise _too_deep() from error
        if wrong:
            draft.problems.append("this is not valid JSON; read as plain text")
            draft.blocks = plain_blocks(text)
            return draft
    _Walk(draft, limits).value(values, "", 0)
    return draft


def _parsed(text: str) -> Value:
    return cast(
        Value,
        json.loads(
            text,
            object_pairs_hook=Object,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        ),
    )


def _too_deep() -> FileTooLarge:
    return FileTooLarge(
        "Its values are nested too deeply to be read.", next_step="Send the part that matters as text or as a table."
    )


class _Walk:
    def __init__(self, draft: Draft, limits: Limits) -> None:
        self._draft = draft
        self._limits = limits
        self._tables = 0

    def value(self, value: Value, key: str, depth: int) -> None:
        """One value, its key known; a long structure of small ones becomes a table."""
        if depth > _NESTED_MAX:
            raise _too_deep()
        if isinstance(value, Object):
            self._object(value, key, depth)
        elif isinstance(value, list):
            self._list(cast(list[Value], value), key, depth)
        else:
            self._add(Block("paragraph", _pair(key, value)))

    def _object(self, pairs: Object, key: str, depth: int) -> None:
        path = key if depth > _DEEPEST else ""
        for name, value in pairs:
            inner = f"{path}.{name}" if path else name
            if _plain(value):
                self._add(Block("paragraph", _pair(inner, value)))
            elif depth >= _DEEPEST or not value:
                self.value(value, inner, depth + 1)
            else:
                self._add(Block("heading", inner, level=depth + 1))
                self.value(value, inner, depth + 1)

    def _list(self, values: list[Value], key: str, depth: int) -> None:
        if (columns := _columns(values)) is not None:
            self._table(columns, cast(list[Object], values))
            return
        for number, value in enumerate(values, 1):
            if _plain(value):
                self._add(Block("list_item", _scalar(value), level=1))
            elif depth >= _DEEPEST or (isinstance(value, list) and not isinstance(value, Object)):
                self.value(value, key, depth + 1)
            else:
                self._add(Block("heading", _name_of(value) or f"{key} {number}".strip(), level=depth + 1))
                self.value(value, key, depth + 1)

    def _table(self, columns: list[str], records: list[Object]) -> None:
        self._tables += 1
        rows = [[Field(name, header=True) for name in columns]]
        for record in records:
            values = dict(record)
            rows.append([Field(_scalar(values.get(name, ""))) for name in columns])
        for fields in rows:
            block = row(fields, self._tables, self._draft.problems)
            if block is not None:
                self._add(block)

    def _add(self, block: Block) -> None:
        if not block.text.strip():
            return
        self._draft.blocks.append(block)
        if len(self._draft.blocks) > self._limits.nodes_max:
            raise FileTooLarge(f"The file holds more than {self._limits.nodes_max:,} values.")


def _plain(value: Value) -> bool:
    return not isinstance(value, list)


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value).lower()  # true, false


def _pair(key: str, value: Value) -> str:
    text = "null" if value is None else _scalar(value)
    return f"{key}: {text}" if key and text else text


def _name_of(value: Value) -> str:
    """What a record calls itself, where it does."""
    if isinstance(value, Object):
        own = {name.lower(): _scalar(inner) for name, inner in value if _plain(inner)}
        for naming in _NAMING:
            if 0 < len(own.get(naming, "")) <= 120:
                return own[naming]
    return ""


def _columns(values: list[Value]) -> list[str] | None:
    """The keys of records that are alike and flat; None where they are not: those are told one by one."""
    if len(values) < 2 or not all(isinstance(value, Object) for value in values):
        return None
    columns: dict[str, int] = {}
    for record in cast(list[Object], values):
        names = {name for name, _ in record}
        if len(names) < len(record) or not all(_plain(value) for _, value in record):
            return None
        for name, value in record:
            if len(_scalar(value)) > 300:
                return None
            columns[name] = columns.get(name, 0) + 1
    alike = len(columns) <= _COLUMNS_MAX and sum(columns.values()) * 2 >= len(columns) * len(values)
    return list(columns) if alike and columns else None
