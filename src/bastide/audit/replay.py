"""Replay: a log followed from its first leaf, so that whoever changed anything is found.

Pure: it is fed blocks of 256 leaves with the tile that should hold their hashes and the checkpoints that
fall into them, whether they come from the database or from an exported folder. Per block:

    1. each leaf's hash is the one in its tile        3. upper tiles are the hashes of full ones below
    2. each checkpoint's root is the tree's           4. each leaf continues its producer's count and its batch

Where leaf and tile differ, both readings are followed to the next checkpoint: the signature tells
which of the two was changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bastide.audit.canonical import JsonValue
from bastide.audit.leaf import parse_leaves
from bastide.audit.merkle import HASH_BYTES, NotProven, leaf_hashes
from bastide.audit.note import Checkpoint, PublicKey
from bastide.audit.tiles import HEIGHT, WIDTH, Frontier, Tiles

Leaf: TypeAlias = dict[str, JsonValue]

_PROBLEMS_MAX = 50
_CLOCK_MS = 1000  # a clock that steps back less than this is being kept by NTP


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something that does not hold; `index` is the first leaf it touches, -1 where it touches none."""

    index: int
    text: str

    def __str__(self) -> str:
        return f"leaf {self.index}: {self.text}" if self.index >= 0 else self.text


class Replay:
    """One pass over one log. `upper` holds the stored tiles above level 0."""

    def __init__(self, key: PublicKey, upper: Mapping[tuple[int, int], bytes], *, whole_history: bool) -> None:
        self._key = key
        self._log = key.name.removeprefix("bastide/")
        self._upper = upper
        self._whole_history = whole_history  # every checkpoint is at hand, not only the last
        self._own = Frontier()
        self._stored: Frontier | None = None  # the other reading, since leaf and tile differed
        self._suspects: list[int] = []
        self._good = 0  # the last size whose root was the signed one
        self._lost = False  # the tree and the signatures have parted for good
        self._sizes: set[int] = set()
        self._batch = (0, 0)  # base and time of the current batch
        self._base = -1
        self.counts: dict[str, int] = {}
        self.warnings: list[str] = []
        self._found: dict[int, str] = {}
        self._general: list[str] = []

    @property
    def size(self) -> int:
        """Leaves followed so far."""
        return self._own.size

    @property
    def problems(self) -> list[Problem]:
        """What does not hold, the first leaf first."""
        return sorted([Problem(-1, text) for text in self._general] + [Problem(*one) for one in self._found.items()])

    def report(self, index: int, text: str) -> None:
        """Note a problem, one a leaf: the first, which is the nearest to the cause."""
        if index < 0 and len(self._general) < _PROBLEMS_MAX:
            self._general.append(text)
        elif index in self._found or len(self._found) < _PROBLEMS_MAX:
            self._found.setdefault(index, text)

    def _report_changed(self, indices: Sequence[int], text: str) -> None:
        for index in indices[:_PROBLEMS_MAX]:
            self._found[index] = text

    def block(
        self, entries: Sequence[bytes | None], held: bytes, checkpoints: Sequence[tuple[int, str]]
    ) -> list[Leaf | None]:
        """The next up to 256 leaves (None = missing), the hashes stored for them, the checkpoints inside.

        The leaves as they read, None where one cannot be read.
        """
        first = self._own.size
        stored = [held[i : i + HASH_BYTES] for i in range(0, len(entries) * HASH_BYTES, HASH_BYTES)]
        own = leaf_hashes(entry or b"" for entry in entries)
        if stored != own:
            own, stored = self._compare(first, entries, own, stored)
        self._sizes = {size for size in self._sizes if size == first}.union(size for size, _ in checkpoints)
        done = 0
        for size, note in [*checkpoints, (first + len(entries), "")]:
            upto = size - first
            tiles = self._own.extend(own[done:upto])
            other = self._stored.extend(stored[done:upto]) if self._stored else {}
            self._check_upper(tiles, other)
            done = upto
            if note:
                self._settle(size, note)
        leaves = parse_leaves(entries)
        self._follow_all(first, leaves, entries)
        return leaves

    def _compare(
        self, first: int, entries: Sequence[bytes | None], own: list[bytes], stored: list[bytes]
    ) -> tuple[list[bytes], list[bytes]]:
        lacking = next((i for i, one in enumerate(stored) if len(one) != HASH_BYTES), None)
        if lacking is not None:
            self.report(first + lacking, f"tile 0/{first // WIDTH} is missing or too short")
            stored = stored[:lacking] + own[lacking:]
        for i, entry in enumerate(entries):
            if entry is None:
                self.report(first + i, "the leaf is missing")
                own[i] = stored[i]
            elif own[i] != stored[i]:
                self._suspects.append(first + i)
        if self._suspects and self._stored is None:
            self._stored = self._own.copy()
        return own, stored

    def _check_upper(self, tiles: Tiles, other: Tiles) -> None:
        for (level, n), hashes in tiles.items():
            if level and len(hashes) == WIDTH * HASH_BYTES:
                self._compare_upper(level, n, hashes, other.get((level, n), hashes))

    def _compare_upper(self, level: int, n: int, hashes: bytes, other: bytes) -> None:
        held = self._upper.get((level, n), b"")
        if held in {hashes, other} or self._lost:
            return
        at = next(
            (i for i in range(0, len(hashes), HASH_BYTES) if held[i : i + HASH_BYTES] != hashes[i : i + HASH_BYTES]),
            len(hashes),
        )
        index = (n * WIDTH + at // HASH_BYTES) << (HEIGHT * level)
        self.report(
            index, f"tile {level}/{n} is not the hash of the tiles below" if held else f"tile {level}/{n} is missing"
        )

    def _settle(self, size: int, note: str) -> None:
        """Compare the tree with a signed checkpoint."""
        try:
            checkpoint = Checkpoint.open(note, self._key)
        except NotProven as fault:
            self.report(max(size - 1, 0), f"the checkpoint of size {size} does not hold: {fault}")
            return
        if checkpoint.size != size:
            self.report(max(size - 1, 0), f"the checkpoint filed under size {size} says {checkpoint.size}")
            return
        if self._lost:
            return
        own = self._own.root() == checkpoint.root
        # A checkpoint tells of the leaves before it; a difference further on waits for its own.
        judged = [index for index in self._suspects if index < size]
        later = [index for index in self._suspects if index >= size]
        if self._stored is not None and judged:
            if own:
                self._report_changed(judged, "the tile's hash is not this leaf's: the tile was changed")
            elif self._stored.root() == checkpoint.root:
                self._report_changed(judged, "the leaf was changed: its hash is not the one that was signed")
                self._own, own = self._stored, True
            else:
                self._report_changed(judged, "leaf and tile differ, and neither leads to the signed root")
        if own:
            self._good = size
        else:
            self._lost = True
            self.report(self._good, f"from here to leaf {size - 1} something is not what was signed at size {size}")
        self._stored, self._suspects = self._own.copy() if later else None, later

    def _follow_all(self, first: int, leaves: Sequence[Leaf | None], entries: Sequence[bytes | None]) -> None:
        counts, log = self.counts, self._log
        for index, leaf in enumerate(leaves, first):
            if leaf is None:
                if entries[index - first] is not None:
                    self.report(index, "the leaf cannot be read")
                continue
            place = leaf["log"]
            assert isinstance(place, dict)
            producer, n = str(place.get("p")), place.get("n")
            if n == counts.get(producer, 0) + 1 and place.get("base") == self._base and place.get("id") == log:
                counts[producer] = n  # the ordinary case, fast
            else:
                self._follow(index, place, producer, n)

    def _follow(self, index: int, place: Mapping[str, JsonValue], producer: str, n: JsonValue) -> None:
        base, log = place.get("base"), place.get("id")
        if base != self._base:
            self._begin_batch(index, base, place.get("at"))
        if log != self._log:
            self.report(index, f"the leaf is of the log {str(log)[:40]}")
        expected = self.counts.get(producer, 0) + 1
        if n != expected:
            self.report(index, f"its producer counts {n} where {expected} was next: events are missing or moved")
        if isinstance(n, int):
            self.counts[producer] = n

    def _begin_batch(self, index: int, base: object, at: object) -> None:
        if base != index or not isinstance(base, int) or not isinstance(at, int):
            self.report(index, "the leaf claims another batch than the one around it")
            return
        if self._whole_history and base not in self._sizes:
            self.report(index, f"the checkpoint of size {base} is missing")
        if at < self._batch[1] - _CLOCK_MS and len(self.warnings) < _PROBLEMS_MAX:
            back = (self._batch[1] - at) / 1000
            self.warnings.append(f"leaf {index}: the clock was set back by {back:.1f} s")
        self._base, self._batch = base, (base, at)

    def finish(self, size: int) -> None:
        """The end: the right edge of the upper tiles, and whether all was followed."""
        edges = self._own.edges()
        for level in range(1, len(edges)):
            if edges[level]:
                hashes = b"".join(edges[level])
                n = size >> (HEIGHT * (level + 1))
                held = self._upper.get((level, n), b"")[: len(hashes)]
                if held != hashes and not self._lost:
                    self._compare_upper(level, n, hashes, hashes)

    def outcome(self) -> tuple[bool, int | None, tuple[str, ...], tuple[str, ...]]:
        """Valid, the first bad index, problems, warnings."""
        problems = self.problems
        return not problems, min(self._found, default=None), tuple(map(str, problems)), tuple(self.warnings)
