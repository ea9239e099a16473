"""The room's class: records loaded, tenants' policies at hand, and every decision taken here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bastide.audit import Audit
from bastide.errors import BastideError, PolicyChanged, UnknownRecord
from bastide.policy.beginning import label_of_call
from bastide.policy.decision import Governing, Snapshot, governing
from bastide.policy.drafts import draft_in, read_policy, try_file
from bastide.policy.explaining import endpoints_of, explain
from bastide.policy.label import Label
from bastide.policy.laws import Laws
from bastide.policy.local import local_records
from bastide.policy.quarantine import Quarantine
from bastide.policy.record import Price, Record, expiring, load_records, overlay
from bastide.policy.replaying import Replay, Replaying
from bastide.policy.table import Table
from bastide.policy.values import Decision, Endpoint, Explanation, TenantPolicy, Trial
from bastide.policy.views import View, view
from bastide.settings import PolicySettings
from bastide.store import Json, Scope, Store, queries
from bastide.telemetry import count, log

_Q = queries(__package__)
_TENANT_POLICY, _SET_TENANT_POLICY = _Q["tenant_policy"], _Q["set_tenant_policy"]
_POLICY_BY_HASH, _RECORD_BY_HASH, _KEEP_RECORD = _Q["tenant_policy_by_hash"], _Q["record_by_hash"], _Q["keep_record"]
_PUT_IN_QUARANTINE, _RELEASE_FROM_QUARANTINE = _Q["put_in_quarantine"], _Q["release_from_quarantine"]

_TABLES_MAX = 4096  # lists of endpoints whose verdicts are kept, of all tenants


def _now() -> datetime:
    return datetime.now(UTC)


class Policy:
    """May these bytes go there? One pure decision with its reasons.

    `decide` reads no database: it works on the records loaded at `start` and on the tenant's policy as `refresh`
    last read it. A tenant whose policy has not been read, or not for as long as settings allow, gets a no (R16).
    """

    def __init__(
        self, store: Store, audit: Audit, settings: PolicySettings, *, clock: Callable[[], datetime] = _now
    ) -> None:
        self._store = store
        self._audit = audit
        self._settings = settings
        self._clock = clock
        self._snapshot = Snapshot({})
        self._laws = Laws(self._read_law, store.presence, fresh_s=settings.fresh_s, stale_s=settings.stale_s)
        self._quarantine = Quarantine(fresh_s=settings.fresh_s)
        self._tables: dict[tuple[str, str, str], Table] = {}
        self._leave: list[Callable[[], None]] = []

    # -- opening and closing ------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the provider records and keep each under its hash.

        Raises BadRecord, naming file and attribute, for a record that cannot be read, and BadSetting.
        """
        own = [self._settings.home / "providers"]
        records = load_records(own)
        for record in local_records(self._settings.country, self._clock()):
            records[record.id] = overlay(record, own)
        self._snapshot = Snapshot(records, self._settings.allowed_networks, self._settings.decision_ttl_s)
        async with self._store.as_operator(reason="keep provider records by their hash") as db:
            kept = ({"hash": r.hash, "id": r.id, "content": Json(r.to_wire())} for r in records.values())
            await db.many(_KEEP_RECORD, kept)
            await self._quarantine.look(db)
        hearing = self._store.hearing
        self._leave.append(hearing.of_tenants("policy", self._laws.doubt))
        self._leave.append(hearing.on("policy.quarantine", self._in_quarantine))
        log.info("policy knows %d provider records", len(records))

    async def stop(self) -> None:
        """Forget everything; from here on every decision is no."""
        for leave in self._leave:
            leave()
        await self._laws.stop()
        self._tables.clear()
        self._snapshot = Snapshot({})

    def _in_quarantine(self, _: str) -> None:
        """The quarantine was changed, here or elsewhere, or that may have been missed."""
        self._quarantine.alarm()
        self._laws.doubt_all()

    # -- what a tenant has decided ------------------------------------------------------------------

    async def refresh(self, scope: Scope) -> TenantPolicy:
        """Read the tenant's policy if what is at hand is not fresh; call it before `decide`.

        With the database away, what was read lately (`stale_s`) goes on being used.
        """
        scope.need("model:use")
        return (await self._laws.of(scope)).policy

    async def settings(self, scope: Scope) -> TenantPolicy:
        """What the tenant has decided, or the policy of a fresh tenant."""
        scope.need("policy:read")
        return (await self._laws.of(scope)).policy

    async def set_policy(self, scope: Scope, policy: TenantPolicy) -> TenantPolicy:
        """Replace the tenant's policy; `policy.version` is the one that it replaces. Audited.

        Raises PolicyChanged if another version has come in between, BadPolicy for an unknown record.
        """
        scope.need("policy:manage")
        async with self._store.under(scope) as db:
            before = self._read(await db.row(tuple, _TENANT_POLICY))
            known = self._snapshot.records.keys() | before.enabled
            draft = read_policy(policy.to_wire(), known.__contains__)
            new = replace(draft, version=before.version + 1)
            law = governing(new, air_gap=self._settings.air_gap)
            content = Json(new.to_wire())
            written = draft.version == before.version and await db.run(
                _SET_TENANT_POLICY, version=new.version, content=content, hash=law.hash
            )
            if not written:
                raise PolicyChanged(present=before.version)
            details: dict[str, Any] = {"before": before.to_wire(), "after": new.to_wire(), "hash": law.hash}
            await self._audit.record(db, "policy.set", resource=law.hash, details=details)
        self._laws.set(scope, law)
        if self._quarantine.in_doubt:
            self._laws.doubt(scope.tenant)
        return new

    async def enable(self, scope: Scope, record_id: str) -> TenantPolicy:
        """Let the tenant use a provider record (R02). Audited. Raises UnknownRecord."""
        scope.need("policy:manage")
        present = await self._present(scope)
        return await self.set_policy(scope, replace(present, enabled=present.enabled | {self.record(record_id).id}))

    async def disable(self, scope: Scope, record_id: str) -> TenantPolicy:
        """Stop the tenant from using a provider record. Audited."""
        scope.need("policy:manage")
        present = await self._present(scope)
        return await self.set_policy(scope, replace(present, enabled=present.enabled - {record_id}))

    async def _present(self, scope: Scope) -> TenantPolicy:
        async with self._store.under(scope) as db:
            return self._read(await db.row(tuple, _TENANT_POLICY))

    async def label(self, scope: Scope, wire: Mapping[str, object] | None = None) -> Label:
        """The label that `wire` means in this tenant: what it leaves out is as in a call that says nothing.

        The caller's own label is joined in, so that the result is never looser than what the caller may use.

        Raises BadLabel.
        """
        scope.need("model:use")
        return Label.from_wire(wire or {}, await self.label_of_call(scope)).join(Label.of_scope(scope))

    async def label_of_call(self, scope: Scope, said: Mapping[str, object] | None = None) -> Label:
        """The label that a call begins with, for which its caller has `said` a label, or nothing.

        Raises BadLabel; LabelLoosens for a field by which less is asked than without it.
        """
        return label_of_call((await self._laws.of(scope)).policy, Label.of_scope(scope), said)

    async def _read_law(self, scope: Scope) -> Governing:
        async with self._store.under(scope) as db:
            row = await db.row(tuple, _TENANT_POLICY)
            await self._quarantine.look(db)
        return governing(self._read(row), air_gap=self._settings.air_gap)

    @staticmethod
    def _read(row: tuple[Any, ...] | None) -> TenantPolicy:
        return TenantPolicy() if row is None else read_policy(row[1])

    # -- deciding -----------------------------------------------------------------------------------

    def decide(
        self,
        scope: Scope,
        label: Label,
        endpoint: Endpoint,
        *,
        capability: str,
        purpose: str = "",
        attempt: str = "direct",
        original: str = "",
    ) -> Decision:
        """May bytes with `label` go to `endpoint`, for this act? Pure, in memory, with every rule's reason.

        `attempt` and `original` are for whatever is not a first call: fallback, retry, hedge, cache, batch,
        speculative, resume (R17). The caller's own label and the tenant's bounds are joined in.
        """
        scope.need("model:use")
        act = {"capability": capability, "purpose": purpose, "attempt": attempt, "original": original}
        decision = self._decide(scope, label, endpoint, act)
        if not decision.allowed:
            count("policy_refusals", rule=decision.failed[0].id)
        return decision

    def _decide(self, scope: Scope, label: Label, endpoint: Endpoint, act: dict[str, str]) -> Decision:
        return self._snapshot.decide(
            label if scope.label == "{}" else label.join(Label.of_scope(scope)),
            endpoint,
            self._laws.held(scope),
            self._clock(),
            quarantine=self._quarantine.found(endpoint.record_id),
            **act,
        )

    def ready(self, scope: Scope) -> bool:
        """Whether the tenant's policy is at hand and need not be read anew for the next calls."""
        return self._laws.ready(scope)

    def at_hand(self, scope: Scope) -> bool:
        """Whether the tenant's policy may be used as it is: it is fresh, or the database is away and it is not old."""
        return self._laws.at_hand(scope)

    @property
    def changes(self) -> int:
        """Another number as soon as anything has changed that a verdict may rest on."""
        return self._quarantine.changes + self._laws.changes

    def table(
        self,
        scope: Scope,
        endpoints: Sequence[Endpoint],
        *,
        capability: str,
        purpose: str = "",
        attempt: str = "direct",
        original: str = "",
    ) -> Table:
        """What `decide` says of these endpoints for this act, by label, to be looked up and not worked out.

        Ask for it anew at each call: that is one look-up, and what has changed meanwhile gives another table.
        `endpoints` is the caller's own list, which he keeps. The scope's label is joined in as in `decide`.
        """
        law, moment = self._laws.held(scope), self._quarantine.changes
        place = (scope.tenant, capability, f"{purpose}|{attempt}|{original}|{scope.label}")
        table = self._tables.get(place)
        if table is None or table.law is not law or table.moment != moment or table.endpoints is not endpoints:
            scope.need("model:use")
            act = {"capability": capability, "purpose": purpose, "attempt": attempt, "original": original}
            decide = partial(self._decide, scope, act=act)
            table = Table(endpoints, law, moment, decide, self._clock)
            if len(self._tables) >= _TABLES_MAX:
                self._tables.clear()
            self._tables[place] = table
        return table

    def choose(
        self, scope: Scope, label: Label, endpoints: Iterable[Endpoint], *, capability: str, purpose: str = ""
    ) -> Decision:
        """The allowed decision for the first of `endpoints`, in the caller's order.

        Raises NoPermittedModel, with the rules that refuse the first and the nearest way to a yes.
        """
        scope.need("model:use")
        act = {"capability": capability, "purpose": purpose}
        refused = []
        for endpoint in endpoints:
            decision = self._decide(scope, label, endpoint, act)
            if decision.allowed:
                return decision
            refused.append(decision)
        nearest = self._explain(scope, label, [one.endpoint for one in refused], act).nearest
        nobody = Endpoint(f"no endpoint for {capability}", "")
        first = refused[0] if refused else self._decide(scope, label, nobody, act)
        count("policy_refusals", rule=first.failed[0].id)
        first.permit(nearest)
        raise AssertionError("a refused decision does not permit")

    def explain(
        self,
        scope: Scope,
        label: Label,
        endpoints: Iterable[Endpoint] | None = None,
        capability: str = "chat",
        *,
        purpose: str = "",
        listed: bool = False,
        closed: Mapping[int, BastideError] | None = None,
    ) -> Explanation:
        """Where such bytes may go, where not and why, and the nearest way to a yes; cheapest first, or as `listed`.

        `closed` says which of the endpoints, by their place, could not be asked now for another reason than the law. Of
        every record's models if no endpoints are named. `settings` or `refresh` comes first, as for `decide`.
        """
        scope.need("policy:read")
        asked = endpoints_of(self._snapshot) if endpoints is None else endpoints
        act = {"capability": capability, "purpose": purpose}
        return self._explain(scope, label, asked, act, listed=listed, closed=closed or {})

    def _explain(
        self, scope: Scope, label: Label, endpoints: Iterable[Endpoint], act: dict[str, str], **more: Any
    ) -> Explanation:
        decide, now = partial(self._decide, scope, label, act=act), self._clock()
        capability = act["capability"]
        return explain(self._snapshot, label, endpoints, capability=capability, now=now, decide=decide, **more)

    def test_file(self, scope: Scope, path: Path) -> list[Trial]:
        """What the draft policy in `path` would decide (see `drafts`); nothing is set.

        Raises BadPolicy.
        """
        scope.need("policy:read")
        return try_file(path, self._snapshot, self._clock(), air_gap=self._settings.air_gap)

    async def replay_file(self, scope: Scope, path: Path, *, calls: int = 1000) -> Replay:
        """What the draft in `path` would have decided of the tenant's last `calls` calls on record; nothing is set.

        Raises BadPolicy.
        """
        scope.need("policy:read")
        law = governing(draft_in(path, self._snapshot.records.__contains__), air_gap=self._settings.air_gap)
        replaying, cursor = Replaying(self._snapshot, law, self._clock()), None
        while replaying.found.calls < calls:
            page = await self._audit.events(scope, cursor=cursor, limit=500)
            for event in page.items:
                if event.act == "inference" and event.receipt is not None and replaying.found.calls < calls:
                    replaying.add([event.receipt], event.time)
            cursor = page.cursor
            if cursor is None:
                break
        return replaying.found

    # -- records ------------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """Every provider record, by id. They are facts about providers, the same for every tenant."""
        return list(self._snapshot.records.values())

    def price(self, endpoint: Endpoint) -> Price:
        """What the endpoint's record says of the price of its model, as far as it is known now."""
        record = self._snapshot.records.get(endpoint.record_id)
        return record.price(endpoint.model, self._clock()) if record else Price()

    def record(self, record_id: str) -> Record:
        """One provider record. Raises UnknownRecord."""
        if record_id not in self._snapshot.records:
            raise UnknownRecord(f"There is no provider record {record_id!r}.")
        return self._snapshot.records[record_id]

    def view(self, record_id: str, *, floor: str = "self") -> View:
        """What can be estimated of a record with evidence of at least `floor`. Raises UnknownRecord."""
        return view(self.record(record_id), floor, self._clock())

    def expiring(self, *, within_days: int = 30) -> list[tuple[str, str, datetime]]:
        """Evidence that has run out or will within `within_days`: record, attribute, when; soonest first."""
        return expiring(self.records(), self._clock() + timedelta(days=within_days))

    async def record_by_hash(self, scope: Scope, digest: str) -> Mapping[str, Any]:
        """The record that a receipt names, as it was. Raises UnknownRecord."""
        scope.need("policy:read")
        async with self._store.under(scope) as db:
            content = await db.value(_RECORD_BY_HASH, hash=digest)
        if content is None:
            raise UnknownRecord("No provider record has this hash.")
        return dict(content)

    async def policy_by_hash(self, scope: Scope, digest: str) -> TenantPolicy | None:
        """The policy that a receipt names, as it was; None if it was that of a fresh tenant or another house."""
        scope.need("policy:read")
        async with self._store.under(scope) as db:
            row = await db.row(tuple, _POLICY_BY_HASH, hash=digest)
        return None if row is None else self._read(row)

    # -- contradictions (R15) -----------------------------------------------------------------------

    async def contradict(self, record_id: str, found: str) -> None:
        """Put a record in quarantine because a probe has found something against it. Audited, for every tenant."""
        self.record(record_id)
        with self._quarantine.putting(record_id, found):
            async with self._store.as_operator(reason=f"quarantine {record_id}") as db:
                await db.run(_PUT_IN_QUARANTINE, record_id=record_id, found=found)
                await self._audit.record(db, "policy.quarantine", resource=record_id, details={"found": found})

    async def release(self, scope: Scope, record_id: str) -> None:
        """Take a record out of quarantine, after a person has looked. Audited."""
        scope.need("platform:operate")
        async with self._store.as_operator(reason=f"release {record_id} from quarantine") as db:
            await db.run(_RELEASE_FROM_QUARANTINE, record_id=record_id)
            await self._audit.record(db, "policy.release", resource=record_id)
        self._quarantine.lift(record_id)
