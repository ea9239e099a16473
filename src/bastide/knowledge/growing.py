"""Growing: sorted arrays and long columns that take in a little at a cost that goes with that little. Pure.

What comes late is kept apart, sorted, and put among the rest once it is a thirty-second of it: each is then moved some
thirty times in its life, however large the rest has become. Everything here is a value: what it was before stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Places = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Array = TypeVar("Array", bound=NDArray[Any])

LATE_SHARE = 32  # of what is sorted, this part at most may be waiting
_SPARE_SHARE = 8  # of a column, the room behind it


def expand(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """For slices low[i]:high[i], which slice each element is of, and where it stands."""
    lengths = high - low
    whole = int(lengths.sum())
    owner = np.repeat(np.arange(len(low)), lengths)
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return owner, np.arange(whole) - first + np.repeat(low, lengths)


class Spare:
    """The room behind columns. A column is the start of it; what is behind is written by the first who asks."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[NDArray[Any], int]] = {}

    def behind(self, name: str, column: Array, more: NDArray[Any]) -> Array:
        """`column` and behind it `more`: in place where the room there is free, otherwise as a copy with new room."""
        room, used = self._rooms.get(name, (column, -1))
        length = len(column) + len(more)
        if column.base is not room or used != len(column) or length > len(room):
            room = np.empty(length + length // _SPARE_SHARE, column.dtype)
            room[: len(column)] = column
        room[len(column) : length] = more
        self._rooms[name] = room, length
        found: Array = room[:length]  # type: ignore[assignment]  # a view of the same kind
        return found


@dataclass(frozen=True, slots=True)
class Index:
    """Which place a key has. Sorted by key, twice: the most, and those that came late."""

    keys: Ints
    at: Places
    late_keys: Ints
    late_at: Places

    @classmethod
    def empty(cls) -> Index:
        """Of nothing."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int32))

    def of(self, wanted: Ints) -> Ints:
        """The place of each key, the last that it was given; -1 for one that is not here."""
        found = _found(self.keys, self.at, wanted)
        if len(self.late_keys):
            late = _found(self.late_keys, self.late_at, wanted)
            found = np.where(late < 0, found, late)
        return found

    def and_these(self, keys: Ints, at: Places) -> Index:
        """These keys, too."""
        order = np.argsort(keys, kind="stable")
        slot = np.searchsorted(self.late_keys, keys[order], "right")
        late_keys = np.insert(self.late_keys, slot, keys[order])
        late_at = np.insert(self.late_at, slot, at[order])
        if LATE_SHARE * len(late_keys) <= len(self.keys):
            return Index(self.keys, self.at, late_keys, late_at)
        slot = np.searchsorted(self.keys, late_keys, "right")
        nothing = Index.empty()
        return Index(np.insert(self.keys, slot, late_keys), np.insert(self.at, slot, late_at), nothing.keys, nothing.at)


@dataclass(frozen=True, slots=True)
class Holders:
    """Who mentions which phrase: those of phrase n stand at first[n]:first[n + 1], and, of those that came late, where
    `late_phrases` says n."""

    first: Ints
    holders: Places
    kinds: Bytes
    times: Bytes
    late_phrases: Places
    late_holders: Places
    late_kinds: Bytes
    late_times: Bytes

    @classmethod
    def empty(cls) -> Holders:
        """Of nothing."""
        places, octets = np.zeros(0, np.int32), np.zeros(0, np.uint8)
        return cls(np.zeros(1, np.int64), places, octets, octets, places, places, octets, octets)

    def of(self, phrases: Ints) -> tuple[Ints, Places, Bytes, Bytes]:
        """Of each of these phrases, by its place among them: who mentions it, how, how often."""
        last = len(self.first) - 1  # a phrase that is newer than `first` is mentioned late only
        phrase, at = expand(self.first[np.minimum(phrases, last)], self.first[np.minimum(phrases + 1, last)])
        if not len(self.late_phrases):
            return phrase, self.holders[at], self.kinds[at], self.times[at]
        low, high = (np.searchsorted(self.late_phrases, phrases, side) for side in ("left", "right"))
        late, behind = expand(low, high)
        return (
            np.concatenate([phrase, late]),
            np.concatenate([self.holders[at], self.late_holders[behind]]),
            np.concatenate([self.kinds[at], self.late_kinds[behind]]),
            np.concatenate([self.times[at], self.late_times[behind]]),
        )

    def and_these(self, phrases: Places, holders: Places, kinds: Bytes, times: Bytes, many: int) -> Holders:
        """These mentions, too, behind those of the same phrase; there are `many` phrases now."""
        order = np.argsort(phrases, kind="stable")
        slot = np.searchsorted(self.late_phrases, phrases[order], "right")
        late = Holders(
            self.first,
            self.holders,
            self.kinds,
            self.times,
            np.insert(self.late_phrases, slot, phrases[order]),
            np.insert(self.late_holders, slot, holders[order]),
            np.insert(self.late_kinds, slot, kinds[order]),
            np.insert(self.late_times, slot, times[order]),
        )
        return late if LATE_SHARE * len(late.late_phrases) <= len(self.holders) else late._together(many)

    def _together(self, many: int) -> Holders:
        lengths = np.zeros(many, np.int64)
        lengths[: len(self.first) - 1] = np.diff(self.first)
        slot = self.first[np.minimum(self.late_phrases + 1, len(self.first) - 1)]
        lengths += np.bincount(self.late_phrases, minlength=many)
        nothing = Holders.empty()
        return Holders(
            np.concatenate([[0], np.cumsum(lengths)]),
            np.insert(self.holders, slot, self.late_holders),
            np.insert(self.kinds, slot, self.late_kinds),
            np.insert(self.times, slot, self.late_times),
            nothing.late_phrases,
            nothing.late_holders,
            nothing.late_kinds,
            nothing.late_times,
        )


def _found(keys: Ints, at: Places, wanted: Ints) -> Ints:
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    place = np.maximum(np.searchsorted(keys, wanted, "right") - 1, 0)
    return np.where(keys[place] == wanted, at[place], -1).astype(np.int64)
