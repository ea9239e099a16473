"""Attributes: the closed list of what a provider record can say, and how each value must look.

An attribute that is not on this list is refused, because a misspelt fact would be a missing fact.
"""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from bastide.policy.places import COUNTRIES, LOCAL, NOWHERE, countries
from bastide.policy.reading import instant

PLANES = ("inference", "storage", "telemetry", "backup", "support", "admin")
"""Where content is, or from where it can be reached."""

OUTER_PLANES = ("billing", "control", "dns")
"""Where only traces of a call are; they count from class `restricted` upwards."""

ROLES = ("operator", "parent", "ubo", "investor", "subsidiary", "subprocessor", "support")
ACCESS = ("none", "technical", "operational")
PLAINTEXT = ("operator", "customer-only", "attested-enclave")
TRANSFER_TOOLS = ("SCC+TIA", "BCR", "DPF")
SCHEMES = (
    "SecNumCloud-3.2",
    "EUCS-high",
    "EUCS-substantial",
    "C5-type2",
    "C5-type1",
    "HDS-2",
    "ISO27001",
    "ISO27017",
    "ISO27018",
    "ISO27701",
    "ISO42001",
    "SOC2-type2",
    "SOC2-type1",
)
CAPABILITIES = (
    "chat",
    "completion",
    "responses",
    "embeddings",
    "rerank",
    "vision",
    "ocr",
    "transcription",
    "speech",
    "images",
    "moderation",
    "batch",
    "fine-tuning",
)
"""What a provider may offer as a model endpoint."""

Reader = Callable[[Any], Any]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number from 0")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise ValueError(f"{value!r} is not a number from 0")
    return float(value)


def _share(value: Any) -> float:
    if (share := _number(value)) > 100:
        raise ValueError(f"{value!r} is not a share from 0 to 100 percent")
    return share


def _country(value: Any) -> str:
    if not isinstance(value, str) or value not in COUNTRIES:
        raise ValueError(f"{value!r} is not an ISO 3166 country code")
    return str(value)


def _one_of(known: tuple[str, ...]) -> Reader:
    def read(value: Any) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is not one of {', '.join(known)}")
        return str(value)

    return read


def _list_of(read: Reader) -> Reader:
    def read_all(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")
        return [read(item) for item in value]

    return read_all


def _shape(required: Mapping[str, Reader], optional: Mapping[str, Reader]) -> Reader:
    known = {**required, **optional}

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is not a mapping")
        if unknown := [name for name in value if name not in known]:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(known)}")
        if missing := [name for name in required if name not in value]:
            raise ValueError(f"{missing[0]!r} is missing")
        return {name: known[name](part) for name, part in value.items()}

    return read


def _places(value: Any) -> list[str]:
    """Where a plane is: countries, `EU`, `EEA`, `local` (never leaves this machine), `none` (no such plane)."""
    if not isinstance(value, list) or not value:
        raise ValueError(f"{value!r} is not a list of places (an unknown place is left out)")
    beside = [place for place in value if place in (LOCAL, NOWHERE)]
    if NOWHERE in beside and len(value) > 1:
        raise ValueError("`none` stands alone: there is such a plane or there is none")
    return sorted(countries([place for place in value if place not in (LOCAL, NOWHERE)]) | set(beside))


def _day(value: Any) -> str:
    if not isinstance(value, date):
        raise ValueError(f"{value!r} is not a day such as 2027-06-30")
    return instant(value).date().isoformat()


_edge = _shape(
    {"role": _one_of(ROLES), "entity": _text, "country": _country},
    {
        "pct": _share,
        "veto": _flag,
        "board_majority": _flag,
        "plaintext_access": _one_of(ACCESS),
        "separation": _one_of(("none", "legal", "technical", "both")),
    },
)
_subprocessor = _shape({"entity": _text, "country": _country}, {"plaintext_access": _one_of(ACCESS), "task": _text})
_certificate = _shape({"scheme": _one_of(SCHEMES), "scope": _text}, {"valid_to": _day})

ATTRIBUTES: dict[str, tuple[Reader, str]] = {
    **{f"plane_{name}": (_places, f"countries of the {name} plane") for name in PLANES + OUTER_PLANES},
    "third_party": (_flag, "whether anybody but this house receives the bytes"),
    "legal_chain": (_list_of(_edge), "who operates, owns and is owned: walked up and down"),
    "subprocessors": (_list_of(_subprocessor), "who else receives content"),
    "eu_established": (_flag, "the operator is established in the EU"),
    "separation_evidence": (_flag, "a third-country part of the group is separated, with evidence"),
    "contract_law": (_country, "the law of the contract"),
    "dpa_signed": (_flag, "a contract under GDPR Article 28 is in force"),
    "transfer_tool": (_one_of(TRANSFER_TOOLS), "the tool of GDPR Chapter V"),
    "retention_days": (_whole, "days for which content is kept after the answer"),
    "human_review": (_flag, "people may read content"),
    "trains_on_data": (_flag, "content is used to train"),
    "high_risk_use_allowed": (_flag, "the terms allow a high-risk use under the AI Act"),
    "plaintext_access": (_one_of(PLAINTEXT), "who can read content while it is worked on"),
    "own_egress": (_flag, "the endpoint reaches out by itself (web search, server-side tools)"),
    "autonomy_days": (_whole, "days for which the service runs without any party outside the EU"),
    "alternatives": (_whole, "other providers to which the work can be moved"),
    "eu_citizen_staff": (_flag, "only citizens of the EU can reach content"),
    "sbom": (_flag, "a bill of materials of the service exists"),
    "hw_origin_known": (_flag, "the origin of the hardware is stated"),
    "open_weights": (_flag, "the weights of the models are published"),
    "open_source_stack": (_flag, "the serving software is open source"),
    "open_api": (_flag, "the interface is documented and not proprietary"),
    "certs": (_list_of(_certificate), "certificates whose scope covers this service"),
    "eu_cert": (_one_of(("substantial", "high")), "level of a European cybersecurity certificate"),
    "pue": (_number, "power usage effectiveness"),
    "renewable_pct": (_share, "share of renewable energy"),
    "capabilities": (_list_of(_one_of(CAPABILITIES)), "what the endpoint offers"),
    "requests_per_minute": (_whole, "rate limit per key and model"),
    "pinned_upstream": (_text, "behind a router: the one upstream that this record describes; bodies name it"),
    "body_bytes_max": (_whole, "largest request"),
    "spki_sha256": (_list_of(_text), "pinned public keys of its TLS certificates"),
}
