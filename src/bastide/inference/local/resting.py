"""Embedders that rest: what one is called is told at once, its graph is opened when it is first needed.

A model that was opened before on this home, with the same files by the same runtime, has left a note beside its graph.
With the note a start opens nothing; without it the model is opened then and there, so that a folder that cannot be run
is told at the start and not at the first question.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bastide.inference.local.embedder import Embedder, carried, open_embedder
from bastide.inference.local.graph_cache import seen, write
from bastide.inference.local.model_folder import read_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to say of an embedder without opening it."""

    name: str
    dimensions: int
    max_tokens: int
    runtime: str  # the release of the runtime that has run it

    @classmethod
    def noted(cls, file: Path) -> Known | None:
        """What the note says, unless another release of the runtime would run the model now."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = cls(**json.loads(file.read_text(encoding="utf-8")))
            shaped = isinstance(found.name, str) and found.dimensions > 0 and found.max_tokens > 0
            return found if shaped and found.runtime == _runtime() else None
        return None


class Resting:
    """An embedder as its callers see it. May be used from many threads at once; the first to come opens it."""

    def __init__(self, known: Known, opening: Callable[[], Embedder | None], opened: Embedder | None = None) -> None:
        self.name, self.dimensions, self.max_tokens = known.name, known.dimensions, known.max_tokens
        self._opening = opening
        self._opened = opened
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether its graph is in memory."""
        return self._opened is not None

    def open(self) -> Embedder:
        """The model itself; some tenths of a second the first time. Raises UnsupportedEmbedder."""
        with self._lock:
            if self._opened is None:
                self._opened = self._opening()
            assert self._opened is not None, "what left a note is there"
            return self._opened

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `Embedder.embed`."""
        return self.open().embed(texts)

    def embed_counted(
        self, texts: Sequence[str], *, kind: Literal["passage", "query"]
    ) -> tuple[NDArray[np.float32], list[int]]:
        """As `Embedder.embed_counted`."""
        return self.open().embed_counted(texts, kind=kind)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As `Embedder.count_tokens`."""
        return self.open().count_tokens(texts)

    def close(self) -> None:
        """Close it, if it was opened."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()


def rest(folder: Path | None, cache: Path, *, threads: int = 2) -> Resting | None:
    """The model in `folder`, or the one that an installed package carries; None if there is none.

    Raises UnsupportedEmbedder for a folder that cannot be run.
    """
    place = folder or carried()
    if place is None:
        return None
    opening = partial(open_embedder, folder, cache, threads=threads)
    kind = "carried" if folder is None else "named"
    note = cache / f"{seen(read_folder(place))}-{kind}.json"
    known = Known.noted(note)
    if known is not None:
        return Resting(known, opening)
    opened = opening()
    assert opened is not None, "there is a folder"
    known = Known(opened.name, opened.dimensions, opened.max_tokens, _runtime())
    write(note, json.dumps(asdict(known)).encode())
    return Resting(known, opening, opened)


def _runtime() -> str:
    return version("onnxruntime")
