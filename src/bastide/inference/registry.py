"""The models of a tenant: what was added, with sealed keys, and what is built in."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import SplitResult, urlsplit

from bastide.audit import Audit
from bastide.errors import AlreadyThere, BadModel, ModelExists, UnknownModel
from bastide.inference.adapters import ADAPTERS
from bastide.inference.values import Model, ModelSpec
from bastide.inference.vision import VISION
from bastide.policy import Price
from bastide.store import Db, Scope, Store, queries

CAPABILITIES = (
    "chat",
    "embeddings",
    "rerank",
    *VISION,
    "transcription",
    "speech",
    "images",
    "batch.chat",  # in batches only: such a model does not do `chat`, so no call by itself chooses it
    "batch.embeddings",
)
LOCAL_RUNTIME = "local/runtime"
_PRICE_HOLDS = timedelta(days=30)  # a listed price is known for so long; then it is as unknown as one never seen
_Q = queries("bastide.inference")
_MODELS, _MODEL, _ADD, _REMOVE = _Q["models"], _Q["model"], _Q["add_model"], _Q["remove_model"]
_RATE_MAX = 1_000_000  # requests a minute
REMEMBERED_S = 1.0
_TENANTS_MAX = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_RERANKS = re.compile(r"re-?rank|cross-?encoder", re.IGNORECASE)
_EMBEDS = re.compile(r"embed|\bbge\b|\be5\b|\bgte\b|minilm", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Known:
    """A model with its key, for the time of one call; `price` is what its endpoint's catalogue says, if it does."""

    model: Model
    key: str | None = field(default=None, repr=False)
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    kind: str
    capabilities: list[str]
    record: str
    url: str
    upstream: str
    local: bool
    rank: int
    sealed_key: bytes | None = field(repr=False)
    dimensions: int | None
    requests_per_minute: int | None
    pseudonymise: bool
    added_at: datetime
    context_tokens: int | None
    input_price: float | None
    output_price: float | None
    currency: str | None
    seen_at: datetime | None
    gone_at: datetime | None

    def model(self) -> Model:
        return Model(
            name=self.name,
            kind=self.kind,
            capabilities=tuple(self.capabilities),
            record=self.record,
            url=self.url,
            upstream=self.upstream,
            local=self.local,
            rank=self.rank,
            has_key=self.sealed_key is not None,
            dimensions=self.dimensions,
            requests_per_minute=self.requests_per_minute,
            pseudonymise=self.pseudonymise,
            added_at=self.added_at,
            context_tokens=self.context_tokens,
            gone=self.gone_at is not None,
            problem=f"Its server lists it no more (since {self.gone_at:%Y-%m-%d %H:%M} UTC)." if self.gone_at else "",
        )

    def price(self) -> Price | None:
        """What its endpoint lists as its price, while that holds; what it lists is for calls, not for batches."""
        if self.input_price is None or self.seen_at is None or ADAPTERS[self.kind].batches is not None:
            return None
        until = self.seen_at + _PRICE_HOLDS
        source = f"{self.url}, its list of models of {self.seen_at:%Y-%m-%d}"
        return Price(self.input_price, self.output_price, self.currency or "", source, until)


def unknown(name: str) -> UnknownModel:
    """The refusal of a name that is nobody's, or not the caller's to name: one is told like the other."""
    return UnknownModel(f"There is no model {name[:128]!r} here.", model=name[:128], param="model")


class Registry:
    """Reads and writes the table of models; the built-in ones join in when they are listed."""

    def __init__(self, store: Store, audit: Audit) -> None:
        self._store = store
        self._audit = audit
        self._lately: OrderedDict[str, tuple[float, tuple[Known, ...]]] = OrderedDict()

    async def lately(self, scope: Scope, built_in: list[Model]) -> list[Known]:
        """The tenant's models in no order, without their keys; as they were at most a second ago."""
        known = self._lately.get(scope.tenant)
        if known is None or known[0] < time.monotonic():
            until = time.monotonic() + REMEMBERED_S
            known = until, tuple(Known(one.model) for one in await self.all(scope, []))
            self._lately[scope.tenant] = known
            while len(self._lately) > _TENANTS_MAX:
                self._lately.popitem(last=False)
        return [*known[1], *map(Known, built_in)]

    async def all(self, scope: Scope, built_in: list[Model]) -> list[Known]:
        """Every model of the tenant, best first."""
        async with self._store.under(scope) as db:
            rows = await db.rows(_Row, _MODELS)
            known = [Known(row.model(), await _key(db, row), row.price()) for row in rows]
        known += [Known(model) for model in built_in]
        return sorted(known, key=lambda one: (one.model.rank, one.model.name))

    async def one(self, scope: Scope, name: str, built_in: list[Model]) -> Known:
        """The model of this name. Raises UnknownModel."""
        for model in built_in:
            if model.name == name:
                return Known(model)
        if named(name):
            async with self._store.under(scope) as db:
                row = await db.row(_Row, _MODEL, name=name)
                if row is not None:
                    return Known(row.model(), await _key(db, row), row.price())
        raise unknown(name)

    async def refuse_twice(self, scope: Scope, name: str) -> None:
        """Raises ModelExists when the name is taken."""
        async with self._store.under(scope) as db:
            if await db.row(_Row, _MODEL, name=name) is not None:
                raise ModelExists(f"There is a model {name} already.", model=name)

    async def add(self, scope: Scope, model: Model, key: str | None, details: Mapping[str, Any]) -> Model:
        """Keep a model; its key is sealed. The model as it is kept. Raises ModelExists."""
        async with self._store.under(scope) as db:
            try:
                added_at: datetime = await db.value(
                    _ADD,
                    name=model.name,
                    kind=model.kind,
                    capabilities=list(model.capabilities),
                    record=model.record,
                    url=model.url,
                    upstream=model.upstream,
                    local=model.local,
                    rank=model.rank,
                    requests_per_minute=model.requests_per_minute,
                    pseudonymise=model.pseudonymise,
                    sealed_key=None if key is None else await db.seal(key.encode(), about=_about(model.name)),
                )
            except AlreadyThere as fault:
                raise ModelExists(f"There is a model {model.name} already.", model=model.name) from fault
            await self._audit.record(db, "model.add", resource=model.name, details=details)
        self._lately.pop(scope.tenant, None)
        return replace(model, added_at=added_at)

    async def remove(self, scope: Scope, name: str) -> None:
        """Forget a model and its key. Raises UnknownModel."""
        async with self._store.under(scope) as db:
            if not await db.run(_REMOVE, name=name):
                raise UnknownModel(f"There is no model {name[:128]!r} to remove.", model=name[:128])
            await self._audit.record(db, "model.remove", resource=name)
        self._lately.pop(scope.tenant, None)


def able(known: Sequence[Known], capability: str) -> list[Known]:
    """Those among which the room's own operations choose: what its server lists no more is not chosen, and what gets
    pseudonyms is asked by the gateway, which makes them."""
    return [one for one in known if one.model.does(capability) and not one.model.pseudonymise]


async def _key(db: Db, row: _Row) -> str | None:
    return None if row.sealed_key is None else (await db.unseal(row.sealed_key, about=_about(row.name))).decode()


def _about(name: str) -> str:
    return f"inference.model|{name}|key"


# -- what a person writes ---------------------------------------------------------------------------


def checked(spec: ModelSpec) -> tuple[ModelSpec, str]:
    """The spec once its words are known to be usable, and the address where its interface begins.

    An address without a path means where its kind of server has it, `/v1` nearly always. Raises BadModel.
    """
    if not named(spec.name) or spec.name.startswith("local/"):
        raise BadModel("A model's name has up to 128 letters, digits and ._:/@+- and does not begin with local/.")
    adapter = ADAPTERS.get(spec.kind)
    if adapter is None:
        raise BadModel(f"The kind {spec.kind[:40]!r} is not known; kinds: {', '.join(ADAPTERS)}.", field="kind")
    if spec.local == bool(spec.provider):
        raise BadModel("Say either that it is local, or which provider's record describes it.", field="provider")
    if spec.capabilities is not None and (not spec.capabilities or set(spec.capabilities) - set(CAPABILITIES)):
        raise BadModel(f"Capabilities are {', '.join(CAPABILITIES)}.", field="capabilities")
    if unable := [one for one in spec.capabilities or () if not adapter.can(one)]:
        raise BadModel(f"{adapter.title} cannot be asked for {unable[0]} here.", field="capabilities")
    if adapter.batches is not None and spec.pseudonymise:
        raise BadModel("What goes into a batch is not put under pseudonyms.", field="pseudonymise")
    if spec.requests_per_minute is not None and not 0 < spec.requests_per_minute <= _RATE_MAX:
        raise BadModel(f"A rate is 1 to {_RATE_MAX:,} requests a minute.", field="requests_per_minute")
    if spec.key is not None and (not spec.key.strip() or not spec.key.isascii() or not spec.key.strip().isprintable()):
        raise BadModel("The key is empty or holds characters that no header may carry.", field="key")
    parts = address(spec.url)
    path = parts.path.rstrip("/") or adapter.root
    if adapter.own_root and not path.endswith(adapter.own_root):
        raise BadModel(f"The address of your own product there is needed, ending in {adapter.own_root}.", field="url")
    return spec, f"{parts.scheme}://{parts.netloc}{path}"


def named(name: str) -> bool:
    """Whether this can be the name of a model or of a route at all."""
    return _NAME.fullmatch(name) is not None


def address(url: str) -> SplitResult:
    """The parts of a model's address. Raises BadModel."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or not url.isascii() or any(character.isspace() for character in url):
        raise BadModel("The address must be http(s)://host[:port][/path].", field="url")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadModel("The address holds no user name, query or fragment; give the key as a key.", field="url")
    return parts


def guessed(upstream: str, kind: str = "openai") -> tuple[str, ...]:
    """What a model of this name most likely does, at a server of this kind."""
    does = "embeddings" if _EMBEDS.search(upstream) else "chat"
    if ADAPTERS[kind].batches is not None:
        return (f"batch.{does}",)
    return ("rerank",) if _RERANKS.search(upstream) else (does,)


def act_of(capability: str) -> str:
    """The kind of act that policy decides on where a model is asked for this."""
    return capability.partition(".")[0]
