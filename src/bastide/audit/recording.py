"""Recording: an event goes into the outbox in the transaction of the act itself.

What can be read (who, what, details, the receipt) is sealed under the tenant's key beside it; the leaf
gets pseudonyms and commitments. The sealed form is 32 secret bytes `r`, then JSON, which may be packed; see leaf.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bastide.audit.canonical import JsonValue
from bastide.audit.leaf import SECRET_BYTES, Pseudonyms, compose, pseudonym
from bastide.audit.packing import unpacked
from bastide.audit.receipts import body_of, evidence_of
from bastide.audit.values import ReceiptFacts
from bastide.store import Db, is_id, new_id, queries

_Q = queries("bastide.audit")
_RECORD, _RECORD_ABOUT, _FORGET = _Q["record"], _Q["record_about"], _Q["forget"]

_ANNOUNCE_S = 0.05
_KNOWN_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A payload that was unsealed."""

    secret: bytes
    content: Mapping[str, JsonValue]

    def text(self, name: str) -> str:
        """A field that is a text, "" where it is absent."""
        value = self.content.get(name)
        return value if isinstance(value, str) else ""

    def part(self, name: str) -> Mapping[str, JsonValue] | None:
        """A field that is an object."""
        value = self.content.get(name)
        return value if isinstance(value, Mapping) else None


class Recorder:
    """Writes events; one a process, because it also keeps the announcements rare."""

    def __init__(self) -> None:
        self._announced = 0.0
        self._known: dict[tuple[str, str, str], str] = {}  # pseudonyms of who acts often

    async def record(
        self,
        db: Db,
        act: str,
        *,
        resource: str,
        subjects: Sequence[str],
        outcome: str,
        details: Mapping[str, JsonValue] | None,
        receipt: ReceiptFacts | None,
        id: str | None,
    ) -> str:
        """Insert one event into the transaction of `db`; its id. See `Audit.record`."""
        kind = "rcp" if receipt else "evt"
        if id is not None and not is_id(id, kind):
            raise ValueError(f"the id of this event must be a {kind}_ id")
        id = id or new_id(kind)
        t = time.time_ns() // 1_000_000
        secret = os.urandom(SECRET_BYTES)
        actor, app = actor_of(db), (db.scope.app or "" if db.scope else "")
        body = body_of(receipt, id=id, t=t, outcome=outcome, secret=secret) if receipt else None
        named: dict[str, JsonValue] = {"actor": actor, "app": app, "resource": resource, "subjects": list(subjects)}
        content: dict[str, JsonValue] = {name: value for name, value in named.items() if value}
        if details is not None:
            content["details"] = details
        if body is not None:
            content["receipt"] = body
        payload = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        leaf = compose(
            id=id,
            act=act,
            outcome=outcome,
            t=t,
            who=await self._pseudonyms(db, actor, app, resource),
            subjects=subjects,
            payload=payload,
            secret=secret,
            evidence=evidence_of(body, receipt, secret) if receipt and body else None,
        )
        values = {
            "id": id,
            "act": act,
            "outcome": outcome,
            "t": t,
            "body": leaf,
            "sealed": await db.seal(secret + payload, about=about(id)),
            "announce": self._announce(),
        }
        if subjects:
            mentions = [await mention(db, subject) for subject in set(subjects)]
            await db.at_commit(_RECORD_ABOUT, **values, subjects=mentions)
        else:
            await db.at_commit(_RECORD, **values)
        return id

    async def _pseudonyms(self, db: Db, actor: str, app: str, resource: str) -> Pseudonyms:
        return Pseudonyms(
            tenant=await self._often(db, "audit tenant", ""),
            actor=await self._often(db, "audit actor", actor) if actor else "",
            app=await self._often(db, "audit app", app) if app else "",
            resource=pseudonym(await db.keyed(resource.encode(), purpose="audit resource")) if resource else "",
        )

    async def _often(self, db: Db, purpose: str, value: str) -> str:
        place = (db.scope.tenant if db.scope else "", purpose, value)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = pseudonym(await db.keyed(value.encode(), purpose=purpose))
            if len(self._known) > _KNOWN_MAX:
                self._known.clear()
        return known

    def _announce(self) -> bool:
        # NOTIFY takes a lock of the whole database at commit; the sequencer looks by itself while events flow.
        now = time.monotonic()
        if now - self._announced < _ANNOUNCE_S:
            return False
        self._announced = now
        return True


async def open_payload(db: Db, id: str, sealed: bytes) -> Opened:
    """A payload in the clear. Raises BlobDamaged when it was changed or moved."""
    plain = await db.unseal(sealed, about=about(id))
    return Opened(plain[:SECRET_BYTES], json.loads(unpacked(plain[SECRET_BYTES:])))


async def forget(db: Db, subject: str) -> int:
    """Delete what can be read of every event that names this subject; how many payloads that were."""
    return await db.run(_FORGET, subject=await mention(db, subject))


def actor_of(db: Db) -> str:
    """Who acts in this transaction: the user, else the key."""
    return (db.scope.user or db.scope.key or "") if db.scope else "platform"


def about(id: str) -> str:
    """What a sealed payload is bound to."""
    return f"audit.payload|{id}"


async def mention(db: Db, subject: str) -> bytes:
    """The keyed pseudonym under which the tenant finds the events of a person."""
    return await db.keyed(subject.encode(), purpose="audit mention")
