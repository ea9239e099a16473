"""Candidates: the models that an operation of the room may ask, the best first.

A key with a list of models comes to those in it, and by a route in it to the members of that route. What this process
does by itself (the vectors of a search, the sentences of an answer) asks nobody, and no list is in its way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bastide.errors import UnknownModel, WrongCapability
from bastide.inference.registry import Known, Registry, able, unknown
from bastide.inference.routing import Routes
from bastide.inference.values import Model
from bastide.store import Scope


class Candidates:
    """Finds them in what a tenant has and what is built in."""

    def __init__(self, registry: Registry, routes: Routes, built_in: Callable[[], list[Model]]) -> None:
        self._registry = registry
        self._routes = routes
        self._built_in = built_in

    async def of(self, scope: Scope, name: str | None, capability: str) -> list[Known]:
        """Whom a name leads to; without one, all who do `capability`. Raises UnknownModel and WrongCapability."""
        built_in = self._built_in()
        if name is None:
            return able(await self._within(scope, await self._registry.all(scope, built_in)), capability)
        if not scope.may_name(name) and all(name != model.name for model in built_in):
            raise unknown(name)
        try:
            known = await self._registry.one(scope, name, built_in)
        except UnknownModel:
            members = await self._routes.members(scope, name)
            if not members:
                raise
            everyone = {one.model.name: one for one in await self._registry.all(scope, built_in)}
            return able([everyone[one] for one in members if one in everyone], capability)
        if capability not in known.model.capabilities:
            raise WrongCapability(
                f"{name} does {' and '.join(known.model.capabilities)}, not {capability}.", model=name
            )
        if known.model.pseudonymise:
            raise WrongCapability(f"{name} is asked over the model wires (/v1/...) only.", model=name)
        return [known]

    async def others(self, scope: Scope, capability: str) -> list[Known]:
        """All who do `capability` and may be named in the place of one that is refused."""
        return [one for one in await self.of(scope, None, capability) if scope.may_name(one.model.name)]

    async def lately(self, scope: Scope) -> list[Known]:
        """All models that the caller comes to, in no order and without their keys; as they were a second ago."""
        return await self._within(scope, await self._registry.lately(scope, self._built_in()))

    async def named(self, scope: Scope, model: Model) -> Model:
        """The model under the name that this caller may ask it by."""
        name = (await self._ways(scope)).get(model.name) if not scope.may_name(model.name) else None
        return model if name is None else replace(model, name=name)

    async def _within(self, scope: Scope, everyone: list[Known]) -> list[Known]:
        if scope.models is None:
            return everyone
        ways = await self._ways(scope)
        return [
            one for one in everyone if one.model.built_in or scope.may_name(one.model.name) or one.model.name in ways
        ]

    async def _ways(self, scope: Scope) -> dict[str, str]:
        """The members of the routes that the caller may name, each with such a route."""
        routes = await self._routes.for_gateway(scope)
        return {member: route.name for route in routes if scope.may_name(route.name) for member in route.members}
