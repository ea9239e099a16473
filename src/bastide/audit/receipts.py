"""Receipts: made so that every field can be checked, and checked without us.

A receipt carries its leaf, and the leaf a commitment to the receipt's body; the body is every field but
the four that prove it. So whoever changes a field must find another leaf, and the log has none.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from bastide.audit.canonical import JsonValue, canonical
from bastide.audit.leaf import commit, derive, parse_leaf, verdicts, word
from bastide.audit.merkle import NotProven
from bastide.audit.note import Checkpoint, PublicKey, from_base64
from bastide.audit.proof import Proof
from bastide.audit.values import ReceiptFacts

PROVING = frozenset({"leaf", "opening", "proof", "key"})
ASSURANCES = frozenset({"local-measured", "attested", "contractual", "self-declared"})


def body_of(facts: ReceiptFacts, *, id: str, t: int, outcome: str, secret: bytes) -> dict[str, JsonValue]:
    """The body of the receipt for these facts.

    Raises ValueError when `assurance` is not one of the four words.
    """
    if facts.assurance not in ASSURANCES:
        raise ValueError(f"assurance is one of {sorted(ASSURANCES)}, not {facts.assurance!r}")
    counted: dict[str, JsonValue] = {"usage": facts.usage} if facts.usage else {}
    if facts.estimated is not None:
        counted["estimated"] = facts.estimated
    return {
        "id": id,
        "time": moment(t),
        "act": facts.act,
        "outcome": outcome,
        "decision": facts.decision,
        "label": facts.label,
        "endpoint": facts.endpoint,
        "tls": facts.tls,
        "model": facts.model,
        "tokens": {"input": facts.tokens_in, "output": facts.tokens_out},
        "assurance": facts.assurance,
        "input": committed(secret, "input", facts.input),
        "output": committed(secret, "output", facts.output),
        "started": _iso(facts.started),
        "ended": _iso(facts.ended),
        **counted,
    }


def committed(secret: bytes, side: str, content: bytes) -> str:
    """`hmac:` and the commitment to what went in or came out; only who has `secret` can test a guess."""
    return "hmac:" + hmac.digest(derive(secret, side), content, "sha256").hex()


def opening_of(secret: bytes) -> bytes:
    """What opens the leaf's commitment to the body, and nothing else."""
    return derive(secret, "receipt")


def evidence_of(body: Mapping[str, JsonValue], facts: ReceiptFacts, secret: bytes) -> dict[str, JsonValue]:
    """What the receipt adds to its leaf."""
    blind = derive(secret, "word")
    return {
        "receipt": commit(opening_of(secret), canonical(body)),
        "kind": word(facts.act, blind),
        "decision": verdicts(facts.decision, blind),
        "endpoint": word(str(facts.endpoint.get("id", "")), blind),
        "record": word(str(facts.endpoint.get("record", "")), blind),
        "model": word(facts.model, blind),
        "assurance": facts.assurance,
        "in": body["input"],
        "out": body["output"],
    }


def check_receipt(receipt: Mapping[str, JsonValue], key: PublicKey) -> tuple[Checkpoint, int]:
    """Prove a receipt against the log's key; the checkpoint that covers it, and its index.

    Raises NotProven. The steps are numbered because each closes one way to forge:
    """
    # 1. the leaf is there and is a leaf            4. the leaf stands in the log at its index
    # 2. the leaf commits to exactly this body      5. the receipt names the key that was used
    # 3. the leaf belongs to this log and event
    texts = {name: receipt.get(name) for name in PROVING}
    if not all(isinstance(text, str) for text in texts.values()):
        raise NotProven("the receipt lacks leaf, opening, proof or key")
    if not texts["leaf"] or not texts["proof"]:
        raise NotProven("the log had not reached this receipt yet: fetch it again")
    entry = from_base64(str(texts["leaf"]))
    leaf = parse_leaf(entry)
    body = {name: value for name, value in receipt.items() if name not in PROVING}
    try:
        bound = commit(from_base64(str(texts["opening"])), canonical(body))
    except ValueError as fault:
        raise NotProven(f"the receipt cannot be read as one value: {fault}"[:200]) from fault
    if not hmac.compare_digest(bound.encode(), str(leaf.get("receipt")).encode()):
        raise NotProven("the receipt is not the one that was recorded: a field was changed")
    place = leaf["log"]
    if not isinstance(place, dict) or f"bastide/{place.get('id')}" != key.name or leaf.get("event") != body.get("id"):
        raise NotProven("the receipt's leaf is of another log or another event")
    proof = Proof.parse(str(texts["proof"]))
    checkpoint = proof.check(entry, key)
    if texts["key"] != str(key):
        raise NotProven("the receipt names another key than the one it was checked with")
    return checkpoint, proof.index


def moment(t: int) -> str:
    """Milliseconds since 1970 as the wire writes time."""
    return _iso(datetime.fromtimestamp(t / 1000, UTC))


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def letters(raw: bytes) -> str:
    """Standard base 64."""
    return base64.b64encode(raw).decode()
