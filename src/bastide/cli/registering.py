"""How a command is entered into the tree: with the three shared options, an example, and a program that does it.

`--json`, `--home` and `--tenant` may stand before or behind the command's name.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bastide.cli.programs import Program, run_program

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
Home = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="The home folder.  [default: $BASTIDE_HOME]")]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="Act in this tenant instead of the key's own.")
]

Errand = Callable[..., Coroutine[Any, Any, int | None]]
"""`async def f(desk, ...)`: a command that speaks to the server through its desk."""

ERRANDS: dict[str, Errand] = {}
"""Every errand by the name of its function, for the program `errand`."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The three shared options."""

    as_json: bool = False
    home: Path | None = None
    tenant: str | None = None


def errand(group: typer.Typer, name: str, *, example: str) -> Callable[[Errand], Errand]:
    """Register an errand."""

    def register(function: Errand) -> Errand:
        known = function.__name__
        assert known not in ERRANDS, f"two errands are called {known}"
        ERRANDS[known] = function
        parameters = list(inspect.signature(function).parameters.values())[1:]
        _enter(
            group,
            name,
            example=example,
            function=function,
            own=parameters,
            words=lambda given: ("errand", {"errand": known, "given": given}),
        )
        return function

    return register


def program(
    group: typer.Typer, name: str, kind: Program | Callable[[dict[str, Any]], Program], *, example: str
) -> Callable[[Callable[..., None]], None]:
    """Register a command that is a program of its own, perhaps chosen by what it is given.

    The function shows the options and has no body.
    """

    def register(function: Callable[..., None]) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        _enter(
            group,
            name,
            example=example,
            function=function,
            own=parameters,
            words=lambda given: (kind(given) if callable(kind) else kind, {"command": name, **given}),
        )

    return register


def _enter(
    group: typer.Typer,
    name: str,
    *,
    example: str,
    function: Callable[..., Any],
    own: list[inspect.Parameter],
    words: Callable[[dict[str, Any]], tuple[Program, dict[str, Any]]],
) -> None:
    @functools.wraps(function)
    def run(ctx: typer.Context, **given: Any) -> int:
        behind = Shared(given.pop("json"), given.pop("home"), given.pop("tenant"))
        before = ctx.find_object(Shared) or Shared()
        kind, said = words(given)
        options = {
            "as_json": behind.as_json or before.as_json,
            "home": behind.home or before.home,
            "tenant": behind.tenant or before.tenant,
        }
        return run_program(kind, {**said, **options})

    parameters = [_CONTEXT, *own, *_SHARED]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    summary = (inspect.getdoc(function) or "").splitlines()[0]
    group.command(name, epilog=f"Example:  {example}", short_help=summary)(run)


_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_CONTEXT = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
_SHARED = [
    inspect.Parameter("json", _KEYWORD, default=False, annotation=AsJson),
    inspect.Parameter("home", _KEYWORD, default=None, annotation=Home),
    inspect.Parameter("tenant", _KEYWORD, default=None, annotation=Tenant),
]
