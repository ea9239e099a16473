"""OpenAI's chat completions: requests."""

from __future__ import annotations

from typing import Any, Final

from bastide.inference.wires import chat_turns
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.values import Asked, Form, Thinking, Tool, ToolChoice

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_UNHEARD: Final = (  # they change how a call is kept, priced or sped up, not what is answered
    "model", "stream", "stream_options", "store", "service_tier", "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "safety_identifier", "prediction",
)  # fmt: skip


def read(body: dict[str, Any]) -> Asked:
    """The request. Raises BadChat, which names the field."""
    fields = Fields(body)
    fields.drop(*_UNHEARD)
    fields.only("modalities", ["text"])
    fields.only("audio")
    for name in ("functions", "function_call"):
        fields.only(name, [], "auto", "none")
    asked = Asked(
        turns=chat_turns.read(fields),
        tools=tuple(_tool(Fields(entry, at)) for entry, at in fields.rows("tools")),
        choice=_choice(fields),
        parallel=fields.flag("parallel_tool_calls"),
        max_tokens=_most(fields),
        temperature=fields.number("temperature", 0, 2),
        top_p=fields.number("top_p", 0, 1),
        top_k=fields.whole("top_k", 1),
        stop=fields.texts("stop"),
        seed=fields.whole("seed", -(2**63)),
        frequency_penalty=fields.number("frequency_penalty", -2, 2),
        presence_penalty=fields.number("presence_penalty", -2, 2),
        logit_bias=fields.table("logit_bias") or {},
        n=fields.whole("n", 1, 128) or 1,
        logprobs=_logprobs(fields),
        form=_form(fields),
        thinking=_thinking(fields),
        verbosity=fields.one_of("verbosity", "low", "medium", "high"),
        user=fields.text("user"),
        metadata=fields.table("metadata") or {},
    )
    fields.done()
    return asked


def _most(fields: Fields) -> int | None:
    old, new = fields.whole("max_tokens", 1), fields.whole("max_completion_tokens", 1)
    return old if new is None else new


def _logprobs(fields: Fields) -> int | None:
    wanted, top = fields.flag("logprobs"), fields.whole("top_logprobs", 0, 20)
    return (top or 0) if wanted else None


def _thinking(fields: Fields) -> Thinking | None:
    effort = fields.one_of("reasoning_effort", *EFFORTS)
    return Thinking(effort) if effort else None


def _tool(fields: Fields) -> Tool:
    if fields.text("type") != "function":
        raise refused(fields.path("type"), "must be 'function': other tools are not translated")
    return function(Fields(fields.take("function"), fields.path("function")))


def function(fields: Fields) -> Tool:
    """A function as the OpenAI formats describe it. Raises BadChat."""
    tool = Tool(fields.needed("name"), fields.text("description"), fields.table("parameters"), fields.flag("strict"))
    fields.drop("type", "cache_control")
    fields.done()
    return tool


def _choice(fields: Fields) -> ToolChoice | None:
    found = fields.take("tool_choice")
    if found is None:
        return None
    if found in ("none", "auto", "required"):
        return ToolChoice(found)
    choice = Fields(found, fields.path("tool_choice"))
    kind = choice.text("type")
    if kind == "function":
        return ToolChoice("required", (Fields(choice.take("function"), choice.path("function")).needed("name"),))
    if kind != "allowed_tools":
        raise refused(choice.path("type"), "must be 'function' or 'allowed_tools'")
    return allowed(Fields(choice.take("allowed_tools"), choice.path("allowed_tools")))


def allowed(fields: Fields) -> ToolChoice:
    """The tools that may be used out of those that were described. Raises BadChat."""
    names = []
    for entry, at in fields.rows("tools"):
        tool = Fields(entry, at)
        inner = tool.inner("function") or tool
        names.append(inner.needed("name"))
    mode = fields.one_of("mode", "auto", "required") or "auto"
    if not names:
        raise refused(fields.path("tools"), "must name at least one tool")
    return ToolChoice(mode, tuple(names))  # type: ignore[arg-type]


def _form(fields: Fields) -> Form | None:
    given = fields.inner("response_format")
    if given is None:
        return None
    kind = given.one_of("type", "text", "json_object", "json_schema")
    if kind == "json_schema":
        inner = Fields(given.take("json_schema"), given.path("json_schema"))
        return schema_form(inner)
    given.done()
    return Form() if kind == "json_object" else None


def schema_form(fields: Fields) -> Form:
    """JSON by a schema, as the OpenAI formats describe it. Raises BadChat."""
    name, schema = fields.text("name"), fields.table("schema")
    if schema is None:
        raise refused(fields.path("schema"), "must be given")
    form = Form(schema, name, fields.text("description"), fields.flag("strict"))
    fields.drop("type")
    fields.done()
    return form


# -- writing ----------------------------------------------------------------------------------------


def write(asked: Asked, *, model: str, stream: bool) -> dict[str, Any]:
    """The body for a server of chats. Raises BadChat for what it cannot be told."""
    unbegun(asked, "chat")
    body: dict[str, Any] = {"model": model, "messages": chat_turns.write(asked.turns)}
    if asked.tools:
        body["tools"] = [{"type": "function", "function": described(tool)} for tool in asked.tools]
    if asked.choice is not None:
        body["tool_choice"] = _chosen(asked.choice)
    if asked.form is not None:
        body["response_format"] = _formed(asked.form)
    if asked.thinking is not None and (effort := effort_of(asked.thinking)):
        body["reasoning_effort"] = effort
    if asked.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": asked.logprobs}
    optional = {
        "parallel_tool_calls": asked.parallel if asked.tools else None,
        "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "top_k": asked.top_k,
        "stop": list(asked.stop) or None,
        "seed": asked.seed,
        "frequency_penalty": asked.frequency_penalty,
        "presence_penalty": asked.presence_penalty,
        "logit_bias": dict(asked.logit_bias) or None,
        "n": asked.n if asked.n > 1 else None,
        "verbosity": asked.verbosity or None,
        "user": asked.user or None,
        "metadata": dict(asked.metadata) or None,
        "stream": True if stream else None,
        "stream_options": {"include_usage": True} if stream else None,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def unbegun(asked: Asked, wire: str) -> None:
    """Raises BadChat for an answer that the client has begun: here it would be followed by another, not continued."""
    if asked.turns[-1].role == "assistant":
        raise cannot("messages", f"{wire}: an answer whose beginning is given")


def described(tool: Tool) -> dict[str, Any]:
    """A function as the OpenAI formats describe it."""
    optional = {"description": tool.description or None, "parameters": tool.schema, "strict": tool.strict}
    return {"name": tool.name, **{name: value for name, value in optional.items() if value is not None}}


def _chosen(choice: ToolChoice) -> Any:
    if not choice.names:
        return choice.mode
    if choice.mode == "required" and len(choice.names) == 1:
        return {"type": "function", "function": {"name": choice.names[0]}}
    tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}


def _formed(form: Form) -> dict[str, Any]:
    if form.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": schema_of(form)}


def schema_of(form: Form) -> dict[str, Any]:
    """JSON by a schema, as the OpenAI formats describe it; it must have a name there."""
    optional = {"description": form.description or None, "strict": form.strict}
    more = {name: value for name, value in optional.items() if value is not None}
    return {"name": form.name or "answer", "schema": form.schema, **more}


def effort_of(thinking: Thinking) -> str:
    """An effort in words; a budget in tokens is put into the word whose budget it would be."""
    if thinking.effort or thinking.budget is None:
        return thinking.effort
    if thinking.budget == 0:
        return "none"
    if thinking.budget < 0:
        return ""
    return "low" if thinking.budget <= 2048 else "medium" if thinking.budget <= 8192 else "high"
