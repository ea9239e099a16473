"""Metrics: numbers of a tenant that a trigger can watch, and when one of them has crossed a threshold."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from bastide.errors import BadTrigger
from bastide.store import Scope, Store, queries
from bastide.workflows.timely import Metric
from bastide.workflows.values import JsonValue

_Q = queries("bastide.workflows")
_JOBS, _APPROVALS = _Q["metric_jobs"], _Q["metric_approvals"]

_MEASURE_S = 5.0
_NAME_MAX = 100

Measure: TypeAlias = Callable[[Scope], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A metric's threshold. `hysteresis` is how far it must come back before it can be crossed again."""

    metric: str
    side: str  # above or below
    value: float
    hysteresis: float = 0.0

    @classmethod
    def read(cls, filter: Mapping[str, JsonValue]) -> Threshold:
        """What the filter of a metric's trigger says. Raises BadTrigger."""
        if extra := sorted(set(filter) - {"metric", "above", "below", "hysteresis"}):
            raise BadTrigger(
                f"The filter of a metric has no {extra[0][:80]!r}; it has metric, above or below, hysteresis.",
                field="filter",
            )
        metric, sides = filter.get("metric"), [side for side in ("above", "below") if filter.get(side) is not None]
        if not isinstance(metric, str) or len(metric) > _NAME_MAX:
            raise BadTrigger("The filter names a metric, such as jobs.queued.", field="filter")
        if len(sides) != 1:
            raise BadTrigger("The filter says either above or below which number.", field="filter")
        hysteresis = _number(filter.get("hysteresis", 0.0))
        if hysteresis < 0:
            raise BadTrigger("hysteresis is not negative.", field="filter")
        return cls(metric, sides[0], _number(filter[sides[0]]), hysteresis)

    def crossed(self, value: float, before: bool | None) -> bool:
        """Whether `value` lies beyond the threshold, or has been beyond and has not come back far enough."""
        beyond, limit = (value, self.value) if self.side == "above" else (-value, -self.value)
        return beyond > (limit - self.hysteresis if before else limit)


class Metrics:
    """The metrics that this process knows."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[Metric, Measure]] = {}
        self.add("jobs.queued", "jobs that wait to begin", self._of_jobs(0))
        self.add("jobs.failed", "failed jobs that nobody has retried (dead letters)", self._of_jobs(1))
        self.add(
            "jobs.oldest_queued_s",
            "how long the oldest job that waits to begin has been due, in seconds",
            self._of_jobs(2),
        )
        self.add("approvals.pending", "decisions that wait for a person", self._approvals)

    def __iter__(self) -> Iterator[Metric]:
        return iter(sorted((metric for metric, _ in self._known.values()), key=lambda metric: metric.name))

    def add(self, name: str, about: str, measure: Measure) -> None:
        """Make a metric known. Raises ValueError when its name is taken."""
        if name in self._known:
            raise ValueError(f"the metric {name} is registered twice")
        self._known[name] = (Metric(name, about), measure)

    def check(self, name: str) -> None:
        """Refuse a metric that is not known. Raises BadTrigger."""
        if name not in self._known:
            raise BadTrigger(
                f"There is no metric {name[:80]!r}; there are: {', '.join(sorted(self._known))}.", field="filter"
            )

    async def measure(self, scope: Scope, name: str) -> float:
        """The metric now, in the scope's tenant. Raises BadTrigger when it gives no number in five seconds."""
        self.check(name)
        try:
            async with asyncio.timeout(_MEASURE_S):
                value = float(await self._known[name][1](scope))
        except TimeoutError as fault:
            raise BadTrigger(f"The metric {name} was not there within {_MEASURE_S:g} s.", field="filter") from fault
        if not math.isfinite(value):
            raise BadTrigger(f"The metric {name} gave no number.", field="filter")
        return value

    def _of_jobs(self, place: int) -> Measure:
        async def measure(scope: Scope) -> float:
            async with self._store.under(scope) as db:
                row = await db.row(tuple, _JOBS)
            assert row is not None
            return float(row[place])

        return measure

    async def _approvals(self, scope: Scope) -> float:
        async with self._store.under(scope) as db:
            return float(await db.value(_APPROVALS))


def _number(value: JsonValue) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadTrigger("A threshold is a number.", field="filter")
    return float(value)
