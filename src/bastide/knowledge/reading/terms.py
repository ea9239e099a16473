"""Terms: the stems a text is searched by. The same function serves passages and questions."""

import re
import threading
import unicodedata
from collections import Counter

import Stemmer

from bastide.knowledge.reading.stopwords import STOPWORDS

_ALGORITHMS = {
    "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hu": "hungarian",
    "it": "italian", "lt": "lithuanian", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
_KEEP_ACCENTS = frozenset({"sv", "da", "no", "fi", "is", "et"})
"""Languages whose accented letters are letters of their own: a folded "får" would meet "far"."""

_WORD = re.compile(r"[^\W_]+(?:[./:-]\d+[^\W_]*)*")
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
            stems = self._identifier(word) if any(map(str.isdigit, word)) else self._stem(word)
            self[word] = stems
        return stems

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


_stems: dict[str, _Stems] = {}


def terms(text: str, language: str) -> Counter[str]:
    """How often each stem stands in `text`: casefolded, stemmed where the language has a stemmer, accents folded
    where that is safe, common words dropped, numbers and identifiers kept whole and in parts."""
    stems = _stems.get(language)
    if stems is None:
        stems = _stems.setdefault(language, _Stems(language))
    counted: Counter[str] = Counter()
    words = Counter(_WORD.findall(text if text.isascii() else unicodedata.normalize("NFC", text)))
    for word, times in words.items():
        for stem in stems[word]:
            counted[stem] += times
    return counted


def _folded(word: str) -> str:
    if word.isascii():
        return word
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))
    return bare.translate(_UNFOLDED)
