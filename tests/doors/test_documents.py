"""Documents through HTTP: in, found, shown in three layers, relabelled, deleted; and what cannot be read."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import httpx2
import pytest

from tests.doors.conftest import Company, bearer

LEASE = b"# Lease of the town hall\n\n## Term\n\nThe lease of the town hall ends on 30 June 2031.\n"


async def _put(web: httpx2.AsyncClient, key: str, name: str, data: bytes, **fields: object) -> httpx2.Response:
    return await web.post("/api/v1/documents", files={"file": (name, data)}, data=fields, headers=bearer(key))


async def test_a_document_from_its_arrival_to_its_end(web: httpx2.AsyncClient, us: Company) -> None:
    key, dpo = us.keys["member"], us.keys["dpo"]
    reply = await _put(web, key, "lease.md", LEASE, collection="contracts", subjects=["ada", "bob"])
    assert reply.status_code == 201, reply.text
    taken = reply.json()["documents"][0]
    assert (taken["status"], taken["error"]) == ("ready", None)
    again = await _put(web, key, "lease.md", LEASE, collection="contracts")
    assert again.status_code == 200
    assert again.json()["unchanged"] == 1

    place = f"/api/v1/documents/{taken['id']}"
    shown = (await web.get(place, headers=bearer(key))).json()
    assert shown["collection"] == "contracts"
    assert shown["label"]["subjects"] == ["ada", "bob"]
    original = await web.get(f"{place}/original", headers=bearer(key))
    assert original.content == LEASE
    assert "lease.md" in original.headers["content-disposition"]
    chunks = (await web.get(f"{place}/chunks", headers=bearer(key))).json()["chunks"]
    assert any("30 June 2031" in chunk["text"] for chunk in chunks)
    nodes = (await web.get(f"{place}/structure", headers=bearer(key))).json()["nodes"]
    assert {node["kind"] for node in nodes} >= {"document", "section", "paragraph"}
    assert len((await web.get(f"{place}/versions", headers=bearer(key))).json()["versions"]) == 1
    assert (await web.post(f"{place}:reindex", headers=bearer(key))).json()["documents"][0]["status"] == "ready"

    found = (await web.post("/api/v1/search", json={"query": "town hall lease"}, headers=bearer(key))).json()
    assert found["passages"][0]["document_id"] == taken["id"]
    tighter = await web.patch(place, json={"label": {"class": "confidential"}}, headers=bearer(key))
    assert tighter.json()["label"]["class"] == "confidential"
    looser = await web.patch(place, json={"label": {"class": "public"}}, headers=bearer(key))
    assert (looser.status_code, looser.json()["error"]["code"]) == (403, "knowledge.loosening_refused")

    assert (await web.delete(place, headers=bearer(key))).status_code == 403
    assert (await web.delete(f"{place}?reason=expired", headers=bearer(dpo))).json() == {
        "id": taken["id"],
        "removed": True,
    }
    assert (await web.get(place, headers=bearer(key))).status_code == 404
    found = (await web.post("/api/v1/search", json={"query": "town hall lease"}, headers=bearer(key))).json()
    assert all(passage["document_id"] != taken["id"] for passage in found["passages"])


async def test_text_as_json_and_a_new_version(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    first = await web.post("/api/v1/documents", json={"name": "note.md", "text": "The gate is blue."}, headers=headers)
    assert first.status_code == 201, first.text
    second = await web.post(
        "/api/v1/documents",
        json={"name": "note.md", "text": "The gate is green.", "label": {"class": "restricted"}},
        headers=headers,
    )
    taken = second.json()["documents"][0]
    assert (taken["id"], taken["version"]) == (first.json()["documents"][0]["id"], 2)
    old = await web.get(f"/api/v1/documents/{taken['id']}/original?version=1", headers=headers)
    assert old.content == b"The gate is blue."


async def test_one_bad_file_does_not_stop_the_others(web: httpx2.AsyncClient, us: Company) -> None:
    files = [("file", ("good.txt", b"Saffron is sold by the gram.")), ("file", ("bad.pdf", b"%PDF-1.7\ntruncated"))]
    reply = await web.post("/api/v1/documents", files=files, headers=bearer(us.keys["member"]))
    assert reply.status_code == 201, reply.text
    statuses = [(one["name"], one["status"]) for one in reply.json()["documents"]]
    assert statuses == [("good.txt", "ready"), ("bad.pdf", "refused")]
    assert reply.json()["documents"][1]["error"]["next"]


def _bomb() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 50_000_000)
        archive.writestr("[Content_Types].xml", "<Types/>")
    return packed.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.txt", b""),
        ("blank.txt", b"  \n \t\n"),
        ("wrong.docx", b"PK\x03\x04 no archive"),
        ("bomb.docx", _bomb()),
        ("picture.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 64),
        ("program.exe", b"MZ" + bytes(range(256)) * 8),
    ],
    ids=lambda one: one if isinstance(one, str) else "",  # an archive holds the time: no two workers would agree
)
async def test_files_that_cannot_be_read(web: httpx2.AsyncClient, us: Company, name: str, data: bytes) -> None:
    reply = await _put(web, us.keys["member"], name, data)
    assert reply.status_code == 422, reply.text
    error = reply.json()["error"]
    assert error["code"].startswith("knowledge.")
    assert error["next"]
    assert error["request_id"] == reply.headers["x-request-id"]
    assert reply.json()["documents"][0]["status"] == "refused"
    listed = (await web.get("/api/v1/documents", params={"name": name}, headers=bearer(us.keys["member"]))).json()
    assert listed["documents"] == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"label": "nonsense"}, 400, "policy.bad_label"),
        ({"label": '{"class": "topsecret"}'}, 400, "policy.bad_label"),
        ({"label": "[]"}, 400, "policy.bad_label"),
        ({"collection": "../etc"}, 422, "knowledge.bad_name"),
        ({"collection": "a\0b"}, 400, "request.malformed"),
        ({"colection": "contracts"}, 422, "request.fields_wrong"),
    ],
)
async def test_fields_that_are_wrong(
    web: httpx2.AsyncClient, us: Company, fields: dict[str, str], status: int, code: str
) -> None:
    reply = await _put(web, us.keys["member"], "fields.txt", b"Some words.", **fields)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text


async def test_a_form_without_a_file_and_a_broken_form(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    form = "multipart/form-data; boundary=x"
    without = b'--x\r\ncontent-disposition: form-data; name="collection"\r\n\r\na\r\n--x--\r\n'
    cut = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\ncut'
    for content, kind in ((without, form), (b"no form", form), (b"no form", "multipart/form-data"), (cut, form)):
        reply = await web.post("/api/v1/documents", content=content, headers=headers | {"content-type": kind})
        assert reply.status_code in {400, 415, 422}, (content, reply.text)
        assert reply.json()["error"]["next"]


async def test_lists_come_in_pages(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    for number in range(5):
        text = {"name": f"page-{number}.txt", "text": f"Page number {number}.", "collection": "pages"}
        assert (await web.post("/api/v1/documents", json=text, headers=headers)).status_code == 201
    seen: list[str] = []
    cursor = None
    while True:
        query = {"collection": "pages", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await web.get("/api/v1/documents", params=query, headers=headers)).json()
        assert len(page["documents"]) <= 2
        seen += [document["name"] for document in page["documents"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == [f"page-{number}.txt" for number in range(5)]
    bad = await web.get("/api/v1/documents?cursor=!!", headers=headers)
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "knowledge.bad_option")


async def test_collections(web: httpx2.AsyncClient, us: Company) -> None:
    headers, dpo = bearer(us.keys["member"]), bearer(us.keys["dpo"])
    assert (await web.post("/api/v1/collections", json={"name": "empty shelf"}, headers=headers)).status_code == 201
    names = [one["name"] for one in (await web.get("/api/v1/collections", headers=headers)).json()["collections"]]
    assert "empty shelf" in names
    assert (await web.delete("/api/v1/collections/empty%20shelf", headers=dpo)).json()["removed"] is True


async def test_an_answer_cites_and_has_a_receipt(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    text = "# Saffron\n\nThe saffron of the abbey is harvested in October.\n"
    await web.post("/api/v1/documents", json={"name": "saffron.md", "text": text}, headers=headers)
    body = {"question": "When is the saffron of the abbey harvested?"}
    reply = await web.post("/api/v1/answer", json=body, headers=headers)
    answer = reply.json()
    assert reply.status_code == 200, reply.text
    assert answer["mode"] == "extractive"
    assert "October" in answer["answer"]
    assert "[1]" in answer["answer"]
    assert answer["citations"][0]["label"]["class"]
    assert reply.headers["x-bastide-receipt"] == answer["receipt"]
    receipt = (await web.get(f"/api/v1/receipts/{answer['receipt']}", headers=bearer(us.keys["auditor"]))).json()
    assert receipt["decision"]["allowed"] is True
    assert receipt["proof"]

    stream = await web.post("/api/v1/answer", json=body, headers=headers | {"accept": "text/event-stream"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    event, data = stream.text.strip().split("\n")[-2:]
    assert event == "event: answer"
    assert "October" in json.loads(data.removeprefix("data: "))["answer"]
    refused = await web.post(
        "/api/v1/answer", json={"question": " "}, headers=headers | {"accept": "text/event-stream"}
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "knowledge.bad_query")


async def test_statistics(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    text = {"name": "counted.md", "text": "Dr Ada Counter works for the Counting Office Ltd."}
    await web.post("/api/v1/documents", json=text, headers=headers)
    wire = (await web.get("/api/v1/knowledge/statistics", headers=headers)).json()
    assert wire["documents"] > 0
    assert wire["entities"] > 0
    assert wire["queued"] == 0


CRANE = b"# Crane\n\nThe harbour crane lifts forty tons.\n"


async def test_metadata_comes_by_every_way_and_narrows_a_search(web: httpx2.AsyncClient, us: Company) -> None:
    key = bearer(us.keys["member"])
    taken = await _put(web, us.keys["member"], "crane.md", CRANE, metadata=json.dumps({"kind": "crane", "year": 2031}))
    place = f"/api/v1/documents/{taken.json()['documents'][0]['id']}"
    note = {"name": "rest.md", "text": "The harbour crane rests on Monday.", "metadata": {"kind": "rest"}}
    assert (await web.post("/api/v1/documents", json=note, headers=key)).status_code == 201
    assert (await web.get(place, headers=key)).json()["metadata"] == {"kind": "crane", "year": 2031}
    changed = await web.patch(place, json={"metadata": {"year": None, "floor": "first"}}, headers=key)
    assert changed.json()["metadata"] == {"kind": "crane", "floor": "first"}
    for asked, names in (({"kind": "rest"}, ["rest.md"]), ({"floor": {"gte": "f"}}, ["crane.md"])):
        body = {"query": "harbour crane", "filters": {"metadata": asked}}
        found = (await web.post("/api/v1/search", json=body, headers=key)).json()
        assert [one["name"] for one in found["passages"]] == names
    for reply in (
        await _put(web, us.keys["member"], "bad.md", CRANE, metadata="{"),
        await _put(web, us.keys["member"], "bad.md", CRANE, metadata='{"$where": 1}'),
        await web.patch(place, json={"metadata": {"a": {"b": 1}}}, headers=key),
        await web.post("/api/v1/search", json={"query": "x", "filters": {"metadata": {"a": {"b": 1}}}}, headers=key),
    ):
        assert 400 <= reply.status_code < 500, reply.text
        assert "metadata" in reply.json()["error"]["message"].lower()
