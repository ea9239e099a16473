"""What a trigger asks of an event, and what it makes of it: a filter, and an input with placeholders.

`{name}` and `{body.order.id}` stand for facts of the event. A text that is nothing but one placeholder becomes the
fact itself, whatever its type; within a longer text the fact is written out. `{{` and `}}` are single braces. What was
filled in is never read as a placeholder again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from bastide.errors import BadTrigger, JobInputWrong
from bastide.workflows.values import JsonValue

_MARK = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(\.[A-Za-z0-9_-]{1,64}){0,7}\Z")
_DEPTH_MAX = 16
_FILTER_FIELDS_MAX = 20
_FILTER_VALUES_MAX = 100


def check_filter(filter: Mapping[str, JsonValue], known: frozenset[str] | None) -> None:
    """Refuse a filter that could never be understood. Raises BadTrigger."""
    if len(filter) > _FILTER_FIELDS_MAX:
        raise BadTrigger(f"A filter has at most {_FILTER_FIELDS_MAX} fields.", field="filter")
    for path, wanted in filter.items():
        _check_path(path, known, "filter")
        values = wanted if _is_list(wanted) else [wanted]
        if not 0 < len(values) <= _FILTER_VALUES_MAX or not all(_is_plain(value) for value in values):
            raise BadTrigger(f"The filter's {path[:80]} is a text, a number, or a list of these.", field="filter")


def check_input(given: JsonValue, known: frozenset[str] | None) -> bool:
    """Refuse a placeholder that no event of the kind can fill; whether there is any. Raises BadTrigger."""
    found = False
    for text in _texts(given, 0):
        for mark in _MARK.finditer(text):
            if mark[0] in ("{", "}"):
                raise BadTrigger(f"A single brace in {text[:80]!r}: write it twice to mean itself.", field="input")
            if mark[1] is not None:
                _check_path(mark[1], known, "input")
                found = True
    return found


def matches(filter: Mapping[str, JsonValue], facts: Mapping[str, JsonValue]) -> bool:
    """Whether every field of the filter is exactly as wanted, or one of what is wanted."""
    for path, wanted in filter.items():
        try:
            fact = _fact(facts, path)
        except JobInputWrong:
            return False
        values = wanted if _is_list(wanted) else [wanted]
        if not any(_same(value, fact) for value in values):
            return False
    return True


def fill(given: JsonValue, facts: Mapping[str, JsonValue]) -> JsonValue:
    """The input with the facts in it. Raises JobInputWrong for a fact that this event does not have."""
    if isinstance(given, str):
        return _fill_text(given, facts)
    if isinstance(given, Mapping):
        return {name: fill(value, facts) for name, value in given.items()}
    if _is_list(given):
        return [fill(value, facts) for value in given]
    return given


def _fill_text(text: str, facts: Mapping[str, JsonValue]) -> JsonValue:
    whole = _MARK.fullmatch(text)
    if whole is not None and whole[1] is not None:
        return _fact(facts, whole[1])

    def written(mark: re.Match[str]) -> str:
        if mark[1] is None:
            return mark[0][0]
        fact = _fact(facts, mark[1])
        return fact if isinstance(fact, str) else json.dumps(fact, ensure_ascii=False)

    return _MARK.sub(written, text)


def _fact(facts: JsonValue, path: str) -> JsonValue:
    found = facts
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            raise JobInputWrong(f"The event has no {path[:200]!r}.", field=path[:200])
        found = found[name]
    return found


def _check_path(path: str, known: frozenset[str] | None, field: str) -> None:
    if not _PATH.match(path):
        raise BadTrigger(f"{path[:80]!r} is no name of a fact, such as `name` or `body.id`.", field=field)
    if known is not None and path.partition(".")[0] not in known:
        raise BadTrigger(f"This event has no {path[:80]!r}; it has: {', '.join(sorted(known))}.", field=field)


def _texts(value: JsonValue, depth: int) -> Iterator[str]:
    if depth > _DEPTH_MAX:
        raise BadTrigger(f"The input is nested more than {_DEPTH_MAX} deep.", field="input")
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner, depth + 1)
    elif _is_list(value):
        for inner in value:
            yield from _texts(inner, depth + 1)


def _is_list(value: JsonValue) -> TypeGuard[Sequence[JsonValue]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _same(wanted: JsonValue, fact: JsonValue) -> bool:
    # True is not 1, though Python says so.
    return wanted == fact and isinstance(wanted, bool) == isinstance(fact, bool)
