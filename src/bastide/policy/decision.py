"""Decision: one pure step from label, endpoint and policy to a yes or a no with its reasons.

A snapshot holds the records, compiled for one evidence floor each when first asked. It reads no clock and no
database: the caller says what time it is, and facts that have expired by then are compiled again without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from types import MappingProxyType
from urllib.parse import urlsplit

from bastide.policy.facts import Facts, compile_facts
from bastide.policy.label import Label
from bastide.policy.record import Record, canonical
from bastide.policy.rules import ALL_PASSED, HOLDS, RULES_VERSION, Ask, judge
from bastide.policy.values import Decision, Endpoint, TenantPolicy

_NOTHING = TenantPolicy(enabled=frozenset(), floor="measured")
_NO_RECORD = Record(id="", title="", kind="api", attributes=MappingProxyType({}))

Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class Governing:
    """A tenant's policy as it is used: with the house's own bounds joined in, and its hash."""

    policy: TenantPolicy
    bounds: Label
    hash: str


def governing(policy: TenantPolicy, *, air_gap: bool = False) -> Governing:
    """`policy` made ready for deciding; the house's air gap holds for every tenant."""
    content = {"rules": RULES_VERSION, "house": {"air_gap": air_gap}, "tenant": policy.to_wire()}
    bounds = policy.bounds.join(Label(air_gap=air_gap))
    return Governing(policy, bounds, "sha256:" + hashlib.sha256(canonical(content)).hexdigest())


_UNGOVERNED = governing(_NOTHING)


class Snapshot:
    """All records at one moment, and what has been compiled from them."""

    def __init__(self, records: Mapping[str, Record], networks: Networks = (), ttl_s: float = 30.0) -> None:
        self.records = dict(records)
        self._networks = networks
        self._ttl = timedelta(seconds=ttl_s)
        self._facts: dict[tuple[str, str], Facts] = {}
        self._addresses: dict[Endpoint, tuple[bool, str]] = {}

    def facts(self, record_id: str, floor: str, now: datetime) -> Facts:
        """The facts of a record at `now`; of an unknown record, facts that know nothing."""
        facts = self._facts.get((record_id, floor))
        if facts is None or not facts.current(now):
            facts = compile_facts(self.records.get(record_id, _NO_RECORD), floor, now)
            if record_id in self.records:
                self._facts[(record_id, floor)] = facts
        return facts

    def decide(
        self,
        label: Label,
        endpoint: Endpoint,
        law: Governing | None,
        now: datetime,
        *,
        capability: str,
        purpose: str = "",
        attempt: str = "direct",
        original: str = "",
        quarantine: str = HOLDS,
    ) -> Decision:
        """May bytes with `label` go to `endpoint`? Without a policy (`law` is None) the answer is no.

        The decision is good for a short time, and never longer than the evidence that it rests on.
        """
        law = law or _UNGOVERNED
        joined = label.join(law.bounds)
        facts = self.facts(endpoint.record_id, joined.min_evidence, now)
        here, address = self._address(endpoint)
        ask = Ask(
            joined,
            facts,
            endpoint,
            capability,
            purpose,
            law.policy,
            here,
            address,
            quarantine,
            self._missing(endpoint, law),
            attempt,
            original,
        )
        rules = judge(ask)
        expires = now + self._ttl
        return Decision(
            rules is ALL_PASSED,
            endpoint,
            facts.record.hash,
            law.hash,
            rules,
            joined,
            capability,
            purpose,
            now,
            expires if facts.until is None or expires < facts.until else facts.until,
            attempt,
            original,
        )

    def _missing(self, endpoint: Endpoint, law: Governing) -> str:
        if law is _UNGOVERNED:
            return "The tenant's policy is not at hand or is too old."
        record = self.records.get(endpoint.record_id)
        if record is None:
            return f"There is no provider record {endpoint.record_id!r}."
        if not record.covers_model(endpoint.model):
            return f"The record does not speak of the model {endpoint.model!r}."
        return HOLDS

    def _address(self, endpoint: Endpoint) -> tuple[bool, str]:
        """Whether the address is our own, and why it is not the one that the record describes (HOLDS if it is)."""
        known = self._addresses.get(endpoint)
        if known is None:
            if len(self._addresses) > 10_000:
                self._addresses.clear()
            known = self._addresses[endpoint] = self._look_at(endpoint)
        return known

    def _look_at(self, endpoint: Endpoint) -> tuple[bool, str]:
        record = self.records.get(endpoint.record_id, _NO_RECORD)
        if endpoint.kind != record.kind:
            return False, f"The endpoint is called {endpoint.kind}, its record says {record.kind}."
        try:
            if record.kind == "api":
                return False, _differs(record.url, endpoint.url)
            here = self._is_own(endpoint.url)
        except ValueError:
            return False, "The address cannot be read."
        return here, HOLDS if here else "A local record does not describe an address outside this house."

    def _is_own(self, url: str) -> bool:
        """True if `url` is empty (in this process), on loopback, or in a network listed as our own.

        A name cannot be resolved here; where networks are listed, egress checks the address at the socket.
        """
        if not url:
            return True
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.port == 0:
            return False
        if host == "localhost":
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return bool(host and self._networks)
        return address.is_loopback or any(address in network for network in self._networks)


def _differs(recorded: str, given: str) -> str:
    """Why `given` is not the address that a record describes; HOLDS if it is. Raises ValueError."""
    if not recorded or not given:
        return "The record or the endpoint names no address."
    there, here = urlsplit(recorded), urlsplit(given)
    if here.scheme != "https":
        return "The address is not https."
    if (here.hostname, here.port or 443) != (there.hostname, there.port or 443):
        return f"The record describes {there.hostname}, not {here.hostname}."
    return HOLDS
