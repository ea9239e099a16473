"""Plans: what holds for all calls that are alike, worked out for one of them and good for a tenth of a second.

A plan says who may be asked and under which label. It is as good as working that out anew: it ends with the first
verdict in it, and at once when the tenant's models or anything that a verdict rests on has changed in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bastide.inference.gateway.targets import Group, Target, View, best_first
from bastide.policy import Decision, Label
from bastide.store import Scope

_GOOD_S: Final = 0.1
_PLANS_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may be asked for calls that are alike. `scope` and `caller` are those that asked first."""

    scope: Scope
    caller: Label
    label: Label
    group: Group
    verdicts: tuple[Decision, ...]
    only: tuple[Target, Decision] | None  # the one target that may be asked, where it is one
    view: View
    changes: int
    until: float

    def left(self) -> list[tuple[Target, Decision]]:
        """The targets that may be asked, the best one first."""
        return best_first(self.group, self.verdicts) if self.only is None else [self.only]


class Plans:
    """The plans of a process."""

    def __init__(self, view_of: Callable[[str], View | None], changes: Callable[[], int]) -> None:
        """`view_of` gives what is known of a tenant's models, `changes` counts what changes under verdicts."""
        self._view_of = view_of
        self._changes = changes
        self._plans: dict[tuple[int, int, str, str | None, str], Plan] = {}

    def at_hand(self, scope: Scope, caller: Label, wire: str, model: str | None, found: str) -> Plan | None:
        """The plan for such a call, if one is good; `found` is the kind of personal data in its body."""
        plan = self._plans.get((id(scope), id(caller), wire, model, found))
        if plan is None or time.monotonic() >= plan.until:
            return None
        if plan.changes != self._changes() or plan.view is not self._view_of(scope.tenant):
            return None
        return plan

    def keep(
        self,
        scope: Scope,
        caller: Label,
        wire: str,
        model: str | None,
        found: str,
        *,
        view: View,
        group: Group,
        label: Label,
        verdicts: tuple[Decision, ...],
        changes: int,
    ) -> None:
        """What was worked out for such a call; `changes` was counted before."""
        able = [pair for pair in zip(group.targets, verdicts, strict=True) if pair[1].allowed]
        if not able:
            return
        only = able[0] if len(able) == 1 else None
        now, ends = time.time(), min(verdict.expires_at.timestamp() for verdict in verdicts)
        until = time.monotonic() + min(_GOOD_S, ends - now)
        if len(self._plans) >= _PLANS_MAX:
            self._plans.clear()
        plan = Plan(scope, caller, label, group, verdicts, only, view, changes, until)
        self._plans[(id(scope), id(caller), wire, model, found)] = plan
