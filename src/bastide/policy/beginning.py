"""Beginning: the label of a call before anybody has looked into it.

It is that of the caller, joined with the tenant's default and with what the caller says of the call. What identifies a
person is looked for in every call, so that a default does not say it beforehand, unless it is of a kind that nothing
looks for. A caller can only tighten what the tenant has set: who asks for less hears so, and nothing is assumed. A
tenant that has set nothing has a careful guess instead, and what the caller says takes the guess's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bastide.errors import LabelLoosens
from bastide.policy.label import Label
from bastide.policy.values import UNSAID, TenantPolicy

_NOT_LOOKED_FOR: Final = frozenset({"special", "criminal", "minor"})


def label_of_call(policy: TenantPolicy, caller: Label, said: Mapping[str, object] | None) -> Label:
    """The label that a call begins with; `said` is a label on the wire, or None where the caller says nothing.

    Raises BadLabel; LabelLoosens for a field by which less is asked than without it.
    """
    default = policy.default
    usual = caller.join(replace(default, personal="none") if default.kinds.isdisjoint(_NOT_LOOKED_FOR) else default)
    if said is None:
        return usual
    held = caller if default == UNSAID else usual
    label = Label.from_wire(said, usual)
    given = {name for name, value in said.items() if value is not None}
    less = [name for name in held.join(policy.bounds).loosened_by(label) if name in given]
    if less:
        raise LabelLoosens(f"Less is asked for than holds without it in: {', '.join(less)}.", fields=less)
    return held.join(label)
