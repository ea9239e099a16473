"""Reading: YAML as a careful clerk reads it.

A name that stands twice in one place is an error and not a silent choice; only `true` and `false` are truth
values, so that the country `NO` stays Norway; a day is midnight UTC.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import yaml

from bastide.errors import BastideError

BYTES_MAX = 1024 * 1024


_SAFE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader in C where PyYAML was built with it: the records of a house are read at every start."""

_BOOL = "tag:yaml.org,2002:bool"
_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != _BOOL or first in "tTfF"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Clerk(_SAFE):  # type: ignore[misc]
    """The safe loader, without repeated names and without `yes`, `no`, `on`, `off` as truth values."""

    yaml_implicit_resolvers = _RESOLVERS

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name must be a word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands here twice", problem_mark=key.start_mark)
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_sheet(path: Path, refusal: type[BastideError]) -> dict[str, Any]:
    """The mapping that the YAML file `path` holds. Raises `refusal`, with file and line, for anything else."""
    try:
        text = path.read_bytes()
        if len(text) > BYTES_MAX:
            raise refusal(f"{path.name} is larger than {BYTES_MAX} bytes.")
        sheet = yaml.load(text.decode(), _Clerk)  # noqa: S506  (_Clerk is a SafeLoader)
    except OSError as fault:
        raise refusal(f"{path} cannot be read: {fault.strerror}.") from fault
    except UnicodeDecodeError as fault:
        raise refusal(f"{path.name} is not UTF-8 text.") from fault
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise refusal(f"{path.name}, line {line}: {fault.problem}.") from fault
    except (yaml.YAMLError, RecursionError) as fault:
        raise refusal(f"{path.name} is not YAML: {fault}.") from fault
    if not isinstance(sheet, Mapping):
        raise refusal(f"{path.name} holds no mapping of names to values.")
    return dict(sheet)


def instant(value: object) -> datetime:
    """A day or a time as an instant in UTC. Raises ValueError for anything else."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError(f"{value!r} is not a day such as 2026-11-20")
