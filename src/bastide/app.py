"""The house: where rooms are built and joined, opened in order and closed in reverse; its ground is the gatehouse.

open_house   the rooms, for as long as a block runs         serve         the doors, until a signal asks to stop
first_start  the first administrator's key                  Examples      what a new house has to show
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bastide.api import Part, address_of, bound
from bastide.api.doors import Rooms, Server, create
from bastide.compliance import Upkeep, bring_up_to_date
from bastide.errors import BastideError, ExamplesNotEmbedded
from bastide.gatehouse import Stopping, open_gatehouse, settle_down, stopping
from bastide.inference.jobs import Batches, job_types
from bastide.knowledge import Knowledge, Projections
from bastide.settings import Settings
from bastide.store import Scope
from bastide.telemetry import log
from bastide.workflows import Job, Workflows

Role = Literal["api", "worker", "sequencer", "all"]

ADMIN_KEY = Path("secrets") / "admin-key"
"""Where the first administrator's key lies, below the home."""


@dataclass(frozen=True)
class House(Rooms):
    """Every room of this version, joined."""


@asynccontextmanager
async def open_house(
    settings: Settings, *, sequence: bool, work: bool = False, register: Callable[[House], None] = lambda house: None
) -> AsyncGenerator[House]:
    """The house, open while the block runs; `sequence` lets it append to the audit log, `work` do what is dispatched.

    `register` may add job types before that. A room that does not open closes those that did, and raises.
    """
    async with open_gatehouse(settings, sequence=sequence) as calls, AsyncExitStack() as opened:
        store, audit, tenancy, policy = calls.store, calls.audit, calls.tenancy, calls.policy
        inference = calls.inference
        workflows = Workflows(store, audit, tenancy, policy, settings.work)
        knowledge = Knowledge(store, audit, policy, inference, workflows, settings.knowledge)
        projections = Projections(store, audit, tenancy, policy, calls.egress, workflows)
        for kind in job_types(inference):
            workflows.register(kind)
        files_bytes_max = settings.inference.files_bytes_max
        reserving = inference.accounts.reserving
        batches = Batches(
            store, audit, tenancy, workflows, inference.gateway, reserving, files_bytes_max=files_bytes_max
        )
        Upkeep(store, audit, knowledge, inference, settings).register(workflows)
        opened.push_async_callback(knowledge.stop)
        await knowledge.start()
        house = House(
            settings=settings,
            store=store,
            audit=audit,
            tenancy=tenancy,
            policy=policy,
            egress=calls.egress,
            workflows=workflows,
            inference=inference,
            batches=batches,
            knowledge=knowledge,
            projections=projections,
        )
        register(house)
        for worker in (workflows, projections, batches):
            opened.push_async_callback(worker.stop)
            await worker.start(work=work)
        if work:
            opened.callback(asyncio.create_task(bring_up_to_date(tenancy, knowledge)).cancel)
        opened.callback(store.leave)
        yield house


# -- the first start --------------------------------------------------------------------------------


async def first_start(house: House) -> bool:
    """Make the tenant `home` and its administrator, if they are not there; True if this was the first start.

    A start that dies between the database and the file leaves a mark, and the next one makes another key.
    """
    place = house.settings.home / ADMIN_KEY
    interrupted = _begun(place)
    if interrupted is None:
        return False
    made = await house.tenancy.first_start()
    if made is None and interrupted:
        made = await house.tenancy.renew_admin_key()
    if made is not None:
        _write_secret(place, made.key)
    _mark(place).unlink(missing_ok=True)
    return made is not None


def _mark(place: Path) -> Path:
    return place.with_name("admin-key.pending")


def _begun(place: Path) -> bool | None:
    """Whether an earlier first start was interrupted; None when there is nothing to do. Leaves the mark."""
    if place.exists() and not _mark(place).exists():
        return None
    interrupted = _mark(place).exists()
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _mark(place).touch(mode=0o600)
    return interrupted


def _write_secret(place: Path, secret: str) -> None:
    fresh = place.with_name(f".{place.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(place)


class Examples:
    """The example documents of a new house, taken in once; what was begun is finished at the next start."""

    def __init__(self, house: House, folder: Path | None) -> None:
        self._house = house
        self._folder = folder
        self._mark = house.settings.home / "examples.pending"
        self._files = sorted(_documents(folder), key=lambda path: path.stat().st_size) if folder else []
        self._progress = ""
        self._problem = ""

    @property
    def pending(self) -> bool:
        """Whether there is still something to take in."""
        return bool(self._files) and self._mark.exists()

    def want(self) -> None:
        """Ask for them: this is a first start."""
        if self._files:
            self._mark.touch()

    async def load(self, said: Callable[[str], None], *, on_searchable: Callable[[], object]) -> None:
        """Take them in as the administrator: first all words, so that they can be asked, then all meanings, as a job.

        A failure is told in /readyz and stops nothing else.
        """
        try:
            scope = await self._house.tenancy.authenticate((self._house.settings.home / ADMIN_KEY).read_text().strip())
            for path in self._files:
                await self._take_in(scope, path, said)
        except (BastideError, OSError) as fault:
            self._failed(fault)
            on_searchable()
            return
        on_searchable()
        try:
            await self._embed(scope)
        except BastideError as fault:
            self._failed(fault)

    async def _embed(self, scope: Scope) -> None:
        work = self._house.workflows
        job = await work.dispatch(scope, Job("knowledge.reembed", {"collection": "examples"}, dedup="examples"))
        async for record in work.watch(scope, [job.id]):
            done = f"{record.progress.done} of {len(self._files)}"
            self._progress = f"{done} examples are embedded ({job.id}); all are searched by their words."
        ended = await work.job(scope, job.id)
        if ended.status != "done":
            raise ExamplesNotEmbedded(f"The job {job.id} is {ended.status}.")
        self._progress = "Loaded."
        self._mark.unlink(missing_ok=True)

    def _failed(self, fault: Exception) -> None:
        self._problem = str(fault)
        log.warning("the examples were not loaded: %s", fault)

    async def _take_in(self, scope: Scope, path: Path, said: Callable[[str], None]) -> None:
        number = self._files.index(path) + 1
        said(f"Example {number} of {len(self._files)}: {path.name}")
        self._progress = f"{number - 1} of {len(self._files)} examples are loaded."
        data = await asyncio.to_thread(path.read_bytes)
        label = {"class": "public", "personal": "none"}
        await self._house.knowledge.ingest(scope, path.name, data, collection="examples", label=label, vectors=False)

    def notices(self) -> list[Part]:
        """What /readyz says of them."""
        if self._problem:
            step = "It is tried again at the next start; `bastide ingest` takes in documents of your own."
            return [Part("examples", "attention", f"The examples were not loaded: {self._problem}", step)]
        if self._progress:
            return [Part("examples", "busy" if self.pending else "ok", self._progress)]
        return []


def examples_folder() -> Path | None:
    """Where the examples lie: in the installed package, or in the checkout that it is run from."""
    package = Path(__file__).parent
    for place in (package / "examples", package.parents[1] / "examples"):
        if place.is_dir() and any(_documents(place)):
            return place
    return None


def _documents(folder: Path) -> Generator[Path]:
    kinds = {".txt", ".md", ".html", ".pdf", ".docx"}
    return (path for path in folder.iterdir() if path.suffix in kinds and not path.name.startswith("README"))


# -- serving ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """A house whose doors are open. `url` is None for a role without doors."""

    house: House
    url: str | None
    examples: Examples


async def serve(
    settings: Settings,
    *,
    role: Role,
    on_ready: Callable[[Served], Any],
    on_open: Callable[[Served], Any] = lambda served: None,
    examples: bool = False,
    said: Callable[[str], None] = lambda line: None,
    stop: asyncio.Event | None = None,
    register: Callable[[House], None] = lambda house: None,
    ahead: bool = True,
) -> None:
    """Play a role until SIGTERM, SIGINT or `stop`: then finish what runs, at most ten seconds, and close the house.

    `on_open` is called when the doors answer, `on_ready` when the examples of a first start can be asked as well.
    `ahead`: what is opened when it is first needed is opened soon after the doors, so that nobody waits for it.
    The address is bound before anything else is opened. Raises PortTaken or AddressUnusable, and what the rooms
    raise. A second signal does not wait for running requests.
    """
    doors, work = role in {"api", "all"}, role in {"worker", "all"}
    sockets = await bound(settings.server) if doors else []
    sequence = role in {"sequencer", "all"}
    async with stopping(stop) as asked, open_house(settings, sequence=sequence, work=work, register=register) as house:
        shown = Examples(house, examples_folder() if examples else None)
        if doors and await first_start(house):
            shown.want()
        if not doors:
            on_ready(Served(house, None, shown))
            if work and ahead:
                house.inference.open_ahead()
            await asked.wait()
        elif not asked.is_set():
            url = address_of(settings.server.host, sockets[0].getsockname()[1])
            served = Served(house, url, shown)
            await _answer(served, asked, sockets, show=_show(served, on_open, on_ready, said, ahead=ahead))


async def _show(
    served: Served,
    on_open: Callable[[Served], Any],
    on_ready: Callable[[Served], Any],
    said: Callable[[str], None],
    *,
    ahead: bool,
) -> None:
    on_open(served)
    if ahead:
        served.house.inference.open_ahead()
    settle_down()
    if served.examples.pending:
        await served.examples.load(said, on_searchable=lambda: on_ready(served))
    else:
        on_ready(served)


async def _answer(served: Served, asked: Stopping, sockets: list[Any], *, show: Coroutine[Any, Any, None]) -> None:
    tasks: list[asyncio.Task[None]] = []
    doors = create(served.house, notices=served.examples.notices)
    server = Server(doors, lambda: tasks.append(asyncio.create_task(show)))

    def obey(asked: Stopping) -> None:
        server.should_exit, server.force_exit = True, asked.hurried

    asked.obey = obey
    try:
        await server.serve(sockets)
    finally:
        show.close() if not tasks else tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
