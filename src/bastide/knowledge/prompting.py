"""Prompting: what a model reads when it writes an answer, and how its own thinking is kept out of what it says."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from bastide.inference import Message
from bastide.knowledge.told import Turn
from bastide.knowledge.values import Passage

NOT_FOUND = {
    "en": "Your documents do not answer this.",
    "de": "Ihre Dokumente beantworten das nicht.",
    "fr": "Vos documents n'y répondent pas.",
    "nl": "Uw documenten beantwoorden dit niet.",
    "es": "Sus documentos no responden a esto.",
    "it": "I suoi documenti non rispondono a questo.",
    "pl": "Państwa dokumenty na to nie odpowiadają.",
    "pt": "Os seus documentos não respondem a isto.",
    "ro": "Documentele dumneavoastră nu răspund la aceasta.",
    "el": "Τα έγγραφά σας δεν απαντούν σε αυτό.",
}

_LANGUAGES = """bg Bulgarian cs Czech da Danish de German el Greek en English es Spanish et Estonian fi Finnish
fr French ga Irish hr Croatian hu Hungarian it Italian lt Lithuanian lv Latvian mt Maltese nl Dutch pl Polish
pt Portuguese ro Romanian sk Slovak sl Slovenian sv Swedish"""
_WORDS = _LANGUAGES.split()
LANGUAGE_NAMES = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
"""ISO 639-1 code -> the language's name, as a prompt calls it."""

_TURNS_SHOWN = 6
_OPEN, _CLOSE = re.compile(r"<think(?:ing)?>", re.IGNORECASE), re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_TAG_MAX = len("</thinking>")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file: its version and its text."""

    name: str
    version: int
    text: str


def load_prompt(name: str) -> Prompt:
    """The prompt `name` that ships with this room."""
    head, _, text = files("bastide.knowledge").joinpath("prompts", f"{name}.md").read_text("utf-8").partition("---\n")
    return Prompt(name, int(head.partition("version:")[2]), text.strip())


ANSWER = load_prompt("answer")


def messages(
    question: str, passages: Sequence[Passage], language: str, history: Sequence[Turn] = ()
) -> tuple[Message, ...]:
    """What the model reads. The fence is a fresh random mark, so that no passage can write its own end."""
    fence = f"passages-{secrets.token_hex(8)}"
    system = ANSWER.text.format(
        fence=fence,
        not_found=NOT_FOUND.get(language, NOT_FOUND["en"]),
        language=LANGUAGE_NAMES.get(language, "the language of the question"),
    )
    parts = [f"[{n}] {' > '.join([p.title, *p.section])}\n{p.text}" for n, p in enumerate(passages, start=1)]
    said = [
        message
        for turn in history[-_TURNS_SHOWN:]
        for message in (Message("user", turn.question), Message("assistant", turn.answer))
    ]
    shown = "\n\n".join(parts)
    return (
        Message("system", system),
        *said,
        Message("user", f"<{fence}>\n{shown}\n</{fence}>\n\nQuestion: {question}"),
    )


def says_nothing(text: str) -> bool:
    """Whether a model said, in its own way of writing it, that the documents do not answer."""
    return any(_bare(text) == _bare(said) for said in NOT_FOUND.values())


def _bare(text: str) -> str:
    return re.sub(r"\[\d+\]|[\s.\"'’]", "", text).casefold()


class Spoken:
    """What a model says, without what it thinks between <think> and </think>, also where a tag comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._thinks = False

    def add(self, piece: str) -> str:
        """The part that may be shown now; what could yet become a tag is held back."""
        self._held += piece
        shown: list[str] = []
        while True:
            found = (_CLOSE if self._thinks else _OPEN).search(self._held)
            if found is None:
                break
            if not self._thinks:
                shown.append(self._held[: found.start()])
            self._held = self._held[found.end() :]
            self._thinks = not self._thinks
        at = self._held.rfind("<")
        keep = len(self._held) - at if at >= 0 and len(self._held) - at < _TAG_MAX else 0
        if not self._thinks:
            shown.append(self._held[: len(self._held) - keep])
        self._held = self._held[len(self._held) - keep :]
        return "".join(shown)

    def rest(self) -> str:
        """What was held back and never became a tag."""
        rest, self._held = "" if self._thinks else self._held, ""
        return rest
