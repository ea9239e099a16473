"""Plans: who may be asked for a call, worked out once for all calls that are alike and good for a tenth of a second.

A plan is as good as working it out anew: it ends with the first verdict in it, and at once when the tenant's models or
anything that a verdict rests on has changed in this process. What a request says of itself, and what is sent under
pseudonyms, is worked out for each call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bastide.inference.gateway.asking import Asking
from bastide.inference.gateway.pseudonyms import FOUND, Hidden, hidden
from bastide.inference.gateway.ranking import best_first, dearest
from bastide.inference.gateway.targets import Group, Target, View
from bastide.inference.gateway.values import CAPABILITIES
from bastide.policy import Decision, Label, Policy, Price
from bastide.store import Scope

_GOOD_S: Final = 0.1
_PLANS_MAX: Final = 4096

Place = tuple[int, int, str, str | None, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Who may be asked, under which label. `scope` and `caller` are those that asked first."""

    scope: Scope
    caller: Label
    label: Label
    group: Group
    verdicts: tuple[Decision, ...]
    refused: tuple[Decision, ...]
    hidden: Hidden | None
    only: tuple[Target, Decision] | None  # the one target that may be asked, where it is one
    price: Price  # that a call may come to, whichever of them answers
    view: View
    changes: int
    until: float

    def left(self) -> list[tuple[Target, Decision]]:
        """The targets that may be asked, the best one first."""
        return best_first(self.group, self.verdicts) if self.only is None else [self.only]


class Plans:
    """The plans of a process."""

    def __init__(
        self,
        policy: Policy,
        view_of: Callable[[str], View | None],
        label_of: Callable[[Label, Label | None, str], Label],
        found_in: Callable[[Label, bytes], str],
    ) -> None:
        """`view_of` gives what is known of a tenant's models; `label_of` joins a caller's label, that of the parts and
        the kind of what was found; `found_in` finds it."""
        self._policy = policy
        self._view_of = view_of
        self._label_of = label_of
        self._found_in = found_in
        self._plans: dict[Place, Plan] = {}

    def at_hand(self, scope: Scope, caller: Label, asking: Asking, found: str) -> Plan | None:
        """The plan for such a call, if one is good; `found` is the kind of personal data in its body."""
        plan = self._plans.get((id(scope), id(caller), asking.wire, asking.model, found))
        if plan is None or asking.label is not None or time.monotonic() >= plan.until:
            return None
        if plan.changes != self._policy.changes or plan.view is not self._view_of(scope.tenant):
            return None
        return plan

    def work_out(self, scope: Scope, caller: Label, asking: Asking, found: str, data: bytes, view: View) -> Plan:
        """Who may be asked. Raises UnknownModel, WrongCapability and what the label of the bytes raises."""
        policy, capability, changes, now = self._policy, CAPABILITIES[asking.wire], self._policy.changes, time.time()
        model = asking.model
        group = view.group(capability, model) if scope.models is None else view.group_for(scope, capability, model)
        hides = hidden(
            lambda body: self._label_of(caller, asking.label, self._found_in(caller, body)), asking, data, group
        )
        label = self._label_of(caller, asking.label, found)
        if hides is not None:  # what was hidden was found, however fast the body was looked at
            label = label.join(FOUND)
        table = policy.table(scope, group.endpoints, capability=capability)
        verdicts = table.ruled(label, now).verdicts
        if hides is not None:
            verdicts = hides.verdicts(group, verdicts, table.ruled(hides.label, now).verdicts)
        able = [pair for pair in zip(group.targets, verdicts, strict=True) if pair[1].allowed]
        ends = min((verdict.expires_at.timestamp() for verdict in verdicts), default=now)
        until = time.monotonic() + min(_GOOD_S, ends - now)
        only = able[0] if len(able) == 1 else None
        refused = tuple([verdict for verdict in verdicts if not verdict.allowed])
        plan = Plan(scope, caller, label, group, verdicts, refused, hides, only, dearest(able), view, changes, until)
        if able and asking.label is None and not group.pseudonymises:
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            self._plans[(id(scope), id(caller), asking.wire, asking.model, found)] = plan
        return plan
