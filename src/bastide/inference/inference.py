"""The room's class: chat, embeddings, re-ranking, extractive answers, and the models that give them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bastide.audit import Audit
from bastide.egress import Egress
from bastide.errors import BastideError, UnknownModel
from bastide.inference import openai_style as wire
from bastide.inference.accounts import Accounts, Keeping
from bastide.inference.adapters import ADAPTERS
from bastide.inference.adding import Adding
from bastide.inference.calls import Call, Calls, Choice, pin_of
from bastide.inference.candidates import Candidates
from bastide.inference.catalogue import Catalogue
from bastide.inference.gateway import Gateway, Here, Route
from bastide.inference.local.extractive_chat import as_stream, completion, question_and_passages, reply_text
from bastide.inference.local.models import Kind, LocalModels
from bastide.inference.looking import label_of, label_of_chat, looked_into
from bastide.inference.media import Media
from bastide.inference.registry import Known, Registry, able, unknown
from bastide.inference.reranking import rerank
from bastide.inference.routing import Routes
from bastide.inference.steadiness import Steadiness
from bastide.inference.values import (
    EXTRACTIVE,
    ChatPiece,
    ChatReply,
    ChatRequest,
    Embedded,
    ExtractedSentence,
    ExtractiveReply,
    Model,
    ModelSpec,
    Reranked,
    Usage,
)
from bastide.inference.vision import PictureReading, capability_of, picture_request, reading_of
from bastide.policy import Label, Policy
from bastide.settings import InferenceSettings
from bastide.store import Scope, Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BATCH = 64  # texts that a remote embedding endpoint is sent at a time
_STREAM_TIMES = 10  # a stream may take this many times as long as a whole answer: it shows that it lives


class Inference:
    """Any call to any model. Every call is decided, permitted if it leaves the process, and leaves a receipt."""

    def __init__(self, store: Store, audit: Audit, policy: Policy, egress: Egress, settings: InferenceSettings) -> None:
        self._policy = policy
        self._egress = egress
        self._settings = settings
        self._local = LocalModels(settings)
        self._registry = Registry(store, audit)
        rates_eur = {} if settings.eur_per_usd is None else {"USD": settings.eur_per_usd}
        self._accounts = Accounts(store, settings.home, rates_eur=rates_eur)
        self._calls = Calls(store, audit, policy, self._accounts)
        self._steadiness = Steadiness(self._calls)
        self._adding = Adding(self._registry, self._calls, policy, egress, settings)
        journal, presence = audit.journal, store.presence
        self.gateway = Gateway(
            policy, egress, self._calls, journal, self._accounts, settings, presence, self._read, Here(self)
        )
        self.accounts = Keeping(store, audit, self._accounts, forget=self.gateway.cache.forget)
        self.catalogue = Catalogue(store, audit, policy, egress, self._registry, self._calls, self.gateway.forget)
        self.routes = Routes(store, audit, self._local.models, self.gateway.forget)
        self._candidates = Candidates(self._registry, self.routes, self._local.models)
        self.media = Media(self._calls, egress, settings, choose=self._choose, place=self._place)

    async def start(self) -> None:
        """Open the books and find the local models. Raises UnsupportedEmbedder for a folder that cannot be run."""
        await self._accounts.start()
        self._calls.start(self.gateway.views.told)
        await self._local.start()

    def open_ahead(self) -> None:
        """Open in the background what is only opened when it is first needed: who asks first shall not wait for it."""
        self._local.open_ahead()

    async def stop(self) -> None:
        """Finish the receipts of calls that were given up, close the books, then the local models."""
        await self.gateway.stop()
        await self._calls.stop()
        await self._accounts.stop()
        await self._local.stop()

    # -- models -------------------------------------------------------------------------------------

    async def models(self, scope: Scope) -> list[Model]:
        """The tenant's models and the built-in ones, in the order in which they would be chosen."""
        scope.need("model:use")
        return [known.model for known in await self._registry.all(scope, self._local.models())]

    async def nameable(self, scope: Scope) -> list[Model]:
        """Those of them that the caller's key may name."""
        return [model for model in await self.models(scope) if scope.may_name(model.name)]

    async def add_model(self, scope: Scope, spec: ModelSpec) -> Model:
        """Add a model; its endpoint is enabled for the tenant, which is an act of an administrator.

        Raises BadModel, NotLocal, ModelExists or UnknownRecord. A server that does not answer is no error:
        the model is kept and `problem` says what was found.
        """
        scope.need("model:manage")
        await self.routes.refuse_name(scope, spec.name)
        model = await self._adding.add(scope, spec)
        self.gateway.forget(scope.tenant)
        return model

    async def remove_model(self, scope: Scope, name: str) -> None:
        """Forget a model and its key; its endpoint stays enabled in policy. Raises UnknownModel."""
        scope.need("model:manage")
        await self._registry.remove(scope, name)
        self.gateway.forget(scope.tenant)

    async def _read(self, scope: Scope) -> tuple[Sequence[Known], Sequence[Route]]:
        """The tenant's models and routes, for the gateway."""
        return await self._registry.all(scope, self._local.models()), await self.routes.for_gateway(scope)

    async def spent(self, scope: Scope, names: Sequence[str]) -> dict[str, BastideError]:
        """Which of these models answer nobody now, because budgets or rates of their own have nothing left, and why."""
        scope.need("model:use")
        return await self._calls.all_spent(scope, await self._registry.all(scope, self._local.models()), names)

    @staticmethod
    def looked_into(label: Label, texts: Iterable[str]) -> Label:
        """The label of what these texts are part of, joined with what is found in them, as each call does."""
        return looked_into(label, texts)

    async def generator(self, scope: Scope, label: Label) -> Model | None:
        """The generative model that a chat with this label would use, or None if there is none; its name is that of a
        route where the caller may come to it by that only."""
        scope.need("model:use")
        known = [one for one in await self._candidates.of(scope, None, "chat") if one.model.name != EXTRACTIVE]
        found = await self._calls.permitted(scope, known, label_of(scope, label, ()), capability="chat")
        return None if found is None else await self._candidates.named(scope, found)

    async def has_generator(self, scope: Scope, label: Label) -> bool:
        """Whether a generative model may receive bytes with this label."""
        return await self.generator(scope, label) is not None

    def has_embedder(self) -> bool:
        """Whether texts can be embedded on this machine."""
        return self._local.has_embedder

    def embedder_tokens_max(self) -> int:
        """How many tokens of a text the local embedding model reads; 0 without one."""
        return self._local.tokens_max

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has for the local embedding model, its end marks included. Raises NoEmbedder.

        CPU-bound and without a call of the model: run it in a thread.
        """
        return self._local.count_tokens(texts)

    # -- chat ---------------------------------------------------------------------------------------

    async def chat(
        self, scope: Scope, request: ChatRequest, *, label: Label, receipt_id: str | None = None
    ) -> ChatReply:
        """One whole answer, by the named model or by the first permitted one.

        Raises UnknownModel, WrongCapability, NoPermittedModel, and what egress and the model's server raise.
        """
        scope.need("model:use")
        choice = await self._choose(scope, request.model, "chat", label_of_chat(scope, request, label))
        if choice.model.built_in:
            return await self._chat_extractively(scope, choice, request, receipt_id)
        return await self._chat_remotely(scope, choice, request, receipt_id)

    async def _chat_remotely(
        self, scope: Scope, choice: Choice, request: ChatRequest, receipt: str | None
    ) -> ChatReply:
        place = self._place(choice.known)
        body = self._steadiness.body(request, choice.model, place, stream=False)
        async with self._calls.made(scope, choice, body, receipt=receipt) as call:
            permit = self._calls.permit(choice.decision, self._egress)
            async with self._egress.open(permit, total_s=self._settings.timeout_s) as client:
                try:
                    found = await self._steadiness.complete(scope, client, place, call, request)
                finally:
                    call.tls = client.tls
            call.output = found.said
            call.usage = found.usage or Usage.guessed(call.input, call.output)
        return ChatReply(
            text=found.text,
            model=choice.model.name,
            finish=found.finish,
            usage=call.usage,
            receipt=call.receipt,
            raw={**found.raw, "model": choice.model.name},
        )

    async def stream_chat(
        self, scope: Scope, request: ChatRequest, *, label: Label, receipt_id: str | None = None
    ) -> AsyncGenerator[ChatPiece]:
        """The answer while it is written. Closing the iterator early closes the connection; the receipt is written.

        Errors as in `chat`; those before the first piece are raised at the first piece.
        """
        scope.need("model:use")
        choice = await self._choose(scope, request.model, "chat", label_of_chat(scope, request, label))
        if choice.model.built_in:
            reply = await self._chat_extractively(scope, choice, request, receipt_id)
            for piece in as_stream(reply):
                yield piece
            return
        place = self._place(choice.known)
        body = self._steadiness.body(request, choice.model, place, stream=True)
        async with (
            self._calls.made(scope, choice, body, receipt=receipt_id) as call,
            aclosing(self._pieces(scope, place, call, request)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def _pieces(
        self, scope: Scope, place: wire.Place, call: Call, request: ChatRequest
    ) -> AsyncGenerator[ChatPiece]:
        model, gathered = call.choice.model, wire.Gathered()
        permit = self._calls.permit(call.choice.decision, self._egress)
        total_s = self._settings.timeout_s * _STREAM_TIMES
        try:
            async with (
                self._egress.open(permit, total_s=total_s) as client,
                aclosing(self._steadiness.stream(scope, client, place, call, request)) as chunks,
            ):
                async for found in chunks:
                    call.tls = client.tls
                    gathered.add(found)
                    raw = {**found.raw, "model": model.name}
                    yield ChatPiece(found.text, model.name, call.receipt, raw, found.finish)
        finally:
            call.output = gathered.said
            call.usage = gathered.usage or Usage.guessed(call.input, call.output)

    async def _chat_extractively(
        self, scope: Scope, choice: Choice, request: ChatRequest, receipt: str | None
    ) -> ChatReply:
        body = wire.encode(request.to_wire(choice.model.name, stream=False))
        async with self._calls.made(scope, choice, body, receipt=receipt) as call:
            question, passages = question_and_passages(request.messages)
            found = await self._local.extract(question, passages, None)
            text = reply_text([one.text for one in found])
            call.output = text.encode()
            call.usage = Usage.guessed(body, call.output)
        raw = completion(text, call.usage, call.receipt)
        return ChatReply(text, choice.model.name, "stop", call.usage, call.receipt, raw, mode="extractive")

    async def read_picture(
        self, scope: Scope, picture: bytes, task: str, *, label: Label, speciality: str = ""
    ) -> PictureReading:
        """What a model that sees reads in a PNG; `task` is the instruction, `label` that of the picture.

        `speciality` asks for a model with the capability `vision.<speciality>`: tables, handwriting, scripts, second.
        Raises UnknownModel where there is none, NoPermittedModel, and what egress and the model's server raise.
        """
        scope.need("model:use")
        wanted = capability_of(speciality)
        candidates = await self._candidates.of(scope, None, wanted)
        if not candidates:
            raise UnknownModel(f"There is no model for {wanted} here.")
        choice = await self._calls.choose(
            scope,
            candidates,
            label_of(scope, label, [task]),
            capability="vision",
            others=partial(self._candidates.others, scope, wanted),
        )
        return reading_of(await self._chat_remotely(scope, choice, picture_request(picture, task), None))

    # -- extracts and vectors -----------------------------------------------------------------------

    async def answer_extractively(
        self,
        scope: Scope,
        question: str,
        passages: Sequence[str],
        *,
        label: Label,
        language: str | None = None,
        receipt_id: str | None = None,
    ) -> ExtractiveReply:
        """The sentences of the passages that best answer the question, on this machine. Raises NoPermittedModel."""
        scope.need("model:use")
        choice = await self._choose(
            scope, EXTRACTIVE, "chat", label_of(scope, label, [question, *passages]), act="answer"
        )
        sent = wire.encode({"question": question, "passages": list(passages)})
        async with self._calls.made(scope, choice, sent, receipt=receipt_id) as call:
            found = await self._local.extract(question, passages, language)
            call.output = "\n".join(one.text for one in found).encode("utf-8", "replace")
            call.usage = Usage.guessed(sent, call.output)
        sentences = tuple(ExtractedSentence(one.text, one.passage, one.start, one.end, one.score) for one in found)
        return ExtractiveReply(sentences, call.receipt)

    async def embed(
        self, scope: Scope, texts: Sequence[str], *, label: Label, model: str | None = None, kind: Kind = "passage"
    ) -> Embedded:
        """One vector a text, L2-normalised, in their order; one receipt for all of them.

        A query that is read on this machine does not wait for the log: its receipt stands there a moment later.
        Without a name it is this machine's embedder, if there is one. Raises NoPermittedModel, UnknownModel.
        """
        scope.need("model:use")
        choice = await self._choose(scope, model, "embeddings", label_of(scope, label, texts))
        sent = json.dumps({"texts": list(texts), "kind": kind}, separators=(",", ":")).encode()
        async with self._calls.made(scope, choice, sent, noted=kind == "query" and choice.model.built_in) as call:
            if choice.model.built_in:
                vectors, tokens = await self._local.embed(texts, kind, choice.model.name)
                call.usage = Usage(tokens)
            else:
                vectors = await self._embed_remotely(scope, call, texts)
            call.output = vectors.tobytes()
        return Embedded(vectors, choice.model.name, call.receipt, vectors.shape[1], call.usage)

    async def _embed_remotely(self, scope: Scope, call: Call, texts: Sequence[str]) -> NDArray[np.float32]:
        found: list[NDArray[np.float32]] = []
        permit, place = self._calls.permit(call.choice.decision, self._egress), self._place(call.choice.known)
        async with self._egress.open(permit, total_s=self._settings.timeout_s) as client:
            for start in range(0, len(texts), _BATCH):
                batch = texts[start : start + _BATCH]
                if start:  # the first one's turn has come with the call
                    await self._calls.turn(scope, call.choice.known)
                vectors, tokens = await wire.embed(client, place, call.choice.model.upstream, batch)
                call.tls = client.tls
                counted = (
                    Usage(tokens) if tokens is not None else Usage.guessed("".join(batch).encode("utf-8", "replace"))
                )
                call.usage = Usage(call.usage.input + counted.input, 0, call.usage.estimated or counted.estimated)
                found.append(vectors)
        return wire.normalised(found)

    async def has_reranker(self, scope: Scope) -> bool:
        """Whether this tenant has a re-ranker at all; whether it may read something is decided at the call."""
        if "model:use" not in scope.permissions:
            return False
        return bool(able(await self._candidates.lately(scope), "rerank"))

    async def rerank(
        self, scope: Scope, query: str, texts: Sequence[str], *, label: Label, model: str | None = None
    ) -> Reranked:
        """How well each text answers `query`, in their order; one receipt for all of them.

        Raises NoPermittedModel, UnknownModel, WrongCapability, and what egress and the model's server raise.
        """
        scope.need("model:use")
        if model is not None and not scope.may_name(model):
            raise unknown(model)
        choice = await self._choose(scope, model, "rerank", label_of(scope, label, [query, *texts]))
        sent = wire.encode({"query": query, "documents": list(texts)})
        async with self._calls.made(scope, choice, sent) as call:
            if choice.model.built_in:
                scores, tokens = await self._local.rerank(query, texts)
                call.usage = Usage(tokens)
            else:
                scores = await self._rerank_remotely(call, query, texts, Usage.guessed(sent))
            call.output = json.dumps(scores, separators=(",", ":")).encode()
        return Reranked(tuple(scores), choice.model.name, call.receipt, call.usage)

    async def _rerank_remotely(self, call: Call, query: str, texts: Sequence[str], guess: Usage) -> list[float]:
        call.usage = guess
        permit, place = self._calls.permit(call.choice.decision, self._egress), self._place(call.choice.known)
        async with self._egress.open(permit, total_s=self._settings.timeout_s) as client:
            try:
                scores, tokens = await rerank(client, place, call.choice.model.upstream, query, texts)
            finally:
                call.tls = client.tls
        call.usage = Usage(tokens) if tokens is not None else guess
        return scores

    # -- choosing -----------------------------------------------------------------------------------

    async def _choose(
        self, scope: Scope, name: str | None, capability: str, label: Label, *, act: str | None = None
    ) -> Choice:
        if name is None and capability == "embeddings":
            name = self._local.embedder_name  # the usual case, found without asking the database
        candidates = await self._candidates.of(scope, name, capability)
        others = partial(self._candidates.others, scope, capability)
        return await self._calls.choose(
            scope, candidates, label, capability=act or capability, others=others, named=name
        )

    def _place(self, known: Known) -> wire.Place:
        model = known.model
        path, pin = urlsplit(model.url).path.rstrip("/"), pin_of(self._policy, model)
        return wire.Place(path, known.key, ADAPTERS[model.kind], pin, model.upstream)
