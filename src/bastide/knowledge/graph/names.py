"""Names: persons, organisations, places, events and products in a sentence, by how they are written. Pure.

A name is a run of capitalised words, joined by the small words that the language allows in one. What it names is told,
in this order, by: a legal form or a word for a body in it; a title before it or a given name at its head; a list of
countries and towns; a word for an event or a place; digits in a product's name; a preposition before it. A run of which
nothing is known is a concept: a name, but nobody's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from bastide.knowledge.graph.naming import LEGAL_FORMS, PLACES, TITLES, WORDS, squeezed
from bastide.knowledge.reading.stopwords import STOPWORDS

_TOKEN = re.compile(
    r"(?:[lLdDjJsSmMnNcCtT]|[Qq]u|[Dd]ell|[Aa]ll|[Nn]ell|[Ss]ull|[Dd]all|[Uu]n)['’](?=\w)"
    r"|[^\W_]+(?:(?:[’'.\-‐‑&](?=[^\W_])|/(?=[A-Z](?:\W|$)))[^\W_]+)*|\S"
)
_ORGANISATION: Final = frozenset(WORDS["organisation_words"].split())
_ORGANISATION_ENDINGS: Final = tuple(WORDS["organisation_endings"].split())
_NO_ORGANISATION: Final = frozenset(WORDS["organisation_endings_not"].split())
_GIVEN: Final = frozenset(WORDS["given_names"].split())
_EVENT: Final = frozenset(WORDS["event_words"].split())
_EVENT_ENDINGS: Final = tuple(WORDS["event_endings"].split())
_PLACE: Final = frozenset(WORDS["place_words"].split())
_PLACE_ENDINGS: Final = tuple(WORDS["place_endings"].split())
_CUES: Final = {language: frozenset(words.split()) for language, words in WORDS["place_cues"].items()}
_LINKS: Final = {
    language: {kind: frozenset(words.split()) for kind, words in kinds.items()}
    for language, kinds in WORDS["links"].items()
}
_FORM_BEGINS: Final = frozenset(
    squeezed(_TOKEN.findall(spelling.strip())[0])
    for line in re.split(r"[\n;]", WORDS["legal_forms"])
    for spelling in line.partition(":")[2].split(",")
    if spelling.strip()
)
_ONLY_WITH_DOT = frozenset({"M", "Sr", "Sra", "Sig", "Dott", "Avv", "Ing", "Mr", "Mrs", "Ms", "Dr", "Prof", "St"})
_ONLY_IN = {
    "M": "fr",
    "MM": "fr",
    "Me": "fr",
    "Don": "es it",
    "On": "it",
    "Re": "it",
    "Rei": "pt",
    "Heer": "nl",
    "Ir": "nl",
}
_ROMAN = re.compile(r"[IVX]+$")
_ACRONYM = re.compile(r"[A-ZÄÖÜŁŚ]{2,6}$")
_ADJECTIVE = re.compile(r"\w+(?:e|en|er|es|em)$")
_OPENING = frozenset(':“„«"•–-')
_SMALL_TITLES = frozenset(title.lower() for title in TITLES if len(title) > 3)
_ROLES = frozenset({"CEO", "CFO", "CTO", "COO", "PDG", "DG", "Nr", "No", "Art", "Abs"})
_WORDS_MAX = 9


class Token(NamedTuple):
    """A word or a mark; `text[start:end]`. `large`: it is written as names are."""

    text: str
    start: int
    end: int
    large: bool


class Name(NamedTuple):
    """`text[start:end]` names something; `title` stood before it. Offsets count in the passage."""

    text: str
    type: str
    start: int
    end: int
    confidence: float
    title: str = ""


def tokens(text: str, start: int, end: int) -> list[Token]:
    """The words and marks of one sentence, in order."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text, start, end):
        word = match[0]
        first = word[0]
        large = first.isupper() or (len(word) > 2 and word[1].isupper() and first.islower())
        begin, stop = match.span()
        found.append(Token(word, begin, stop, large and word not in _ROLES))
    return found


class Namer:
    """Finds names in the sentences of one document.

    `common` are the words that stand in it in lower case, `known` those written large within a sentence: they tell
    whether a large first letter at the beginning of a sentence means anything.
    """

    def __init__(self, language: str, common: frozenset[str], known: frozenset[str]) -> None:
        self._language = language
        self._links = _LINKS.get(language, _LINKS["en"])
        self._all_links = frozenset().union(*self._links.values())
        self._cues = _CUES.get(language, frozenset())
        self._stop = STOPWORDS.get(language, frozenset()) | STOPWORDS["en"]
        self._common = common
        self._known = known
        self._german = language in {"de", "lb"}

    def names(self, text: str, words: list[Token], masked: list[tuple[int, int]]) -> list[Name]:
        """The names in one sentence; what lies in `masked` (dates, citations) is none."""
        found: list[Name] = []
        place, opens = 0, True
        while place < len(words):
            token = words[place]
            if not token.large or _within(token, masked):
                opens = (opens and not token.text[0].isalnum()) or token.text in _OPENING
                place += 1
                continue
            end = self._run(words, place, masked)
            found += self._named(text, words, place, end, opens)
            opens = False
            place = end
        return found

    # -- where a run ends ---------------------------------------------------------------------------

    def _run(self, words: list[Token], place: int, masked: list[tuple[int, int]]) -> int:
        end = place + 1
        body = _is_body(words[place].text)
        while end < len(words) and end - place < _WORDS_MAX:
            token = words[end]
            if _within(token, masked):
                break
            if token.large or (token.text.isdigit() and len(token.text) <= 2 and not self._german):
                body = body or _is_body(token.text)
                end += 1
                continue
            if token.text == "." and _shortened(words[end - 1].text) and end + 1 < len(words):
                if words[end + 1].large or squeezed(words[end + 1].text) in {"o", "z"}:
                    end += 1
                    continue
                break
            step = self._linked(words, place, end, body)
            if not step:
                break
            end += step
        return self._with_form(words, place, end)

    def _linked(self, words: list[Token], place: int, end: int, body: bool) -> int:
        """How many link words stand here with a large word behind them; none behind a legal form."""
        if squeezed(words[end - 1].text) in LEGAL_FORMS and end - place > 1:
            return 0
        count = 0
        while end + count < len(words) and words[end + count].text.lower() in self._all_links and count < 3:
            count += 1
        if not count or end + count >= len(words) or not words[end + count].large:
            return 0
        links = {words[end + number].text.lower() for number in range(count)}
        before = words[end - 1].text
        person = (links <= self._links["person"] and before in _GIVEN | TITLES) or (
            links <= self._links["person"] and len(before) == 1
        )
        if person or (body and links <= self._links["body"]):
            return count
        return count if links <= self._links["always"] and not self._german and before not in TITLES else 0

    @staticmethod
    def _with_form(words: list[Token], place: int, end: int) -> int:
        """A legal form in small letters or with dots belongs to the name: "sp. z o.o.", "e.V."."""
        if (
            end < len(words)
            and words[end].text == "."
            and "." in words[end - 1].text
            and _ends_in_form(words[place:end])
        ):
            return end + 1
        if end >= len(words) or (words[end].text != "," and squeezed(words[end].text) not in _FORM_BEGINS):
            return end
        for count in (5, 4, 3, 2, 1):
            tail = words[end : end + count]
            if len(tail) == count and tail[0].text != ".":
                bare = squeezed("".join(token.text for token in tail))
                if bare in LEGAL_FORMS and (len(bare) > 2 or any(token.text.isupper() for token in tail)):
                    return end + count
        if end + 1 < len(words) and words[end].text == ",":
            bare = squeezed(words[end + 1].text)
            if bare in LEGAL_FORMS and words[end + 1].text[0].isupper() and len(bare) > 1:
                return end + 2
        return end

    # -- what it names ------------------------------------------------------------------------------

    def _named(self, text: str, words: list[Token], start: int, end: int, opens: bool) -> list[Name]:
        before = words[start - 1].text.lower() if start else ""
        start, opens = self._begun(words, start, end, opens)
        while end > start and words[end - 1].text in {".", "&"} and not _closes_form(words, start, end):
            end -= 1
        if start >= end:
            return []
        title, start = self._title(words, start, end)
        if title and start >= end:
            return []
        of_title = title and start < end and words[start].text.lower() in self._all_links
        if of_title:
            return self._named(text, words, start + 1, end, False) if end - start > 1 else []
        part = words[start:end]
        span = part[0].start, part[-1].end
        name = text[span[0] : span[1]].rstrip(".") if not _closes_form(words, start, end) else text[span[0] : span[1]]
        span = span[0], span[0] + len(name)
        type, confidence = self._typed(part, title, before, opens)
        if not type:
            return []
        return [Name(" ".join(name.split()), type, *span, confidence, title)]

    def _begun(self, words: list[Token], start: int, end: int, opens: bool) -> tuple[int, bool]:
        """Without the words that are large only because a sentence begins with them."""
        while start < end:
            word = words[start].text
            low = word.lower()
            if len(word) == 1 and end - start > 2 and words[start + 1].text == ".":
                break
            if low in self._stop or low.rstrip("'’") in {"l", "d", "un", "dell", "all"}:
                if word.isupper() and len(word) > 2 and not opens:
                    break
                start += 1
                continue
            first = (
                opens and end - start > 1 and word not in self._known and word not in _GIVEN | TITLES | _ORGANISATION
            )
            if first and (low in self._common or (self._german and _ADJECTIVE.match(word) is not None)):
                start += 1
                opens = False
                continue
            break
        return start, opens

    def _title(self, words: list[Token], start: int, end: int) -> tuple[str, int]:
        """The titles at the head, and where the name behind them begins."""
        found: list[str] = []
        while start < end and self._is_title(words, start, end):
            found.append(words[start].text)
            start += 1
            if start < end and words[start].text == ".":
                start += 1
        return " ".join(found), start

    def _is_title(self, words: list[Token], place: int, end: int) -> bool:
        word = words[place].text
        if word not in TITLES or (word in _ONLY_IN and self._language not in _ONLY_IN[word].split()):
            return False
        if word in _GIVEN or _is_body(word):
            return False
        return place + 1 < end

    def _typed(  # noqa: PLR0911 one sign after the other
        self, part: list[Token], title: str, before: str, opens: bool
    ) -> tuple[str, float]:
        words = [token.text for token in part if token.text[0].isalnum()]
        whole = " ".join(words)
        if not words or (len(words) == 1 and len(whole) < 2):
            return "", 0.0
        if len(words) > 1 and _ends_in_form(part):
            return "organisation", 0.95
        if whole.casefold() in PLACES:
            return "place", 0.9
        if (title or before in _SMALL_TITLES) and not any(map(_is_body, words)):
            return "person", 0.9
        if any(map(_is_body, words)):
            if len(words) > 1:
                return "organisation", 0.8
            single = whole not in self._common and not (opens and not self._german and whole not in self._known)
            return ("organisation", 0.55) if single and len(whole) > 5 else ("", 0.0)
        if words[0] in _GIVEN and 2 <= len(words) <= 5:
            return "person", 0.85
        if len(words) == 1:
            return self._alone(words[0], before, opens)
        return self._several(words, before)

    def _several(self, words: list[str], before: str) -> tuple[str, float]:  # noqa: PLR0911 as above
        if any(word in _EVENT or word.lower().endswith(_EVENT_ENDINGS) for word in words):
            return "event", 0.7
        if any(word in _PLACE or word.lower().endswith(_PLACE_ENDINGS) for word in words):
            return "place", 0.7
        if any(map(str.isdigit, words[-1])) and not words[-1].isdigit():
            return "product", 0.6
        if words[-1].isdigit():
            return ("product", 0.5) if len(words) <= 3 else ("concept", 0.4)
        if all(len(word) == 1 for word in words[:-1]) and len(words[-1]) > 2 and not words[-1].isupper():
            return "person", 0.75
        if len(words) == 2 and words[1] not in _GIVEN and words[0] in _GIVEN:
            return "person", 0.8
        if before in self._cues:
            return "place", 0.5
        if self._german and words[0].lower() in self._common:
            return "", 0.0
        return "concept", 0.5

    def _alone(self, word: str, before: str, opens: bool) -> tuple[str, float]:  # noqa: PLR0911 as above
        if word in _GIVEN and word in self._known:
            return "person", 0.5
        if len(word) > 5 and word.lower().endswith(_PLACE_ENDINGS) and self._language in {"de", "nl"}:
            return "place", 0.7
        if _ACRONYM.match(word) and not _ROMAN.match(word):
            return "organisation" if len(word) > 2 else "concept", 0.4
        if any(map(str.isdigit, word)) and any(map(str.isupper, word)):
            return "product", 0.5
        if any(map(str.isupper, word[1:])) and any(map(str.islower, word)):
            return "product", 0.45
        if self._german or (opens and word not in self._known) or word.lower() in self._common or len(word) < 3:
            return "", 0.0
        if before in self._cues:
            return "place", 0.5
        return "concept", 0.4


@lru_cache(maxsize=65_536)
def _is_body(word: str) -> bool:
    return (
        word in _ORGANISATION
        or (
            len(word) > 7
            and word not in _NO_ORGANISATION
            and word[0].isupper()
            and word.lower().endswith(_ORGANISATION_ENDINGS)
            and not word.endswith(("tag", "Tag"))
        )
        or word in {"Bundestag", "Landtag"}
    )


def _shortened(word: str) -> bool:
    return len(word) == 1 or word in _ONLY_WITH_DOT or word in TITLES or squeezed(word) in {"sp", "co"}


def _within(token: Token, spans: list[tuple[int, int]]) -> bool:
    for start, end in spans:  # noqa: SIM110 asked of each word, where a generator costs twice as much
        if start < token.end and token.start < end:
            return True
    return False


def _ends_in_form(part: list[Token]) -> bool:
    for count in (5, 4, 3, 2, 1):
        if len(part) > count:
            bare = squeezed("".join(token.text for token in part[-count:]))
            if (
                bare in LEGAL_FORMS
                and part[-1].text != "as"
                and any(token.text[0].isupper() or len(bare) > 2 for token in part[-count:])
            ):
                return True
    return False


def _closes_form(words: list[Token], start: int, end: int) -> bool:
    return end - start > 2 and words[end - 1].text == "." and _ends_in_form(words[start:end])
