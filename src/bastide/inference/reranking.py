"""The wire of re-rankers, as a client: `POST {base}/rerank`, as Cohere, Jina, vLLM and others have it.

Nothing that arrives is trusted to have a shape: every text gets one finite score, or the answer is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bastide.egress import Client
from bastide.errors import UpstreamGarbage
from bastide.inference.openai_style import Place, read_object, refuse

_SCORES = ("relevance_score", "score")


async def rerank(
    client: Client, place: Place, model: str, query: str, texts: Sequence[str]
) -> tuple[list[float], int | None]:
    """A score for each text, in the order of the texts, and the tokens that the server counted."""
    asked = {"model": model, "query": query, "documents": list(texts), "top_n": len(texts), "return_documents": False}
    body = place.encoded(asked, "rerank")
    reply = await client.request("POST", place.address("rerank"), content=body, headers=place.headers())
    if reply.status != 200:
        refuse(reply.status, reply.headers, reply.body, place)
    answer = read_object(reply.body)
    rows = answer.get("results", answer.get("data"))
    if not isinstance(rows, list) or len(rows) != len(texts):
        raise UpstreamGarbage(f"{len(texts)} texts were sent, and not as many scores came back.")
    found: list[float | None] = [None] * len(texts)
    for row in rows:
        index = row.get("index") if isinstance(row, dict) else None
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(texts):
            raise UpstreamGarbage("The scores are not numbered as the texts were.")
        score = next((row[name] for name in _SCORES if name in row), None)
        if found[index] is not None or isinstance(score, bool) or not isinstance(score, int | float):
            raise UpstreamGarbage("A text has no score, or has two.")
        if not math.isfinite(score):
            raise UpstreamGarbage("A score is no finite number.")
        found[index] = float(score)
    usage = answer.get("usage")
    counted = usage.get("total_tokens") if isinstance(usage, dict) else None
    whole = isinstance(counted, int) and not isinstance(counted, bool) and 0 <= counted < 10**9
    return [score for score in found if score is not None], counted if whole else None
