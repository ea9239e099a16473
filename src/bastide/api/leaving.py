"""Leaving: what is made for somebody who is gone before his answer begins is stopped, and no model works on for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

GONE: Final = 499
"""The status of an answer that nobody hears: the client has left."""


async def gone(request: Request) -> None:
    """Wait until the client has left; its body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Coroutine[Any, Any, Response]) -> Response:
    """The answer that `work` makes; it is cancelled when the client leaves before, and whatever it asks with it."""
    answer, left = asyncio.create_task(work), asyncio.create_task(gone(request))
    try:
        await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answer.cancel()
        left.cancel()
        await asyncio.gather(answer, left, return_exceptions=True)
    return Response(status_code=GONE) if answer.cancelled() else answer.result()
