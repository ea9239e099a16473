"""The words by which names, dates and amounts are told: data, read once."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any, Final

NAME_TABLE: Final[dict[str, Any]] = tomllib.loads(
    files("bastide.inference.tasks").joinpath("names.toml").read_text(encoding="utf-8")
)
"""What `names.toml` holds."""
