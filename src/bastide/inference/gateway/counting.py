"""Counting: how many tokens a request is likely to have, without showing it to anybody.

Each server counts with words of its own, and to ask one would be a call with all of the content. So it is estimated:
four bytes of text are a token, as for budgets before a call, a turn and a tool have a few more, and a picture is taken
for one of a middle size.
"""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.gateway.asking import encode

_BYTES_A_TOKEN: Final = 4
_A_TURN: Final = 4
_A_PICTURE: Final = 1500
_PICTURES: Final = ("image", "image_url", "input_image")  # a tuple: a type may not be hashable
_CONTENT: Final = ("messages", "system", "input", "instructions", "prompt")


def tokens_likely(body: dict[str, Any]) -> int:
    """The tokens of what a request says, at least one."""
    turns = body.get("messages") or body.get("input")
    found = _A_TURN * (len(turns) if type(turns) is list else 1)
    for tool in body.get("tools") or ():
        found += _A_TURN + len(encode({"tool": tool})) // _BYTES_A_TOKEN
    size, pictures = 0, 0
    left: list[Any] = [body.get(name) for name in _CONTENT]
    while left:
        value = left.pop()
        if type(value) is str:
            size += len(value.encode("utf-8", "replace"))
        elif type(value) is list:
            left += value
        elif type(value) is dict:
            if value.get("type") in _PICTURES:
                pictures += 1
            else:
                left += [one for name, one in value.items() if name not in {"role", "type", "id", "cache_control"}]
    return max(1, found + -(-size // _BYTES_A_TOKEN) + pictures * _A_PICTURE)
