"""Vision: a picture for a model that sees, as a chat of one turn, and what it reads.

The adapter knows nothing of it: a picture is a part of a message (a data URL, as the OpenAI wire has it).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from bastide.inference.values import ChatReply, ChatRequest, Message

SPECIALITIES = ("tables", "handwriting", "scripts", "second")
"""What a model may know better than the general one; `second` gives another opinion on what the first one read."""
VISION = ("vision", *(f"vision.{speciality}" for speciality in SPECIALITIES))
"""The capabilities of models that see, as a model is added with."""
_TOKENS_MAX = 8_192  # a dense page has some 2,000


@dataclass(frozen=True, slots=True)
class PictureReading:
    """What a model read in a picture. `whole` is false where it was cut off by a limit of its server."""

    text: str
    model: str
    receipt: str
    whole: bool = True


def capability_of(speciality: str) -> str:
    """The capability that a model for it has; "" is the general one."""
    return f"vision.{speciality}" if speciality else "vision"


def picture_request(png: bytes, task: str) -> ChatRequest:
    """The chat that shows a picture."""
    url = f"data:image/png;base64,{b64encode(png).decode('ascii')}"
    parts = [{"type": "text", "text": task}, {"type": "image_url", "image_url": {"url": url}}]
    return ChatRequest((Message("user", parts),), max_tokens=_TOKENS_MAX, steady=True)


def reading_of(reply: ChatReply) -> PictureReading:
    """What the answer says."""
    return PictureReading(reply.text, reply.model, reply.receipt, reply.finish != "length")
