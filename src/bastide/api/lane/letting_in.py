"""Letting in: whom the headers of a request name, and under which label they ask.

The key names tenant, user and app; `X-Company-ID`, `X-User-ID` and `X-App-ID` can only narrow that, and `X-Label` can
only tighten the label. What is missing, malformed or foreign is refused, never assumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from bastide.api.lane.reading import parse
from bastide.errors import BadLabel, BadRequest
from bastide.policy import Label
from bastide.store import Scope
from bastide.tenancy import Tenancy


async def let_in(tenancy: Tenancy, headers: Mapping[str, str]) -> tuple[Scope, Label]:
    """Who asks, as these headers say it; their names are in lower case, and each of them came once.

    Raises Unauthorised, Forbidden or BadRequest.
    """
    scope = await tenancy.authenticate(
        _bearer(headers),
        company=headers.get("x-company-id"),
        user=headers.get("x-user-id"),
        app=headers.get("x-app-id"),
    )
    label = Label.of_scope(scope)
    if "x-label" in headers:
        label = label.join(_label(headers["x-label"], label))
        scope = _under(scope, label)
    return scope, label


def _bearer(headers: Mapping[str, str]) -> str | None:
    if "authorization" not in headers:  # as Anthropic's clients say it
        return headers.get("x-api-key")
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _label(text: str, default: Label) -> Label:
    try:
        wire = parse(text.encode())
    except BadRequest as fault:
        raise BadLabel("The header X-Label is not JSON.") from fault
    return Label.from_wire(wire, default)


def _under(scope: Scope, label: Label) -> Scope:
    return replace(scope, label=json.dumps(label.to_wire(), sort_keys=True, separators=(",", ":")))
