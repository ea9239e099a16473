"""`bastide tenant|user|app|key create|list|show|disable`."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bastide.cli.line import address, segment
from bastide.cli.printing import sheet, table
from bastide.cli.registering import Errand, errand
from bastide.errors import WrongUsage

if TYPE_CHECKING:
    from bastide.cli.desk import Desk

Name = Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="Its id, or its name.")]
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="The user's e-mail address.")]
FullName = Annotated[str | None, typer.Option("--name", help="The user's name.")]
RoleNames = Annotated[list[str] | None, typer.Option("--role", help="What the user may do; may be repeated.")]
RoleName = Annotated[
    Literal["administrator", "member", "overseer", "auditor", "dpo", "worker"],
    typer.Option("--role", help="What it may do."),
]
OfUser = Annotated[str | None, typer.Option("--user", help="The user who acts with it: id or e-mail.")]
OfApp = Annotated[str | None, typer.Option("--app", help="The app that acts with it.")]
Days = Annotated[float | None, typer.Option("--expires", metavar="DAYS", help="After how many days it stops working.")]
Gateway = Annotated[bool, typer.Option("--gateway", help="Trusted to name users and apps in headers.")]
ModelNames = Annotated[
    list[str] | None,
    typer.Option("--model", help="What it may name: a model, a route, or `local/*`; may be repeated. Else all."),
]
Hours = Annotated[float, typer.Option("--keep", metavar="HOURS", help="For how long the former secret is good.")]
EveryModel = Annotated[bool, typer.Option("--every-model", help="Let it name every model again.")]

_COLUMNS = {
    "tenant": ("id", "name", "disabled_at", "created_at"),
    "user": ("id", "email", "name", "roles", "disabled_at"),
    "app": ("id", "name", "disabled_at", "created_at"),
    "key": ("id", "role", "user", "app", "models", "expires_at", "disabled_at", "used_at"),
}
_EXAMPLES = {
    "tenant": "bastide tenant create city-of-montauban",
    "user": "bastide user create ada@example.org --name Ada --role member",
    "app": "bastide app create intranet",
    "key": "bastide key create --tenant city-of-montauban --role member --expires 90",
}
_HELP = {
    "tenant": "Tenants: organisations that never see one another.",
    "user": "Users of a tenant.",
    "app": "Applications of a tenant.",
    "key": "Keys: what a person or a program shows to be let in.",
}


def add_to(root: typer.Typer) -> None:
    """Register the four groups."""
    creators: dict[str, Errand] = {
        "tenant": create_tenant,
        "user": create_user,
        "app": create_app,
        "key": create_key,
    }
    for kind, creator in creators.items():
        group = typer.Typer(help=_HELP[kind], no_args_is_help=True)
        errand(group, "create", example=_EXAMPLES[kind])(creator)
        errand(group, "list", example=f"bastide {kind} list --json")(_lister(kind))
        errand(group, "show", example=f"bastide {kind} show {_id(kind)}")(_shower(kind))
        errand(group, "disable", example=f"bastide {kind} disable {_id(kind)}")(_disabler(kind))
        if kind == "key":
            errand(group, "bind", example=f"bastide key bind {_id(kind)} --model lane --model 'local/*'")(bind_key)
            errand(group, "rotate", example=f"bastide key rotate {_id(kind)} --keep 24")(rotate_key)
        root.add_typer(group, name=kind)


def _id(kind: str) -> str:
    prefix = {"tenant": "ten", "user": "usr", "app": "app", "key": "key"}[kind]
    return f"{prefix}_06ar2k8m1v6t7c9d0e1f2g3h4j"


async def create_tenant(desk: "Desk", name: Name) -> None:
    """Make a tenant."""
    await _create(desk, "tenants", {"name": name})


async def create_user(desk: "Desk", email: Email, name: FullName = None, role: RoleNames = None) -> None:
    """Make a user."""
    body = {"email": email, "name": name or "", "roles": role or ["member"], "tenant": desk.tenant}
    await _create(desk, "users", body)


async def create_app(desk: "Desk", name: Name) -> None:
    """Make an app."""
    await _create(desk, "apps", {"name": name, "tenant": desk.tenant})


async def create_key(
    desk: "Desk",
    role: RoleName,
    *,
    user: OfUser = None,
    app: OfApp = None,
    expires: Days = None,
    gateway: Gateway = False,
    model: ModelNames = None,
) -> None:
    """Make a key; it is shown this once.

    With --tenant the key is for that tenant, which only an operator of the platform may do.
    """
    body: dict[str, Any] = {"tenant": desk.tenant, "role": role, "user": user, "app": app}
    body |= {"expires_days": expires, "gateway": gateway, "models": model or None}
    async with desk.server(within=False) as line:
        made = await line.post("/api/v1/keys", body)
    desk.say(made, lambda: f"{sheet(made)}\n\nKeep the key now: it is not shown again.")


async def bind_key(desk: "Desk", which: Which, *, model: ModelNames = None, every_model: EveryModel = False) -> None:
    """Let a key name these models and no others, or every model again. It holds within two seconds."""
    if bool(model) == every_model:
        raise WrongUsage("Name models with --model, or say --every-model.")
    async with desk.server(within=False) as line:
        place = address(f"/api/v1/keys/{segment(which)}", _of("key", desk))
        wire = await line.patch(place, {"models": None if every_model else model})
    desk.say(wire, lambda: sheet(wire))


async def rotate_key(desk: "Desk", which: Which, *, keep: Hours = 0, expires: Days = None) -> None:
    """Give a key another secret, shown this once; it stays what it is, with its rights, models and rates."""
    async with desk.server(within=False) as line:
        place = address(f"/api/v1/keys/{segment(which)}:rotate", _of("key", desk))
        made = await line.post(place, {"keep_hours": keep, "expires_days": expires})
    desk.say(made, lambda: f"{sheet(made)}\n\nKeep the key now: it is not shown again.")


async def _create(desk: "Desk", plural: str, body: dict[str, Any]) -> None:
    async with desk.server(within=False) as line:
        made = await line.post(f"/api/v1/{plural}", body)
    desk.say(made, lambda: sheet(made))


def _of(kind: str, desk: "Desk") -> dict[str, str | None]:
    return {} if kind == "tenant" else {"tenant": desk.tenant}


def _lister(kind: str) -> Errand:
    async def show_all(desk: "Desk") -> None:
        async with desk.server(within=False) as line:
            items = await line.all(f"/api/v1/{kind}s", **_of(kind, desk))
        columns = _COLUMNS[kind]
        desk.say(
            {f"{kind}s": items}, lambda: table([[item.get(column) for column in columns] for item in items], columns)
        )

    show_all.__name__ = f"list_{kind}s"
    show_all.__doc__ = f"List the {kind}s."
    return show_all


def _shower(kind: str) -> Errand:
    async def show(desk: "Desk", which: Which) -> None:
        async with desk.server(within=False) as line:
            wire = await line.get(f"/api/v1/{kind}s/{segment(which)}", **_of(kind, desk))
        desk.say(wire, lambda: sheet(wire))

    show.__name__ = f"show_{kind}"
    show.__doc__ = f"Show one {kind}."
    return show


def _disabler(kind: str) -> Errand:
    async def disable(desk: "Desk", which: Which) -> None:
        async with desk.server(within=False) as line:
            wire = await line.post(address(f"/api/v1/{kind}s/{segment(which)}:disable", _of(kind, desk)))
        desk.say(wire, lambda: f"{which} is disabled.")

    disable.__name__ = f"disable_{kind}"
    disable.__doc__ = f"Disable one {kind}: nothing is deleted, but nothing is let in with it any more."
    return disable
