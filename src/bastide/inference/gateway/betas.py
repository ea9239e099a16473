"""The features that Anthropic's clients ask of its servers by name, in the header `anthropic-beta`.

A server refuses a field whose feature was not named. So the names go with the body, to servers of the client's own
format, where it is known that a feature stays within the call. Features by which a server keeps something, asks others
or lets another model answer are not named: nothing is decided on that. Nor is what nobody here has looked at.
"""

from __future__ import annotations

from typing import Final

_BYTES_MAX: Final = 4096
_WITHIN_THE_CALL: Final = (  # how the names of features begin; a date follows
    "advanced-tool-use-", "cache-diagnosis-", "claude-code-", "compact-", "computer-use-", "context-1m-",
    "context-management-", "effort-", "extended-cache-ttl-", "fast-mode-", "fine-grained-tool-streaming-",
    "interleaved-thinking-", "mid-conversation-", "model-context-window-exceeded-", "output-", "pdfs-",
    "prompt-caching-", "redact-thinking-", "search-results-", "structured-outputs-", "task-budgets-", "thinking-",
    "token-efficient-tools-", "tool-examples-", "tool-search-tool-",
)  # fmt: skip
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")


def betas_named(given: str) -> bytes:
    """The features named in a header that are passed on, as they are named there."""
    if len(given) > _BYTES_MAX:
        return b""
    names = [name.strip() for name in given.split(",")]
    return ",".join([name for name in names if name.startswith(_WITHIN_THE_CALL) and _PLAIN.issuperset(name)]).encode()


def with_betas(head: bytes, betas: bytes) -> bytes:
    """The head of a request, up to the value of its length, with these names."""
    place = head.rindex(b"\r\n")
    return b"%b\r\nanthropic-beta: %b%b" % (head[:place], betas, head[place:])
