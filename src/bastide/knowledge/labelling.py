"""Labelling: the label that a file comes in with, from what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bastide.knowledge import bounds
from bastide.policy import Label, Policy
from bastide.store import Scope


async def label_of(
    policy: Policy, scope: Scope, said: Mapping[str, object] | Label | None, subjects: Iterable[str]
) -> Label:
    """What `said` leaves open is as the tenant's default; subjects and the label of the scope only tighten it."""
    if not isinstance(said, Label):
        said = Label.from_wire(said or {}, default=(await policy.refresh(scope)).default)
    joined = said.join(Label(subjects=frozenset(subjects))).join(Label.of_scope(scope))
    bounds.subjects(joined.subjects)
    return joined
