"""Google's generateContent: requests. The model's name and whether it streams stand in the address, not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bastide.inference.wires import gemini_contents
from bastide.inference.wires.fields import Fields, cannot, refused
from bastide.inference.wires.messages import offered
from bastide.inference.wires.values import Asked, Form, Thinking, Tool, ToolChoice

_UNHEARD: Final = ("model", "stream", "safetySettings", "labels", "store")
_JSON: Final = "application/json"
_LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh")
BUDGETS: Final[Mapping[str, int]] = {
    "none": 0, "minimal": 512, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576,
}  # fmt: skip
"""What an effort in words may cost, in tokens: within what every model with a budget allows."""


def read(body: dict[str, Any]) -> Asked:
    """The request. Raises BadChat, which names the field."""
    fields = Fields(body, snake=True)
    fields.drop(*_UNHEARD)
    config = fields.inner("generationConfig") or Fields({}, "generationConfig", snake=True)
    config.drop("mediaResolution")
    config.only("responseModalities", [], ["TEXT"])
    wanted = config.flag("responseLogprobs")
    most = config.whole("logprobs", 0, 20)
    asked = Asked(
        turns=gemini_contents.read(fields),
        tools=tuple(tool for entry, at in fields.rows("tools") for tool in _tools(Fields(entry, at, snake=True))),
        choice=_choice(fields),
        max_tokens=config.whole("maxOutputTokens", 1),
        temperature=config.number("temperature", 0, 2),
        top_p=config.number("topP", 0, 1),
        top_k=config.whole("topK", 1),
        stop=config.texts("stopSequences"),
        seed=config.whole("seed", -(2**63)),
        frequency_penalty=config.number("frequencyPenalty", -2, 2),
        presence_penalty=config.number("presencePenalty", -2, 2),
        n=config.whole("candidateCount", 1, 128) or 1,
        logprobs=(most or 0) if wanted else None,
        form=_form(config),
        thinking=_thinking(config),
    )
    config.done()
    fields.done()
    return asked


def _tools(fields: Fields) -> list[Tool]:
    tools = []
    for entry, at in fields.rows("functionDeclarations"):
        one = Fields(entry, at, snake=True)
        schema = one.table("parametersJsonSchema") or lowered(one.table("parameters"))
        tools.append(Tool(one.needed("name"), one.text("description"), schema))
        one.drop("response", "responseJsonSchema", "behavior")
        one.done()
    fields.done()
    return tools


def lowered(schema: Any) -> Any:
    """A schema in Google's own form, whose types are in capitals, as a JSON schema."""
    if isinstance(schema, dict):
        return {
            name: value.lower() if name == "type" and isinstance(value, str) else lowered(value)
            for name, value in schema.items()
        }
    return [lowered(one) for one in schema] if isinstance(schema, list) else schema


def _choice(fields: Fields) -> ToolChoice | None:
    given = fields.inner("toolConfig")
    inner = None if given is None else given.inner("functionCallingConfig")
    if inner is None:
        return None
    mode = inner.one_of("mode", "AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
    names = inner.texts("allowedFunctionNames")
    inner.done()
    if mode == "ANY":
        return ToolChoice("required", names)
    return ToolChoice("none") if mode == "NONE" else ToolChoice("auto", names)


def _form(config: Fields) -> Form | None:
    kind = config.text("responseMimeType")
    schema = config.table("responseJsonSchema") or lowered(config.table("responseSchema"))
    if kind not in {"", "text/plain", _JSON}:
        raise refused(config.path("responseMimeType"), f"must be text/plain or {_JSON}")
    return Form(schema) if kind == _JSON else None


def _thinking(config: Fields) -> Thinking | None:
    given = config.inner("thinkingConfig")
    if given is None:
        return None
    budget, shown = given.whole("thinkingBudget", -1), given.flag("includeThoughts")
    level = given.text("thinkingLevel").lower()
    if level and level not in _LEVELS:
        raise refused(given.path("thinkingLevel"), f"must be one of {', '.join(_LEVELS)}")
    given.done()
    return Thinking("none", shown=shown) if budget == 0 else Thinking(level, budget, shown)


# -- writing ----------------------------------------------------------------------------------------


def write(asked: Asked, *, model: str, stream: bool) -> dict[str, Any]:
    """The body for a server of generateContent. Raises BadChat for what it cannot be told."""
    if asked.logit_bias:
        raise cannot("logit_bias", "gemini")
    if asked.parallel is False and asked.tools:
        raise cannot("parallel_tool_calls", "gemini")
    system, contents = gemini_contents.write(asked.turns)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    tools = asked.tools if asked.choice is not None and asked.choice.mode == "required" else offered(asked)
    if tools:
        body["tools"] = [{"functionDeclarations": [_described(tool) for tool in tools]}]
    if asked.choice is not None and asked.tools:
        body["toolConfig"] = {"functionCallingConfig": _chosen(asked.choice)}
    optional = {
        "maxOutputTokens": asked.max_tokens,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "topK": asked.top_k,
        "stopSequences": list(asked.stop) or None,
        "seed": asked.seed,
        "frequencyPenalty": asked.frequency_penalty,
        "presencePenalty": asked.presence_penalty,
        "candidateCount": asked.n if asked.n > 1 else None,
        "responseLogprobs": True if asked.logprobs is not None else None,
        "logprobs": asked.logprobs or None,
        "responseMimeType": _JSON if asked.form is not None else None,
        "responseJsonSchema": asked.form.schema if asked.form is not None else None,
        "thinkingConfig": None if asked.thinking is None else _thought(asked.thinking),
    }
    config = {name: value for name, value in optional.items() if value is not None}
    return {**body, "generationConfig": config} if config else body


def _described(tool: Tool) -> dict[str, Any]:
    optional = {"description": tool.description or None, "parametersJsonSchema": tool.schema}
    return {"name": tool.name, **{name: value for name, value in optional.items() if value is not None}}


def _chosen(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode != "required":
        return {"mode": choice.mode.upper()}
    return {"mode": "ANY", **({"allowedFunctionNames": list(choice.names)} if choice.names else {})}


def _thought(thinking: Thinking) -> dict[str, Any]:
    budget = thinking.budget
    if budget is None and thinking.effort:
        budget = BUDGETS[thinking.effort]
    told = {"thinkingBudget": budget, "includeThoughts": True if thinking.shown is None else thinking.shown}
    return {name: value for name, value in told.items() if value is not None}
