"""Operations: one row of a table says what may be asked and who does it; an address and a message both lead there.

A row becomes a route of HTTP with its own description, and an operation of the WebSocket under the same name
with the same fields. What an operation does stands in its function alone.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from bastide.api.describing import answers
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.leaving import unless_gone
from bastide.api.reading import Route
from bastide.api.shapes.ground import Asked
from bastide.api.values import Caller, Rooms

Given = TypeVar("Given", bound=Asked)
Effect = Literal["reads", "writes", "destroys"]
Told = Callable[[dict[int, type[BaseModel]]], dict[int | str, dict[str, Any]]]

_NAMED = re.compile(r"\{(id|name)(?::path)?\}")


class Nothing(Asked):
    """Nothing is asked beside the address."""


@dataclass(frozen=True, slots=True)
class Ask(Generic[Given]):
    """One call of an operation: who asks, what is given, and the thing that the address names."""

    caller: Caller
    rooms: Rooms
    given: Given
    id: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that may be asked for. `run` gives what goes on the wire; its docstring describes the route."""

    name: str  # as a message names it: jobs.cancel
    method: str
    path: str
    about: str
    run: Callable[[Ask[Any]], Awaitable[dict[str, Any]]]
    given: type[Asked] = Nothing
    answer: type[BaseModel] | None = None
    status: int = 200
    of: str = ""  # the field of a message that holds what the address names: `job`
    needs: str = ""  # the permission that its room asks for first; "" where any key may ask
    effect: Effect | None = None  # where the method does not say it: a POST that only reads, or one that destroys

    @property
    def does(self) -> Effect:
        """Whether it only reads, writes, or destroys what nothing brings back."""
        return self.effect or {"GET": "reads", "DELETE": "destroys"}.get(self.method, "writes")  # type: ignore[return-value]


def routes(table: Iterable[Operation], *, tag: str, told: Told = answers) -> APIRouter:
    """The table as addresses; `told` describes their answers."""
    router = APIRouter(route_class=Route, tags=[tag])
    for one in table:
        router.add_api_route(
            one.path,
            _endpoint(one),
            methods=[one.method],
            status_code=one.status,
            summary=one.about,
            responses=told({one.status: one.answer} if one.answer else {}),
        )
    return router


def _endpoint(one: Operation) -> Callable[..., Awaitable[Response]]:
    """The row as FastAPI reads it: a function whose parameters are the row's address and fields."""

    async def answered(said: dict[str, Any]) -> Response:
        given = said["given"] if one.given is not Nothing else Nothing()
        named = next((said[name] for name in ("id", "name") if name in said), "")
        return JSONResponse(await one.run(Ask(said["caller"], said["rooms"], given, named)), one.status)

    async def endpoint(**said: Any) -> Response:
        if "request" in said:
            return await unless_gone(said["request"], answered(said))
        return await answered(said)

    endpoint.__signature__ = inspect.Signature(_parameters(one))  # type: ignore[attr-defined]  # read by `inspect`
    endpoint.__name__ = one.name.replace(".", "_").replace("-", "_")
    endpoint.__doc__ = one.run.__doc__
    return endpoint


def _parameters(one: Operation) -> list[inspect.Parameter]:
    def parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)

    found = [parameter("caller", Asking), parameter("rooms", Behind)]
    found += [parameter(name, str) for name in _NAMED.findall(one.path)]
    if one.method == "POST" and one.does == "reads":  # it may ask a model; what is written is written to its end
        found.append(parameter("request", Request))
    if one.given is not Nothing:
        if one.method in {"GET", "DELETE"}:
            found.append(parameter("given", Annotated[one.given, Query()]))
        elif any(field.is_required() for field in one.given.model_fields.values()):
            found.append(parameter("given", one.given))
        else:
            found.append(parameter("given", one.given, one.given()))  # then the body may be left out
    return found
