"""Holding back: why a target is not asked now, and what a client is told when nobody was."""

from __future__ import annotations

import math
import time
from typing import Final, Protocol

from bastide.errors import (
    AddressRefused,
    AirGapClosed,
    BastideError,
    BudgetSpent,
    ContextExceeded,
    KeyRefused,
    PermitRefused,
    RateLimited,
    RedirectRefused,
    Refusal,
    UpstreamBusy,
    UpstreamPaced,
    UpstreamTooLarge,
    UpstreamUnknownModel,
    WrongCapability,
)
from bastide.inference.gateway.asking import Asking, encode
from bastide.inference.pacing import Pace
from bastide.inference.values import Model

_HELD_MAX_S: Final = 600.0
_OF_ONE_SERVER: Final = (
    AddressRefused,
    AirGapClosed,
    BudgetSpent,
    PermitRefused,
    RateLimited,
    RedirectRefused,
    UpstreamBusy,
    UpstreamPaced,
    UpstreamTooLarge,
    ContextExceeded,
    KeyRefused,
    UpstreamUnknownModel,
    WrongCapability,
)

_NOT_ASKED: Final = BudgetSpent | RateLimited | UpstreamPaced | UpstreamTooLarge
_WAITS: Final = BudgetSpent | RateLimited | UpstreamPaced | UpstreamBusy
_LONGEST_S: Final = {BudgetSpent.code: math.inf}  # of a budget that is spent nobody says how long it is


class Paced(Protocol):
    """A target, as far as pacing knows it."""

    model: Model
    pace: Pace
    body_bytes_max: int | None


def held_back(target: Paced, asking: Asking, size: int) -> BastideError | None:
    """Why this target is not asked now; None if it is, which then counts."""
    most = target.body_bytes_max
    if most is not None and size > most and len(encode(asking.body)) > most:
        return UpstreamTooLarge(
            f"{target.model.name} takes at most {most:,} bytes at a time.", model=target.model.name, bytes_max=most
        )
    wait = target.pace.take(time.monotonic())
    if not wait:
        return None
    return UpstreamPaced(model=target.model.name, retry_after_s=max(1, math.ceil(wait)))


def another_may_answer(fault: BastideError) -> bool:
    """Whether another target may answer where one has this fault: a refusal of the request itself all would share."""
    return not isinstance(fault, Refusal) or isinstance(fault, _OF_ONE_SERVER)


def asks_to_wait(target: Paced, fault: BastideError) -> None:
    """Take a server at its word; of one that asks for very long it is looked at now and then whether it is so still."""
    wait = fault.facts.get("retry_after_s")
    if isinstance(fault, UpstreamBusy) and isinstance(wait, int | float):
        target.pace.hold(min(float(wait), _HELD_MAX_S), time.monotonic())


def worth_telling(before: BastideError | None, fault: BastideError) -> BastideError:
    """Of two reasons why nobody has answered: the shorter wait; else what a server said before what was not asked."""
    if isinstance(before, _WAITS) and isinstance(fault, _WAITS):
        wait, other = (one.facts.get("retry_after_s", _LONGEST_S.get(one.code)) for one in (before, fault))
        if isinstance(wait, int | float) and isinstance(other, int | float) and other != wait:
            return fault if other < wait else before
    asked = not isinstance(fault, _NOT_ASKED)
    return fault if before is None or asked else before
