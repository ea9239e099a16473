"""The proof file: index, inclusion proof and checkpoint in one text that is checked offline.

The form is C2SP tlog-proof v1. Its optional `extra` line is read and ignored: it is not authenticated.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from bastide.audit.merkle import HASH_BYTES, NotProven, leaf_hash, root_from_inclusion
from bastide.audit.note import Checkpoint, PublicKey, from_base64

_HEAD = "c2sp.org/tlog-proof@v1"
_HASHES_MAX = 64


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry stands at `index` of the tree which `checkpoint` (a signed note) describes."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def __str__(self) -> str:
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.hashes)
        return f"{_HEAD}\nindex {self.index}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def parse(cls, text: str) -> Proof:
        """The proof in `text`. Raises NotProven when it has another form."""
        head, gap, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        if not gap or lines[0] != _HEAD or len(lines) < 2:
            raise NotProven("this is not a tlog-proof")
        if lines[1].startswith("extra "):
            from_base64(lines[1].removeprefix("extra "))
            del lines[1]
        name, _, index = (lines[1] if len(lines) > 1 else "").partition(" ")
        good = index.isascii() and index.isdecimal() and len(index) <= 19 and (index[0] != "0" or index == "0")
        if name != "index" or not good:
            raise NotProven("the proof's index is not a number")
        hashes = tuple(from_base64(line) for line in lines[2:])
        if len(hashes) > _HASHES_MAX or any(len(one) != HASH_BYTES for one in hashes):
            raise NotProven("the proof's lines are not SHA-256 hashes")
        return cls(int(index), hashes, checkpoint)

    def check(self, entry: bytes, key: PublicKey) -> Checkpoint:
        """Prove that `entry` is in the log of `key`; the checkpoint that says so.

        Raises NotProven.
        """
        checkpoint = Checkpoint.open(self.checkpoint, key)
        if root_from_inclusion(leaf_hash(entry), self.index, checkpoint.size, self.hashes) != checkpoint.root:
            raise NotProven("the proof does not lead from this leaf to the checkpoint's root")
        return checkpoint
