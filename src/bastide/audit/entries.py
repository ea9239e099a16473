"""Entries as a segment holds them: what many calls have in common is written once, the rest is a few words a call.

    [0, n, act, model, assurance, decision, label, endpoint, tls]     what calls have in common; canonical JSON
    [1, n, tenant, actor, app]                                        who calls
    [2, id, who, common, secret, input, started]                      a call that has begun and goes on
    [3, id, who, common, secret, input, output, tokens_in, tokens_out, estimated, started, ended, outcome, resource,
        subjects]                                                     a call that is over

Numbers of 0 and 1 count within one file of a segment. No text of a call is ever in it: commitments only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from bastide.audit.canonical import JsonValue, canonical
from bastide.audit.values import CallFacts
from bastide.store import Scope

_COMMON, _WHO, _BEGUN, _OVER = range(4)
_KNOWN_MAX: Final = 4096
_UNKNOWN: Final = -1
INTERRUPTED: Final = "interrupted"


class Who(msgspec.Struct, frozen=True):
    """Who calls."""

    tenant: str
    actor: str
    app: str


class Common(msgspec.Struct, frozen=True):
    """What many calls have in common. `decision`, `label`, `endpoint` and `tls` are JSON in its one spelling."""

    act: str
    model: str
    assurance: str
    decision: str
    label: str
    endpoint: str
    tls: str


class Noted(msgspec.Struct, frozen=True):
    """A call as it is carried into the log; times are milliseconds since 1970, sides are 32 bytes, or none."""

    id: str
    who: Who
    common: Common
    secret: bytes
    input: bytes
    output: bytes
    tokens_in: int
    tokens_out: int
    estimated: bool
    started: int
    ended: int
    outcome: str
    resource: str
    subjects: list[str]


class Begun(msgspec.Struct, frozen=True):
    """A call that had begun when this was written."""

    id: str
    who: Who
    common: Common
    secret: bytes
    input: bytes
    started: int

    def interrupted(self, last_seen: int) -> Noted:
        """What is known of it when its process is gone: that it began, and that nobody saw its end."""
        return Noted(
            self.id,
            self.who,
            self.common,
            self.secret,
            self.input,
            b"",
            0,
            0,
            True,
            self.started,
            max(self.started, last_seen),
            INTERRUPTED,
            self.common.model,
            [],
        )


NOTHING: Final = Common("inference", "", "self-declared", "{}", "{}", "{}", "null")
"""What is known of a call that its maker told nothing of."""


class Writing:
    """Makes the records of one file. Its numbers begin anew with the next file."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._records: list[Any] = []
        self.begin()

    def begin(self) -> None:
        """A new file: nothing is known in it."""
        self._records.clear()
        self._common: dict[Any, tuple[int, CallFacts]] = {}
        self._who: dict[int, tuple[int, Scope]] = {}
        self._json: dict[int, tuple[Mapping[str, JsonValue] | None, str]] = {}
        self._next = 0

    def begun(
        self, id: str, scope: Scope, facts: CallFacts | None, secret: bytes, input: bytes, started: float
    ) -> None:
        """A call that goes on."""
        common = _UNKNOWN if facts is None else self._commonly(facts)
        self._records.append((_BEGUN, id, self._whose(scope), common, secret, input, int(started * 1000)))

    def over(
        self,
        id: str,
        scope: Scope,
        facts: CallFacts,
        secret: bytes,
        sides: tuple[bytes, bytes],
        outcome: str,
        resource: str,
        subjects: Sequence[str],
    ) -> None:
        """A call that is over."""
        self._records.append(
            (
                _OVER,
                id,
                self._whose(scope),
                self._commonly(facts),
                secret,
                sides[0],
                sides[1],
                facts.tokens_in,
                facts.tokens_out,
                facts.estimated,
                int(facts.started * 1000),
                int(facts.ended * 1000),
                outcome,
                resource,
                subjects,
            )
        )

    def taken(self, now: float) -> bytes:
        """What was written since the last time, as the content of a frame."""
        content = self._encoder.encode((int(now * 1000), self._records))
        self._records.clear()
        return content

    def _commonly(self, facts: CallFacts) -> int:
        place = (
            id(facts.decision),
            id(facts.label),
            id(facts.endpoint),
            id(facts.tls),
            facts.model,
            facts.act,
            facts.assurance,
        )
        known = self._common.get(place)
        if known is not None:
            return known[0]
        n = self._numbered()
        parts = [self._spelled(one) for one in (facts.decision, facts.label, facts.endpoint, facts.tls)]
        self._records.append((_COMMON, n, facts.act, facts.model, facts.assurance, *parts))
        if len(self._common) >= _KNOWN_MAX:
            self._common.clear()
        self._common[place] = (n, facts)  # as long as the facts are kept, their parts are these objects
        return n

    def _spelled(self, value: Mapping[str, JsonValue] | None) -> str:
        known = self._json.get(id(value))
        if known is None:
            if len(self._json) >= _KNOWN_MAX:
                self._json.clear()
            known = self._json[id(value)] = (value, canonical(value).decode())
        return known[1]

    def _whose(self, scope: Scope) -> int:
        known = self._who.get(id(scope))
        if known is None:
            n = self._numbered()
            self._records.append((_WHO, n, scope.tenant, scope.user or scope.key or "", scope.app or ""))
            if len(self._who) >= _KNOWN_MAX:
                self._who.clear()
            known = self._who[id(scope)] = (n, scope)
        return known[0]

    def _numbered(self) -> int:
        self._next += 1
        return self._next


class Reading:
    """Understands the frames of one file after the other."""

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder()
        self.begin()

    def begin(self) -> None:
        """A new file: nothing is known in it."""
        self._common: dict[int, Common] = {_UNKNOWN: NOTHING}
        self._who: dict[int, Who] = {}

    def read(self, content: bytes) -> tuple[int, list[Begun], list[Noted], int]:
        """When a frame was written, which calls had begun, which are over, and how many make no sense.

        A call makes no sense when the frame that named what it has in common with others is damaged.
        """
        at, records = self._decoder.decode(content)
        begun: list[Begun] = []
        over: list[Noted] = []
        lost = 0
        for kind, *rest in records:
            if kind == _COMMON:
                self._common[rest[0]] = Common(*rest[1:])
            elif kind == _WHO:
                self._who[rest[0]] = Who(*rest[1:])
            else:
                id, who, common, *more = rest
                if who not in self._who or common not in self._common:
                    lost += 1
                elif kind == _BEGUN:
                    begun.append(Begun(id, self._who[who], self._common[common], *more))
                else:
                    over.append(Noted(id, self._who[who], self._common[common], *more))
        return at, begun, over, lost
