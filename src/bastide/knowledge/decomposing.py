"""Decomposing: a permitted model says of which questions a question is made, and is believed where it adds nothing."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass

from bastide.errors import BastideError
from bastide.inference import ChatRequest, Inference, Message
from bastide.knowledge.hops import invented
from bastide.knowledge.prompting import load_prompt
from bastide.policy import Label
from bastide.store import Scope, new_id

PARTS_MAX = 4
_PROMPT = load_prompt("decompose")
_TOKENS_MAX = 400
_CHARACTERS_MAX = 500
_FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "parts",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"questions": {"type": "array", "items": {"type": "string"}}},
            "required": ["questions"],
            "additionalProperties": False,
        },
    },
}
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a question, `#1` standing for what the first of them finds; `note` says what was not believed."""

    questions: tuple[str, ...] = ()
    receipt: str | None = None
    note: str = ""


async def decomposed(inference: Inference, scope: Scope, question: str, label: Label) -> Parts | None:
    """What a permitted model makes of the question; None where there is none. Its failure is a note."""
    model = await inference.generator(scope, inference.looked_into(label, [question]))
    if model is None:
        return None
    fence = secrets.token_hex(8)
    asked = Message("user", f"--- {fence}\n{question}\n--- {fence}")
    system = Message("system", _PROMPT.text.format(fence=fence))
    request = ChatRequest((system, asked), model.name, _TOKENS_MAX, raw={"response_format": _FORM}, steady=True)
    receipt = new_id("rcp")
    try:
        reply = await inference.chat(scope, request, label=label, receipt_id=receipt)
    except BastideError as no:
        return Parts(note=f"Not decomposed by {model.name} ({no.code}).")
    parts = _read(reply.text)
    kept = tuple(one for one in parts if not invented(one, question))
    if not parts:
        return Parts((), receipt, f"{model.name} gave no parts of the question.")
    dropped = len(parts) - len(kept)
    note = f"{dropped} parts by {model.name} name what the question does not, and were dropped." if dropped else ""
    return Parts(kept, receipt, note)


def _read(text: str) -> tuple[str, ...]:
    found = _OBJECT.search(text)
    try:
        wire = json.loads(found[0]) if found else {}
    except (ValueError, RecursionError):
        return ()
    parts = wire.get("questions") if isinstance(wire, dict) else None
    if not isinstance(parts, list):
        return ()
    whole = [one.strip() for one in parts if isinstance(one, str) and 0 < len(one.strip()) <= _CHARACTERS_MAX]
    return tuple(whole[:PARTS_MAX])
