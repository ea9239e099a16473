"""Tier 1: Tesseract reads a prepared page, in the language that the page turns out to be in.

    1. the script and the way it stands are sensed     3. the language of what was read is told by its words
    2. it is read with the script's languages          4. it is read in that language alone, unless that is worse
A page whose predecessors were in one language is read in that at once, and only begun at 1 if that does not go well.
"""

from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean

import numpy as np

from bastide.knowledge.reading.languages import detect_language
from bastide.knowledge.reading.ocr.coverage import Coverage, coverage
from bastide.knowledge.reading.ocr.preprocessing import Prepared, straighten, turn
from bastide.knowledge.reading.ocr.scripts import OTHER, SCRIPTS, Script, script_of, scripts_in
from bastide.knowledge.reading.ocr.tesseract import EngineFailed, Installed, Sense, around, recognise, sense
from bastide.knowledge.reading.ocr.values import Line, Place
from bastide.knowledge.reading.values import Band

_TELLING = 40
"""Letters from which the language of a text is told with some certainty."""
_PARAGRAPH = 120
"""The same, where a mistake costs time."""
_STRIP = 360
"""Pixels: half a dozen lines. On a bad page eight languages together cost ten times one."""
_TURN_SURE = 1.0
_SCRIPT_SURE = 0.3
_LOST = 60.0
"""A page read with less confidence may stand in another way than was thought."""
_FOREIGN = 70.0
"""A line read with less confidence may be in another script."""
_DOUBTFUL = 85.0
"""The same on a page that has been found to hold two scripts."""
_BETTER = 10.0
_NO_WORSE = 5.0
"""Several languages together are surer of what they read than one alone, and more often wrong."""
_FOREIGN_STRETCHES = 8
_SECOND_SCRIPT = 0.05
"""Share of the letters from which a page is held to be in two scripts."""
_PARAGRAPHS_MAX = 24
_KEPT = 0.8
"""Share of the letters that a new reading of lines must have: an engine leaves out what it cannot cut into words."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """What tesseract read of a page, places in the pixels of `page`."""

    page: Prepared
    lines: tuple[Line, ...]
    languages: tuple[str, ...]
    """Of the run that was kept."""
    language: str
    """Of the text; "" where there is too little to tell."""
    script: str
    confidence: float
    coverage: Coverage
    failure: str = ""
    """Why there is nothing, where the engine failed."""

    @property
    def agrees(self) -> bool:
        """Whether the page was read as the language that it is in."""
        return not self.language or self.language in self.languages

    @property
    def table(self) -> Script:
        """The thresholds that hold for it."""
        return SCRIPTS.get(self.script, OTHER)

    @property
    def band(self) -> Band:
        """What confidence, coverage and language say together."""
        table = self.table
        if self.confidence < table.provisional_confidence or self.coverage.share < table.provisional_coverage:
            return "rejected"
        sure = self.confidence >= table.accepted_confidence and self.coverage.share >= table.accepted_coverage
        return "accepted" if sure and self.agrees else "provisional"


def read_prepared(page: Prepared, found: Installed, known: tuple[str, ...]) -> Recognised:
    """Steps 1 to 4 for a page that is evenly lit and large enough. Never raises: a failure is told in its place."""
    try:
        if known and found.has(known[0]):
            first = _read(straighten(page), found, known[:1])
            if first.band == "accepted" and not _foreign_parts(first):
                return _each_alone(_with_other_scripts(first, found), found)
        sensed = sense(page.pixels, found)
        upright = turn(page, sensed.turn) if sensed is not None and sensed.turn_confidence >= _TURN_SURE else page
        script = sensed.script if sensed is not None and sensed.script_confidence >= _SCRIPT_SURE else ""
        lacking = script in SCRIPTS and not _bundle(found, script, known)
        usable = script if script in SCRIPTS and not lacking else ""  # "Fraktur" is also what blurred Latin is called
        best = _in_script(straighten(upright), found, usable, known)
        if lacking and best.band != "accepted":
            failure = f"the page is in {script} script, and tesseract has no language file for that here"
            unread = coverage(best.page.pixels, ())
            return replace(best, lines=(), script=script, confidence=0.0, coverage=unread, failure=failure)
        if best.confidence < _LOST and best.coverage.ink:
            best = _otherwise(upright, found, best, sensed, known)
        return _each_alone(_with_other_scripts(best, found), found)
    except EngineFailed as failed:
        return Recognised(page, (), (), "", "", 0.0, coverage(page.pixels, ()), str(failed))


def _in_script(page: Prepared, found: Installed, script: str, known: tuple[str, ...]) -> Recognised:
    """Steps 2 to 4. The language is told by a strip of the page, since many languages together cost twice the time."""
    bundle = _bundle(found, script, known)
    if not bundle:
        raise EngineFailed("tesseract has none of the language files that are known here")
    if len(bundle) == 1:
        return _read(page, found, bundle)
    told = _read(_strip(page), found, bundle).language
    alone = _read(page, found, (told,)) if found.has(told) else None
    if alone is not None and alone.band == "accepted" and not _foreign_parts(alone):
        return alone
    if alone is not None and alone.agrees and alone.confidence < _LOST:
        return alone  # nor would the others make anything of it
    together = _read(page, found, bundle)
    if alone is None and found.has(together.language):
        alone = _read(page, found, (together.language,))
    if alone is None or not alone.agrees or _foreign_parts(alone):
        return together
    return alone if _worth(alone) >= _worth(together) - _NO_WORSE else together


def _strip(page: Prepared) -> Prepared:
    """The band of a page that holds most ink; the page itself where it is not much higher."""
    rows = page.pixels.shape[0]
    if rows < 3 * _STRIP // 2:
        return page
    ink = np.cumsum((page.pixels < 128).sum(axis=1))
    top = max(range(0, rows - _STRIP, _STRIP // 4), key=lambda at: int(ink[at + _STRIP] - ink[at]))
    return replace(page, pixels=page.pixels[top : top + _STRIP].copy())


def _foreign_parts(read: Recognised) -> bool:
    """Whether a paragraph is in another language than what it was read as."""
    parts: dict[tuple[int, int], list[str]] = {}
    for line in read.lines:
        parts.setdefault((line.block, line.paragraph), []).append(line.text)
    texts = [" ".join(part) for part in parts.values()]
    languages = [detect_language(text, "") for text in texts if sum(map(str.isalpha, text)) >= _PARAGRAPH]
    return any(language and language not in read.languages for language in languages)


def _bundle(found: Installed, script: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The installed languages of a script, those of earlier pages first; of all scripts where it is not known."""
    table = SCRIPTS.get(script, OTHER)
    if not script:
        table = Script((*SCRIPTS["Latin"].languages[:8], "el", "bg"), together=10)
    wanted = [*(language for language in known if language in table.languages), *table.languages]
    return tuple(language for language in dict.fromkeys(wanted) if found.has(language))[: table.together]


def _read(page: Prepared, found: Installed, languages: tuple[str, ...], *, layout: int = 3) -> Recognised:
    lines = recognise(page.pixels, found, languages, layout=layout)
    return _judged(page, lines, languages, script_of(languages[0]))


def _judged(page: Prepared, lines: tuple[Line, ...], languages: tuple[str, ...], script: str) -> Recognised:
    words = [word for line in lines for word in line.words]
    text = "\n".join(line.text for line in lines)
    telling = sum(map(str.isalpha, text)) >= _TELLING
    return Recognised(
        page,
        lines,
        languages,
        detect_language(text, "") if telling else "",
        script,
        fmean(word.confidence for word in words) if words else 0.0,
        coverage(page.pixels, [word.place for word in words]),
    )


def _worth(read: Recognised) -> float:
    """One figure to compare readings of one page by: confidence, and what it leaves out."""
    return read.confidence * read.coverage.share


def _otherwise(
    tried: Prepared, found: Installed, best: Recognised, sensed: Sense | None, known: tuple[str, ...]
) -> Recognised:
    """A page that could not be read as it stands: in any script, then in the other ways it may lie; the best of all.

    A strip of each is read first, and all of it only where that goes clearly better.
    """
    sure = sensed is not None and sensed.turn_confidence >= 5 * _TURN_SURE
    scripts = tuple(language for language in ("el", "bg", "en") if found.has(language))
    for degrees in (0,) if sure else (0, 180, 90, 270):
        other = straighten(turn(tried, degrees))
        probe = best.languages[:1] if degrees else scripts
        if probe and _read(_strip(other), found, probe).confidence > best.confidence + _BETTER:
            read = _in_script(other, found, "", known)
            best = read if _worth(read) > _worth(best) + _BETTER else best
        if best.confidence >= _LOST:
            break
    return best


def _with_other_scripts(read: Recognised, found: Installed) -> Recognised:
    """Stretches of lines that were read badly are tried in the other scripts: a page may hold two.

    Where one is found, the lines that were only doubtful are tried in it too: letters of two scripts look alike.
    """
    if not read.lines or read.confidence < _LOST / 2:
        return read
    others = [name for name in SCRIPTS if name != read.script]
    bundles = [bundle for bundle in (_bundle(found, name, ()) for name in others) if bundle]
    lines, foreign = _in_others(read.page, read.lines, found, bundles, _FOREIGN)
    if not foreign:
        return read
    lines, _ = _in_others(read.page, lines, found, foreign, _DOUBTFUL)
    languages = dict.fromkeys([*read.languages, *(language for bundle in foreign for language in bundle)])
    return _judged(read.page, lines, tuple(languages), read.script)


def _each_alone(read: Recognised, found: Installed) -> Recognised:
    """A page in two scripts, by paragraphs and by lines of one script in them, each in one language: many together
    mistake letters of one script for those of another, and are sure of it.
    """
    shares = scripts_in(" ".join(line.text for line in read.lines))
    if len(read.languages) < 2 or len(shares) < 2 or list(shares.values())[1] < _SECOND_SCRIPT:
        return read
    out: list[Line] = []
    used: dict[str, None] = {}
    for part in _paragraphs(read.lines)[:_PARAGRAPHS_MAX]:
        new, languages = _surest(read.page, part, found, [_alone_in(script, part, read, found) for script in shares])
        out += new
        used |= dict.fromkeys(languages or read.languages)
    left = [line for part in _paragraphs(read.lines)[_PARAGRAPHS_MAX:] for line in part]
    used |= dict.fromkeys(read.languages if left else ())
    return _judged(read.page, (*out, *left), tuple(used), read.script)


def _paragraphs(lines: tuple[Line, ...]) -> list[tuple[Line, ...]]:
    return [tuple(part) for _, part in groupby(lines, key=lambda line: (line.block, line.paragraph, _mostly(line)))]


def _mostly(line: Line) -> str:
    return next(iter(scripts_in(line.text)), "")


def _alone_in(script: str, part: tuple[Line, ...], read: Recognised, found: Installed) -> tuple[str, ...]:
    """The language in which a paragraph is to be read if it is in this script; of the page, where it is too short."""
    for lines in (part, read.lines):
        text = " ".join(word.text for line in lines for word in line.words if script in scripts_in(word.text))
        told = detect_language(text, "") if len(text) >= _TELLING else ""
        if found.has(told) and script_of(told) == script:
            return (told,)
    return _bundle(found, script, ())


def _surest(
    page: Prepared, part: tuple[Line, ...], found: Installed, bundles: list[tuple[str, ...]]
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Some lines in that of these languages that is surest of them. As they are, where all are less sure than it was,
    or leave something out; in its own script a language alone may be a little less sure.
    """
    best = part
    languages: tuple[str, ...] = ()
    before = most = fmean(word.confidence for line in part for word in line.words)
    letters = sum(len(line.text) for line in part)
    for bundle in filter(None, bundles):
        new = _reread_stretch(page, part, found, bundle)
        if sum(len(line.text) for line in new) < _KEPT * letters:
            continue
        sure = fmean(word.confidence for line in new for word in line.words)
        own = script_of(bundle[0]) == _mostly(part[0])
        if sure > most or (own and not languages and sure >= before - _NO_WORSE):
            best, languages, most = new, bundle, sure
    return best, languages


def _in_others(
    page: Prepared, lines: tuple[Line, ...], found: Installed, bundles: list[tuple[str, ...]], below: float
) -> tuple[tuple[Line, ...], list[tuple[str, ...]]]:
    """The lines, those read with less than `below` in one of these bundles where it is better, and the bundles used."""
    out: list[Line] = []
    used: list[tuple[str, ...]] = []
    at = 0
    for first, past in _stretches(lines, below)[:_FOREIGN_STRETCHES]:
        new, bundle = _better(page, lines[first:past], found, bundles)
        out += [*lines[at:first], *new]
        used += [bundle] if bundle and bundle not in used else []
        at = past
    return (*out, *lines[at:]), used


def _better(
    page: Prepared, part: tuple[Line, ...], found: Installed, bundles: list[tuple[str, ...]]
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """A stretch of lines in the first of these languages that reads it clearly better, and they; else as it is."""
    before = fmean(word.confidence for line in part for word in line.words)
    for bundle in bundles:
        new = _reread_stretch(page, part, found, bundle)
        confidences = [word.confidence for line in new for word in line.words]
        if confidences and fmean(confidences) >= max(before + _BETTER, _FOREIGN):
            return new, bundle
    return part, ()


def _stretches(lines: tuple[Line, ...], below: float) -> list[tuple[int, int]]:
    """(first, past the last) of lines under each other in one block, read with less confidence than `below`."""
    out: list[tuple[int, int]] = []
    for number, line in enumerate(lines):
        if fmean(word.confidence for word in line.words) >= below or len(line.text) < 6:
            continue
        if out and out[-1][1] == number and lines[number - 1].block == line.block:
            out[-1] = out[-1][0], number + 1
        else:
            out.append((number, number + 1))
    return out


def _reread_stretch(
    page: Prepared, part: tuple[Line, ...], found: Installed, languages: tuple[str, ...]
) -> tuple[Line, ...]:
    place = around([word for line in part for word in line.words])
    margin = 12
    top, left = max(0, int(place.top) - margin), max(0, int(place.left) - margin)
    crop = page.pixels[top : int(place.bottom) + margin, left : int(place.right) + margin]
    new = recognise(crop.copy(), found, languages, layout=6)
    return tuple(_moved(line, left, top, part[0]) for line in new)


def _moved(line: Line, right: int, down: int, like: Line) -> Line:
    """A line of a crop, in the page that the crop was taken from and the paragraph of the line it replaces."""

    def moved(place: Place) -> Place:
        return Place(place.left + right, place.top + down, place.right + right, place.bottom + down)

    words = tuple(replace(word, place=moved(word.place)) for word in line.words)
    return Line(words, moved(line.place), like.block, like.paragraph)
