"""`bastide collection list|show|export|import`: what stands where, and how a collection moves to another house."""

import asyncio
import hashlib
import shlex
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.following import left, output_of
from bastide.cli.line import Line, said_code, segment
from bastide.cli.printing import sheet, table, when, wrap
from bastide.cli.registering import errand
from bastide.cli.writing import write_file
from bastide.errors import (
    BrokenExport,
    BrokenReply,
    ExportTooLarge,
    FileThere,
    MembersOnly,
    MissingFile,
    ServerSaid,
    UnknownCollection,
)

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Name = Annotated[str, typer.Argument(metavar="NAME", help="A collection, from `bastide collection list`.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The zip file to write; there must be none yet.")]
Made = Annotated[
    str | None, typer.Option("--job", metavar="ID", help="Fetch what this export made, for a week; begin none.")
]
Archive = Annotated[Path, typer.Argument(metavar="FILE", help="A zip file of `bastide collection export`.")]
Into = Annotated[
    str | None, typer.Option("--into", metavar="NAME", help="The collection to put it into.  [default: its own]")
]

_ARCHIVE_BYTES_MAX = 512 * 1024 * 1024  # more than an export can be

_collection = typer.Typer(help="What stands on which shelf; out to a file, and in again.", no_args_is_help=True)


def add_to(root: typer.Typer) -> None:
    """Register the group."""
    errand(_collection, "list", example="bastide collection list")(list_collections)
    errand(_collection, "show", example="bastide collection show contracts")(show_collection)
    errand(_collection, "export", example="bastide collection export contracts --out contracts.zip")(export_collection)
    errand(_collection, "import", example="bastide collection import contracts.zip --into copies")(import_collection)
    root.add_typer(_collection, name="collection")


async def list_collections(desk: "Desk") -> None:
    """List the collections that you see, with how many documents each holds."""
    async with desk.server() as line:
        wire = await line.get("/api/v1/collections")
    rows = [(one["name"], one["documents"], when(one["created"])) for one in wire["collections"]]
    empty = "There is no collection yet: `bastide ingest PATH --collection NAME` makes one."
    desk.say(wire, lambda: table(rows, ("collection", "documents", "made (UTC)")) if rows else empty)


async def show_collection(desk: "Desk", name: Name) -> None:
    """Show one collection: its documents counted, its members, and for how long it keeps what it holds."""
    async with desk.server() as line:
        kept = await _kept(line, name)
    desk.say(kept, lambda: sheet(_facts(kept)))


def _facts(kept: dict[str, Any]) -> dict[str, Any]:
    members = [f"{member} ({access})" for member, access in kept["members"].items()]
    days = kept["retention_days"]
    return {
        "collection": kept["name"],
        "documents": kept["documents"],
        "members": ", ".join(members) or "none: it is open to its tenant",
        "kept": f"{days} days after the last change" if days else "for good",
        "made (UTC)": when(kept["created"]),
    }


async def _kept(line: Line, name: str) -> dict[str, Any]:
    kept: dict[str, Any] = await line.get(f"/api/v1/collections/{segment(name)}")
    return kept


# -- out --------------------------------------------------------------------------------------------


async def export_collection(desk: "Desk", name: Name, out: Out, job: Made = None) -> int:
    """Write a collection to a zip file: originals, versions, labels, members, days, merges; as a job.

    Ctrl-C leaves the job running; --job fetches later what it made.
    """
    place = Path(out)
    _refuse_taken(place)
    async with desk.server() as line:
        kept = await _kept(line, name)
        began = job or (await line.post("/api/v1/jobs", _export_of(name)))["id"]
        try:
            found = await output_of(desk, line, began)
        except asyncio.CancelledError:
            print(f"\n{began} goes on." if job else await left(desk, line, began), file=sys.stderr)
            if job or desk.tenant is None:
                again = shlex.join(["bastide", "collection", "export", name, "--out", str(place), "--job", began])
                print(f"Then: `{again}`.", file=sys.stderr)
            return 130
        except ServerSaid as fault:
            if kept["members"] and said_code(fault) == UnknownCollection.code:  # seen by who manages, read by members
                raise MembersOnly(f"{name!r} has members, and you are none of them.") from fault
            raise
        data = await line.raw(f"/api/v1/jobs/{segment(began)}/artifact")
    if hashlib.sha256(data).hexdigest() != found.get("sha256"):
        raise BrokenReply(f"The file that came is not the one that {began} made.")
    _refuse_taken(place)
    write_file(place, data, mode=0o600)
    wire = {"job": began, "file": str(place), **found}
    desk.say(wire, lambda: _exported(name, place, found))
    return 0


def _export_of(name: str) -> dict[str, Any]:
    return {"type": "knowledge.export", "input": {"collection": name}}


def _refuse_taken(place: Path) -> None:
    if place.exists():
        raise FileThere(f"{place} is there already.")
    if not place.absolute().parent.is_dir():
        raise MissingFile(f"There is no folder {place.absolute().parent}.")


def _exported(name: str, place: Path, found: dict[str, Any]) -> str:
    lines = [f"{found['documents']} documents of {name} are in {place} ({found['bytes']:,} bytes)."]
    if found.get("merges"):
        lines.append(f"Merges of entities that go along: {found['merges']}.")
    if found.get("merges_left"):
        lines.append(f"Merges left behind, with what other documents name or a split: {found['merges_left']}.")
    lines.append(f"Bring it in elsewhere: bastide collection import {place}")
    return "\n".join(map(wrap, lines))


# -- in ---------------------------------------------------------------------------------------------


async def import_collection(desk: "Desk", file: Archive, into: Into = None) -> int:
    """Take in a collection as it was exported, as a job; nothing that is there is replaced.

    An archive that was changed is refused whole. Ctrl-C leaves the job running. Exit status 1 if a document was
    refused.
    """
    place = Path(file)
    data = _read(place)
    fields = [("collection", into)] if into is not None else []
    async with desk.server() as line:
        began = (await line.upload("/api/v1/collections:import", [(place.name, data)], fields))["job"]
        del data
        try:
            found = await output_of(desk, line, began)
        except asyncio.CancelledError:
            print(await left(desk, line, began), file=sys.stderr)
            return 130
    desk.say({"job": began, **found}, lambda: _imported(found))
    return 1 if found["refused"] else 0


def _read(place: Path) -> bytes:
    """The bytes of an archive. Raises MissingFile, BrokenExport, ExportTooLarge."""
    if not place.is_file():
        raise MissingFile(f"There is no file {place}.")
    if not zipfile.is_zipfile(place):
        raise BrokenExport(f"{place} is not a zip file.")
    if place.stat().st_size > _ARCHIVE_BYTES_MAX:
        raise ExportTooLarge(f"{place} holds more than {_ARCHIVE_BYTES_MAX // 1024**2} MiB.")
    return place.read_bytes()


def _imported(found: dict[str, Any]) -> str:
    refused, merges = found["refused"], found["merges"]
    lines = [f"{found['documents']} documents came into {found['collection']}, {len(refused)} were refused."]
    for one in refused:
        error = one["error"] or {}
        lines.append(f"- {one['name']}: {error.get('message')} {error.get('next') or ''} ({error.get('code')})")
    if any(merges[word] for word in ("made", "known", "left")):
        lines.append(
            f"Merges of entities: {merges['made']} made again, {merges['known']} known already, {merges['left']} left."
        )
    lines += [f"- {' = '.join(one['entities'])}: {one['why']}" for one in merges["reasons"]]
    return "\n".join(wrap(one, "  ", "") for one in lines)
