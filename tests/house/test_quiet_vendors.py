"""No library that we load carries an uploader: looked for in the files that are installed, not in promises."""

from __future__ import annotations

from importlib.metadata import files, requires
from pathlib import Path
from re import match

import pytest

# Addresses of services that collect usage, as they stand in libraries that do.
COLLECTORS = (
    b"events.data.microsoft.com",
    b"api.segment.io",
    b"app.posthog.com",
    b"i.posthog.com",
    b"ingest.sentry.io",
    b"google-analytics.com",
    b"api.mixpanel.com",
    b"api.amplitude.com",
)


def _distributions() -> list[str]:
    """What an installation without extras loads, by the names in pyproject.toml."""
    named = [match(r"[A-Za-z0-9_.-]+", line) for line in requires("bastide") or [] if "extra ==" not in line]
    return [found.group() for found in named if found]


@pytest.mark.parametrize("distribution", _distributions())
def test_a_dependency_carries_no_uploader(distribution: str) -> None:
    found = []
    for file in files(distribution) or []:
        path = Path(str(file.locate()))
        if path.suffix in {".so", ".py", ".dylib"} and path.is_file():
            content = path.read_bytes()
            found += [f"{file}: {collector.decode()}" for collector in COLLECTORS if collector in content]
    assert not found
