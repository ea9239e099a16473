"""Ranking: which of the allowed targets is asked first, and what a call may cost whichever of them answers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bastide.inference.gateway.targets import LATELY_S, Group, Target
from bastide.policy import Decision, Price


def dearest(targets: Sequence[tuple[Target, Decision]]) -> Price:
    """The price that a call may come to, whichever of these answers."""
    return max((target.price for target, _ in targets), key=lambda price: price.blended, default=Price())


def best_first(group: Group, verdicts: Sequence[Decision]) -> list[tuple[Target, Decision]]:
    """The allowed targets with their verdicts; those that failed lately come last."""
    able = [pair for pair in zip(group.targets, verdicts, strict=True) if pair[1].allowed]
    if len(able) > 1:
        now = time.monotonic()
        if group.by_latency:
            able.sort(key=lambda pair: (pair[0].cool_until > now, pair[0].expected_s(now)))
            first = able[0][0]
            first.doubted = first.doubted or now - first.tried_at > LATELY_S
            first.tried_at = now
        else:
            able.sort(key=lambda pair: pair[0].cool_until > now)
    return able
