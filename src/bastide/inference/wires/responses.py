"""OpenAI's responses: requests. Nothing is kept between them."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import responses_items
from bastide.inference.wires.chat import EFFORTS, allowed, effort_of, function, schema_form, schema_of, unbegun
from bastide.inference.wires.chat import described as function_of
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.values import Asked, Form, Thinking, Tool, ToolChoice

_SEALS: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
ECHOED: Final = (
    "instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "reasoning", "temperature", "text",
    "tool_choice", "tools", "top_logprobs", "top_p", "user",
)  # fmt: skip
"""What a response says of its request."""
_UNHEARD: Final = (
    "model", "stream", "stream_options", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "safety_identifier", "max_tool_calls", "context_management", "client_metadata",
)  # fmt: skip


def read(body: dict[str, Any]) -> Asked:
    """The request. Raises BadChat, which names the field."""
    fields = Fields(body)
    fields.drop(*_UNHEARD)
    fields.only("background", False)
    fields.only("truncation", "disabled")
    for name in ("previous_response_id", "conversation", "prompt"):
        if name in fields:
            raise refused(name, "names something kept by another server; nothing is kept here: send the turns again")
    include, top = fields.texts("include"), fields.whole("top_logprobs", 0, 20)
    text = fields.inner("text")
    asked = Asked(
        turns=responses_items.read(fields),
        tools=tuple(_tool(Fields(entry, at)) for entry, at in fields.rows("tools")),
        choice=_choice(fields),
        parallel=fields.flag("parallel_tool_calls"),
        max_tokens=fields.whole("max_output_tokens", 1),
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        logprobs=(top or 0) if _LOGPROBS in include or top else None,
        form=None if text is None else _form(text),
        thinking=_thinking(fields),
        verbosity="" if text is None else text.one_of("verbosity", "low", "medium", "high"),
        user=fields.text("user"),
        metadata=fields.table("metadata") or {},
    )
    if text is not None:
        text.done()
    fields.done()
    return asked


def _thinking(fields: Fields) -> Thinking | None:
    given = fields.inner("reasoning")
    if given is None:
        return None
    effort = given.one_of("effort", *EFFORTS)
    summary = given.text("summary") or given.text("generate_summary")
    given.drop("generate_summary")
    given.only("context", "auto")
    given.only("mode", "standard")
    given.done()
    return Thinking(effort, shown=True if summary else None) if effort or summary else None


def _tool(fields: Fields) -> Tool:
    if fields.text("type") != "function":
        raise refused(fields.path("type"), "must be 'function': tools of the server's own are not translated")
    fields.drop("defer_loading", "output_schema")
    fields.only("allowed_callers", ["direct"])
    return function(fields)


def _choice(fields: Fields) -> ToolChoice | None:
    found = fields.take("tool_choice")
    if found is None:
        return None
    if found in ("none", "auto", "required"):
        return ToolChoice(found)
    choice = Fields(found, fields.path("tool_choice"))
    kind = choice.text("type")
    if kind == "function":
        return ToolChoice("required", (choice.needed("name"),))
    if kind != "allowed_tools":
        raise refused(choice.path("type"), "must be 'function' or 'allowed_tools'")
    return allowed(choice)


def _form(text: Fields) -> Form | None:
    given = text.inner("format")
    if given is None:
        return None
    kind = given.one_of("type", "text", "json_object", "json_schema")
    if kind == "json_schema":
        return schema_form(given)
    given.done()
    return Form() if kind == "json_object" else None


# -- writing ----------------------------------------------------------------------------------------


def write(asked: Asked, *, model: str, stream: bool) -> dict[str, Any]:
    """The body for a server of responses, which is told to keep nothing. Raises BadChat for what it cannot be told."""
    unbegun(asked, "responses")
    _sayable(asked)
    instructions, items = responses_items.write(asked.turns)
    body: dict[str, Any] = {"model": model, "input": items, "store": False}
    if instructions:
        body["instructions"] = instructions
    if asked.tools:
        body["tools"] = [{"type": "function", **_described(tool)} for tool in asked.tools]
    if asked.choice is not None:
        body["tool_choice"] = _chosen(asked.choice)
    include = []
    if asked.thinking is not None:
        include.append(_SEALS)
        summary = {"summary": "auto"} if asked.thinking.shown else {}
        effort = effort_of(asked.thinking)
        body["reasoning"] = {**({"effort": effort} if effort else {}), **summary}
    if asked.logprobs is not None:
        include.append(_LOGPROBS)
        body["top_logprobs"] = asked.logprobs
    text: dict[str, Any] = {}
    if asked.form is not None:
        schema = asked.form.schema
        text["format"] = {"type": "json_object"} if schema is None else {"type": "json_schema", **schema_of(asked.form)}
    if asked.verbosity:
        text["verbosity"] = asked.verbosity
    optional = {
        "include": include or None,
        "text": text or None,
        "parallel_tool_calls": asked.parallel if asked.tools else None,
        "max_output_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "user": asked.user or None,
        "metadata": dict(asked.metadata) or None,
        "stream": True if stream else None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _sayable(asked: Asked) -> None:
    told = {
        "n": asked.n > 1,
        "stop": bool(asked.stop),
        "top_k": asked.top_k is not None,
        "frequency_penalty": bool(asked.frequency_penalty),
        "presence_penalty": bool(asked.presence_penalty),
        "logit_bias": bool(asked.logit_bias),
    }
    for name, said in told.items():
        if said:
            raise cannot(name, "responses")


def _described(tool: Tool) -> dict[str, Any]:
    return {"parameters": None, "strict": tool.strict, **function_of(tool)}


def _chosen(choice: ToolChoice) -> Any:
    if not choice.names:
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "name": choice.names[0]}
    tools = [{"type": "function", "name": name} for name in choice.names]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": tools}
