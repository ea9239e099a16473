"""One task while it runs: what it asks of models, each call a step of its job, and the receipts that it gathered.

A call is a step, so that a job which is tried again does not pay twice. What a model answers is parsed strictly
and verified; once it is told what is wrong with it; then it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bastide.errors import NoPermittedModel, TaskAnswerUnusable, UpstreamRefused
from bastide.inference.inference import Inference
from bastide.inference.tasks.prompting import messages, repair
from bastide.inference.values import EXTRACTIVE, ChatReply, ChatRequest, ExtractiveReply, Message
from bastide.workflows import JsonValue, Run

Input = TypeVar("Input")
Answer = TypeVar("Answer")

CLOSED = ConfigDict(extra="forbid")
"""What every shape is configured with: a field that was not asked for is a complaint."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with an answer, in a sentence without a word of the data; a mild one is only reported."""

    said: str
    mild: bool = False


@dataclass(frozen=True, slots=True)
class Told(Generic[Answer]):
    """An answer that was verified, and the mild complaints that are left."""

    answer: Answer
    remarks: tuple[str, ...] = ()


class Measure:
    """Embeddings inside one step, with the receipts of their calls."""

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self.receipts: list[str] = []
        self.models: list[str] = []

    async def vectors(self, texts: Sequence[str]) -> NDArray[np.float32] | None:
        """One normalised row a text; None where no embedder is installed here."""
        task = self._task
        if not texts or not task.inference.has_embedder():
            return None
        got = await task.inference.embed(task.run.scope, texts, label=task.run.label)
        self.receipts.append(got.receipt)
        self.models.append(got.model)
        await task.run.spent(tokens_in=got.usage.input)
        return got.vectors

    async def extract(self, question: str, passages: Sequence[str], language: str | None = None) -> ExtractiveReply:
        """The sentences that best answer."""
        task = self._task
        got = await task.inference.answer_extractively(
            task.run.scope, question, passages, label=task.run.label, language=language
        )
        self.receipts.append(got.receipt)
        self.models.append(got.model)
        return got


class Task(Generic[Input]):
    """A task's input, and the calls that it makes."""

    def __init__(self, inference: Inference, run: Run[Input]) -> None:
        self.inference = inference
        self.run = run
        self.receipts: list[str] = []
        self.models: list[str] = []

    @property
    def input(self) -> Input:
        """What was asked for."""
        return self.run.input

    # -- which way --------------------------------------------------------------------------------------

    async def generator(self, named: str | None) -> str | None:
        """The generative model that does this task; None where it is done without one. Chosen once a job."""
        if named is not None:
            return None if named == EXTRACTIVE else named

        async def choose() -> JsonValue:
            label = self.inference.looked_into(
                self.run.label, [json.dumps(asdict(cast("Any", self.input)), default=str)]
            )
            found = await self.inference.generator(self.run.scope, label)
            return found.name if found else None

        return cast("str | None", await self.run.step("choose a model", choose))

    async def needed_generator(self, named: str | None, what: str) -> str:
        """The generative model, for what cannot be done without one. Raises NoPermittedModel."""
        found = await self.generator(named)
        if found is not None:
            return found
        known = await self.inference.nameable(self.run.scope)
        asked = [model.name for model in known if "chat" in model.capabilities and not model.built_in]
        if asked and named != EXTRACTIVE:
            return asked[0]  # the law refuses it, in its own words and on the record
        raise NoPermittedModel(
            f"{what} needs a generative model, and there is none here for these bytes.",
            next_step="Add a model: `bastide model add --help` shows how.",
        )

    # -- generative -------------------------------------------------------------------------------------

    async def ask(
        self,
        step: str,
        model: str,
        shape: type[Answer],
        instruction: str,
        parts: Mapping[str, str],
        *,
        check: Callable[[Answer], Iterable[Complaint]] = lambda answer: (),
        tokens_max: int = 1200,
    ) -> Told[Answer]:
        """The model's answer in this shape, verified by `check`, mended once. Raises TaskAnswerUnusable."""
        adapter = _adapter(shape)
        schema = adapter.json_schema()
        schema.pop("title", None)  # a name of ours that says nothing to a model
        asked = messages(instruction, parts, schema)
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
        request = ChatRequest(asked, model=model, max_tokens=tokens_max, raw={"response_format": form}, steady=True)
        said = await self._call(step, request)
        told, wrong = _read(adapter, said, check)
        if wrong:
            again = (*asked, Message("assistant", said["text"][:20_000]), repair(" ".join(wrong)))
            said = await self._call(f"{step} mended", replace(request, messages=again))
            better, wrong = _read(adapter, said, check)
            told = better or told
        if told is None:
            raise TaskAnswerUnusable(
                f"The answer of {model} could not be used, nor could the second one: {wrong[0]}", model=model
            )
        return told

    async def _call(self, step: str, request: ChatRequest) -> dict[str, Any]:
        """One call, recorded: the words, the model, the receipt."""

        async def call() -> JsonValue:
            try:
                reply = await self._chat(request)
            except UpstreamRefused:  # some servers know no response_format; the schema stands in the instruction too
                reply = await self._chat(replace(request, raw={}))
            await self.run.spent(tokens_in=reply.usage.input, tokens_out=reply.usage.output)
            return {"text": reply.text, "finish": reply.finish, "model": reply.model, "receipt": reply.receipt}

        said = cast("dict[str, Any]", await self.run.step(step, call))
        self.note([said["receipt"]], [said["model"]])
        return said

    async def _chat(self, request: ChatRequest) -> ChatReply:
        return await self.inference.chat(self.run.scope, request, label=self.run.label)

    # -- measured ---------------------------------------------------------------------------------------

    async def measured(self, step: str, work: Callable[[Measure], Awaitable[JsonValue]]) -> Any:
        """What `work` finds by embeddings or by the extractive answerer; one step."""

        async def call() -> JsonValue:
            measure = Measure(self)
            found = await work(measure)
            return {"found": found, "receipts": list(measure.receipts), "models": list(measure.models)}

        said = cast("dict[str, Any]", await self.run.step(step, call))
        self.note(said["receipts"], said["models"])
        return said["found"]

    def note(self, receipts: Sequence[str], models: Sequence[str]) -> None:
        """Remember what was called, for the output."""
        self.receipts += receipts
        self.models += [model for model in models if model not in self.models]

    # -- the output -------------------------------------------------------------------------------------

    def output(self, mode: str, /, **result: JsonValue) -> dict[str, JsonValue]:
        """The result, with how it was done, by which model, and the receipt of the last call; all of them beside it."""
        if mode == "similarity" and not self.models:
            mode = "words"  # no embedder is installed here
        return {
            "mode": mode,
            "model": self.models[-1] if self.models else None,
            "receipt": self.receipts[-1] if self.receipts else None,
            "receipts": list(self.receipts),
            **result,
        }


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(shape: type[Answer]) -> TypeAdapter[Answer]:
    found = _adapters.get(shape)
    if found is None:
        found = _adapters[shape] = TypeAdapter(shape)
    return found


def _read(
    adapter: TypeAdapter[Answer], said: Mapping[str, Any], check: Callable[[Answer], Iterable[Complaint]]
) -> tuple[Told[Answer] | None, list[str]]:
    """The answer, if it can be used, and every complaint about it, the hard ones first."""
    if said["finish"] == "length":
        return None, ["it was cut off before its end; it must be shorter."]
    try:
        answer = adapter.validate_json(bare_json(said["text"]), strict=True)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return None, [f"{place}: {first['msg']}." if place else "it is not the JSON object asked for."]
    found = list(check(answer))
    hard = [one.said for one in found if not one.mild]
    mild = [one.said for one in found if one.mild]
    return (None if hard else Told(answer, tuple(mild))), hard + mild


def bare_json(text: str) -> str:
    """The answer without what models put around it: thoughts before it, a code fence."""
    text = text.strip()
    for end in ("</think>", "</thinking>"):
        text = text.rpartition(end)[2].strip()
    if text.startswith("```") and text.endswith("```") and len(text) > 6:
        text = text[3:-3].removeprefix("json").removeprefix("JSON").strip()
    return text
