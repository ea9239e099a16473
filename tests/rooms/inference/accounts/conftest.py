"""Processes, as far as accounts see them: each has its own slices, all have one database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.conftest import scope_of

from bastide.audit import Audit
from bastide.inference.accounts import Accounts, Keeping
from bastide.settings import Settings
from bastide.store import Scope, Store

Process = Callable[..., Awaitable[Accounts]]


@pytest.fixture
async def process(store: Store, tmp_path: Path) -> AsyncIterator[Process]:
    """Makes accounts as another process would have them."""
    async with AsyncExitStack() as stopped:

        async def begin(over: Store = store, *, home: Path = tmp_path, patience_s: float = 60.0) -> Accounts:
            made = Accounts(over, home, patience_s=patience_s)
            await made.start()
            stopped.push_async_callback(made.stop)
            return made

        yield begin


@pytest.fixture
async def accounts(process: Process) -> Accounts:
    return await process()


@pytest.fixture
def keeping(store: Store, settings: Settings, accounts: Accounts) -> Keeping:
    """What an administrator asks of the first process."""
    return Keeping(store, Audit(store, settings.audit), accounts)


def member_of(scope: Scope, *, user: str | None = "usr_a", app: str | None = None) -> Scope:
    """A caller of the same tenant who may use models and no more."""
    made = scope_of(scope.tenant, permissions=frozenset({"model:use"}))
    return Scope(made.tenant, user, app, frozenset({"member"}), made.permissions, key="key_a")
