"""Gates: what a figure has to reach, printed beside what it is."""

from __future__ import annotations

from collections.abc import Mapping

QUALITY: Mapping[str, Mapping[str, float]] = {
    "hotpotqa-train-100": {"R@5": 90.0},
    "musique-train-100": {"R@5": 75.0},
    "scifact": {"nDCG@10": 73.7},
    "xquad/de": {"R@5": 97.0},
    "xquad/el": {"R@5": 97.0},
    "xquad/es": {"R@5": 97.0},
    "xquad/ro": {"R@5": 97.0},
    "2wikimultihopqa": {"R@2": 76.0, "R@5": 94.0},
    "hotpotqa-300-plus": {"R@5": 86.0},
    "cranfield": {"nDCG@10": 43.7},
    "gesetze-de": {"R@5": 72.0},
}
"""By set, for the hybrid search; a set that is not named here has the gate of `BELOW_THE_BETTER` only."""

BELOW_THE_BETTER = 1.0
"""So many points hybrid may be below the better of words and vectors, on any set."""

P50_MS, P95_MS, P95_LARGE_MS, LARGE = 25.0, 60.0, 150.0, 100_000
SHARE_RECALL = 0.95
WEB_S_PER_10000 = 5.0


def at_least(title: str, value: float, gate: float, *, unit: str = "") -> None:
    """Print a figure that should be this high."""
    _line(title, value, f">= {gate:g}", value >= gate, unit)


def at_most(title: str, value: float, gate: float, *, unit: str = "") -> None:
    """Print a figure that should be this low."""
    _line(title, value, f"<= {gate:g}", value <= gate, unit)


def _line(title: str, value: float, gate: str, reached: bool, unit: str) -> None:
    verdict = "reached" if reached else "NOT reached"
    print(f"  gate: {title}: {value:.4g}{unit}, wanted {gate}{unit}: {verdict}", flush=True)


def quality(name: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Hold the figures of one set, by mode and measure, against its gates."""
    hybrid = figures["hybrid"]
    for measure, gate in QUALITY.get(name, {}).items():
        at_least(f"{name} {measure}", hybrid[measure], gate)
    for measure in ("nDCG@10",) if "nDCG@10" in QUALITY.get(name, {}) else ("R@5",):
        better = max(figures["text"][measure], figures["vector"][measure])
        at_least(
            f"{name} {measure} against the better of words and vectors", hybrid[measure], better - BELOW_THE_BETTER
        )
