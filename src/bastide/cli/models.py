"""`bastide model list|add|remove`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bastide.cli.law import explain_model
from bastide.cli.line import segment
from bastide.cli.printing import sheet, table
from bastide.cli.registering import errand, program
from bastide.errors import MissingFile

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

ModelName = Annotated[str, typer.Option("--name", help="What it is called here.")]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="K",
        help="How the endpoint speaks: openai (any OpenAI-style server), openai-api (OpenAI itself), vllm, llamacpp, "
        "ollama, ovhcloud, mistral, scaleway, ionos, stackit, t-systems, infomaniak, nebius, openrouter, anthropic, "
        "gemini; in batches only: openai-batch, ovhcloud-batch.",
    ),
]
Url = Annotated[
    str,
    typer.Option("--url", help="Where it answers, as https://api.example.eu/v1.  [default: as its record says]"),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="F", help="A file with the endpoint's own key; it is kept sealed.")
]
Upstream = Annotated[str | None, typer.Option("--model", help="What the endpoint calls it.  [default: it is asked]")]
Provider = Annotated[str | None, typer.Option("--provider", metavar="ID", help="The provider record it stands on.")]
Local = Annotated[bool, typer.Option("--local", help="A runtime on our own machine: no outside provider.")]
Capability = Annotated[
    list[str] | None,
    typer.Option("--capability", help="What it does: chat, embeddings, vision, ...; repeatable.  [default: guessed]"),
]
Rate = Annotated[
    int | None,
    typer.Option("--rpm", metavar="N", min=1, help="Requests a minute under its key.  [default: as its record says]"),
]
Rank = Annotated[int | None, typer.Option("--rank", metavar="N", help="The lowest is chosen first.")]
Pseudonymise = Annotated[
    bool, typer.Option("--pseudonymise", help="What identifies a person is sent to it under pseudonyms only.")
]
ModelFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A model's folder, or a GGUF file.")]
ServedName = Annotated[str | None, typer.Option("--name", help="What it is called here.  [default: the folder's name]")]
Which = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]

_model = typer.Typer(help="The models of the tenant.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    errand(_model, "list", example="bastide model list")(list_models)
    errand(_model, "add", example="bastide model add --name llama --url http://127.0.0.1:8000/v1 --local")(add)
    program(_model, "serve", "hosting", example="bastide model serve ~/models/tiny --name tiny")(serve)
    errand(_model, "sync", example="bastide model sync --provider ovhcloud/ai-endpoints/gra")(sync_models)
    errand(_model, "offered", example="bastide model offered --provider ovhcloud/ai-endpoints/gra")(offered)
    errand(_model, "explain", example="bastide model explain writer --personal special")(explain_model)
    errand(_model, "remove", example="bastide model remove llama")(remove)
    root.add_typer(_model, name="model")


async def list_models(desk: "Desk") -> None:
    """List the models."""
    async with desk.server() as line:
        items = await line.all("/api/v1/models")
    columns = ("name", "kind", "capabilities", "record", "url", "problem")
    desk.say({"models": items}, lambda: table([[item.get(column) for column in columns] for item in items], columns))


async def add(
    desk: "Desk",
    name: ModelName,
    *,
    url: Url = "",
    kind: Kind = "openai",
    key_file: KeyFile = None,
    model: Upstream = None,
    provider: Provider = None,
    local: Local = False,
    capability: Capability = None,
    rpm: Rate = None,
    rank: Rank = None,
    pseudonymise: Pseudonymise = False,
) -> None:
    """Add a model: a runtime of our own, or an endpoint of a provider whose record is known."""
    body = {
        "name": name,
        "kind": kind,
        "url": url,
        "key": _key(Path(key_file)) if key_file else None,
        "model": model,
        "provider": provider,
        "local": local,
        "capabilities": capability or None,
        "rank": rank,
        "requests_per_minute": rpm,
        "pseudonymise": pseudonymise,
    }
    async with desk.server() as line:
        made = await line.post("/api/v1/models", body)
    desk.say(made, lambda: sheet(made))


def serve(folder: ModelFolder, name: ServedName = None) -> None:
    """Serve a model folder on this machine and add it as a local model, for as long as the command runs.

    A GGUF file is served by llama.cpp; safetensors by vLLM where there is a GPU, else by transformers; what CTranslate2
    has converted by CTranslate2. Nothing is downloaded. A runtime that dies is started again.
    """


def _key(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except FileNotFoundError as fault:
        raise MissingFile(f"There is no {file}.") from fault


async def sync_models(
    desk: "Desk", of: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None, *, provider: Provider = None
) -> None:
    """Ask the endpoint of a model, or of a provider, what it offers: what came, what went, whose price has changed."""
    async with desk.server() as line:
        done = await line.post("/api/v1/models:sync", {"model": of, "provider": provider})
    desk.say(done, lambda: sheet(done))


async def offered(desk: "Desk", *, provider: Provider = None) -> None:
    """What endpoints offered when they were last asked."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/models:offered", **({"provider": provider} if provider else {}))
    columns = ("record", "name", "context_tokens", "input_price", "output_price", "currency", "seen_at", "gone_at")
    rows = [[item.get(column) for column in columns] for item in wire["offers"]]
    desk.say(wire, lambda: table(rows, columns))


async def remove(desk: "Desk", which: Which) -> None:
    """Remove a model; its sealed key goes with it."""
    async with desk.server() as line:
        wire = await line.delete(f"/api/v1/models/{segment(which)}")
    desk.say(wire, lambda: f"{which} is removed.")
