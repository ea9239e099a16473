"""Api: the rooms' operations over HTTP.

`create` gives an ASGI application on the rooms: `/api/v1` for everything, `/v1` for clients that speak to
models as they are, `/healthz`, `/readyz` and `/metrics` for who runs it. Nothing is decided here: a request
becomes a scope, one operation of one room, and its value on the wire.
"""

from bastide.api.application import create
from bastide.api.values import Notices, Part, Rooms

__all__ = ["Notices", "Part", "Rooms", "create"]
