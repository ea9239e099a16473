"""Figures of taking documents in: passages a second, CPU by stage, memory, and what the graph of phrases costs.

    python -m benchmarks taking_in [--full]
    python -m benchmarks.taking_in [--passages 1000] [--alone 100] [--documents 10000 [--words]] [--corpus FILE]

Each passage is a document of its own, in an open house with row security, encryption and the audit log. It is taken in
one by one (a few, --alone) and together, by words only and with vectors; the limit is the embedder alone on the same
texts, in the same run and in turns with it. CPU is this process's and PostgreSQL's, all of it divided by the passages:
on a machine with other work the ratios hold, the passages a second do not.

--documents takes in so many short documents and prints the peak of the memory of this process and of PostgreSQL's
processes; --words leaves the vectors away. --full is that with 10,000. --corpus names a corpus.jsonl of {title, text};
without it passages are made of sentences of the examples.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bastide.app import House, open_house
from bastide.knowledge.likeness import sketch
from bastide.knowledge.preparing import prepare
from bastide.knowledge.reading import Limits, sentences
from bastide.knowledge.weaving import EMPTY, MENTION, Batch
from bastide.policy import Label
from bastide.settings import Settings
from bastide.store import Query, Scope, new_id
from benchmarks.peers.measuring import cpu_s

EXAMPLES = Path(__file__).parents[1] / "examples"
OURS = frozenset({"knowledge:read", "knowledge:write", "model:use"})
LABEL = {"class": "public", "personal": "none"}
_MENTIONS = Query(
    "bench", "mentions", "select m.number, m.document, m.chunks, m.sizes, m.phrases from knowledge.mention m"
)

File = tuple[str, bytes]


@dataclass(frozen=True)
class Spent:
    """What some passages cost."""

    wall_s: float
    own_s: float
    database_s: float

    def line(self, count: int) -> str:
        """Figures a passage."""
        own, database = 1000 * self.own_s / count, 1000 * self.database_s / count
        return (
            f"{count / self.wall_s:6.1f}/s wall; CPU a passage {own + database:6.2f} ms "
            f"(this process {own:.2f}, PostgreSQL {database:.2f})"
        )


class Meter:
    """Reads the clocks of this process and of the database's."""

    def __init__(self, home: Path) -> None:
        self._postmaster = int(next(home.rglob("postmaster.pid")).read_text().split()[0])
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._begun = time.perf_counter(), time.process_time(), cpu_s(self._postmaster)

    def spent(self) -> Spent:
        """Since the last restart."""
        now = time.perf_counter(), time.process_time(), cpu_s(self._postmaster)
        return Spent(*(after - before for after, before in zip(now, self._begun, strict=True)))

    def memory_mib(self) -> float:
        """What PostgreSQL's processes hold now, shared pages counted once (Linux)."""
        total = 0
        for place in Path("/proc").iterdir():
            try:
                if not place.name.isdecimal():
                    continue
                parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if self._postmaster in {int(place.name), parent}:
                    for line in (place / "smaps_rollup").read_text().splitlines():
                        total += int(line.split()[1]) if line.startswith("Pss:") else 0
            except OSError:
                continue
        return total / 1024


def passages(corpus: Path | None, count: int) -> list[File]:
    """So many short documents: from a corpus, or of sentences of the examples."""
    if corpus is not None:
        rows = [json.loads(line) for line in corpus.read_text("utf-8").splitlines()]
        texts = [f"{row['title']}\n\n{row['text']}" for row in rows]
    else:
        chance = random.Random(3)
        whole = (EXAMPLES / "gdpr-en.txt").read_text("utf-8")
        pool = [" ".join(whole[start:end].split()) for start, end in sentences(whole, "en")]
        pool = [one for one in pool if 40 < len(one) < 400]
        texts = [
            f"{' '.join(chance.choice(pool).split()[:5])}\n\n{' '.join(chance.sample(pool, 4))}" for _ in range(count)
        ]
    rounds = -(-count // len(texts))
    made = [text if turn == 0 else f"{text} Copy {turn}." for turn in range(rounds) for text in texts]
    return [(f"{number}.txt", text.encode()) for number, text in enumerate(made[:count])]


async def given(files: Sequence[File]) -> AsyncIterator[File]:
    """As they are asked for."""
    for file in files:
        yield file


def scope() -> Scope:
    """A new tenant."""
    return Scope(new_id("ten"), new_id("usr"), None, frozenset(), OURS)


def stages(files: Sequence[File]) -> None:
    """What preparing costs, stage by stage; CPU of this thread."""
    prepare(*files[0], Limits())
    began = time.thread_time()
    prepared = [prepare(name, data, Limits()) for name, data in files]
    read = time.thread_time() - began
    began = time.thread_time()
    for one in prepared:
        sketch([piece.text for piece in one.pieces], bytes(32))
    sketched = time.thread_time() - began
    print(f"prepare (read, cut, words, phrases, names): {1000 * read / len(files):.2f} ms CPU a passage")
    print(f"sketch of likeness: {1000 * sketched / len(files):.2f} ms CPU a passage", flush=True)


async def limit(house: House, meter: Meter, files: Sequence[File]) -> Spent:
    """The embedder alone, as the house opens it: one call with one receipt for 1,024 texts."""
    texts = [data.decode() for _, data in files]
    whose = scope()
    meter.restart()
    for start in range(0, len(texts), 1024):
        await house.inference.embed(whose, texts[start : start + 1024], label=Label.from_wire(LABEL))
    return meter.spent()


async def speed(house: House, meter: Meter, files: Sequence[File], alone: int) -> None:
    """One by one and together, with and without vectors, beside the limit."""
    await house.knowledge.batches.ingest(scope(), given(files[:100]), label=LABEL)
    for vectors in (False, True):
        word = "with vectors" if vectors else "words only  "
        whose = scope()
        meter.restart()
        for name, data in files[:alone]:
            await house.knowledge.ingest(whose, name, data, label=LABEL, vectors=vectors)
        print(f"one by one, {word}: {meter.spent().line(alone)}", flush=True)
        before = await limit(house, meter, files) if vectors else None
        meter.restart()
        taken = await house.knowledge.batches.ingest(scope(), given(files), label=LABEL, vectors=vectors)
        spent = meter.spent()
        assert sum(one.status == "ready" for one in taken.documents) == len(files), "every passage is a document"
        print(f"together, {word}:   {spent.line(len(files))}", flush=True)
        if before is not None:
            after = await limit(house, meter, files)
            least = Spent(*(np.mean([getattr(one, name) for one in (before, after)]) for name in Spent.__annotations__))
            print(f"the embedder alone (before and after): {least.line(len(files))}")
            print(
                f"everything else costs {(spent.own_s + spent.database_s) / (least.own_s + least.database_s) - 1:.2f} "
                f"times what embedding does, in CPU; wall {spent.wall_s / least.wall_s:.2f} times the limit"
            )


async def web(house: House, whose: Scope) -> None:
    """The graph of phrases from its rows, and one document more."""
    async with house.store.under(whose) as db:
        rows = await db.rows(tuple, _MENTIONS)
    own, last = _batch(rows[:-1]), _batch(rows[-1:])
    began = time.thread_time()
    whole = EMPTY.changed(own)
    built = time.thread_time() - began
    began = time.thread_time()
    whole.changed(last)
    more = time.thread_time() - began
    print(
        f"graph of phrases: {len(rows) - 1:,} documents, {len(own.mentions):,} mentions woven in {built:.2f} s CPU "
        f"({built / (len(rows) - 1) * 10_000:.2f} s per 10,000); one document more {1000 * more:.1f} ms"
    )


def _batch(rows: Sequence[tuple[int, int, bytes, bytes, bytes]]) -> Batch:
    return Batch(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([len(row[2]) // 8 for row in rows], np.int64),
        np.frombuffer(b"".join(row[2] for row in rows), "<i8").astype(np.int64),
        np.frombuffer(b"".join(row[3] for row in rows), "<i4").astype(np.int64),
        np.frombuffer(b"".join(row[4] for row in rows), MENTION),
    )


async def memory(house: House, meter: Meter, files: Sequence[File], *, vectors: bool) -> None:
    """Many documents; the peak of memory is sampled, this process's own is the kernel's."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], meter.memory_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    whose = scope()
    meter.restart()
    try:
        taken = await house.knowledge.batches.ingest(whose, given(files), label=LABEL, vectors=vectors)
    finally:
        ended.set()
        watcher.join()
    assert sum(one.status == "ready" for one in taken.documents) == len(files), "every file is a document"
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    word = "with vectors" if vectors else "words only"
    print(f"{len(files):,} documents {word}: {meter.spent().line(len(files))}")
    print(f"peak memory: this process {own:.0f} MiB, PostgreSQL's processes {peak[0]:.0f} MiB", flush=True)
    await web(house, whose)


async def measure(asked: argparse.Namespace) -> None:
    """What was asked for, in a home that is removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="bastide-bench-"))
    try:
        async with open_house(Settings.read(home, environment={}), sequence=True) as house:
            meter = Meter(home)
            if asked.passages:
                files = passages(asked.corpus, asked.passages)
                stages(files[:500])
                await speed(house, meter, files, min(asked.alone, len(files)))
            documents = 10_000 if asked.full and not asked.documents else asked.documents
            if documents:
                await memory(house, meter, passages(asked.corpus, documents), vectors=not asked.words)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--corpus", type=Path)
    for name, number in (("passages", 1_000), ("alone", 100), ("documents", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asyncio.run(measure(parser.parse_args()))
