"""Letting in: whom the headers of a request name, and under which label they ask.

The key names tenant, user and app; `X-Company-ID`, `X-User-ID` and `X-App-ID` can only narrow that, and `X-Label` can
only tighten the label. What is missing, malformed, foreign or contradictory is refused, never assumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from bastide.api.lane.reading import parse
from bastide.errors import BadLabel, BadRequest
from bastide.policy import Label, Policy
from bastide.store import Scope
from bastide.tenancy import Tenancy


async def let_in(tenancy: Tenancy, policy: Policy, headers: Mapping[str, str]) -> tuple[Scope, Label]:
    """Who asks, as these headers say it; their names are in lower case, and each of them came once.

    Raises Unauthorised, Forbidden or BadRequest.
    """
    scope = await tenancy.authenticate(
        _bearer(headers),
        company=headers.get("x-company-id"),
        user=headers.get("x-user-id"),
        app=headers.get("x-app-id"),
    )
    if "x-label" not in headers:
        return scope, await policy.label_of_call(scope)
    label = await policy.label_of_call(scope, _said(headers["x-label"]))
    return _under(scope, label), label


def _bearer(headers: Mapping[str, str]) -> str | None:
    given = headers.get("x-api-key")  # as Anthropic's clients say it
    if "authorization" not in headers:
        return given
    scheme, _, key = headers["authorization"].partition(" ")
    said = key.strip() if scheme.lower() == "bearer" else None
    if given is not None and said is not None and given.strip() != said:
        raise BadRequest("Authorization and X-API-Key name two keys.", next_step="Send one of them, or the same twice.")
    return said


def _said(text: str) -> dict[str, object]:
    try:
        wire = parse(text.encode())
    except BadRequest as fault:
        raise BadLabel("The header X-Label is not JSON.") from fault
    if not isinstance(wire, dict):
        raise BadLabel("The header X-Label is not an object of JSON.")
    return wire


def _under(scope: Scope, label: Label) -> Scope:
    return replace(scope, label=json.dumps(label.to_wire(), sort_keys=True, separators=(",", ":")))
