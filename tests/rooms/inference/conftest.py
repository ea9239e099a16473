"""A house up to inference on the real database, and a small world of providers outside it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore2
import pytest
from tests.rooms.egress.conftest import Authority, authority

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import NameUnknown
from bastide.inference import Inference
from bastide.policy import Policy
from bastide.settings import EgressSettings, InferenceSettings, PolicySettings, Settings
from bastide.store import Store

__all__ = ["authority"]

FACT = "evidence: contract, source: test, checked_at: 2026-01-01, expires_at: 2100-01-01"
GOOD = {
    **{f"plane_{name}": "[FR]" for name in ("inference", "storage", "telemetry", "backup", "support", "admin")},
    "third_party": "true",
    "legal_chain": "[{role: operator, entity: Test, country: FR, pct: 100}]",
    "subprocessors": "[]",
    "eu_established": "true",
    "dpa_signed": "true",
    "contract_law": "FR",
    "retention_days": "0",
    "human_review": "false",
    "trains_on_data": "false",
    "plaintext_access": "operator",
    "own_egress": "false",
}


STUDIO = {
    "painter": "{picture: 0.04}",
    "listener": "{minute: 0.006}",
    "speaker": "{characters: 15}",
    "by-token": "{input: 5, output: 40}",
    "given-away": "{picture: 0, minute: 0, characters: 0}",
    "nobody-knows": "{}",
}


def record(
    identity: str, host: str, facts: dict[str, str], *, covers: str = "[]", models: dict[str, str] | None = None
) -> str:
    """A provider record as a file."""
    lines = [f"  {name}: {{value: {value}, {FACT}}}" for name, value in facts.items()]
    head = [f"id: {identity}", f"title: {identity}", "kind: api", f"url: https://{host}/v1", f"covers: {covers}"]
    if models:
        prices = [f"    {name}: {price}" for name, price in models.items()]
        head += ["models:", *(f"  {one}" for one in FACT.split(", ")), "  currency: EUR", "  list:", *prices]
    return "\n".join([*head, "attributes:" if lines else "attributes: {}", *lines]) + "\n"


@dataclass
class World(httpcore2.AsyncNetworkBackend):
    """Names and addresses outside: each host has a public address that really leads to a server on loopback."""

    ports: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def place(self, host: str, port: int) -> None:
        """From now on `host` is the server at `port`."""
        address = f"9.9.9.{next(self._numbers)}"
        self.hosts[host], self.ports[address] = address, port

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The resolver of this world."""
        self.asked.append(host)
        if host not in self.hosts:
            raise NameUnknown(f"The host name {host} cannot be resolved.")
        return (self.hosts[host],)

    async def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):  # type: ignore[no-untyped-def]
        """A connection to whatever stands at that address."""
        real = ("127.0.0.1", self.ports[host]) if host in self.ports else (host, port)
        return await httpcore2.AnyIOBackend().connect_tcp(*real, timeout=timeout)

    async def connect(self, protocol, host, port, **more):  # type: ignore[no-untyped-def]
        """The same for lines."""
        real = ("127.0.0.1", self.ports[host]) if host in self.ports else (host, port)
        return await asyncio.get_running_loop().create_connection(protocol, *real, **more)


@dataclass(frozen=True)
class Rooms:
    """The rooms that a call passes through."""

    store: Store
    audit: Audit
    policy: Policy
    egress: Egress
    inference: Inference
    world: World


@pytest.fixture(scope="session")
async def rooms(
    store: Store, settings: Settings, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rooms]:
    """All rooms up to inference, with providers of the test's own world."""
    home = tmp_path_factory.mktemp("inference-home")
    (home / "providers").mkdir()
    for name, text in {
        "good": record("test/good", "api.good.example", GOOD),
        "pinned": record("test/pinned", "api.pinned.example", {**GOOD, "spki_sha256": f"[{'ab' * 32}]"}),
        "unknown": record("test/unknown", "api.unknown.example", {}),
        "ovh": record("ovhcloud/ai-endpoints/gra", "oai.endpoints.kepler.ai.cloud.ovh.net", GOOD),
        "behind": record("test/behind", "api.router.example", {**GOOD, "pinned_upstream": "mistral"}),
        "batch": record("test/batch", "api.batch.example", {**GOOD, "retention_days": "3"}),
        "studio": record("test/studio", "api.studio.example", GOOD, models=STUDIO),
        "foreign": record("test/foreign", "api.foreign.example", {**GOOD, "dpa_signed": "false"}),
    }.items():
        (home / "providers" / f"{name}.yaml").write_text(text)
    world = World()
    audit = Audit(store, settings.audit)  # one log a database
    policy = Policy(store, audit, PolicySettings(home=home))
    egress = Egress(
        EgressSettings(ca_file=authority.ca_file), resolver=world.resolve, dial=world, connect=world.connect
    )
    inference = Inference(store, audit, policy, egress, InferenceSettings(home=home, timeout_s=5.0))
    await audit.start(sequence=True)
    await policy.start()
    await egress.start()
    await inference.start()
    yield Rooms(store, audit, policy, egress, inference, world)
    await inference.stop()
    await egress.stop()
    await policy.stop()
    await audit.stop()
