"""Reading JSON objects field by field: each field has its type, what is not known is refused by its name."""

from __future__ import annotations

import re
from typing import Any, Final

from bastide.errors import BadChat

_HUMP: Final = re.compile("[A-Z]")


def refused(field: str, why: str, next_step: str = "") -> BadChat:
    """The error that names a field; `next_step` says how it looks, where that is not how a request does."""
    step = next_step or f"Correct `{field}` and send the request again; /openapi.json describes it."
    return BadChat(f"`{field}` {why}.", next_step=step, field=field, param=field)


class Fields:
    """An object of a request. `at` is where it stands; with `snake`, names may be written with underscores, too."""

    __slots__ = ("_body", "_left", "_snake", "at")

    def __init__(self, body: Any, at: str = "", *, snake: bool = False) -> None:
        if type(body) is not dict:
            raise refused(at or "body", "must be an object")
        self._body: dict[str, Any] = body
        self._left = set(body)
        self._snake = snake
        self.at = at

    def path(self, name: str) -> str:
        """How a field is called in an error."""
        return f"{self.at}.{name}" if self.at else name

    def __contains__(self, name: str) -> bool:
        return self._body.get(name) is not None

    def take(self, name: str) -> Any:
        """A field as it is; null is the same as nothing."""
        found = self._body.get(name)
        self._left.discard(name)
        if found is None and self._snake:
            other = _HUMP.sub(lambda hump: "_" + hump.group().lower(), name)
            found = self._body.get(other)
            self._left.discard(other)
        return found

    def text(self, name: str, default: str = "") -> str:
        """A text, or the default where there is none."""
        found = self.take(name)
        if found is None:
            return default
        if type(found) is not str:
            raise refused(self.path(name), "must be text")
        return found

    def needed(self, name: str) -> str:
        """A text that must be there."""
        found = self.text(name)
        if not found:
            raise refused(self.path(name), "must be given, as text")
        return found

    def whole(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int | None:
        """A whole number in these bounds."""
        found = self.take(name)
        if type(found) is float and found.is_integer():
            found = int(found)
        if found is not None and (type(found) is not int or not low <= found <= high):
            bound = f"from {low} to {high}" if high < 2**31 else f"of at least {low}"
            raise refused(self.path(name), f"must be a whole number {bound}")
        return found

    def number(self, name: str, low: float, high: float) -> float | None:
        """A number in these bounds."""
        found = self.take(name)
        if found is not None and (type(found) not in {int, float} or not low <= found <= high):
            raise refused(self.path(name), f"must be a number from {low:g} to {high:g}")
        return found  # type: ignore[no-any-return]

    def flag(self, name: str) -> bool | None:
        """True or false."""
        found = self.take(name)
        if found is not None and type(found) is not bool:
            raise refused(self.path(name), "must be true or false")
        return found

    def rows(self, name: str) -> list[tuple[Any, str]]:
        """The entries of a list, each with where it stands."""
        found = self.take(name)
        if found is None:
            return []
        if type(found) is not list:
            raise refused(self.path(name), "must be a list")
        return [(one, f"{self.path(name)}[{place}]") for place, one in enumerate(found)]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; one text alone counts as such a list."""
        found = self.take(name)
        found = [found] if type(found) is str else found or []
        if type(found) is not list or not all(type(one) is str for one in found):
            raise refused(self.path(name), "must be text or a list of texts")
        return tuple(found)

    def table(self, name: str) -> dict[str, Any] | None:
        """An object as it is."""
        found = self.take(name)
        if found is not None and type(found) is not dict:
            raise refused(self.path(name), "must be an object")
        return found

    def inner(self, name: str) -> Fields | None:
        """An object that is read like this one."""
        found = self.take(name)
        return None if found is None else Fields(found, self.path(name), snake=self._snake)

    def one_of(self, name: str, *known: str) -> str:
        """A word out of these, or nothing."""
        found = self.text(name)
        if found and found not in known:
            raise refused(self.path(name), f"must be one of {', '.join(known)}")
        return found

    def drop(self, *names: str) -> None:
        """Fields that change nothing in the answer."""
        for name in names:
            self.take(name)

    def only(self, name: str, *values: Any) -> None:
        """A field that may be there with a value that changes nothing."""
        found = self.take(name)
        if found is not None and found not in values:
            raise untold(self.path(name), "is not translated with this value")

    def done(self) -> None:
        """Whatever is left is not known. Raises BadChat."""
        for name in sorted(self._left):
            if self._body[name] is not None:
                raise untold(self.path(name), "cannot be put into the format of this model's server")


def cannot(field: str, wire: str) -> BadChat:
    """The error for something that the format of a server cannot say."""
    return untold(field, f"cannot be said to this model's server, which speaks {wire}")


def untold(field: str, why: str) -> BadChat:
    """The error for a field that only a server of the client's own format would understand."""
    return refused(field, why, f"Leave `{field}` out, or name a model whose server speaks the format of your client.")


def only_named(field: str) -> BadChat:
    """The error for an item of a response that is named and not told, as clients do who believe that it was kept."""
    why = "names an item that another server keeps; no server is asked to keep one"
    return refused(field, why, "Send the items themselves: clients do where `store` is false.")
