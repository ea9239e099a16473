"""Extracting: what one document says of whom, without a model. Pure and CPU-bound.

1. dates, sums and citations are found; what lies in them is no name     4. a short name is led back to the full one
2. each sentence gives its names and terms                                  that the same document gave it
3. neighbours with a cue between them are tied, the others related       5. all of it is gathered by passage
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import NamedTuple

from bastide.knowledge.graph.citing import Cited, act_in, cited
from bastide.knowledge.graph.concepts import CONCEPTS_MAX, concepts, counted
from bastide.knowledge.graph.dates import Amount, Dated, amounts, dates
from bastide.knowledge.graph.defining import defined, hereafter, shortened
from bastide.knowledge.graph.names import Name, Namer, tokens
from bastide.knowledge.graph.naming import THIS, key_of, legal_form, plain
from bastide.knowledge.graph.relating import NAMES_MAX, act_tie, ties
from bastide.knowledge.reading import Piece, Reading, sentences

RULES = "rules/2"
"""The extractor of this file, as it stands on every row; its number changes when what it finds does."""

NAMES_OF_PASSAGE_MAX = 48
RELATED_MAX = 12
"""Untyped ties of one passage."""

MERGE_SCORE = 0.95
"""How sure an explained acronym is to mean the name that it stands behind."""

_KNOWN = re.compile(r"(?<=[^\W\d_A-Z][ ,])[A-ZÄÖÜÀÁÂÉÈÊÍÎÓÔÚŁŚŻŹĆ][^\W\d_]+")
_LOWER = re.compile(r"(?<![^\W\d_])[^\W\d_A-ZÄÖÜÀÁÂÉÈÊÍÎÓÔÚŁŚŻŹĆ][^\W\d_]+")
_SENTENCE_MAX = 1_500


class Named(NamedTuple):
    """A name in a passage; `start` and `end` count in the document's text."""

    chunk: int
    key: int
    type: str
    name: str
    start: int
    end: int
    confidence: float
    times: int = 1
    self: bool = False


class Tied(NamedTuple):
    """`a` to `b` in a passage; `start` to `end` is the sentence. Key `THIS` is the document."""

    chunk: int
    a: int
    b: int
    type: str
    start: int
    end: int
    weight: float
    confidence: float
    first: date | None = None
    after: date | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A date or a sum, with the names of its sentence."""

    chunk: int
    kind: str
    start: int
    end: int
    sentence: tuple[int, int]
    first: date | None
    after: date | None
    detail: str
    value: Decimal | None
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Citation:
    """A place that the passage points to; `act` is None within the same document."""

    chunk: int
    start: int
    end: int
    place: str
    detail: str
    act: int | None


@dataclass(frozen=True, slots=True)
class Alias:
    """The document says that `short` stands for `full`."""

    chunk: int
    short: int
    full: int
    reason: str
    score: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Extracted:
    """What one document gives to the graph. `chunk` is the ord of the piece."""

    names: tuple[Named, ...] = ()
    ties: tuple[Tied, ...] = ()
    facts: tuple[Fact, ...] = ()
    citations: tuple[Citation, ...] = ()
    aliases: tuple[Alias, ...] = ()


@dataclass(slots=True)
class _Gathered:
    names: list[Named] = field(default_factory=list)
    ties: list[Tied] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)


def extracted(reading: Reading, pieces: Sequence[Piece]) -> Extracted:
    """What a document gives to the graph, in reading order."""
    return _Document(reading, pieces).read()


class _Document:
    """One document while it is read: what it repeats, and what its short names stand for."""

    def __init__(self, reading: Reading, pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._usual = reading.language
        whole = "\n".join(piece.text for piece in pieces)
        self._often: Counter[str] = counted(whole, reading.language)
        self._common = frozenset(_LOWER.findall(whole))
        self._seen_large = frozenset(_KNOWN.findall(whole))
        self._namers: dict[str, Namer] = {}
        self._short: dict[str, tuple[int, str, str] | None] = {}  # short form -> key, type, name; None: it means two
        self._own_act = act_in(reading.title) or (act_in(pieces[0].text, at_once=True) if pieces else "")
        self._own_name = reading.title
        self._acronyms: list[Named] = []  # of the passage at hand: rows of their own, under their own key
        self._out = _Gathered()

    def read(self) -> Extracted:
        for piece in self._pieces:
            self._piece(piece)
        if self._own_act and self._pieces:
            first = self._pieces[0]
            name, end = self._own_name[:160], min(first.end, first.start + 80)
            own = Named(first.ord, key_of(self._own_act), "document", name, first.start, end, 0.9, self=True)
            others = [one for one in self._out.names if (one.chunk, one.key) != (own.chunk, own.key)]
            self._out.names = [own, *others]
        out = self._out
        return Extracted(tuple(out.names), tuple(out.ties), tuple(out.facts), tuple(out.citations), tuple(out.aliases))

    # -- one passage --------------------------------------------------------------------------------

    def _piece(self, piece: Piece) -> None:
        text, language = piece.text, piece.language or self._usual
        namer = self._namers.get(language)
        if namer is None:
            namer = self._namers[language] = Namer(language, self._common, self._seen_large)
        days, sums, places = dates(text), amounts(text), cited(text)
        masked = [(one.start, one.end) for group in (days, sums, places) for one in group]
        found: dict[int, Named] = {}
        related: Counter[tuple[int, int]] = Counter()
        where: dict[tuple[int, int], tuple[int, int]] = {}
        terms: list[tuple[float, Named, tuple[int, int]]] = []
        tied = len(self._out.ties)
        self._acts(piece, places, found)
        for first, last in sentences(text, language):
            span = first, min(last, first + _SENTENCE_MAX)
            words = tokens(text, *span)
            names = self._resolved(namer.names(text, words, masked), text, language)
            names = self._explained(piece, names, text, span)
            keyed = self._tied(piece, names, text, language, span, days, found)
            taken = masked + [(one.start, one.end) for one, _ in names]
            for start, end, strength in concepts(words, language, self._often, taken):
                terms.append((strength, self._term(piece, start, end, language), span))
            self._facts(piece, days, sums, span, keyed)
            here = dict.fromkeys(keyed)
            for a, b in combinations(sorted(list(here)[:NAMES_MAX]), 2):
                related[a, b] += 1
                where.setdefault((a, b), span)
        self._terms(terms, found, related, where)
        self._defined(piece, text, language, found)
        for acronym in self._acronyms:
            found.setdefault(acronym.key, acronym)
        self._acronyms.clear()
        self._out.names += list(found.values())[: NAMES_OF_PASSAGE_MAX + CONCEPTS_MAX]
        typed = {frozenset((one.a, one.b)) for one in self._out.ties[tied:]}
        for (a, b), times in related.most_common(RELATED_MAX):
            if frozenset((a, b)) not in typed and a in found and b in found:
                start, end = where[a, b]
                self._out.ties.append(
                    Tied(piece.ord, a, b, "related_to", piece.start + start, piece.start + end, float(times), 0.4)
                )

    # -- names --------------------------------------------------------------------------------------

    def _resolved(self, names: list[Name], text: str, language: str) -> list[tuple[Name, int]]:
        """Each name with its key: that of the full name where the document gave it before."""
        found: list[tuple[Name, int]] = []
        for name in names:
            form = plain(name.text, name.type if name.type != "concept" else "name", language)
            known = self._short.get(form)
            if known is not None:
                key, type, full = known
                found.append((name._replace(text=full, type=type, confidence=max(name.confidence, 0.7)), key))
                continue
            key = key_of(form)
            found.append((name, key))
            self._remember(name, form, key)
        return found

    def _remember(self, name: Name, form: str, key: int) -> None:
        """The short forms that this document may call a full name by from here on."""
        words = form.split()
        if name.type == "person" and len(words) > 1 and not name.text.isupper():
            self._call(words[-1], key, name)
            if len(words[0]) > 1:
                self._call(f"{words[0][0]} {words[-1]}", key, name)
        elif name.type == "organisation":
            bare, legal = legal_form(name.text)
            if legal:
                self._call(plain(bare), key, name)

    def _call(self, short: str, key: int, name: Name) -> None:
        known = self._short.get(short, (key, name.type, name.text))
        self._short[short] = known if known is not None and known[0] == key else None

    def _explained(
        self, piece: Piece, names: list[tuple[Name, int]], text: str, span: tuple[int, int]
    ) -> list[tuple[Name, int]]:
        """Acronyms, and short names that a contract agrees on, of one sentence."""
        part = text[span[0] : span[1]]
        if "(" not in part:
            return names
        for one in shortened(part):
            start, end = one.start + span[0], one.end + span[0]
            full = text[start:end]
            inside = [(name, key) for name, key in names if name.start < end and start < name.end]
            type = next((name.type for name, _ in inside if name.type != "concept"), "concept")
            key = key_of(plain(full, "name"))
            short = " ".join(text[one.short_start + span[0] : one.short_end + span[0]].split())
            names = [pair for pair in names if pair not in inside and pair[0].start != one.short_start + span[0]]
            names.append((Name(" ".join(full.split()), type, start, end, 0.85), key))
            self._short[plain(short, "name")] = (key, type, " ".join(full.split()))
            at, to = piece.start + one.short_start + span[0], piece.start + one.short_end + span[0]
            self._acronyms.append(Named(piece.ord, key_of(plain(short, "name")), type, short, at, to, 0.85))
            self._out.aliases.append(
                Alias(piece.ord, key_of(plain(short, "name")), key, "acronym", MERGE_SCORE, piece.start + start,
                      piece.start + one.short_end + span[0])
            )  # fmt: skip
        for bracket, start, end in hereafter(part):
            before = [
                (name, key)
                for name, key in names
                if name.end <= bracket + span[0] and bracket + span[0] - name.end < 80
            ]
            if before:
                name, key = max(before, key=lambda pair: pair[0].end)
                self._short[plain(part[start:end], "name")] = (key, name.type, name.text)
        return sorted(names, key=lambda pair: pair[0].start)

    def _tied(
        self,
        piece: Piece,
        names: list[tuple[Name, int]],
        text: str,
        language: str,
        span: tuple[int, int],
        days: list[Dated],
        found: dict[int, Named],
    ) -> list[int]:
        """Writes the names and the typed ties of one sentence; the keys that stand in it."""
        types = [name.type for name, _ in names]
        keys = [key for _, key in names]
        here = [one for one in days if span[0] <= one.start < span[1]]
        first, after = (here[0].first, here[0].after) if len(here) == 1 else (None, None)
        for tie in ties(text, [name for name, _ in names], language):
            if keys[tie.a] == keys[tie.b]:
                continue
            types[tie.a], types[tie.b] = tie.a_type, tie.b_type
            self._out.ties.append(
                Tied(piece.ord, keys[tie.a], keys[tie.b], tie.type, piece.start + span[0], piece.start + span[1], 1.0,
                     tie.confidence, first, after)
            )  # fmt: skip
        for (name, key), type in zip(names, types, strict=True):
            sure = max(name.confidence, 0.6) if type != name.type else name.confidence
            _add(found, Named(piece.ord, key, type, name.text, piece.start + name.start, piece.start + name.end, sure))
        return keys

    # -- terms, definitions, acts, facts ------------------------------------------------------------

    @staticmethod
    def _term(piece: Piece, start: int, end: int, language: str) -> Named:
        written = " ".join(piece.text[start:end].split())
        key = key_of(plain(written, "concept", language))
        return Named(piece.ord, key, "concept", written, piece.start + start, piece.start + end, 0.5)

    @staticmethod
    def _terms(
        terms: list[tuple[float, Named, tuple[int, int]]],
        found: dict[int, Named],
        related: Counter[tuple[int, int]],
        where: dict[tuple[int, int], tuple[int, int]],
    ) -> None:
        """The strongest terms of a passage, tied to the names and terms of their sentence."""
        strengths: dict[int, float] = {}
        for strength, term, _ in terms:
            strengths[term.key] = strengths.get(term.key, 0.0) + strength
        best = set(sorted(strengths, key=lambda key: (-strengths[key], key))[:CONCEPTS_MAX])
        by_sentence: dict[tuple[int, int], list[int]] = {}
        for _, term, span in terms:
            if term.key in best:
                _add(found, term)
                by_sentence.setdefault(span, []).append(term.key)
        for span, keys in by_sentence.items():
            for a, b in combinations(sorted(set(keys))[:NAMES_MAX], 2):
                related[a, b] += 1
                where.setdefault((a, b), span)

    def _defined(self, piece: Piece, text: str, language: str, found: dict[int, Named]) -> None:
        for one in defined(text):
            term = self._term(piece, one.start, one.end, language)._replace(confidence=0.9)
            _add(found, term)
            self._out.ties.append(
                Tied(piece.ord, THIS, term.key, "defines", term.start, min(piece.end, term.end + 200), 1.0, 0.85)
            )

    def _acts(self, piece: Piece, places: list[Cited], found: dict[int, Named]) -> None:
        """Citations, and the acts that they name."""
        told: set[tuple[int, str]] = set()
        for one in places:
            act = key_of(one.act) if one.act and one.act != self._own_act else None
            start, end = piece.start + one.start, piece.start + one.end
            self._out.citations.append(Citation(piece.ord, start, end, one.place, one.detail[:80], act))
            if act is None or one.act_at is None:
                continue
            at, to = one.act_at
            written = " ".join(piece.text[at:to].split())
            _add(found, Named(piece.ord, act, "document", written, piece.start + at, piece.start + to, 0.9))
            type = act_tie(piece.text, one.start, one.end)
            if (act, type) not in told:
                told.add((act, type))
                self._out.ties.append(Tied(piece.ord, THIS, act, type, start, end, 1.0, 0.9))

    def _facts(
        self, piece: Piece, days: list[Dated], sums: list[Amount], span: tuple[int, int], keys: list[int]
    ) -> None:
        sentence = piece.start + span[0], piece.start + span[1]
        named = tuple(dict.fromkeys(keys))[:16]
        for day in days:
            if span[0] <= day.start < span[1]:
                self._out.facts.append(
                    Fact(piece.ord, "date", piece.start + day.start, piece.start + day.end, sentence, day.first,
                         day.after, day.precision, None, named)
                )  # fmt: skip
        for sum_ in sums:
            if span[0] <= sum_.start < span[1]:
                self._out.facts.append(
                    Fact(piece.ord, "amount", piece.start + sum_.start, piece.start + sum_.end, sentence, None, None,
                         sum_.currency, sum_.value, named)
                )  # fmt: skip


def _add(found: dict[int, Named], one: Named) -> None:
    """One row for a name in a passage: its first place, its surest type, how often it stands there."""
    before = found.get(one.key)
    if before is None:
        found[one.key] = one
        return
    better = one if one.confidence > before.confidence else before
    found[one.key] = before._replace(
        type=better.type, name=better.name, confidence=better.confidence, times=before.times + one.times
    )
