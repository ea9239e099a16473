"""`bastide embedder list|use|off`: which of them read the documents of a collection."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.following import PATIENCE_S, follow
from bastide.cli.printing import table
from bastide.cli.registering import errand

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Which = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, as `bastide model list` shows it.")]
Where = Annotated[
    str | None, typer.Option("--collection", metavar="C", help="[default: every collection that has none of its own]")
]
Beside = Annotated[bool, typer.Option("--beside", help="Keep the others: a query is read by the one that knows it.")]
Languages = Annotated[
    list[str] | None,
    typer.Option(
        "--language", metavar="L", help="A language it knows, such as de; may be repeated.  [default: its own]"
    ),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job to its end.")]

_embedder = typer.Typer(help="Which embedders read the documents, and how far they are.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    errand(_embedder, "list", example="bastide embedder list")(list_embedders)
    errand(_embedder, "use", example="bastide embedder use local/minilm --collection contracts --beside")(use)
    errand(_embedder, "off", example="bastide embedder off local/minilm --collection contracts")(off)
    root.add_typer(_embedder, name="embedder")


async def list_embedders(desk: "Desk") -> None:
    """List the embedders of each collection, with how many of its chunks each has read."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/embedders")
    desk.say(wire, lambda: _listed(wire["embedders"]))


def _listed(found: list[dict[str, Any]]) -> str:
    if not found:
        return "There are no documents yet, or no embedder: `bastide model list` shows what there is."
    rows = [
        [
            one["collection"],
            one["model"],
            _state(one),
            f"{one['chunks']} of {one['of']}",
            ", ".join(one["languages"]) or "all",
        ]
        for one in found
    ]
    shown = table(rows, ("collection", "embedder", "state", "chunks", "languages"))
    if any(one["state"] == "left" or (one["state"] == "on" and one["chunks"] < one["of"]) for one in found):
        shown += "\n`bastide job run knowledge.reembed` reads what is missing, and drops vectors that are left over."
    return shown


def _state(one: dict[str, Any]) -> str:
    word = str(one["state"]) + (" (nothing is set)" if one["usual"] else "")
    return word if one["ready"] or one["state"] == "left" else f"{word}, not here now"


async def use(
    desk: "Desk",
    which: Which,
    *,
    collection: Where = None,
    beside: Beside = False,
    language: Languages = None,
    wait: Wait = True,
) -> int:
    """Give a collection, or all, this embedder, as a job; the old vectors answer until the new ones are complete.

    Ctrl-C leaves the job running.
    """
    given = {"model": which, "collection": collection, "beside": beside, "languages": list(language or [])}
    async with desk.server() as line:
        made = await line.post("/api/v1/jobs", {"type": "knowledge.use_embedder", "input": given})
        if wait:
            return await follow(desk, line, made["id"], patience_s=PATIENCE_S)
    desk.say(made, lambda: f"{made['id']} is accepted. Follow it with `bastide job follow {made['id']}`.")
    return 0


async def off(desk: "Desk", which: Which, *, collection: Where = None) -> None:
    """Switch an embedder off; the vectors that it made go."""
    async with desk.server() as line:
        wire = await line.post("/api/v1/embedders:off", {"model": which, "collection": collection})
    where = f"the collection {collection}" if collection else "all collections without their own"
    desk.say(wire, lambda: f"{which} is switched off for {where}; its vectors are gone.")
