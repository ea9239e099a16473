"""The kinds of servers that are known."""

from __future__ import annotations

from collections.abc import Mapping

from bastide.inference.adapters.adapter import Adapter

_OPENAI_STYLE = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}

ADAPTERS: Mapping[str, Adapter] = {one.kind: one for one in (Adapter("openai", "OpenAI-style server", _OPENAI_STYLE),)}
