"""The values that cross the door of tenancy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime


def _wire(values: dict[str, object]) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation with its own data; the wire calls it a company."""

    id: str
    name: str
    home: bool
    disabled_at: datetime | None
    created_at: datetime

    def to_wire(self) -> dict[str, object]:
        """The shape of SURFACE, times in ISO 8601."""
        return _wire(asdict(self))


@dataclass(frozen=True, slots=True)
class User:
    """A person or service within one tenant."""

    id: str
    email: str
    name: str
    roles: list[str]
    disabled_at: datetime | None
    created_at: datetime

    def to_wire(self) -> dict[str, object]:
        """The shape of SURFACE, times in ISO 8601."""
        return _wire(asdict(self))


@dataclass(frozen=True, slots=True)
class App:
    """A program that acts within one tenant."""

    id: str
    name: str
    disabled_at: datetime | None
    created_at: datetime

    def to_wire(self) -> dict[str, object]:
        """The shape of SURFACE, times in ISO 8601."""
        return _wire(asdict(self))


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key; the key itself is kept by nobody but its holder. `former_until`: what it was is good."""

    id: str
    tenant: str
    role: str
    user: str | None
    app: str | None
    permissions: tuple[str, ...] | None
    gateway: bool
    models: tuple[str, ...] | None
    expires_at: datetime | None
    former_until: datetime | None
    disabled_at: datetime | None
    used_at: datetime | None
    created_at: datetime

    def to_wire(self) -> dict[str, object]:
        """The shape of SURFACE, times in ISO 8601."""
        return _wire(asdict(self))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it can be read."""

    key: str
    about: Key

    def to_wire(self) -> dict[str, object]:
        """The shape of SURFACE: what is known of it, and the key, once."""
        return {**self.about.to_wire(), "key": self.key}

    def __repr__(self) -> str:
        """Without the key, so that no log shows it."""
        return f"NewKey({self.about.id})"
