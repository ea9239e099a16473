"""The kinds of servers that are known: what each speaks without a translation, and what is particular about it.

Only what a kind's own documentation says stands here. A wire that a server may have since its newest version is not
listed, because a request can be translated, but a path that is not there cannot be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from bastide.inference.adapters.adapter import Adapter, Batched
from bastide.inference.adapters.offering import of_gemini
from bastide.inference.adapters.shaping import for_gemini, for_mistral, for_openai, pinned_upstream

_CHAT: Final = {"chat": "/chat/completions", "embeddings": "/embeddings"}
_TEXTS: Final = {**_CHAT, "completions": "/completions"}
_ANSWERS: Final = {**_TEXTS, "responses": "/responses"}
_HEARD: Final = {"transcription": "/audio/transcriptions"}
_PICTURES: Final = {"images": "/images/generations", "edits": "/images/edits", "variations": "/images/variations"}
_MEDIA: Final = {**_HEARD, "speech": "/audio/speech", **_PICTURES}
_MIB: Final = 1024 * 1024
_BY_BATCHES: Final = Batched(50_000, 100 * _MIB, (24, 48, 72))
_BY_OPENAI_S_BATCHES: Final = Batched(50_000, 200 * _MIB, (24,), expires=True)
_ANTHROPIC_VERSION: Final = "2023-06-01"
_ROUTED: Final = re.compile(r"~|.*(:(nitro|floor|online|exacto)|@preset/.*|(^|/)auto)$", re.IGNORECASE)


def _anthropic(key: str | None) -> dict[str, str]:
    return {"anthropic-version": _ANTHROPIC_VERSION, **({"x-api-key": key} if key else {})}


def _google(key: str | None) -> dict[str, str]:
    return {"x-goog-api-key": key} if key else {}


def _queried(name: str) -> bool:
    """OVHcloud's virtual models are queries: tag, ranker, condition, as in `code_chat@latest?context_size>100000`."""
    return "@" in name or "?" in name


def _routed(name: str) -> bool:
    """Names that leave the choice to OpenRouter: `openrouter/auto`, `~latest` names, and what its suffixes ask for."""
    return bool(_ROUTED.match(name)) or name.startswith("@preset")


_ALL: Final = (
    Adapter("openai", "OpenAI-style server", {**_TEXTS, **_MEDIA, "rerank": "/rerank"}),
    Adapter("openai-api", "OpenAI", {**_ANSWERS, **_MEDIA}, shape=for_openai),
    Adapter("vllm", "vLLM", {**_ANSWERS, **_HEARD, "rerank": "/rerank"}),
    Adapter("llamacpp", "llama.cpp's server", {**_TEXTS, "rerank": "/rerank"}),
    Adapter("ollama", "Ollama", _TEXTS),
    Adapter("ovhcloud", "OVHcloud AI Endpoints", {**_ANSWERS, **_HEARD}, virtual=_queried),
    Adapter("openai-batch", "OpenAI's batches", _ANSWERS, batches=_BY_OPENAI_S_BATCHES),
    Adapter(
        "ovhcloud-batch",
        "OVHcloud AI Endpoints, batches",
        {**_CHAT, "responses": "/responses"},
        virtual=_queried,
        batches=_BY_BATCHES,
    ),
    Adapter("mistral", "Mistral La Plateforme", _CHAT, shape=for_mistral),
    Adapter("scaleway", "Scaleway Generative APIs", {**_CHAT, "rerank": "/rerank"}),
    Adapter("ionos", "IONOS AI Model Hub", _TEXTS),
    Adapter("stackit", "STACKIT AI Model Serving", _TEXTS),
    Adapter("t-systems", "T-Systems AI Foundation", {**_CHAT, "responses": "/responses"}, root="/v2"),
    Adapter("infomaniak", "Infomaniak AI Services", _CHAT, root="", own_root="/openai"),
    Adapter("nebius", "Nebius Token Factory", _TEXTS, catalogue="/models?verbose=true"),
    Adapter("openrouter", "OpenRouter", _TEXTS, root="/api/v1", pinned=pinned_upstream, virtual=_routed),
    Adapter("anthropic", "Anthropic", {"messages": "/messages"}, headers=_anthropic, catalogue="/models?limit=1000"),
    Adapter(
        "gemini",
        "Google Gemini",
        {"gemini": "/models/{model}:generateContent"},
        headers=_google,
        shape=for_gemini,
        stream_paths={"gemini": "/models/{model}:streamGenerateContent?alt=sse"},
        root="/v1beta",
        catalogue="/models?pageSize=1000",
        offered=of_gemini,
    ),
)

ADAPTERS: Mapping[str, Adapter] = {one.kind: one for one in _ALL}
