"""Tiers 2 and 3: a vision model is asked for what tesseract could not read, and believed only where it can be checked.

Nothing here knows a model or a place: the room hands in how to ask, and only where its policy allows it.
"""

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from bastide.errors import BastideError
from bastide.knowledge.reading.ocr.invention import CERTAIN, invented, words
from bastide.knowledge.reading.ocr.preprocessing import Prepared
from bastide.knowledge.reading.ocr.recognising import Recognised
from bastide.knowledge.reading.ocr.values import Hints, Line, Picture, Place, Vision, Word

_WHOLE_BELOW = 0.5
"""Where less of the ink was read, the whole page is shown; else only the lines that failed."""
_CROPS_MAX = 12
_CROP_MARGIN = 10
_LINE_FAILED = 75.0
_WITNESSES = 20
"""So many certain words that come again make a whole page's answer one to rely on."""

PLAIN = (
    "Write down exactly the text in this picture, line by line, in its own language. Do not correct, translate, "
    "complete or explain anything. Write [?] for what you cannot read. If there is no text, answer with nothing."
)
SPECIAL: dict[str, str] = {
    "table": PLAIN + " It holds a table: write each row on a line of its own, its cells parted by a tab.",
    "handwriting": PLAIN + " It is written by hand.",
    "script": PLAIN + " It is not in Latin letters: keep its own letters and accents.",
    "": PLAIN,
}
"""What the specialised model is told, by the reason why it is asked."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of asking."""

    lines: tuple[Line, ...]
    tier: str = ""
    """vision or special; "" where nothing that was answered is used."""
    engine: str = ""
    relied: bool = False
    """Whether enough of it could be checked to rely on it."""
    reasons: tuple[str, ...] = ()


def ask(read: Recognised, hints: Hints, page: int) -> Answered:
    """The tiers above in their order: the specialised model first where the page calls for it, else the other."""
    special = special_reason(read)
    tiers: list[tuple[str, Vision, str]] = []
    if hints.vision is not None:
        tiers.append(("vision", hints.vision, PLAIN))
    if hints.special is not None:
        tiers.insert(0 if special else len(tiers), ("special", hints.special, SPECIAL[special]))
    reasons: list[str] = []
    for tier, vision, task in tiers:
        answered = _whole(read, vision, task, page) if _needs_whole(read) else _crops(read, vision, task, page)
        reasons += [f"{tier}: {reason}" for reason in answered.reasons]
        if answered.engine:
            return Answered(answered.lines, tier, answered.engine, answered.relied, tuple(reasons))
    return Answered(read.lines, reasons=tuple(reasons))


def special_reason(read: Recognised) -> str:
    """What makes a page one for a specialised model: table, script or handwriting; "" for none of these."""
    if read.coverage.rulings >= 4:
        return "table"
    if read.script and read.script != "Latin":
        return "script"
    unsure = read.lines and read.confidence < 50 and read.coverage.share > 0.8
    return "handwriting" if unsure else ""


def _needs_whole(read: Recognised) -> bool:
    return not read.lines or read.coverage.share < _WHOLE_BELOW or len(_failing(read)) > _CROPS_MAX


def _whole(read: Recognised, vision: Vision, task: str, page: int) -> Answered:
    """The whole page is shown; each line of the answer is placed where the page is, as nothing tells more."""
    seen, refused = _seen(vision, Picture(read.page.pixels, 300.0, page), task)
    if seen is None:
        return Answered((), reasons=(refused,))
    heights = [line.place.bottom - line.place.top for line in read.lines]
    height = float(np.median(heights)) if heights else 40.0
    rows = read.page.pixels.shape[0] / max(1.0, 1.2 * height)
    width = read.page.pixels.shape[1] * max(1.0, rows / max(1, len(read.lines)))
    reason = invented(read.lines, seen[0], width=width, height=height)
    if reason is not None:
        return Answered((), reasons=(f"{seen[1]} was refused: {reason}",))
    everything = Place(0, 0, float(read.page.pixels.shape[1]), float(read.page.pixels.shape[0]))
    witnesses = sum(len(words(w.text)) for line in read.lines for w in line.words if w.confidence >= CERTAIN)
    lines = tuple(
        Line(tuple(Word(word, everything, -1.0) for word in row.split()), everything, paragraph=paragraph)
        for paragraph, part in enumerate(seen[0].split("\n\n"))
        for row in part.splitlines()
        if row.strip()
    )
    return Answered(lines, "", seen[1], witnesses >= _WITNESSES)


def _crops(read: Recognised, vision: Vision, task: str, page: int) -> Answered:
    """Only the lines that failed and the ink that no line covers are shown; the rest stays as tesseract read it."""
    replaced: dict[int, Line] = {}
    added: list[Line] = []
    reasons: list[str] = []
    engine = ""
    failing = _failing(read)
    for number, place in failing:
        own = [read.lines[number]] if number >= 0 else []
        seen, refused = _seen(vision, Picture(_cut(read.page, place), 300.0, page), task)
        if seen is None:
            reasons.append(refused)
            break
        reason = invented(own, seen[0], width=place.right - place.left, height=place.bottom - place.top)
        if reason is not None:
            reasons.append(f"{seen[1]} was refused for one line: {reason}")
            continue
        engine = seen[1]
        new = Line(tuple(Word(word, place, -1.0) for word in seen[0].split()), place)
        if number >= 0:
            replaced[number] = Line(new.words, place, own[0].block, own[0].paragraph)
        else:
            added.append(new)
    kept = [replaced.get(number, line) for number, line in enumerate(read.lines)]
    done = len(replaced) + len(added)
    if engine and done < len(failing):
        reasons.append(f"{len(failing) - done} of {len(failing)} lines stay unread")
    return Answered(_merged(kept, added), "", engine, bool(engine) and done == len(failing), tuple(reasons))


def _merged(lines: list[Line], added: list[Line]) -> tuple[Line, ...]:
    """Lines that tesseract had left out, put before the first line that stands clearly below them."""
    out = list(lines)
    for line in added:
        middle = (line.place.top + line.place.bottom) / 2
        at = next((n for n, other in enumerate(out) if other.place.top > middle), len(out))
        near = out[max(0, at - 1)] if out else line
        out.insert(at, Line(line.words, line.place, near.block, near.paragraph))
    return tuple(out)


def _failing(read: Recognised) -> list[tuple[int, Place]]:
    """(number of the line, its place) of what was read badly; -1 for ink that no line covers."""
    bad = [
        (number, line.place)
        for number, line in enumerate(read.lines)
        if fmean(word.confidence for word in line.words) < _LINE_FAILED
    ]
    return bad + [(-1, place) for place in read.coverage.missed]


def _cut(page: Prepared, place: Place) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    top, left = max(0, int(place.top) - _CROP_MARGIN), max(0, int(place.left) - _CROP_MARGIN)
    return page.pixels[top : int(place.bottom) + _CROP_MARGIN, left : int(place.right) + _CROP_MARGIN].copy()


def _seen(vision: Vision, picture: Picture, task: str) -> tuple[tuple[str, str] | None, str]:
    """((text, engine), "") or (None, why there is no answer)."""
    try:
        seen = vision(picture, task)
    except BastideError as error:
        return None, error.message
    return (seen.text, seen.engine), ""
