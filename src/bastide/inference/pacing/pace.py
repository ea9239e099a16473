"""A pace: the requests of the last minute to one model under one key, and the share of its rate that is held here.

What is let through is known without asking anybody. The share itself changes behind the calls (see `sharing`); it
holds until a moment of the monotonic clock, after which only a twentieth of the rate is counted on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bastide.inference.values import Model
from bastide.policy import Policy
from bastide.store import Scope

MINUTE_S: Final = 60.0
_LOOK_S: Final = 1.0  # how long to wait where another process may have some to give
_CALM: Final = 4  # besides twice what it uses a process wants one part in so many of a rate, alone twice that
_FEW: Final = 16  # of a rate as small as this nothing is kept back for others
_WITHOUT: Final = 20  # a process that nobody lends to counts on one part in so many
_LATELY_S: Final = 5.0
_NEVER: Final = float("-inf")


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


@dataclass(slots=True)
class Share:
    """How much of a rate this process may use, for whom it is read, and what the database said of it last."""

    scope: Scope  # of whoever asked last: the shares of his tenant are read by it
    place: bytes  # what the rate is of
    wake: Callable[[Pace], None]
    requests: int = 0  # in any minute
    own_until: float = _NEVER  # by the monotonic clock, as what follows
    others: bool = False  # other processes hold some, too
    dry: bool = False  # there was no more to be had
    asked_at: float = _NEVER
    ask_at: float = _NEVER  # when the database is to be asked next
    short_at: float = _NEVER  # when a call was held back for want of it
    used_at: float = _NEVER
    id: str = ""


class Pace:
    """The requests of the last minute to one model under one key. Without a share the whole rate is this process's."""

    __slots__ = ("_asked", "_held_until", "_many", "per_minute", "share")

    def __init__(self, per_minute: int | None = None, share: Share | None = None) -> None:
        self.per_minute = per_minute
        self.share = share
        self._asked: deque[float] = deque()
        self._held_until = 0.0
        self._many = 0  # so many of a minute are a reason to ask for more

    def wait_s(self, now: float) -> float:
        """How long to wait before the next request may go; 0 if it may go now."""
        held = self._held_until - now if self._held_until > now else 0.0
        if self.per_minute is None:
            return held
        most = self._most(now)
        if most is None or len(self._asked) < most:
            return held
        wait = self._asked[-most] + MINUTE_S - now if most else MINUTE_S
        if wait > 0 and self.share is not None and most < (self.per_minute or 0) and not self.share.dry:
            wait = min(wait, _LOOK_S)
        return max(held, wait)

    def take(self, now: float) -> float:
        """0 if a request goes now, which is then counted; else how long to wait."""
        if self.per_minute is None and self._held_until <= now:
            return 0.0
        wait = self.wait_s(now)
        if self.per_minute is None:
            return wait
        share = self.share
        if wait == 0:
            asked = self._asked
            asked.append(now)
            while now - asked[0] >= MINUTE_S:
                asked.popleft()
            if share is not None:
                share.used_at = now
                if len(asked) >= self._many:
                    share.wake(self)
        elif share is not None and now >= self._held_until:
            share.used_at = share.short_at = now
            share.wake(self)
        return wait

    def hold(self, seconds: float, now: float) -> None:
        """Its server asks to wait so long."""
        self._held_until = max(self._held_until, now + seconds)

    # -- the share ----------------------------------------------------------------------------------

    def used(self, now: float) -> int:
        """How many requests there were in the last minute."""
        asked = self._asked
        while asked and now - asked[0] >= MINUTE_S:
            asked.popleft()
        return len(asked)

    def wants(self, now: float) -> int:
        """How much of the rate this process asks for: twice what it uses and more; all where that was little."""
        rate, share = self.per_minute or 0, self.share
        if share is not None and share.short_at > now - _LATELY_S:
            return rate
        calm = rate // (_CALM if share is not None and share.others else _CALM // 2)
        return min(rate, max(2 * self.used(now) + calm, _FEW))

    def without(self) -> int:
        """What this process counts on when nobody lends it anything."""
        return max(1, (self.per_minute or 0) // _WITHOUT)

    def allot(self, requests: int, until: float) -> None:
        """From now on so many in any minute are this process's, until then."""
        assert self.share is not None, "only what is shared is allotted"
        self.share.requests, self.share.own_until = requests, until
        self._many = max(1, requests // 2) if requests < (self.per_minute or 0) else 1 << 62

    def take_over(self, before: int) -> None:
        """The rate was `before`: of less, each process has its part of less, at once."""
        assert self.share is not None, "only what is shared is allotted"
        rate = self.per_minute or 0
        self.allot(self.share.requests * min(rate, before) // before, self.share.own_until)

    def _most(self, now: float) -> int | None:
        share, rate = self.share, self.per_minute
        if share is None or rate is None:
            return rate
        return min(rate, share.requests) if now < share.own_until else self.without()
