"""How long one decision takes: a label that was met before, a label never met before, and a refusal.

python -m benchmarks.policy [--json]
"""

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType

from bastide.policy.decision import Snapshot, governing
from bastide.policy.label import Label
from bastide.policy.local import local_records
from bastide.policy.record import Attribute, Record, load_records, sealed
from bastide.policy.table import Table
from bastide.policy.values import Endpoint, TenantPolicy

NOW = datetime.now(UTC)
URL = "https://api.example.eu/v1"
TARGET_US = 25.0
TARGET_300_US = 1.0  # all of 300 endpoints, once the table is made


def an_eu_cloud() -> Record:
    """A synthetic endpoint in France, with a subsidiary elsewhere and every fact under contract."""
    chain = [
        {"role": "operator", "entity": "E", "country": "FR"},
        {"role": "subsidiary", "entity": "E Inc", "country": "US"},
    ]
    planes = {f"plane_{name}": ["FR"] for name in ("inference", "storage", "telemetry", "backup", "support", "admin")}
    facts = planes | {
        "legal_chain": chain,
        "subprocessors": [],
        "dpa_signed": True,
        "retention_days": 0,
        "human_review": False,
        "trains_on_data": False,
    }
    ends = NOW + timedelta(days=90)
    attributes = {name: Attribute(value, "contract", "synthetic", NOW, ends) for name, value in facts.items()}
    return sealed(Record("example/eu", "Example", "api", MappingProxyType(attributes), url=URL))


ROUNDS, TURNS = 40, 500


def microseconds(call: Callable[[int], object]) -> tuple[float, float]:
    """The time of one call: in the best of the rounds (what it costs), and in the median one (as busy as it is)."""
    rounds = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        for turn in range(TURNS):
            call(number * TURNS + turn)
        rounds.append((time.perf_counter() - start) / TURNS * 1e6)
    return round(min(rounds), 2), round(statistics.median(rounds), 2)


def main() -> int:
    """Print the figures beside the target."""
    records = load_records() | {record.id: record for record in (*local_records(None, NOW), an_eu_cloud())}
    snapshot = Snapshot(records)
    enabled = frozenset({"example/eu", "local/onnx", "local/runtime"})
    law = governing(TenantPolicy(enabled=enabled, tolerate=frozenset({("US", "via-subsidiary")})))
    label = Label(cls="confidential", personal="personal", zone=frozenset({"FR", "DE"}), subjects=frozenset({"a"}))
    remote, local = Endpoint("x", "example/eu", "m", "api", URL), Endpoint("local/onnx", "local/onnx", "m", "local")
    foreign = next(Endpoint("f", r.id, "m", r.kind, r.url) for r in records.values() if r.id.startswith("openai"))
    fresh = [Label(cls="internal", subjects=frozenset({f"s{number}"})) for number in range(ROUNDS * TURNS)]

    def decide(endpoint: Endpoint, what: Label) -> bool:
        return snapshot.decide(what, endpoint, law, datetime.now(UTC), capability="chat").allowed

    assert decide(remote, label)
    assert decide(local, label)
    assert not decide(foreign, label)
    many = tuple(Endpoint(f"x{number}", "example/eu", "m", "api", URL) for number in range(300))
    act = partial(snapshot.decide, law=law, now=datetime.now(UTC), capability="chat")
    table = Table(many, law, 0, act, lambda: datetime.now(UTC))
    assert len(table.ruled(label, datetime.now(UTC).timestamp()).allowed) == 300
    moment = datetime.now(UTC).timestamp()  # after the table was made: a clock that was set back has it made anew
    measured = {
        "remote, label known": microseconds(lambda _: decide(remote, label)),
        "local, label known": microseconds(lambda _: decide(local, label)),
        "local, label never met": microseconds(lambda turn: decide(local, fresh[turn])),
        "300 endpoints, label known": microseconds(lambda _: table.ruled(label, moment).allowed),
        "refused, with reasons": microseconds(lambda _: decide(foreign, label)),
    }
    figures: dict[str, object] = {
        "machine": f"{platform.node()}, {platform.machine()}, Python {platform.python_version()}",
        "records": len(records),
        "target_us": TARGET_US,
        "decision_us": measured["remote, label known"][0],
        "target_300_us": TARGET_300_US,
        "decisions_per_s": round(1e6 / measured["remote, label known"][0]),
    }
    figures |= {f"{name}: best / median us": f"{best} / {median}" for name, (best, median) in measured.items()}
    if "--json" in sys.argv:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:44} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
