"""`bastide ingest`: files and folders into the house, one by one, with progress."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.line import Line, said_code
from bastide.cli.printing import Progress
from bastide.cli.registering import errand
from bastide.errors import BastideError, FileTooLarge, MissingFile, Unauthorised, UnreadableFile

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with all that is in them.")]
Shelf = Annotated[str | None, typer.Option("--collection", help="Which collection to put them into.")]
ClassName = Annotated[str | None, typer.Option("--class", help="public, internal, confidential, restricted or secret.")]
Subjects = Annotated[
    list[str] | None, typer.Option("--subject", metavar="ID", help="Whom the documents are about; may be repeated.")
]

_LOCAL_BYTES_MAX = 2 * 1024**3  # more than any limit of the server, less than the memory


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    errand(root, "ingest", example="bastide ingest contracts/ lease.pdf --collection contracts --class confidential")(
        ingest
    )


async def ingest(
    desk: "Desk", paths: Paths, collection: Shelf = None, class_name: ClassName = None, subject: Subjects = None
) -> int:
    """Take in files and folders; a bad file is reported and the rest goes on.

    A file whose content is already known is not taken in twice. Exit status 1 if a file was refused.
    """
    files = list(_files([Path(path) for path in paths]))
    fields = [("subjects", name) for name in subject or ()]
    fields += [("collection", collection)] if collection else []
    fields += [("label", json.dumps({"class": class_name}))] if class_name else []
    progress = Progress(len(files), quiet=desk.as_json)
    total: dict[str, Any] = {"documents": [], "ingested": 0, "unchanged": 0, "refused": 0}
    async with desk.server() as line:
        for path, name in files:
            progress.show(name)
            _add(total, await _one(line, path, name, fields), progress)
    progress.clear()
    desk.say(total, lambda: _summary(total, progress))
    return 1 if total["refused"] else 0


def _files(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Every file with the name it gets: a folder's files keep their path below it. Hidden ones are left out."""
    for path in paths:
        if path.is_file():
            yield path, path.name
        elif path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                for name in sorted(names):
                    place = Path(folder) / name
                    if not name.startswith(".") and place.is_file():
                        yield place, place.relative_to(path).as_posix()
        else:
            raise MissingFile(f"There is no {path}.")


async def _one(line: Line, path: Path, name: str, fields: list[tuple[str, str]]) -> dict[str, Any]:
    try:
        data = _read(path)
        answer: dict[str, Any] = await line.upload("/api/v1/documents", name, data, fields)
        return answer
    except Unauthorised:
        raise
    except OSError as fault:
        return _refused(name, UnreadableFile(f"The file cannot be opened: {fault.strerror}."))
    except BastideError as fault:
        if said_code(fault).partition(".")[0] in {"tenancy", "store", "egress", "cli", "policy"}:
            raise  # not this file's fault: the next one would fail too
        return _refused(name, fault)


def _read(path: Path) -> bytes:
    if path.stat().st_size > _LOCAL_BYTES_MAX:
        raise FileTooLarge
    return path.read_bytes()


def _refused(name: str, fault: BastideError) -> dict[str, Any]:
    error = fault.to_wire()
    document = {"id": None, "name": name, "status": "refused", "chunks": 0, "error": error}
    return {"documents": [document], "ingested": 0, "unchanged": 0, "refused": 1}


def _add(total: dict[str, Any], answer: dict[str, Any], progress: Progress) -> None:
    total["documents"] += answer["documents"]
    for count in ("ingested", "unchanged", "refused"):
        total[count] += answer[count]
    for document in answer["documents"]:
        progress.done += 1
        if document["status"] != "unchanged":
            progress.chunks += document["chunks"]
        if document["status"] == "refused":
            error = document["error"] or {}
            progress.note(f"{document['name']}: {error.get('message')} {error.get('next') or ''} ({error.get('code')})")


def _summary(total: dict[str, Any], progress: Progress) -> str:
    return (
        f"{total['ingested']} taken in ({progress.chunks} chunks), {total['unchanged']} known already, "
        f"{total['refused']} refused."
    )
