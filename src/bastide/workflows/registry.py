"""Job types: what can be asked for, with its input's shape, its limits, its retries, its version and an example.

A type is registered by the room that does the work, at construction, so that every process of one version
knows the same types. The input of a type is a frozen dataclass; its JSON schema is read off that.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from bastide.errors import JobInputWrong, JobLabelRefused, JobTooLarge, UnknownJobType, UnknownJobVersion
from bastide.policy import Label
from bastide.workflows.values import JsonValue

Oversight = Literal["none", "informed", "approve", "two_persons"]

OVERSIGHT_RANK: Mapping[str, int] = {"none": 0, "informed": 1, "approve": 2, "two_persons": 3}
"""How strict a mode of human oversight is; a tenant can only make it stricter."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a job of a type may take."""

    input_bytes_max: int = 1024 * 1024
    output_bytes_max: int = 8 * 1024 * 1024
    step_s: float = 600.0
    run_s: float = 3600.0  # of one attempt, waiting not counted
    per_tenant: int = 100  # at a time
    overall: int | None = None  # at a time, of all tenants together
    rate: int | None = None  # begun at most so many by a tenant ...
    rate_s: float = 60.0  # ... in so many seconds
    class_max: str = "secret"  # the strictest class that it may work with


@dataclass(frozen=True, slots=True)
class Retry:
    """When a failed attempt is repeated: only what may pass by itself, with growing pauses."""

    attempts: int = 5
    first_s: float = 1.0
    factor: float = 3.0
    most_s: float = 600.0

    def pause_s(self, failures: int) -> float:
        """How long to wait after so many failures."""
        return min(self.most_s, self.first_s * self.factor ** max(0, failures - 1))


@dataclass(frozen=True, slots=True)
class Effect:
    """What a job does to the world outside its own record, and which oversight it needs."""

    about: str
    oversight: Oversight = "none"


@dataclass(frozen=True, slots=True)
class Example:
    """An input that works anywhere, and a check of what comes out: it is run by a test."""

    input: Mapping[str, JsonValue]
    check: Callable[[JsonValue], bool]
    about: str = ""


@dataclass(frozen=True, slots=True)
class JobType:
    """One kind of work."""

    name: str  # `summarise`, or `room.verb`
    about: str  # one sentence
    input: type[Any]  # a frozen dataclass
    run: Callable[[Any], Awaitable[JsonValue]]  # async def f(run: Run[Input])
    permission: str  # what the caller needs, beside work:run
    tier: Literal[1, 2] = 2
    version: int = 1
    compatible_from: int = 1  # the oldest version whose runs this code can go on with
    limits: Limits = field(default_factory=Limits)
    retry: Retry = field(default_factory=Retry)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    label: Callable[[Any, Label], Label] | None = None  # what the input adds to the label; None adds nothing
    example: Example | None = None
    internal: bool = False  # dispatched by the house only

    def to_wire(self) -> dict[str, object]:
        """The type as the wire shows it, with the JSON schema of its input."""
        return {
            "name": self.name,
            "about": self.about,
            "tier": self.tier,
            "version": self.version,
            "compatible_from": self.compatible_from,
            "permission": self.permission,
            "input": adapter_of(self).json_schema(),
            "effects": {name: {"about": one.about, "oversight": one.oversight} for name, one in self.effects.items()},
            "limits": {
                "input_bytes": self.limits.input_bytes_max,
                "step_s": self.limits.step_s,
                "run_s": self.limits.run_s,
                "per_tenant": self.limits.per_tenant,
                "rate": self.limits.rate,
                "rate_s": self.limits.rate_s if self.limits.rate else None,
                "class": self.limits.class_max,
            },
            "attempts": self.retry.attempts,
            "example": dict(self.example.input) if self.example else None,
        }


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def adapter_of(kind: JobType) -> TypeAdapter[Any]:
    """What validates the input of a type; a field that is not known is refused."""
    found = _adapters.get(kind.input)
    if found is None:
        kind.input.__pydantic_config__ = ConfigDict(extra="forbid", strict=False)
        found = _adapters[kind.input] = TypeAdapter(kind.input)
    return found


class Registry:
    """The types that this process can run."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}

    def add(self, kind: JobType) -> None:
        """Register a type. Raises ValueError for a name that is taken, or an input that has no schema."""
        if kind.name in self._types:
            raise ValueError(f"the job type {kind.name} is registered twice")
        if not 1 <= kind.compatible_from <= kind.version:
            raise ValueError(f"the job type {kind.name} is compatible with a version that is not there")
        try:
            adapter_of(kind)
        except PydanticSchemaGenerationError as fault:
            raise ValueError(f"the input of {kind.name} has no JSON schema: {fault}") from fault
        self._types[kind.name] = kind

    def __iter__(self) -> Iterator[JobType]:
        return iter(sorted(self._types.values(), key=lambda kind: (kind.tier, kind.name)))

    def get(self, name: str) -> JobType:
        """The type of this name. Raises UnknownJobType."""
        found = self._types.get(name)
        if found is None:
            raise UnknownJobType(f"There is no job type {name[:80]!r}.", type=name[:80])
        return found

    def runnable(self, name: str, version: int) -> JobType | None:
        """The type, if this process can go on with a run of that version."""
        found = self._types.get(name)
        return found if found and found.compatible_from <= version <= found.version else None

    @staticmethod
    def check_version(kind: JobType, version: int | None) -> int:
        """The version that a new job gets. Raises UnknownJobVersion."""
        if version is None:
            return kind.version
        if not kind.compatible_from <= version <= kind.version:
            raise UnknownJobVersion(
                f"{kind.name} has version {kind.version} here and goes on from {kind.compatible_from}, not {version}.",
                type=kind.name,
            )
        return version

    @staticmethod
    def check_input(kind: JobType, given: Mapping[str, JsonValue]) -> tuple[Any, bytes]:
        """The input as the type's dataclass, and as the bytes that are kept. Raises JobInputWrong, JobTooLarge."""
        try:
            packed = json.dumps(given, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as fault:
            raise JobInputWrong(f"The input of {kind.name} is not JSON: {fault}.") from fault
        if len(packed) > kind.limits.input_bytes_max:
            raise JobTooLarge(
                f"The input has {len(packed)} bytes; {kind.name} takes {kind.limits.input_bytes_max} at most.",
                limit_bytes=kind.limits.input_bytes_max,
            )
        return Registry.read_input(kind, packed), packed

    @staticmethod
    def read_input(kind: JobType, packed: bytes) -> Any:
        """The dataclass that these bytes spell. Raises JobInputWrong."""
        try:
            return adapter_of(kind).validate_json(packed)
        except ValidationError as fault:
            first = fault.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the input"
            raise JobInputWrong(f"{kind.name}: {place}: {first['msg']}.", field=place) from fault

    @staticmethod
    def check_label(kind: JobType, label: Label) -> None:
        """Refuse a label that is stricter than the type may work with. Raises JobLabelRefused."""
        if label.rank > Label(cls=kind.limits.class_max).rank:
            raise JobLabelRefused(
                f"{kind.name} works with {kind.limits.class_max} at most; this is {label.cls}.", type=kind.name
            )
