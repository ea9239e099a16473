"""Kept answers: a question that was asked before, by the same tenant under the same law and label, is answered again.

Off unless a tenant switches it on for a model or a route. An answer is found under a keyed hash of the tenant, the law,
the label, the model and the whole request, or of all but its last question where questions are compared; whoever made
it must still be allowed to have received this one, and that is decided anew. Answers lie in the memory of this process
only, for at most a day.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from bastide import telemetry
from bastide.errors import BastideError
from bastide.inference.accounts import Keeps
from bastide.inference.gateway.asking import Asking
from bastide.inference.gateway.recording import Recording
from bastide.inference.gateway.targets import Target
from bastide.inference.gateway.values import Headers, Sink
from bastide.inference.values import Embedded
from bastide.policy import Decision, Label
from bastide.store import Scope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BYTES_MAX: Final = 64 * 1024 * 1024  # of all answers of a process
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_BESIDE_BYTES: Final = 1024  # that an answer takes beside what it says
_COMPARED_MAX: Final = 2000  # questions, the latest first: the loop waits for it, about two microseconds each
_SORTED: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as its client got it, and what it rests on."""

    tenant: str
    endpoint: str
    record: str
    model: str
    media_type: tuple[bytes, bytes]
    body: bytes
    receipt: str
    until: float  # of the monotonic clock
    place: dict[str, Any]  # as the receipts of those who get it again name it
    key: bytes
    rest: bytes  # of all that a question alike must have the same
    vector: NDArray[np.float32] | None

    @property
    def size(self) -> int:
        """The bytes of memory that it takes, about."""
        return _BESIDE_BYTES + len(self.body) + (0 if self.vector is None else int(self.vector.nbytes))


@dataclass(frozen=True, slots=True)
class Keys:
    """Hashes of a whole request, and of it without its question where questions are compared."""

    same: bytes
    rest: bytes
    question: str


class Embeds(Protocol):
    """The tenant's embedder, as the room offers it: decided and recorded like any call."""

    async def __call__(self, scope: Scope, texts: list[str], *, label: Label) -> Embedded: ...


class Request(Protocol):
    """Who asks what."""

    @property
    def scope(self) -> Scope: ...
    @property
    def asking(self) -> Asking: ...


class Copying:
    """A sink that keeps what goes through it, until it is more than is kept."""

    def __init__(self, sink: Sink, keys: Keys, keeps: Keeps) -> None:
        self.keys = keys
        self.vector: NDArray[np.float32] | None = None
        self.keeps = keeps
        self.media_type: tuple[bytes, bytes] | None = None
        self.pieces: list[bytes] | None = []
        self._sink = sink
        self._size = 0

    def on_head(self, status: int, headers: Headers) -> None:
        """As it is."""
        self.media_type = headers[0] if status == 200 else None
        self._sink.on_head(status, headers)

    def on_piece(self, piece: bytes) -> None:
        """As it is."""
        self._size += len(piece)
        if self._size > _ANSWER_BYTES_MAX:
            self.pieces = None
        elif self.pieces is not None:
            self.pieces.append(piece)
        self._sink.on_piece(piece)

    def on_end(self) -> None:
        """As it is."""
        self._sink.on_end()


class Cache:
    """The answers that this process keeps, of all tenants; what was not asked for longest goes first."""

    def __init__(self, recording: Recording, embed: Embeds, *, bytes_max: int = _BYTES_MAX) -> None:
        self._recording = recording
        self._embed = embed
        self._alike: dict[bytes, dict[bytes, None]] = {}
        self._bytes_max = bytes_max
        self._secret = os.urandom(32)
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._emptied: dict[str, int] = {}
        self._size = 0

    def keys(self, keeps: Keeps, call: Request, model: str, label: Label, decision: Decision) -> Keys | None:
        """Under what the answer to this request is kept; None where it is left to chance."""
        scope, asking = call.scope, call.asking
        body = asking.body
        if not (keeps.forced or asking.wire == "embeddings" or body.get("temperature") == 0 or "seed" in body):
            return None
        if self._emptied.get(scope.tenant, keeps.emptied) != keeps.emptied:
            self.forget(scope.tenant)
        self._emptied[scope.tenant] = keeps.emptied
        said: list[Any] = [scope.tenant, keeps.emptied, decision.policy_hash, label.to_wire(), decision.label.to_wire()]
        said += [asking.wire, model]
        same = self._hashed([*said, body])
        rest, question = _parted(asking) if keeps.likeness is not None else (None, "")
        return Keys(same, self._hashed([*said, rest]) if question else b"", question)

    def _hashed(self, said: list[Any]) -> bytes:
        return hashlib.blake2b(_SORTED.encode(said), key=self._secret, digest_size=32).digest()

    async def nearest(self, copy: Copying, scope: Scope, label: Label) -> bytes | None:
        """The key of the answer to the earlier question that is most like this one, if it is like enough.

        All else of the two requests is the same. What compares them is the embedder that the tenant has, where it may.
        """
        try:
            copy.vector = (await self._embed(scope, [copy.keys.question], label=label)).vectors[0]
        except BastideError as fault:
            telemetry.log.debug("questions are not compared: %s", fault.code)
            return None
        best, found = copy.keeps.likeness or 1.0, None
        for key in islice(reversed(self._alike.get(copy.keys.rest, {})), _COMPARED_MAX):
            known = self._answers.get(key)
            if known is not None and known.vector is not None:
                likeness = float(known.vector @ copy.vector)
                if likeness >= best:
                    best, found = likeness, key
        return found

    def hit(
        self, key: bytes | None, left: Sequence[tuple[Target, Decision]], again: Callable[[Target], Decision | None]
    ) -> tuple[Answer, Decision] | None:
        """The answer, if one of the targets gave it; decided anew, as what it is."""
        for target, decision in left:
            known = None if key is None else self._find(key, decision)
            decided = None if known is None else again(target)
            if known is not None and decided is not None:
                return known, decided
        return None

    def _find(self, key: bytes, decision: Decision) -> Answer | None:
        """The answer, if it is there and came from the place that this decision allows, as its record is now."""
        known = self._answers.get(key)
        if known is None:
            return None
        if known.until <= time.monotonic():
            self._drop(key)
            return None
        place = decision.endpoint
        return known if (known.endpoint, known.record) == (place.id, decision.record_hash) else None

    def keep(self, copy: Copying, scope: Scope, decision: Decision, model: str, receipt: str) -> None:
        """An answer is whole."""
        if copy.pieces is None or copy.media_type is None:
            return
        place = decision.endpoint
        named = {"id": place.id, "record": decision.record_hash, "record_id": place.record_id, "cached": receipt}
        key, vector = copy.keys.same, copy.vector
        self._drop(key)
        body, until = b"".join(copy.pieces), time.monotonic() + copy.keeps.ttl_s
        rests_on = (scope.tenant, place.id, decision.record_hash, model)
        answer = Answer(*rests_on, copy.media_type, body, receipt, until, named, key, copy.keys.rest, vector)
        self._answers[key] = answer
        if vector is not None:
            self._alike.setdefault(copy.keys.rest, {})[key] = None
        self._size += answer.size
        while self._size > self._bytes_max:
            self._drop(next(iter(self._answers)))

    def give(self, answer: Answer, decision: Decision, scope: Scope, data: bytes, sink: Sink) -> None:
        """The answer again, with a receipt of its own that names that of the first."""
        self._answers.move_to_end(answer.key)
        entry = self._recording.begin(scope, None)
        started = time.time()
        entry.input(data)
        entry.output(answer.body)
        receipt = (b"x-bastide-receipt", entry.id.encode())
        sink.on_head(200, [answer.media_type, receipt, (b"x-bastide-cached", answer.receipt.encode())])
        sink.on_piece(answer.body)
        sink.on_end()
        self._recording.close_cached(entry, decision, model=answer.model, place=answer.place, started=started)
        telemetry.count("answers_given_again", place=decision.endpoint.kind)

    def forget(self, tenant: str) -> None:
        """Drop everything of a tenant."""
        for key in [key for key, one in self._answers.items() if one.tenant == tenant]:
            self._drop(key)

    def _drop(self, key: bytes) -> None:
        gone = self._answers.pop(key, None)
        if gone is not None:
            self._size -= gone.size
            alike = self._alike.get(gone.rest, {})
            alike.pop(key, None)
            if not alike:
                self._alike.pop(gone.rest, None)


def _parted(asking: Asking) -> tuple[Any, str]:
    """A chat without the words of its last question, and these; "" where that is no plain question."""
    turns = asking.body.get("messages") if asking.wire in {"chat", "messages"} else None
    last = turns[-1] if type(turns) is list and turns else None
    if type(last) is not dict or last.get("role") != "user" or type(last.get("content")) is not str:
        return None, ""
    return {**asking.body, "messages": [*asking.body["messages"][:-1], {**last, "content": None}]}, last["content"]
