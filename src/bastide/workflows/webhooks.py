"""Webhooks as Standard Webhooks (standardwebhooks.com, version 1) says: who sent it is shown by an HMAC.

Three headers come with the body: `webhook-id`, `webhook-timestamp` (seconds since 1970) and `webhook-signature`, one
or more `v1,<base64>` of HMAC-SHA256 over `id.timestamp.body` under the secret. The answer to whatever is wrong with
them is the same, so that nobody learns which triggers there are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bastide.errors import JobInputWrong, JobTooLarge, WebhookRefused
from bastide.workflows.values import JsonValue

BODY_BYTES_MAX = 1024 * 1024
TOLERANCE_S = 300
_PREFIX = "whsec_"
_SECRET_BYTES = 32
_ID = re.compile(r"[!-~]{1,160}\Z", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}\Z", re.ASCII)
_SIGNATURES_MAX = 10


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook whose sender knows the secret."""

    id: str
    timestamp: int
    body: Mapping[str, JsonValue]

    def facts(self) -> dict[str, JsonValue]:
        """What a trigger can use of it."""
        return {"id": self.id, "timestamp": self.timestamp, "body": self.body}


def new_secret() -> str:
    """A secret of 256 random bits, in the form that the libraries of Standard Webhooks take."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """The signature that a sender puts into `webhook-signature`."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def refuse_large(body: bytes) -> None:
    """Refuse a body over one mebibyte, before anything is looked up. Raises JobTooLarge."""
    if len(body) > BODY_BYTES_MAX:
        raise JobTooLarge(
            f"The body has {len(body)} bytes; a webhook takes {BODY_BYTES_MAX} at most.", limit_bytes=BODY_BYTES_MAX
        )


def verified(headers: Mapping[str, str], body: bytes, known: Sequence[str], *, now_s: float) -> Received:
    """What was received, if one of the `known` secrets signed it within five minutes.

    Raises WebhookRefused; JobInputWrong for a signed body that is no JSON object.
    """
    given = {name.lower(): value for name, value in headers.items()}
    id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not _ID.match(id) or not _TIMESTAMP.match(timestamp) or abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise WebhookRefused
    offered = [_digest(one) for one in given.get("webhook-signature", "").split()[:_SIGNATURES_MAX]]
    expected = [_digest(sign(secret, id, int(timestamp), body)) for secret in known]
    if not any(hmac.compare_digest(one, other) for one in offered for other in expected):
        raise WebhookRefused
    return Received(id, int(timestamp), _object(body))


def _digest(signature: str) -> bytes:
    version, _, text = signature.partition(",")
    if version != "v1":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _object(body: bytes) -> Mapping[str, JsonValue]:
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        raise JobInputWrong("The webhook's body is not JSON.", field="body") from fault
    if not isinstance(found, dict):
        raise JobInputWrong("The webhook's body is not a JSON object.", field="body")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
