"""Terms: the stems a text is searched by. The same function serves passages and questions.

Scripts without blanks between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are searched by pairs of
neighbouring characters, which needs no dictionary and finds what a dictionary would cut wrongly.
"""

import re
import threading
import unicodedata
from collections import Counter

import Stemmer

from bastide.knowledge.reading.stopwords import STOPWORDS

_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
_KEEP_ACCENTS = frozenset({"sv", "da", "no", "fi", "is", "et", "vi"})
"""Languages whose accented letters are letters of their own: a folded "får" would meet "far"."""

# The vowel signs of Hindi, Thai and others are no letters to `re`, and would break every word; so would an accent that
# stands by itself, and the joiners of Persian.
_SIGNS = "".join(sign for sign in map(chr, range(0x300, 0x10000)) if unicodedata.category(sign) in {"Mn", "Mc"})
_SIGNS_SET = frozenset(_SIGNS)
_WORD = re.compile(rf"[^\W_]+(?:[{_SIGNS}\u200c\u200d]+[^\W_]*)*(?:[./:-]\d+[^\W_]*)*")
_ASCII_WORD = re.compile(r"[^\W_]+(?:[./:-]\d+[^\W_]*)*", re.ASCII)
_ACCENT = re.compile("[\u0300-\u036f]+")
_UNPARTED = re.compile(
    "[\u0e01-\u0e5b\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003134f]+"
)
_NUMBER = re.compile(r"\d+(?:[./:-]\d+)*")
_PLAIN_WORD = re.compile(r"[^\W\d_]+")
_UNFOLDED = str.maketrans("łđøæœı", "ldoaoi")
_KEPT_MAX = 200_000
_LONGEST = 64


class _Stems(dict[str, tuple[str, ...]]):
    """Word -> its stems, worked out once per language; emptied when it grows past 200,000 words."""

    def __init__(self, language: str) -> None:
        super().__init__()
        self._stop = STOPWORDS.get(language, frozenset())
        algorithm = _ALGORITHMS.get(language)
        self._stemmer = Stemmer.Stemmer(algorithm) if algorithm in Stemmer.algorithms() else None
        self._fold = language not in _KEEP_ACCENTS
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> tuple[str, ...]:
        with self._lock:  # a stemmer is not to be shared between threads
            if len(self) > _KEPT_MAX:
                self.clear()
            stems = self._terms(word)
            self[word] = stems
        return stems

    def _terms(self, word: str) -> tuple[str, ...]:
        if not word.isascii() and (unparted := _UNPARTED.findall(word)):
            rest = _UNPARTED.sub(" ", word).split()
            found = [pair for run in unparted for pair in _pairs(unicodedata.normalize("NFKC", run))]
            return (*found, *(stem for part in rest for stem in self._terms(part)))
        return self._identifier(word) if any(map(str.isdigit, word)) else self._stem(word)

    def _stem(self, word: str) -> tuple[str, ...]:
        low = word.casefold()
        if low in self._stop or word.lower() in self._stop:
            return ()
        stem = self._stemmer.stemWord(low) if self._stemmer is not None else low
        if self._fold:
            stem = _folded(stem)
        return (stem[:_LONGEST],)

    def _identifier(self, word: str) -> tuple[str, ...]:
        """ "L231-1" -> l231-1 and 231-1; "2016/679" -> 2016/679, 2016, 679; "GPT-4" -> gpt-4, gpt, 4."""
        low = _folded(word.casefold())[:_LONGEST]
        found = dict.fromkeys([low] if not _PLAIN_WORD.match(low) or _NUMBER.search(low) else [])
        for number in _NUMBER.findall(low):
            found[number] = None
            parts = re.split(r"[./:-]", number)
            if len(parts) > 1:
                found.update(dict.fromkeys(part for part in parts if len(part) >= 3))
        for letters in _PLAIN_WORD.findall(low):
            if len(letters) > 1:
                found.update(dict.fromkeys(self._stem(letters)))
        return tuple(found)


def _pairs(run: str) -> list[str]:
    """The neighbouring pairs of characters; the character itself where it stands alone."""
    return [run[at : at + 2] for at in range(len(run) - 1)] or [run]


_stems: dict[str, _Stems] = {}


def terms(text: str, language: str) -> Counter[str]:
    """How often each stem stands in `text`: casefolded, stemmed where the language has a stemmer, accents folded
    where that is safe, common words dropped, numbers and identifiers kept whole and in parts."""
    stems = _of(language)
    counted: Counter[str] = Counter()
    words = Counter(_words(text if text.isascii() else unicodedata.normalize("NFC", text)))
    for word, times in words.items():
        for stem in stems[word]:
            counted[stem] += times
    return counted


def stems_of(word: str, language: str) -> tuple[str, ...]:
    """The stems of one word, as `terms` counts them."""
    return _of(language)[word]


def folded(text: str) -> str:
    """The text in lower case and without accents."""
    lower = text.casefold()
    if lower.isascii():
        return lower
    return _ACCENT.sub("", unicodedata.normalize("NFKD", lower)).translate(_UNFOLDED)


def is_of_word(character: str) -> bool:
    """Whether words may hold this character: letters, digits, and the signs of scripts that write vowels as such."""
    return character.isalnum() or character in _SIGNS_SET


def folded_words(text: str, language: str = "") -> list[str]:
    """The words of `text`, lower-case and without accents; without the common words of `language`, if one is named."""
    words = _words(folded(text))
    if not language:
        return words
    stop = STOPWORDS.get(language, frozenset())
    return [word for word in words if word not in stop]


def _words(text: str) -> list[str]:
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def _of(language: str) -> "_Stems":
    stems = _stems.get(language)
    return stems if stems is not None else _stems.setdefault(language, _Stems(language))


def _folded(word: str) -> str:
    if word.isascii():
        return word
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))
    return bare.translate(_UNFOLDED)
