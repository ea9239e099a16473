"""Chat without a generative model: the question and the texts in a chat, and an honest reply in its wire form."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bastide.inference.values import EXTRACTIVE, ChatPiece, ChatReply, Message, Usage

NOTHING_FITS = (
    "No generative model is available here, and no sentence of the given text answers this. "
    "Add a model, or give a text that holds the answer."
)
_PARAGRAPHS = re.compile(r"\n\s*\n")


def question_and_passages(messages: Sequence[Message]) -> tuple[str, list[str]]:
    """What is asked, and the texts in which the answer may stand.

    The question is the last user message: its last paragraph with a question mark, else its last paragraph;
    its other paragraphs and every earlier message are passages.
    """
    asked = next((place for place in reversed(range(len(messages))) if messages[place].role == "user"), None)
    if asked is None:
        return "", [message.text for message in messages if message.text.strip()]
    paragraphs = [part.strip() for part in _PARAGRAPHS.split(messages[asked].text) if part.strip()]
    marked = [place for place, part in enumerate(paragraphs) if part.endswith("?")]
    place = (marked or [len(paragraphs) - 1])[-1]
    question = paragraphs[place] if paragraphs else ""
    earlier = [message.text for message in messages[:asked] if message.text.strip()]
    return question, earlier + paragraphs[:place] + paragraphs[place + 1 :]


def reply_text(sentences: Sequence[str]) -> str:
    """The answer: the sentences as they stand, or the plain statement that nothing fits."""
    text = " ".join(sentence.strip() for sentence in sentences) or NOTHING_FITS
    return text.encode("utf-8", "replace").decode("utf-8")  # half a character in the question stays out of the reply


def completion(text: str, usage: Usage, receipt: str) -> dict[str, Any]:
    """The whole reply as the OpenAI wire has it."""
    return {
        **_head("chat.completion", receipt),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": usage.input,
            "completion_tokens": usage.output,
            "total_tokens": usage.input + usage.output,
        },
    }


def chunk(text: str, receipt: str, *, finish: str | None = None) -> dict[str, Any]:
    """A piece of the reply as the OpenAI wire streams it."""
    delta = {} if finish else {"role": "assistant", "content": text}
    return {
        **_head("chat.completion.chunk", receipt),
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def as_stream(reply: ChatReply) -> list[ChatPiece]:
    """The reply as a stream would tell it: all of it, then its end."""
    piece = ChatPiece(reply.text, reply.model, reply.receipt, chunk(reply.text, reply.receipt), mode=reply.mode)
    return [piece, replace(piece, text="", raw=chunk("", reply.receipt, finish="stop"), finish="stop")]


def _head(kind: str, receipt: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{receipt}",
        "object": kind,
        "created": int(time.time()),
        "model": EXTRACTIVE,
        "bastide": {"mode": "extractive"},
    }
