"""A cross-encoder on this machine, by onnxruntime: query and text are read together, and one number says how well the
text answers.

Its folder is one that the usual tools export: config.json, tokenizer.json or vocab.txt, and onnx/model.onnx (or
model.onnx), which gives one logit a pair. Only files in the folder are read; nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bastide.errors import UnsupportedEmbedder, UnsupportedReranker
from bastide.inference.local.embedder import open_session
from bastide.inference.local.model_folder import open_tokenizer

_TOKENS_USUAL = 512
_CHARACTERS_PER_TOKEN_MAX = 128
_GRAPHS = ("onnx/model.onnx", "model.onnx")


class CrossEncoder:
    """One cross-encoder, open. May be used from many threads at once."""

    def __init__(self, name: str, folder: Path, graph: Path, *, threads: int = 2) -> None:
        self.name = name
        self.max_tokens = _tokens_max(folder)
        try:
            self._session = open_session(graph)
            self._whole, self._tokenizer = open_tokenizer(folder), open_tokenizer(folder)
        except UnsupportedEmbedder as fault:
            raise UnsupportedReranker(fault.message) from fault
        self._tokenizer.enable_truncation(self.max_tokens, strategy="only_second")
        self._inputs = frozenset(each.name for each in self._session.get_inputs())
        self._output = self._session.get_outputs()[0].name
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bastide-rerank")
        self._score(*self._pair("a", "a"))  # a graph that gives something else is refused now, not at a search

    def scores(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """How well each text answers, in [0, 1], in their order, and how many tokens were read."""
        pairs = [self._pair(query, text) for text in texts]
        found = list(self._pool.map(lambda pair: self._score(*pair), pairs))
        return found, sum(len(ids) for ids, _ in pairs)

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _pair(self, query: str, text: str) -> tuple[list[int], list[int]]:
        most = self.max_tokens * _CHARACTERS_PER_TOKEN_MAX
        # A query that fills the model would leave no room for the text, and the tokenizer only cuts the second.
        short, room = _clean(query[:most]), self.max_tokens // 2
        asked = self._whole.encode(short, add_special_tokens=False)
        if len(asked.ids) > room:
            short = short[: asked.offsets[room][0]]
        both = self._tokenizer.encode(short, _clean(text[:most]))
        return both.ids, both.type_ids

    def _score(self, ids: list[int], kinds: list[int]) -> float:
        import numpy as np

        row = np.array([ids], dtype=np.int64)
        given = {
            "input_ids": row,
            "attention_mask": np.ones_like(row),
            "token_type_ids": np.array([kinds], dtype=np.int64),
        }
        try:
            found = self._session.run([self._output], {name: given[name] for name in given if name in self._inputs})
        except Exception as fault:  # the runtime raises its own kinds, none of them public
            raise UnsupportedReranker(f"The re-ranker's graph cannot be run: {fault}.") from fault
        logit = np.asarray(found[0], dtype=np.float64).reshape(-1)
        if logit.shape != (1,) or not np.isfinite(logit[0]):
            raise UnsupportedReranker(f"The re-ranker's graph gives {logit.size} numbers a pair; one is needed.")
        return float(1.0 / (1.0 + np.exp(-np.clip(logit[0], -60.0, 60.0))))


def open_cross_encoder(folder: Path | None, *, threads: int = 2) -> CrossEncoder | None:
    """The model in `folder`; None without one. Raises UnsupportedReranker for a folder that cannot be run."""
    if folder is None:
        return None
    graph = next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)
    if graph is None:
        raise UnsupportedReranker(f"{folder} holds neither {' nor '.join(_GRAPHS)}.")
    # Two folders of one name are two models, so the name says which graph it means.
    with graph.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    plain = re.sub(r"[^a-z0-9.]+", "-", folder.resolve().name.lower()).strip("-.") or "reranker"
    return CrossEncoder(f"local/{plain}-{digest[:8]}", folder, graph, threads=threads)


def _tokens_max(folder: Path) -> int:
    found = [_number(folder / "tokenizer_config.json", "model_max_length")]
    found.append(_number(folder / "config.json", "max_position_embeddings"))
    return max(8, min([_TOKENS_USUAL, *(one for one in found if one is not None)]))


def _number(file: Path, name: str) -> int | None:
    try:
        value: Any = json.loads(file.read_text(encoding="utf-8"))[name] if file.is_file() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _clean(text: str) -> str:
    """Half a surrogate pair, which is no character, becomes a mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
