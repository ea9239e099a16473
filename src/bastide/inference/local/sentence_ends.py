"""Where sentences end in European legal and business prose.

A sentence of law is full of points that end nothing: "Art. 17 Abs. 1 Nr. 2", "z. B.", "e.g.", "1. Januar",
"n° 5", initials. An end is a mark followed by a gap and something that can begin a sentence, unless what
stands before the mark is known to be short for something. Blank lines and list items end one too.
"""

from __future__ import annotations

import re

# Short forms after which a sentence goes on, folded to lower case; those of one letter need no entry.
_SHORT_FORMS = """
    art arts artt abs nr nrn no nos num núm par para paras pt pts sec sect ch chap cap kap ziff lit buchst uabs unterabs
    alin al lid leden blz pag pp ff fn bl stb stcrt trb pbeu pbl oj gu jo dz poz pkt ust zob zb čl odst písm zák bod cl
    ods pism bek lov stk rn rz tz vol ed éd hrsg hg bd reg dir
    cf vgl bzw ggf evtl insb sog usf bv bijv resp env ca approx incl inkl excl exkl max min vs viz np tzn tj wg zgodn
    dr prof mr mrs ms mme mlle mm st ste sr sra jr dott sig hr fr drs ing dipl mgr rev hon gov inc ltd corp co
    jan feb febr mar mär apr jun jul aug sep sept okt oct nov dec dez déc janv févr avr juil mrt
    mon tue wed thu fri sat sun
"""
_SHORT = frozenset(_SHORT_FORMS.split())
_MONTH = re.compile(
    r"(?:jan|feb|fév|mär|mar|maa|mrt|apr|avr|mai|may|mei|maj|jun|juin|jul|juil|aug|août|ago|sep|okt|oct|nov|dez|dec|déc|"
    r"gen|giu|lug|set|ott|dic|ene|sty|lut|kwi|cze|lip|sie|wrz|paź|lis|gru)\w*",
    re.IGNORECASE,
)
_MARK = re.compile(r"[.!?…;\u037e]+[\"'»”’)\]]*")
_ITEM = r"(?:[-–—•*▪◦·]|\(?(?:\d{1,3}|[a-z]{1,4}|[ivxIVX]{1,5}|[A-Z])[.)°])"
_BREAK = re.compile(rf"\n[ \t\r]*\n\s*|\n\s*(?={_ITEM}\s)|\n\s*(?=[#|]\s*\S)")
_MARKER_ONLY = re.compile(rf"{_ITEM}|#+|§+\s*\d+\w?\.?")
_WORD_BEFORE = re.compile(r"[\w.\-]*\w$")
_BEGINS = re.compile(r"[\"'«“„‚‘(\[¿¡]*(?:[^\W\d_]|\d|[-–—•*§#])")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """The sentences of `text` as (start, end), without the blanks around them, in order."""
    spans: list[tuple[int, int]] = []
    start = 0
    for gap_start, gap_end in [*((gap.start(), gap.end()) for gap in _BREAK.finditer(text)), (len(text), len(text))]:
        _split_block(text, start, gap_start, spans)
        start = gap_end
    return _with_numbers(text, spans)


def _with_numbers(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A number or letter that stands on a line of its own belongs to what follows it."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and _MARKER_ONLY.fullmatch(text, *joined[-1]):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _split_block(text: str, start: int, stop: int, spans: list[tuple[int, int]]) -> None:
    at = start
    for mark in _MARK.finditer(text, start, stop):
        if mark.end() < stop and _ends(text, at, mark, stop):
            _add(text, at, mark.end(), spans)
            at = mark.end()
    _add(text, at, stop, spans)


def _ends(text: str, at: int, mark: re.Match[str], stop: int) -> bool:
    """Whether the mark ends the sentence that began at `at`."""
    after = text[mark.end() : min(stop, mark.end() + 40)]
    following = after.lstrip()
    gap = len(following) < len(after)
    if not gap or not _BEGINS.match(following) or following[0].islower():
        return False
    signs = mark.group()
    if signs[0] in ";\u037e":
        return False  # lists of law go on after a semicolon; Greek questions do no harm whole
    return signs[0] != "." or signs.startswith("..") or not _stands_short(text, at, mark.start(), following)


def _stands_short(text: str, at: int, point: int, following: str) -> bool:
    """Whether the point at `point` shortens or numbers what stands before it."""
    before = _WORD_BEFORE.search(text, max(at, point - 24), point)
    word = before.group().lower() if before else ""
    parts = word.split(".")
    return (
        bool(word)
        and (
            parts[-1] in _SHORT
            or (len(word) == 1 and word.isalpha())  # an initial, "S. 5", "z. B."
            or (len(parts) > 1 and all(part.isalpha() and len(part) <= 2 for part in parts))  # e.g., i.d.R., d.w.z.
            or (word.isdecimal() and len(word) <= 2 and _MONTH.match(following) is not None)  # 1. Januar
            or (
                text[at:point].strip().lower() == word and _MARKER_ONLY.fullmatch(word + ".") is not None
            )  # "1." begins it
        )
    )


def _add(text: str, start: int, stop: int, spans: list[tuple[int, int]]) -> None:
    piece = text[start:stop]
    begin = start + len(piece) - len(piece.lstrip())
    end = start + len(piece.rstrip())
    if begin < end:
        spans.append((begin, end))
