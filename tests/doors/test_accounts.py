"""Budgets, rates and usage at the doors: set, met by a call, read by who may."""

from __future__ import annotations

import httpx2

from bastide.app import House
from bastide.testing import ScriptedModel
from tests.doors.conftest import Company, bearer, company


async def test_a_budget_is_set_met_and_shown(web: httpx2.AsyncClient, house: House, platform_key: str) -> None:
    us: Company = await company(house, platform_key, "accounts")
    chief, member = bearer(us.keys["administrator"]), bearer(us.keys["member"])
    budget = {"scope": "tenant", "tokens": 0, "contact": "=Ms Peer"}
    assert (await web.post("/api/v1/budgets", json=budget, headers=member)).status_code == 403
    made = await web.post("/api/v1/budgets", json=budget, headers=chief)
    assert made.status_code == 201, made.text
    asked = {"model": "local/extractive", "messages": [{"role": "user", "content": "When does it end?"}]}
    spent = await web.post("/v1/chat/completions", json=asked, headers=member)
    assert spent.status_code == 402, spent.text
    assert spent.json()["error"]["contact"] == "=Ms Peer"
    assert (await web.delete(f"/api/v1/budgets/{made.json()['id']}", headers=chief)).status_code == 200
    assert (await web.get("/api/v1/budgets", headers=chief)).json()["budgets"] == []
    rate = await web.post("/api/v1/rates", json={"scope": "key", "subject": "*", "requests": 1}, headers=chief)
    assert rate.status_code == 201, rate.text
    assert (await web.post("/v1/chat/completions", json=asked, headers=member)).status_code == 200
    limited = await web.post("/v1/chat/completions", json=asked, headers=member)
    assert (limited.status_code, int(limited.headers["retry-after"]) >= 1) == (429, True)
    assert (await web.delete(f"/api/v1/rates/{rate.json()['id']}", headers=chief)).status_code == 200
    used = (await web.get("/api/v1/usage", params={"by": "model"}, headers=chief)).json()["usage"]
    assert [(one["name"], one["calls"]) for one in used] == [("local/extractive", 1)]
    sheet = await web.get("/api/v1/usage.csv", params={"by": "model"}, headers=chief)
    assert sheet.headers["content-type"].startswith("text/csv")
    assert sheet.text.splitlines()[1].startswith("local/extractive,1,")
    assert (await web.get("/api/v1/usage", params={"by": "shoe"}, headers=chief)).status_code == 422
    kept = await web.post("/api/v1/kept-answers", json={"model": "*", "ttl_s": 60}, headers=chief)
    assert kept.status_code == 201, kept.text
    assert [one["model"] for one in (await web.get("/api/v1/kept-answers", headers=chief)).json()["kept-answers"]] == [
        "*"
    ]
    assert (await web.delete("/api/v1/kept-answers/*", headers=chief)).status_code == 200
    put = {"kind": "app", "subject": "app_x", "name": "Legal"}
    assert (await web.put("/api/v1/departments", json=put, headers=chief)).status_code == 200
    assert (await web.get("/api/v1/departments", headers=chief)).json()["departments"] == [put]


async def test_whose_own_budget_is_spent_is_told_among_those_who_are_not_asked(
    web: httpx2.AsyncClient, house: House, platform_key: str
) -> None:
    us: Company = await company(house, platform_key, "members")
    chief, member = bearer(us.keys["administrator"]), bearer(us.keys["member"])
    async with ScriptedModel("Good day.") as server:
        for name in ("one", "two"):
            spec = {"name": name, "url": server.url, "local": True, "model": "scripted", "capabilities": ["chat"]}
            made = await web.post("/api/v1/models", json=spec, headers=chief)
            assert made.status_code == 201, made.text
        made = await web.post("/api/v1/routes", json={"name": "both", "members": ["one", "two"]}, headers=chief)
        assert made.status_code == 201, made.text
        for name, kept, gone in (("one", 1, 1), ("two", 0, 2)):
            budget = {"scope": "model", "subject": name, "tokens": 0, "contact": "Ms Peer"}
            assert (await web.post("/api/v1/budgets", json=budget, headers=chief)).status_code == 201
            said = (await web.post("/api/v1/decisions:explain", json={"model": "both"}, headers=member)).json()
            assert (len(said["allowed"]), len(said["denied"])) == (kept, gone)
            assert said["denied"][-1]["rules"] == ["inference.budget_spent"]
            assert f"model {name}" in said["denied"][-1]["why"]
            assert {one["name"] for one in said["allowed"]} == {"one", "two"} - {one["name"] for one in said["denied"]}
        assert said["nearest"]["allowed"] is False
        assert "Ms Peer" in said["nearest"]["needs"][0]
        alone = (await web.post("/api/v1/decisions:explain", json={"model": "one"}, headers=member)).json()
        assert [one["rules"] for one in alone["denied"]] == [["inference.budget_spent"]]
        asked = {"model": "both", "messages": [{"role": "user", "content": "Hello"}]}
        assert (await web.post("/v1/chat/completions", json=asked, headers=member)).status_code == 402
        assert not server.chats


async def test_a_person_is_taken_out_of_what_was_used(web: httpx2.AsyncClient, us: Company, them: Company) -> None:
    chief = bearer(us.keys["administrator"])
    person = (await web.post("/api/v1/users", json={"email": "leaver@example.org"}, headers=chief)).json()["id"]
    budget = {"scope": "user", "subject": person, "tokens": 1000}
    assert (await web.post("/api/v1/budgets", json=budget, headers=chief)).status_code == 201

    async def whose() -> list[str]:
        return [one["subject"] for one in (await web.get("/api/v1/budgets", headers=chief)).json()["budgets"]]

    said = {"user": person}
    assert (await web.post("/api/v1/usage:erase", json=said, headers=bearer(us.keys["member"]))).status_code == 403
    assert (await web.post("/api/v1/usage:erase", json=said, headers=bearer(them.keys["dpo"]))).status_code == 200
    assert person in await whose(), "a neighbour takes nobody out of here"
    gone = await web.post("/api/v1/usage:erase", json=said, headers=bearer(us.keys["dpo"]))
    assert (gone.status_code, gone.json()) == (200, {"id": person, "removed": True})
    assert person not in await whose()
