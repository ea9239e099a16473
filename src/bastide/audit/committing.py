"""Committing: what goes into a call and what comes out is committed to while it runs, and never written."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from bastide.audit.leaf import derive, mac, sides
from bastide.audit.values import CallFacts
from bastide.store import Scope, new_id

_HELD_BYTES_MAX: Final = 256 * 1024  # of what came out, before it is taken into the commitment

Promise = Callable[[], CallFacts]
"""What is known of a call before its end; asked for only if that takes long."""


class Notes(Protocol):
    """Where entries are kept."""

    def secret(self) -> bytes:
        """`SECRET_BYTES` at random that nobody else has got."""

    def note(self, entry: Entry) -> None:
        """An entry was closed."""


class Entry:
    """One call while it runs: what goes in and what comes out is committed to, never written."""

    __slots__ = (
        "_in",
        "_journal",
        "_mac",
        "_out",
        "_size",
        "end",
        "id",
        "promise",
        "scope",
        "secret",
        "sides",
        "started",
    )

    def __init__(self, journal: Notes, scope: Scope, promise: Promise | None) -> None:
        self.started = now = time.time()
        self.id = new_id("rcp", now)
        self.secret = journal.secret()
        self.scope = scope
        self.promise = promise
        self.end: tuple[CallFacts, str, str, Sequence[str]] | None = None
        self.sides = (b"", b"")  # the commitments, once it is over
        self._journal = journal
        self._in: list[bytes] = []
        self._out: list[bytes] = []
        self._size = 0
        self._mac: hmac.HMAC | None = None

    def input(self, data: bytes) -> None:
        """Some of what went in. It must not change any more."""
        self._in.append(data)

    def output(self, data: bytes) -> None:
        """Some of what came out."""
        self._out.append(data)
        self._size += len(data)
        if self._size > _HELD_BYTES_MAX:
            self._fold()

    def close(
        self, facts: CallFacts, *, outcome: str = "done", resource: str = "", subjects: Sequence[str] = ()
    ) -> None:
        """The call is over. Nothing is raised: the record does not decide about the call any more."""
        if self.end is None:
            self.end = (facts, outcome, resource, subjects)
            # Here and not in the thread that writes: beside the event loop it would fight it for the interpreter.
            sent, said = self._in, self._out
            if self._mac is None and len(sent) == len(said) == 1:
                self.sides = sides(self.secret, sent[0], said[0])
            else:
                self.sides = (self.committed_input(), self._committed_output())
            self._in, self._out, self.promise = [], [], None
            self._journal.note(self)

    def committed_input(self) -> bytes:
        """The commitment to what went in so far. May be asked for beside the event loop, in which the call may end."""
        sent = self._in  # taken first: it is empty only once `sides` are there
        return self.sides[0] or mac(derive(self.secret, "input"), b"".join(sent))

    def _committed_output(self) -> bytes:
        if self._mac is None:
            return mac(derive(self.secret, "output"), b"".join(self._out))
        self._fold()
        return self._mac.digest()

    def _fold(self) -> None:
        if self._mac is None:
            self._mac = hmac.new(derive(self.secret, "output"), digestmod="sha256")
        for piece in self._out:
            self._mac.update(piece)
        self._out.clear()
        self._size = 0
