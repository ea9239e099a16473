"""Lists: columns of many rows on their way to the database, put together at once.

The driver asks every single element how it is written. A statement that writes a batch of documents has some ten
thousand elements, which took longer to write down than the statement to parse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import psycopg
from psycopg.types.array import ListDumper

_Written: TypeAlias = Callable[[list[Any]], str]


class PlainLists(ListDumper):
    """Writes lists of whole numbers, numbers, texts, bytes and truth values, nulls among them; all else as before."""

    def dump(self, obj: list[Any]) -> bytes | bytearray | memoryview | None:
        kinds = set(map(type, obj))
        nulls = type(None) in kinds
        kinds.discard(type(None))
        written = _WRITTEN.get(kinds.pop()) if len(kinds) == 1 else None
        if written is None or (nulls and written is not _numbers):
            return super().dump(obj)
        try:
            return f"{{{written(obj)}}}".encode(self._tx.encoding)
        except ValueError:  # what the database does not take: the driver says so in its own words
            return super().dump(obj)


def _numbers(found: list[Any]) -> str:
    return (
        ",".join(["NULL" if one is None else str(one) for one in found]) if None in found else ",".join(map(str, found))
    )


def _fractions(found: list[Any]) -> str:
    return ",".join(map(repr, found))  # 'nan' and 'inf' are read as such


def _texts(found: list[Any]) -> str:
    whole = '","'.join(found)
    if "\0" in whole:
        raise ValueError
    if "\\" in whole or whole.count('"') != 2 * (len(found) - 1):
        whole = '","'.join([one.replace("\\", "\\\\").replace('"', '\\"') for one in found])
    return f'"{whole}"'


def _bytes(found: list[Any]) -> str:
    return ",".join([f'"\\\\x{one.hex()}"' for one in found])


def _truths(found: list[Any]) -> str:
    return ",".join(["t" if one else "f" for one in found])


_WRITTEN: Mapping[type, _Written] = {int: _numbers, float: _fractions, str: _texts, bytes: _bytes, bool: _truths}


async def write_plainly(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let a connection write lists so."""
    connection.adapters.register_dumper(list, PlainLists)
