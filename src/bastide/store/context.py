"""Context: what a transaction carries so that the database itself knows whose it is and who acts, signed.

    bastide.context    tenant | user | backend pid | expiry | MAC                 verified by store.tenant()
    bastide.actors     the same four | user, app, roles, perhaps `*` | MAC        verified by store.acting()

The MAC is HMAC-SHA256 under a key that the application's role cannot read.
"""

from __future__ import annotations

import hmac
import re
import time

from bastide.store.identifiers import to_uuid
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
