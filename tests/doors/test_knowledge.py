"""The graph and the upkeep of documents by HTTP: what a user of the operations sees, and what a neighbour does not."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from .conftest import Company, bearer

FIRST = """# Appointment

Dr Clara Weiss was appointed president of the Northern Water Authority on 3 March 2024. The Northern Water Authority
supervises the harbour of Lindholm. The Northern Water Authority (NWA) has forty staff.
Clara Weiss signed Regulation (EU) 2016/679.
"""
SECOND = FIRST.replace("3 March 2024", "4 April 2024")


async def _taken(web: httpx2.AsyncClient, headers: dict[str, str], name: str, text: str, collection: str) -> str:
    body = {"name": name, "text": text, "collection": collection}
    reply = await web.post("/api/v1/documents", json=body, headers=headers)
    assert reply.status_code in {200, 201}, reply.text
    return str(reply.json()["documents"][0]["id"])


async def _get(web: httpx2.AsyncClient, path: str, headers: dict[str, str], **query: Any) -> Any:
    reply = await web.get(f"/api/v1/{path}", params=query, headers=headers)
    assert reply.status_code == 200, (path, reply.text)
    return reply.json()


@pytest.fixture(scope="module")
async def document(web: httpx2.AsyncClient, us: Company) -> str:
    """A document with names in it, in two versions."""
    headers = bearer(us.keys["administrator"])
    first = await _taken(web, headers, "appointment.md", FIRST, "graph")
    assert await _taken(web, headers, "appointment.md", SECOND, "graph") == first
    return first


async def test_an_entity_is_found_with_its_passages_and_time(
    web: httpx2.AsyncClient, us: Company, document: str
) -> None:
    headers = bearer(us.keys["member"])
    (entity,) = (await _get(web, "graph/entities", headers, query="Northern Water", collection="graph"))["entities"]
    one = f"graph/entities/{entity['id']}"
    assert (await _get(web, one, headers))["type"] == "organisation"
    mentions = (await _get(web, f"{one}/mentions", headers))["mentions"]
    assert {mention["passage"]["document_id"] for mention in mentions} == {document}
    near = (await _get(web, f"{one}/neighbours", headers))["neighbours"]
    assert any("Weiss" in each["entity"]["name"] for each in near)
    told = (await _get(web, f"{one}/timeline", headers))["episodes"]
    assert any(episode["valid_from"] == "2024-04-04" for episode in told)
    types = (await _get(web, "graph/types", headers))["types"]
    assert sum(type["kind"] == "node" for type in types) >= 8
    assert sum(type["kind"] == "relation" for type in types) >= 33


async def test_names_are_merged_and_taken_apart_again(web: httpx2.AsyncClient, us: Company, document: str) -> None:
    headers = bearer(us.keys["administrator"])
    found = await web.post("/api/v1/graph/resolve", json={"name": "NWA"}, headers=headers)
    assert "Northern Water Authority" in str(found.json()["candidates"])
    listed = (await _get(web, "graph/entities", headers, collection="graph", limit=200))["entities"]
    two = [one["id"] for one in listed if one["name"].startswith(("Northern Water", "Lindholm"))][:2]
    merged = await web.post("/api/v1/graph/merge", json={"entities": two, "reason": "a test"}, headers=headers)
    assert merged.status_code == 200, merged.text
    assert (await _get(web, f"graph/entities/{two[1]}", headers))["id"] == two[0]
    undone = await web.post("/api/v1/graph/undo", json={"decision": merged.json()["id"]}, headers=headers)
    assert undone.status_code == 200, undone.text
    assert (await _get(web, f"graph/entities/{two[1]}", headers))["id"] == two[1]


async def test_what_differs_between_two_versions(web: httpx2.AsyncClient, us: Company, document: str) -> None:
    headers = bearer(us.keys["member"])
    changes = (await _get(web, f"documents/{document}/diff", headers, older=1, newer=2))["changes"]
    assert {change["what"] for change in changes} == {"changed"}
    assert any("4 April 2024" in change["after"] and "3 March 2024" in change["before"] for change in changes)


async def test_who_is_no_member_finds_nothing(web: httpx2.AsyncClient, us: Company) -> None:
    admin, member = bearer(us.keys["administrator"]), bearer(us.keys["member"])
    hidden = await _taken(web, admin, "hidden.md", "The zircon vault opens at midnight in Karlshaven.", "vault")
    members = {"members": {"role:administrator": "manage"}}
    kept = await web.put("/api/v1/collections/vault/members", json=members, headers=admin)
    assert kept.status_code == 200, kept.text
    query = {"query": "When does the zircon vault open?"}
    for mode in ("hybrid", "text", "vector", "graph"):
        seen = (await web.post("/api/v1/search", json={**query, "mode": mode}, headers=member)).json()
        assert hidden not in {passage["document_id"] for passage in seen["passages"]}, mode
    assert (await web.get(f"/api/v1/documents/{hidden}", headers=member)).status_code == 404
    assert (await _get(web, "graph/entities", member, query="Karlshaven"))["entities"] == []
    seen = (await web.post("/api/v1/search", json=query, headers=admin)).json()
    assert seen["passages"][0]["document_id"] == hidden


async def test_documents_are_held_moved_and_compared(web: httpx2.AsyncClient, us: Company) -> None:
    admin = bearer(us.keys["administrator"])
    text = "The ferry to Skarholm leaves at nine, and the crossing takes forty minutes in calm weather. " * 6
    one = await _taken(web, admin, "ferry.md", text, "harbour")
    other = await _taken(web, admin, "ferry-copy.md", text + "In storms it stays.", "harbour")
    pairs = (await _get(web, "knowledge/duplicates", admin, collection="harbour"))["pairs"]
    assert pairs
    assert {one, other} <= set(str(pairs[0]).replace("'", " ").split())
    assert (
        await web.post(f"/api/v1/documents/{one}:hold", json={"reason": "a case"}, headers=admin)
    ).status_code == 200
    refused = await web.delete(f"/api/v1/documents/{one}", headers=admin)
    assert refused.status_code == 409
    assert "a case" in refused.text
    assert (await web.post(f"/api/v1/documents/{one}:release", headers=admin)).status_code == 200
    moved = await web.post("/api/v1/documents:move", json={"documents": [one], "collection": "archive"}, headers=admin)
    assert moved.json()["moved"] == 1
    assert (await _get(web, f"documents/{one}", admin))["collection"] == "archive"
    assert "documents" in await _get(web, "knowledge/quality", admin, collection="harbour")


async def test_a_label_shows_what_was_answered_under_the_one_before(web: httpx2.AsyncClient, us: Company) -> None:
    admin = bearer(us.keys["administrator"])
    id = await _taken(web, admin, "orchard.md", "The orchard of Venholt is pruned every February.", "orchard")
    asked = {"question": "When is the orchard of Venholt pruned?", "collection": "orchard"}
    answer = (await web.post("/api/v1/answer", json=asked, headers=admin)).json()
    past = (await _get(web, f"documents/{id}/answers", admin))["answers"]
    assert [one["receipt"] for one in past] == [answer["receipt"]]
    body = {"label": {"class": "restricted"}}
    preview = (await web.post(f"/api/v1/documents/{id}:preview-label", json=body, headers=admin)).json()
    assert answer["receipt"] in str(preview)
    assert (await _get(web, f"documents/{id}", admin))["label"]["class"] != "restricted", "nothing was changed"


async def test_a_neighbour_sees_none_of_it(web: httpx2.AsyncClient, them: Company, document: str) -> None:
    headers = bearer(them.keys["administrator"])
    assert (await _get(web, "graph/entities", headers, query="Northern"))["entities"] == []
    for path in ("diff?older=1&newer=2", "answers", "pages"):
        assert (await web.get(f"/api/v1/documents/{document}/{path}", headers=headers)).status_code == 404, path
    held = await web.post(f"/api/v1/documents/{document}:hold", json={"reason": "x"}, headers=headers)
    assert held.status_code == 404
