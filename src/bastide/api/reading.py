"""Routes whose JSON bodies are read with suspicion."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from bastide.api.lane import parse


class _SuspiciousRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = parse(await self.body())
        return self._json


class Route(APIRoute):
    """A route whose JSON body is read by `parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, given a request that reads with suspicion."""
        original = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await original(_SuspiciousRequest(request.scope, request.receive))

        return handler
