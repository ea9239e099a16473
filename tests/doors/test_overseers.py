"""Who may decide, and how they do: training on record and habits, by HTTP."""

from __future__ import annotations

import httpx2

from .conftest import Company, bearer

TRAINED = "/api/v1/competences"


async def test_training_is_recorded_shown_and_withdrawn(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["administrator"])
    user = (await web.post("/api/v1/users", json={"email": "claire@trained.example"}, headers=headers)).json()["id"]
    said = {"user": "claire@trained.example", "type": "knowledge.erase", "until": "2027-11-21T00:00:00Z"}
    kept = await web.put(TRAINED, json={**said, "evidence": "Course of 3 March."}, headers=headers)
    assert kept.status_code == 200, kept.text
    assert (kept.json()["user"], kept.json()["holds"]) == (user, True)
    listed = (await web.get(TRAINED, headers=headers)).json()["competences"]
    assert [one["evidence"] for one in listed if one["user"] == user] == ["Course of 3 March."]
    gone = await web.delete(TRAINED, params={"user": user, "type": "knowledge.erase"}, headers=headers)
    assert gone.json()["removed"] is True
    again = await web.delete(TRAINED, params={"user": user, "type": "knowledge.erase"}, headers=headers)
    assert again.status_code == 404


async def test_habits_and_training_are_for_who_manages_work(
    web: httpx2.AsyncClient, us: Company, them: Company
) -> None:
    for path in (TRAINED, "/api/v1/overseers/habits"):
        assert (await web.get(path, headers=bearer(us.keys["administrator"]))).status_code == 200
        assert (await web.get(path, headers=bearer(us.keys["member"]))).status_code == 403
    theirs = (await web.get(TRAINED, headers=bearer(them.keys["administrator"]))).json()
    assert theirs == {"competences": [], "next": None}


async def test_a_rule_can_ask_for_training(web: httpx2.AsyncClient, us: Company) -> None:
    headers = bearer(us.keys["administrator"])
    rule = {"type": "knowledge.erase", "mode": "approve", "competence": True}
    assert (await web.put("/api/v1/oversight-rules", json=rule, headers=headers)).json()["competence"] is True
    rules = (await web.get("/api/v1/oversight-rules", headers=headers)).json()["rules"]
    assert [one["competence"] for one in rules if one["type"] == "knowledge.erase"] == [True]
    gone = await web.delete("/api/v1/oversight-rules", params={"type": "knowledge.erase"}, headers=headers)
    assert gone.json()["removed"] is True
