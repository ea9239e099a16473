"""`bastide ingest`: files and folders into the house. One file in one request; several as one job, with progress."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bastide.cli.finding import File, Found, Unseen, found_in
from bastide.cli.following import ENDED, left, not_done
from bastide.cli.giving import a_field, put_together
from bastide.cli.line import Line, said_code, segment
from bastide.cli.printing import Progress, plain
from bastide.cli.registering import errand
from bastide.errors import (
    BadName,
    BastideError,
    BrokenReply,
    FileTooLarge,
    Unauthorised,
    Unreachable,
    UnreadableFile,
)

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Paths = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, and folders with all that is in them.")]
Shelf = Annotated[str | None, typer.Option("--collection", help="Which collection to put them into.")]
ClassName = Annotated[str | None, typer.Option("--class", help="public, internal, confidential, restricted or secret.")]
Subjects = Annotated[
    list[str] | None, typer.Option("--subject", metavar="ID", help="Whom the documents are about; may be repeated.")
]

Meta = Annotated[
    list[Any] | None,
    typer.Option(
        "--meta",
        metavar="KEY=VALUE",
        parser=a_field,
        help="What is said of the documents: text, or KEY:=JSON; the same key twice makes a list.",
    ),
]

Document = dict[str, Any]

_AT_ONCE = 4  # requests at a time
_FILES_MAX = 10_000  # of one intake: it names so many where it says what became of each
_GROUP_MAX, _GROUP_BYTES_MAX = 32, 512 * 1024  # of one request: what the server keeps in one transaction
_LOOK_S = 0.3  # between two looks at the job
_PATIENCE_S = 60.0  # how long a server that went away is waited for
_MAY_READ = "See that it is still there and that you may read it, then give the command again."
_LOCAL_BYTES_MAX = 2 * 1024**3  # more than any limit of the server, less than the memory


def add_to(root: typer.Typer) -> None:
    """Register the command."""
    errand(root, "ingest", example="bastide ingest contracts/ lease.pdf --collection contracts --class confidential")(
        ingest
    )


async def ingest(
    desk: "Desk",
    paths: Paths,
    collection: Shelf = None,
    class_name: ClassName = None,
    subject: Subjects = None,
    meta: Meta = None,
) -> int:
    """Take in files and folders; a bad file is reported and the rest goes on.

    A file whose content is already known is not taken in twice. Several files are one job, which goes on when this
    command is left. Links to folders, links that lead nowhere, pipes and what is hidden are skipped. Exit status 1 if a
    file was refused.
    """
    found = found_in([Path(path) for path in paths])
    files = found.files
    said = json.dumps(put_together(None, None, meta)) if meta else None
    what = _What(collection, class_name, tuple(subject or ()), said)
    progress = Progress(len(files), quiet=desk.as_json)
    became: list[Document] = []
    async with desk.server() as line:
        for some in _parted(files):
            done = await _by_jobs(desk, line, some, what, progress) if len(files) > 1 else None
            if isinstance(done, int):
                return done
            became += await _one_by_one(line, some, what, progress) if done is None else done
    became += [_closed(one, progress) for one in found.closed]
    progress.clear()
    total = _total(became, found)
    _tell_skipped(found, progress)
    desk.say(total, lambda: _summary(total))
    return 1 if total["refused"] else 0


@dataclass(frozen=True, slots=True)
class _What:
    """What is said of all the files."""

    collection: str | None
    class_name: str | None
    subjects: tuple[str, ...]
    metadata: str | None = None  # JSON

    def of_each(self) -> list[tuple[str, str]]:
        """What each file of an intake says for itself."""
        return [("metadata", self.metadata)] if self.metadata else []

    def fields(self) -> list[tuple[str, str]]:
        """As a form has it."""
        fields = [*self.of_each(), *(("subjects", name) for name in self.subjects)]
        fields += [("collection", self.collection)] if self.collection else []
        return fields + ([("label", json.dumps({"class": self.class_name}))] if self.class_name else [])

    def wire(self) -> Document:
        """As an intake has it."""
        label = {"class": self.class_name} if self.class_name else None
        return {"collection": self.collection, "label": label, "subjects": list(self.subjects)}


# -- one by one -------------------------------------------------------------------------------------


async def _one_by_one(line: Line, files: list[File], what: _What, progress: Progress) -> list[Document]:
    """Each file in a request of its own, which answers when it can be searched."""
    found: list[Document] = []
    for path, name in files:
        progress.show(name)
        document = await handed_in(line, path, name, what.fields())
        _tell(document, progress)
        found.append(document)
    return found


async def handed_in(line: Line, path: Path, name: str, fields: list[tuple[str, str]]) -> Document:
    """What became of one file; one that is refused, or cannot be opened, is told and not raised."""
    try:
        answer = await line.upload("/api/v1/documents", [(_sent(name), _read(path))], fields)
        document: Document = answer["documents"][0]
        return document
    except Unauthorised:
        raise
    except OSError as fault:
        return _refused(name, UnreadableFile(f"The file cannot be opened: {fault.strerror}.", next_step=_MAY_READ))
    except BastideError as fault:
        if said_code(fault).partition(".")[0] in {"tenancy", "store", "egress", "cli", "policy", "workflows"}:
            raise  # not this file's fault: the next one would fail too
        return _refused(name, fault)


# -- by jobs ----------------------------------------------------------------------------------------


# 1. an intake is opened: one job that stands for all files     3. it is closed, and followed to its end
# 2. the files are handed in, a few at a time; each is kept      4. what became of each file is told, in their order
async def _by_jobs(
    desk: "Desk", line: Line, files: list[File], what: _What, progress: Progress
) -> list[Document] | int | None:
    """What became of the files; None when nobody works here; an exit status when somebody left."""
    opened = await line.post("/api/v1/intakes", what.wire())
    intake = opened["job"]
    if not opened["workers"]:
        await line.post(f"/api/v1/jobs/{segment(intake)}:cancel", {"reason": "no worker runs"})
        return None
    try:
        try:
            handed = await _hand_in(line, files, [("job", intake), *what.of_each()], progress)
        finally:  # also when somebody leaves: what was handed in is taken in
            await line.post(f"/api/v1/intakes/{segment(intake)}:close")
        job = await _follow(line, intake, progress, sum(one["status"] == "refused" for one in handed))
    except asyncio.CancelledError:
        progress.clear()
        print(await left(desk, line, intake, how=" with what was handed in"), file=sys.stderr)
        return 130
    if job["status"] != "done":
        raise not_done(job)
    became = {one["job"]: one for one in job["output"]["documents"]}
    found = [became.get(one.get("job"), one) for one in handed]
    for document in found:
        _tell(document, progress)
    return found


async def _hand_in(line: Line, files: list[File], fields: list[tuple[str, str]], progress: Progress) -> list[Document]:
    """Each file as it was queued or refused, in their order; no more than a few are in memory."""
    found: list[Document | None] = [None] * len(files)
    left = iter(list(_groups(files)))

    async def hand_in() -> None:
        for first, group in left:
            progress.show(f"handing in {group[0][1]}")
            found[first : first + len(group)] = await _handed_in_together(line, group, fields)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(hand_in())
    except BaseExceptionGroup as several:  # the first one is what is told
        raise several.exceptions[0] from None
    return [one for one in found if one is not None]


async def _handed_in_together(line: Line, group: list[File], fields: list[tuple[str, str]]) -> list[Document]:
    """Small files in one request, which keeps all or none; when one of them is refused each goes by itself."""
    if len(group) > 1:
        with suppress(OSError, BastideError):
            together = [(_sent(name), _read(path)) for path, name in group]
            documents: list[Document] = (await line.upload("/api/v1/documents", together, fields))["documents"]
            return documents
    return [await _patiently(partial(handed_in, line, path, name, fields)) for path, name in group]


def _groups(files: list[File]) -> Iterator[tuple[int, list[File]]]:
    """Files that are small go together; with the place of the first."""
    group: list[File] = []
    room = _GROUP_BYTES_MAX
    for place, (path, name) in enumerate(files):
        size = path.stat().st_size if path.is_file() else _GROUP_BYTES_MAX
        if group and (size > room or len(group) >= _GROUP_MAX):
            yield place - len(group), group
            group, room = [], _GROUP_BYTES_MAX
        group.append((path, name))
        room -= size
    if group:
        yield len(files) - len(group), group


async def _follow(line: Line, intake: str, progress: Progress, refused: int) -> Document:
    place, before = f"/api/v1/jobs/{segment(intake)}", progress.done
    while True:
        job: Document = await _patiently(partial(line.get, place))
        if job["status"] in ENDED:
            progress.done = before  # its files are counted again, one by one, with what became of them
            return job
        progress.done = before + refused + (job["progress"]["done"] if job["status"] == "waiting" else 0)
        progress.show(job.get("why") or "")
        await asyncio.sleep(_LOOK_S)


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What it gives; a server that starts again is waited for."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await ask()
        except (Unreachable, BrokenReply):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(1.0)


# -- files ------------------------------------------------------------------------------------------


def _parted(files: list[File], most: int = _FILES_MAX) -> Iterator[list[File]]:
    """No more files at a time than one intake names."""
    for first in range(0, len(files), most):
        yield files[first : first + most]


def _closed(unseen: Unseen, progress: Progress) -> Document:
    """What nobody may look into is refused: what is in it has not been taken in."""
    document = _refused(unseen.name, UnreadableFile(unseen.why, next_step=_MAY_READ))
    _tell(document, progress)
    return document


def _tell_skipped(found: Found, progress: Progress) -> None:
    """Each thing that is no file by its name; of what is hidden, how much that is."""
    for one in found.skipped:
        progress.note(plain(f"{one.name}: skipped. {one.why}"))
    if found.hidden:
        progress.note(f"Hidden files and folders skipped: {len(found.hidden)}.")


def _sent(name: str) -> str:
    """A name that is the same behind the line. Raises BadName for one with a line break, which a form cannot carry."""
    if "\r" in name or "\n" in name:
        raise BadName("A document's name holds a control character.")
    return name


def _read(path: Path) -> bytes:
    if path.stat().st_size > _LOCAL_BYTES_MAX:
        raise FileTooLarge
    return path.read_bytes()


def _refused(name: str, fault: BastideError) -> Document:
    return {"id": None, "name": name, "status": "refused", "chunks": 0, "error": fault.to_wire()}


def _tell(document: Document, progress: Progress) -> None:
    progress.done += 1
    if document["status"] == "ready":
        progress.chunks += document["chunks"]
    if document["status"] == "refused":
        error = document["error"] or {}
        why = f"{error.get('message')} {error.get('next') or ''} ({error.get('code')})"
        progress.note(plain(f"{document['name']}: {why}"))


def _total(became: list[Document], found: Found) -> Document:
    count = {word: sum(one["status"] == word for one in became) for word in ("ready", "unchanged", "refused")}
    return {
        "documents": became,
        "ingested": count["ready"],
        "unchanged": count["unchanged"],
        "refused": count["refused"],
        "skipped": [asdict(one) for one in (*found.skipped, *found.hidden)],
    }


def _summary(total: Document) -> str:
    chunks = sum(one["chunks"] for one in total["documents"] if one["status"] == "ready")
    skipped = f", {len(total['skipped'])} skipped" if total["skipped"] else ""
    return (
        f"{total['ingested']} taken in ({chunks} chunks), {total['unchanged']} known already, "
        f"{total['refused']} refused{skipped}."
    )
