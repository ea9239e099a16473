"""Pacing: how often an endpoint may be asked under one key, and how much it takes at a time.

A provider counts by key and model, and so does a pace: models of a tenant that have both in common share one. In no
stretch of sixty seconds are there more requests than the rate says, however they arrive. A server that asks to wait is
not asked until then. Each process counts what it asks itself.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from bastide.inference.values import Model
from bastide.policy import Policy

_MINUTE_S: Final = 60.0
_PACES_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class Limits:
    """What an endpoint allows; None where nothing is known."""

    requests_per_minute: int | None = None
    body_bytes_max: int | None = None


def limits_of(policy: Policy, model: Model) -> Limits:
    """What was said when the model was added, else what its record says."""
    if model.built_in:
        return Limits()
    facts = policy.record(model.record).attributes
    rate, size = (facts[name].value if name in facts else None for name in ("requests_per_minute", "body_bytes_max"))
    return Limits(model.requests_per_minute or rate or None, size)


class Pace:
    """The requests of the last minute to one model under one key."""

    __slots__ = ("_asked", "_held_until", "per_minute")

    def __init__(self, per_minute: int | None = None) -> None:
        self.per_minute = per_minute
        self._asked: deque[float] = deque()
        self._held_until = 0.0

    def wait_s(self, now: float) -> float:
        """How long to wait before the next request may go; 0 if it may go now."""
        held = max(0.0, self._held_until - now)
        if self.per_minute is None or len(self._asked) < self.per_minute:
            return held
        return max(held, self._asked[-self.per_minute] + _MINUTE_S - now)

    def take(self, now: float) -> float:
        """0 if a request goes now, which is then counted; else how long to wait."""
        wait = self.wait_s(now)
        if wait == 0 and self.per_minute is not None:
            asked = self._asked
            asked.append(now)
            while now - asked[0] >= _MINUTE_S:
                asked.popleft()
        return wait

    def hold(self, seconds: float, now: float) -> None:
        """Its server asks to wait so long."""
        self._held_until = max(self._held_until, now + seconds)


class Paces:
    """The paces of all tenants; what was not asked for longest is forgotten first."""

    def __init__(self) -> None:
        self._paces: OrderedDict[tuple[str, ...], Pace] = OrderedDict()

    def of(self, tenant: str, model: Model, key: str | None, per_minute: int | None) -> Pace:
        """The pace of this model under this key, at this rate from now on."""
        place = (tenant, model.url, model.upstream, hashlib.sha256((key or "").encode()).hexdigest())
        pace = self._paces.setdefault(place, Pace())
        self._paces.move_to_end(place)
        if len(self._paces) > _PACES_MAX:
            self._paces.popitem(last=False)
        pace.per_minute = per_minute
        return pace
