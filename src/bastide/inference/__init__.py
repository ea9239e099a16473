"""Inference: any call to any model, local or remote.

A model is called by the name that a tenant gave it. Each call is decided by `policy` before a byte
moves, leaves through `egress` if it leaves at all, and is recorded in `audit` whatever came of it.
Nothing here keeps a question or an answer. What is done as jobs has a face of its own, `inference.jobs`.
"""

from bastide.inference.accounts import Used
from bastide.inference.gateway import Gateway, Running, betas_named, refusal
from bastide.inference.inference import Inference
from bastide.inference.media import MediaAnswer, Sent
from bastide.inference.routing import ModelRoute
from bastide.inference.runtimes import Runtime, choose_runtime, watched_runtime
from bastide.inference.values import (
    EXTRACTIVE,
    ChatPiece,
    ChatReply,
    ChatRequest,
    Embedded,
    ExtractiveReply,
    Message,
    Model,
    ModelSpec,
    Reranked,
    Usage,
)
from bastide.inference.vision import PictureReading

__all__ = [
    "EXTRACTIVE",
    "ChatPiece",
    "ChatReply",
    "ChatRequest",
    "Embedded",
    "ExtractiveReply",
    "Gateway",
    "Inference",
    "MediaAnswer",
    "Message",
    "Model",
    "ModelRoute",
    "ModelSpec",
    "PictureReading",
    "Reranked",
    "Running",
    "Runtime",
    "Sent",
    "Usage",
    "Used",
    "betas_named",
    "choose_runtime",
    "refusal",
    "watched_runtime",
]
