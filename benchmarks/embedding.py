"""Embedding: texts a second through the embedder, beside onnxruntime alone on the same texts in the same run.

    python benchmarks/embedding.py [--texts 300] [--json]

"Alone" means: the texts are tokenised beforehand and the very same graph runs on as many threads, with
nothing around it. The two take turns, so that a busy machine slows both. Target: at least 90 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from bastide.inference.embedder import Embedder, open_embedder
from bastide.inference.graph_cache import graph_bytes
from bastide.inference.model_folder import open_tokenizer, read_folder

EXAMPLES = Path(__file__).parent.parent / "examples"
ROUNDS = 5


def passages(count: int, words: int) -> list[str]:
    """Real text in several languages, cut into pieces of `words` words."""
    files = sorted(file for file in EXAMPLES.rglob("*") if file.suffix in {".txt", ".md"} and file.name != "README.md")
    pieces: list[list[str]] = []
    for file in files:
        text = re.sub(r"\s+", " ", file.read_text(encoding="utf-8")).split(" ")
        pieces.append([" ".join(text[at : at + words]) for at in range(0, len(text) - words, words)])
    if not pieces:
        sys.exit("There are no texts under examples/ to measure with.")
    share = -(-count // len(pieces))
    chosen = [piece for each in pieces for piece in (each * (share // max(len(each), 1) + 1))[:share]]
    return chosen[:count]


def alone(graph: bytes, rows: Sequence[list[int]], threads: int) -> Callable[[], None]:
    """onnxruntime and the graph, nothing else."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feeds = [{"input_ids": np.array([row], dtype=np.int64)} for row in sorted(rows, key=len, reverse=True)]

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda feed: session.run(None, feed), feeds))

    return run


def measure(texts: list[str], embedder: Embedder, bare: Callable[[], None]) -> tuple[float, float, float]:
    """(texts/s through the embedder, texts/s alone, share): medians over rounds that take turns."""
    ours, theirs = [], []
    for turn in range(ROUNDS):
        for which in ((0, 1), (1, 0))[turn % 2]:
            start = time.perf_counter()
            if which == 0:
                embedder.embed(texts)
            else:
                bare()
            (ours if which == 0 else theirs).append(len(texts) / (time.perf_counter() - start))
    share = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return statistics.median(ours), statistics.median(theirs), share


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--texts", type=int, default=300)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        embedder = open_embedder(None, Path(cache), threads=chosen.threads)
        if embedder is None:
            sys.exit("The package that carries the default model is not installed.")
        built = time.perf_counter() - start
        start = time.perf_counter()
        open_embedder(None, Path(cache), threads=chosen.threads)
        opened = time.perf_counter() - start
        folder = read_folder(embedder.folder)
        graph, tokenizer = graph_bytes(folder, Path(cache)), open_tokenizer(folder.path)
        tokenizer.enable_truncation(embedder.max_tokens)
        for words in (15, 60, 200):
            texts = passages(chosen.texts, words)
            rows = [each.ids for each in tokenizer.encode_batch(texts)]
            ours, theirs, share = measure(texts, embedder, alone(graph, rows, chosen.threads))
            tokens = round(sum(map(len, rows)) / len(rows))
            found.append({"words": words, "tokens": tokens, "texts_s": ours, "onnxruntime_s": theirs, "share": share})
    machine = f"{platform.node()} {platform.machine()}, {chosen.threads} threads"
    if chosen.json:
        print(json.dumps({"machine": machine, "build_s": built, "open_s": opened, "embedding": found}))
        return
    print(f"embedding on {machine}: graph made in {built:.2f} s, opened from the cache in {opened:.2f} s")
    for row in found:
        print(
            f"  {row['tokens']:4} tokens a text: {row['texts_s']:7.1f} texts/s"
            f"   onnxruntime alone {row['onnxruntime_s']:7.1f}   share {row['share']:.1%}"
        )


if __name__ == "__main__":
    main()
