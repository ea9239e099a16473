"""Adding a model: whose it is, whether its server answers, and the tenant's word that it may be used."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from bastide.egress import Egress
from bastide.errors import BadModel, BastideError, NoPermittedModel, NotLocal
from bastide.inference import openai_style as wire
from bastide.inference.adapters import ADAPTERS, Offered
from bastide.inference.calls import Calls, endpoint_of, pin_of
from bastide.inference.registry import LOCAL_RUNTIME, Registry, act_of, address, checked, guessed
from bastide.inference.values import Model, ModelSpec
from bastide.policy import Label, Policy
from bastide.settings import InferenceSettings
from bastide.store import Scope

_ASKING_S = 10.0
_ROUTER_HOST, _ROUTER_RECORDS = "openrouter.ai", "openrouter/"
_RANK_LOCAL, _RANK_REMOTE = 50, 100


class Adding:
    """What happens once when a model is added."""

    def __init__(
        self, registry: Registry, calls: Calls, policy: Policy, egress: Egress, settings: InferenceSettings
    ) -> None:
        self._registry = registry
        self._calls = calls
        self._policy = policy
        self._egress = egress
        self._settings = settings

    # A model is added in this order, so that nothing is kept that could not be used:
    #   1. its words are checked, its name is free   4. its server is asked for the name it knows
    #   2. its address fits the record               5. model, sealed key and event are kept together
    #   3. the record is enabled for the tenant
    async def add(self, scope: Scope, spec: ModelSpec) -> Model:
        """The model, kept. Raises BadModel, NotLocal, UnknownRecord, ModelExists."""
        if not spec.url and spec.provider:
            spec = replace(spec, url=self._policy.record(spec.provider).url)
        spec, url = checked(spec)
        record = self._local_record(url) if spec.local else self._provider_record(spec, url)
        self._refuse_unpinned(spec, url, record)
        self._refuse_keeping_nothing(spec, record)
        await self._registry.refuse_twice(scope, spec.name)
        await self._enable(scope, record)
        upstream, problem = await self._ask(scope, spec, url, record)
        model = Model(
            name=spec.name,
            kind=spec.kind,
            capabilities=spec.capabilities or guessed(upstream, spec.kind),
            record=record,
            url=url,
            upstream=upstream,
            local=spec.local,
            rank=spec.rank if spec.rank is not None else _RANK_LOCAL if spec.local else _RANK_REMOTE,
            has_key=spec.key is not None,
            requests_per_minute=spec.requests_per_minute,
            pseudonymise=spec.pseudonymise,
            problem=problem,
        )
        details = {"url": url, "record": record, "upstream": upstream, "capabilities": list(model.capabilities)}
        return await self._registry.add(scope, model, spec.key.strip() if spec.key else None, details)

    def _local_record(self, url: str) -> str:
        host = urlsplit(url).hostname or ""
        try:
            spelled = ip_address(host)
        except ValueError:
            # A name is checked where it counts, at the connection: every address it leads to must be listed.
            near = host == "localhost" or host.endswith(".localhost") or bool(self._settings.allowed_networks)
        else:
            near = spelled.is_loopback or any(spelled in network for network in self._settings.allowed_networks)
        if not near:
            raise NotLocal(f"{host} is neither loopback nor in a listed network.", host=host)
        return LOCAL_RUNTIME

    def _provider_record(self, spec: ModelSpec, url: str) -> str:
        record = self._policy.record(spec.provider or "")
        if record.kind == "local":
            raise BadModel("This record describes our own machine: add the model as local.", field="provider")
        given, wanted = urlsplit(url), address(record.url) if record.url else None
        if given.scheme != "https":
            raise BadModel("A provider is reached by https only.", field="url")
        if wanted is None or (given.hostname, given.port or 443) != (wanted.hostname, wanted.port or 443):
            described = wanted.hostname if wanted else "no address"
            raise BadModel(f"The record {record.id} describes {described}, not {given.hostname}.", field="url")
        return record.id

    def _refuse_unpinned(self, spec: ModelSpec, url: str, record: str) -> None:
        """A record of what stands behind a router holds only while every body names that upstream."""
        adapter, pinned = ADAPTERS[spec.kind], "pinned_upstream" in self._policy.record(record).attributes
        behind = (urlsplit(url).hostname or "").endswith(_ROUTER_HOST)
        if adapter.pinned is None and (pinned or behind):
            raise BadModel("There is a router at this address: add the model with the kind openrouter.", field="kind")
        if adapter.pinned is not None and not pinned and not (spec.local or record.startswith(_ROUTER_RECORDS)):
            raise BadModel(f"The record {record} does not say which upstream it describes (pinned_upstream).")

    def _refuse_keeping_nothing(self, spec: ModelSpec, record: str) -> None:
        """What is handed over in a file lies there for hours or days: a record of calls does not describe that."""
        if ADAPTERS[spec.kind].batches is None or spec.local:
            return
        kept = self._policy.record(record).attributes.get("retention_days")
        if kept is not None and kept.value == 0:
            told = f"The record {record} says that nothing is kept, and a batch is kept while it is worked on."
            raise BadModel(f"{told} Name a record of its own for it.", field="provider")

    async def _enable(self, scope: Scope, record: str) -> None:
        settings = await self._policy.settings(scope)
        if record not in settings.enabled:
            await self._policy.set_policy(scope, replace(settings, enabled=settings.enabled | {record}))

    async def _ask(self, scope: Scope, spec: ModelSpec, url: str, record: str) -> tuple[str, str]:
        """The name by which the server knows the model, and what is not as it should be (empty if all is well).

        Raises BadModel for a name that leaves the choice to the server and cannot be resolved: what is decided on
        must be what answers.
        """
        wanted = spec.upstream or spec.name
        virtual = ADAPTERS[spec.kind].virtual(wanted)
        try:
            offered = await self._offered(scope, spec, url, record, wanted)
        except BastideError as fault:
            if virtual:
                raise _unresolved(wanted) from fault
            if isinstance(fault, NoPermittedModel):
                return wanted, f"Not asked, because policy does not allow it yet: {fault.message}"
            return wanted, f"Its server could not be asked: {fault.message}"
        known = {one.name: one for one in offered}
        if virtual:
            resolved = known[wanted].stands_for if wanted in known else ""
            if not resolved or ADAPTERS[spec.kind].virtual(resolved):
                raise _unresolved(wanted)
            return resolved, ""
        if wanted in known:
            return wanted, ""
        if len(known) == 1 and spec.upstream is None:
            return offered[0].name, ""
        listed = ", ".join(sorted(known)[:10]) or "nothing"
        return wanted, f"Its server does not list {wanted}; it lists {listed}."

    async def _offered(self, scope: Scope, spec: ModelSpec, url: str, record: str, wanted: str) -> list[Offered]:
        asked = Model(spec.name, spec.kind, guessed(wanted, spec.kind), record, url, wanted, spec.local)
        key = spec.key.strip() if spec.key else None
        place = wire.Place(urlsplit(url).path, key, ADAPTERS[spec.kind], pin_of(self._policy, asked))
        await self._policy.refresh(scope)
        decision = self._policy.decide(
            scope, Label.of_scope(scope), endpoint_of(asked), capability=act_of(asked.capabilities[0])
        )
        decision.permit()
        permit = self._calls.permit(decision, self._egress)
        async with self._egress.open(permit, total_s=_ASKING_S) as client:
            return await wire.list_models(client, place)


def _unresolved(name: str) -> BadModel:
    return BadModel(f"{name[:128]} leaves the choice of the model to its server: name the model itself.", field="model")
