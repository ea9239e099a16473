"""Rereading: amounts, dates, account numbers and identifiers of which the engine is not sure are read once more, alone
and enlarged. Where the two readings differ the value is a doubt: one wrong digit makes a wrong payment.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from bastide.knowledge.reading.ocr.values import Line, Word

SURE = 90.0
_VALUE = re.compile(r"(?=\D*\d)(?:\D{0,4}\d[\d.,:/’'\-–]*\D{0,3}|[A-Z]{1,6}[-/.]?[\dA-Z][\dA-Z\-/.]{2,})")
_DIGITS_MIN = 2
_IBAN_START = re.compile(r"(?<![\w])([A-Z]{2})[\dOIlSB]{2}(?=\s?\w)")
_IBANS = (
    "AT20 BE16 BG22 CH21 CY28 CZ24 DE22 DK18 EE20 ES24 FI18 FR27 GB22 GR27 HR21 HU28 IE22 IS26 IT27 LI21 LT20 LU20 "
    "LV21 MC27 MT31 NL18 NO15 PL28 PT25 RO24 SE24 SI19 SK24 SM27"
)
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}
"""Characters of an account number, by country: the SWIFT registry of IBAN formats."""
_MEANT = re.compile(r"[^\w]")
READS_MAX = 24
"""Of one page; what is beyond is a doubt at once."""

Again = Callable[[Word], str]
"""Reads the place of a word once more, enlarged."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A value on which no two readings agree."""

    line: int
    word: int
    """Its place among the words of the line."""
    first: str
    second: str = ""
    """"" where there was no second reading."""
    told: str = ""
    """In plain words."""
    settled: bool = False
    """Whether a further reading could not change it: check digits that are wrong are wrong however they are read."""


def reread(lines: Sequence[Line], again: Again) -> tuple[tuple[Line, ...], tuple[Doubt, ...]]:
    """The lines with every unsure value marked, and the doubts."""
    doubts: list[Doubt] = []
    reads = 0
    out: list[Line] = []
    for at, line in enumerate(lines):
        broken = broken_accounts(line)
        words: list[Word] = []
        for number, word in enumerate(line.words):
            if number in broken:
                account = broken[number]
                doubts += [broken_account(at, number, account)] if account else []
                words.append(replace(word, doubtful=True))
                continue
            if not _asks(word):
                words.append(word)
                continue
            reads += 1
            second = again(word) if reads <= READS_MAX else ""
            if same(word.text, second):
                words.append(word)
                continue
            told = f"second reading: {second}" if second else "not read a second time"
            doubts.append(Doubt(at, number, word.text, second, f"{word.text} ({told})"))
            words.append(replace(word, doubtful=True))
        out.append(replace(line, words=tuple(words)))
    return tuple(out), tuple(doubts)


def broken_account(line: int, word: int, account: str) -> Doubt:
    """The doubt of an account number whose check digits are wrong."""
    return Doubt(line, word, account, told=f"{account} (its check digits are wrong)", settled=True)


def is_value(text: str) -> bool:
    """Whether a word is an amount, a date, a number or an identifier."""
    return sum(map(str.isdigit, text)) >= _DIGITS_MIN and _VALUE.fullmatch(text) is not None


def _asks(word: Word) -> bool:
    return 0 <= word.confidence < SURE and is_value(word.text)


def same(one: str, two: str) -> bool:
    """Whether two readings say the same; marks at the edges and blanks mean nothing, those between digits do."""
    first, second = (re.sub(r"\s", "", text).strip(".,;:()[]|'’\"„“”-–—") for text in (one, two))
    return bool(first) and first.casefold() == second.casefold()


def broken_accounts(line: Line) -> dict[int, str]:
    """Words of account numbers whose check digits are wrong: number of the word -> the account at its first word."""
    out: dict[int, str] = {}
    for start, end, text in _accounts(line):
        if not valid_iban(text):
            out.update(dict.fromkeys(range(start, end), ""))
            out[start] = text
    return out


def _accounts(line: Line) -> Iterator[tuple[int, int, str]]:
    """(first word, word past the last, text) of what is written like an IBAN."""
    starts: list[int] = []
    text = ""
    for word in line.words:
        starts.append(len(text))
        text += word.text + " "
    for found in _IBAN_START.finditer(text):
        length = _IBAN_LENGTHS.get(found[1], 0)
        meant = [at for at in range(found.start(), len(text)) if text[at].isalnum()][:length]
        if length and len(meant) == length:
            account = text[found.start() : meant[-1] + 1]
            inside = [n for n, at in enumerate(starts) if found.start() <= at <= meant[-1]]
            if inside and len(account) <= length + length // 2:
                yield inside[0], inside[-1] + 1, account


def valid_iban(text: str) -> bool:
    """ISO 13616-1: the number with its first four characters at its end leaves 1 when divided by 97."""
    account = _MEANT.sub("", text)
    digits = "".join(str(int(letter, 36)) for letter in account[4:] + account[:4] if letter.isalnum())
    return bool(digits) and int(digits) % 97 == 1
