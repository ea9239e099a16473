"""Which language a text is in: one of Europe's, by py3langid, with a vote of common words for long documents."""

import re
import threading
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from bastide.knowledge.reading.stopwords import STOPWORDS

_EUROPEAN = (
    "bg bs ca cs cy da de el en es et eu fi fr ga gl hr hu is it lb lt lv mk mt nb nl nn no pl pt ro ru sk sl sq sr "
    "sv tr uk"
)
_SAME = {"nb": "no", "nn": "no"}
_SAMPLE = 4000
_SHORTEST = 24
_WORD = re.compile(r"[^\W\d_]+")
_lock = threading.Lock()


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in _EUROPEAN.split() if code in identifier.labels])
    return identifier


def detect_language(text: str, default: str = "en") -> str:
    """The ISO 639-1 code of `text`; `default` where it is too short or too unlike any language to tell."""
    sample = _sample(text)
    if sum(map(str.isalpha, sample[:200])) < _SHORTEST:
        return _by_common_words(text) or default
    with _lock:  # the model is loaded once; its scoring shares no state but costs little
        language, confidence = _identifier().classify(sample)
    if confidence < 0.35:
        return _by_common_words(text) or default
    return _SAME.get(language, str(language))


def _sample(text: str) -> str:
    """Up to 4,000 characters: short texts whole, long ones from four places."""
    text = text.strip()
    if len(text) <= _SAMPLE:
        return text
    quarter = _SAMPLE // 4
    step = len(text) // 4
    return " ".join(text[i * step + step // 2 : i * step + step // 2 + quarter] for i in range(4))


def _by_common_words(text: str) -> str:
    """The language with most of its common words in a short text; "" if two are level or none is there."""
    votes = sorted(common_words(text).items(), key=lambda vote: -vote[1])
    return votes[0][0] if votes and votes[0][1] > 0 and votes[0][1] > votes[1][1] else ""


def common_words(text: str) -> dict[str, int]:
    """How many different common words stand at the start of `text`, per language."""
    words = set(_WORD.findall(text[:2000].casefold()))
    return {language: len(words & common) for language, common in STOPWORDS.items()}


def section_language(text: str, usual: str) -> str:
    """The language of a section in a document that is mostly `usual`; "" where it is the same or cannot be told.

    The common words are asked first, because they cost a tenth of the model.
    """
    if len(text) < 200:
        return ""
    if usual in STOPWORDS:
        votes = common_words(text)
        best = max(votes, key=lambda language: votes[language])
        if best == usual or votes[best] < votes[usual] + 2:
            return ""
    language = detect_language(text, usual)
    return "" if language == usual else language
