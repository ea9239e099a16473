"""Files through HTTP that jobs take in: one, several, a whole intake; and what a job made, fetched."""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from starlette.datastructures import Headers

from bastide.api.application import limits_of
from bastide.api.doors import create
from bastide.api.gate import IMPORT_PATH, BodyLimits
from bastide.app import House, open_house
from bastide.settings import Settings
from tests.doors.conftest import Company, bearer, company
from tests.doors.test_gate import envelope

NOTES = {f"note-{n}.md": f"# Note {n}\n\nThe word marker{n} stands here alone.".encode() for n in range(5)}


@pytest.fixture(scope="module")
async def staff(house: House, platform_key: str) -> Company:
    """A tenant for this module, whose queue is its own."""
    return await company(house, platform_key, "staff")


@pytest.fixture(scope="module")
async def worker(settings: Settings, house: House) -> AsyncIterator[House]:
    """A second process's worth of rooms, which works."""
    async with open_house(settings, sequence=False, work=True) as opened:
        yield opened


async def ended(web: httpx2.AsyncClient, key: str, job: str) -> dict[str, Any]:
    """The job, once it has ended."""
    for _ in range(300):
        wire: dict[str, Any] = (await web.get(f"/api/v1/jobs/{job}", headers=bearer(key))).json()
        if wire["status"] in {"done", "failed", "cancelled"}:
            return wire
        await asyncio.sleep(0.1)
    raise AssertionError(wire)


async def put(web: httpx2.AsyncClient, key: str, files: dict[str, bytes], **fields: str) -> httpx2.Response:
    """An upload that asks for a job, unless `fields` name one."""
    headers = bearer(key) if "job" in fields else bearer(key, Prefer="respond-async, wait=0")
    parts = [("file", (name, data)) for name, data in files.items()]
    return await web.post("/api/v1/documents", files=parts, data=fields, headers=headers)


async def test_a_file_is_kept_and_a_job_takes_it_in(web: httpx2.AsyncClient, staff: Company, worker: House) -> None:
    key = staff.keys["member"]
    reply = await put(web, key, {"lease.md": b"# Lease\n\nThe lease ends in June."}, label='{"class": "public"}')
    assert reply.status_code == 202, reply.text
    assert reply.headers["preference-applied"] == "respond-async"
    wire = reply.json()
    (queued,) = wire["documents"]
    assert (queued["id"], queued["status"], queued["job"], wire["queued"]) == (None, "queued", wire["job"], 1)
    job = await ended(web, key, wire["job"])
    assert job["output"]["status"] == "ready"
    shown = (await web.get(f"/api/v1/documents/{job['output']['id']}", headers=bearer(key))).json()
    assert (shown["name"], shown["label"]["class"]) == ("lease.md", "public")


async def test_several_files_are_one_job(web: httpx2.AsyncClient, staff: Company, worker: House) -> None:
    key = staff.keys["member"]
    said = {"label": '{"class": "public"}', "subjects": "ada", "metadata": '{"kind": "note"}'}
    wire = (await put(web, key, NOTES, collection="several", **said)).json()
    assert len({one["job"] for one in wire["documents"]} | {wire["job"]}) == len(NOTES) + 1
    out = (await ended(web, key, wire["job"]))["output"]
    assert (out["ingested"], out["refused"]) == (len(NOTES), 0)
    listed = (await web.get("/api/v1/documents?collection=several", headers=bearer(key))).json()["documents"]
    assert {(one["label"]["class"], *one["label"]["subjects"]) for one in listed} == {("public", "ada")}
    assert [one["metadata"] for one in listed] == [{"kind": "note"}] * len(NOTES)


async def test_an_intake_from_its_opening_to_its_end(
    web: httpx2.AsyncClient, staff: Company, them: Company, worker: House
) -> None:
    key, body = staff.keys["member"], {"collection": "gathered", "label": {"class": "confidential"}}
    opened = await web.post("/api/v1/intakes", json=body, headers=bearer(key))
    assert opened.status_code == 202, opened.text
    assert opened.json()["workers"] >= 1
    job = opened.json()["job"]
    for name, data in [*NOTES.items(), ("bad.pdf", b"%PDF-1.7\ncut off")]:
        reply = await put(web, key, {name: data}, job=job)
        assert (reply.status_code, reply.json()["job"]) == (202, job), reply.text
    text = {"name": "typed.md", "text": "Typed by hand.", "job": job}
    assert (await web.post("/api/v1/documents", json=text, headers=bearer(key))).status_code == 202

    foreign = await put(web, them.keys["member"], {"a.md": b"Hello."}, job=job)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "workflows.unknown_job")
    foreign = await web.post(f"/api/v1/intakes/{job}:close", headers=bearer(them.keys["member"]))
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "workflows.unknown_job")

    closed = await web.post(f"/api/v1/intakes/{job}:close", headers=bearer(key))
    assert (closed.status_code, closed.json()) == (202, {"job": job})
    late = await put(web, key, {"late.md": b"Too late."}, job=job)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "knowledge.intake_closed")
    shown = await ended(web, key, job)
    out = shown["output"]
    assert (out["ingested"], out["unchanged"], out["refused"], out["files"]) == (6, 0, 1, 7)
    refused = next(one for one in out["documents"] if one["status"] == "refused")
    assert (refused["name"], refused["error"]["code"]) == ("bad.pdf", "knowledge.unreadable_file")
    assert all(one["error"] is None for one in out["documents"] if one is not refused)


async def test_an_export_is_fetched(web: httpx2.AsyncClient, staff: Company, them: Company, worker: House) -> None:
    key = staff.keys["member"]
    text = {"name": "deed.md", "text": "The deed of the mill.", "collection": "deeds"}
    assert (await web.post("/api/v1/documents", json=text, headers=bearer(key))).status_code == 201
    asked = {"type": "knowledge.export", "input": {"collection": "deeds"}}
    made = await web.post("/api/v1/jobs", json=asked, headers=bearer(key))
    assert made.status_code == 202, made.text
    job = await ended(web, key, made.json()["id"])
    assert job["status"] == "done", job
    fetched = await web.get(job["output"]["artifact"], headers=bearer(key))
    assert fetched.headers["content-type"] == "application/zip"
    assert "deeds.zip" in fetched.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(fetched.content)) as archive:
        assert b"The deed of the mill." in [archive.read(name) for name in archive.namelist()]
    foreign = await web.get(job["output"]["artifact"], headers=bearer(them.keys["member"]))
    assert foreign.status_code == 404


async def test_an_export_comes_in_that_is_larger_than_an_upload(
    web: httpx2.AsyncClient, staff: Company, house: House, worker: House
) -> None:
    """The same as with the limits of the settings, only that all of them are smaller."""
    key = staff.keys["member"]
    scope = await house.tenancy.authenticate(key)
    for name in ("one.html", "two.html"):
        page = f"<p>The well of {name}.</p><!-- {secrets.token_hex(1_200_000)} -->".encode()
        taken = await house.knowledge.ingest(scope, name, page, collection="wells", vectors=False)
        assert taken.documents[0].status == "ready"
    made = await web.post(
        "/api/v1/jobs", json={"type": "knowledge.export", "input": {"collection": "wells"}}, headers=bearer(key)
    )
    job = await ended(web, key, made.json()["id"])
    data = (await web.get(job["output"]["artifact"], headers=bearer(key))).content
    assert hashlib.sha256(data).hexdigest() == job["output"]["sha256"]
    mib = 1024 * 1024
    assert 2 * mib < len(data) < 4 * mib
    small = BodyLimits(upload_bytes_max=mib, uploads_to={IMPORT_PATH: 4 * mib})
    transport = httpx2.ASGITransport(app=create(house, limits=small))
    async with httpx2.AsyncClient(transport=transport, base_url="http://small", timeout=60) as narrow:
        parts: Any = [("file", ("wells.zip", data))]
        alone = await narrow.post("/api/v1/documents", files=parts, headers=bearer(key))
        envelope(alone, 413, "request.body_too_large")
        brought = await narrow.post(IMPORT_PATH, files=parts, data={"collection": "copies"}, headers=bearer(key))
        assert brought.status_code == 202, brought.text
        padded: Any = [("file", ("wells.zip", data + bytes(2 * mib)))]
        refused = await narrow.post(IMPORT_PATH, files=padded, data={"collection": "more"}, headers=bearer(key))
        envelope(refused, 413, "request.archive_too_large")
        assert "BASTIDE_EXPORT_MB" in refused.json()["error"]["next"]
    assert (await ended(web, key, brought.json()["job"]))["output"]["documents"] == 2
    again = await house.knowledge.upkeep.collection(scope, "copies")
    assert again.documents == 2


def test_whatever_may_be_exported_may_come_in(settings: Settings) -> None:
    form = Headers({"content-type": "multipart/form-data; boundary=x"})
    for mib in (1, 1024, 65_536):
        knowledge = replace(settings.knowledge, export_bytes_max=mib * 1024 * 1024)
        limits = limits_of(replace(settings, knowledge=knowledge))
        assert limits.of(form, IMPORT_PATH) > knowledge.export_bytes_max
        assert limits.of(form, "/api/v1/documents") == limits.upload_bytes_max


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"job": "job_nonsense"}, 404, "workflows.unknown_job"),
        ({"job": "job_00000000000000000000000000"}, 404, "workflows.unknown_job"),
        ({"job": "../../etc"}, 404, "workflows.unknown_job"),
    ],
)
async def test_an_intake_that_is_not_there(
    web: httpx2.AsyncClient, staff: Company, fields: dict[str, str], status: int, code: str
) -> None:
    reply = await put(web, staff.keys["member"], {"a.md": b"Hello."}, **fields)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text


async def test_who_may_not_write_opens_no_intake(web: httpx2.AsyncClient, staff: Company) -> None:
    for key in (staff.keys["auditor"], staff.keys["nobody"]):
        reply = await web.post("/api/v1/intakes", json={}, headers=bearer(key))
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "tenancy.forbidden")
    wrong = await web.post("/api/v1/intakes", json={"colection": "x"}, headers=bearer(staff.keys["member"]))
    assert wrong.status_code == 422
