"""The real rooms up to knowledge, opened once; tests make tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.inference import Inference
from bastide.knowledge import Knowledge
from bastide.policy import Policy
from bastide.settings import KnowledgeSettings, Settings, WorkSettings
from bastide.store import Scope, Store, new_id
from bastide.tenancy import Tenancy
from bastide.workflows import Workflows

EXAMPLES = Path(__file__).parents[3] / "examples"

LEASE = b"# Lease\n\nThe lease of the workshop in Ghent ends on 30 June 2031. The rent is 1,200 euros a month.\n"
MENU = b"# Menu\n\nToday the kitchen serves lentil soup with carrots, and pancakes with maple syrup.\n"

LAWS = ("gdpr-en.txt", "ai-act-nl.html", "bdsg-de.md", "egovg-de.md", "relations-public-administration-fr.md")


@dataclass(frozen=True)
class Rooms:
    """Knowledge, and what it stands on."""

    store: Store
    audit: Audit
    policy: Policy
    inference: Inference
    workflows: Workflows
    knowledge: Knowledge
    without_embedder: Knowledge

    def knowledge_with(self, settings: KnowledgeSettings) -> Knowledge:
        """The same rooms below another knowledge."""
        workflows = Workflows(self.store, self.audit, Tenancy(self.store, self.audit), self.policy, WorkSettings())
        return Knowledge(self.store, self.audit, self.policy, self.inference, workflows, settings)


@pytest.fixture(scope="session")
async def rooms(store: Store, settings: Settings) -> AsyncIterator[Rooms]:
    """All rooms that knowledge needs, on the session's database."""
    audit = Audit(store, settings.audit)
    await audit.start()
    policy = Policy(store, audit, settings.policy)
    await policy.start()
    egress = Egress(settings.egress)
    await egress.start()
    inference = Inference(store, audit, policy, egress, settings.inference)
    await inference.start()
    tenancy = Tenancy(store, audit)
    workflows = Workflows(store, audit, tenancy, policy, settings.work)
    knowledge = Knowledge(store, audit, policy, inference, workflows, settings.knowledge)
    closed = Inference(store, audit, policy, egress, settings.inference)  # never started: it has no embedder
    apart = Workflows(store, audit, tenancy, policy, settings.work)
    words_only = Knowledge(store, audit, policy, closed, apart, settings.knowledge)
    await workflows.start(work=False)
    yield Rooms(store, audit, policy, inference, workflows, knowledge, words_only)
    await workflows.stop()
    await words_only.stop()
    await knowledge.stop()
    await inference.stop()
    await egress.stop()
    await policy.stop()
    await audit.stop()


@pytest.fixture(scope="session")
async def library(rooms: Rooms) -> Scope:
    """A tenant with the example laws, read once for all who ask them and write nothing there.

    Only those in English have vectors, which saves a minute of every run.
    """
    permissions = frozenset({"knowledge:read", "knowledge:write", "model:use"})
    scope = Scope(new_id("ten"), None, None, frozenset(), permissions)
    for name in LAWS:
        room = rooms.knowledge if name.endswith("-en.txt") else rooms.without_embedder
        taken = await room.ingest(scope, name, (EXAMPLES / name).read_bytes())
        assert taken.documents[0].status == "ready"
    return scope


@pytest.fixture
def knowledge(rooms: Rooms) -> Knowledge:
    """The room under test."""
    return rooms.knowledge


@pytest.fixture
def scope_with() -> Callable[..., Scope]:
    """Makes a scope with exactly these permissions, of a new tenant or of the given one."""

    def make(*permissions: str, tenant: str | None = None, label: str = "{}") -> Scope:
        return Scope(tenant or new_id("ten"), new_id("usr"), None, frozenset(), frozenset(permissions), label)

    return make
