"""The values of accounts: budgets, rates, departments, and what was used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

SCOPES: Final = ("tenant", "department", "app", "user", "key", "model")
PERIODS: Final = ("day", "month", "total")
GROUPS: Final = ("app", "user", "department", "model", "endpoint", "outcome", "day", "hour", "all")
EACH: Final = "*"
WARN_AT: Final = 0.8

Left = tuple[int, int, float]
"""What a caller has left of a rate, as far as this process knows (others may use it, too): the limit of a minute, what
remains of it, and seconds until all of it is there again if nobody calls."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Money or tokens, or both, for a period in UTC; `hard` stops calls when it is spent, otherwise it warns.

    It is for the tenant, or for one app, user, key, department or model, or for each of them (`*`) by itself; then
    what is shown as spent is the most that any of them has spent.
    """

    id: str
    scope: str
    subject: str
    period: str
    eur: float | None
    tokens: int | None
    hard: bool
    contact: str
    made_by: str | None
    made_at: datetime
    spent_eur: float = 0.0
    spent_tokens: int = 0

    @property
    def share(self) -> float:
        """How much of it is spent: 1 is all."""
        of_eur = 0.0 if self.eur is None else self.spent_eur / self.eur if self.eur else 1.0
        of_tokens = 0.0 if self.tokens is None else self.spent_tokens / self.tokens if self.tokens else 1.0
        return max(of_eur, of_tokens)

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        starts, until = period_at(self.period, datetime.now(UTC))
        renews = None if until is None else until.isoformat()
        said = {**asdict(self), "made_at": self.made_at.isoformat()}
        return {**said, "share": round(self.share, 4), "since": starts.isoformat(), "renews_at": renews}


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests or tokens, or both, of a minute; for whom, as of a budget."""

    id: str
    scope: str
    subject: str
    requests: int | None
    tokens: int | None
    made_by: str | None
    made_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {**asdict(self), "made_at": self.made_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Department:
    """Of which department an app or a user is."""

    kind: str
    subject: str
    name: str

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Keeps:
    """Answers of a model or a route, or of all (`*`), are kept for `ttl_s` seconds and given again.

    `forced` ones also where a request leaves its answer to chance. Where there is a `likeness`, the answer to an
    earlier question that is so alike is given, too, if all else of the request is the same. `emptied` counts how often
    all were thrown away.
    """

    model: str
    ttl_s: int
    forced: bool
    likeness: float | None
    emptied: int
    made_by: str | None
    made_at: datetime

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return {**asdict(self), "made_at": self.made_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Used:
    """What was used under one name: calls, tokens, money; of models of sound and pictures how many pictures were made,
    how many seconds of sound were heard, how many characters spoken.

    `estimated` calls were not counted by their server; `unpriced` calls have no price, so that `eur` lacks them;
    `unconverted` says that some of `eur` was told in another currency and counted 1:1.
    """

    name: str
    calls: int
    estimated: int
    unpriced: int
    tokens_in: int
    tokens_out: int
    eur: float
    unconverted: bool
    pictures: int = 0
    seconds: float = 0.0
    characters: int = 0

    def to_wire(self) -> dict[str, object]:
        """As the wire shows it."""
        return asdict(self)


def period_at(period: str, now: datetime) -> tuple[datetime, datetime | None]:
    """When the period of a budget began and when it ends, in UTC; `total` never ends."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day, day + timedelta(days=1)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return datetime.fromtimestamp(0, UTC), None
