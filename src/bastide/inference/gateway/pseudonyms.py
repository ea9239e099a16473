"""Pseudonyms for one call: what identifies a person is sent as `[EMAIL-1]`, and the answer is turned back.

The form is one that models repeat as it is and no encoder of JSON or Markdown changes: letters, a hyphen and digits in
square brackets, so that it says what it stands for, and where it ends. A made-up address or number that looks real
would pass more checks of tools, but a model completes and corrects such values, and one day it would be somebody's.

The same value has the same pseudonym within a call, and no pseudonym is one that the request already writes. What
stands for what is known here only, in memory, for as long as the call lives. What is not found is sent as it is:
names above all. So the bytes that are sent are pseudonymised at best, and are looked at again to decide on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from bastide.errors import BadChat
from bastide.inference.gateway.asking import Asking, encode
from bastide.inference.gateway.targets import Group, Target
from bastide.policy import Decision, Label, find_personal

_PSEUDONYM: Final = re.compile(r"\[([A-Za-z]{2,24}-[0-9]{1,6})\]")
_IN_BYTES: Final = re.compile(rb"\[([A-Za-z]{2,24}-[0-9]{1,6})\]")
_LEFT: Final = frozenset({"model", "data", "file_data", "b64_json"})  # fields whose text is no words of anybody
_DEPTH_MAX: Final = 64
_HIDDEN: Final = Label(personal="pseudonymised")
FOUND: Final = Label(personal="personal")
"""What the request itself must at least say, once something in it was hidden."""


class Pseudonyms:
    """What stands for what in one call."""

    __slots__ = ("_counts", "_names", "_taken", "_values", "kinds")

    def __init__(self, written: str = "") -> None:
        """`written` is what the request writes: pseudonyms that stand in it already are not given."""
        self._taken = {name.upper() for name in _PSEUDONYM.findall(written)}
        self._names: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self.kinds: set[str] = set()

    def __bool__(self) -> bool:
        """Whether anything was replaced."""
        return bool(self._values)

    def hide(self, text: str) -> str:
        """The text with a pseudonym for whatever identifies a person in it."""
        parts: list[str] = []
        at = 0
        for one in find_personal(text):
            if one.personal:
                parts += [text[at : one.start], self._name(one.kind, one.normal, text[one.start : one.end])]
                at = one.end
        return "".join([*parts, text[at:]]) if parts else text

    def hide_all(self, value: Any, depth: int = 0) -> Any:
        """Every text in a body, but for pictures and the name of the model. Raises BadChat for one without a floor."""
        if depth > _DEPTH_MAX:
            raise BadChat("The body is nested too deeply.")
        if type(value) is str:
            return value if value.startswith("data:") else self.hide(value)
        if type(value) is list:
            return [self.hide_all(one, depth + 1) for one in value]
        if type(value) is dict:
            return {
                name: one if name in _LEFT and type(one) is str else self.hide_all(one, depth + 1)
                for name, one in value.items()
            }
        return value

    def turn_back(self, text: str) -> str:
        """The text with the values themselves again."""
        return _PSEUDONYM.sub(lambda found: self._values.get(found[1].upper(), found[0]), text)

    def turn_back_bytes(self, data: bytes) -> bytes:
        """The same in encoded JSON, at any depth: no value holds a sign that JSON would escape."""
        return _IN_BYTES.sub(
            lambda found: self._values.get(found[1].decode().upper(), found[0].decode()).encode(), data
        )

    def ready(self, text: str) -> tuple[str, str]:
        """What of a text that goes on may be told already, turned back; and the end that may begin a pseudonym."""
        at = text.rfind("[")
        if at >= 0:
            begun = text[at + 1 :].upper()
            if any(name.startswith(begun) for name in self._values):  # with its closing bracket it would not be one
                return self.turn_back(text[:at]), text[at:]
        return self.turn_back(text), ""

    def _name(self, kind: str, normal: str, said: str) -> str:
        self.kinds.add(kind)
        name = self._names.get((kind, normal))
        if name is None:
            word = kind.upper().replace("_", "")
            number = self._counts.get(word, 0) + 1
            while f"{word}-{number}" in self._taken:
                number += 1
            self._counts[word] = number
            name = self._names[(kind, normal)] = f"{word}-{number}"
            self._values[name] = said
        return f"[{name}]"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A request as targets get it that take pseudonyms only: its body, the label of that, what stands for what."""

    body: dict[str, Any]
    label: Label
    pseudonyms: Pseudonyms

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of what was replaced, for the receipt."""
        return tuple(sorted(self.pseudonyms.kinds))

    def wanted_by(self, target: Target) -> bool:
        """Whether this target gets it, and not the request itself."""
        return target.model.pseudonymise

    def asked(self, asking: Asking) -> Asking:
        """The request with this body."""
        return replace(asking, body=self.body)

    def verdicts(self, group: Group, plain: tuple[Decision, ...], hidden: tuple[Decision, ...]) -> tuple[Decision, ...]:
        """What was decided of each target for the bytes that it would get."""
        return tuple(
            [
                other if self.wanted_by(target) else one
                for target, one, other in zip(group.targets, plain, hidden, strict=True)
            ]
        )


def hidden(label_of: Callable[[bytes], Label], asking: Asking, data: bytes, group: Group) -> Hidden | None:
    """The request with pseudonyms, where a target of the group wants it and there is anything to hide; `label_of` gives
    the label of a body."""
    if not group.pseudonymises:
        return None
    pseudonyms = Pseudonyms(data.decode("utf-8", "replace"))
    body = pseudonyms.hide_all(asking.body)
    if not pseudonyms:
        return None
    return Hidden(body, label_of(encode(body)).join(_HIDDEN), pseudonyms)
