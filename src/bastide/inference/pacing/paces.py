"""The paces of all tenants in this process."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from bastide.inference.pacing.pace import Pace, Share
from bastide.inference.pacing.sharing import Sharing
from bastide.inference.values import Model
from bastide.store import Scope

_PACES_MAX: Final = 16_384


class Paces:
    """A pace for each model and key; what was not asked for longest is forgotten first."""

    def __init__(self, sharing: Sharing | None = None) -> None:
        """Without `sharing` each rate is wholly this process's."""
        self._paces: OrderedDict[tuple[str, ...], Pace] = OrderedDict()
        self._sharing = sharing

    def of(self, scope: Scope, model: Model, key: str | None, per_minute: int | None) -> Pace:
        """The pace of this model under this key, at this rate from now on."""
        under = hashlib.sha256((key or "").encode()).hexdigest()
        place = (scope.tenant, model.url, model.upstream, under)
        pace = self._paces.setdefault(place, Pace())
        self._paces.move_to_end(place)
        if len(self._paces) > _PACES_MAX:
            self._paces.popitem(last=False)
        before, pace.per_minute = pace.per_minute, per_minute
        if per_minute is None:
            pace.share = None
        elif self._sharing is not None:
            if pace.share is None:
                pace.share = Share(scope, "|".join(place[1:]).encode(), self._sharing.wake)
            elif before is not None and per_minute != before:
                pace.take_over(before)
                self._sharing.wake(pace)
            pace.share.scope = scope
            self._sharing.keep(pace)
        return pace

    async def at_hand(self) -> None:
        """Have a share of what none was asked for yet, as far as the database has any."""
        if self._sharing is not None:
            await self._sharing.begun()
