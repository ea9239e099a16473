"""Entering: calls from the journal straight into the log, past the outbox, by the process that takes the turns.

What another process carries is put into the outbox, and a turn takes it out again: each leaf is written twice, deleted
once, and sent back to be hashed. Whoever composes the calls and takes the turns need not do that. Here is what such a
turn writes; the sequencer holds the turn, and one statement writes all of it (see `audit.enter`).
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from bastide.audit.composing import Row
from bastide.store import to_uuid

Enter: TypeAlias = "Callable[[str, int, int, Sequence[Row]], Awaitable[bool | None]]"
"""Takes the owner of some frames, the first of them, the frame after them, and their calls (one at least). True: they
are in the log. False: somebody has carried these frames already. None: they must go through the outbox."""


@dataclass(frozen=True, slots=True)
class Stamped:
    """Calls with their places in the log."""

    leaves: list[bytes]
    whose: list[int]  # which tenant's each is, counted from 1
    tenants: list[str]  # UUIDs
    producers: list[str]
    counts: list[int]  # how many are each tenant's


def tenants_of(rows: Sequence[Row]) -> dict[str, str]:
    """The tenants of these calls, each with its UUID."""
    return {tenant: str(to_uuid(tenant)) for tenant in dict.fromkeys(row.tenant for row in rows)}


def stamped(
    rows: Sequence[Row], uuids: dict[str, str], counters: Sequence[str], base: int, at: int, log: str
) -> Stamped:
    """Put its place into each leaf. `counters` are `<uuid> <producer> <n>`; who has none yet begins to count."""
    stands = {uuid: (producer, int(n)) for uuid, producer, n in (one.split(" ") for one in counters)}
    before = f'"log":{{"at":{at},"base":{base},"id":"{log}","n":'
    number, producers, counts, after = {}, [], [], []
    for place, (tenant, uuid) in enumerate(uuids.items()):
        producer, n = stands.get(uuid) or (secrets.token_hex(16), 0)
        number[tenant] = place
        producers.append(producer)
        counts.append(n)
        after.append(f',"p":"{producer}"}}')
    began, leaves, whose = list(counts), [], []
    for row in rows:
        place = number[row.tenant]
        counts[place] = n = counts[place] + 1
        leaves.append(row.body.replace('"log":{}', f"{before}{n}{after[place]}", 1).encode())
        whose.append(place + 1)
    made = [n - first for n, first in zip(counts, began, strict=True)]
    return Stamped(leaves, whose, list(uuids.values()), producers, made)


def values_of(rows: Sequence[Row], uuids: dict[str, str], made: Stamped) -> dict[str, Any]:
    """What `audit.enter` takes of these calls. Lists are sent as one text each: the driver looks at every item."""
    leaf_sizes, sealed_sizes = [len(leaf) for leaf in made.leaves], [len(row.sealed) for row in rows]
    about = [(uuids[row.tenant], row.id, one) for row in rows for one in row.mentions]
    return {
        "tenants": ",".join(made.tenants),
        "producers": ",".join(made.producers),
        "counts": _numbers(made.counts),
        "whose": _numbers(made.whose),
        "ids": ",".join([row.id for row in rows]),
        "acts": ",".join([row.act for row in rows]),
        "outcomes": ",".join([row.outcome for row in rows]),
        "times": _numbers([row.t for row in rows]),
        "leaves": b"".join(made.leaves),
        "leaf_starts": _starts(leaf_sizes),
        "leaf_sizes": _numbers(leaf_sizes),
        "sealed": b"".join([row.sealed for row in rows]),
        "sealed_starts": _starts(sealed_sizes),
        "sealed_sizes": _numbers(sealed_sizes),
        "about_tenants": ",".join([tenant for tenant, _, _ in about]),
        "about_ids": ",".join([id for _, id, _ in about]),
        "about": b"".join([one for _, _, one in about]),
    }


def _numbers(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _starts(sizes: Sequence[int]) -> str:
    """Where each piece begins in what was joined, counted from 1."""
    return _numbers(list(accumulate(sizes[:-1], initial=1)))
