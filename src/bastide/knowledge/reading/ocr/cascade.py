"""The cascade over one page: from a picture to words on which somebody may rely, or the reason why not.

1. a page without ink is blank                        3. unsure amounts, dates and identifiers are read once more
2. the page is prepared, read and judged (tier 1)     4. what stays below the bar is asked of the tiers above
What 1 to 3 made of a page can be kept, and is then not made again: step 4 may have to wait for its answers.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bastide.knowledge.reading.ocr.asking import Answered, ask
from bastide.knowledge.reading.ocr.coverage import Coverage, coverage
from bastide.knowledge.reading.ocr.first import First, first
from bastide.knowledge.reading.ocr.preprocessing import DPI, Prepared, prepare
from bastide.knowledge.reading.ocr.recognising import Recognised, read_prepared
from bastide.knowledge.reading.ocr.rereading import reread
from bastide.knowledge.reading.ocr.tesseract import EngineFailed, Installed, available, installed, recognise
from bastide.knowledge.reading.ocr.values import Hints, Line, PageText, Picture, Word
from bastide.knowledge.reading.values import Band, PageRead

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
_BLANK = 60
"""Ink of text-like lines, in pixels at 100 dpi, below which a page is blank: three letters."""
_SMALL = 12
"""A picture less wide or high holds no line of text."""
_MARGIN = 8
_ENLARGED = 2


def read_page(picture: Picture, hints: Hints | None = None) -> PageText:
    """The words of one page, where they stand and how far they are to be relied on.

    Never raises for a page that cannot be read: then it has no lines, its band is rejected and the reason is told.
    CPU-bound (two to four seconds a page): call it in a thread.
    """
    hints = hints or Hints()
    kept = hints.kept.get((picture.key, picture.page)) if hints.kept is not None and picture.key else None
    made = kept if isinstance(kept, First) else _first(picture, hints)
    if hints.kept is not None and picture.key:
        hints.kept[picture.key, picture.page] = made
    if made.read.tier == "none" and made.whole is None:
        return PageText((), made.read)
    answered = ask(made, hints)
    return PageText(tuple(_placed(line, made.page) for line in answered.lines), _provenance(made.read, answered))


def _first(picture: Picture, hints: Hints) -> First:
    """Steps 1 to 3."""
    height, width = picture.pixels.shape
    if min(height, width) < _SMALL:
        return _without(picture, "the picture is too small to hold text", "accepted")
    found = installed(hints.engine)
    ready = available(hints.engine)
    if found is None or not ready.ready:
        return _without(picture, f"no text recognition here: {', '.join(ready.missing)} missing. Next: {ready.next}")
    page = prepare(picture)
    blank = coverage(page.pixels, ())
    if blank.ink < _BLANK:
        return _without(picture, _blank(page, blank), "accepted")
    read = read_prepared(page, found, hints.languages)
    if read.failure:
        unread = _without(picture, read.failure, engine=found.name).read
        return first(read, replace(unread, rotation=read.page.turned), (), ())
    lines, doubts = reread(read.lines, lambda word: _again(read, found, word))
    return first(read, _as_read(picture, read, found), lines, doubts)


def read_pages(pages: Iterable[Picture], hints: Hints | None = None) -> Iterator[PageText]:
    """The pages of one document in their order, as many at a time as there are cores; what the pages before were
    written in is tried first. Few pictures are held at a time, so `pages` may draw them as it goes.
    """
    hints = hints or Hints()
    waiting: deque[Future[PageText]] = deque()
    known = list(hints.languages)
    with ThreadPoolExecutor(_CORES, thread_name_prefix="ocr") as pool:
        for picture in pages:
            if len(waiting) >= _CORES:
                yield _learned(waiting.popleft().result(), known)
            waiting.append(pool.submit(read_page, picture, replace(hints, languages=tuple(known))))
        while waiting:
            yield _learned(waiting.popleft().result(), known)


def _learned(page: PageText, known: list[str]) -> PageText:
    """Its language comes first for the pages behind it."""
    language = page.read.language
    if language and page.read.band == "accepted":
        known[:] = [language, *(other for other in known if other != language)]
    return page


def _blank(page: Prepared, seen: Coverage) -> str:
    return "blank" if float(np.mean(page.pixels < 128)) < 0.002 else "there is ink, but nothing like lines of text"


def _without(picture: Picture, reason: str, band: Band = "rejected", engine: str = "") -> First:
    width, height = _points(picture)
    read = PageRead(picture.page, width, height, "none", engine, band=band, reason=reason)
    return First(read, Prepared(picture.pixels[:0], np.eye(3)))


def _points(picture: Picture) -> tuple[float, float]:
    dpi = picture.dpi or float(DPI)
    return round(picture.width * 72 / dpi, 2), round(picture.height * 72 / dpi, 2)


def _as_read(picture: Picture, read: Recognised, found: Installed) -> PageRead:
    width, height = _points(picture)
    return PageRead(
        picture.page,
        width,
        height,
        "ocr",
        found.name,
        read.language or (read.languages[0] if len(read.languages) == 1 else ""),
        read.band,
        round(read.confidence, 1),
        round(read.coverage.share, 3),
        read.page.turned,
        _why(read),
    )


def _provenance(read: PageRead, answered: Answered) -> PageRead:
    """How the page was read in the end."""
    band: Band = read.band
    if answered.tier:
        band = "accepted" if answered.relied else "provisional"
    return replace(
        read,
        tier=answered.tier or read.tier,
        engine=answered.engine or read.engine,
        band=band,
        reason="; ".join((read.reason, *answered.reasons)),
        doubts=answered.doubts,
        receipts=answered.receipts,
    )


def _why(read: Recognised) -> str:
    """The figures against the bar, in plain words."""
    table = read.table
    found: list[str] = []
    if not read.lines:
        return "there is ink like lines of text, but no word was found"
    if read.confidence < table.accepted_confidence:
        found.append(f"mean confidence {read.confidence:.0f} is below {table.accepted_confidence:.0f}")
    if read.coverage.share < table.accepted_coverage:
        found.append(f"words cover {read.coverage.share:.0%} of the ink, less than {table.accepted_coverage:.0%}")
    if not read.agrees:
        found.append(f"it was read as {'+'.join(read.languages)}, but its words are {read.language}")
    if not found:
        return f"mean confidence {read.confidence:.0f}, words cover {read.coverage.share:.0%} of the ink"
    return "; ".join(found)


def _again(read: Recognised, found: Installed, word: Word) -> str:
    """The place of a word, alone and twice as large, read as one line."""
    place = word.place
    top, left = max(0, int(place.top) - _MARGIN), max(0, int(place.left) - _MARGIN)
    crop = read.page.pixels[top : int(place.bottom) + _MARGIN, left : int(place.right) + _MARGIN]
    large = np.pad(crop.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1), 2 * _MARGIN, constant_values=255)
    try:
        lines = recognise(large, found, read.languages, layout=7)
    except EngineFailed:
        return ""
    return " ".join(line.text for line in lines)


def _placed(line: Line, page: Prepared) -> Line:
    """A line with its places in the picture that was handed in."""
    words = tuple(replace(word, place=page.place(word.place)) for word in line.words)
    return replace(line, words=words, place=page.place(line.place))
