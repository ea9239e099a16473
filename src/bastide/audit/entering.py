"""Entering: calls from the journal straight into the log, past the outbox, by the process that takes the turns.

What another process carries is put into the outbox, and a turn takes it out again: each leaf is written twice, deleted
once, and sent back to be hashed. Whoever composes the calls and takes the turns need not do that. Here is what such a
turn writes; the sequencer holds the turn, and one statement writes all of it (see `audit.enter`).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from bastide.audit.composing import Row
from bastide.store import to_uuid

Enter: TypeAlias = "Callable[[str, int, int, Sequence[Row]], Awaitable[bool | None]]"
"""Takes the owner of some frames, the first of them, the frame after them, and their calls (one at least). True: they
are in the log. False: somebody has carried these frames already. None: they must go through the outbox."""


Stands: TypeAlias = dict[str, tuple[str, int]]
"""Of each tenant, by its UUID: its producer of such calls, and how far that has counted."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """Calls with their places in the log."""

    leaves: list[bytes]
    whose: list[int]  # which tenant's each is, counted from 1
    before: Stands  # of these tenants
    after: Stands


def tenants_of(rows: Sequence[Row]) -> dict[str, str]:
    """The tenants of these calls, each with its UUID."""
    return {tenant: str(to_uuid(tenant)) for tenant in dict.fromkeys([row.tenant for row in rows])}


def stamped(rows: Sequence[Row], uuids: Mapping[str, str], stands: Stands, *, base: int, at: int, log: str) -> Stamped:
    """Put its place into each leaf. A tenant that stands at nothing gets a producer."""
    before = {uuid: stands[uuid] if stands[uuid][1] else (secrets.token_hex(16), 0) for uuid in uuids.values()}
    counts = [n for _, n in before.values()]
    first = f'"log":{{"at":{at},"base":{base},"id":"{log}","n":'
    last = [f',"p":"{producer}"}}' for producer, _ in before.values()]
    number = {tenant: n for n, tenant in enumerate(uuids)}
    leaves, whose = [], []
    for row in rows:
        place = number[row.tenant]
        counts[place] = n = counts[place] + 1
        leaves.append(row.body.replace('"log":{}', f"{first}{n}{last[place]}", 1).encode())
        whose.append(place + 1)
    after = {uuid: (producer, n) for (uuid, (producer, _)), n in zip(before.items(), counts, strict=True)}
    return Stamped(leaves, whose, before, after)


def values_of(rows: Sequence[Row], uuids: Mapping[str, str], made: Stamped) -> dict[str, Any]:
    """What `audit.enter` takes of these calls."""
    leaf_sizes, sealed_sizes = [len(leaf) for leaf in made.leaves], [len(row.sealed) for row in rows]
    about = [(uuids[row.tenant], row.id, one) for row in rows for one in row.mentions]
    stood = [n for _, n in made.before.values()]
    return {
        "tenants": ",".join(made.before),
        "producers": ",".join([producer for producer, _ in made.before.values()]),
        "stands": stood,
        "counts": [n - before for (_, n), before in zip(made.after.values(), stood, strict=True)],
        "whose": made.whose,
        "ids": ",".join([row.id for row in rows]),
        "acts": ",".join([row.act for row in rows]),
        "outcomes": ",".join([row.outcome for row in rows]),
        "times": [row.t for row in rows],
        "leaves": b"".join(made.leaves),
        "leaf_starts": list(accumulate(leaf_sizes[:-1], initial=1)),
        "leaf_sizes": leaf_sizes,
        "sealed": b"".join([row.sealed for row in rows]),
        "sealed_starts": list(accumulate(sealed_sizes[:-1], initial=1)),
        "sealed_sizes": sealed_sizes,
        "about_tenants": ",".join([tenant for tenant, _, _ in about]),
        "about_ids": ",".join([id for _, id, _ in about]),
        "about": b"".join([one for _, _, one in about]),
    }
