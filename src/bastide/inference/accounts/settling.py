"""Settling: what was used is gathered in memory, and written behind the calls in settlements that count once.

A settlement has an id. While the database is away it lies in a file below the home as well, so that neither a crash nor
a second process that finds the file can lose it or count it twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from bastide.inference.accounts.pots import Pot
from bastide.inference.values import Usage
from bastide.store import new_id
from bastide.telemetry import log

_HOUR_S: Final = 3600


class Bearer(Protocol):
    """Who called, as usage tells it."""

    @property
    def app(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def department(self) -> str: ...
    @property
    def model(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one tenant's calls used since the last one."""

    id: str
    used: list[dict[str, Any]]
    drawn: list[dict[str, Any]]


@dataclass(slots=True)
class _Sum:
    calls: int = 0
    estimated: int = 0
    unpriced: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    eur: float = 0.0
    pictures: int = 0
    seconds: float = 0.0
    characters: int = 0


@dataclass(slots=True)
class Ledger:
    """What a tenant's calls used and what is not written yet."""

    currencies: dict[str, str]  # of endpoints, where it is not the euro
    settlements: list[Settlement] = field(default_factory=list)
    running: int = 0  # calls that were admitted and are not over
    _used: dict[tuple[object, ...], _Sum] = field(default_factory=dict)
    _drawn: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)

    @property
    def waiting(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._used or self._drawn or self.settlements)

    def note(self, bearer: Bearer, usage: Usage, *, eur: float | None, outcome: str, endpoint: str, now: float) -> None:
        """One call is over."""
        hour = int(now) // _HOUR_S * _HOUR_S
        currency = self.currencies.get(endpoint, "EUR") if eur else ""
        place = (hour, bearer.app, bearer.user, bearer.department, bearer.model, endpoint, outcome, currency)
        known = self._used.get(place)
        if known is None:
            known = self._used[place] = _Sum()
        known.calls += 1
        known.tokens_in += usage.input
        known.tokens_out += usage.output
        if usage.estimated:
            known.estimated += 1
        if eur is None:
            known.unpriced += 1
        else:
            known.eur += eur
        if usage.units is not None:
            known.pictures += usage.units.pictures
            known.seconds += usage.units.seconds
            known.characters += usage.units.characters

    def draw(self, pot: Pot, eur: float, tokens: int) -> None:
        """So much of a pot is spent."""
        known = self._drawn.setdefault((pot.budget.id, pot.whose, pot.starts), [0.0, 0])
        known[0] += eur
        known[1] += tokens

    def close(self) -> list[Settlement]:
        """What is to be written, oldest first; what was gathered becomes a settlement."""
        if self._used or self._drawn:
            names = ("hour", "app", "member", "department", "model", "endpoint", "outcome", "currency")
            used = [
                {**dict(zip(names, place, strict=True)), **{name: getattr(one, name) for name in _Sum.__slots__}}
                for place, one in self._used.items()
            ]
            drawn = [
                {"budget": budget, "whose": whose, "starts": starts, "eur": eur, "tokens": int(tokens)}
                for (budget, whose, starts), (eur, tokens) in self._drawn.items()
            ]
            self._used, self._drawn = {}, {}
            self.settlements.append(Settlement(new_id("stl"), used, drawn))
        return self.settlements


class Spool:
    """Settlements on this machine's disk, for as long as the database does not take them."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "accounts"
        self._kept: set[str] = set()

    def keep(self, tenant: str, settlements: Iterable[Settlement]) -> None:
        """Write what is not written yet; a file is whole or it is not there."""
        for one in settlements:
            if one.id in self._kept:
                continue
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self._folder / f".{one.id}.{os.getpid()}"
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump({"tenant": tenant, "id": one.id, "used": one.used, "drawn": one.drawn}, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._folder / f"{one.id}.json")
            self._kept.add(one.id)

    def drop(self, one: Settlement) -> None:
        """The database has it."""
        if one.id in self._kept:
            self._kept.discard(one.id)
            (self._folder / f"{one.id}.json").unlink(missing_ok=True)

    def found(self) -> dict[str, list[Settlement]]:
        """What an earlier process left, by tenant."""
        found: dict[str, list[Settlement]] = {}
        for file in sorted(self._folder.glob("stl_*.json")) if self._folder.is_dir() else ():
            try:
                said = json.loads(file.read_text())
                one = Settlement(said["id"], said["used"], said["drawn"])
                found.setdefault(said["tenant"], []).append(one)
                self._kept.add(one.id)
            except (OSError, ValueError, KeyError, TypeError):
                log.warning("a settlement cannot be read: %s", file.name)
        return found
