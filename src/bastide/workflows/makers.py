"""In whose name schedules and triggers act: the person who made them, with the rights that are left to them."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

from bastide.policy import Label
from bastide.store import Scope
from bastide.tenancy import Tenancy

_REMEMBERED_S = 2.0  # how long a change of the maker's rights may go unseen
_REMEMBERED_MAX = 4096


class Made(Protocol):
    """What is kept of who made something."""

    @property
    def user_id(self) -> str | None: ...  # noqa: D102
    @property
    def app_id(self) -> str | None: ...  # noqa: D102
    @property
    def key_id(self) -> str | None: ...  # noqa: D102
    @property
    def permissions(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def label(self) -> Mapping[str, object]: ...  # noqa: D102


class Makers:
    """Finds the scope of a maker; remembers it for two seconds, because triggers ask within open transactions."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy
        self._remembered: OrderedDict[tuple[object, ...], tuple[float, Scope]] = OrderedDict()

    async def scope(self, tenant: str, made: Made, event: Label | None = None) -> Scope:
        """The maker's scope, its label joined with the event's.

        Raises Forbidden or DisabledKey when the person, the app or the key has been disabled since.
        """
        label = Label.from_wire(made.label)
        wire = (label if event is None else label.join(event)).to_wire()
        place = (tenant, made.user_id, made.app_id, made.key_id, tuple(made.permissions), json.dumps(wire, sort_keys=True))
        known = self._remembered.get(place)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        until = time.monotonic() + _REMEMBERED_S
        scope = await self._tenancy.scope_of_work(
            tenant,
            user=made.user_id,
            app=made.app_id,
            key=made.key_id,
            permissions=made.permissions,
            label=wire,
        )
        self._remembered[place] = (until, scope)
        self._remembered.move_to_end(place)
        while len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return scope


def maker_of(scope: Scope) -> dict[str, object]:
    """What is kept of who makes something: never more than they may do now."""
    return {
        "user": scope.user,
        "app": scope.app,
        "key": scope.key,
        "permissions": sorted(scope.permissions),
    }
