"""The leaf: what the log keeps of an event, and what it must not keep.

A leaf is canonical JSON of pseudonyms, commitments and words from closed lists; never a text, a
name, an address or a bare hash of something that can be guessed. It is composed when the act is
recorded; the sequencer puts its place into the empty `log` (see `append` in queries.sql):
`{at, base, id, n, p}`: the batch's time and first index, the log, the producer and its count.

    r               32 random bytes, kept with the payload under the tenant's key and nowhere else
    derive(r, use)  HMAC(r, use): one secret a use, so that opening one commitment opens no other
    commit(s, x)    HMAC(s, x): says nothing of x; with the payload erased nobody can open it again

HMAC is RFC 2104 over SHA-256. It is put together from its two hashes here, because OpenSSL 3 takes longer to set one up
than to work it out.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import cast

from bastide.audit.canonical import JsonValue, canonical
from bastide.audit.merkle import NotProven

VERSION = 1
LEAF_BYTES_MAX = 65_000  # an entry's length has two bytes, and its place is still to come
SECRET_BYTES = 32

_BLOCK = 64
_INNER, _OUTER = (bytes(pad ^ code for code in range(256)) for pad in (0x36, 0x5C))

_ACT = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_SUBJECTS_MAX = 64
_RULES_MAX = 64


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Who and what, under the tenant's key."""

    tenant: str
    actor: str = ""
    app: str = ""
    resource: str = ""


def mac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA-256 of `content` under a key of at most 64 bytes."""
    block = key.ljust(_BLOCK, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + content).digest()).digest()


def sides(secret: bytes, input: bytes, output: bytes) -> tuple[bytes, bytes]:
    """Commitments to what went into a call and what came out: HMAC(derive(secret, "input"), input), and likewise."""
    block = secret.ljust(_BLOCK, b"\0")
    inner, outer = block.translate(_INNER), block.translate(_OUTER)
    of_input = sha256(outer + sha256(inner + b"input").digest()).digest().ljust(_BLOCK, b"\0")
    of_output = sha256(outer + sha256(inner + b"output").digest()).digest().ljust(_BLOCK, b"\0")
    return (  # `mac`, spelt out: it is asked for with each call
        sha256(of_input.translate(_OUTER) + sha256(of_input.translate(_INNER) + input).digest()).digest(),
        sha256(of_output.translate(_OUTER) + sha256(of_output.translate(_INNER) + output).digest()).digest(),
    )


def derive(secret: bytes, use: str) -> bytes:
    """A secret for one use."""
    return mac(secret, use.encode())


def commit(secret: bytes, content: bytes) -> str:
    """A commitment to `content`, as 43 letters."""
    return _letters(mac(secret, content))


def pseudonym(keyed: bytes) -> str:
    """128 bits of a keyed value, as 22 letters."""
    return _letters(keyed[:16])


def compose(
    *,
    id: str,
    act: str,
    outcome: str,
    t: int,
    who: Pseudonyms,
    subjects: Sequence[str],
    payload: bytes,
    secret: bytes,
    evidence: Mapping[str, JsonValue] | None = None,
) -> str:
    """The leaf of an event, but for its place in the log.

    `payload` is what lies sealed; `evidence` is what a receipt adds. Raises ValueError when `act` or
    `outcome` is not a word: the log must not become a place for text.
    """
    check_words(act, outcome)
    leaf: dict[str, JsonValue] = {
        "v": VERSION,
        "event": id,
        "act": act,
        "outcome": outcome,
        "t": t,
        "tenant": who.tenant,
        "nonce": _letters(os.urandom(16)),
        "payload": commit(derive(secret, "payload"), payload),
        "log": {},
        **{name: getattr(who, name) for name in ("actor", "app", "resource") if getattr(who, name)},
        **(evidence or {}),
    }
    if subjects:
        leaf["subjects"] = subjects_of(subjects, secret)
    body = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
    assert len(body) < LEAF_BYTES_MAX, "every part of a leaf is bounded"
    return body


def check_words(act: str, outcome: str) -> None:
    """Raises ValueError for an act or an outcome that is no word."""
    for said in (act, outcome):
        if not _ACT.fullmatch(said):
            raise ValueError(f"an act or outcome is a word such as knowledge.erase, not {said[:80]!r}")


def subjects_of(subjects: Sequence[str], secret: bytes) -> list[str]:
    """Commitments to the persons whom an event is about; one to all of them where they are many."""
    blind = derive(secret, "subject")
    one_by_one = len(subjects) <= _SUBJECTS_MAX
    named = [s.encode() for s in subjects] if one_by_one else [canonical(list(subjects))]
    return [commit(blind, one)[:22] for one in named]


def word(text: str, blind: bytes) -> str:
    """`text` when it is a plain name such as `local/minilm`, else a commitment to it."""
    return text if not text or _WORD.fullmatch(text) else "~" + commit(blind, text.encode())[:22]


def verdicts(decision: Mapping[str, JsonValue], blind: bytes) -> JsonValue:
    """A decision as the leaf keeps it: the answer, the policy's hash, the rules by id (`!` where one said no)."""
    rules = decision.get("rules")
    told = []
    for rule in rules[:_RULES_MAX] if isinstance(rules, list | tuple) else ():
        if isinstance(rule, Mapping):
            told.append(("" if rule.get("ok") is True else "!") + word(str(rule.get("id", "")), blind))
    return {
        "allowed": decision.get("allowed") is True,
        "policy": word(str(decision.get("policy", "")), blind),
        "rules": told,
    }


def parse_leaf(body: bytes) -> dict[str, JsonValue]:
    """A stored leaf. Raises NotProven when it is not one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise NotProven("is not JSON") from fault
    if not isinstance(found, dict) or not isinstance(found.get("log"), dict):
        raise NotProven("is not a leaf of this log")
    return found


def parse_leaves(bodies: Sequence[bytes | None]) -> list[dict[str, JsonValue] | None]:
    """Many stored leaves, None where one is missing or is not a leaf; in one go where all are."""
    if None not in bodies:
        try:
            found = json.loads(b"[" + b",".join(body for body in bodies if body is not None) + b"]")
            if len(found) == len(bodies) and all(isinstance(leaf["log"], dict) for leaf in found):
                return cast("list[dict[str, JsonValue] | None]", found)
        except (ValueError, RecursionError, KeyError, TypeError):
            pass
    return [_leaf_or_none(body) for body in bodies]


def _leaf_or_none(body: bytes | None) -> dict[str, JsonValue] | None:
    try:
        return parse_leaf(body) if body is not None else None
    except NotProven:
        return None


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
