"""Context: what a transaction carries so that the database itself knows whose it is and who acts, signed.

    bastide.context    tenant | user | backend pid | expiry | MAC                 verified by store.tenant()
    bastide.actors     the same four | user, app, roles, perhaps `*` | MAC        verified by store.acting()

The MAC is HMAC-SHA256 under a key that the application's role cannot read.
"""

from __future__ import annotations

import hmac
import re
import time
from pathlib import Path
from typing import Any

import psycopg

from bastide.store.identifiers import to_uuid
from bastide.store.keys import secret_file
from bastide.store.values import Scope

_VALID_S = 120  # how long a signed context holds; a transaction is far shorter
_UNSIGNABLE = re.compile(r"[^A-Za-z0-9_-]")  # what no name in a context may hold


class Context:
    """The context of one scope, ready to be signed for whatever backend it is sent to."""

    def __init__(self, scope: Scope, key: bytes, *, past_members: bool = False) -> None:
        """Raises ValueError for a tenant that is no id."""
        self._key = key
        self._whose = f"{to_uuid(scope.tenant)}|{_plain(scope.user or '-')}"
        names = [_plain(one) for one in (scope.user, scope.app) if one]
        names += [f"role:{_plain(role)}" for role in sorted(scope.roles)]
        self._actors = ",".join([*names, "*"] if past_members else names)

    def begin(self, backend_pid: int) -> str:
        """Begin a transaction of this scope, in one message: what an earlier user left in the session is gone."""
        body = f"{self._whose}|{backend_pid}|{int(time.time()) + _VALID_S}"
        return (
            f"reset all; begin; select set_config('bastide.context', '{self._signed(body)}', true), "
            f"set_config('bastide.actors', '{self._signed(f'{body}|{self._actors}')}', true)"
        )

    def _signed(self, body: str) -> str:
        return f"{body}|{hmac.digest(self._key, body.encode(), 'sha256').hex()}"


def _plain(name: str) -> str:
    return _UNSIGNABLE.sub("", name)


def operator_begin(search_path: str, durable: bool) -> str:
    """Begin a transaction across tenants; see `Store.as_operator`."""
    assert search_path.isidentifier(), "a schema's name comes from the program"
    begin = (
        "reset all; begin" if search_path == "public" else f"reset all; begin; set local search_path = {search_path}"
    )
    return begin if durable else f"{begin}; set local synchronous_commit = off"


async def agree_on_key(owner: psycopg.AsyncConnection[Any], home: Path) -> bytes:
    """The key that signs contexts on this database: this home's, or that of whoever was there before."""
    key = secret_file(home / "secrets" / "context-key", length=64)
    await owner.execute(
        "insert into store.context_key (ipad, opad) values (%s, %s) on conflict do nothing",
        (bytes(byte ^ 0x36 for byte in key), bytes(byte ^ 0x5C for byte in key)),
    )
    # A second home on the same database uses the key that is there.
    row = await (await owner.execute("select ipad from store.context_key")).fetchone()
    assert row is not None
    return bytes(byte ^ 0x36 for byte in row[0])
