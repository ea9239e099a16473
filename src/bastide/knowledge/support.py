"""Support: whether each sentence of a written answer stands in the passages that it cites. Pure.

    1. citations `[2]`, `[1, 3]`, `[1][3]` are read, also when they stand behind the full stop
    2. numbers of passages that were not given out are taken away
    3. a sentence without a citation gets that of the one passage that supports it, if there is one
    4. a sentence is supported when every number and every name in it stands in its passages, enough of
       its words do, and it does not deny what the nearest sentence of the passage affirms
    5. what is not supported is marked in the text; the citations in use are numbered anew from 1

This compares words; it does not understand. It errs towards the mark: a sentence that says the same in
wholly different words, or in another language than the passage, is marked as unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bastide.knowledge.reading import sentences, terms
from bastide.knowledge.told import Unsupported

MARK = " [unsupported]"

# The part of a sentence's words that must stand in its passages: alone, and where an embedder agrees.
WORDS_SHARE_MIN = 0.6
WORDS_SHARE_MIN_NEAR = 0.35
NEARNESS_MIN = 0.72

_FEW_WORDS = "too few of its words stand in the cited passage"
_OTHER_LANGUAGE = "the cited passage is in another language ({}): its words cannot be compared"

_BEGINNINGS = {"", ".", ":", "!", "?", "“", '"', "("}
_GROUP = r"\[\s*\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\s*\]"
_CITATION = re.compile(_GROUP)
_AFTER_STOP = re.compile(rf"([.!?…])((?:\s*{_GROUP})+)")
_FORMATTING = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)]\s+|#{1,6}\s+)|[*_`]{1,3}", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:[.,:/’'  ]\d+)*")
_WORD = re.compile(r"[^\W\d_][\w’'-]*")
_NEGATION = re.compile(
    r"\b(?:not|no|never|cannot|neither|nor|without|\w+n['’]t|nicht|kein\w*|nie|niemals|ohne|pas|aucun\w*|jamais|sans"
    r"|niet|geen|nooit|zonder|non|nessun\w*|mai|nunca|ningun\w*|não|sin|nie|nici|nu|δεν|μη|χωρίς)\b",
    re.IGNORECASE,
)
# Negations that affirm: a limit ("not later than"), a stress ("not only"), a manner ("without undue delay").
_AFFIRMING = re.compile(
    r"\b(?:no[nt]?\s+(?:later|more|less|fewer|earlier|only|merely|longer)\b|without\s+(?:undue\s+)?(?:delay|prejudice)"
    r"|nicht\s+(?:nur|später|mehr|länger|weniger)|ohne\s+(?:unangemessene|schuldhaftes)\s+\w+|unbeschadet"
    r"|sans\s+(?:délai|préjudice|retard)|non\s+seulement|pas\s+plus|niet\s+(?:alleen|later|meer|langer)"
    r"|zonder\s+(?:onnodige\s+)?(?:vertraging|afbreuk))",
    re.IGNORECASE,
)
_SPELT = {
    word: str(value)
    for value, words in enumerate(
        (
            "zero null nul",
            "ein eine einer één un une",
            "two zwei deux twee",
            "three drei trois drie",
            "four vier quatre",
            "five fünf cinq vijf",
            "six sechs zes",
            "seven sieben sept zeven",
            "eight acht huit",
            "nine neun neuf negen",
            "ten zehn dix tien",
            "eleven elf onze",
            "twelve zwölf douze twaalf",
        )
    )
    for word in words.split()
} | {"fifteen": "15", "twenty": "20", "thirty": "30", "sixty": "60", "ninety": "90", "hundred": "100"}

Nearness = Callable[[str, Sequence[str]], float]
"""How near a claim is to the nearest sentence of these texts: a cosine."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a passage offers as support: its text and its headings."""

    text: str
    headings: str
    language: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer with marks and new numbers; `used` gives for each new number the place of its passage, from 0.

    `doubtful` are the claims whose words alone decided against them: an embedder may be asked about these.
    """

    text: str
    used: tuple[int, ...]
    unsupported: tuple[Unsupported, ...]
    doubtful: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Verdict:
    start: int  # of the sentence with its citations, in the text as it was checked
    end: int
    cited: tuple[int, ...]  # places of passages, from 0
    why: str = ""  # empty when supported
    doubtful: str = ""  # the claim, when only the share of its words is too small


def check(answer: str, evidence: Sequence[Evidence], *, language: str, nearness: Nearness | None = None) -> Checked:
    """Check `answer` sentence by sentence against the passages given to the model, `[1]` being `evidence[0]`."""
    text = _AFTER_STOP.sub(lambda match: f" {_joined(match[2])}{match[1]}", answer.strip())
    verdicts = [
        _judge(text, start, end, evidence, language=language, nearness=nearness)
        for start, end in _stretches(text, language)
    ]
    return _written(text, verdicts)


def _stretches(text: str, language: str) -> list[tuple[int, int]]:
    """The sentences; a line break ends one, because a list has no full stops."""
    found: list[tuple[int, int]] = []
    for line in re.finditer(r"[^\n]+", text):
        found += [(line.start() + start, line.start() + end) for start, end in sentences(line[0], language)]
    return found


def _joined(groups: str) -> str:
    return "".join(_CITATION.findall(groups))


def _cited(sentence: str, count: int) -> tuple[int, ...]:
    places: dict[int, None] = {}
    for group in _CITATION.findall(sentence):
        numbers = [int(number) for number in re.findall(r"\d+", group)]
        if len(numbers) == 2 and re.search(r"[–-]", group) and 0 < numbers[1] - numbers[0] < 20:
            numbers = list(range(numbers[0], numbers[1] + 1))
        places.update({number - 1: None for number in numbers if 1 <= number <= count})
    return tuple(places)


def _judge(
    text: str, start: int, end: int, evidence: Sequence[Evidence], *, language: str, nearness: Nearness | None
) -> _Verdict:
    sentence = text[start:end]
    claim = " ".join(_FORMATTING.sub("", _CITATION.sub("", sentence)).split())
    cited = _cited(sentence, len(evidence))
    if not _claims(claim, language):
        return _Verdict(start, end, cited)
    if cited:
        why = _doubt(claim, [evidence[place] for place in cited], language, nearness)
        unsure = why == _FEW_WORDS or why.startswith(_OTHER_LANGUAGE.partition("(")[0])
        return _Verdict(start, end, cited, why, claim if unsure else "")
    for place, one in enumerate(evidence):
        if not _doubt(claim, [one], language, None):
            return _Verdict(start, end, (place,))
    return _Verdict(start, end, (), "no passage is cited, and none supports it")


def _claims(claim: str, language: str) -> bool:
    """Whether there is anything to support: not in "Yes." or in "In short:"."""
    words = terms(claim, language)
    return bool(_numbers(claim)) or (len(words) > 1 and not claim.endswith(":"))


def _doubt(claim: str, cited: Sequence[Evidence], language: str, nearness: Nearness | None) -> str:
    """Why these passages do not support the claim; empty when they do."""
    whole = "\n".join(f"{one.headings}\n{one.text}" for one in cited)
    missing = _numbers(claim) - _numbers(whole)
    if missing:
        return f"the cited passage does not hold: {', '.join(sorted(missing))}"
    others = {one.language or language for one in cited}
    if cited and language not in others:
        near = nearness is not None and nearness(claim, [one.text for one in cited]) >= NEARNESS_MIN
        return "" if near else _OTHER_LANGUAGE.format(", ".join(sorted(others)))
    names = _names(claim, language) - {word.casefold() for word in _WORD.findall(whole)}
    if names:
        return f"the cited passage does not name: {', '.join(sorted(names))}"
    stems = terms(claim, language)
    there = terms(whole, language)
    share = sum(stem in there for stem in stems) / max(len(stems), 1)
    if share < WORDS_SHARE_MIN:
        near = nearness is not None and nearness(claim, [one.text for one in cited]) >= NEARNESS_MIN
        if not near or share < WORDS_SHARE_MIN_NEAR:
            return _FEW_WORDS
    if _denies(claim, cited, language):
        return "it denies what the cited passage says, or the other way round"
    return ""


def _numbers(text: str) -> set[str]:
    """The numbers, however they are written: 1,000 and 1 000 and 1.000 are one; "ten" is 10."""
    found = {re.sub(r"[.,’'  ](?=\d{3}(?:\D|$))", "", number) for number in _NUMBER.findall(text)}
    words = (word.casefold() for word in _WORD.findall(text))
    return found | {_SPELT[word] for word in words if word in _SPELT and _SPELT[word] not in {"0", "1"}}


def _names(claim: str, language: str) -> set[str]:
    """Words written large within a sentence, and at its beginning before another such word.

    In German nearly every noun is written large, so there the share of the words must do.
    """
    if language == "de":
        return set()
    words = list(_WORD.finditer(claim))
    found = set()
    for place, match in enumerate(words):
        word = match[0].removesuffix("'s").removesuffix("’s")
        if len(word) < 2 or not word[0].isupper():
            continue
        begins = claim[: match.start()].rstrip()[-1:] in _BEGINNINGS
        before_another = place + 1 < len(words) and words[place + 1][0][0].isupper()
        if not begins or word.isupper() or (before_another and terms(word, language)):
            found.add(word.casefold())
    return found


def _denies(claim: str, cited: Sequence[Evidence], language: str) -> bool:
    """Whether claim and its nearest sentence in the passages use nearly the same words, one denying and one not."""
    stems = set(terms(re.sub(r"\bne\b", " ", _NEGATION.sub(" ", claim)), language))
    best, nearest = 0.0, ""
    for one in cited:
        for start, end in sentences(one.text, one.language):
            sentence = one.text[start:end]
            share = len(stems & set(terms(sentence, language))) / max(len(stems), 1)
            if share > best:
                best, nearest = share, sentence
    return best >= 0.8 and _negated(claim) != _negated(nearest)


def _negated(sentence: str) -> bool:
    return bool(_NEGATION.search(_AFFIRMING.sub(" ", sentence)))


def with_citations(sentence: str, numbers: Sequence[int]) -> str:
    """The sentence with each number as `[n]`, at its end, before the full stop."""
    marks = "".join(f"[{number}]" for number in numbers)
    if not marks:
        return sentence
    stop = re.search(r"[.!?…]+[\"'”’»)*_]*$", sentence)
    return f"{sentence} {marks}" if stop is None else f"{sentence[: stop.start()]} {marks}{stop[0]}"


def _written(text: str, verdicts: Sequence[_Verdict]) -> Checked:
    """The text with the citations numbered anew in order of use, and the marks."""
    numbers: dict[int, int] = {}
    parts: list[str] = []
    unsupported: list[Unsupported] = []
    at, length = 0, 0
    for verdict in verdicts:
        between = text[at : verdict.start]
        bare = re.sub(rf"\s*{_GROUP}", "", text[verdict.start : verdict.end]).rstrip()
        sentence = with_citations(bare, [numbers.setdefault(place, len(numbers) + 1) for place in verdict.cited])
        begin = length + len(between)
        mark = MARK if verdict.why else ""
        parts += [between, sentence, mark]
        if verdict.why:
            unsupported.append(Unsupported(sentence, begin, begin + len(sentence), verdict.why))
        length = begin + len(sentence) + len(mark)
        at = verdict.end
    parts.append(text[at:])
    doubtful = tuple(verdict.doubtful for verdict in verdicts if verdict.doubtful)
    return Checked("".join(parts), tuple(numbers), tuple(unsupported), doubtful)
