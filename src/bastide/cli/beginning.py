"""What every program that serves begins with: its log on standard error, its settings, and a deaf ear for a moment."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bastide.gatehouse import STOPPING_SIGNALS
from bastide.settings import Settings


def logs(*, verbose: bool) -> None:
    """Write the log, on standard error; what libraries say of every request, and of every attempt, is left out."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for noisy in ("uvicorn.error", "httpx2", "httpcore2"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # the store says once that the database is away


def settings_of(words: dict[str, Any]) -> Settings:
    """The settings from the environment, and from the words over it."""
    return Settings.read(
        Path(words["home"]) if words["home"] else None,
        air_gap=True if words.get("air_gap") else None,
        host=words.get("host"),
        port=words.get("port"),
    )


@contextmanager
def signals_held_back() -> Generator[None]:
    """Whoever serves lets them come when it listens: before, with a loop and no listener, they would break off a start
    and leave a house half open."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
