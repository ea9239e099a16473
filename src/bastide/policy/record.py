"""Record: what is known of one endpoint in one region under one contract, with the evidence for it.

Every attribute carries a value, the kind of evidence, its source, the day it was checked and the day it
expires. What is missing, expired or too weakly shown is unknown, and unknown is the worst that can be.
A level (SEAL, UAL) is never stored: see `views`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from bastide.errors import BadRecord
from bastide.policy.attributes import ATTRIBUTES
from bastide.policy.label import EVIDENCE, EVIDENCE_RANK
from bastide.policy.reading import instant, read_sheet

_FIELDS = ("id", "title", "kind", "url", "wire", "covers", "reviewed_at", "note", "attributes", "models")
_PROVENANCE = ("evidence", "source", "checked_at", "expires_at")
Units = tuple[int, float, int]
"""What calls of sound and pictures are counted in: pictures, seconds of sound, characters spoken."""

_PRICED_UNITS = ("picture", "minute", "characters")
_MODEL_FIELDS = ("input", "output", "context", *_PRICED_UNITS)
KINDS = ("local", "api")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One fact with its evidence."""

    value: Any
    evidence: str
    source: str
    checked_at: datetime
    expires_at: datetime | None = None

    def holds(self, floor: str, now: datetime) -> bool:
        """True if the fact is shown at least as well as `floor` asks, and has not expired at `now`."""
        rank = EVIDENCE_RANK[self.evidence]
        return rank >= max(1, EVIDENCE_RANK[floor]) and (self.expires_at is None or now < self.expires_at)

    def to_wire(self) -> dict[str, Any]:
        """As the wire shows it."""
        expires = self.expires_at.isoformat() if self.expires_at else None
        return {
            "value": self.value,
            "evidence": self.evidence,
            "source": self.source,
            "checked_at": self.checked_at.isoformat(),
            "expires_at": expires,
        }


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, as far as known; and a picture, a minute of sound, a million characters spoken, where
    a model is paid by them."""

    input: float | None = None
    output: float | None = None
    currency: str = ""
    source: str = ""
    expires_at: datetime | None = None
    picture: float | None = None
    minute: float | None = None
    characters: float | None = None

    @property
    def by_unit(self) -> bool:
        """Whether it is known for anything else than tokens."""
        return self.picture is not None or self.minute is not None or self.characters is not None

    @property
    def blended(self) -> float:
        """One figure to rank by: three parts input, one part output; infinite if unknown."""
        if self.input is None or self.output is None:
            return float("inf")
        return (3 * self.input + self.output) / 4

    def to_wire(self) -> dict[str, Any]:
        """As the wire shows it; an empty object if nothing is known."""
        if self.input is None and self.output is None and not self.by_unit:
            return {}
        units = {f"per_{name}": getattr(self, name) for name in _PRICED_UNITS}
        return {
            "input": self.input,
            "output": self.output,
            "currency": self.currency,
            "unit": "per million tokens",
            "source": self.source,
            **{name: value for name, value in units.items() if value is not None},
        }

    def of_units(self, units: Units) -> float | None:
        """What these cost; None where the price of one of them is not known."""
        each = (
            self.picture,
            None if self.minute is None else self.minute / 60,
            None if self.characters is None else self.characters / 1e6,
        )
        if any(number and price is None for number, price in zip(units, each, strict=True)):
            return None
        return sum(number * (price or 0.0) for number, price in zip(units, each, strict=True))

    def cost(self, sent: int, got: int, units: Units | None = None) -> float | None:
        """What a call has cost that took so much, `units` where it was one of sound or pictures; None if not known.

        Tokens are paid where they were counted and have a price, else units: what a token costs is not what a picture
        does.
        """
        tokens = sent + got
        if (units is None or tokens) and self.input is not None and self.output is not None:
            return (sent * self.input + got * self.output) / 1e6
        if units is None or (tokens and not any(units)):
            return None
        return self.of_units(units)

    def times(self, rate: float) -> Price:
        """The same in another currency, of which one unit of its own is `rate`."""
        names = ("input", "output", *_PRICED_UNITS)
        known = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(self, **{name: value * rate for name, value in known.items()})

    def beside(self, other: Price) -> Price:
        """This price, and for what it does not know of pictures, sound and characters, that of the other."""
        lacking = {name: getattr(other, name) for name in _PRICED_UNITS if getattr(self, name) is None}
        return replace(self, **lacking)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model in an endpoint's catalogue."""

    name: str
    price: Price = Price()
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One endpoint x region x contract."""

    id: str
    title: str
    kind: str
    attributes: Mapping[str, Attribute]
    url: str = ""
    wire: str = ""
    covers: tuple[str, ...] = ()
    models: tuple[ModelEntry, ...] = ()
    reviewed_at: datetime | None = None
    note: str = ""
    hash: str = ""

    def covers_model(self, model: str) -> bool:
        """True if the record speaks of `model`: an endpoint with a mixed roster names the models that it means."""
        return not self.covers or model in self.covers

    def price(self, model: str, now: datetime) -> Price:
        """What is known at `now` of the price of `model`."""
        found = next((entry.price for entry in self.models if entry.name == model), Price())
        return found if found.expires_at is None or now < found.expires_at else Price()

    def with_attributes(self, attributes: Mapping[str, Attribute]) -> Record:
        """The same record with these attributes and its new hash."""
        return sealed(replace(self, attributes=MappingProxyType(dict(attributes))))

    def to_wire(self) -> dict[str, Any]:
        """As the wire and the archive write it; the hash is over exactly this."""
        return {
            "id": self.id,
            "title": self.title,
            "kind": self.kind,
            "url": self.url,
            "wire": self.wire,
            "covers": list(self.covers),
            "note": self.note,
            "reviewed_at": self.reviewed_at.isoformat() if self.reviewed_at else None,
            "attributes": {name: self.attributes[name].to_wire() for name in sorted(self.attributes)},
            "models": [
                {"name": entry.name, "context_tokens": entry.context_tokens, "price": entry.price.to_wire()}
                for entry in self.models
            ],
        }


def canonical(value: object) -> bytes:
    """JSON with sorted names and no spaces: the bytes that hashes are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sealed(record: Record) -> Record:
    """The record with the hash of its canonical content."""
    return replace(record, hash="sha256:" + hashlib.sha256(canonical(record.to_wire())).hexdigest())


# -- loading ----------------------------------------------------------------------------------------


def load_records(folders: Iterable[Path] = ()) -> dict[str, Record]:
    """The records that ship with Bastide, then those in `folders`; the later one wins, attribute by attribute.

    Raises BadRecord, naming file and attribute, for anything that is not understood.
    """
    sheets: dict[str, dict[str, Any]] = {}
    with resources.as_file(resources.files(__package__) / "providers") as packaged:
        for folder in (packaged, *folders):
            for path in sorted(folder.glob("*.yaml")):
                sheet = _checked(read_sheet(path, BadRecord), path.name)
                sheets[sheet["id"]] = _merged(sheets.get(sheet["id"], {}), sheet)
    return {name: _record(sheet) for name, sheet in sorted(sheets.items())}


def overlay(record: Record, folders: Iterable[Path]) -> Record:
    """`record` with what the files in `folders` say of the same id (for records that the house makes itself)."""
    attributes = dict(record.attributes)
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            sheet = read_sheet(path, BadRecord)
            if sheet.get("id") == record.id:
                attributes |= _attributes(sheet.get("attributes"), path.name)
    return record.with_attributes({name: fact for name, fact in attributes.items() if fact.value is not None})


def _checked(sheet: dict[str, Any], file: str) -> dict[str, Any]:
    for name in sheet:
        if name not in _FIELDS:
            raise BadRecord(f"{file}: {name!r} is not a field of a record ({', '.join(_FIELDS)}).", file=file)
    identity = sheet.get("id")
    if not isinstance(identity, str) or not identity or any(part in identity for part in (" ", "\n", "..")):
        raise BadRecord(f"{file}: a record needs an id such as `maker/service/region`.", file=file)
    if sheet.get("kind", "api") not in KINDS:
        raise BadRecord(f"{file}: kind must be local or api, not {sheet['kind']!r}.", file=file)
    if (url := sheet.get("url", "")) and (not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https")):
        raise BadRecord(f"{file}: url must begin with https:// (or http:// for a local runtime).", file=file)
    covers = sheet.get("covers", [])
    if not isinstance(covers, list) or not all(isinstance(name, str) for name in covers):
        raise BadRecord(f"{file}: covers must be a list of model names.", file=file)
    read = dict(sheet)
    read["attributes"] = _attributes(sheet.get("attributes"), file)
    if "models" in sheet:
        read["models"] = _models(sheet["models"], file)
    if "reviewed_at" in sheet:
        read["reviewed_at"] = _instant(sheet["reviewed_at"], file, "reviewed_at")
    return read


def _merged(first: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The later sheet over the first: fields replace fields, attributes replace attributes."""
    return {**first, **later, "attributes": {**first.get("attributes", {}), **later["attributes"]}}


def _record(sheet: dict[str, Any]) -> Record:
    return sealed(
        Record(
            id=sheet["id"],
            title=str(sheet.get("title", sheet["id"])),
            kind=sheet.get("kind", "api"),
            attributes=MappingProxyType({n: fact for n, fact in sheet["attributes"].items() if fact.value is not None}),
            url=sheet.get("url", ""),
            wire=str(sheet.get("wire", "")),
            covers=tuple(sheet.get("covers", ())),
            models=sheet.get("models", ()),
            reviewed_at=sheet.get("reviewed_at"),
            note=" ".join(str(sheet.get("note", "")).split()),
        )
    )


def _attributes(sheet: object, file: str) -> dict[str, Attribute]:
    if sheet is None:
        return {}
    if not isinstance(sheet, Mapping):
        raise BadRecord(f"{file}: attributes must be a mapping.", file=file)
    return {name: _attribute(name, fact, file) for name, fact in sheet.items()}


def _attribute(name: str, fact: object, file: str) -> Attribute:
    """One attribute; `value: null` takes an inherited one away."""
    if name not in ATTRIBUTES:
        raise BadRecord(f"{file}: there is no attribute {name!r}.", file=file, attribute=name)
    if not isinstance(fact, Mapping) or "value" not in fact:
        raise BadRecord(f"{file}: attribute {name} needs {{value, evidence, source, checked_at}}.", attribute=name)
    if unknown := [part for part in fact if part not in ("value", *_PROVENANCE)]:
        raise BadRecord(f"{file}: attribute {name} has no part {unknown[0]!r}.", file=file, attribute=name)
    try:
        value = None if fact["value"] is None else ATTRIBUTES[name][0](fact["value"])
    except ValueError as fault:
        raise BadRecord(f"{file}: attribute {name}: {fault}.", file=file, attribute=name) from fault
    return Attribute(value, *_provenance(fact, file, f"attribute {name}"))


def _provenance(fact: Mapping[str, Any], file: str, where: str) -> tuple[str, str, datetime, datetime | None]:
    if fact.get("evidence") not in EVIDENCE:
        raise BadRecord(f"{file}: {where}: evidence must be one of {', '.join(EVIDENCE)}.", file=file)
    if not isinstance(fact.get("source"), str) or not fact["source"].strip():
        raise BadRecord(f"{file}: {where}: a fact without a source is not a fact; leave it out.", file=file)
    checked = _instant(fact.get("checked_at"), file, f"{where}: checked_at")
    expires = fact.get("expires_at")
    if expires is None and fact["evidence"] != "measured":
        raise BadRecord(f"{file}: {where}: only what is measured may stand without expires_at.", file=file)
    until = None if expires is None else _instant(expires, file, f"{where}: expires_at")
    return fact["evidence"], fact["source"].strip(), checked, until


def _instant(value: object, file: str, where: str) -> datetime:
    try:
        return instant(value)
    except ValueError as fault:
        raise BadRecord(f"{file}: {where}: {fault}.", file=file) from fault


def _models(sheet: object, file: str) -> tuple[ModelEntry, ...]:
    """The catalogue: one provenance for all, then `list: {name: {input, output, context}}` (prices per million),
    and of models of sound and pictures `picture`, `minute`, `characters` (per million)."""
    if not isinstance(sheet, Mapping) or not isinstance(sheet.get("list"), Mapping):
        raise BadRecord(f"{file}: models needs a `list` of names and its provenance.", file=file)
    if unknown := [part for part in sheet if part not in ("list", "currency", *_PROVENANCE)]:
        raise BadRecord(f"{file}: models has no part {unknown[0]!r}.", file=file)
    _, source, checked, expires = _provenance(sheet, file, "models")
    source = f"{source} ({checked.date().isoformat()})"
    currency = str(sheet.get("currency", ""))
    entries = []
    for name, said in sheet["list"].items():
        entry = said or {}
        if not isinstance(entry, Mapping) or set(entry) - set(_MODEL_FIELDS):
            raise BadRecord(f"{file}: models: {name} may hold {', '.join(_MODEL_FIELDS)}.", file=file)
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in entry.values()):
            raise BadRecord(f"{file}: models: {name}: prices and sizes are numbers.", file=file)
        units = {name: entry.get(name) for name in _PRICED_UNITS}
        price = Price(entry.get("input"), entry.get("output"), currency, source, expires, **units)
        entries.append(ModelEntry(str(name), price, entry.get("context")))
    return tuple(entries)


def expiring(records: Iterable[Record], end: datetime) -> list[tuple[str, str, datetime]]:
    """Evidence that will have run out by `end`: record, attribute, when; soonest first."""
    found = [
        (record.id, name, fact.expires_at)
        for record in records
        for name, fact in record.attributes.items()
        if fact.expires_at is not None and fact.expires_at <= end
    ]
    return sorted(found, key=lambda one: one[2])
