"""Label: what may happen to some bytes. It travels with them, and combining bytes joins their labels.

A join takes the stricter side in every dimension, so it can be done in any order, any number of times,
and `Label()` (nothing said, nothing forbidden) changes nothing:

    cls           the higher of public < internal < confidential < restricted < secret
    personal      none < pseudonymised < personal < {special, criminal, minor}; the three last are beside each
                  other, so special joined with minor is both: `special+minor`
    zone          the countries that both allow; None is anywhere; the empty zone is nowhere else: such bytes may
                  be worked on where they already lie (an endpoint whose every plane is `local`) and sent to nobody
    min_seal      the higher level, objective by objective; min_ual and min_evidence likewise
    tolerate      the (regime, path) pairs that both tolerate; None leaves it to the tenant's policy
    purposes      the purposes that both allow; None is any
    air_gap       closed if either is
    integrity     untrusted if either is
    risk          the higher class of the AI Act: minimal < limited < high < prohibited
    subjects, origin   everybody, and everything, that either names

Only a declassification, which is an act of its own in the audit log, makes a label less strict.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any, TypeVar

from bastide.errors import BadLabel
from bastide.policy.places import COUNTRIES, EEA, countries
from bastide.store import Scope

T = TypeVar("T")

CLASSES = ("public", "internal", "confidential", "restricted", "secret")
KINDS = ("none", "pseudonymised", "personal", "special", "criminal", "minor")
INTEGRITIES = ("trusted", "untrusted")
RISKS = ("minimal", "limited", "high", "prohibited")
EVIDENCE = ("none", "self", "contract", "cert", "audit", "measured")
OBJECTIVES = tuple(f"SOV-{number}" for number in range(1, 9))
PATHS = ("minority", "via-subprocessor", "via-subsidiary", "via-parent", "direct")

CLASS_RANK = {name: rank for rank, name in enumerate(CLASSES)}
EVIDENCE_RANK = {name: rank for rank, name in enumerate(EVIDENCE)}
_RISK_RANK = {name: rank for rank, name in enumerate(RISKS)}
_ABOVE_PERSONAL = KINDS[3:]

Tolerance = frozenset[tuple[str, str]]
"""Pairs of a regime (a country outside the EEA) and the path by which it reaches the bytes."""


@dataclass(frozen=True, slots=True)
class Label:
    """What may happen to some bytes; `Label()` is the least strict one and the unit of `join`."""

    cls: str = "public"
    personal: str = "none"
    zone: frozenset[str] | None = None
    min_seal: tuple[tuple[str, int], ...] = ()
    min_ual: int = 0
    min_evidence: str = "none"
    tolerate: Tolerance | None = None
    purposes: frozenset[str] | None = None
    air_gap: bool = False
    integrity: str = "trusted"
    risk: str = "minimal"
    subjects: frozenset[str] = field(default=frozenset())
    origin: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        """Refuse a word that no rule knows: a rule that skips it would let the bytes pass."""
        _expect("cls", self.cls, CLASSES)
        _expect("min_evidence", self.min_evidence, EVIDENCE)
        _expect("integrity", self.integrity, INTEGRITIES)
        _expect("risk", self.risk, RISKS)
        if self.personal not in KINDS:
            object.__setattr__(self, "personal", _spelt(_kinds(self.personal)))

    @classmethod
    def from_wire(cls, wire: Mapping[str, object], default: Label | None = None) -> Label:
        """The label that `wire` means (SURFACE, "Labels on the wire"); what it leaves out is as in `default`.

        Raises BadLabel for a field or a value that is not known: a misspelt limit must not be a lost limit.
        """
        if not isinstance(wire, Mapping):
            raise BadLabel(f"A label is an object, not {type(wire).__name__}.")
        words: dict[str, Any] = {}
        for name, value in wire.items():
            if name not in _READERS:
                raise BadLabel(f"A label has no field {name!r}; it has: {', '.join(_READERS)}.", field=str(name))
            field_name, read = _READERS[name]
            try:
                words[field_name] = read(value)
            except ValueError as fault:
                raise BadLabel(f"The label's field {name} is wrong: {fault}.", field=name) from fault
        if (more := words.pop("more_kinds", None)) is not None:
            words["personal"] = "+".join([words.get("personal", "none"), *more])
        start = default or LEAST
        return cls(**{name: words.get(name, getattr(start, name)) for name in cls.__slots__})

    def to_wire(self) -> dict[str, object]:
        """The label as the wire writes it; `from_wire` gives the same label back."""
        kinds = [kind for kind in KINDS if kind in self.kinds] or ["none"]
        wire: dict[str, object] = {
            "class": self.cls,
            "personal": kinds[0],
            "zone": None if self.zone is None else sorted(self.zone),
            "min_seal": dict(self.min_seal),
            "tolerate": None if self.tolerate is None else _grouped(self.tolerate),
            "air_gap": self.air_gap,
            "integrity": self.integrity,
            "subjects": sorted(self.subjects),
        }
        if kinds[1:]:
            wire["personal_kinds"] = kinds
        for name, unset in (("min_ual", 0), ("min_evidence", "none"), ("risk", "minimal")):
            if (value := getattr(self, name)) != unset:
                wire[name] = value
        if self.purposes is not None:
            wire["purposes"] = sorted(self.purposes)
        if self.origin:
            wire["origin"] = sorted(self.origin)
        return wire

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of personal data in these bytes; empty for none."""
        return _kinds(self.personal)

    @property
    def rank(self) -> int:
        """The class as a number: 0 is public, 4 is secret."""
        return CLASS_RANK[self.cls]

    def join(self, other: Label) -> Label:
        """The label of bytes made from both: the stricter side in every dimension."""
        return self if self is other else _join(self, other)

    def loosened_by(self, other: Label) -> tuple[str, ...]:
        """The fields of the wire in which `other` asks for nothing more than this label, and for less."""
        joined = self.join(other)
        return tuple(
            wire for wire, name in _ORDERED if getattr(joined, name) == getattr(self, name) != getattr(other, name)
        )

    @staticmethod
    def join_all(labels: Iterable[Label]) -> Label:
        """The label of bytes made from all of them; of nothing, the least strict label."""
        return reduce(Label.join, labels, LEAST)

    @staticmethod
    def of_scope(scope: Scope) -> Label:
        """The least strict label that this caller may use; a request can only be stricter."""
        return _from_json(scope.label)


def _expect(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")


@lru_cache(maxsize=64)
def _kinds(spelt: str) -> frozenset[str]:
    """The set that a spelling such as `special+minor` means. Raises ValueError for an unknown kind."""
    kinds = frozenset(spelt.split("+"))
    for kind in kinds:
        _expect("personal", kind, KINDS)
    if above := kinds.intersection(_ABOVE_PERSONAL):
        return above
    strictest = max(kinds, key=KINDS.index)
    return frozenset() if strictest == "none" else frozenset({strictest})


def _spelt(kinds: frozenset[str]) -> str:
    return "+".join(kind for kind in KINDS if kind in kinds) or "none"


def _both(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


@lru_cache(maxsize=8192)
def _join(one: Label, other: Label) -> Label:
    seal = dict(one.min_seal)
    for objective, level in other.min_seal:
        seal[objective] = max(level, seal.get(objective, 0))
    return Label(
        cls=max(one.cls, other.cls, key=CLASS_RANK.__getitem__),
        personal=_spelt(_kinds(f"{one.personal}+{other.personal}")),
        zone=_both(one.zone, other.zone),
        min_seal=tuple(sorted(seal.items())),
        min_ual=max(one.min_ual, other.min_ual),
        min_evidence=max(one.min_evidence, other.min_evidence, key=EVIDENCE_RANK.__getitem__),
        tolerate=_both(one.tolerate, other.tolerate),
        purposes=_both(one.purposes, other.purposes),
        air_gap=one.air_gap or other.air_gap,
        integrity=max(one.integrity, other.integrity, key=INTEGRITIES.index),
        risk=max(one.risk, other.risk, key=_RISK_RANK.__getitem__),
        subjects=one.subjects | other.subjects,
        origin=one.origin | other.origin,
    )


LEAST = Label()


# -- reading the wire -------------------------------------------------------------------------------


def _word(known: tuple[str, ...]) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return value

    return read


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _level(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 4:
        raise ValueError(f"{value!r} is not a level from 0 to 4")
    return value


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"expected a list of names, got {value!r}")
    return frozenset(value)


def _kind_list(value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a list, got {value!r}")
    return [_word(KINDS)(item) for item in value]


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, got {value!r}")
    return value


def _seal(value: object) -> tuple[tuple[str, int], ...]:
    levels = {_word(OBJECTIVES)(name): _level(level) for name, level in _mapping(value).items()}
    return tuple(sorted((name, level) for name, level in levels.items() if level))


def read_tolerance(value: object) -> Tolerance:
    """The pairs of `{"CA": ["via-subsidiary"]}`. Raises ValueError for an unknown regime or path."""
    pairs = set()
    for regime, paths in _mapping(value).items():
        if regime not in COUNTRIES or regime in EEA:
            raise ValueError(f"{regime!r} is not the code of a country outside the EEA")
        pairs |= {(regime, _word(PATHS)(path)) for path in _texts(paths)}
    return frozenset(pairs)


def _grouped(tolerance: Tolerance) -> dict[str, list[str]]:
    return {
        regime: [path for path in PATHS if (regime, path) in tolerance]
        for regime in sorted({pair[0] for pair in tolerance})
    }


def _or_none(read: Callable[[object], T]) -> Callable[[object], T | None]:
    return lambda value: None if value is None else read(value)


_READERS: dict[str, tuple[str, Callable[[object], object]]] = {
    "class": ("cls", _word(CLASSES)),
    "personal": ("personal", _word(KINDS)),
    "personal_kinds": ("more_kinds", _kind_list),
    "zone": ("zone", _or_none(countries)),
    "min_seal": ("min_seal", _seal),
    "min_ual": ("min_ual", _level),
    "min_evidence": ("min_evidence", _word(EVIDENCE)),
    "tolerate": ("tolerate", _or_none(read_tolerance)),
    "purposes": ("purposes", _or_none(_texts)),
    "air_gap": ("air_gap", _flag),
    "integrity": ("integrity", _word(INTEGRITIES)),
    "risk": ("risk", _word(RISKS)),
    "subjects": ("subjects", _texts),
    "origin": ("origin", _texts),
}

_ORDERED = tuple(
    (wire, name) for wire, (name, _) in _READERS.items() if name not in {"more_kinds", "subjects", "origin"}
)
"""The fields in which one label can be stricter than another; whom it names does not count."""


@lru_cache(maxsize=1024)
def _from_json(text: str) -> Label:
    """The label in a scope. Raises BadLabel if it is not one: a caller whose limit is unreadable gets nothing."""
    try:
        return Label.from_wire(json.loads(text))
    except json.JSONDecodeError as fault:
        raise BadLabel(f"The label of this key is not JSON: {fault}.") from fault
