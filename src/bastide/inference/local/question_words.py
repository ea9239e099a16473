"""What a question asks for, told by its words, and how a sentence looks that answers it.

The words are data: `questions.toml`, one part a language. An unknown language has no kind, which costs
a hint and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final, Literal, get_args

Kind = Literal["time", "amount", "who", "meaning", "reason"]

_TABLES: Final[dict[str, Any]] = tomllib.loads(
    files("bastide.inference.local").joinpath("questions.toml").read_text(encoding="utf-8")
)
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

# Words that carry no content, by language; folded.
FUNCTION_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(table["empty"].split()) for language, table in _TABLES["asking"].items()
}


def _asking(language: str) -> dict[Kind, re.Pattern[str]]:
    table = _TABLES["asking"][language]
    return {kind: re.compile(rf"\b(?:{'|'.join(table[kind])})\b") for kind in _KINDS if kind in table}


def _answering(kind: Kind) -> re.Pattern[str]:
    table = _TABLES["answering"]
    patterns = list(table[kind])
    if kind == "time":
        patterns += [rf"\b\w+ (?:{'|'.join(table['units'])})\b", rf"\b(?:{'|'.join(table['months'])})\b"]
    return re.compile("|".join(patterns))


_ASKING: Final = {language: _asking(language) for language in FUNCTION_WORDS}
_DEFINING: Final = re.compile("|".join(_TABLES["answering"]["defining"]))
_ANSWERING: Final = {kind: _answering(kind) for kind in _KINDS}


def guess_language(words: list[str]) -> str | None:
    """The language whose function words are most frequent in `words` (folded); None where none is."""
    counts = {language: sum(word in known for word in words) for language, known in FUNCTION_WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else None


def kind_of(folded_question: str, language: str | None) -> Kind | None:
    """What the question asks for. The earliest asking word decides; on a tie, the longer."""
    found: list[tuple[int, int, Kind]] = []
    for kind, pattern in _ASKING.get(language or "", {}).items():
        match = pattern.search(folded_question)
        if match:
            found.append((match.start(), -len(match.group()), kind))
    return min(found)[2] if found else None


def hint(kind: Kind | None, folded_sentence: str, content: list[str]) -> float:
    """How much a sentence gains by showing what the question asks for: 0 to 0.25. `content`: the question's words."""
    if kind is None:
        return 0.0
    if kind == "meaning" and content:
        # "'Personal data' means ...": the thing asked about right before the defining word
        for defined in _DEFINING.finditer(folded_sentence):
            if any(content[-1][:5] in word for word in folded_sentence[: defined.start()].split()[-3:]):
                return 0.25
    return 0.12 if _ANSWERING[kind].search(folded_sentence) else 0.0
