"""What a person gives as JSON on the command line: an object at once, from a file, or field by field.

It is checked while the command is read, so that a slip is wrong usage and nothing was begun.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bastide.errors import BadRequest, MissingFile


def an_object(said: str) -> dict[str, Any]:
    """A JSON object. Raises BadParameter."""
    found = a_value(said)
    if not isinstance(found, dict):
        raise typer.BadParameter('a JSON object is needed, such as {"text": "..."}.')
    return found


def a_value(said: str) -> Any:
    """Any JSON. Raises BadParameter."""
    try:
        return json.loads(said, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        raise typer.BadParameter(f"this is not JSON: {fault}.") from fault


def a_field(said: str) -> tuple[str, str]:
    """`name=value`, split. Raises BadParameter."""
    name, sign, value = said.partition("=")
    if not sign or not name.rstrip(":"):
        raise typer.BadParameter(f"{said!r} is not name=value.")
    if name.endswith(":"):
        a_value(value)
    return name, value


Input = Annotated[Any, typer.Option("--input", metavar="JSON", parser=an_object, help="The input, as a JSON object.")]
InputFile = Annotated[
    Path | None, typer.Option("--input-file", metavar="F", help="The input, from a file with a JSON object.")
]
Fields = Annotated[
    list[Any] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        parser=a_field,
        help="One field of the input: text, @FILE for a file's text, or NAME:=JSON. The same name twice makes a list.",
    ),
]


def put_together(
    whole: Mapping[str, Any] | None, file: Path | None = None, fields: Iterable[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The input from all that was given; a later way wins, field by field. Raises MissingFile, BadRequest."""
    found = dict(whole or {})
    if file is not None:
        found |= _from_file(Path(file))
    return found | _from_fields(fields or ())


def fitted(given: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same input, with a list of one where a text was given and the type's schema takes lists only."""
    fields = schema.get("properties") or {}
    return {
        name: [value] if isinstance(value, str) and _kinds(fields.get(name) or {}) - {"null"} == {"array"} else value
        for name, value in given.items()
    }


def _kinds(field: Mapping[str, Any]) -> set[str]:
    kinds = {str(kind) for one in field.get("anyOf") or () for kind in _kinds(one)}
    return kinds | ({str(field["type"])} if "type" in field else set()) or {"anything"}


def _from_file(place: Path) -> dict[str, Any]:
    try:
        return an_object(_text(place))
    except typer.BadParameter as fault:
        raise BadRequest(f"{place}: {fault.message}", next_step="Put one JSON object into the file.") from fault


def _from_fields(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in fields:
        if name.endswith(":"):
            found.setdefault(name[:-1], []).append(a_value(value))
        else:
            found.setdefault(name, []).append(_text(Path(value[1:])) if value.startswith("@") else value)
    return {name: values if len(values) > 1 else values[0] for name, values in found.items()}


def _text(place: Path) -> str:
    try:
        return place.read_text("utf-8")
    except FileNotFoundError as fault:
        raise MissingFile(f"There is no {place}.") from fault
    except UnicodeDecodeError as fault:
        raise BadRequest(f"{place} is not text in UTF-8.", next_step="Take it in with `bastide ingest`.") from fault


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")
