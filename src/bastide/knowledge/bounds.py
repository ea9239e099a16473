"""What a request may ask of this room: checked here, at the door, with an error that says what to change."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from bastide.errors import BadName, BadOption, BadQuery, UnknownDocument
from bastide.knowledge.metadata import Condition, columns, conditions
from bastide.knowledge.told import Turn
from bastide.store import is_id

QUERY_CHARACTERS_MAX = 4_000
ANSWER_CHARACTERS_MAX = 20_000
TURNS_MAX = 50
PASSAGES_MAX = 100
LIST_MAX = 500
NAME_CHARACTERS_MAX = 400
REASON_CHARACTERS_MAX = 2_000

_CONTEXTS = ("none", "neighbours", "section")
_MODES = ("hybrid", "text", "vector", "graph")
_COLLECTION = re.compile(r"[\w][\w .-]{0,99}")
_LANGUAGE = re.compile(r"[a-z]{2}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Filters:
    """What a search may be narrowed to; None leaves a dimension open."""

    collection: str | None = None
    documents: list[str] | None = None
    names: list[str] | None = None
    languages: list[str] | None = None
    media_types: list[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    classes: list[str] | None = None
    metadata: tuple[Condition, ...] = ()

    def columns(self) -> dict[str, object]:
        """As the question for the documents takes them."""
        told = {name: getattr(self, name) for name in Filters.__slots__ if name != "metadata"}
        return {**told, **columns(self.metadata)}

    @property
    def narrow(self) -> bool:
        """Whether anything is left out at all."""
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Ways:
    """What a search may use besides its rankings: a re-ranker, where one is there and allowed; the parts of a question,
    found by rule (auto), or by a model that is allowed, else by rule (always)."""

    rerank: str = "auto"
    decompose: str = "off"


def query(text: object) -> str:
    """The query without surrounding space. Raises BadQuery."""
    if not isinstance(text, str):
        raise BadQuery(f"A query is text, not {type(text).__name__}.")
    if len(text) > QUERY_CHARACTERS_MAX:
        raise BadQuery(f"The query has {len(text):,} characters; at most {QUERY_CHARACTERS_MAX:,} are searched for.")
    if "\0" in text:
        raise BadQuery("The query holds a NUL character.")
    clean = text.encode("utf-8", "replace").decode("utf-8").strip()
    if not clean:
        raise BadQuery("The query is empty.")
    return clean


def history(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """The turns before a question, oldest first. Raises BadOption for too many, or one that is too long."""
    found = tuple(turns)
    if len(found) > TURNS_MAX:
        raise BadOption(f"A conversation has at most {TURNS_MAX} turns here.", option="history")
    for turn in found:
        if len(turn.question) > QUERY_CHARACTERS_MAX or len(turn.answer) > ANSWER_CHARACTERS_MAX:
            raise BadOption(
                f"A turn has at most {QUERY_CHARACTERS_MAX:,} characters of question and "
                f"{ANSWER_CHARACTERS_MAX:,} of answer.",
                option="history",
            )
    return found


def mode(name: str) -> str:
    """A mode of search. Raises BadOption."""
    if name not in _MODES:
        raise BadOption(f"mode must be one of hybrid, text, vector, graph, not {name!r}.", option="mode")
    return name


def context(name: str) -> str:
    """How much of its surroundings a passage brings along. Raises BadOption."""
    if name not in _CONTEXTS:
        raise BadOption(f"context must be one of none, neighbours, section, not {name!r}.", option="context")
    return name


def ways(rerank: str, decompose: str) -> Ways:
    """What a search may use besides its rankings. Raises BadOption."""
    if rerank not in {"auto", "off"}:
        raise BadOption(f"rerank must be auto or off, not {rerank!r}.", option="rerank")
    if decompose not in {"auto", "off", "always"}:
        raise BadOption(f"decompose must be auto, off or always, not {decompose!r}.", option="decompose")
    return Ways(rerank, decompose)


def dpi(number: object) -> int:
    """How fine a picture of a page is. Raises BadOption."""
    if not isinstance(number, int) or isinstance(number, bool) or not 20 <= number <= 400:
        raise BadOption(f"dpi must be a whole number from 20 to 400, not {number!r}.", option="dpi")
    return number


def limit(number: object, most: int = PASSAGES_MAX) -> int:
    """A number from 1 to `most`. Raises BadOption."""
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise BadOption(f"limit must be a whole number from 1 to {most}, not {number!r}.", option="limit")
    return number


def collection(name: object) -> str:
    """The name of a collection. Raises BadName."""
    if not isinstance(name, str) or not _COLLECTION.fullmatch(name) or name != name.strip():
        raise BadName(
            "A collection's name has 1 to 100 letters, digits, spaces, dots, dashes, and begins with a letter."
        )
    return name


def name(text: object) -> str:
    """The name of a document. Raises BadName."""
    if not isinstance(text, str) or not text.strip() or len(text) > NAME_CHARACTERS_MAX:
        raise BadName(f"A document's name has 1 to {NAME_CHARACTERS_MAX} characters.")
    if _UNPRINTABLE.search(text):
        raise BadName("A document's name holds a control character.")
    return text.strip()


def subjects(names: Iterable[str]) -> frozenset[str]:
    """Identifiers of persons. Raises BadOption for one that is empty, overlong or unprintable."""
    found = frozenset(names)
    for one in found:
        if not isinstance(one, str) or not one.strip() or len(one) > NAME_CHARACTERS_MAX or _UNPRINTABLE.search(one):
            raise BadOption("A subject is an identifier of 1 to 400 printable characters.", option="subjects")
    return found


def languages(codes: Iterable[object]) -> list[str]:
    """Codes of languages, such as "de". Raises BadOption."""
    found = list(dict.fromkeys(codes))
    if any(not isinstance(code, str) or not _LANGUAGE.fullmatch(code) for code in found):
        raise BadOption("A language is named by two letters, such as de.", option="languages")
    return sorted(map(str, found))


def reason(text: object) -> str:
    """Why something is done, in at most 2,000 characters. Raises BadOption."""
    if not isinstance(text, str) or len(text) > REASON_CHARACTERS_MAX or _UNSTORABLE.search(text):
        raise BadOption(f"A reason is text of at most {REASON_CHARACTERS_MAX:,} characters.", option="reason")
    return text.strip()


def document_id(text: object) -> str:
    """An id of a document. One of a wrong form is as unknown as one of another tenant. Raises UnknownDocument."""
    if not isinstance(text, str) or not is_id(text, "doc"):
        raise UnknownDocument
    return text


def filters(wire: Mapping[str, object] | None, collection_name: str | None) -> Filters:
    """The filters of a search request: `documents`, `names`, `languages`, `media_types`, `classes` of labels (lists),
    `since` and `until`, by when a document was last written, and `metadata`.

    Raises BadOption for one that is not known: a filter that is skipped would find too much.
    """
    found: dict[str, object] = {"collection": None if collection_name is None else collection(collection_name)}
    for key, value in (wire or {}).items():
        if key in {"documents", "names", "languages", "media_types", "classes"}:
            values = [value] if isinstance(value, str) else value
            if not isinstance(values, list | tuple) or not all(
                isinstance(v, str) and not _UNSTORABLE.search(v) for v in values
            ):
                raise BadOption(f"The filter {key} is a list of texts.", option=f"filters.{key}")
            found[key] = list(values)
        elif key in {"since", "until"}:
            found[key] = _moment(key, value)
        elif key == "metadata" and value is not None:
            found[key] = conditions(value)
        elif key == "collection" and collection_name is None and value is not None:
            found[key] = collection(value)
        elif value is not None:
            raise BadOption(
                f"There is no filter {key!r}; there are collection, documents, names, languages, media_types, classes, "
                "since, until, metadata.",
                option=f"filters.{key}",
            )
    return Filters(**found)  # type: ignore[arg-type]  # each value was checked above


def _moment(key: str, value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as fault:
        raise BadOption(
            f"The filter {key} is a time such as 2026-11-21T08:00:00+01:00.", option=f"filters.{key}"
        ) from fault
    if moment.tzinfo is None:
        raise BadOption(f"The filter {key} needs its time zone.", option=f"filters.{key}")
    return moment


def cursor_of(key: str) -> str:
    """A cursor that continues after `key`."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def after_cursor(cursor: str | None) -> str | None:
    """The key that a cursor continues after. Raises BadOption for one that was not given out."""
    if cursor is None:
        return None
    try:
        key = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (ValueError, binascii.Error, AttributeError, TypeError) as fault:
        raise BadOption("The cursor was not given out by this list.", option="cursor") from fault
    if not key.isprintable():
        raise BadOption("The cursor was not given out by this list.", option="cursor")
    return key
