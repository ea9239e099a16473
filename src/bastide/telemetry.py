"""What the house tells its operator: counters and durations for Prometheus, and a log without content.

Nothing here leaves the process by itself: `/metrics` is fetched by whoever may reach it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger("bastide")

# Upper bounds of the duration buckets, in seconds.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_Labels = tuple[tuple[str, str], ...]


class _Registry:
    """All series of this process; a lock because work also runs in threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counters: dict[str, dict[_Labels, float]] = {}
        self.gauges: dict[str, dict[_Labels, float]] = {}
        self.durations: dict[str, dict[_Labels, list[float]]] = {}


_registry = _Registry()


def _key(labels: dict[str, str]) -> _Labels:
    return tuple(sorted(labels.items()))


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add `amount` to the counter `bastide_<name>_total`. Labels must not hold content, names or tenant ids."""
    with _registry.lock:
        series = _registry.counters.setdefault(name, {})
        key = _key(labels)
        series[key] = series.get(key, 0.0) + amount


def gauge(name: str, value: float, **labels: str) -> None:
    """Set the gauge `bastide_<name>`."""
    with _registry.lock:
        _registry.gauges.setdefault(name, {})[_key(labels)] = value


def observe(name: str, seconds: float, **labels: str) -> None:
    """Add one duration to the histogram `bastide_<name>_seconds`."""
    with _registry.lock:
        series = _registry.durations.setdefault(name, {})
        buckets = series.setdefault(_key(labels), [0.0] * (len(BUCKETS_S) + 2))
        for position, bound in enumerate(BUCKETS_S):
            if seconds <= bound:
                buckets[position] += 1
        buckets[-2] += 1
        buckets[-1] += seconds


@contextmanager
def timed(name: str, **labels: str) -> Iterator[None]:
    """Observe how long the block takes, whether it succeeds or not."""
    start = time.perf_counter()
    try:
        yield
    finally:
        observe(name, time.perf_counter() - start, **labels)


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _line(name: str, labels: _Labels, value: float, extra: tuple[str, str] | None = None) -> str:
    pairs = [*labels, extra] if extra else list(labels)
    inside = ",".join(f'{key}="{_escape(text)}"' for key, text in pairs)
    return f"{name}{{{inside}}} {value:g}" if inside else f"{name} {value:g}"


def render() -> str:
    """All series in the Prometheus text format."""
    lines: list[str] = []
    with _registry.lock:
        for kind, table, suffix in (
            ("counter", _registry.counters, "_total"),
            ("gauge", _registry.gauges, ""),
        ):
            for name in sorted(table):
                full = f"bastide_{name}{suffix}"
                lines.append(f"# TYPE {full} {kind}")
                lines += [_line(full, labels, value) for labels, value in sorted(table[name].items())]
        for name in sorted(_registry.durations):
            full = f"bastide_{name}_seconds"
            lines.append(f"# TYPE {full} histogram")
            for labels, buckets in sorted(_registry.durations[name].items()):
                for bound, value in zip(BUCKETS_S, buckets, strict=False):
                    lines.append(_line(f"{full}_bucket", labels, value, ("le", f"{bound:g}")))
                lines.append(_line(f"{full}_bucket", labels, buckets[-2], ("le", "+Inf")))
                lines.append(_line(f"{full}_count", labels, buckets[-2]))
                lines.append(_line(f"{full}_sum", labels, buckets[-1]))
    return "\n".join(lines) + "\n"
