"""`bastide collection list|show|export|import`: what stands where, and how a collection moves to another house."""

import asyncio
import hashlib
import os
import shlex
import sys
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.following import left, output_of
from bastide.cli.line import Line, Sent, said_code, segment
from bastide.cli.printing import LiveLine, sheet, table, when, wrap
from bastide.cli.registering import errand
from bastide.cli.writing import fresh_file
from bastide.errors import (
    BrokenExport,
    BrokenReply,
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
    """Write a collection to a zip file: originals, versions, labels, members, days, merges, splits; as a job.

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
        _refuse_taken(place)
        digest, shown = hashlib.sha256(), LiveLine(quiet=desk.as_json)
        with fresh_file(place, mode=0o600) as file:

            def take(piece: bytes) -> None:
                digest.update(piece)
                file.write(piece)
                shown.show(f"fetching {place.name}: {_share(file.tell(), found.get('bytes'))}")

            await line.fetch(f"/api/v1/jobs/{segment(began)}/artifact", take)
            shown.clear()
            if digest.hexdigest() != found.get("sha256"):
                raise BrokenReply(f"The file that came is not the one that {began} made.")
            _refuse_taken(place)
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
    if found.get("splits"):
        lines.append(f"Splits of entities that go along: {found['splits']}.")
    if found.get("merges_left") or found.get("splits_left"):
        lines.append(
            f"Left behind, with what other documents name: "
            f"{found['merges_left']} merges, {found['splits_left']} splits."
        )
    lines.append(f"Bring it in elsewhere: bastide collection import {place}")
    return "\n".join(map(wrap, lines))


# -- in ---------------------------------------------------------------------------------------------


async def import_collection(desk: "Desk", file: Archive, into: Into = None) -> int:
    """Take in a collection as it was exported, as a job; nothing that is there is replaced.

    An archive that was changed is refused whole. Ctrl-C leaves the job running. Exit status 1 if a document was
    refused.
    """
    place = Path(file)
    fields = [("collection", into)] if into is not None else []
    with _archive(place) as data:
        async with desk.server() as line:
            began = await _sent(line, place, data, fields, LiveLine(quiet=desk.as_json))
            return await _brought(desk, line, began)


async def _sent(line: Line, place: Path, data: IO[bytes], fields: list[tuple[str, str]], shown: LiveLine) -> str:
    """The job that takes the archive in."""
    size = data.seek(0, os.SEEK_END)
    data.seek(0)

    def told(gone: int) -> None:
        last = "" if gone < size else "; it is being compared with its manifest"
        shown.show(f"sending {place.name}: {_share(gone, size)}{last}")

    job: str = (await line.send("/api/v1/collections:import", Sent(place.name, size, data, told), fields))["job"]
    shown.clear()
    return job


async def _brought(desk: "Desk", line: Line, began: str) -> int:
    try:
        found = await output_of(desk, line, began)
    except asyncio.CancelledError:
        print(await left(desk, line, began), file=sys.stderr)
        return 130
    desk.say({"job": began, **found}, lambda: _imported(found))
    return 1 if found["refused"] else 0


@contextmanager
def _archive(place: Path) -> Generator[IO[bytes]]:
    """An archive, open. Raises MissingFile, BrokenExport."""
    if not place.is_file():
        raise MissingFile(f"There is no file {place}.")
    if not zipfile.is_zipfile(place):
        raise BrokenExport(f"{place} is not a zip file.")
    with place.open("rb") as file:
        yield file


def _share(some: int, all: object) -> str:
    """So much of all, in MiB."""
    return f"{some / 1024**2:,.0f} of {all / 1024**2 if isinstance(all, int) else 0:,.0f} MiB"


def _imported(found: dict[str, Any]) -> str:
    refused = found["refused"]
    lines = [f"{found['documents']} documents came into {found['collection']}, {len(refused)} were refused."]
    for one in refused:
        error = one["error"] or {}
        lines.append(f"- {one['name']}: {error.get('message')} {error.get('next') or ''} ({error.get('code')})")
    for kind, sign in (("splits", " + "), ("merges", " = ")):
        count = found[kind]
        if any(count[word] for word in ("made", "known", "left")):
            became = f"{count['made']} made again, {count['known']} known already, {count['left']} left."
            lines.append(f"{kind.capitalize()} of entities: {became}")
        lines += [f"- {sign.join(one['entities'])}: {one['why']}" for one in count["reasons"]]
    return "\n".join(wrap(one, "  ", "") for one in lines)
