"""Which language a text is in: by its script where that tells, else one of Europe's (and Vietnamese and Indonesian), by
py3langid, with a vote of common words for long documents."""

import re
import threading
from collections import Counter
from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from bastide.knowledge.reading.stopwords import STOPWORDS

_EUROPEAN = (
    "bg bs ca cs cy da de el en es et eu fi fr ga gl hr hu is it lb lt lv mk mt nb nl nn no pl pt ro ru sk sl sq sr "
    "sv tr uk"
)
_LATIN_ELSEWHERE = "vi id"

# Scripts that few languages share: the language, or those that py3langid is asked about.
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("\u3041-\u30ff", "ja"),
    ("\u1100-\u11ff\uac00-\ud7af", "ko"),
    ("\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f", "zh"),
    ("\u0e01-\u0e5b", "th"),
    ("\u0e80-\u0eff", "lo"),
    ("\u1780-\u17ff", "km"),
    ("\u1000-\u109f", "my"),
    ("\u0900-\u097f", "hi mr ne"),
    ("\u0600-\u06ff\u0750-\u077f", "ar fa ur ps ug"),
    ("\u0590-\u05ff", "he"),
    ("\u0980-\u09ff", "bn as"),
    ("\u0a00-\u0a7f", "pa"),
    ("\u0a80-\u0aff", "gu"),
    ("\u0b80-\u0bff", "ta"),
    ("\u0c00-\u0c7f", "te"),
    ("\u0c80-\u0cff", "kn"),
    ("\u0d00-\u0d7f", "ml"),
    ("\u0d80-\u0dff", "si"),
    ("\u0530-\u058f", "hy"),
    ("\u10a0-\u10ff", "ka"),
    ("\u1200-\u139f", "am"),
)
_SCRIPT = re.compile("|".join(f"(?P<s{n}>[{letters}])" for n, (letters, _) in enumerate(_SCRIPTS)))
_SCRIPT_SHARE_MIN = 0.4
_KANA_SHARE_MIN = 0.05
_SAME = {"nb": "no", "nn": "no"}
_SAMPLE = 4000
_SHORTEST = 24
_WHOLE = 2000  # characters that common words are looked for in
_CLEAR_MIN, _CLEAR_TIMES = 7, 2
_WORD = re.compile(r"[^\W\d_]+")
_lock = threading.Lock()


@cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    wanted = f"{_EUROPEAN} {_LATIN_ELSEWHERE}".split()
    identifier.set_languages([code for code in wanted if code in identifier.labels])
    return identifier


@cache
def _identifier_among(languages: str) -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in languages.split() if code in identifier.labels])
    return identifier


def detect_language(text: str, default: str = "en") -> str:
    """The ISO 639-1 code of `text`; `default` where it is too short or too unlike any language to tell."""
    sample = _sample(text)
    by_script = "" if sample.isascii() else _by_script(sample)
    if by_script:
        return by_script
    if sum(map(str.isalpha, sample[:200])) < _SHORTEST:
        return _by_common_words(text) or default
    if len(text) <= _WHOLE and sample.isascii() and _clearly_english(sample):
        return "en"
    with _lock:  # the model is loaded once; its scoring shares no state but costs little
        language, confidence = _identifier().classify(sample)
    if confidence < 0.35:
        return _by_common_words(text) or default
    return _SAME.get(language, str(language))


def _clearly_english(text: str) -> bool:
    """Whether so many different common words of English stand here, and so few of any other language, that the model
    need not be asked: it costs ten times as much. English has no neighbour that it could be taken for."""
    votes = common_words(text)
    english = votes.pop("en")
    return english >= _CLEAR_MIN and english >= _CLEAR_TIMES * max(votes.values())


def _by_script(sample: str) -> str:
    """The language that a script tells, where much of the text is in one; "" for Latin, Greek and Cyrillic."""
    counts = Counter(match.lastgroup for match in _SCRIPT.finditer(sample))
    if not counts:
        return ""
    letters = sum(map(str.isalpha, sample)) or 1
    if sum(counts.values()) < _SCRIPT_SHARE_MIN * letters:
        return ""
    if counts["s0"] >= _KANA_SHARE_MIN * sum(counts.values()):
        return "ja"
    languages = _SCRIPTS[int(str(counts.most_common(1)[0][0])[1:])][1]
    if " " not in languages:
        return languages
    with _lock:
        return str(_identifier_among(languages).classify(sample)[0])


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
