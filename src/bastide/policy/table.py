"""A table of decisions: which of some endpoints may receive bytes with a label, looked up once it was worked out.

Every verdict in it is one that `decide` gave, with its reasons. It is thrown away when anything that it rests on has
changed (the tenant's policy, a record's evidence, a quarantine), and no verdict is used past its own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bastide.policy.decision import Governing
from bastide.policy.label import Label
from bastide.policy.values import Decision, Endpoint

_LABELS_MAX = 4096  # labels that are kept; a house that meets more begins anew


@dataclass(frozen=True, slots=True)
class Ruled:
    """What was decided of every endpoint for one label, from `since` until the first of these verdicts runs out.

    `verdicts` stand in the order of the endpoints, `allowed` and `refused` are the two halves of them.
    """

    label: Label
    verdicts: tuple[Decision, ...]
    allowed: tuple[Decision, ...]
    refused: tuple[Decision, ...]
    since: float
    until: float


class Table:
    """The verdicts on one list of endpoints for one kind of act, by label; in the order of the endpoints."""

    __slots__ = ("_clock", "_decide", "_ruled", "endpoints", "law", "moment")

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        law: Governing | None,
        moment: int,
        decide: Callable[[Label, Endpoint], Decision],
        clock: Callable[[], datetime],
    ) -> None:
        """`law` and `moment` say what the verdicts rest on; who holds the table compares them."""
        self.endpoints = endpoints
        self.law = law
        self.moment = moment
        self._decide = decide
        self._clock = clock
        # By identity first: callers hold a few labels and ask with them again and again.
        self._ruled: dict[int, Ruled] = {}

    def ruled(self, label: Label, now: float) -> Ruled:
        """The verdicts for `label` at `now`, in seconds since 1970; worked out where they are not known."""
        known = self._ruled.get(id(label))
        if known is not None and known.since <= now < known.until and known.label is label:
            return known  # a clock that was set back is before `since`: that makes no verdict live longer
        return self._work_out(label)

    def _work_out(self, label: Label) -> Ruled:
        decisions = tuple([self._decide(label, endpoint) for endpoint in self.endpoints])
        since = self._clock().timestamp()
        until = min((one.expires_at.timestamp() for one in decisions), default=since + 1.0)
        allowed = tuple(one for one in decisions if one.allowed)
        refused = tuple(one for one in decisions if not one.allowed)
        if len(self._ruled) >= _LABELS_MAX:
            self._ruled.clear()
        found = self._ruled[id(label)] = Ruled(label, decisions, allowed, refused, since, until)
        return found
