"""A folder with good files and hostile ones: each bad one is told with its reason, and nothing is half indexed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bastide.store import Query, Scope
from tests.rooms.knowledge.conftest import LEASE, MENU, Rooms
from tests.rooms.knowledge.reading.made import Line, bare_docx, pdf
from tests.rooms.knowledge.reading.office import zip_of

GOOD = {
    "lease.md": LEASE,
    "menu.md": MENU,
    "ferry.pdf": pdf([[Line("The ferry to the island leaves at nine.")]]),
    "wide.txt": "Der Mietvertrag endet am 30. Juni.".encode("utf-16-le"),
}
BAD = {
    "bomb.zip": (zip_of({"zeros.txt": bytes(30_000_000)}), "knowledge.bomb", "30,000,000 bytes"),
    "cut.pdf": (b"%PDF-1.7\nthis is cut off", "knowledge.unreadable_file", "cut off"),
    "deep.docx": (bare_docx("<w:sdt>" * 999 + "</w:sdt>" * 999), "knowledge.too_large", "nested too deeply"),
    "empty.txt": (b" \n", "knowledge.empty_file", "empty"),
    "laughs.xml": (b'<!DOCTYPE x [<!ENTITY a "ha">]><x>&a;</x>', "knowledge.unreadable_file", "declares entities"),
    "locked.pdf": (pdf([[Line("secret")]], password="hunter2"), "knowledge.encrypted_file", "password"),
    "noise.txt": (b"Some words\0\0\0\0\0" * 99, "knowledge.unsupported_type", "control characters"),
    "wide.csv": (b",".join([b"x"] * 30_000), "knowledge.too_large", "30,000 cells"),
}
# Every table that holds what is derived from a document, by the column that names the document.
DERIVED = Query(
    "test",
    "derived",
    "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace "
    "join pg_attribute a on a.attrelid = c.oid "
    "where n.nspname = 'knowledge' and a.attname = 'document' and c.relkind in ('r', 'p') and not c.relispartition "
    "and a.atttypid = 'bigint'::regtype order by 1",
)


async def _files() -> AsyncIterator[tuple[str, bytes]]:
    for name, data in sorted({**GOOD, **{name: bad[0] for name, bad in BAD.items()}}.items()):
        yield name, data


@pytest.mark.parametrize("many", [True, False], ids=["together", "one-by-one"])
async def test_the_bad_are_told_the_good_are_found_and_no_row_is_left_of_the_bad(
    rooms: Rooms, ours: Scope, many: bool
) -> None:
    if many:
        taken = (await rooms.knowledge.batches.ingest(ours, _files())).documents
    else:
        taken = tuple([(await rooms.knowledge.ingest(ours, *file)).documents[0] async for file in _files()])
    assert {one.name for one in taken if one.status == "ready"} == set(GOOD)
    refused = {one.name: one.error for one in taken if one.status == "refused"}
    assert refused.keys() == BAD.keys()
    for name, error in refused.items():
        _, code, reason = BAD[name]
        assert error is not None
        assert error["code"] == code, name
        assert reason in str(error["message"]), name
        assert error["next"], name
    found = await rooms.knowledge.search(ours, "When does the ferry to the island leave?")
    assert "leaves at nine" in found.passages[0].text
    async with rooms.store.under(ours) as db:
        documents = {number for (number,) in await db.rows(tuple, _sql("select number from knowledge.document"))}
        tables = [name for (name,) in await db.rows(tuple, DERIVED)]
        assert len(documents) == len(GOOD)
        assert {"document_version", "node", "chunk", "posting"} <= set(tables)
        for table in tables:
            held = {one for (one,) in await db.rows(tuple, _sql(f"select distinct document from knowledge.{table}"))}
            assert held <= documents, table
        blobs = await db.value(_sql("select count(*) from store.blob"))
        assert blobs == len(GOOD), "no original of a refused file is kept"
        codes = sorted(code for (code,) in await db.rows(tuple, _sql("select code from knowledge.refusal")))
    assert codes == sorted(code for _, code, _ in BAD.values())


def _sql(text: str) -> Query:
    return Query("test", "rows", text)
