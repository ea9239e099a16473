"""Routes: a name of a tenant's own for several of its models, of which the first that may and can answers.

A member is a model or another route, whose members then stand in its place. What a route names may be removed; a route
over nothing that is left says so when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from bastide.audit import Audit
from bastide.errors import AlreadyThere, BadRoute, ModelExists, UnknownRoute
from bastide.inference.gateway import Route
from bastide.inference.registry import named
from bastide.inference.values import Model
from bastide.store import Db, Scope, Store, queries

ORDERS: Final = ("listed", "price", "latency")
_MEMBERS_MAX: Final = 32
_HEDGE_MS_MAX: Final = 600_000
_Q = queries("bastide.inference")
_ROUTES, _ROUTE, _ADD, _REMOVE, _NAMES = (
    _Q[name] for name in ("routes", "route", "add_route", "remove_route", "names_taken")
)


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """A route as it was made. `hedge_ms`: a second member is asked when the first has not begun to answer by then."""

    name: str
    members: tuple[str, ...]
    order: str = "listed"
    hedge_ms: int | None = None
    created: datetime | None = None

    def to_wire(self) -> dict[str, Any]:
        """As the doors show it."""
        return {
            "name": self.name,
            "members": list(self.members),
            "order": self.order,
            "hedge_ms": self.hedge_ms,
            "created": self.created.isoformat() if self.created else None,
        }


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    members: list[str]
    ordered: str
    hedge_ms: int | None
    created: datetime

    def route(self) -> ModelRoute:
        return ModelRoute(self.name, tuple(self.members), self.ordered, self.hedge_ms, self.created)


class Routes:
    """The routes of all tenants."""

    def __init__(
        self, store: Store, audit: Audit, built_in: Callable[[], list[Model]], changed: Callable[[str], None]
    ) -> None:
        """`built_in` gives this process's own models; `changed` is told the tenant whose routes have changed."""
        self._store = store
        self._audit = audit
        self._built_in = built_in
        self._changed = changed

    async def list(self, scope: Scope) -> list[ModelRoute]:
        """The tenant's routes that the caller's key may name, by name."""
        scope.need("model:use")
        return [route for route in await self._all(scope) if scope.may_name(route.name)]

    async def show(self, scope: Scope, name: str) -> ModelRoute:
        """One of them. Raises UnknownRoute."""
        scope.need("model:use")
        async with self._store.under(scope) as db:
            row = await db.row(_Row, _ROUTE, name=name) if named(name) and scope.may_name(name) else None
        if row is None:
            raise UnknownRoute(f"There is no route {name[:128]!r} here.", route=name[:128])
        return row.route()

    async def add(self, scope: Scope, route: ModelRoute) -> ModelRoute:
        """Make a route. Raises BadRoute for what cannot be, ModelExists for a name that is taken."""
        scope.need("model:manage")
        _check(route)
        async with self._store.under(scope) as db:
            await self._check_members(db, route)
            try:
                made = await db.row(
                    _Row,
                    _ADD,
                    name=route.name,
                    members=list(route.members),
                    ordered=route.order,
                    hedge_ms=route.hedge_ms,
                )
            except AlreadyThere as fault:
                raise _taken(route.name) from fault
            details = {"members": list(route.members), "order": route.order, "hedge_ms": route.hedge_ms}
            await self._audit.record(db, "route.add", resource=route.name, details=details)
        assert made is not None, "an insert that returns"
        self._changed(scope.tenant)
        return made.route()

    async def remove(self, scope: Scope, name: str) -> None:
        """Forget a route; its members stay. Raises UnknownRoute."""
        scope.need("model:manage")
        async with self._store.under(scope) as db:
            if not named(name) or not await db.run(_REMOVE, name=name):
                raise UnknownRoute(f"There is no route {name[:128]!r} to remove.", route=name[:128])
            await self._audit.record(db, "route.remove", resource=name)
        self._changed(scope.tenant)

    async def refuse_name(self, scope: Scope, name: str) -> None:
        """Raises ModelExists where a route has the name that a model is to have."""
        async with self._store.under(scope) as db:
            if named(name) and await db.row(_Row, _ROUTE, name=name) is not None:
                raise _taken(name)

    async def members(self, scope: Scope, name: str) -> tuple[str, ...]:
        """The models that a route leads to, in its order; none where there is no such route."""
        route = await self.of(scope, name)
        return route.members if route else ()

    async def of(self, scope: Scope, name: str) -> Route | None:
        """A route as calls use it: over models only."""
        return next((one for one in await self.for_gateway(scope) if one.name == name), None)

    async def for_gateway(self, scope: Scope) -> tuple[Route, ...]:
        """All routes as calls use them: over models only. What a caller may name is asked at the call."""
        scope.need("model:use")
        routes = {one.name: one for one in await self._all(scope)}
        return tuple(
            Route(one.name, _flat(one.name, routes), one.order, one.hedge_ms / 1000 if one.hedge_ms else None)
            for one in routes.values()
        )

    async def _all(self, scope: Scope) -> Sequence[ModelRoute]:
        async with self._store.under(scope) as db:
            return [row.route() for row in await db.rows(_Row, _ROUTES)]

    async def _check_members(self, db: Db, route: ModelRoute) -> None:
        taken = {row.name: row.route for row in await db.rows(_Name, _NAMES)}
        taken |= {model.name: False for model in self._built_in()}
        if route.name in taken and not taken[route.name]:
            raise ModelExists(f"There is a model {route.name} already.", model=route.name)
        for member in route.members:
            if member == route.name:
                raise BadRoute(f"{member} cannot be a member of itself.", field="members")
            if member not in taken:
                raise BadRoute(f"There is no model or route {member[:128]!r} here.", field="members")
        routes = {row.name: row.route() for row in await db.rows(_Row, _ROUTES)}
        if route.name in _reached(route.members, routes):
            raise BadRoute(f"{route.name} would lead to itself.", field="members")


@dataclass(frozen=True, slots=True)
class _Name:
    name: str
    route: bool


def _check(route: ModelRoute) -> None:
    if not named(route.name) or route.name.startswith("local/") or route.name == "auto":
        raise BadRoute("A route's name has up to 128 letters, digits and ._:/@+- and is not `auto`.", field="name")
    if not 0 < len(route.members) <= _MEMBERS_MAX or len(set(route.members)) < len(route.members):
        raise BadRoute(f"A route has 1 to {_MEMBERS_MAX} members, each once.", field="members")
    if route.order not in ORDERS:
        raise BadRoute(f"The order is {', '.join(ORDERS[:-1])} or {ORDERS[-1]}.", field="order")
    if route.hedge_ms is not None and not 0 < route.hedge_ms <= _HEDGE_MS_MAX:
        raise BadRoute(f"hedge_ms is 1 to {_HEDGE_MS_MAX:,}.", field="hedge_ms")


def _reached(members: tuple[str, ...], routes: Mapping[str, ModelRoute]) -> set[str]:
    """Every name that these members lead to."""
    reached: set[str] = set()
    waiting = list(members)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(routes[name].members if name in routes else ())
    return reached


def _flat(name: str, routes: Mapping[str, ModelRoute], above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The models of a route in their order, each once; what leads back to where it came from is left out."""
    found: dict[str, None] = {}
    for member in routes[name].members:
        if member not in routes:
            found[member] = None
        elif member not in (*above, name):
            found.update(dict.fromkeys(_flat(member, routes, (*above, name))))
    return tuple(found)


def _taken(name: str) -> ModelExists:
    step = f"Choose another name, or remove the route first: `bastide route remove {name}`."
    return ModelExists(f"There is a route {name} already.", next_step=step, model=name)
