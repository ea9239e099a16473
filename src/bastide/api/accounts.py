"""Accounts: budgets, rates and departments are set; usage is read, as JSON or as a table."""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from bastide.api.describing import TEXT
from bastide.api.doorkeeper import Asking, Behind
from bastide.api.operations import Ask, Nothing, Operation, routes
from bastide.api.paging import whole
from bastide.api.reading import Route
from bastide.api.shapes import accounts as shapes
from bastide.api.shapes.ground import Listed, Removed

Wire = dict[str, Any]

_UNITS = ("pictures", "seconds", "characters")
_COLUMNS = ("name", "calls", "estimated", "unpriced", "tokens_in", "tokens_out", "eur", "unconverted", *_UNITS)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a cell that begins so is worked out by spreadsheets


async def list_budgets(ask: Ask[Nothing]) -> Wire:
    """With what was spent of each in its period, and when it renews."""
    return whole("budgets", [one.to_wire() for one in await ask.rooms.inference.accounts.budgets(ask.caller.scope)])


async def set_budget(ask: Ask[shapes.NewBudget]) -> Wire:
    """It takes the place of that of the same scope, subject and period, and counts what is used from then on."""
    given = ask.given.model_dump()
    return (await ask.rooms.inference.accounts.set_budget(ask.caller.scope, of=given.pop("scope"), **given)).to_wire()


async def remove_budget(ask: Ask[Nothing]) -> Wire:
    """It bounds nothing any more; what was spent of it is forgotten, usage stays."""
    await ask.rooms.inference.accounts.remove_budget(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


async def list_rates(ask: Ask[Nothing]) -> Wire:
    """Requests and tokens of a minute."""
    return whole("rates", [one.to_wire() for one in await ask.rooms.inference.accounts.rates(ask.caller.scope)])


async def set_rate(ask: Ask[shapes.NewRate]) -> Wire:
    """It takes the place of that of the same scope and subject."""
    given = ask.given.model_dump()
    return (await ask.rooms.inference.accounts.set_rate(ask.caller.scope, of=given.pop("scope"), **given)).to_wire()


async def remove_rate(ask: Ask[Nothing]) -> Wire:
    """It bounds nothing any more."""
    await ask.rooms.inference.accounts.remove_rate(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


async def list_departments(ask: Ask[Nothing]) -> Wire:
    """Apps and users that are of one."""
    found = await ask.rooms.inference.accounts.departments(ask.caller.scope)
    return whole("departments", [one.to_wire() for one in found])


async def set_department(ask: Ask[shapes.Department]) -> Wire:
    """An app's word goes before that of its user."""
    return (await ask.rooms.inference.accounts.set_department(ask.caller.scope, **ask.given.model_dump())).to_wire()


async def list_kept(ask: Ask[Nothing]) -> Wire:
    """Answers themselves are not shown; they lie in the memory of each process."""
    found = await ask.rooms.inference.accounts.kept_answers(ask.caller.scope)
    return whole("kept-answers", [one.to_wire() for one in found])


async def keep_answers(ask: Ask[shapes.NewKeeping]) -> Wire:
    """The same request of the same tenant, label and law gets the same answer; what was kept so far is dropped."""
    given = ask.given
    await ask.rooms.inference.accounts.keep_answers(
        ask.caller.scope, given.model, ttl_s=given.ttl_s, forced=given.forced, likeness=given.likeness
    )
    return given.model_dump()


async def drop_answers(ask: Ask[Nothing]) -> Wire:
    """Every answer that is kept of it is dropped."""
    await ask.rooms.inference.accounts.drop_answers(ask.caller.scope, ask.id)
    return {"id": ask.id, "removed": True}


async def usage(ask: Ask[shapes.WhichUsage]) -> Wire:
    """Calls, tokens, units of sound and pictures, euros: the tenant's for whoever has budget:manage, else one's own."""
    found = await ask.rooms.inference.accounts.usage(ask.caller.scope, **ask.given.model_dump())
    return whole("usage", [one.to_wire() for one in found])


async def erase_usage(ask: Ask[shapes.WhoseUsage]) -> Wire:
    """What names this user goes; the sums stay. Disable his keys first: what he calls afterwards is counted again."""
    await ask.rooms.inference.accounts.erase_person(ask.caller.scope, ask.given.user)
    return {"id": ask.given.user, "removed": True}


_BUDGETS, _RATES, _KEPT = "/api/v1/budgets", "/api/v1/rates", "/api/v1/kept-answers"
_manages = partial(Operation, needs="budget:manage")

TABLE = (
    _manages("budgets.list", "GET", _BUDGETS, "List the budgets", list_budgets, answer=Listed),
    _manages("budgets.set", "POST", _BUDGETS, "Set a budget", set_budget, shapes.NewBudget, shapes.Budget, 201),
    _manages(
        "budgets.remove",
        "DELETE",
        f"{_BUDGETS}/{{id}}",
        "Remove a budget",
        remove_budget,
        answer=Removed,
        of="budget",
    ),
    _manages("rates.list", "GET", _RATES, "List the rates", list_rates, answer=Listed),
    _manages("rates.set", "POST", _RATES, "Set a rate", set_rate, shapes.NewRate, shapes.Rate, 201),
    _manages("rates.remove", "DELETE", f"{_RATES}/{{id}}", "Remove a rate", remove_rate, answer=Removed, of="rate"),
    _manages("departments.list", "GET", "/api/v1/departments", "List who is of which", list_departments, answer=Listed),
    _manages(
        "departments.set",
        "PUT",
        "/api/v1/departments",
        "Say of which department an app or user is",
        set_department,
        shapes.Department,
        shapes.Department,
    ),
    _manages("answers.list", "GET", _KEPT, "List whose answers are kept", list_kept, answer=Listed),
    _manages("answers.keep", "POST", _KEPT, "Keep answers", keep_answers, shapes.NewKeeping, shapes.Keeping, 201),
    _manages(
        "answers.drop",
        "DELETE",
        f"{_KEPT}/{{name:path}}",
        "Keep answers no more",
        drop_answers,
        answer=Removed,
        of="model",
    ),
    Operation(
        "usage.get",
        "GET",
        "/api/v1/usage",
        "What was used",
        usage,
        shapes.WhichUsage,
        shapes.Usage,
        needs="model:use",
    ),
    Operation(
        "usage.erase",
        "POST",
        "/api/v1/usage:erase",
        "Take a person out of what was used",
        erase_usage,
        shapes.WhoseUsage,
        Removed,
        needs="rights:use",
        effect="destroys",
    ),
)

router = APIRouter(route_class=Route, tags=["accounts"])
router.include_router(routes(TABLE, tag="accounts"))


@router.get("/api/v1/usage.csv", summary="What was used, as a table", response_class=Response, responses=TEXT)
async def usage_table(given: Annotated[shapes.WhichUsage, Query()], caller: Asking, rooms: Behind) -> Response:
    """The same as CSV with a head; a name that a spreadsheet would work out has a quote before it."""
    found = await rooms.inference.accounts.usage(caller.scope, **given.model_dump())
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS)
    rows.writeheader()
    for one in found:
        wire = one.to_wire()
        rows.writerow({**wire, "name": f"'{one.name}" if one.name.startswith(_FORMULA) else one.name})
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8")
