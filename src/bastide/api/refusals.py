"""Every error as the wire shows it: one envelope, and under `/v1` the same inside what the wire's clients expect.

/api/v1/...   {"error": {"code", "message", "next", "request_id", ...facts}}
/v1/...       {"error": {"message", "type", "param", "code", "next", "request_id", ...facts}}, as the gateway has it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from bastide.api.addresses import instead
from bastide.errors import (
    BadRequest,
    BastideError,
    Broken,
    Fault,
    FieldsWrong,
    MethodNotAllowed,
    NoSuchRoute,
    Unavailable,
    UnsupportedMedia,
)
from bastide.inference import refusal as of_wire

_WIRES = "/v1/"
_MESSAGES = "/v1/messages"  # and below; all others have the shape of OpenAI's chats
_PROBLEMS_SHOWN = 8


def envelope(fault: BastideError, *, request_id: str) -> dict[str, object]:
    """The body that says `fault` under /api/v1."""
    return {"error": fault.to_wire(request_id)}


def refusal(fault: BastideError, *, path: str, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """The whole answer that says `fault`, at this address."""
    if path.startswith(_WIRES):
        status, told, body = of_wire("messages" if path.startswith(_MESSAGES) else "chat", fault, request_id)
        return Response(body, status, {name.decode(): value.decode() for name, value in told} | dict(headers or {}))
    added = dict(headers or {})
    if fault.status == 401:
        added["WWW-Authenticate"] = "Bearer"
    if isinstance(fault, Unavailable):
        added["Retry-After"] = "1"
    return JSONResponse(envelope(fault, request_id=request_id), fault.status, headers=added)


def install(app: FastAPI) -> None:
    """Let `app` answer each kind of error with our envelope."""

    async def ours(request: Request, fault: Exception) -> Response:
        return _answer(request, fault if isinstance(fault, BastideError) else Broken())

    async def of_fields(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, RequestValidationError)
        return _answer(request, _fields(fault, request))

    async def of_routing(request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        return _answer(request, _routing(fault, request), fault.headers)

    app.add_exception_handler(BastideError, ours)
    app.add_exception_handler(Exception, ours)  # and raised again behind it, so that the gate logs it
    app.add_exception_handler(RequestValidationError, of_fields)
    app.add_exception_handler(HTTPException, of_routing)


def _answer(request: Request, fault: BastideError, headers: Mapping[str, str] | None = None) -> Response:
    return refusal(fault, path=request.url.path, request_id=request.state.request_id, headers=headers)


def _routing(fault: HTTPException, request: Request) -> BastideError:
    if isinstance(fault.__cause__, BastideError):  # FastAPI wraps what the reading of a body raised
        return fault.__cause__
    if fault.status_code == 404:
        return NoSuchRoute(next_step=instead(request.url.path))
    if fault.status_code == 405:
        allowed = (fault.headers or {}).get("Allow", "")
        said = f"This address takes {allowed or 'other methods'}, not {request.method}."
        return MethodNotAllowed(said, next_step=instead(request.url.path))
    if fault.status_code < 500:
        return BadRequest(f"The body cannot be read: {str(fault.detail).rstrip('.')}.")
    return Fault()


def _fields(fault: RequestValidationError, request: Request) -> BastideError:
    found = fault.errors()
    if request.method in {"POST", "PUT", "PATCH"} and _has_no_json(request, found):
        return UnsupportedMedia(f"The body is {request.headers.get('content-type') or 'of no named type'}.")
    problems = problems_of(found)
    if request.url.path.startswith(_WIRES):
        return BadRequest(f"{_sentence(problems)}.", fields=problems, param=problems[0]["field"])
    return FieldsWrong(f"{_sentence(problems)}.", fields=problems)


def fields_wrong(fault: ValidationError) -> FieldsWrong:
    """The refusal of a body that was checked by hand."""
    problems = problems_of(fault.errors(), within=0)
    return FieldsWrong(f"{_sentence(problems)}.", fields=problems)


def problems_of(found: Sequence[Any], *, within: int = 1) -> list[dict[str, str]]:
    """Where each problem is and what it is; the value that was given is not repeated, for it may be content.

    `within`: how many words of the place only say where it was looked for (body, query, path).
    """
    return [
        {"field": ".".join(map(str, problem["loc"][within:])) or "body", "problem": _cause(problem)}
        for problem in found[:_PROBLEMS_SHOWN]
    ]


def _sentence(problems: list[dict[str, str]]) -> str:
    return "; ".join(f"{problem['field']}: {problem['problem']}" for problem in problems)


def _has_no_json(request: Request, problems: Sequence[Any]) -> bool:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    return any(tuple(problem["loc"]) == ("body",) for problem in problems) and not is_json


def _cause(problem: Any) -> str:
    said = str(problem["msg"]).removeprefix("Value error, ")
    return said[:1].lower() + said[1:]
