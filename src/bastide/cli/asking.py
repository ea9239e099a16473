"""`bastide search` and `bastide ask`."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.giving import a_field, put_together
from bastide.cli.printing import LiveLine, passage, wrap
from bastide.cli.registering import errand
from bastide.errors import BrokenReply

if TYPE_CHECKING:
    from bastide.cli.desk import Desk
    from bastide.cli.line import Line

Query = Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")]
Asked = Annotated[str, typer.Argument(metavar="QUESTION", help="A question in plain words.")]
Limit = Annotated[int, typer.Option("-k", "--limit", min=1, max=100, help="How many passages.")]
AnswerLimit = Annotated[int, typer.Option("-k", "--limit", min=1, max=50, help="How many passages to answer from.")]
Shelf = Annotated[str | None, typer.Option("--collection", help="Look into this collection only.")]
Meta = Annotated[
    list[Any] | None,
    typer.Option(
        "--meta", metavar="KEY=VALUE", parser=a_field, help="Only documents with this metadata; KEY:=JSON for numbers."
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", help="Which model writes the answer.  [default: the best allowed]")
]


def add_to(root: typer.Typer) -> None:
    """Register the commands."""
    errand(root, "search", example='bastide search "right to erasure" -k 3 --collection examples')(search)
    errand(root, "ask", example='bastide ask "When must personal data be erased?"')(ask)


async def search(desk: "Desk", query: Query, limit: Limit = 8, collection: Shelf = None, meta: Meta = None) -> None:
    """Find passages, best first, each with where it stands."""
    async with desk.server() as line:
        body = {"query": query, "limit": limit, "collection": collection, "filters": _filters(meta)}
        found = await line.post("/api/v1/search", body)
    desk.say(found, lambda: _passages(found))


async def ask(
    desk: "Desk",
    question: Asked,
    model: Model = None,
    limit: AnswerLimit = 8,
    collection: Shelf = None,
    meta: Meta = None,
) -> None:
    """Answer a question from the documents, with numbered citations and a receipt.

    Without a generative model the answer is made of the documents' own sentences, and says so.
    """
    body = {
        "question": question,
        "model": model,
        "limit": limit,
        "collection": collection,
        "filters": _filters(meta),
    }
    async with desk.server() as line:
        answer = await _told(desk, line, body)
    desk.say(answer, lambda: _answer(answer))


def _filters(meta: list[Any] | None) -> dict[str, Any]:
    return {"metadata": put_together(None, None, meta)} if meta else {}


async def _told(desk: "Desk", line: "Line", body: dict[str, Any]) -> dict[str, Any]:
    """The answer; while it is made, one line tells how far it is. What is written is shown once it was checked."""
    live, words = LiveLine(quiet=desk.as_json), 0
    answer: dict[str, Any] = {}
    async with aclosing(line.events("/api/v1/answer", body)) as events:
        async for event in events:
            if "text" in event:
                words += len(event["text"].split())
                live.show(f"A model writes: {words} words.")
            elif "answer" in event:
                answer = event
            else:
                live.show(f"{len(event['passages'])} passages were found.")
    live.clear()
    if not answer:
        raise BrokenReply("The stream of the answer ended without one.")
    return answer


def _passages(found: dict[str, Any]) -> str:
    shown = [passage(one) for one in found["passages"]] or ["Nothing was found."]
    return "\n\n".join([*shown, f"{len(found['passages'])} passages in {found['took_ms']:.0f} ms."])


def _answer(answer: dict[str, Any]) -> str:
    parts = [wrap(answer["answer"])]
    if answer["citations"]:
        parts.append("Sources")
        parts += [passage(one) for one in answer["citations"]]
    if answer["unsupported"]:
        parts.append("Not supported by any cited passage:")
        parts += [wrap(_sentence(one), "  ", "- ") for one in answer["unsupported"]]
    how = (
        "the documents' own sentences, no model wrote them" if answer["mode"] == "extractive" else "written by a model"
    )
    facts = [f"Mode:    {answer['mode']} ({how})", f"Model:   {answer['model']}"]
    if answer["receipt"]:
        facts.append(f"Receipt: {answer['receipt']}   (bastide receipt {answer['receipt']} --out receipt.json)")
    parts.append("\n".join(facts))
    parts += [wrap(note) for note in answer.get("notes") or ()]
    return "\n\n".join(parts)


def _sentence(one: Any) -> str:
    return str(one["text"]) if isinstance(one, dict) else str(one)
