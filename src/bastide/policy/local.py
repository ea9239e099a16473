"""Local: the records of this machine, which the house makes of itself at every start.

`local/onnx` is the model runtime in this process, `local/runtime` a model server of our own on loopback or in a
listed network. Nobody else receives the bytes; that is what the house can measure. Where the machine stands it
cannot measure: the operator may declare it (`BASTIDE_COUNTRY`), and then zones hold for this machine too. Left
undeclared, its planes are `local`, which lies inside every zone because the bytes do not move.

What the house cannot know of itself (certificates, power, origin of the hardware) is unknown like anything else;
a file in `$home/providers/` with the same id says it, with evidence.
"""

from __future__ import annotations

from datetime import datetime, time
from types import MappingProxyType
from typing import Any

from bastide.errors import BadSetting
from bastide.policy.attributes import ATTRIBUTES, OUTER_PLANES, PLANES
from bastide.policy.places import COUNTRIES, EU, LOCAL, NOWHERE
from bastide.policy.record import Attribute, Record, sealed

ONNX, RUNTIME = "local/onnx", "local/runtime"


def local_records(country: str | None, now: datetime) -> tuple[Record, Record]:
    """The records of this machine, checked on the day of `now`.

    Raises BadSetting if `country` is not a country.
    """
    if country is not None and country not in COUNTRIES:
        raise BadSetting(f"BASTIDE_COUNTRY must be an ISO 3166 code such as FR, not {country!r}.")
    by_house = {
        "third_party": (False, "the call does not leave this house: address checked at every decision"),
        "subprocessors": ([], "the call does not leave this house"),
        "retention_days": (0, "kept by nobody but this house, under its own retention"),
        "trains_on_data": (False, "the house trains on nothing that passes here"),
        "plaintext_access": ("customer-only", "the process of this house"),
        "open_api": (True, "the house serves /openapi.json"),
        **_places(country),
    }
    if country is not None:
        by_house["eu_established"] = (country in EU, "declared by the operator in BASTIDE_COUNTRY")
    in_process = {
        **by_house,
        "human_review": (False, "no person stands between the process and the caller"),
        "own_egress": (False, "the runtime has no network code of its own, and egress is the only way out"),
        "sbom": (True, "the installed distributions of this environment"),
        "open_weights": (True, "the weights lie in this home"),
        "open_source_stack": (True, "bastide and onnxruntime are open source"),
        "autonomy_days": (365, "runs with no network at all"),
    }
    day = datetime.combine(now.date(), time(), now.tzinfo)
    onnx = _record(ONNX, "Models in this process", in_process, day)
    runtime = _record(RUNTIME, "A model server of our own, on loopback or in a listed network", by_house, day)
    return onnx, runtime


def _places(country: str | None) -> dict[str, tuple[Any, str]]:
    place = [LOCAL] if country is None else [country]
    source = "this machine" if country is None else "this machine, declared by the operator in BASTIDE_COUNTRY"
    planes = {f"plane_{name}": (place, source) for name in PLANES}
    outer = {f"plane_{name}": ([NOWHERE], "there is no such plane") for name in OUTER_PLANES}
    return planes | outer


def _record(identity: str, title: str, facts: dict[str, tuple[Any, str]], day: datetime) -> Record:
    attributes = {
        name: Attribute(ATTRIBUTES[name][0](value), "measured", source, day) for name, (value, source) in facts.items()
    }
    return sealed(
        Record(id=identity, title=title, kind="local", attributes=MappingProxyType(attributes), reviewed_at=day)
    )
