"""Receipting: what came of the lines that a provider was handed, kept with their receipts and what they cost.

All of it is one transaction a page, so that no line that is kept lacks its receipt, and none is paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from bastide.audit import Audit, JsonValue, ReceiptFacts
from bastide.inference.accounts import Reserving, Took
from bastide.inference.batches.asking import Entry
from bastide.inference.batches.handed import Handed, doom
from bastide.inference.batches.keeping import Keeping
from bastide.inference.batches.lines import Lines
from bastide.inference.values import UNUSED, Usage
from bastide.store import Db, new_id

_PAGE: Final = 200
_PAGE_BYTES: Final = 8 * 1024 * 1024

Tls = Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class Told:
    """What came of one line: its entry, whose receipt this is the id of, and the bytes that came for it."""

    entry: Entry
    receipt: str
    output: bytes = b""
    usage: Usage = UNUSED


class Receipting:
    """Keeps what came of the lines of one batch."""

    def __init__(self, audit: Audit, reserving: Reserving, keeping: Keeping, lines: Lines) -> None:
        self._audit = audit
        self._reserving = reserving
        self.keeping = keeping
        self.lines = lines
        self._places: tuple[str, dict[int, int]] = ("", {})

    async def keep(self, one: Handed, told: Sequence[Told], tls: Tls) -> None:
        """Keep a page of them."""
        if self._places[0] != one.id:
            self._places = (one.id, {n: place for place, n in enumerate(one.lines)})
        places = self._places[1]

        async def beside(db: Db) -> None:
            for line in told:
                await self._record(db, one, places[line.entry.n], line, tls)
            took = [Took(line.usage, eur_of(one, line.usage), _outcome(line.entry)) for line in told]
            endpoint, currency = one.model.endpoint_id, one.price.currency
            await self._reserving.settle(db, one.account, one.id, took, endpoint=endpoint, currency=currency)

        await self.keeping.keep_all([line.entry for line in told], beside)

    async def finish(self, one: Handed, entry: Callable[[int, str, str], Entry]) -> None:
        """Nothing more comes of it: what has no answer is told, what is reserved comes back, and what lies at the
        provider is withdrawn. `entry` is given the line's number, its name and its receipt."""
        left = [n for n in one.lines if n not in self.keeping.done]
        if not one.said:  # nothing of it has left: there is nothing to be on record
            await self.keeping.keep_all([entry(n, self.lines.at(n).custom_id, "") for n in left])
        else:
            for start in range(0, len(left), _PAGE):
                told = []
                for n in left[start : start + _PAGE]:
                    receipt = new_id("rcp")
                    told.append(Told(entry(n, self.lines.at(n).custom_id, receipt), receipt))
                await self.keep(one, told, None)

        async def beside(db: Db) -> None:
            await self._reserving.release(db, one.id)
            await doom(db, id=one.id)

        await self.keeping.keep_all([], beside)

    async def _record(self, db: Db, one: Handed, place: int, line: Told, tls: Tls) -> None:
        known, now = one.known(place), datetime.now(UTC)
        facts = ReceiptFacts(
            act="inference",
            decision=known.decision,
            label=known.label,
            endpoint={**known.endpoint, "batch": one.batch},
            model=one.model.name,
            input=bytes(self.lines.at(line.entry.n).body),
            output=line.output,
            tokens_in=line.usage.input,
            tokens_out=line.usage.output,
            tls=tls,
            started=one.handed_at or now,
            ended=now,
            assurance=known.assurance,
            estimated=line.usage.estimated,
        )
        outcome = _outcome(line.entry)
        await self._audit.record(
            db,
            "inference",
            resource=one.model.name,
            subjects=known.subjects,
            outcome=outcome,
            receipt=facts,
            id=line.receipt,
        )


class Page:
    """What has come so far and is not kept yet."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self._bytes = 0

    def add(self, one: Told) -> bool:
        """Whether it is full with this one."""
        self.told.append(one)
        self._bytes += len(one.output)
        return len(self.told) >= _PAGE or self._bytes >= _PAGE_BYTES

    def taken(self) -> list[Told]:
        """All of it; it is empty then."""
        told, self.told, self._bytes = self.told, [], 0
        return told


def shown(tls: Any) -> Tls:
    """Who answered, as a receipt shows it."""
    return None if tls is None else cast("Mapping[str, JsonValue]", tls.to_wire())


def eur_of(one: Handed, usage: Usage) -> float | None:
    """What so much costs, at the price that it had when it was planned; None where that is not known."""
    if one.model.local:
        return 0.0
    price = one.price
    if price.input is None or price.output is None:
        return None
    return (usage.input * price.input + usage.output * price.output) / 1e6


def _outcome(entry: Entry) -> str:
    return "failed" if entry.failed else "done"
