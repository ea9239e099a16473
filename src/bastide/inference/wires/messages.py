"""Anthropic's messages: requests."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import messages_turns
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.values import Asked, Form, Thinking, Tool, ToolChoice

MAX_TOKENS: Final = 8192  # a request must say how much at most; this where the client does not
_BUDGET_MIN: Final = 1024
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_UNHEARD: Final = (
    "model", "stream", "service_tier", "speed", "cache_control", "diagnostics", "inference_geo", "context_management",
)  # fmt: skip
_ONLY_JSON: Final = "Answer with one JSON object and nothing else: no text around it, no Markdown."


def read(body: dict[str, Any]) -> Asked:
    """The request. Raises BadChat, which names the field."""
    fields = Fields(body)
    fields.drop(*_UNHEARD)
    most = fields.whole("max_tokens", 1)
    if most is None:
        raise refused("max_tokens", "must be given")
    choice, parallel = _choice(fields)
    metadata = fields.inner("metadata")
    config, former = fields.inner("output_config"), fields.inner("output_format")
    asked = Asked(
        turns=messages_turns.read(fields),
        tools=tuple(_tool(Fields(entry, at)) for entry, at in fields.rows("tools")),
        choice=choice,
        parallel=parallel,
        max_tokens=most,
        temperature=fields.number("temperature", 0, 1),
        top_p=fields.number("top_p", 0, 1),
        top_k=fields.whole("top_k", 1),
        stop=fields.texts("stop_sequences"),
        form=_form(config, former),
        thinking=_thinking(fields, "" if config is None else config.one_of("effort", *_EFFORTS)),
        user=metadata.text("user_id") if metadata is not None else "",
    )
    if config is not None:
        config.done()
    fields.done()
    return asked


def _tool(fields: Fields) -> Tool:
    if fields.text("type", "custom") != "custom":
        raise refused(fields.path("type"), "must be 'custom': tools of the server's own are not translated")
    fields.drop("cache_control", "eager_input_streaming", "defer_loading", "input_examples")
    fields.only("allowed_callers", ["direct"])
    tool = Tool(fields.needed("name"), fields.text("description"), fields.table("input_schema"), fields.flag("strict"))
    fields.done()
    return tool


def _choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    given = fields.inner("tool_choice")
    if given is None:
        return None, None
    kind = given.one_of("type", "auto", "any", "tool", "none")
    alone = given.flag("disable_parallel_tool_use")
    parallel = None if alone is None else not alone
    if kind == "tool":
        return ToolChoice("required", (given.needed("name"),)), parallel
    return ToolChoice({"auto": "auto", "any": "required"}.get(kind, "none")), parallel  # type: ignore[arg-type]


def _form(config: Fields | None, former: Fields | None) -> Form | None:
    given = None if config is None else config.inner("format")
    given = former if given is None else given  # where it stood before it had its present place
    if given is None:
        return None
    given.one_of("type", "json_schema")
    schema = given.table("schema")
    if schema is None:
        raise refused(given.path("schema"), "must be given")
    given.done()
    return Form(schema)


def _thinking(fields: Fields, effort: str) -> Thinking | None:
    given = fields.inner("thinking")
    if given is None:
        return Thinking(effort) if effort else None
    kind = given.one_of("type", "enabled", "disabled", "adaptive", "between_tools")
    if kind == "disabled":
        return Thinking("none")
    display = given.one_of("display", "summarized", "omitted")
    shown = None if not display else display == "summarized"
    return Thinking(effort, given.whole("budget_tokens", 1) if kind == "enabled" else None, shown)


# -- writing ----------------------------------------------------------------------------------------


def write(asked: Asked, *, model: str, stream: bool) -> dict[str, Any]:
    """The body for a server of messages. Raises BadChat for what it cannot be told."""
    _sayable(asked)
    system, messages = messages_turns.write(asked.turns)
    if asked.form is not None and asked.form.schema is None:
        system.append({"type": "text", "text": _ONLY_JSON})
    if not messages:
        raise refused("messages", "must hold something that is said to the model")
    thinking = asked.thinking
    body: dict[str, Any] = {"model": model, "max_tokens": asked.max_tokens or MAX_TOKENS, "messages": messages}
    if system:
        body["system"] = system
    tools = offered(asked)
    if tools:
        body["tools"] = [_described(tool) for tool in tools]
        if (choice := _chosen(asked)) is not None:
            body["tool_choice"] = choice
    config: dict[str, Any] = {}
    if thinking is not None:
        body["thinking"] = _thought(thinking)
        if thinking.budget and asked.max_tokens is None:
            body["max_tokens"] += thinking.budget
        if thinking.effort not in {"", "none"}:
            config["effort"] = "low" if thinking.effort == "minimal" else thinking.effort
    if asked.form is not None and asked.form.schema is not None:
        config["format"] = {"type": "json_schema", "schema": asked.form.schema}
    optional = {
        "temperature": _unless_usual(asked.temperature),
        "top_p": _unless_usual(asked.top_p),
        "top_k": asked.top_k,
        "stop_sequences": list(asked.stop) or None,
        "output_config": config or None,
        "metadata": {"user_id": asked.user} if asked.user else None,
        "stream": True if stream else None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _unless_usual(value: float | None) -> float | None:
    """Clients say 1 where they mean nothing by it; many of these models take only one of the two, or neither."""
    return None if value == 1 else value


def _sayable(asked: Asked) -> None:
    """Raises BadChat for what a server of messages has no word for and what would change the answer."""
    told = {
        "n": asked.n > 1,
        "logprobs": asked.logprobs is not None,
        "frequency_penalty": bool(asked.frequency_penalty),
        "presence_penalty": bool(asked.presence_penalty),
        "logit_bias": bool(asked.logit_bias),
    }
    for name, said in told.items():
        if said:
            raise cannot(name, "messages")
    if asked.temperature is not None and asked.temperature > 1:
        raise refused("temperature", "is at most 1 for this model's server, which speaks messages")


def offered(asked: Asked) -> tuple[Tool, ...]:
    """The tools that may be used: where only some of them may, the others are not spoken of."""
    names = asked.choice.names if asked.choice is not None else ()
    if not names or (asked.choice is not None and asked.choice.mode == "required" and len(names) == 1):
        return asked.tools
    return tuple(tool for tool in asked.tools if tool.name in names)


def _described(tool: Tool) -> dict[str, Any]:
    schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
    optional = {"description": tool.description or None, "strict": tool.strict}
    more = {name: value for name, value in optional.items() if value is not None}
    return {"name": tool.name, "input_schema": schema, **more}


def _chosen(asked: Asked) -> dict[str, Any] | None:
    choice, chosen = asked.choice, dict[str, Any]()
    if choice is None:
        if asked.parallel is None:
            return None
        chosen = {"type": "auto"}
    elif choice.mode == "required":
        one = len(choice.names) == 1
        chosen = {"type": "tool", "name": choice.names[0]} if one else {"type": "any"}
    else:
        chosen = {"type": choice.mode}
    if asked.parallel is not None and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = not asked.parallel
    return chosen


def _thought(thinking: Thinking) -> dict[str, Any]:
    if thinking.effort == "none" or thinking.budget == 0:
        return {"type": "disabled"}
    shown = {} if thinking.shown is None else {"display": "summarized" if thinking.shown else "omitted"}
    if thinking.budget is not None and thinking.budget > 0:
        return {"type": "enabled", "budget_tokens": max(thinking.budget, _BUDGET_MIN), **shown}
    return {"type": "adaptive", **shown}
