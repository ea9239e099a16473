"""What crosses between the outbox, what feeds, and the adapters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bastide.policy import Endpoint, Label

KINDS = ("qdrant", "neo4j", "s3")
RUNTIME = "local/runtime"


@dataclass(frozen=True, slots=True)
class NewProjection:
    """A target as somebody names it. What is left out is the careful choice."""

    name: str
    kind: str
    url: str
    record: str = RUNTIME
    key: str | None = field(default=None, repr=False)
    options: Mapping[str, object] = field(default_factory=dict)
    collections: Sequence[str] | None = None
    class_max: str = "internal"


@dataclass(frozen=True, slots=True)
class Projection:
    """A target, how far behind it is, and what was wrong the last time."""

    name: str
    kind: str
    url: str
    record: str
    options: Mapping[str, object]
    collections: tuple[str, ...] | None
    class_max: str
    leaving: bool
    has_key: bool
    made_at: datetime
    documents: int  # of which it holds something
    items: int
    behind: int  # changes that were not sent yet
    oldest_s: float  # how long the oldest of them has waited
    refused: int  # of them those that were tried and not taken
    problem: str

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it; never its key."""
        wire = {name: getattr(self, name) for name in self.__slots__}
        collections = None if self.collections is None else list(self.collections)
        return {**wire, "made_at": self.made_at.isoformat(), "options": dict(self.options), "collections": collections}


@dataclass(frozen=True, slots=True)
class Departure:
    """What became of a document in a target after it was erased here, or kept from it."""

    projection: str
    document: str
    why: str  # erased, or what keeps it from being sent
    gone_at: datetime | None
    verified_at: datetime | None
    pending: str  # why it is not done yet; empty when it is

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {
            "projection": self.projection,
            "document": self.document,
            "why": self.why,
            "gone_at": self.gone_at.isoformat() if self.gone_at else None,
            "verified_at": self.verified_at.isoformat() if self.verified_at else None,
            "pending": self.pending or None,
        }


@dataclass(frozen=True, slots=True)
class Target:
    """A target as the adapters need it: with its key, and the tenant whose part of it this is."""

    tenant: str
    name: str
    kind: str
    url: str
    record: str
    options: Mapping[str, Any]
    collections: tuple[str, ...] | None
    class_max: str
    key: str | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """The place that policy decides on."""
        kind = "local" if self.record.startswith("local/") else "api"
        return Endpoint(id=f"projection/{self.name}", record_id=self.record, kind=kind, url=self.url)

    def admits(self, label: Label) -> bool:
        """Whether its own limit lets documents of this class through."""
        limit = Label(cls=self.class_max)
        return limit.join(Label(cls=label.cls)) == limit


@dataclass(frozen=True, slots=True)
class Point:
    """A chunk with its vector."""

    ord: int
    section: Sequence[str]
    page: int | None
    start: int
    end: int
    text: str
    vector: Sequence[float]


@dataclass(frozen=True, slots=True)
class Mention:
    """An entity that a document names, and how often."""

    entity: str
    type: str
    name: str
    times: int
    same_as: str  # the entity that it is


@dataclass(frozen=True, slots=True)
class Tie:
    """A relation that a document states."""

    a: str
    b: str
    type: str
    weight: float
    valid_from: str
    valid_to: str


@dataclass(frozen=True, slots=True)
class Content:
    """A document as one kind of target needs it; what the others need is empty."""

    id: str
    version: int
    collection: str
    name: str
    title: str
    language: str
    label: Label
    model: str = ""
    points: Sequence[Point] = ()
    mentions: Sequence[Mention] = ()
    ties: Sequence[Tie] = ()
    versions: Sequence[int] = ()
    original: Callable[[int], Awaitable[bytes]] | None = field(default=None, repr=False)


class Adapter(Protocol):
    """One kind of target. Everything may be repeated; everything is of one tenant alone."""

    async def put(self, content: Content) -> int:
        """Make the target hold exactly this of the document; how many items that are."""
        ...

    async def take(self, document: str) -> None:
        """Take all of a document away."""
        ...

    async def held(self, document: str) -> int:
        """How many items of a document the target holds."""
        ...

    async def total(self) -> int:
        """How many items of the tenant it holds."""
        ...

    async def clear(self) -> None:
        """Take everything of the tenant away."""
        ...

    async def alias(self, entity: str, same_as: str) -> None:
        """This entity is that one; itself where it is no other. Nothing for a target without entities."""
        ...
