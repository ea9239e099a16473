"""Looking: what identifies a person in the texts of a call raises its label, as it does over the wires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from bastide.inference.openai_style import encode
from bastide.inference.values import ChatRequest
from bastide.policy import Label, personal_kind
from bastide.store import Scope

RAISED: Final = frozenset({"none", "pseudonymised"})
"""What found data can raise: more than "personal" it cannot say."""


def looked_into(label: Label, texts: Iterable[str]) -> Label:
    """The label of what these texts are part of, joined with what is found in them."""
    if label.personal not in RAISED:
        return label
    kind = personal_kind("\n".join(texts).encode("utf-8", "replace"))
    return label if kind == "none" else label.join(Label(personal=kind))


def label_of(scope: Scope, label: Label, texts: Iterable[str]) -> Label:
    """The label of a call: of its caller, of what is said of its texts, and of what is found in them."""
    return looked_into(Label.of_scope(scope).join(label), texts)


def label_of_chat(scope: Scope, request: ChatRequest, label: Label) -> Label:
    """The same for a chat, whose messages may have labels of their own."""
    parts = [message.label for message in request.messages if message.label is not None]
    return label_of(scope, Label.join_all([label, *parts]), _said(request))


def _said(request: ChatRequest) -> Iterator[str]:
    for message in request.messages:
        yield message.text
        if message.raw:  # the arguments of calls, names
            yield encode(message.raw).decode()
