"""Embedding: texts a second through the embedder, beside onnxruntime alone on the same texts in the same run.

    python -m benchmarks.embedding [--texts 300] [--full] [--json]

"Alone" means: the texts are tokenised beforehand and the very same graph runs on as many threads, with
nothing around it. The two take turns, so that a busy machine slows both. Target: at least 90 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from bastide.inference.local.embedder import Embedder, open_embedder
from bastide.inference.local.graph_cache import graph_bytes
from bastide.inference.local.model_folder import open_tokenizer, read_folder

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


def measure(texts: list[str], embedder: Embedder, bare: Callable[[], None]) -> dict[str, float]:
    """Texts a second of both, the best of rounds that take turns; and by processor time, which neighbours spare."""
    best = {"texts_s": 0.0, "onnxruntime_s": 0.0, "texts_cpu_s": 0.0, "onnxruntime_cpu_s": 0.0}
    for turn in range(ROUNDS):
        for which in (("texts", "onnxruntime"), ("onnxruntime", "texts"))[turn % 2]:
            start, used = time.perf_counter(), time.process_time()
            if which == "texts":
                embedder.embed(texts)
            else:
                bare()
            for name, clock in (("_s", time.perf_counter() - start), ("_cpu_s", time.process_time() - used)):
                best[which + name] = max(best[which + name], len(texts) / clock)
    shares = {"share": best["texts_s"] / best["onnxruntime_s"]}
    return {**best, **shares, "share_cpu": best["texts_cpu_s"] / best["onnxruntime_cpu_s"]}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--texts", type=int, default=300)
    options.add_argument("--threads", type=int, default=2)
    options.add_argument("--full", action="store_true", help="ten times as many texts")
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
            texts = passages(chosen.texts * (10 if chosen.full else 1), words)
            rows = [each.ids for each in tokenizer.encode_batch(texts)]
            tokens = round(sum(map(len, rows)) / len(rows))
            rates = measure(texts, embedder, alone(graph, rows, chosen.threads))
            found.append({"words": words, "tokens": tokens, **rates})
    machine = f"{platform.node()} {platform.machine()}, {chosen.threads} threads"
    if chosen.json:
        print(json.dumps({"machine": machine, "build_s": built, "open_s": opened, "embedding": found}))
        return
    print(f"embedding on {machine}: graph made in {built:.2f} s, opened from the cache in {opened:.2f} s")
    for row in found:
        print(
            f"  {row['tokens']:4} tokens a text: {row['texts_s']:7.1f} texts/s"
            f"   onnxruntime alone {row['onnxruntime_s']:7.1f}   share {row['share']:.1%},"
            f" by processor time {row['share_cpu']:.1%}"
        )


if __name__ == "__main__":
    main()
