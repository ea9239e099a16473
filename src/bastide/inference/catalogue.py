"""Catalogue: what the endpoints of a tenant say that they offer, kept with its time.

An endpoint is asked for its list of models through a decision and a permit, like any call; nothing of the tenant goes
there but the key. Prices and what has vanished are used from then on: a model that its server lists no more is marked
and not chosen by itself, until it is listed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import BadModel, UpstreamGarbage
from bastide.inference import openai_style as wire
from bastide.inference.adapters import ADAPTERS, Offered
from bastide.inference.calls import Calls, endpoint_of, pin_of
from bastide.inference.registry import Known, Registry, act_of
from bastide.inference.values import Model
from bastide.policy import Label, Policy
from bastide.store import Scope, Store, queries

_ASKING_S: Final = 30.0
_KINDS: Final = {"google": "gemini"}  # whose records begin otherwise than their kind is called
_EMPTY: Final = Label(cls="public", personal="none")  # a list is asked for with nothing in it
_Q = queries("bastide.inference")
_OFFERS, _OF_ENDPOINT, _KEEP, _GONE = (
    _Q[name] for name in ("offers", "offers_of_endpoint", "keep_offer", "offers_gone")
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that an endpoint lists, or did until `gone_at`. Prices are for a million tokens in `currency`."""

    record: str
    url: str
    name: str
    context_tokens: int | None
    output_tokens_max: int | None
    input_price: float | None
    output_price: float | None
    currency: str
    capabilities: list[str]
    stands_for: str
    first_seen_at: datetime
    seen_at: datetime
    gone_at: datetime | None

    def to_wire(self) -> dict[str, Any]:
        """As the doors show it."""
        moments = {name: getattr(self, name) for name in ("first_seen_at", "seen_at", "gone_at")}
        return {
            **{name: getattr(self, name) for name in self.__slots__ if name not in moments},
            **{name: moment.isoformat() if moment else None for name, moment in moments.items()},
        }


@dataclass(frozen=True, slots=True)
class Repriced:
    """A model whose price has changed: in and out, before and now, with its currency."""

    name: str
    before: tuple[float | None, float | None, str]
    now: tuple[float | None, float | None, str]


@dataclass(frozen=True, slots=True)
class Synced:
    """What an endpoint offers, against what it offered before. `affected` are the tenant's models that went with it."""

    record: str
    url: str
    offered: int
    came: tuple[str, ...]
    went: tuple[str, ...]
    repriced: tuple[Repriced, ...]
    affected: tuple[str, ...]

    def to_wire(self) -> dict[str, Any]:
        """As the doors show it."""
        return {
            "record": self.record,
            "url": self.url,
            "offered": self.offered,
            "came": list(self.came),
            "went": list(self.went),
            "repriced": [{"name": one.name, "before": list(one.before), "now": list(one.now)} for one in self.repriced],
            "affected": list(self.affected),
        }


class Catalogue:
    """The lists of all tenants."""

    def __init__(
        self,
        store: Store,
        audit: Audit,
        policy: Policy,
        egress: Egress,
        registry: Registry,
        calls: Calls,
        changed: Callable[[str], None],
    ) -> None:
        """`changed` is told the tenant whose catalogue has changed."""
        self._store = store
        self._audit = audit
        self._policy = policy
        self._egress = egress
        self._registry = registry
        self._calls = calls
        self._changed = changed

    async def offers(self, scope: Scope, provider: str | None = None) -> list[Offer]:
        """What was listed when it was last asked for, by record and name; that of one provider's record, or all."""
        scope.need("model:use")
        async with self._store.under(scope) as db:
            return await db.rows(Offer, _OFFERS, record=provider)

    async def sync(self, scope: Scope, *, model: str | None = None, provider: str | None = None) -> Synced:
        """Ask the endpoint of a model, or of a provider's record, what it offers, and keep that.

        Raises BadModel, UnknownModel, UnknownRecord, NoPermittedModel, UpstreamGarbage for an empty list, and what
        egress and the server raise: then what was known before stays.
        """
        scope.need("model:manage")
        if (model is None) == (provider is None):
            raise BadModel("Say either the model or the provider whose catalogue is meant.", field="model")
        known = await self._endpoint(scope, model, provider)
        return await self.kept(scope, known.model, await self._asked(scope, known))

    async def endpoints(self, scope: Scope, provider: str | None = None) -> list[str]:
        """A model of the tenant for each endpoint that could be asked."""
        scope.need("model:manage")
        found: dict[tuple[str, str], str] = {}
        for known in await self._registry.all(scope, []):
            if provider in {None, known.model.record}:
                found.setdefault((known.model.record, known.model.url), known.model.name)
        return sorted(found.values())

    async def _endpoint(self, scope: Scope, model: str | None, provider: str | None) -> Known:
        if model is not None:
            return await self._registry.one(scope, model, [])
        record = self._policy.record(provider or "")
        for known in await self._registry.all(scope, []):
            if known.model.record == record.id:
                return known
        kind = record.id.partition("/")[0]
        kind = _KINDS.get(kind, kind if kind in ADAPTERS else "openai")
        if not record.url:
            raise BadModel(f"The record {record.id} names no address; add a model over it first.", field="provider")
        parts = urlsplit(record.url)
        url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or ADAPTERS[kind].root}"
        asked = (record.covers or ("",))[0]
        return Known(Model(record.id, kind, ("chat",), record.id, url, asked, record.kind == "local"))

    async def _asked(self, scope: Scope, known: Known) -> list[Offered]:
        model = known.model
        place = wire.Place(urlsplit(model.url).path, known.key, ADAPTERS[model.kind], pin_of(self._policy, model))
        await self._policy.refresh(scope)
        label = Label.of_scope(scope).join(_EMPTY)
        decision = self._policy.decide(scope, label, endpoint_of(model), capability=act_of(model.capabilities[0]))
        decision.permit()
        async with self._egress.open(self._calls.permit(decision, self._egress), total_s=_ASKING_S) as client:
            offered = await wire.list_models(client, place)
        if not offered:
            raise UpstreamGarbage("The server lists no model at all; what was known of it stays.")
        return offered

    async def kept(self, scope: Scope, model: Model, offered: Sequence[Offered]) -> Synced:
        """What an endpoint offers, kept; against what it offered before."""
        place = {"record": model.record, "url": model.url}
        async with self._store.under(scope) as db:
            rows = await db.rows(Offer, _OF_ENDPOINT, **place)
            before = {row.name: row for row in rows if row.gone_at is None}
            now = {one.name: one for one in sorted(offered, key=lambda one: one.name)}
            await db.many(_KEEP, [{**place, **_values(one)} for one in now.values()])
            went = sorted(set(before) - set(now))
            if went:
                await db.run(_GONE, **place, names=went)
            done = Synced(
                **place,
                offered=len(now),
                came=tuple(sorted(set(now) - set(before))),
                went=tuple(went),
                repriced=_repriced(before, now),
                affected=await self._affected(scope, model, went),
            )
            await self._audit.record(db, "model.sync", resource=model.record, details=_noted(done))
        self._changed(scope.tenant)
        return done

    async def _affected(self, scope: Scope, model: Model, went: Sequence[str]) -> tuple[str, ...]:
        if not went:
            return ()
        everyone = [known.model for known in await self._registry.all(scope, [])]
        return tuple(
            one.name for one in everyone if (one.record, one.url) == (model.record, model.url) and one.upstream in went
        )


def _values(one: Offered) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in one.__slots__}
    return {**values, "capabilities": list(one.capabilities)}


def _repriced(before: Mapping[str, Offer], now: Mapping[str, Offered]) -> tuple[Repriced, ...]:
    found = []
    for name, one in now.items():
        old = before.get(name)
        if old is not None:
            was, new = (old.input_price, old.output_price, old.currency), (one.input, one.output, one.currency)
            if was != new:
                found.append(Repriced(name, was, new))
    return tuple(found)


def _noted(done: Synced) -> dict[str, Any]:
    """As the log has it: the first names, and how many."""
    lists = {"came": done.came, "went": done.went, "repriced": [one.name for one in done.repriced]}
    counts = {name: len(names) for name, names in lists.items()}
    return {"url": done.url, "offered": done.offered, **counts, "first": {n: list(v)[:20] for n, v in lists.items()}}
