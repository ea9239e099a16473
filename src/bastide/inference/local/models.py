"""Models in this process: embeddings and extractive answers, each in a lane of its own, never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bastide.errors import NoEmbedder
from bastide.inference.local.cross_encoder import CrossEncoder, open_cross_encoder
from bastide.inference.local.embedder import Embedder
from bastide.inference.local.extractive import Extract, extract
from bastide.inference.local.resting import Resting, rest
from bastide.inference.values import EXTRACTIVE, Model
from bastide.settings import InferenceSettings
from bastide.telemetry import log

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["passage", "query"]
RECORD = "local/onnx"
_TURN = 256  # texts that one caller embeds before the next one has a turn


class LocalModels:
    """The built-in models. Documents queue in one lane; questions have another and never wait behind them."""

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._embedder: Resting | None = None
        self._beside: dict[str, Resting] = {}
        self._reranker: CrossEncoder | None = None
        self._bulk = ThreadPoolExecutor(1, thread_name_prefix="bastide-bulk")
        self._quick = ThreadPoolExecutor(max(1, settings.threads), thread_name_prefix="bastide-quick")

    async def start(self) -> None:
        """Look at the embedding models and open the re-ranker, where they are there.

        Raises UnsupportedEmbedder or UnsupportedReranker for a folder that cannot be run.
        """
        self._embedder = await self._find(self._settings.embedder_folder)
        for folder in self._settings.embedder_folders_beside:
            found = await self._find(folder)
            if found is not None:
                self._beside[found.name] = found
        reranker = partial(open_cross_encoder, self._settings.reranker_folder, threads=self._settings.threads)
        self._reranker = await asyncio.get_running_loop().run_in_executor(self._bulk, reranker)

    async def _find(self, folder: Path | None) -> Resting | None:
        cache = self._settings.home / "cache" / "embedder"
        finding = partial(rest, folder, cache, threads=self._settings.threads)
        return await asyncio.get_running_loop().run_in_executor(self._bulk, finding)

    def open_ahead(self) -> None:
        """Open the embedding model in the background: who asks first shall not wait for it."""
        if self._embedder is not None:
            self._quick.submit(self._embedder.open).add_done_callback(_told)

    async def stop(self) -> None:
        """Let what runs finish, drop what waits."""
        for lane in (self._quick, self._bulk):
            await asyncio.to_thread(lane.shutdown, wait=True, cancel_futures=True)
        for one in (self._embedder, *self._beside.values(), self._reranker):
            if one:
                one.close()

    @property
    def has_embedder(self) -> bool:
        """Whether texts can be embedded here."""
        return self._embedder is not None

    @property
    def embedder_name(self) -> str | None:
        """What the embedding model is called, if there is one."""
        return self._embedder.name if self._embedder else None

    @property
    def tokens_max(self) -> int:
        """How many tokens of a text the embedding model reads; 0 without one."""
        return self._embedder.max_tokens if self._embedder else 0

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has for the embedding model, end marks included. Raises NoEmbedder."""
        if self._embedder is None:
            raise NoEmbedder
        return self._embedder.count_tokens(texts)

    def models(self) -> list[Model]:
        """The built-in models, as every tenant sees them."""
        found = [
            Model(EXTRACTIVE, "extractive", ("chat",), RECORD, upstream="extractive", rank=1000, built_in=True),
        ]
        opened = [(10, self._embedder)] if self._embedder else []
        opened += [(20, one) for name, one in self._beside.items() if name != self.embedder_name]
        if self._reranker:
            name = self._reranker.name
            upstream = name.removeprefix("local/")
            found.append(Model(name, "onnx", ("rerank",), RECORD, upstream=upstream, rank=10, built_in=True))
        return [_model(one, rank) for rank, one in opened] + found

    async def rerank(self, query: str, texts: Sequence[str]) -> tuple[list[float], int]:
        """How well each text answers, in [0, 1], and how many tokens were read."""
        assert self._reranker is not None, "a model is chosen among those that are here"
        return await asyncio.get_running_loop().run_in_executor(self._quick, self._reranker.scores, query, texts)

    async def embed(
        self, texts: Sequence[str], kind: Kind, model: str | None = None
    ) -> tuple[NDArray[np.float32], int]:
        """Vectors `(n, d) float32`, L2-normalised, and how many tokens were read; by the first model, or that named.

        Raises NoEmbedder.
        """
        embedder = self._embedder if model in {None, self.embedder_name} else self._beside.get(str(model))
        if embedder is None:
            raise NoEmbedder
        loop = asyncio.get_running_loop()
        lane = self._quick if len(texts) == 1 else self._bulk
        found: list[NDArray[np.float32]] = []
        tokens = 0
        for start in range(0, max(1, len(texts)), _TURN):
            turn = texts[start : start + _TURN]
            vectors, counted = await loop.run_in_executor(lane, _embed, embedder, turn, kind)
            found.append(vectors)
            tokens += counted
        if len(found) == 1:
            return found[0], tokens
        import numpy as np

        return np.concatenate(found), tokens

    async def extract(self, question: str, passages: Sequence[str], language: str | None) -> list[Extract]:
        """The sentences of the passages that best answer, best first."""
        embed = self._embedder.embed if self._embedder else None
        work = partial(extract, question, passages, language=language, embed=embed)
        return await asyncio.get_running_loop().run_in_executor(self._quick, work)


def _told(opening: Future[Embedder]) -> None:
    fault = None if opening.cancelled() else opening.exception()
    if fault is not None:
        log.warning("the embedding model was not opened ahead: %s", fault)


def _model(embedder: Resting, rank: int) -> Model:
    return Model(
        embedder.name,
        "onnx",
        ("embeddings",),
        RECORD,
        upstream=embedder.name.removeprefix("local/"),
        rank=rank,
        built_in=True,
        dimensions=embedder.dimensions,
    )


def _embed(embedder: Resting, texts: Sequence[str], kind: Kind) -> tuple[NDArray[np.float32], int]:
    vectors, counted = embedder.embed_counted(texts, kind=kind)
    return vectors, sum(counted)
