"""What schedules and triggers keep: in whose name they act, and why they did not fire the last time.

They act as the person who made them, with the rights that are left to that person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bastide.errors import BlobDamaged, Unprocessable
from bastide.policy import Label
from bastide.store import Db, Json, Scope
from bastide.tenancy import Tenancy
from bastide.workflows.blotting import Named
from bastide.workflows.values import Problem

_NAME_MAX = 200


@dataclass(frozen=True, slots=True)
class Maker:
    """What is kept of who made something."""

    user: str | None
    app: str | None
    key: str | None
    permissions: Sequence[str]
    label: Mapping[str, object]

    @classmethod
    def of(cls, row: Mapping[str, object]) -> Maker:
        """The maker in a row of ours."""
        return cls(*(row[name] for name in ("user_id", "app_id", "key_id", "permissions", "label")))  # type: ignore[arg-type]

    async def scope(self, tenancy: Tenancy, tenant: str, event: Label | None = None, *, db: Db | None = None) -> Scope:
        """The scope in which the job is dispatched, its label joined with the event's.

        `db` is the transaction that is open, if one is. Raises DisabledKey when the person, the app or the key has been
        disabled since.
        """
        label = Label.from_wire(self.label)
        return await tenancy.scope_of_work(
            tenant,
            user=self.user,
            app=self.app,
            key=self.key,
            permissions=self.permissions,
            label=(label if event is None else label.join(event)).to_wire(),
            db=db,
        )


def kept_of(scope: Scope) -> dict[str, object]:
    """What is kept of who makes something: never more than they may do now."""
    return {
        "user": scope.user,
        "app": scope.app,
        "key": scope.key,
        "permissions": sorted(scope.permissions),
        "label": Json(Label.of_scope(scope).to_wire()),
    }


async def kept_problem(db: Db, problem: Problem | None, *, about: str) -> tuple[str | None, bytes | None]:
    """A problem's code, and its words sealed."""
    if problem is None:
        return None, None
    return problem.code, await db.seal(json.dumps([problem.message, problem.next]).encode(), about=about)


async def opened_problem(db: Db, code: str | None, sealed: bytes | None, *, about: str) -> Problem | None:
    """What `kept_problem` kept; of words that were erased since, that they were."""
    if code is None:
        return None
    if sealed is None:
        return Problem(code, "What was said here has been erased.", "")
    message, following = json.loads(await db.unseal(sealed, about=about))
    return Problem(code, message, following)


async def speaks(db: Db, sealed: bytes, named: Named, *, about: str) -> bool:
    """Whether the words that `kept_problem` kept name one of these; of what does not open, nobody can say."""
    try:
        return named.found_in(json.loads(await db.unseal(sealed, about=about)))
    except BlobDamaged:
        return False


def check_name(name: str, refusal: type[Unprocessable]) -> None:
    """Refuse a name that nobody could read or type; `refusal` says of what it is the name."""
    if not 0 < len(name) <= _NAME_MAX or not name.isprintable() or name != name.strip():
        raise refusal(f"A name is a text of 1 to {_NAME_MAX} printable characters.", field="name")


def plain(text: str) -> str:
    """A name or id from outside, without what the database cannot even compare."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_NAME_MAX]
