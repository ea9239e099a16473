"""Text recognition: character errors and bands, by language and by what the copier did.

python -m benchmarks.reading [--full] [--mixed de+el,it+el] [--languages en,el] [--damages fax,worn] [--at-once 2]

Without --full: every language in the light and medium forms. With it: the heavy forms too, and sixty random mixtures of
damages, with which the thresholds of acceptance are checked: no accepted page may have more than 5 % wrong.
With --mixed: pages whose paragraphs are in two languages, in turns, and only these.
A page is half an A4 sheet, 11 points, some 850 characters (see `scans`). The error is the edit distance by characters,
blanks and the shapes of quotation marks counted as one.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from PIL import Image

from bastide.knowledge.reading import ocr
from benchmarks.scans import pages
from benchmarks.scans.texts import TEXTS

_SHAPES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-"})
_FAMILIES = {"serif": pages.SERIF, "sans": pages.SANS}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One page."""

    language: str
    damage: str
    error: float
    """In percent."""
    seconds: float
    page: ocr.PageText


def error_rate(truth: str, read: str) -> float:
    """Edit distance in characters, in percent of the truth."""
    wanted, got = (" ".join(text.translate(_SHAPES).split()) for text in (truth, read))
    letters = np.frombuffer(got.encode("utf-32-le"), np.uint32)
    places = np.arange(len(letters) + 1)
    row = places.copy()
    for number, letter in enumerate(map(ord, wanted), 1):
        new = np.empty_like(row)
        new[0] = number
        new[1:] = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        row = np.minimum.accumulate(new - places) + places
    return 100 * int(row[-1]) / max(1, len(wanted))


def text_of(language: str) -> str:
    """The letter in a language; of `de+el` its first two paragraphs with one of the other language between them."""
    if "+" not in language:
        return TEXTS[language]
    one, other = (TEXTS[name].split("\n\n") for name in language.split("+"))
    return "\n\n".join([one[0], other[0], one[1]])


def outcome(language: str, damage: str, scan: pages.Scan) -> Outcome:
    """Reads one page as a document would have it read: nothing is told about its language."""
    began = time.perf_counter()
    page = ocr.read_page(ocr.Picture(scan.pixels, scan.dpi))
    taken, wrong = time.perf_counter() - began, error_rate(text_of(language), page.text)
    figures = f"{page.read.band} {page.read.language} {page.read.confidence} {page.read.coverage}"
    print(f"  {language} {damage}: {wrong:.2f} % {figures} {taken:.1f} s", file=sys.stderr, flush=True)
    return Outcome(language, damage, wrong, taken, page)


def mixture(seed: int) -> tuple[str, str, pages.Scan]:
    """A page with a random choice of damages, each of random strength; the same for the same seed."""
    dice, grains = random.Random(seed), np.random.default_rng(seed)
    language = dice.choice(sorted(TEXTS))
    family = dice.choice(sorted(_FAMILIES))
    page: Image.Image = pages.typeset(
        TEXTS[language], font=_FAMILIES[family], points=dice.choice([9.0, 10.0, 11.0, 12.0])
    )
    dpi = dice.choice([300, 250, 200, 150, 126, 110, 100])
    angle = dice.uniform(-2.6, 2.6)
    page = pages.scaled(pages.turned(page, angle), dpi)
    if dice.random() < 0.4:
        page = pages.faded(page, dice.randint(40, 120), dice.randint(190, 245))
    if dice.random() < 0.3:
        page = pages.shaded(page, dice.uniform(0.35, 0.8))
    page = pages.blurred(page, dice.uniform(0, 0.8) * dpi / 150)
    page = pages.noisy(page, dice.uniform(0, 25), grains)
    if dice.random() < 0.3:
        page = pages.fax(page, dice.randint(100, 170))
    elif dice.random() < 0.7:
        page = pages.compressed(page, dice.randint(25, 85))
    return language, f"{family}, {dpi} dpi, {angle:+.1f} degrees", pages.Scan(page, dpi)


def table(outcomes: list[Outcome]) -> None:
    """One row a language, one column a damage: error, and the band where it is not accepted."""
    damages = list(dict.fromkeys(o.damage for o in outcomes))
    print("error %  " + "".join(f"{damage:>9}" for damage in damages) + "     mean")
    for language in dict.fromkeys(o.language for o in outcomes):
        row = [o for o in outcomes if o.language == language]
        marks = {"accepted": "", "provisional": "p", "rejected": "r"}
        cells = "".join(f"{o.error:>8.2f}{marks[o.page.read.band] or ' '}" for o in row)
        print(f"{language:<9}{cells}{fmean(o.error for o in row):>9.2f}")
    print("(p = provisional, r = rejected)")


def sums(outcomes: list[Outcome]) -> None:
    """What the gate let through."""
    for name, kept in (
        ("Latin", [o for o in outcomes if "el" not in o.language]),
        ("Greek", [o for o in outcomes if o.language == "el"]),
        ("Two scripts", [o for o in outcomes if "+el" in o.language]),
    ):
        if not kept:
            continue
        accepted = [o for o in kept if o.page.read.band == "accepted"]
        worst = max((o.error for o in accepted), default=0.0)
        good = [o for o in kept if o.error <= 5]
        print(
            f"{name}: {len(kept)} pages, mean error {fmean(o.error for o in kept):.2f} %; accepted {len(accepted)}, "
            f"their mean {fmean([o.error for o in accepted] or [0.0]):.2f} %, worst {worst:.2f} %, "
            f"above 5 %: {sum(o.error > 5 for o in accepted)}; "
            f"good pages not accepted: {sum(o.page.read.band != 'accepted' for o in good)} of {len(good)}; "
            f"language right {sum(o.page.read.language == o.language for o in good)} of {len(good)}; "
            f"{fmean(o.seconds for o in kept):.1f} s a half page"
        )


def _option(name: str, default: list[str]) -> list[str]:
    return sys.argv[sys.argv.index(name) + 1].split(",") if name in sys.argv else default


def main() -> int:
    """0 whenever it ran."""
    ready = ocr.available()
    if not ready.ready or pages.font_file(pages.SERIF) is None:
        print(f"left out: {', '.join(ready.missing) or 'the Liberation fonts'} missing. Next: {ready.next}")
        return 0
    print(f"{ready.engine}, languages {' '.join(ready.languages)}")
    full = "--full" in sys.argv
    damages = _option("--damages", [*pages.LIGHT, *pages.MEDIUM, *(pages.HEAVY if full else ())])
    languages = _option("--mixed", []) or _option("--languages", list(TEXTS))
    asked = [(language, damage) for language in languages for damage in damages]
    with ThreadPoolExecutor(int(_option("--at-once", ["2"])[0])) as pool:
        outcomes = list(pool.map(lambda a: outcome(*a, pages.scan(pages.typeset(text_of(a[0])), a[1])), asked))
        table(outcomes)
        sums([o for o in outcomes if o.damage not in pages.HEAVY])
        if full:
            mixed = list(pool.map(lambda seed: outcome(*mixture(seed)), range(60)))
            print("\nsixty random mixtures of damages:")
            for o in sorted(mixed, key=lambda o: -o.error):
                if o.error > 2 or o.page.read.band != "accepted":
                    print(f"  {o.language} {o.damage}: {o.error:.1f} %, {o.page.read.band}: {o.page.read.reason}")
            sums(mixed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
