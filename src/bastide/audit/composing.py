"""Composing: a call from the journal as the log wants it, the same that `recording` makes of an event, and quickly.

Here the parts that many calls have in common are put in as they stand in the segment, in their one spelling; a test
holds that the outcome is what `body_of`, `evidence_of` and `canonical` give.
"""

from __future__ import annotations

import json
import os
from binascii import b2a_base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from bastide.audit.entries import Common, Noted
from bastide.audit.leaf import LEAF_BYTES_MAX, check_words, commit, derive, pseudonym, subjects_of, verdicts, word
from bastide.audit.packing import Packer
from bastide.audit.receipts import ASSURANCES, opening_of
from bastide.audit.recording import about
from bastide.store import TenantKeys

_KNOWN_MAX: Final = 10_000
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_BLIND: Final = b""  # what needs blinding begins with "~" and shows that it must be made for each call


class Row(msgspec.Struct, frozen=True):
    """A call as the outbox takes it: the leaf, and what lies sealed beside it."""

    id: str
    tenant: str
    act: str
    outcome: str
    t: int
    body: str  # plain ASCII, one line
    sealed: bytes
    mentions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Names:
    """Stretches of a leaf that name what was called, in the order of their keys."""

    act: str
    decision: str
    kind: str
    record: str


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is the same in the bodies and leaves of many calls."""

    common: Common
    before_ended: str
    after_ended: str
    before_model: str
    names: _Names | None  # None: some name must be blinded for each call


class Composer:
    """Makes rows of calls."""

    def __init__(self) -> None:
        self._parts: dict[int, _Parts] = {}
        self._pseudonyms: dict[tuple[str, str, str], str] = {}
        self._packed = Packer()

    def row(self, noted: Noted, keys: TenantKeys) -> Row:
        """The row of a call, under its tenant's keys.

        Raises ValueError when an act, an outcome or an assurance is none that the log takes.
        """
        _check_words(noted.common.act, noted.outcome)
        parts = self._parts_of(noted.common)
        input, output = _hmac(noted.input), _hmac(noted.output)
        body = self._body(noted, parts, input, output)
        payload = self._payload(noted, body).encode()
        leaf = self._leaf(noted, parts, keys, payload, body.encode(), (input, output))
        sealed = keys.seal(noted.secret + self._packed(payload), about(noted.id))
        mentions = tuple(keys.keyed(one.encode(), "audit mention") for one in sorted(set(noted.subjects)))
        return Row(noted.id, noted.who.tenant, noted.common.act, noted.outcome, noted.ended, leaf, sealed, mentions)

    # -- the receipt's body -------------------------------------------------------------------------

    @staticmethod
    def _body(noted: Noted, parts: _Parts, input: str, output: str) -> str:
        ended = _moment(noted.ended)
        return (
            f'{parts.before_ended}"{ended}"{parts.after_ended}{"true" if noted.estimated else "false"}'
            f',"id":"{noted.id}","input":"{input}"{parts.before_model},"outcome":"{noted.outcome}","output":"{output}"'
            f',"started":"{_moment(noted.started)}","time":"{ended}","tls":{parts.common.tls}'
            f',"tokens":{{"input":{noted.tokens_in},"output":{noted.tokens_out}}}}}'
        )

    @staticmethod
    def _payload(noted: Noted, body: str) -> str:
        who = noted.who
        actor = f'"actor":{_said(who.actor)},' if who.actor else ""
        app = f'"app":{_said(who.app)},' if who.app else ""
        resource = f'"resource":{_said(noted.resource)},' if noted.resource else ""
        subjects = f'"subjects":{_said(noted.subjects)},' if noted.subjects else ""
        return f'{{{actor}{app}{resource}{subjects}"receipt":{body}}}'

    def _parts_of(self, common: Common) -> _Parts:
        known = self._parts.get(id(common))
        if known is None:
            if len(self._parts) > _KNOWN_MAX:
                self._parts.clear()
            known = self._parts[id(common)] = _parts(common)
        return known

    # -- the leaf -----------------------------------------------------------------------------------

    def _leaf(
        self, noted: Noted, parts: _Parts, keys: TenantKeys, payload: bytes, body: bytes, sides: tuple[str, str]
    ) -> str:
        secret, who, often = noted.secret, noted.who, self._often
        names = parts.names or _names(noted.common, derive(secret, "word"))
        actor = f'"actor":"{often(keys, "audit actor", who.actor)}",' if who.actor else ""
        app = f'"app":"{often(keys, "audit app", who.app)}",' if who.app else ""
        resource = f'"resource":"{often(keys, "audit resource", noted.resource)}",' if noted.resource else ""
        subjects = f'"subjects":{json.dumps(subjects_of(noted.subjects, secret))},' if noted.subjects else ""
        said = (
            f'{names.act}{actor}{app}{names.decision}"event":"{noted.id}","in":"{sides[0]}",{names.kind}'
            f'"nonce":"{_letters(os.urandom(16))}","out":"{sides[1]}","outcome":"{noted.outcome}",'
            f'"payload":"{commit(derive(secret, "payload"), payload)}",'
            f'"receipt":"{commit(opening_of(secret), body)}",{names.record}{resource}{subjects}'
            f'"t":{noted.ended},"tenant":"{often(keys, "audit tenant", "")}","v":1}}'
        )
        assert len(said) < LEAF_BYTES_MAX, "every part of a leaf is bounded"
        return said

    def _often(self, keys: TenantKeys, purpose: str, value: str) -> str:
        place = (keys.tenant, purpose, value)
        known = self._pseudonyms.get(place)
        if known is None:
            if len(self._pseudonyms) > _KNOWN_MAX:
                self._pseudonyms.clear()
            known = self._pseudonyms[place] = pseudonym(keys.keyed(value.encode(), purpose))
        return known


def _parts(common: Common) -> _Parts:
    if common.assurance not in ASSURANCES:
        raise ValueError(f"assurance is one of {sorted(ASSURANCES)}, not {common.assurance!r}")
    plain = _names(common, _BLIND)
    return _Parts(
        common,
        f'{{"act":{_said(common.act)},"assurance":"{common.assurance}","decision":{common.decision},"ended":',
        f',"endpoint":{common.endpoint},"estimated":',
        f',"label":{common.label},"model":{_said(common.model)}',
        None if "~" in plain.decision + plain.kind + plain.record else plain,
    )


def _names(common: Common, blind: bytes) -> _Names:
    endpoint = json.loads(common.endpoint)
    decision = json.dumps(verdicts(json.loads(common.decision), blind), sort_keys=True, separators=(",", ":"))
    place, record = (word(str(endpoint.get(name, "")), blind) for name in ("id", "record"))
    return _Names(
        f'{{"act":"{common.act}",',
        f'"assurance":"{common.assurance}","decision":{decision},"endpoint":"{place}",',
        f'"kind":"{word(common.act, blind)}","log":{{}},"model":"{word(common.model, blind)}",',
        f'"record":"{record}",',
    )


_said: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_check_words: Final = lru_cache(maxsize=256)(check_words)


def _hmac(side: bytes) -> str:
    return f"hmac:{side.hex()}" if side else ""


def _moment(t: int) -> str:
    """Milliseconds since 1970 as the wire writes time; the seconds are worked out once."""
    return f"{_second(t // 1000)}.{t % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(t: int) -> str:
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _letters(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode()
