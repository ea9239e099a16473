"""Gates: the slices of rates that this process holds, as counters in memory.

While the database is away nobody can be asked for more. Each process then lets through what a bucket of its own would:
its part of the rate, which is the rate divided by how many processes had the tenant's book at hand when it was read
last. That bucket is kept all along, so that what was let through before counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bastide.errors import RateLimited
from bastide.inference.accounts.values import Left, Rate

_MINUTE_S: Final = 60.0
_NEVER: Final = float("-inf")
KINDS: Final = ("requests", "tokens")
"""What a rate may bound."""

SLICES: Final = 16  # a slice of a rate is one part in so many
_AHEAD_FROM: Final = 128  # of a smaller rate nothing is drawn ahead: it would lie where nobody needs it


@dataclass(slots=True)
class _Own:
    """A bucket of this process's part of a rate, and what had been taken when it was looked at."""

    at: float
    took_requests: float
    took_tokens: float
    requests: float
    tokens: float


@dataclass(slots=True)
class Gate:
    """What this process holds of one rate, for one of those it is for."""

    rate: Rate
    whose: str
    requests: float = 0.0
    tokens: float = 0.0
    shut_until: float = _NEVER
    used_at: float = _NEVER
    dry_until: float = _NEVER  # there was nothing to be drawn ahead
    sharers: int = 1  # processes that have the tenant's book at hand
    _lent_requests: float = 0.0  # all that was ever drawn
    _lent_tokens: float = 0.0
    _left_at: float = _NEVER  # when the database said what is left there
    _left_requests: float = 0.0
    _left_tokens: float = 0.0
    _own: _Own | None = None

    def has(self) -> bool:
        """Whether a call may begin on what is held."""
        return not (
            (self.rate.requests is not None and self.requests < 1)
            or (self.rate.tokens is not None and self.tokens <= 0)
        )

    def at_most(self, tokens: int) -> int:
        """What a call may be thought to take: who asks for more than a minute brings takes all of one, and no more."""
        return tokens if self.rate.tokens is None else min(tokens, self.rate.tokens)

    def take(self, now: float, tokens: int) -> None:
        """One call begins, which may take so many."""
        self.used_at = now
        self.requests -= 1
        self.tokens -= self.at_most(tokens)

    def put(self, tokens: int, used: int) -> None:
        """A call that might have taken so many has used so many."""
        self.tokens += self.at_most(tokens) - used
        if self.has():
            self.shut_until = _NEVER

    @property
    def owed(self) -> float:
        """Tokens that calls took beyond what was drawn: the database is told when it is asked for more."""
        return -self.tokens if self.rate.tokens is not None and self.tokens < 0 else 0.0

    def paid(self, tokens: float) -> None:
        """The database was told of so many."""
        self._lend(0.0, tokens)

    def drawn(
        self,
        now: float,
        requests: int,
        tokens: int,
        wait_s: float,
        left_requests: float = 0.0,
        left_tokens: float = 0.0,
        *,
        ahead: bool = False,
    ) -> None:
        """The database's answer; where it was asked `ahead`, a no shuts nothing."""
        self._left_at, self._left_requests, self._left_tokens = now, left_requests, left_tokens
        if wait_s > 0:
            if ahead:
                self.dry_until = now + wait_s
            else:
                self.shut_until = now + wait_s
            return
        self._lend(requests, tokens)

    def given_back(self) -> tuple[float, float]:
        """Requests and tokens that are held; from now on they are not."""
        requests, tokens = max(self.requests, 0.0), max(self.tokens, 0.0)
        self._lend(-requests, -tokens)
        return requests, tokens

    def low(self, now: float) -> bool:
        """Whether more should be drawn before it is all taken."""
        rate = self.rate
        if now < self.dry_until or now < self.shut_until:
            return False
        by_requests, by_tokens = ((of is not None and of >= _AHEAD_FROM) for of in (rate.requests, rate.tokens))
        return (by_requests and self.requests < (rate.requests or 0) / SLICES / 2) or (
            by_tokens and self.tokens < (rate.tokens or 0) / SLICES / 2
        )

    def look(self, now: float) -> _Own:
        """This process's own bucket as it is now; looked at often enough, it knows the last minute."""
        parts = [(of or 0) / self.sharers for of in (self.rate.requests, self.rate.tokens)]
        took = self._lent_requests - self.requests, self._lent_tokens - self.tokens
        own = self._own
        if own is None:
            own = self._own = _Own(now, 0.0, 0.0, *parts)
        passed = min(max(now - own.at, 0.0), _MINUTE_S) / _MINUTE_S
        own.requests = min(max(parts[0], 1.0), own.requests + passed * parts[0]) - (took[0] - own.took_requests)
        own.tokens = min(max(parts[1], 1.0), own.tokens + passed * parts[1]) - (took[1] - own.took_tokens)
        own.at, own.took_requests, own.took_tokens = now, *took
        return own

    def without(self, now: float) -> bool:
        """Whether a call may begin while nobody can be asked: as far as this process's part of the rate goes."""
        own = self.look(now)
        self._lend(max(0.0, own.requests - self.requests), max(0.0, own.tokens - self.tokens))
        if self.has():
            return True
        waits = [1.0]
        if self.rate.requests is not None:
            waits.append((1 - self.requests) * _MINUTE_S * self.sharers / self.rate.requests)
        if self.rate.tokens is not None:
            waits.append((1 - self.tokens) * _MINUTE_S * self.sharers / self.rate.tokens)
        self.shut_until = now + max(waits)
        return False

    def left(self, now: float) -> tuple[Left | None, Left | None]:
        """What is left of the requests and of the tokens of a minute, where they are bounded."""
        rate, since = self.rate, max(0.0, now - self._left_at) if self._left_at != _NEVER else 0.0
        return (
            _left(rate.requests, self.requests, self._left_requests, since),
            _left(rate.tokens, self.tokens, self._left_tokens, since),
        )

    def _lend(self, requests: float, tokens: float) -> None:
        self.requests += requests
        self.tokens += tokens
        self._lent_requests += requests
        self._lent_tokens += tokens

    def refusal(self, now: float) -> RateLimited:
        """Which rate it is, and how long to wait."""
        rate = self.rate
        limits = []
        if rate.requests is not None:
            limits.append(f"{rate.requests} requests")
        if rate.tokens is not None:
            limits.append(f"{rate.tokens} tokens")
        whom = "this tenant" if rate.scope == "tenant" else f"{rate.scope} {self.whose}"
        wait = max(0.1, round(self.shut_until - now, 1))
        return RateLimited(
            f"More than {' or '.join(limits)} a minute were asked for by {whom}.",
            retry_after_s=wait,
            limits={
                kind: {"limit": one[0], "remaining": one[1], "reset_s": round(one[2], 1)}
                for kind, one in zip(KINDS, self.left(now), strict=True)
                if one is not None
            },
            rate=rate.id,
            scope=rate.scope,
            subject=self.whose,
        )


def _left(limit: int | None, held: float, left: float, since: float) -> Left | None:
    """Of one kind: what is held here, and what lay in the database and has come in since."""
    if limit is None:
        return None
    remaining = max(0.0, min(limit, held + left + since * limit / _MINUTE_S))
    return limit, int(remaining), (limit - remaining) * _MINUTE_S / limit
