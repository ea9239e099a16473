"""The guard against invention: which answers about ruined pages it refuses, leaves open and believes.

python -m benchmarks.guard [--full] [--languages en,el]

A vision model is not called: what one may answer is made from the true text, faithfully and in eight ways wrong, and
the guard judges it by what tesseract really read of the damaged page. Without --full: the three heavy forms in every
language. With it: the random mixtures of damages of 126 dpi and less, too. Only pages that tier 1 did not accept count.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from bastide.knowledge.reading import ocr
from bastide.knowledge.reading.ocr.invention import CERTAIN, Extent, Verdict, judged
from bastide.knowledge.reading.ocr.preprocessing import prepare
from bastide.knowledge.reading.ocr.recognising import Recognised, read_prepared
from bastide.knowledge.reading.ocr.tesseract import installed
from benchmarks.reading import error_rate, mixture
from benchmarks.scans import pages
from benchmarks.scans.texts import TEXTS

_TWIN = {"en": "nl", "nl": "en", "de": "nl", "fr": "it", "it": "es", "es": "it", "pl": "de", "el": "fr"}


def faithful(text: str, dice: random.Random) -> str:
    """As it stands."""
    return text


def slips(text: str, dice: random.Random) -> str:
    """As a good model gives it: one letter in a hundred is another, each paragraph on one line."""
    letters = [dice.choice("aeiost") if one.isalpha() and dice.random() < 0.01 else one for one in text]
    return re.sub(r"(?<!\n)\n(?!\n)", " ", "".join(letters))


def shuffled(text: str, dice: random.Random) -> str:
    """The same words in another order: an invention with the right vocabulary."""
    words = text.split()
    dice.shuffle(words)
    return " ".join(words)


def paragraphs(text: str, dice: random.Random) -> str:
    """The paragraphs the other way round."""
    return "\n\n".join(reversed(text.strip().split("\n\n")))


def half(text: str, dice: random.Random) -> str:
    """Cut off in the middle."""
    return text[: len(text) // 2]


def cut(text: str, dice: random.Random) -> str:
    """Cut off after three quarters."""
    return text[: len(text) * 3 // 4]


def dreamt(text: str, dice: random.Random) -> str:
    """True to the middle, then invented with the same words."""
    return text[: len(text) // 2] + shuffled(text[len(text) // 2 :], dice)


def looped(text: str, dice: random.Random) -> str:
    """True to the middle, then the same sentence for ever."""
    return text[: len(text) // 2] + " ".join([text[100:180]] * 40)


def another(language: str) -> Callable[[str, random.Random], str]:
    """A letter of the same kind in another language."""
    return lambda text, dice: TEXTS[_TWIN.get(language, "en")]


RIGHT = {"faithful": faithful, "slips": slips}
WRONG = {
    "shuffled": shuffled,
    "paragraphs": paragraphs,
    "half": half,
    "cut": cut,
    "dreamt": dreamt,
    "looped": looped,
}


def verdicts(read: Recognised, language: str, seed: int = 0) -> Iterator[tuple[str, Verdict]]:
    """(form of the answer, what the guard says of it)."""
    extent = Extent(read.coverage.stretches, whole=True)
    for name, form in {**RIGHT, **WRONG, "another": another(language)}.items():
        yield name, judged(read.lines, form(TEXTS[language], random.Random(f"{name} {seed}")), extent)


def told(name: str, language: str, read: Recognised) -> Counter[tuple[str, str]]:
    """One page: a line of figures on the standard error, and what became of each form."""
    sure = sum(word.confidence >= CERTAIN for line in read.lines for word in line.words)
    wrong = error_rate(TEXTS[language], "\n".join(line.text for line in read.lines))
    found: Counter[tuple[str, str]] = Counter()
    said: list[str] = []
    for form, verdict in verdicts(read, language):
        what = "refused" if verdict.refused else "proven" if verdict.proven else "open"
        found[form, what] += 1
        said.append(f"{form} {what}")
        if (form in RIGHT) == (what == "refused"):
            said[-1] += f" ({verdict.refused})" if verdict.refused else ""
    print(f"  {name}: {wrong:.0f} % wrong, {sure} sure words: {'; '.join(said)}", file=sys.stderr, flush=True)
    return found


def table(found: Counter[tuple[str, str]], count: int) -> None:
    """One row a form of answer."""
    print(f"{count} pages that tier 1 did not accept\nanswer        refused   open  proven")
    for form in dict.fromkeys([*RIGHT, *WRONG, "another"]):
        print(f"{form:<12}" + "".join(f"{found[form, what]:>8}" for what in ("refused", "open", "proven")))


def main() -> int:
    """0 whenever it ran."""
    engine = installed(ocr.Tesseract())
    if engine is None or not ocr.available().ready or pages.font_file(pages.SERIF) is None:
        print("left out: tesseract or the Liberation fonts are missing")
        return 0
    at = sys.argv.index("--languages") + 1 if "--languages" in sys.argv else 0
    languages = sys.argv[at].split(",") if at else list(TEXTS)
    scans = [
        (f"{damage} {language}", language, pages.scan(pages.typeset(TEXTS[language]), damage))
        for language in languages
        for damage in pages.HEAVY
    ]
    if "--full" in sys.argv:
        mixed = [(f"mixture {seed}", *mixture(seed)) for seed in range(60)]
        scans += [(name, language, scan) for name, language, _, scan in mixed if scan.dpi <= 126]

    def one(job: tuple[str, str, pages.Scan]) -> Counter[tuple[str, str]] | None:
        name, language, scan = job
        read = read_prepared(prepare(ocr.Picture(scan.pixels, scan.dpi)), engine, ())
        return None if read.band == "accepted" else told(name, language, read)

    with ThreadPoolExecutor(2) as pool:
        outcomes = [found for found in pool.map(one, scans) if found is not None]
    table(sum(outcomes, Counter()), len(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
