"""The text layer of a page: whether what the file says of itself can be taken for what the page shows."""

import re
from difflib import SequenceMatcher

from bastide.knowledge.reading.languages import common_words
from bastide.knowledge.reading.ocr.values import PageText

_CHARACTERS_MIN = 32
_LETTERS_MIN = 0.60
_FRAGMENTS_MAX = 0.35
_UNKNOWN_MAX = 0.02
_WORDS_TO_JUDGE = 40
_EVERY = 10
_AGREEMENT_MIN = 0.90
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"\w+")


def trustworthy(text: str, full_page_image: bool = False) -> str | None:
    """Why the text layer of a page is not to be relied on; None where it is.

    At least 32 characters that are no blanks, 60 % of them letters, at most 35 % of the words of one letter. Where a
    picture fills the page, the layer is somebody else's text recognition: it must also hold common words of some
    language, and of every tenth page (`sampled`) the caller reads the picture and asks `agreement`.
    """
    characters = [letter for letter in text if not letter.isspace()]
    if len(characters) < _CHARACTERS_MIN:
        return f"the text layer has {len(characters)} characters, fewer than {_CHARACTERS_MIN}"
    unknown = sum(letter == "\ufffd" or "\ue000" <= letter <= "\uf8ff" for letter in characters) / len(characters)
    if unknown > _UNKNOWN_MAX:
        return f"{unknown:.0%} of the text layer are characters that mean nothing outside its font"
    letters = sum(map(str.isalpha, characters)) / len(characters)
    if letters < _LETTERS_MIN:
        return f"only {letters:.0%} of the text layer are letters"
    words = _WORD.findall(text)
    fragments = sum(len(word) == 1 for word in words) / max(1, len(words))
    if fragments > _FRAGMENTS_MAX:
        return f"{fragments:.0%} of the words of the text layer are single letters"
    if full_page_image and len(words) >= _WORDS_TO_JUDGE and max(common_words(text).values()) < 2:
        return "the text layer under the picture holds no common words of any language"
    return None


def sampled(page: int) -> bool:
    """Whether this page of a scan with a text layer is read again to compare: the first, and every tenth from there."""
    return page % _EVERY == 1


def agreement(text: str, page: PageText) -> str | None:
    """Why the text layer of a page is somebody's bad text recognition; None where it says what the picture shows.

    Nothing is said where the picture could not be read well: then there is nothing to compare with.
    """
    if page.read.band != "accepted" or page.read.tier == "none":
        return None
    theirs, ours = (_TOKEN.findall(words.casefold()) for words in (text, page.text))
    if len(ours) < 5:
        return None
    same = sum(block.size for block in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks())
    share = 2 * same / (len(theirs) + len(ours))
    if share >= _AGREEMENT_MIN:
        return None
    return f"the text layer and the picture agree in {share:.0%} of their words"
