"""The catalogue linter (being written)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which row security could be bypassed."""

    object: str
    rule: str
    next: str


async def faults(connection: psycopg.AsyncConnection[Any]) -> list[Fault]:
    """Placeholder until the linter is in."""
    return []
