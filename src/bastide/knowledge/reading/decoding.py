"""Decoding: bytes to clean text, and what had to be guessed or removed on the way."""

import re
import unicodedata

from bastide.errors import FileTooLarge, UnsupportedType
from bastide.knowledge.reading.values import Limits

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_INVISIBLE = re.compile(r"[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]")
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_TAGS = re.compile("[\U000e0000-\U000e007f]")
_DIRTY = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\x85\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f\ufb00-\ufb06]"
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f\x7f]")  # what plain text has none of
_BINARY_SHARE = 0.02
_LETTERED = 0.95


def decode(data: bytes, problems: list[str], declared: str = "") -> str:
    """The text of `data`: by its byte order mark, else UTF-8, else what it declares, else windows-1252.

    Raises UnsupportedType when it is no text in any of them.
    """
    text = _decode(data, problems, declared)
    return clean(text, problems, binary_refused=True)


def _decode(data: bytes, problems: list[str], declared: str) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            text = data.decode(encoding, "replace").removeprefix("\ufeff")
            if "\ufffd" in text:
                problems.append(f"some bytes are not valid {encoding.upper()} and were replaced")
            return text
    guess = _wide(data)
    if guess:
        problems.append(f"no byte order mark; read as {guess.upper()}")
        return data.decode(guess, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if declared and declared.lower().replace("_", "-") not in {"utf-8", "utf8", "utf-16", "utf-7"}:
        try:
            text = data.decode(declared)
        except (LookupError, ValueError):
            pass
        else:
            if isinstance(text, str):
                return text
    # A long UTF-8 text with a few broken bytes is still UTF-8; anything else is the old Western code page.
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") * 20 < sum(byte >= 0xC2 for byte in data[:200_000]):
        problems.append("some bytes are not valid UTF-8 and were replaced")
        return text
    problems.append("not UTF-8; read as windows-1252, so letters with accents may be wrong")
    return data.decode("cp1252", "replace")


def _wide(data: bytes) -> str:
    """UTF-16 without a mark. In an alphabet every other byte is the same low one (zero for Latin, 4 for Cyrillic, 6 for
    Arabic); in Chinese, Japanese and Korean the first bytes of the letters differ less than the second ones.
    """
    head = data[: min(len(data), 4096) // 2 * 2]
    if len(head) < 8 or (_CONTROL.search(head) is None and _is_utf8(head)):
        return ""
    halves = {"utf-16-le": (head[1::2], head[0::2]), "utf-16-be": (head[0::2], head[1::2])}
    for order, (first, second) in halves.items():
        if _low(first) > max(0.7, _low(second)) and _lettered(head, order):
            return order
    latin = sum(0x20 <= byte < 0x7F for byte in head)
    if latin > 0.7 * len(head) or _low(head) < 0.02 or _is_utf8(head):
        return ""
    for order, (first, second) in halves.items():
        if len(set(first)) < 0.75 * len(set(second)) and _lettered(head, order):
            return order
    return ""


def _low(part: bytes) -> float:
    """The share of bytes that stand for no letter of their own."""
    return sum(byte < 0x20 for byte in part) / len(part)


def _lettered(head: bytes, encoding: str) -> bool:
    """Whether in an encoding nearly all of it is letters, figures and what stands between them."""
    text = head.decode(encoding, "replace")
    known = sum(letter in "\t\n\r" or unicodedata.category(letter)[0] in "LMNPZS" for letter in text)
    return known - text.count("\ufffd") >= _LETTERED * len(text)


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.end >= len(head)  # cut off within a letter
    return True


def hold(text: str, limits: Limits) -> str:
    """`text`, if it is within the limit, before anything is built of it."""
    if len(text) > limits.text_max:
        raise FileTooLarge(f"The file holds {len(text):,} characters of text; the limit is {limits.text_max:,}.")
    return text


def clean(text: str, problems: list[str], *, binary_refused: bool = False) -> str:
    """`text` without what cannot be shown or stored: NUL, controls, lone surrogates, invisible marks.

    Line ends become "\\n", letters with loose accents one character, ligatures their letters. What is removed is
    told in `problems`; Unicode tags too, which can hide orders to a language model from the eye of its reader.
    """
    text = unicodedata.normalize("NFC", text)
    if _DIRTY.search(text) is None:
        return text
    text = _LIGATURE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = _LINE_ENDS.sub("\n", text)
    text, controls = _CONTROLS.subn("", text)
    if binary_refused and controls > 16 and controls > _BINARY_SHARE * (len(text) + controls):
        raise UnsupportedType("This is not text: it is full of control characters.")
    text, tags = _TAGS.subn("", text)
    text = _INVISIBLE.sub("", text)
    if controls:
        _told_once(problems, controls, "control characters (such as NUL) were removed")
    if tags:
        _told_once(problems, tags, "invisible tag characters were removed; they can carry hidden instructions")
    return text


def _told_once(problems: list[str], count: int, what: str) -> None:
    """The same, found in many pieces of a file, is told as one sum."""
    for at, said in enumerate(problems):
        before, _, rest = said.partition(" ")
        if rest == what:
            problems[at] = f"{int(before) + count} {what}"
            return
    problems.append(f"{count} {what}")
