"""Durable work over HTTP: dispatched, followed as events, stopped, tried again, approved; who sees what."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from bastide.api.queues import _trouble
from bastide.api.shapes import ground, oversight, timely, work
from bastide.app import House
from bastide.errors import UnknownJobType
from bastide.store import new_id
from bastide.workflows import WorkHealth
from tests.doors.conftest import Company, bearer
from tests.doors.test_gate import envelope
from tests.doors.working import Working

JOBS = "/api/v1/jobs"


async def made(doors: httpx2.AsyncClient, key: str, type: str, **job: Any) -> str:
    """A new job's id."""
    reply = await doors.post(JOBS, json={"type": type, **job}, headers=bearer(key))
    assert reply.status_code == 202, reply.text
    work.Accepted.model_validate(reply.json())
    return str(reply.json()["id"])


async def until(doors: httpx2.AsyncClient, key: str, id: str, *statuses: str) -> dict[str, Any]:
    """The job, once it is in one of these states."""
    deadline = time.monotonic() + 60
    while True:
        job = (await doors.get(f"{JOBS}/{id}", headers=bearer(key))).json()
        if job["status"] in statuses:
            return dict(job)
        assert time.monotonic() < deadline, job
        await asyncio.sleep(0.05)


async def events(
    doors: httpx2.AsyncClient, key: str, id: str, **headers: str
) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """(event, id, data) of a stream, to its end; a comment is ("", "", {})."""
    async with doors.stream("GET", f"{JOBS}/{id}/events", headers=bearer(key, **headers)) as reply:
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        block: dict[str, str] = {}
        async for line in reply.aiter_lines():
            if line:
                name, _, value = line.partition(":")
                block[name] = value.strip()
            elif block:
                yield block.get("event", ""), block.get("id", ""), json.loads(block.get("data", "{}"))
                block = {}


# -- jobs -------------------------------------------------------------------------------------------


async def test_a_job_is_accepted_at_once_and_done(doors: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    reply = await doors.post(JOBS, json={"type": "door.echo", "input": {"text": "bell"}}, headers=bearer(key))
    assert reply.status_code == 202
    assert reply.json()["fresh"] is True
    assert reply.headers["location"] == f"{JOBS}/{reply.json()['id']}"
    job = await until(doors, key, reply.json()["id"], "done")
    work.Job.model_validate(job)
    assert job["output"] == {"text": "bell"}
    story = (await doors.get(f"{JOBS}/{job['id']}/timeline", headers=bearer(key))).json()
    work.TimeLine.model_validate(story)
    assert story["timeline"][0]["kind"] == "dispatched"
    assert story["timeline"][-1]["kind"] == "ended"


async def test_prefer_wait_gives_the_whole_job(doors: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"], prefer="respond-async, wait=20")
    reply = await doors.post(JOBS, json={"type": "door.echo", "input": {"text": "x"}}, headers=headers)
    assert (reply.status_code, reply.json()["status"], reply.json()["output"]) == (200, "done", {"text": "x"})
    assert reply.headers["preference-applied"] == "wait=20"
    headers = bearer(us.keys["member"], prefer="wait=1")
    started = time.monotonic()
    reply = await doors.post(JOBS, json={"type": "door.listen"}, headers=headers)
    assert (reply.status_code, reply.json()["fresh"]) == (202, True)
    assert reply.json()["status"] in {"queued", "running", "waiting"}
    assert 0.9 < time.monotonic() - started < 60
    nonsense = await doors.post(JOBS, json={"type": "door.echo"}, headers=bearer(us.keys["member"], prefer="wait=soon"))
    assert nonsense.status_code == 202, "a preference that is not understood is none"


async def test_the_same_key_gives_the_same_job(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    key = f"lease-{secrets.token_hex(4)}"
    first = await doors.post(JOBS, json={"type": "door.echo", "key": key}, headers=bearer(us.keys["member"]))
    again = await doors.post(JOBS, json={"type": "door.echo"}, headers=bearer(us.keys["member"], idempotency_key=key))
    assert (first.status_code, again.status_code) == (202, 200)
    assert (again.json()["id"], again.json()["fresh"]) == (first.json()["id"], False)
    other = await doors.post(JOBS, json={"type": "door.echo", "key": key}, headers=bearer(them.keys["member"]))
    assert (other.status_code, other.json()["fresh"]) == (202, True), "a neighbour's key is another key"
    headers = bearer(us.keys["member"], idempotency_key="other")
    envelope(await doors.post(JOBS, json={"type": "door.echo", "key": key}, headers=headers), 400, "request.malformed")


async def test_delay_label_priority_and_deadline_are_kept(doors: httpx2.AsyncClient, us: Company) -> None:
    body = {
        "delay_s": 3600,
        "priority": 7,
        "label": {"class": "confidential"},
        "deadline": "2199-01-01T00:00:00+01:00",
        "budget_tokens": 10,
    }
    id = await made(doors, us.keys["member"], "door.echo", **body)
    job = (await doors.get(f"{JOBS}/{id}", headers=bearer(us.keys["member"]))).json()
    assert (job["status"], job["priority"], job["label"]["class"]) == ("delayed", 7, "confidential")
    assert job["deadline"].startswith("2198-12-31T23:00")
    assert "not due" in job["why"]
    stopped = await doors.post(f"{JOBS}/{id}:cancel", headers=bearer(us.keys["member"]))
    assert (stopped.status_code, stopped.json()["status"]) == (200, "cancelled")


async def test_signal_cancel_and_retry(doors: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    id = await made(doors, key, "door.listen")
    assert (await until(doors, key, id, "waiting"))["waits_for"] == "signal go"
    said = await doors.post(f"{JOBS}/{id}:signal", json={"name": "go", "payload": {"n": 1}}, headers=bearer(key))
    assert (said.status_code, said.json()["fresh"]) == (200, True)
    assert (await until(doors, key, id, "done"))["output"] == {"heard": {"n": 1}}
    late = await doors.post(f"{JOBS}/{id}:signal", json={"name": "go"}, headers=bearer(key))
    envelope(late, 409, "workflows.job_ended")
    envelope(await doors.post(f"{JOBS}/{id}:cancel", headers=bearer(key)), 409, "workflows.job_ended")
    envelope(await doors.post(f"{JOBS}/{id}:retry", headers=bearer(key)), 409, "workflows.not_failed")
    failed = await made(doors, key, "door.fail")
    error = (await until(doors, key, failed, "failed"))["error"]
    assert error["code"]
    assert (await doors.post(f"{JOBS}/{failed}:retry", json={}, headers=bearer(key))).status_code == 200
    assert (await until(doors, key, failed, "failed"))["attempt"] == 2


async def test_lists_have_pages_and_filters(doors: httpx2.AsyncClient, house: House, platform_key: str) -> None:
    operator = await house.tenancy.authenticate(platform_key)
    tenant = await house.tenancy.create_tenant(operator, f"pages-{secrets.token_hex(4)}")
    key = (await house.tenancy.create_key(operator, tenant=tenant.id, role="member")).key
    ids = [await made(doors, key, "door.echo", delay_s=3600) for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params: dict[str, Any] = {"limit": 2, "type": "door.echo", "status": "delayed"}
        params |= {"cursor": cursor} if cursor else {}
        page = (await doors.get(JOBS, params=params, headers=bearer(key))).json()
        ground.Listed.model_validate(page)
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next"]
        assert {job["why"].partition(" before ")[0] for job in page["jobs"]} == {"It is not due"}
    assert seen == ids[::-1], "newest first, each once"
    none = (await doors.get(JOBS, params={"status": "done"}, headers=bearer(key))).json()
    assert none["jobs"] == []


async def test_job_types_say_how_they_are_asked(doors: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["member"])
    listed = (await doors.get("/api/v1/job-types", headers=headers)).json()
    assert "door.letter" in {one["name"] for one in listed["job_types"]}
    letter = (await doors.get("/api/v1/job-types/door.letter", headers=headers)).json()
    work.JobType.model_validate(letter)
    assert letter["input"]["required"] == ["to"]
    assert letter["effects"]["post"]["oversight"] == "approve"
    unknown = await doors.get("/api/v1/job-types/nonsense", headers=headers)
    envelope(unknown, 404, "workflows.unknown_type")
    assert (unknown.json()["error"]["type"], unknown.json()["error"]["next"]) == ("nonsense", UnknownJobType.next)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "request.fields_wrong"),
        ({"type": "nonsense"}, 422, "workflows.unknown_type"),
        ({"type": "door.echo", "version": 99}, 422, "workflows.unknown_version"),
        ({"type": "door.echo", "input": {"txt": "x"}}, 422, "workflows.bad_input"),
        ({"type": "door.letter", "input": {}}, 422, "workflows.bad_input"),
        ({"type": "door.echo", "input": []}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "input": {"text": "x" * 1_100_000}}, 413, "workflows.too_large"),
        ({"type": "door.echo", "priority": 101}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "delay_s": -1}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "due_at": "2030-01-01T00:00:00"}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "due_at": "tomorrow"}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "due_at": "2030-01-01T00:00:00Z", "delay_s": 5}, 400, "request.malformed"),
        ({"type": "door.echo", "label": {"class": "topsecret"}}, 400, "policy.bad_label"),
        ({"type": "door.echo", "key": ""}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "key": "k" * 201}, 422, "request.fields_wrong"),
        ({"type": "door.echo", "parent": "job_x"}, 422, "request.fields_wrong"),
    ],
)
async def test_a_bad_job_is_one_clear_error(
    doors: httpx2.AsyncClient, us: Company, body: dict[str, Any], status: int, code: str
) -> None:
    envelope(await doors.post(JOBS, json=body, headers=bearer(us.keys["member"])), status, code)


async def test_fifty_megabytes_are_not_read_to_the_end(doors: httpx2.AsyncClient, us: Company) -> None:
    body = b'{"type": "door.echo", "input": {"text": "' + b"x" * (50 * 1024 * 1024) + b'"}}'
    headers = bearer(us.keys["member"]) | {"content-type": "application/json"}
    envelope(await doors.post(JOBS, content=body, headers=headers), 413, "request.body_too_large")


# -- who sees what ----------------------------------------------------------------------------------


async def test_members_see_their_own_jobs_and_overseers_all(
    doors: httpx2.AsyncClient, us: Company, them: Company, house: House, platform_key: str
) -> None:
    operator = await house.tenancy.authenticate(platform_key)
    other = (await house.tenancy.create_key(operator, tenant=us.id, role="member")).key
    id = await made(doors, us.keys["member"], "door.echo", delay_s=3600)
    for role in ("member", "administrator", "overseer"):
        assert (await doors.get(f"{JOBS}/{id}", headers=bearer(us.keys[role]))).status_code == 200, role
        listed = (await doors.get(JOBS, params={"limit": 500}, headers=bearer(us.keys[role]))).json()["jobs"]
        assert id in {job["id"] for job in listed}, role
    for key in (other, them.keys["administrator"], them.keys["member"]):
        for verb in ("", "/timeline", "/events"):
            envelope(await doors.get(f"{JOBS}/{id}{verb}", headers=bearer(key)), 404, "workflows.unknown_job")
        for verb, body in ((":cancel", {}), (":retry", {}), (":signal", {"name": "go"})):
            refused = await doors.post(f"{JOBS}/{id}{verb}", json=body, headers=bearer(key))
            envelope(refused, 404, "workflows.unknown_job")
        listed = (await doors.get(JOBS, params={"limit": 500}, headers=bearer(key))).json()["jobs"]
        assert id not in {job["id"] for job in listed}
    nobody = bearer(us.keys["nobody"])
    for verb in ("", "/timeline", "/events"):
        envelope(await doors.get(f"{JOBS}/{id}{verb}", headers=nobody), 403, "tenancy.forbidden")
    envelope(await doors.post(JOBS, json={"type": "door.echo"}, headers=nobody), 403, "tenancy.forbidden")
    envelope(await doors.post(f"{JOBS}/{id}:cancel", headers=nobody), 403, "tenancy.forbidden")
    stopped = await doors.post(f"{JOBS}/{id}:cancel", json={"reason": "no"}, headers=bearer(us.keys["overseer"]))
    assert stopped.json()["status"] == "cancelled", "who oversees may stop"
    refused = await doors.post(JOBS, json={"type": "door.echo"}, headers=bearer(us.keys["overseer"]))
    envelope(refused, 403, "tenancy.forbidden")


async def test_lanes_are_the_tenants_own(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    admin = bearer(us.keys["administrator"])
    body = {"type": "door.echo", "concurrency": 3, "rate": 1000, "rate_s": 1}
    lane = await doors.put("/api/v1/lanes", json=body, headers=admin)
    assert lane.status_code == 200
    work.LaneSaid.model_validate(lane.json())
    assert lane.json() in (await doors.get("/api/v1/lanes", headers=admin)).json()["lanes"]
    theirs = (await doors.get("/api/v1/lanes", headers=bearer(them.keys["administrator"]))).json()["lanes"]
    assert theirs == []
    envelope(await doors.put("/api/v1/lanes", json=body, headers=bearer(us.keys["member"])), 403, "tenancy.forbidden")
    wrong = await doors.put("/api/v1/lanes", json={"type": "nonsense"}, headers=admin)
    envelope(wrong, 422, "workflows.unknown_type")
    for verb in ("pause", "resume"):
        envelope(await doors.post(f"/api/v1/work:{verb}", json={}, headers=admin), 403, "tenancy.forbidden")


async def test_the_platform_pauses_everybody(doors: httpx2.AsyncClient, us: Company, platform_key: str) -> None:
    operator = bearer(platform_key)
    body = {"type": "door.parts"}
    paused = await doors.post("/api/v1/work:pause", json=body, headers=operator)
    assert paused.json() == {"type": "door.parts", "paused": True}
    id = await made(doors, us.keys["member"], "door.parts")
    await asyncio.sleep(1)
    job = (await doors.get(f"{JOBS}/{id}", headers=bearer(us.keys["member"]))).json()
    assert (job["status"], "paused" in job["why"]) == ("queued", True)
    listed = (await doors.get(JOBS, params={"type": "door.parts"}, headers=bearer(us.keys["member"]))).json()["jobs"]
    assert next(one["why"] for one in listed if one["id"] == id) == job["why"], "a list says it too"
    assert (await doors.post("/api/v1/work:resume", json=body, headers=operator)).json()["paused"] is False
    assert (await until(doors, us.keys["member"], id, "done"))["output"] == ["done"]


# -- events -----------------------------------------------------------------------------------------


async def test_events_show_a_job_from_now_to_its_end(doors: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    id = await made(doors, key, "door.echo", input={"text": "bell", "seconds": 0.3, "times": 4})
    seen = [event async for event in events(doors, key, id)]
    assert {name for name, _, _ in seen} == {"job"}
    revisions = [int(revision) for _, revision, _ in seen]
    assert revisions == sorted(set(revisions)), "each change once, in order"
    assert [data["revision"] for _, _, data in seen] == revisions
    assert len(seen) >= 3
    last = seen[-1][2]
    assert (last["status"], last["output"]) == ("done", {"text": "bell"}), "the last event has what came out"
    assert any(data["progress"]["note"] for _, _, data in seen)
    resumed = [int(revision) async for _, revision, _ in events(doors, key, id, last_event_id=str(revisions[-2]))]
    assert resumed == [revisions[-1]], "only what was not seen"
    known = await doors.get(f"{JOBS}/{id}/events", headers=bearer(key, last_event_id=str(revisions[-1])))
    assert known.status_code == 204, "so that a browser does not come again"
    nonsense = [revision async for _, revision, _ in events(doors, key, id, last_event_id="x'--")]
    assert nonsense == [str(revisions[-1])]


async def test_a_parent_shows_how_many_of_its_parts_have_ended(doors: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    id = await made(doors, key, "door.parts", input={"times": 24, "seconds": 0.2})
    states = [data async for _, _, data in events(doors, key, id)]
    done = [data["progress"]["done"] for data in states if data["waits_for"] == "children"]
    assert done == sorted(done)
    assert len(set(done)) >= 3, done  # eight run at a time: three times eight are told in between


@pytest.mark.slow
async def test_a_comment_shows_that_the_stream_lives(doors: httpx2.AsyncClient, us: Company) -> None:
    key = us.keys["member"]
    id = await made(doors, key, "door.listen")
    await until(doors, key, id, "waiting")
    seen: list[tuple[str, float]] = []
    async for name, _, _ in events(doors, key, id):
        seen.append((name, time.monotonic()))
        if len(seen) == 3:
            break
    assert [name for name, _ in seen] == ["job", "", ""]
    assert all(12 < after - before < 18 for (_, before), (_, after) in itertools.pairwise(seen))
    await doors.post(f"{JOBS}/{id}:cancel", headers=bearer(key))


async def test_events_end_when_the_key_is_disabled(
    doors: httpx2.AsyncClient, us: Company, house: House, platform_key: str
) -> None:
    operator = await house.tenancy.authenticate(platform_key)
    key = await house.tenancy.create_key(operator, tenant=us.id, role="member")
    id = await made(doors, key.key, "door.listen")
    started, seen = time.monotonic(), []
    async for name, _, data in events(doors, key.key, id):
        seen.append((name, data))
        if len(seen) == 1:
            await house.tenancy.disable_key(operator, key.about.id, tenant=us.id)
    assert seen[-1][0] == "error"
    assert seen[-1][1]["error"]["code"] == "tenancy.disabled_key"
    assert time.monotonic() - started < 60
    await doors.post(f"{JOBS}/{id}:cancel", headers=bearer(us.keys["administrator"]))


async def test_many_follow_at_once_and_go(doors: httpx2.AsyncClient, us: Company, at_work: Working) -> None:
    key = us.keys["member"]
    id = await made(doors, key, "door.listen")

    async def first() -> str:
        async for name, _, _ in events(doors, key, id):
            return name
        return ""

    assert await asyncio.gather(*(first() for _ in range(20))) == ["job"] * 20
    await doors.post(f"{JOBS}/{id}:signal", json={"name": "go"}, headers=bearer(key))
    assert [data async for _, _, data in events(doors, key, id)][-1]["status"] == "done"


# -- approvals --------------------------------------------------------------------------------------


async def asked(doors: httpx2.AsyncClient, us: Company) -> tuple[str, dict[str, Any]]:
    """A job that waits for a person, and its approval as the overseer sees it."""
    id = await made(doors, us.keys["member"], "door.letter", input={"to": "ada@example.org", "text": "Hello"})
    await until(doors, us.keys["member"], id, "waiting")
    overseer = bearer(us.keys["overseer"])
    listed = (await doors.get("/api/v1/approvals", params={"status": "pending"}, headers=overseer)).json()
    found = next(one for one in listed["approvals"] if one["job"] == id)
    assert found["arguments"] is None, "what is proposed is seen by the approval's id, and recorded"
    shown = await doors.get(f"/api/v1/approvals/{found['id']}", headers=overseer)
    oversight.Approval.model_validate(shown.json())
    return id, dict(shown.json())


async def test_a_person_approves(doors: httpx2.AsyncClient, us: Company, at_work: Working) -> None:
    id, approval = await asked(doors, us)
    assert approval["arguments"] == {"to": "ada@example.org", "text": "Hello"}
    assert approval["shown"] == "A letter to ada@example.org"
    path, overseer = f"/api/v1/approvals/{approval['id']}", bearer(us.keys["overseer"])
    stale = await doors.post(f"{path}:approve", json={"digest": "0" * 64}, headers=overseer)
    envelope(stale, 409, "workflows.proposal_changed")
    blind = await doors.post(f"{path}:approve", json={}, headers=overseer)
    envelope(blind, 422, "request.fields_wrong")
    done = await doors.post(f"{path}:approve", json={"digest": approval["digest"], "reason": "ok"}, headers=overseer)
    assert (done.status_code, done.json()["status"]) == (200, "approved")
    assert (await until(doors, us.keys["member"], id, "done"))["output"] == {"sent": True}
    assert [to for to, _ in at_work.outside.letters].count("ada@example.org") == 1
    twice = await doors.post(f"{path}:approve", json={"digest": approval["digest"]}, headers=overseer)
    envelope(twice, 409, "workflows.already_decided")


async def test_a_person_refuses_edits_takes_over_stops(
    doors: httpx2.AsyncClient, us: Company, at_work: Working
) -> None:
    overseer = bearer(us.keys["overseer"])

    async def say(approval: dict[str, Any], verb: str, **body: Any) -> dict[str, Any]:
        reply = await doors.post(f"/api/v1/approvals/{approval['id']}:{verb}", json=body, headers=overseer)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    id, approval = await asked(doors, us)
    assert (await say(approval, "refuse", reason="wrong recipient"))["status"] == "refused"
    assert (await until(doors, us.keys["member"], id, "failed"))["error"]["code"] == "workflows.approval_refused"
    id, approval = await asked(doors, us)
    arguments = {"to": "eve@example.org", "text": "Hello"}
    assert (await say(approval, "edit", arguments=arguments, digest=approval["digest"]))["edited"] is True
    await until(doors, us.keys["member"], id, "done")
    assert "eve@example.org" in [to for to, _ in at_work.outside.letters]
    id, approval = await asked(doors, us)
    assert (await say(approval, "take-over", result={"sent": "by hand"}, digest=approval["digest"]))["verdicts"]
    assert (await until(doors, us.keys["member"], id, "done"))["output"] == {"sent": "by hand"}
    id, approval = await asked(doors, us)
    before = len(at_work.outside.letters)
    await say(approval, "stop", reason="no")
    assert (await until(doors, us.keys["member"], id, "cancelled"))["status"] == "cancelled"
    assert len(at_work.outside.letters) == before


async def test_nobody_else_sees_or_decides(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    id, approval = await asked(doors, us)
    path, body = f"/api/v1/approvals/{approval['id']}", {"digest": approval["digest"]}
    for key in (us.keys["member"], us.keys["nobody"]):
        envelope(await doors.get(path, headers=bearer(key)), 403, "tenancy.forbidden")
        envelope(await doors.get("/api/v1/approvals", headers=bearer(key)), 403, "tenancy.forbidden")
        envelope(await doors.post(f"{path}:approve", json=body, headers=bearer(key)), 403, "tenancy.forbidden")
    neighbour = bearer(them.keys["administrator"])
    envelope(await doors.get(path, headers=neighbour), 404, "workflows.unknown_approval")
    for verb in ("approve", "refuse", "stop", "see"):
        reply = await doors.post(f"{path}:{verb}", json=body if verb == "approve" else {}, headers=neighbour)
        envelope(reply, 404, "workflows.unknown_approval")
    theirs = (await doors.get("/api/v1/approvals", headers=neighbour)).json()["approvals"]
    assert approval["id"] not in {one["id"] for one in theirs}
    await doors.post(f"{JOBS}/{id}:cancel", headers=bearer(us.keys["member"]))


async def test_rules_of_oversight(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    admin, path = bearer(us.keys["administrator"]), "/api/v1/oversight-rules"
    body = {"type": "door.letter", "effect": "post", "mode": "approve", "deadline_s": 600}
    rule = await doors.put(path, json=body, headers=admin)
    assert rule.status_code == 200, rule.text
    oversight.RuleSaid.model_validate(rule.json())
    assert rule.json() in (await doors.get(path, headers=admin)).json()["rules"]
    assert (await doors.get(path, headers=bearer(them.keys["administrator"]))).json()["rules"] == []
    params = {"type": "door.letter", "effect": "post"}
    neighbour = await doors.delete(path, params=params, headers=bearer(them.keys["administrator"]))
    assert neighbour.status_code == 404, neighbour.text
    gone = await doors.delete(path, params=params, headers=admin)
    assert gone.json() == {**params, "removed": True}
    envelope(await doors.put(path, json=body, headers=bearer(us.keys["member"])), 403, "tenancy.forbidden")


# -- schedules, triggers, webhooks ------------------------------------------------------------------


async def test_schedules(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    admin, path = bearer(us.keys["administrator"]), "/api/v1/schedules"
    body = {"cron": "30 2 * * *", "timezone": "Europe/Paris", "count": 2}
    times = (await doors.post(f"{path}:preview", json=body, headers=admin)).json()
    timely.Times.model_validate(times)
    assert len(times["times"]) == 2
    bad = await doors.post(f"{path}:preview", json={"cron": "99 * * * *"}, headers=admin)
    envelope(bad, 422, "workflows.bad_schedule")
    name = f"nightly-{secrets.token_hex(3)}"
    body = {"name": name, "type": "door.echo", "cron": "0 3 * * *", "timezone": "Europe/Paris"}
    made = await doors.post(path, json=body, headers=admin)
    assert made.status_code == 201, made.text
    timely.Schedule.model_validate(made.json())
    one = f"{path}/{made.json()['id']}"
    assert name in {each["name"] for each in (await doors.get(path, headers=admin)).json()["schedules"]}
    assert (await doors.get(f"{path}/{name}", headers=admin)).json()["id"] == made.json()["id"]
    assert (await doors.post(f"{one}:pause", headers=admin)).json()["paused"] is True
    assert (await doors.post(f"{one}:resume", headers=admin)).json()["paused"] is False
    for key, status in ((them.keys["administrator"], 404), (us.keys["member"], 403), (us.keys["nobody"], 403)):
        for method, place in (("GET", one), ("DELETE", one), ("POST", f"{one}:pause")):
            assert (await doors.request(method, place, headers=bearer(key))).status_code == status, (method, place)
    assert (await doors.delete(one, headers=admin)).json()["removed"] is True
    envelope(await doors.get(one, headers=admin), 404, "workflows.unknown_schedule")


def signed(secret: str, body: bytes, *, id: str = "msg_1", at: float | None = None) -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    stamp = str(int(at or time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
        "content-type": "application/json",
    }


async def test_a_signed_webhook_needs_no_key(doors: httpx2.AsyncClient, us: Company, them: Company) -> None:
    admin, path = bearer(us.keys["administrator"]), "/api/v1/triggers"
    body = {"name": f"hook-{secrets.token_hex(3)}", "on": "webhook", "type": "door.echo", "input": {"text": "rang"}}
    made = await doors.post(path, json=body, headers=admin)
    assert made.status_code == 201, made.text
    trigger, secret = made.json(), made.json()["secret"]
    one, hook, sent = f"{path}/{trigger['id']}", f"/api/v1/hooks/{trigger['id']}", b'{"bell": "rang"}'
    assert trigger["address"] == hook
    assert not {"secret", "address"} & set((await doors.get(one, headers=admin)).json())
    taken = await doors.post(hook, content=sent, headers=signed(secret, sent))
    assert taken.status_code == 202, taken.text
    again = await doors.post(hook, content=sent, headers=signed(secret, sent))
    assert again.json()["id"] == taken.json()["id"], "the same webhook-id, the same job"
    job = await until(doors, us.keys["administrator"], taken.json()["id"], "done")
    assert job["output"] == {"text": "rang"}
    refusals = [
        signed("whsec_" + base64.b64encode(b"x" * 24).decode(), sent, id="msg_2"),
        signed(secret, sent, id="msg_3", at=time.time() - 3600),
        signed(secret, b"other", id="msg_4"),
        {},
        {"authorization": f"Bearer {us.keys['administrator']}"},
    ]
    for headers in refusals:
        envelope(await doors.post(hook, content=sent, headers=headers), 401, "workflows.webhook_refused")
    unknown = await doors.post(f"/api/v1/hooks/{new_id('trg')}", content=sent, headers=signed(secret, sent))
    envelope(unknown, 401, "workflows.webhook_refused")
    large = b'{"a": "' + b"x" * (1024 * 1024) + b'"}'
    envelope(await doors.post(hook, content=large, headers=signed(secret, large)), 413, "request.body_too_large")
    renewed = await doors.post(f"{one}:renew-secret", headers=admin)
    assert renewed.json()["secret"] not in ("", secret)
    for key, status in ((them.keys["administrator"], 404), (us.keys["member"], 403)):
        for method, place in (("GET", one), ("DELETE", one), ("POST", f"{one}:renew-secret")):
            assert (await doors.request(method, place, headers=bearer(key))).status_code == status, (method, place)
    assert (await doors.delete(one, headers=admin)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/hooks/"),
        ("POST", "/api/v1/hooks/nonsense"),
        ("POST", "/api/v1/hooks/trg_06ar2k8m1v6t7c9d0e1f2g3h4j/more"),
        ("POST", "/api/v1/hooks/../jobs"),
        ("POST", "/api/v1/hooks/%2e%2e/jobs"),
        ("POST", "/api/v1/hooks/trg_06ar2k8m1v6t7c9d0e1f2g3h4j%2f..%2fjobs"),
        ("GET", "/api/v1/hooks/trg_06ar2k8m1v6t7c9d0e1f2g3h4j"),
        ("DELETE", "/api/v1/hooks/trg_06ar2k8m1v6t7c9d0e1f2g3h4j"),
    ],
)
async def test_only_a_webhooks_own_address_is_open(doors: httpx2.AsyncClient, method: str, path: str) -> None:
    envelope(await doors.request(method, path), 401, "tenancy.no_key")


# -- how it goes ------------------------------------------------------------------------------------


async def test_metrics_and_readiness_speak_of_work(doors: httpx2.AsyncClient, us: Company) -> None:
    id = await made(doors, us.keys["member"], "door.fail")
    await until(doors, us.keys["member"], id, "failed")
    deadline = time.monotonic() + 60
    while True:
        text = (await doors.get("/metrics")).text
        lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        if float(lines["bastide_dead_letters"]) >= 1:
            break
        assert time.monotonic() < deadline, lines
        await asyncio.sleep(0.5)
    assert float(lines["bastide_workers"]) >= 1
    assert float(lines["bastide_work_capacity"]) >= 8
    for state in ("queued", "running", "waiting", "failed"):
        assert f'bastide_jobs{{state="{state}"}}' in lines
    assert "bastide_oldest_queued_seconds" in lines
    assert us.id not in text
    parts = {part["name"]: part for part in (await doors.get("/readyz")).json()["parts"]}
    assert parts["work"]["state"] == "attention"
    told, step = parts["work"]["message"], parts["work"]["next"]
    failed = "failed for good" in told and "bastide job retry" in step
    waits = "though workers are free" in told and "bastide job show" in step  # left by another test, and told first
    assert failed or waits, (told, step)


@pytest.mark.parametrize(
    ("health", "told", "step"),
    [
        ({"workers": 0, "failed": 1}, "No worker was heard of lately.", "bastide serve --role worker"),
        ({"queued": 1, "oldest_queued_s": 287.0, "failed": 1}, "A job waits for 287 s though", "bastide job show"),
        ({"queued": 9, "running": 8, "oldest_queued_s": 287.0, "failed": 2}, "2 jobs failed for good.", "job retry"),
        ({"stuck": ("One stands.",), "failed": 1}, "One stands.", "bastide job trace"),
        ({"failed": 1}, "1 job failed for good.", "bastide job retry"),
        ({"queued": 1, "oldest_queued_s": 1.0}, "", ""),
    ],
)
def test_what_needs_a_person_first_is_told(health: dict[str, Any], told: str, step: str) -> None:
    empty = WorkHealth(workers=2, capacity=8, queued=0, handed=0, running=0, waiting=0, failed=0, oldest_queued_s=0.0)
    trouble, steps = _trouble(replace(empty, **health))
    assert (bool(trouble), bool(steps)) == (bool(told), bool(told))
    assert told in trouble
    assert step in steps


async def test_health_is_asked_for_rarely(
    doors: httpx2.AsyncClient, at_work: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, health = [], at_work.workflows.health

    async def counted() -> WorkHealth:
        asked.append(time.monotonic())
        return await health()

    monkeypatch.setattr(at_work.workflows, "health", counted)
    replies = await asyncio.gather(*(doors.get("/metrics") for _ in range(50)))
    assert {reply.status_code for reply in replies} == {200}
    assert len(asked) <= 2 + (max(asked, default=0.0) - min(asked, default=0.0))
