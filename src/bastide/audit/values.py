"""The values that cross the door of audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import msgspec

from bastide.audit.canonical import JsonValue


@dataclass(frozen=True, slots=True)
class Event:
    """What happened. `erased`: the log still proves that it did, but who and what can no longer be read."""

    id: str
    time: datetime
    act: str
    outcome: str
    index: int
    actor: str = ""
    app: str = ""
    resource: str = ""
    subjects: tuple[str, ...] = ()
    details: Mapping[str, JsonValue] | None = None
    erased: bool = False
    receipt: Mapping[str, JsonValue] | None = None  # the body of its receipt, if it has one


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """What a call to a model leaves behind. `input` and `output` are committed to, never kept."""

    act: str
    decision: Mapping[str, JsonValue]
    label: Mapping[str, JsonValue]
    endpoint: Mapping[str, JsonValue]
    model: str
    input: bytes
    output: bytes
    tokens_in: int
    tokens_out: int
    tls: Mapping[str, JsonValue] | None
    started: datetime
    ended: datetime
    assurance: str
    usage: Mapping[str, JsonValue] | None = None  # what was used beside tokens, in units of its own
    estimated: bool | None = None  # whether nobody has counted what was used; None where there is no such question


class CallFacts(msgspec.Struct, frozen=True):
    """What a call that was noted in the journal leaves behind; times are seconds since 1970.

    The mappings may be the same objects for many calls.
    """

    act: str
    decision: Mapping[str, JsonValue]
    label: Mapping[str, JsonValue]
    endpoint: Mapping[str, JsonValue]
    model: str
    tokens_in: int
    tokens_out: int
    estimated: bool
    tls: Mapping[str, JsonValue] | None
    started: float
    ended: float
    assurance: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt: `body` is bound to the leaf, the rest proves that the leaf stands in the log.

    While the sequencer has not reached it, `leaf` and `proof` are empty and `index` is None.
    """

    id: str
    body: Mapping[str, JsonValue]
    opening: str
    leaf: str = ""
    proof: str = ""
    key: str = ""
    log: str = ""
    index: int | None = None

    def to_wire(self) -> dict[str, JsonValue]:
        """The receipt as the wire and the file show it."""
        return {**self.body, "opening": self.opening, "leaf": self.leaf, "proof": self.proof, "key": self.key}


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    `index` is the receipt's leaf, or the first bad one of a log; `key` says whence the log's public key
    came: `given`, `beside` (log.vkey next to the file), `embedded` (in the receipt itself: it proves
    that the receipt is whole, not whose it is) or `database`. `warnings` do not make it invalid.
    """

    valid: bool
    kind: str
    log: str = ""
    index: int | None = None
    size: int | None = None
    assurance: str | None = None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    key: str | None = None

    def to_wire(self) -> dict[str, JsonValue]:
        """The verification as the wire shows it."""
        found: dict[str, JsonValue] = asdict(self)
        return found | {"problems": list(self.problems), "warnings": list(self.warnings)}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    log: str
    size: int
    added: int  # leaves that the folder did not hold before
    files: int


@dataclass(frozen=True, slots=True)
class Health:
    """How the log keeps up. `problem` is empty when all is well; `noted` calls are on the disk of this process."""

    size: int
    waiting: int
    lag_s: float
    problem: str = ""
    noted: int = 0
