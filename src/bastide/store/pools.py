"""Pools: kept connections of the two logins that a house uses, replaced when the database has moved or was away."""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bastide.errors import DatabaseUnavailable
from bastide.store.lists import write_plainly

Connection: TypeAlias = psycopg.AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Connection]

_OPERATORS_MAX = 4
_OPEN_WITHIN_S = 30.0
_RETRY_FOR_S = 5.0  # a pool whose attempts failed for longer is asked anew, and not after minutes
# A machine that has gone without a word is given up after some ten seconds, not after the kernel's many minutes.
_GIVEN_UP = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
_GIVEN_UP["tcp_user_timeout"] = 10_000


class Pools:
    """One pool a door: `app` and `operator`."""

    def __init__(self, size_max: int) -> None:
        self._sizes = {"app": size_max, "operator": _OPERATORS_MAX}
        self._pools: dict[str, Pool] = {}

    async def open(self, urls: tuple[str, str]) -> None:
        """Open, or open anew in place of what was open. Raises DatabaseUnavailable."""
        for (door, size), url in zip(self._sizes.items(), urls, strict=True):
            pool = Pool(
                url,
                min_size=1,
                max_size=size,
                open=False,
                configure=write_plainly,
                kwargs={"autocommit": True, **_GIVEN_UP},
                max_idle=300.0,
                reconnect_timeout=_RETRY_FOR_S,
            )
            try:
                await pool.open(wait=True, timeout=_OPEN_WITHIN_S)
            except PoolTimeout as fault:
                await pool.close()
                raise DatabaseUnavailable(f"The login for {door} is not accepted by the database.") from fault
            old = self._pools.pop(door, None)
            self._pools[door] = pool
            if old is not None:
                await old.close()

    def of(self, door: str) -> Pool:
        """The pool of a door. Raises DatabaseUnavailable once they are closed."""
        pool = self._pools.get(door)
        if pool is None:
            raise DatabaseUnavailable("The store is closed.")
        return pool

    async def close(self) -> None:
        """Close them."""
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()
