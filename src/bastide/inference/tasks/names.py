"""Names in a text, told by how they are written: persons, organisations, places, and names of a kind nobody can tell.

Best effort in English, German, French, Dutch, Spanish, Italian and Polish: capital letters, titles, first names,
legal forms, streets. In German, where every noun has a capital, a single word is a name only if it is known as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from bastide.inference.local.question_words import FUNCTION_WORDS
from bastide.inference.local.sentence_ends import sentence_spans
from bastide.inference.tasks.occurrences import Found, fold, without_overlaps
from bastide.inference.tasks.patterns import month_of
from bastide.inference.tasks.tables import NAME_TABLE
from bastide.inference.tasks.words import language_of

NAME_KINDS: Final = ("person", "organisation", "place", "address", "other")
"""The kinds of names."""

_TITLES, _FIRST, _PARTICLES = (
    frozenset(NAME_TABLE["people"][part].split()) for part in ("titles", "first", "particles")
)
_HEADS = frozenset(NAME_TABLE["organisations"]["heads"].split())
_PLACES = frozenset(NAME_TABLE["places"]["names"].split())
_NEVER = frozenset(NAME_TABLE["never"]["words"].split())
_FORM = "|".join(re.escape(form) for form in sorted(NAME_TABLE["organisations"]["forms"], key=len, reverse=True))
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*(?:-[^\W\d_]+)*\.?")
_SMALL = frozenset().union(*FUNCTION_WORDS.values())
_RUN_WORDS_MAX = 24
_WORD_BEFORE = re.compile(r"([^\W\d_]+)\.?[ \t]+\Z")
_LINK = re.compile(r"[ \t]+|[ \t]*&[ \t]*|[ \t]*\n(?=[^\W\d_])")
_COMPANY = re.compile(
    rf"(?<!\w)((?:[^\W\d_a-zà-ÿ][\w'’&-]{{0,40}}[ ]+(?:(?:&|und|and|et|y|en|e|i)[ ]+)?){{1,6}}(?:{_FORM}))(?![\w])"
)
_AFTER = "|".join(NAME_TABLE["places"]["streets_after"].split())
_BEFORE = "|".join(NAME_TABLE["places"]["streets_before"].split())
_CAPITAL = r"[^\W\d_a-zà-ÿ][\w'’-]{0,40}"
_BEGUN = r"[^\W\d_a-zà-ÿ][\w'’]{0,40}"
_OF = r"(?i:de|du|des|de la|la|del|della|dei|di|d'|św\.)"
_STREET_AFTER = rf"(?:[^\W\d_][\w-]{{0,40}}(?i:{_AFTER})\.?|(?:{_BEGUN}[ -]){{1,4}}(?i:{_AFTER})\.?)"
_STREET_BEFORE = rf"(?i:{_BEFORE})\.?[ ](?:{_OF}[ ]?){{0,3}}{_CAPITAL}(?:[ ]{_CAPITAL}){{0,3}}"
_ADDRESS = re.compile(
    rf"(?<!\w){_STREET_AFTER}[ ]\d{{1,4}}[ ]?[a-zA-Z]?(?!\w)"
    rf"|(?<!\w)(?:\d{{1,4}}[ ]?(?:bis|ter)?,?[ ])?{_STREET_BEFORE}(?:,?[ ]\d{{1,4}}[ ]?[a-z]?)?(?!\w)"
    rf"|(?<!\w)\d{{1,4}}[ ](?:{_CAPITAL}[ ]){{1,3}}(?:Street|Road|Avenue|Lane|Square|St\.|Rd\.|Ave\.)(?!\w)"
)
_POST_CODE = re.compile(
    rf"(?<!\w)(?:[A-Z]{{1,2}}-)?(?:\d{{5}}|\d{{4}}[ ][A-Z]{{2}}|\d{{2}}-\d{{3}})[ ]{_CAPITAL}(?:[ ]{_CAPITAL})?(?!\w)"
)


def find_names(text: str) -> list[Found]:
    """The names of the text in order of place, none overlapping another."""
    found = [Found(m.start(1), m.end(1), "organisation", m[1]) for m in _COMPANY.finditer(text)]
    found += [Found(m.start(), m.end(), "address", m.group()) for p in (_ADDRESS, _POST_CODE) for m in p.finditer(text)]
    german = language_of(text) == "de"
    for start, end in sentence_spans(text):
        for words in _capital_runs(text, start, end):
            found += _told(text, words, start, german)
    kept = without_overlaps(found)
    return without_overlaps([*kept, *_surnames_alone(text, kept)])


def _capital_runs(text: str, start: int, end: int) -> Iterable[list[re.Match[str]]]:
    """Words with a capital in a row, with the particles between them."""
    run: list[re.Match[str]] = []
    loose: list[re.Match[str]] = []  # particles that belong to the run only if a capital follows
    for word in _WORD.finditer(text, start, end):
        before = (loose or run)[-1].end() if run else word.start()
        gap = text[before : word.start()]
        linked = not run or (_LINK.fullmatch(gap) is not None and "\n" not in gap)
        if run and not linked:
            yield run
            run, loose = [], []
        if len(run) == _RUN_WORDS_MAX:  # no name is so long
            yield run
            run, loose = [], []
        if word.group()[0].isupper():
            run += [*loose, word]
            loose = []
        elif run and fold(word.group()) in _PARTICLES | {"of", "fur", "pour"}:
            loose.append(word)
        elif run:
            yield run
            run, loose = [], []
    if run:
        yield run


def _told(text: str, words: list[re.Match[str]], sentence: int, german: bool) -> list[Found]:
    """The name in a run of capital words, if there is one."""
    at, end, begins = 0, len(words), words[0].start() == sentence
    titled = not begins and _titled(text, words[0].start())
    while at < end and _before_a_name(words, at, begins=begins and at == 0):
        key = _key(words[at])
        titled = titled or (key in _TITLES and (len(key) > 1 or end - at > 1))
        at += 1
    while at < end and (_key(words[end - 1]) in _NEVER | _PARTICLES or month_of(_key(words[end - 1]))):
        end -= 1
    if at == end:
        return []
    keys = [_key(word) for word in words[at:end]]
    first, last = words[at].start(), words[end - 1].end()
    lone = begins and not titled and end - at == 1  # it may have its capital from the sentence
    kind = _kind(text[first:last], keys, titled=titled, begins=lone, german=german)
    if kind is None:
        return []
    said = text[first:last].rstrip(".") if len(keys[-1]) > 2 else text[first:last]
    return [Found(first, first + len(said), kind, said)]


def _before_a_name(words: Sequence[re.Match[str]], at: int, *, begins: bool) -> bool:
    """Whether a word is not yet part of the name: a title, a day, or what has its capital from the sentence."""
    key, after = _key(words[at]), _key(words[at + 1]) if at + 1 < len(words) else ""
    if key in _FIRST and after:
        return False  # "Jan de Vries" is no January
    return (
        key in _NEVER
        or key in _TITLES
        or month_of(key) is not None
        or (begins and (key in _SMALL or (after in _FIRST and key not in _HEADS)))
    )


def _titled(text: str, at: int) -> bool:
    """Whether the word before is a title in small letters: "el señor García"."""
    before = _WORD_BEFORE.search(text, max(0, at - 24), at)
    return before is not None and len(before[1]) > 1 and fold(before[1]) in _TITLES


def _kind(said: str, keys: Sequence[str], *, titled: bool, begins: bool, german: bool) -> str | None:
    """What kind of name it is; None for none."""
    first, alone = keys[0].split("-")[0], len(keys) == 1
    if any(key in _HEADS or _compound_head(key) for key in keys):
        return "organisation" if not alone or german else None
    if titled or (first in _FIRST and (not alone or not begins or first not in _PLACES)):
        return "person"
    if keys[-1] in _PLACES or " ".join(keys) in _PLACES:
        return "place" if alone or first not in _FIRST else "person"
    shouted = said.isupper() and len(said.replace(".", "")) > 1
    if alone:
        known = shouted and len(said) <= 8
        return "other" if known or (not german and not begins and len(said) > 2) else None
    return "other" if not (said.isupper() and len(said) > 40) else None


def _compound_head(key: str) -> bool:
    """Whether a German word ends in one of the heads: Landesversicherungsamt."""
    return len(key) > 10 and any(key.endswith(head) and len(head) > 3 for head in _HEADS)


def _surnames_alone(text: str, found: Sequence[Found]) -> list[Found]:
    """A person's last name where it stands alone, and a name of one word where it begins a sentence."""
    last = {one.text.split()[-1] for one in found if one.kind == "person" and " " in one.text.strip()}
    last |= {one.text for one in found if one.kind == "other" and " " not in one.text}  # also where a sentence begins
    names = [re.escape(name) for name in last if len(name) > 2 and name[0].isupper()]
    if not names:
        return []
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(names, key=len, reverse=True))})(?!\w)")
    kinds = {one.text: one.kind for one in found if one.kind == "other"}
    return [Found(m.start(), m.end(), kinds.get(m[0], "person"), m[0]) for m in pattern.finditer(text)]


def _key(word: re.Match[str]) -> str:
    return fold(word.group().rstrip("."))
