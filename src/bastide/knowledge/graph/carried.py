"""Carried: the decisions of people as the manifest of an export says them, in words that another house understands.

An entity is called by a name and a type, never by a key; or, where a split made it, by that split. A split is told by
the places that it took: documents of the same export, and where in their text a name begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bastide.knowledge import bounds

MERGES_MAX = SPLITS_MAX = 5_000
"""Of each in one export, the oldest first."""

ENTITIES_MAX, PLACES_MAX = 50, 1_000
_NAME_MAX, _WORD_MAX, _START_MAX = 300, 200, 1_000_000_000


@dataclass(frozen=True, slots=True)
class Called:
    """What documents call an entity."""

    name: str
    type: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.name} ({self.type})"

    def to_wire(self) -> dict[str, object]:
        """As the manifest has it."""
        return {"name": self.name, "type": self.type}


@dataclass(frozen=True, slots=True)
class Part:
    """The entity that a split made."""

    split: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"what was split off by {self.split}"

    def to_wire(self) -> dict[str, object]:
        """As the manifest has it."""
        return {"split": self.split}


Meant = Called | Part
"""What an export says instead of a key."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a mention begins: a document by its id in the export, and the character of its text."""

    document: str
    start: int


@dataclass(frozen=True, slots=True)
class Told:
    """A merge as an export tells it: the entities, the one that stays first; who, why, when."""

    id: str
    entities: tuple[Meant, ...]
    who: str
    why: str
    made_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the manifest has it."""
        return _wire(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Told:
        """Out of a manifest. Raises KeyError, TypeError, ValueError or BadOption for what is none."""
        found = cls(*_common(wire))
        if len(found.entities) < 2:
            raise ValueError("no merge")
        return found


@dataclass(frozen=True, slots=True)
class Parted:
    """A split as an export tells it: what the entities were before, and the places that are another entity since."""

    id: str
    entities: tuple[Meant, ...]
    who: str
    why: str
    made_at: datetime
    places: tuple[Place, ...]

    def to_wire(self) -> dict[str, object]:
        """As the manifest has it."""
        return {**_wire(self), "places": [{"document": one.document, "start": one.start} for one in self.places]}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Parted:
        """Out of a manifest. Raises KeyError, TypeError, ValueError or BadOption for what is none."""
        places = tuple(Place(_text(one["document"], _WORD_MAX), _start(one["start"])) for one in wire["places"])
        if not 1 <= len(set(places)) == len(places) <= PLACES_MAX:
            raise ValueError("no split")
        return cls(*_common(wire), places)


def reason(decision: Told | Parted, collection: str) -> str:
    """Why it is made again: where it comes from, and what was said there."""
    head = f"Brought with the collection {collection}, where {decision.who} decided it on {decision.made_at.date()}: "
    return (head + decision.why)[: bounds.REASON_CHARACTERS_MAX].strip()


def in_order(splits: list[Parted], merges: list[Told]) -> None:
    """Raises ValueError where an id comes twice, or what a split made is meant before it is told."""
    known: set[str] = set()
    for split in splits:
        _known(split.entities, known)
        known.add(split.id)
    for merge in merges:
        _known(merge.entities, known)
    if len(known) < len(splits) or len({one.id for one in merges}) < len(merges):
        raise ValueError("two decisions of one id")


def _known(entities: tuple[Meant, ...], splits: set[str]) -> None:
    if any(isinstance(one, Part) and one.split not in splits for one in entities):
        raise ValueError("a split that was not told")


def _wire(decision: Told | Parted) -> dict[str, object]:
    return {
        "id": decision.id,
        "entities": [one.to_wire() for one in decision.entities],
        "who": decision.who,
        "why": decision.why,
        "made_at": decision.made_at.isoformat(),
    }


def _common(wire: Mapping[str, Any]) -> tuple[str, tuple[Meant, ...], str, str, datetime]:
    entities = tuple(_meant(one) for one in wire["entities"])
    made_at = datetime.fromisoformat(wire["made_at"])
    if not 1 <= len(set(entities)) == len(entities) <= ENTITIES_MAX or made_at.tzinfo is None:
        raise ValueError("no decision")
    why = bounds.reason(wire["why"])
    return _text(wire["id"], _WORD_MAX), entities, _text(wire["who"], _WORD_MAX), why, made_at


def _meant(wire: Mapping[str, Any]) -> Meant:
    if "split" in wire:
        return Part(_text(wire["split"], _WORD_MAX))
    return Called(_text(wire["name"], _NAME_MAX), _text(wire["type"], _WORD_MAX))


def _text(value: object, most: int) -> str:
    """Text that is there, and that the database takes."""
    if not isinstance(value, str) or not bounds.reason(value) or len(value) > most:
        raise ValueError("no text")
    return value


def _start(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _START_MAX:
        raise ValueError("no place")
    return value
