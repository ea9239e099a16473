"""A transaction that is open: questions by name, blobs and sealed values of one tenant."""

from __future__ import annotations

import asyncio
import select
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, TypeVar, cast

import psycopg
import zstandard
from psycopg.rows import class_row, dict_row, tuple_row
from psycopg.types.json import Jsonb

from bastide.errors import AlreadyThere, BlobDamaged, Contended, DatabaseDiskFull, NotFound
from bastide.store import blobs
from bastide.store.keys import TenantKeys
from bastide.store.questions import Query, queries
from bastide.store.values import Scope

Json = Jsonb
Row = TypeVar("Row")

_Q = queries("bastide.store")
_USE_BLOBS, _ADD_BLOB_PIECES, _BLOB_PIECES = _Q["use_blobs"], _Q["add_blob_pieces"], _Q["blob_pieces"]
_RELEASE_BLOB, _DROP_BLOB = _Q["release_blob"], _Q["drop_blob"]
_COUNT_PIECES, _PIECES_FROM = _Q["count_blob_pieces"], _Q["blob_pieces_from"]

_PIECE_BYTES = 1024 * 1024
_PIECES_AT_ONCE = 8
_PIECES_BYTES = _PIECES_AT_ONCE * _PIECE_BYTES  # in one statement


def _factory(shape: type[Row]) -> Any:
    if shape is dict:
        return dict_row
    return tuple_row if shape is tuple else class_row(shape)


@contextmanager
def _in_our_words(query: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as fault:
        raise AlreadyThere(query=query) from fault
    except psycopg.errors.NoDataFound as fault:  # a function of ours says so
        raise NotFound from fault
    except psycopg.errors.DiskFull as fault:
        raise DatabaseDiskFull from fault
    except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure) as fault:
        raise Contended from fault


def is_silent(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether the server has said nothing since it was last asked: what it says then is mostly that it is gone."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


class Db:
    """One open transaction. Made by the store; never kept beyond its `async with`."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], scope: Scope | None, keys: TenantKeys, *, begin: str = ""
    ) -> None:
        """`begin` is what is still to be sent before anything else."""
        self._connection = connection
        self._keys = keys
        self._begin = begin
        self._last: list[str] = []
        self.scope = scope

    async def begun(self) -> psycopg.AsyncConnection[Any]:
        """The connection, once its transaction has begun; for the store and this class."""
        if self._begin:
            begin, self._begin = self._begin, ""
            await self._connection.execute(begin)
        return self._connection

    async def _run(self, cursor: psycopg.AsyncCursor[Any], query: Query, values: Mapping[str, Any]) -> None:
        await self.begun()
        with _in_our_words(f"{query.room}.{query.name}"):
            await cursor.execute(query.sql, values)

    async def at_commit(self, query: Query, **values: Any) -> None:
        """Execute in the same round trip as the commit: for a row that nothing else in this transaction reads.

        If it fails, nothing of the transaction is written and the error leaves the `async with`.
        """
        # The values become literals here, by libpq's own quoting: one message can hold several statements only so.
        self._last.append(psycopg.AsyncClientCursor(self._connection).mogrify(query.sql, values))

    async def commit(self) -> None:
        """End the transaction; the store calls this."""
        if self._begin and not self._last:
            return  # nothing was asked
        begin = [self._begin] if self._begin else []
        with _in_our_words("at commit"):
            await self._connection.execute("; ".join([*begin, *self._last, "commit"]))

    async def alone(self, begin: str, shape: type[Row], query: Query, values: Mapping[str, Any]) -> list[Row]:
        """The whole transaction in one message: `begin`, this one statement, commit. The store calls this."""
        said = psycopg.AsyncClientCursor(self._connection).mogrify(query.sql, values)
        async with self._connection.cursor(row_factory=_factory(shape)) as cursor:
            with _in_our_words(f"{query.room}.{query.name}"):
                await cursor.execute(f"{begin}; {said}\n; commit")  # a comment at its end ends with the line
            for _ in range(begin.count("; ") + 1):
                cursor.nextset()  # what the beginning said
            return [] if cursor.description is None else cast("list[Row]", await cursor.fetchall())

    async def rows(self, shape: type[Row], query: Query, **values: Any) -> list[Row]:
        """All rows, each as a `shape`: a frozen dataclass, `dict` or `tuple`."""
        async with self._connection.cursor(row_factory=_factory(shape)) as cursor:
            await self._run(cursor, query, values)
            return cast("list[Row]", await cursor.fetchall())

    async def packed(self, query: Query, **values: Any) -> list[tuple[Any, ...]]:
        """All rows as tuples, sent in binary form: for columns of many bytes, which would be written out as twice as
        many digits."""
        async with self._connection.cursor(binary=True) as cursor:
            await self._run(cursor, query, values)
            return await cursor.fetchall()

    async def row(self, shape: type[Row], query: Query, **values: Any) -> Row | None:
        """The first row, or None."""
        async with self._connection.cursor(row_factory=_factory(shape)) as cursor:
            await self._run(cursor, query, values)
            return cast("Row | None", await cursor.fetchone())

    async def value(self, query: Query, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.row(tuple, query, **values)
        return row[0] if row else None

    async def only(self, query: Query, **values: Any) -> Any:
        """As `value`, for a statement that is all of this transaction: sent without its beginning and its end, in one
        round trip. It may rest on nothing that a beginning says, neither a tenant nor a search path."""
        async with self._connection.cursor(row_factory=tuple_row) as cursor:
            with _in_our_words(f"{query.room}.{query.name}"):
                await cursor.execute(query.sql, values)
            row = await cursor.fetchone()
        return row[0] if row else None

    async def run(self, query: Query, **values: Any) -> int:
        """Execute; how many rows it touched."""
        async with self._connection.cursor() as cursor:
            await self._run(cursor, query, values)
            return cursor.rowcount

    async def many(self, query: Query, values: Iterable[Mapping[str, Any]]) -> None:
        """Execute once for each of `values`, in one pipeline."""
        async with (await self.begun()).cursor() as cursor:
            await cursor.executemany(query.sql, list(values))

    async def stream(self, shape: type[Row], query: Query, *, page: int = 10_000, **values: Any) -> AsyncIterator[Row]:
        """The rows one by one, by a cursor on the server; memory holds at most `page` of them."""
        async with (await self.begun()).cursor(name="stream", row_factory=_factory(shape)) as cursor:
            cursor.itersize = page
            await cursor.execute(query.sql, values)
            async for row in cursor:
                yield cast(Row, row)

    async def copy_in(self, query: Query, rows: Iterable[Sequence[Any]], *, types: Sequence[str]) -> None:
        """COPY in binary form; for tables without row security only (PostgreSQL refuses it on others)."""
        async with (await self.begun()).cursor() as cursor, cursor.copy(query.sql) as copy:
            copy.set_types(list(types))
            for row in rows:
                await copy.write_row(row)

    # -- sealed values ------------------------------------------------------------------------------

    async def seal(self, plaintext: bytes, *, about: str) -> bytes:
        """Encrypt under the tenant's key; only the same tenant and the same `about` open it again."""
        return self._keys.seal(plaintext, about)

    async def unseal(self, sealed: bytes, *, about: str) -> bytes:
        """Decrypt what `seal` gave. Raises BlobDamaged."""
        return self._keys.unseal(bytes(sealed), about)

    async def keyed(self, content: bytes, *, purpose: str) -> bytes:
        """HMAC-SHA256 under the tenant's key: 32 bytes that mean nothing to anybody else."""
        return self._keys.keyed(content, purpose)

    # -- blobs --------------------------------------------------------------------------------------

    async def put_blob(self, content: bytes) -> str:
        """Keep bytes; the reference is their keyed address, equal bytes of a tenant are kept once."""
        return (await self.put_blobs([content]))[0]

    async def put_blobs(self, contents: Sequence[bytes]) -> list[str]:
        """The same for several at once; the references in their order."""
        addresses = [self._keys.keyed(content, "blob address") for content in contents]
        content_of = dict(zip(addresses, contents, strict=True))
        uses = Counter(addresses)
        wanted = sorted(content_of)  # in order, so that nobody deadlocks
        held: list[tuple[bytes, int]] = await self.rows(
            tuple,
            _USE_BLOBS,
            addresses=wanted,
            bytes=[len(content_of[address]) for address in wanted],
            uses=[uses[address] for address in wanted],
        )
        rows: list[tuple[bytes, int, bytes]] = []
        fresh = [bytes(address) for address, count in held if count == uses[bytes(address)]]  # nobody held it before
        for row in (row for address in fresh for row in self._pieces(address, content_of[address])):
            rows.append(row)
            if sum(len(sealed) for _, _, sealed in rows) >= _PIECES_BYTES:
                await self._add_pieces(rows)
                rows = []
        await self._add_pieces(rows)
        return [address.hex() for address in addresses]

    def _pieces(self, address: bytes, content: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        packed = zstandard.ZstdCompressor(level=6).compress(content)
        starts = range(0, len(packed), _PIECE_BYTES)
        for ord_, start in enumerate(starts):
            about = f"{address.hex()}|{ord_}|{len(starts)}"
            yield address, ord_, self._keys.seal_piece(packed[start : start + _PIECE_BYTES], about)

    async def _add_pieces(self, rows: Sequence[tuple[bytes, int, bytes]]) -> None:
        if rows:
            addresses, ords, pieces = (list(column) for column in zip(*rows, strict=True))
            await self.run(_ADD_BLOB_PIECES, addresses=addresses, ords=ords, pieces=pieces)

    async def get_blob(self, reference: str) -> bytes:
        """The bytes, verified. Raises NotFound, or BlobDamaged when they are not what was put."""
        address = bytes.fromhex(reference)
        pieces = await self.rows(tuple, _BLOB_PIECES, address=address)
        if not pieces:
            raise NotFound("There are no such bytes here.")
        packed = b"".join(
            self._keys.unseal_piece(bytes(sealed), f"{address.hex()}|{ord_}|{len(pieces)}") for ord_, sealed in pieces
        )
        try:
            content = zstandard.ZstdDecompressor().decompress(packed)
        except zstandard.ZstdError as fault:
            raise BlobDamaged from fault
        if self._keys.keyed(content, "blob address") != address:
            raise BlobDamaged
        return content

    async def put_file(self, file: IO[bytes]) -> str:
        """Keep the bytes of a file, from its beginning, as `put_blob` does; they need not fit into memory."""
        size, address = await asyncio.to_thread(blobs.measured, file, self._keys)
        held = await self.row(tuple, _USE_BLOBS, addresses=[address], bytes=[size], uses=[1])
        if held is not None and held[1] == 1:  # nobody held it before
            with tempfile.TemporaryFile() as packed:
                count = await asyncio.to_thread(blobs.pack, file, size, packed, _PIECE_BYTES)
                for first in range(0, count, _PIECES_AT_ONCE):
                    ords = range(first, min(first + _PIECES_AT_ONCE, count))
                    pieces = [packed.read(_PIECE_BYTES) for _ in ords]
                    await self._add_pieces(await asyncio.to_thread(self._sealed, address, ords, pieces, count))
        return address.hex()

    def _sealed(
        self, address: bytes, ords: Sequence[int], pieces: Sequence[bytes], count: int
    ) -> list[tuple[bytes, int, bytes]]:
        return [
            (address, ord_, self._keys.seal_piece(piece, f"{address.hex()}|{ord_}|{count}"))
            for ord_, piece in zip(ords, pieces, strict=True)
        ]

    async def get_into(self, reference: str, file: IO[bytes]) -> None:
        """Write the bytes to a file. Verified at the end: where it raises as `get_blob` does, nothing there is good."""
        address = bytes.fromhex(reference)
        count = await self.value(_COUNT_PIECES, address=address)
        if not count:
            raise NotFound("There are no such bytes here.")
        unpacking = blobs.Unpacking(file, self._keys, address)
        for first in range(0, count, _PIECES_AT_ONCE):
            pieces = await self.rows(tuple, _PIECES_FROM, address=address, first=first, limit=_PIECES_AT_ONCE)
            await asyncio.to_thread(unpacking.add, pieces, count)
        unpacking.verify()

    async def drop_blob(self, reference: str) -> None:
        """Give the bytes up; they are deleted when nobody holds them any more."""
        address = bytes.fromhex(reference)
        if (await self.value(_RELEASE_BLOB, address=address) or 0) <= 0:
            await self.run(_DROP_BLOB, address=address)
