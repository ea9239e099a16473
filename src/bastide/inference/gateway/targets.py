"""Targets: the models of a tenant as the gateway calls them, at hand in memory.

A view is read under a scope of its tenant and holds for two seconds; half of them before, it is read anew behind the
calls. While the database is away they go on with what is at hand for as long as settings allow (`stale_s`): that stops
no call that was allowed before, and whatever needs a fresh word (a key, a policy) has limits of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from bastide import telemetry
from bastide.egress import Line, Patience
from bastide.errors import DatabaseUnavailable, UnknownModel, WrongCapability
from bastide.inference.adapters import ADAPTERS, Adapter
from bastide.inference.calls import endpoint_of
from bastide.inference.pacing import Limits, Pace, Paces
from bastide.inference.registry import Known, unknown
from bastide.inference.values import Model, Usage
from bastide.policy import Decision, Endpoint, Price
from bastide.store import Presence, Scope

_ANSWER_S: Final = 2.0  # a call waits so long where there is a view that it may use
_OUTDATED_S: Final = 10.0  # and so long where there is an outdated one
_MADE_ANEW_S: Final = 60.0  # what is said has not changed; prices and limits that records tell may have run out
_COOL_S: Final = 5.0  # a target that failed is asked last for so long
LATELY_S: Final = 60.0  # so long a latency is known, once it was measured
_SLOWER: Final = 0.2  # how much of a new measurement goes into a target's latency


@dataclass(frozen=True, slots=True)
class Way:
    """How a target is asked under one decision: in which wire, over which line, with which head (but for its length).

    `pin` is the upstream that a router must stay with, "" for none.
    """

    decision: Decision
    wire: str
    line: Line
    head: bytes
    patience: Patience
    pin: str


class Ways(Protocol):
    """Who makes them."""

    def open_line(self, decision: Decision) -> Line: ...
    def pin(self, target: Target) -> str: ...
    def patience(self, stream: bool) -> Patience: ...


@dataclass(slots=True)
class Target:
    """One model at one endpoint, with what every call of it needs made once."""

    model: Model
    key: str | None = field(repr=False)
    adapter: Adapter | None
    endpoint: Endpoint
    price: Price
    latency_s: float = 0.0
    cool_until: float = 0.0  # by the monotonic clock, as what follows
    tried_at: float = float("-inf")  # when it was last asked first for being the fastest
    doubted: bool = False  # what was measured is old: the next measurement takes its place
    pace: Pace = field(default_factory=Pace, repr=False)
    body_bytes_max: int | None = None
    root: str = ""
    _ways: dict[tuple[int, str, bool], Way] = field(default_factory=dict, repr=False)

    def way(self, decision: Decision, wire: str, stream: bool, behind: Ways) -> Way:
        """The way that this decision is worth for requests of a wire; made once for each. Raises WrongCapability."""
        known = self._ways.get((id(decision), wire, stream))
        if known is None:
            if len(self._ways) > 256:
                self._ways.clear()
            known = self._ways[(id(decision), wire, stream)] = self._opened(decision, wire, stream, behind)
        return known

    def _opened(self, decision: Decision, wire: str, stream: bool, behind: Ways) -> Way:
        adapter = self.adapter
        assert adapter is not None, "a built-in model is not asked over a wire"
        spoken = adapter.speaks(wire)
        if spoken is None:
            raise WrongCapability(f"{self.model.name} does not speak this wire.", model=self.model.name)
        line = behind.open_line(decision)
        path = self.root + adapter.path(spoken, self.model.upstream, stream=stream)
        accept = "text/event-stream" if stream else "application/json"
        headers = {"content-type": "application/json", "accept": accept, **adapter.headers(self.key)}
        head = line.head("POST", path, headers)
        return Way(decision, spoken, line, head, behind.patience(stream), behind.pin(self))

    def cost(self, usage: Usage) -> float | None:
        """What this much costs, in euros; None where no price is known."""
        price = self.price
        if price.input is None or price.output is None:
            return None
        return (usage.input * price.input + usage.output * price.output) / 1e6

    def is_like(self, other: Target) -> bool:
        """Whether nothing of it has changed but what was learnt."""
        mine, theirs = ((one.model, one.key, one.price, one.body_bytes_max) for one in (self, other))
        return mine == theirs and self.pace is other.pace

    def took(self, seconds: float) -> None:
        """An answer began after so long."""
        seconds = max(seconds, 0.0)  # the clock may have been set meanwhile
        if self.doubted or not self.latency_s:
            self.latency_s, self.doubted = seconds, False
        else:
            self.latency_s = (1 - _SLOWER) * self.latency_s + _SLOWER * seconds
        self.cool_until = 0.0

    def expected_s(self, now: float) -> float:
        """How soon it is expected to begin. Who was not asked lately may have got faster: one call finds out."""
        return self.latency_s if now - self.tried_at <= LATELY_S else 0.0

    def failed(self, now: float) -> None:
        """It did not answer as it should: others go first for a while."""
        self.cool_until = now + _COOL_S


@dataclass(frozen=True, slots=True)
class Group:
    """The targets that may answer one kind of request, in the order of the tenant; `endpoints` stand beside them."""

    targets: tuple[Target, ...]
    endpoints: tuple[Endpoint, ...]
    hedge_s: float | None = None
    by_latency: bool = False
    pseudonymises: bool = False  # whether any of them takes pseudonyms only

    @classmethod
    def of(cls, targets: Sequence[Target], hedge_s: float | None = None, *, by_latency: bool = False) -> Group:
        """These targets, as one group."""
        hides = any(one.model.pseudonymise for one in targets)
        return cls(tuple(targets), tuple(one.endpoint for one in targets), hedge_s, by_latency, hides)


@dataclass(frozen=True, slots=True)
class Route:
    """A name for several models, of which the first that may and can answers; `order`: listed, price or latency."""

    name: str
    members: tuple[str, ...]
    order: str = "listed"
    hedge_s: float | None = None


class View:
    """The models and routes of one tenant at one moment."""

    def __init__(
        self, targets: Sequence[Target], routes: Sequence[Route], read_at: float, known: Sequence[Known] = ()
    ) -> None:
        """`known` is what the targets were made of."""
        self.read_at = self.made_at = read_at
        self.scope: Scope | None = None  # under which it was read
        self._said = (known, routes)
        self._targets = {one.model.name: one for one in targets}
        self._routes = {one.name: one for one in routes}
        self._groups: dict[tuple[str, str | None], Group] = {}
        self._within: dict[tuple[str, tuple[str, ...]], Group] = {}

    def group(self, capability: str, name: str | None) -> Group:
        """Who may be asked for this. Raises UnknownModel or WrongCapability."""
        known = self._groups.get((capability, name))
        if known is None:
            known = self._groups[(capability, name)] = self._grouped(capability, name)
        return known

    def group_for(self, scope: Scope, capability: str, name: str | None) -> Group:
        """The same for a caller whose key may name some models only: a route that it may name leads to all members.

        Raises UnknownModel for what it may not name, as for what there is not, and WrongCapability.
        """
        if scope.models is None:
            return self.group(capability, name)
        if name is not None:
            if not scope.may_name(name):
                raise unknown(name)
            return self.group(capability, name)
        known = self._within.get((capability, scope.models))
        if known is None:
            known = self._within[(capability, scope.models)] = self._grouped_for(scope, capability)
        return known

    def _grouped_for(self, scope: Scope, capability: str) -> Group:
        ways = {one for route in self._routes.values() if scope.may_name(route.name) for one in route.members}
        able = [
            one
            for name, one in self._targets.items()
            if one.model.does(capability) and (scope.may_name(name) or name in ways)
        ]
        if not able:
            raise UnknownModel(f"There is no model for {capability} here.")
        return Group.of(able)

    def _grouped(self, capability: str, name: str | None) -> Group:
        if name is None:
            able = [one for one in self._targets.values() if one.model.does(capability)]
            if not able:
                raise UnknownModel(f"There is no model for {capability} here.")
            return Group.of(able)
        route = self._routes.get(name)
        if route is not None:
            members = [self._targets[one] for one in route.members if one in self._targets]
            able = [one for one in members if one.model.does(capability)]
            if not able:
                raise UnknownModel(f"No model of the route {name} does {capability} any more.", model=name)
            return Group.of(_ordered(able, route.order), route.hedge_s, by_latency=route.order == "latency")
        target = self._targets.get(name)
        if target is None:
            raise unknown(name)
        if capability not in target.model.capabilities:
            does = " and ".join(target.model.capabilities)
            raise WrongCapability(f"{name} does {does}, not {capability}.", model=name, param="model")
        return Group.of([target])

    def says(self, known: Sequence[Known], routes: Sequence[Route]) -> bool:
        """Whether it is what would be made of these."""
        return self._said == (known, routes)

    def outdated(self) -> View:
        """The same, for nobody to go by: another is read."""
        other = copy(self)
        other.read_at = float("-inf")
        return other

    def keep(self, before: View) -> None:
        """What was learnt of targets that are still the same goes on."""
        for name, target in self._targets.items():
            old = before._targets.get(name)
            if old is not None and old.is_like(target):
                self._targets[name] = old


def _ordered(targets: Sequence[Target], order: str) -> list[Target]:
    """By price: our own first, then the cheapest; prices in another currency than the first one that is known cannot
    be compared with it and come after it, as listed, before those that are not known at all."""
    if order != "price":
        return list(targets)
    currency = next((one.price.currency for one in targets if not one.model.local and one.price.input is not None), "")

    def place(target: Target) -> tuple[int, float]:
        price = target.price
        if target.model.local:
            return 0, 0.0
        if price.blended == float("inf"):
            return 3, 0.0
        return (1, price.blended) if price.currency == currency else (2, 0.0)

    return sorted(targets, key=place)


async def _awaited(task: asyncio.Task[View]) -> View:
    return await asyncio.shield(task)


Read = Callable[[Scope], Awaitable[tuple[Sequence[Known], Sequence[Route]]]]


class Views:
    """The views of all tenants that were asked for lately."""

    def __init__(
        self,
        read: Read,
        price_of: Callable[[Known], Price],
        limits_of: Callable[[Model], Limits],
        paces: Paces,
        *,
        presence: Presence,
        fresh_s: float,
        stale_s: float,
    ) -> None:
        self._read = read
        self._presence = presence
        self._price_of = price_of
        self._limits_of = limits_of
        self._paces = paces
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._views: dict[str, View] = {}
        self._changes = 0  # what was read before a change is read again
        self._reading: dict[str, asyncio.Task[View]] = {}

    def known(self, tenant: str) -> View | None:
        """What was read last of a tenant's models, however old."""
        return self._views.get(tenant)

    def at_hand(self, scope: Scope) -> View | None:
        """The tenant's view, if it may still be used; one that is not fresh is read anew behind the caller."""
        view = self._views.get(scope.tenant)
        if view is None:
            return None
        age = time.monotonic() - view.read_at
        if age <= self._fresh_s / 2:
            return view
        silent = self._presence.silent
        if not silent and scope.tenant not in self._reading:
            self._begin(scope)
        usable = age <= self._fresh_s or (silent and self._presence.excuses(view.read_at, stale_s=self._stale_s))
        return view if usable else None

    async def read(self, scope: Scope) -> View:
        """The tenant's view as it is now, or as it was lately if nothing can be read. Raises DatabaseUnavailable."""
        before, presence = self._views.get(scope.tenant), self._presence
        if before is None:
            return await asyncio.shield(self._reading.get(scope.tenant) or self._begin(scope))

        def ask() -> Coroutine[Any, Any, View]:
            return _awaited(self._reading.get(scope.tenant) or self._begin(scope))

        try:
            if before.read_at > float("-inf"):
                return await presence.unless_silent(ask, within_s=_ANSWER_S)
            if presence.away:
                raise DatabaseUnavailable
            return await presence.promptly(ask(), within_s=_OUTDATED_S)
        except DatabaseUnavailable:
            if not presence.excuses(before.read_at, stale_s=self._stale_s):
                raise
            return before

    def forget(self, tenant: str) -> None:
        """Something of the tenant has changed here: the next call reads."""
        self._changes += 1
        self._views.pop(tenant, None)
        self._reading.pop(tenant, None)

    def told(self, tenant: str) -> None:
        """Something of the tenant was changed elsewhere: it is read at once, and calls that begin wait for that."""
        view = self._views.get(tenant)
        if view is None or view.scope is None:
            return
        self._changes += 1
        self._reading.pop(tenant, None)
        self._views[tenant] = view.outdated()
        self._begin(view.scope)

    async def stop(self) -> None:
        """End what is being read."""
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _begin(self, scope: Scope) -> asyncio.Task[View]:
        task = asyncio.get_running_loop().create_task(self._fetch(scope))
        self._reading[scope.tenant] = task
        task.add_done_callback(lambda done: self._done(scope.tenant, done))
        return task

    def _done(self, tenant: str, task: asyncio.Task[View]) -> None:
        if self._reading.get(tenant) is task:
            del self._reading[tenant]
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not isinstance(fault, DatabaseUnavailable):
            telemetry.log.warning("the models of a tenant could not be read: %s", fault)

    async def _fetch(self, scope: Scope) -> View:
        asked_at, changes = time.monotonic(), self._changes
        known, routes = await self._read(scope)
        if changes != self._changes:
            asked_at -= self._fresh_s
        before = self._views.get(scope.tenant)
        if before is not None and before.says(known, routes) and asked_at - before.made_at < _MADE_ANEW_S:
            before.read_at = asked_at
            return before
        view = View([self._target(scope, one) for one in known], routes, asked_at, known)
        await self._paces.at_hand()
        view.scope = scope
        if before is not None:
            view.keep(before)
        self._views[scope.tenant] = view
        return view

    def _target(self, scope: Scope, known: Known) -> Target:
        model, endpoint = known.model, endpoint_of(known.model)
        limits = self._limits_of(model)
        pace = self._paces.of(scope, model, known.key, limits.requests_per_minute)
        adapter = None if model.built_in else ADAPTERS[model.kind]
        root = urlsplit(model.url).path.rstrip("/")
        return Target(
            model,
            known.key,
            adapter,
            endpoint,
            self._price_of(known),
            pace=pace,
            body_bytes_max=limits.body_bytes_max,
            root=root,
        )
