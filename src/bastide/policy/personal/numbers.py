"""Numbers of digits alone: cards, and the identity numbers of countries that write no letter in them.

A run of digits is parted where its writer parted it. A part of it counts as a number of a kind when its length, its
grouping and its checksum are right; where many a number would pass by chance, a word before it has to say what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bastide.policy.personal import checksums
from bastide.policy.personal.found import Found

BEFORE: Final = 64  # how far before a number the word may stand that says what it is
AFTER: Final = 32  # and how far after it
_BLANKS_MAX: Final = 3  # what is parted more often is no number of these, but a row of them
_HEAD: Final = 16_384
_RUN: Final = re.compile(r"(?<![\w+])(?<!\w[.,/_+-])\d(?:[ .+/-]?\d){7,31}(?!\w)(?![.,/_+-]\w)")
_GROUP: Final = re.compile(r"(\d+)([ .+/-]?)")
_DIGITS_MAX: Final = 19
_GROUPS_MAX: Final = 6  # nobody parts a number more often; only phones are told in pairs


class Said:
    """What a text says near its beginning of all the numbers in it, as the head of a table does."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: dict[re.Pattern[str], bool] = {}

    def __call__(self, words: re.Pattern[str]) -> bool:
        """Whether one of these words is there."""
        known = self._known.get(words)
        if known is None:
            known = self._known[words] = words.search(self._text, 0, _HEAD) is not None
        return known


@dataclass(frozen=True, slots=True)
class Number:
    """A kind of number: its lengths, its rule, the groupings that tell it without a word, the words that do."""

    kind: str
    lengths: tuple[int, ...]
    rule: Callable[[str], bool]
    alone: tuple[str, ...]  # lengths of the groups with what parts them: "11", "2 3 3 3", "6-4"
    words: re.Pattern[str]
    sure: str = "checksum"

    def told(self, digits: str, layout: str, near: str, said: Said) -> str:
        """How sure it is that this is one; "" if it is none. `near` is what stands around it, empty without a word."""
        if layout in self.alone:
            return self.sure if self.rule(digits) else ""
        if layout.count(" ") > _BLANKS_MAX or not self.rule(digits):
            return ""
        return "context" if (near and self.words.search(near)) or said(self.words) else ""


def words(said: str) -> re.Pattern[str]:
    """Any of these words, as whole words in any case; parted by |."""
    return re.compile(rf"(?<![^\W_])(?:{said})(?![^\W_])", re.I)


_ISSUED: Final = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|35(?:2[89]|[3-8])|6(?:011|4[4-9]|5|2)|50|5[6-8]|63|67"
)
_PERSONS: Final = "personal ?code|personal ?id|identity (?:number|code)|national id"
NUMBERS: Final = (
    Number(
        "card",
        (13, 14, 15, 16, 19),
        lambda found: _ISSUED.match(found) is not None and checksums.card(found),
        ("16", "4 4 4 4", "4-4-4-4", "15", "4 6 5", "4-6-5"),
        words(
            r"card|visa|master ?card|maestro|amex|diners|(?:kredit)?karte|kartennummer|carte|tarjeta|carta|kaart|karta"
        ),
    ),
    Number("pesel", (11,), checksums.pesel, ("11",), words("pesel")),
    Number(
        "belgian_id",
        (11,),
        checksums.belgian,
        ("11", "2.2.2-3.2", "2.2.2-3-2", "6-3-2", "6 3 2", "6-3.2", "2.2.2.3.2"),
        words(r"rijksregister(?:nummer)?|registre national|niss|insz|nrn|num[eé]ro national"),
    ),
    Number("amka", (11,), checksums.amka, ("11",), words("amka|αμκα|α\\.μ\\.κ\\.α")),
    Number("baltic_id", (11,), checksums.baltic, ("11",), words(rf"isikukood|asmens kodas|{_PERSONS}")),
    Number("fodselsnummer", (11,), checksums.norwegian, ("11", "6 5"), words(r"f[øo]dselsnummer|fnr|d-nummer")),
    Number(
        "steuer_id",
        (11,),
        checksums.steuer_id,
        ("2 3 3 3",),
        words(r"steuer-?id(?:entifikationsnummer|entnummer|nr)?|idnr|steuerliche id\w*|tin|tax id"),
    ),
    Number("oib", (11,), checksums.oib, (), words("oib")),
    Number("ahv", (13,), checksums.ahv, ("3.4.4.2", "13", "3 4 4 2"), words(r"ahv|avs|navs|sozialversicherungs\w*")),
    Number("cnp", (13,), checksums.cnp, ("13",), words("cnp|cod numeric personal")),
    Number(
        "personnummer", (10, 12), checksums.personnummer, ("6-4", "6+4", "8-4", "12"), words("person(?:nummer|nr)|pnr")
    ),
    Number("cpr", (10,), checksums.cpr, ("6-4",), words("cpr(?:-?n(?:umme)?r)?|personnummer"), sure="form"),
    Number("svnr", (10,), checksums.svnr, ("4 6",), words(r"svnr|sv-?nr|sv-nummer|sozialversicherungs\w*")),
    Number("egn", (10,), checksums.egn, (), words("egn|егн|единен граждански номер")),
    Number(
        "rodne_cislo",
        (9, 10),
        checksums.rodne_cislo,
        ("6/4",),
        words(r"rodn[eé] [cč][ií]slo|r\.?[cč]|rč"),
    ),
    Number("nhs", (10,), checksums.nhs, (), words("nhs(?: number| no)?")),
    Number(
        "bsn",
        (9,),
        checksums.bsn,
        (),
        words("bsn(?:-?nummer)?|burgerservicenummer|sofi-?nummer|citizen service number"),
    ),
    Number("nif", (9,), checksums.nif, (), words(r"nif|contribuinte|n[uú]mero fiscal|n[ºo°]? contribuinte")),
    Number("afm", (9,), checksums.afm, (), words("afm|αφμ|α\\.φ\\.μ")),
    Number("siren", (9, 14), checksums.siren, ("3 3 3 5",), words("siren|siret|rcs(?: \\w+)?")),
)
_BY_LENGTH: Final = {
    length: tuple(one for one in NUMBERS if length in one.lengths)
    for length in {length for one in NUMBERS for length in one.lengths}
}


_ANY_WORD: Final = re.compile(r"[^\W\d_]{2}")


def find_numbers(text: str, said: Said, start: int, end: int) -> Iterator[Found]:
    """The numbers that stand in text[start:end]."""
    for run in _RUN.finditer(text, start, end):
        near = f"{text[max(0, run.start() - BEFORE) : run.start()]}\n{text[run.end() : run.end() + AFTER]}"
        if _ANY_WORD.search(near) is None:
            near = ""
        groups = [(one.start(1), one.end(1), one[2]) for one in _GROUP.finditer(text, run.start(), run.end())]
        for first in range(len(groups)):
            if first and groups[first - 1][2] != " ":
                continue
            digits, layout = "", ""
            for begin, stop, joint in groups[first : first + _GROUPS_MAX]:
                digits += text[begin:stop]
                layout += str(stop - begin)
                if len(digits) > _DIGITS_MAX:
                    break
                if joint in {"", " "}:
                    for number in _BY_LENGTH.get(len(digits), ()):
                        if sure := number.told(digits, layout, near, said):
                            yield Found(number.kind, groups[first][0], stop, digits, sure)
                layout += joint
