"""Addresses as clients say them who have been to other gateways, and what is said of those that are not here.

Other gateways answer without `/v1`, too, and a client that adds it by itself is often given an address that has it
already, or ends with a stroke. All mean the same address here. What is not offered by design says what stands for it.
"""

from __future__ import annotations

from typing import Final

_WIRES: Final = frozenset(
    {
        "audio",
        "batches",
        "chat",
        "completions",
        "embeddings",
        "files",
        "images",
        "messages",
        "models",
        "rerank",
        "responses",
    }
)
_KEPT_NOWHERE: Final = "No answer is kept here: send the earlier turns again, with `store` false."
_DOCUMENTS: Final = "Documents are taken in at /api/v1/documents and asked at /api/v1/answer."
_ADMINISTRATION: Final = (
    "This gateway is run by `bastide` and /api/v1; docs/how-to/from-litellm.md says what stands for what."
)
_INSTEAD: Final = (
    ("/v1/responses/", _KEPT_NOWHERE),
    ("/v1/conversations", _KEPT_NOWHERE),
    (
        "/v1/messages/batches",
        "Hand in a file at /v1/files and make a batch of it at /v1/batches, endpoint /v1/messages.",
    ),
    ("/v1/chat/completions/", _KEPT_NOWHERE),
    ("/v1/assistants", _DOCUMENTS),
    ("/v1/threads", _DOCUMENTS),
    ("/v1/vector_stores", _DOCUMENTS),
    ("/v1/uploads", "/v1/files takes a file in one piece, up to 100 MiB."),
    ("/v1/moderations", "Ask a model that judges content as a chat; what identifies a person is found in every call."),
    ("/v1/audio/translations", "Transcribe at /v1/audio/transcriptions, and have the text translated by a chat."),
    ("/v1/images/", "Pictures are made at /v1/images/generations, and of others at /v1/images/edits."),
    ("/v1/fine_tuning", "Models are served here, not trained."),
    ("/v1/realtime", "Ask for a stream at /v1/chat/completions or /v1/responses."),
    ("/openai/", "Use the client for OpenAI itself: its address ends in /v1, and the model is named in the body."),
    ("/key/", _ADMINISTRATION),
    ("/user/", _ADMINISTRATION),
    ("/team/", _ADMINISTRATION),
    ("/model/", _ADMINISTRATION),
    ("/spend/", _ADMINISTRATION),
    ("/global/", _ADMINISTRATION),
)


def address(path: str) -> str:
    """The address that is meant by a path."""
    if path.startswith("/v1/"):  # given twice, or with a stroke at its end
        path = path.removeprefix("/v1") if path.startswith("/v1/v1/") else path
        return path.rstrip("/")
    first = path[1:].partition("/")[0]
    return f"/v1{path.rstrip('/')}" if first in _WIRES else path


def instead(path: str) -> str | None:
    """What to do instead of asking at an address that is not here; None where nothing is known of it."""
    return next((said for beginning, said in _INSTEAD if path.startswith(beginning)), None)
