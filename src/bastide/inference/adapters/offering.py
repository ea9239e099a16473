"""What a server says that it offers: its list of models, in the forms in which servers write it.

What is not said is unknown, and what makes no sense is as good as not said: nothing here fails a whole list for one
entry of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from bastide.errors import UpstreamGarbage

_NAME_MAX: Final = 256
_TOKENS_MAX: Final = 1_000_000_000
_MODELS_MAX: Final = 5_000
_PRICE_MAX: Final = 1_000_000.0
_CONTEXT: Final = ("context_length", "max_model_len", "max_context_length", "context_window", "inputTokenLimit")
_OUTPUT: Final = ("max_completion_tokens", "max_output_tokens", "max_output_length", "outputTokenLimit")
_FEATURES: Final = {"tools": "tools", "tool_use": "tools", "function_calling": "tools", "vision": "vision"}


@dataclass(frozen=True, slots=True)
class Offered:
    """One model that a server offers. Prices are for a million tokens; `stands_for` is set for a mere alias."""

    name: str
    context_tokens: int | None = None
    output_tokens_max: int | None = None
    input: float | None = None
    output: float | None = None
    currency: str = ""
    capabilities: tuple[str, ...] = ()
    stands_for: str = ""


def of_openai_style(answer: Mapping[str, Any]) -> list[Offered]:
    """The models of `{"data": [{"id": ...}]}`. Raises UpstreamGarbage for what is no list."""
    return _read(answer.get("data"), "id")


def of_gemini(answer: Mapping[str, Any]) -> list[Offered]:
    """The models of `{"models": [{"name": "models/..."}]}`. Raises UpstreamGarbage for what is no list."""
    return _read(answer.get("models"), "name")


def _read(rows: Any, named: str) -> list[Offered]:
    if not isinstance(rows, list):
        raise UpstreamGarbage("The server's list of models is not a list.")
    found: dict[str, Offered] = {}
    for row in rows[:_MODELS_MAX]:
        for name in _texts([row.get(named)]) if isinstance(row, Mapping) else ():
            one = _one(name, row)
            found.setdefault(one.name, one)
            for alias in _texts(row.get("aliases")):
                found.setdefault(alias, Offered(alias, stands_for=one.name))
    return list(found.values())


def _one(name: str, row: Mapping[str, Any]) -> Offered:
    top = row.get("top_provider")
    meta = row.get("meta")  # llama.cpp's server
    more = {**(meta if isinstance(meta, Mapping) else {}), **(top if isinstance(top, Mapping) else {}), **row}
    pricing = row.get("pricing")
    sent, got = _prices(pricing if isinstance(pricing, Mapping) else {})
    return Offered(
        name=name,
        context_tokens=_first(more, (*_CONTEXT, "n_ctx", "n_ctx_train")),
        output_tokens_max=_first(more, _OUTPUT),
        input=sent,
        output=got,
        currency=_currency(pricing) if sent is not None else "",
        capabilities=_capabilities(row),
    )


def _prices(pricing: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """What a million tokens cost, in and out, of a price for one; only both together are a price."""
    sent, got = (_per_million(pricing.get(name, pricing.get(other))) for name, other in _PRICE_NAMES)
    return (sent, got) if sent is not None and got is not None else (None, None)


_PRICE_NAMES: Final = (("prompt", "input"), ("completion", "output"))


def _per_million(value: Any) -> float | None:
    try:
        price = float(value) * 1e6 if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return round(price, 9) if isfinite(price) and 0 <= price <= _PRICE_MAX else None


def _currency(pricing: Any) -> str:
    """The currency that the list names; lists in this form are in US dollars where they name none."""
    named = str(pricing.get("currency", ""))
    return named.upper() if len(named) == 3 and named.isalpha() and named.isascii() else "USD"


def _first(row: Mapping[str, Any], names: Iterable[str]) -> int | None:
    values = (row.get(name) for name in names)
    return next((one for one in values if type(one) is int and 0 < one < _TOKENS_MAX), None)


def _capabilities(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What the list says that the model does, in our words; empty where it does not say."""
    found: set[str] = set()
    said = row.get("capabilities")  # Mistral's flags, or a list of words
    flags = [name for name, on in said.items() if on is True] if isinstance(said, Mapping) else _texts(said)
    flags += _texts(row.get("supportedGenerationMethods")) + _texts(row.get("supported_parameters"))
    flags += _texts(row.get("supported_features"))
    for flag in flags:
        found |= {_FEATURES[flag]} if flag in _FEATURES else set()
        if flag in {"completion_chat", "chat", "generateContent"}:
            found.add("chat")
        if "embed" in flag.lower():
            found.add("embeddings")
    places = (row, row.get("architecture"))
    if any("image" in _texts(place.get("input_modalities")) for place in places if isinstance(place, Mapping)):
        found.add("vision")
    return tuple(sorted(found))


def _texts(value: Any) -> list[str]:
    """What of a list may be a name, as it stands in none of ours."""
    texts = [one.removeprefix("models/") for one in value if isinstance(one, str)] if isinstance(value, list) else []
    return [one for one in texts if 0 < len(one) <= _NAME_MAX and one.isprintable()]
