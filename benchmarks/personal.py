"""What is found of persons: recall and precision on a held-out set, false finds in clean text, and what looking costs.

python -m benchmarks.personal [--full]      --full: 500 of each sort of a kind instead of 100

The set is made from a seed by code that shares nothing with the detectors. Costs are CPU time, the least of several
runs, beside one pass over the bytes that looks for a single absent byte: nothing that looks at all can cost less.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bastide.policy import Found, find_personal, personal_kind
from benchmarks.held_out.texts import Case, cases

SEED = 1989
EXAMPLES = Path(__file__).parents[1] / "examples"
SENTENCE = "When does the lease of the house at the harbour end, who may end it sooner, and what does that cost them? "


def main() -> int:
    """Print the figures."""
    each = 500 if "--full" in sys.argv else 100
    judged = [(case, [one for one in find_personal(case.text) if one.personal]) for case in cases(SEED, each)]
    tell_kinds(judged, each)
    tell_false(judged)
    tell_examples()
    tell_costs()
    return 0


def compact(said: str) -> str:
    return re.sub(r"[\W_]", "", said).upper()


def hit(case: Case, found: list[Found]) -> bool:
    """Whether the identifier was found, over all of it, as whatever kind."""
    return any(compact(case.text[one.start : one.end]) == compact(case.value) for one in found)


def tell_kinds(judged: list[tuple[Case, list[Found]]], each: int) -> None:
    """Recall by kind; precision over all that was found as this kind, near misses and clean sentences among it."""
    print(
        f"of each kind {each} with its word, {each} in a table, {each} bare, {each} near misses, "
        f"and {each * 29} clean sentences"
    )
    print(f"{'kind':16}{'recall: with word':>19}{'in a table':>12}{'bare':>8}{'kind right':>12}{'precision':>11}")
    right, said = Counter[str](), Counter[str]()
    for case, found in judged:
        for one in found:
            said[one.kind] += 1
            right[one.kind] += bool(case.value) and compact(case.text[one.start : one.end]) == compact(case.value)
    for kind in dict.fromkeys(case.kind for case, _ in judged if case.kind):
        mine = [(case, found) for case, found in judged if case.kind == kind and case.value]
        hits = {
            sort: [hit(c, f) for c, f in mine if c.sort == sort] for sort in ("with its word", "in a table", "bare")
        }
        named = sum(hit(c, [one for one in f if one.kind == kind]) for c, f in mine)
        shares = [sum(one) / len(one) for one in hits.values()]
        found_at_all = sum(map(sum, hits.values()))
        precision = right[kind] / said[kind] if said[kind] else float("nan")
        recalls = "".join(f"{share:>{width}.1%}" for share, width in zip(shares, (19, 12, 8), strict=True))
        print(f"{kind:16}{recalls}{named / max(1, found_at_all):>12.1%}{precision:>11.1%}")


def tell_false(judged: list[tuple[Case, list[Found]]]) -> None:
    """What was found where nothing is."""
    for sort in ("near miss", "clean"):
        texts = [(case, found) for case, found in judged if case.sort == sort]
        wrong = Counter(one.kind for _, found in texts for one in found)
        raised = sum(bool(found) for _, found in texts)
        print(
            f"{sort}: {raised} of {len(texts)} texts raise a label ({raised / len(texts):.1%}): "
            f"{dict(wrong.most_common(12))}"
        )


def tell_examples() -> None:
    """What is found in the public documents of the house."""
    words, kinds = 0, Counter[str]()
    for page in sorted(EXAMPLES.iterdir()):
        if page.suffix in {".txt", ".md", ".html"}:
            text = re.sub(r"<[^>]{0,500}>", " ", page.read_text(encoding="utf-8"))
            words += len(text.split())
            kinds.update(one.kind if one.personal else f"{one.kind} (raises nothing)" for one in find_personal(text))
    print(f"examples/: {words} words; found: {dict(kinds)}")


def tell_costs() -> None:
    """CPU time of a look at a body of JSON, clean and with something in it, beside one pass over it."""
    print(f"{'body':>10}{'one pass us':>13}{'clean us':>10}{'an address at the end us':>26}{'false alarm us':>16}")
    for size in (500, 4_000, 1_000_000):
        text = (SENTENCE * (size // len(SENTENCE) + 1))[: size - 60]
        plain, mail, number = (body(text + more) for more in ("", " ada@example.eu", " no. 2026-11-0012345678"))
        assert [personal_kind(one) for one in (plain, mail, number)] == ["none", "personal", "none"]
        times = [least(lambda one=one: personal_kind(one), size) for one in (plain, mail, number)]
        passed = least(lambda one=plain: b"\x01" in one, size)
        print(f"{len(plain):>10}{passed:>13.2f}{times[0]:>10.2f}{times[1]:>26.1f}{times[2]:>16.1f}")


def body(text: str) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], "temperature": 0.7}).encode()


def least(work: Callable[[], object], size: int) -> float:
    """The least CPU time of seven runs, in microseconds a call."""
    times = max(3, 2_000_000 // (size + 500))
    best = float("inf")
    for _ in range(7):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


if __name__ == "__main__":
    sys.exit(main())
