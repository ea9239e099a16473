"""The doors of a whole house: the application behind the lane, and the server that carries both.

`create` gives an ASGI application on the rooms: `/api/v1` for everything, `/v1` for clients that speak to
models as they are, `/mcp` for programs that use tools (`speak` carries it to standard input and output), `/healthz`,
`/readyz` and `/metrics` for who runs it. It is a face of its own, because a process that only answers calls of models
loads none of it.
"""

from bastide.api.application import create
from bastide.api.bridge import speak
from bastide.api.serving import Server
from bastide.api.tools import PATH as MCP_PATH
from bastide.api.values import Notices, Rooms

__all__ = ["MCP_PATH", "Notices", "Rooms", "Server", "create", "speak"]
