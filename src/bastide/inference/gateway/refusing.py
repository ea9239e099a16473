"""A refusal in the shape that the clients of each wire expect: as a whole answer, or as the last event of a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from bastide import telemetry
from bastide.errors import BastideError, Broken, Unavailable
from bastide.inference.gateway.limits import limits_told
from bastide.inference.gateway.values import JSON, Headers

_TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_MESSAGES_TYPES: Final[Mapping[int, str]] = {
    **_TYPES,
    402: "billing_error",
    413: "request_too_large",
    529: "overloaded_error",
}
_ENCODER: Final = msgspec.json.Encoder()


def of_ours(fault: Exception) -> BastideError:
    """The fault itself where it is one of ours; what nobody thought of is logged, and told without its words."""
    if isinstance(fault, BastideError):
        return fault
    telemetry.log.error("a call failed in a way that nobody thought of", exc_info=fault)
    return Broken()


def refusal(wire: str, fault: BastideError, request_id: str) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer that says `fault`."""
    headers: Headers = [JSON]
    if fault.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    wait = fault.facts.get("retry_after_s")
    if isinstance(wait, int | float):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait))))
    elif isinstance(fault, Unavailable):
        headers.append((b"retry-after", b"1"))
    elif fault.status != 429:
        headers.append((b"x-should-retry", b"false"))  # some clients would try a 409 and a 500 three times
    if "limits" in fault.facts:
        headers += limits_told(wire, fault.facts["limits"])
    return fault.status, headers, _ENCODER.encode(_body(wire, fault, request_id))


def last_event(wire: str, fault: BastideError, request_id: str) -> bytes:
    """The event by which a stream that has begun says that it failed."""
    body = _body(wire, fault, request_id)
    if wire == "responses":
        error = body["error"]
        body = {
            "type": "error",
            "code": error["code"],
            "message": error["message"],
            "param": None,
            "sequence_number": 0,
        }
        body["error"] = error  # it is there that OpenAI's client looks
    name = b"event: error\n" if wire in {"messages", "responses"} else b""
    return b"%bdata: %b\n\n" % (name, _ENCODER.encode(body))


def _body(wire: str, fault: BastideError, request_id: str) -> dict[str, Any]:
    known = fault.to_wire(request_id)
    if wire == "messages":
        kind = _MESSAGES_TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error")
        return {"type": "error", "error": {**known, "type": kind}, "request_id": request_id}
    kind = _TYPES.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error")
    return {"error": {**known, "type": kind, "param": known.get("param")}}
