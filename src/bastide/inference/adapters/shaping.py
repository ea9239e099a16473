"""Bodies as servers want them. A body that comes in is never changed: what differs is a copy.

A field that would let the server keep the content, or hand it on, is not passed on by any kind. A field that a kind
merely does not know is taken out where nothing is lost by it; all others the server may refuse in its own words.
"""

from __future__ import annotations

from typing import Any, Final

from bastide.errors import BadChat
from bastide.inference.wires.fields import only_named

Body = dict[str, Any]

_HELD_STATE: Final = ("previous_response_id", "conversation", "background")
_HANDED_ON: Final = {"chat": "web_search_options", "messages": "mcp_servers"}
_SEALS: Final = "reasoning.encrypted_content"
_ASKS_OTHERS: Final = ("web_search", "web_fetch", "mcp")  # how the types of such tools begin
_UNKNOWN_TO_MISTRAL: Final = ("stream_options", "store", "user", "service_tier")
_ELSEWHERE: Final = ("models", "route", "plugins", "provider", "transforms")


def kept_nowhere(body: Body, wire: str) -> Body:
    """Nothing is kept at the server, nor handed on: a response is always `store: false`, and none goes on from one that
    was kept.

    Raises BadChat for a field that asks the server to hold a state, or to ask others.
    """
    field = _HANDED_ON.get(wire)
    if field is not None and body.get(field):
        raise _handed_on(field)
    if wire != "chat" and body.get("tools"):
        _check_tools(body["tools"])
    if wire == "responses":
        held = next((name for name in _HELD_STATE if body.get(name)), None)
        if held is not None:
            said = f"`{held}` needs a state that no server is asked to keep; send the turns again."
            raise BadChat(said, next_step=f"Leave `{held}` out.", field=held, param=held)
        return {**body, "store": False, **_whole(body.get("input"))}
    return {name: value for name, value in body.items() if name != "store"} if body.get("store") else body


def _whole(items: Any) -> Body:
    """The items of a response's input that say something by themselves, where some do not: a thought without its seal
    or its text is known to a server only that kept it. Raises BadChat for an item that is only named.
    """
    if type(items) is not list:
        return {}
    objects = [item if type(item) is dict else {} for item in items]
    for place, item in enumerate(objects):
        if item.get("type") == "item_reference" or item.keys() == {"id"}:
            raise only_named(f"input[{place}].type")
    left = [items[place] for place, item in enumerate(objects) if item.get("type") != "reasoning" or _says(item)]
    return {"input": left} if len(left) < len(items) else {}


def _says(thought: Body) -> bool:
    return bool(thought.get("encrypted_content") or thought.get("content"))


def _check_tools(tools: Any) -> None:
    """Raises BadChat for a tool by which a server asks others: who they are is known to nobody who decides."""
    for place, tool in enumerate(tools if type(tools) is list else ()):
        kind = tool.get("type") if type(tool) is dict else None
        if type(kind) is str and kind.startswith(_ASKS_OTHERS):
            raise _handed_on(f"tools[{place}].type")


def _handed_on(field: str) -> BadChat:
    said = f"`{field}` lets the model's server ask others with what the call holds, and on them nothing is decided."
    return BadChat(said, next_step=f"Leave `{field}` out, or give a tool of your own.", field=field, param=field)


def for_openai(body: Body, wire: str) -> Body:
    """OpenAI's newer models refuse the old name of the most tokens of a chat, and its older ones know the new one.

    What a response thought is asked for under its seal: it is not kept there, and without it a later turn is refused.
    """
    body = kept_nowhere(body, wire)
    if wire == "responses" and body.get("reasoning"):
        include = body.get("include") or []
        if type(include) is list and _SEALS not in include:
            body = {**body, "include": [*include, _SEALS]}
    if wire != "chat" or "max_tokens" not in body:
        return body
    least = {name: value for name, value in body.items() if name != "max_tokens"}
    return {**least, "max_completion_tokens": body.get("max_completion_tokens") or body["max_tokens"]}


def for_mistral(body: Body, wire: str) -> Body:
    """Mistral refuses fields that it does not know, and has other names for two of them."""
    body = {name: value for name, value in kept_nowhere(body, wire).items() if name not in _UNKNOWN_TO_MISTRAL}
    for known, theirs in (("max_completion_tokens", "max_tokens"), ("seed", "random_seed")):
        if wire == "chat" and known in body:
            value = body.pop(known)
            body.setdefault(theirs, value)
    return body


def for_gemini(body: Body, wire: str) -> Body:
    """Gemini has the model and the wish for a stream in its address, and nothing of them in the body."""
    return {name: value for name, value in body.items() if name not in {"model", "stream", "stream_options", "store"}}


def pinned_upstream(body: Body, pin: str) -> Body:
    """OpenRouter stays with the one upstream that the record describes; the caller cannot send it elsewhere.

    Without a pin nothing is known of where the bytes go, and policy decides on that; even then the model that was
    decided on is the one that answers.
    """
    kept = {name: value for name, value in body.items() if name not in _ELSEWHERE}
    only: dict[str, Any] = {"order": [pin], "only": [pin]} if pin else {}
    return {**kept, "provider": {**only, "allow_fallbacks": False, "data_collection": "deny"}}
