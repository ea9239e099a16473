"""Answer: from a question to sentences that cite passages.

1. a follow-up question is completed by what it leans on, and passages are searched
2. the label of what a model would read is joined from the passages' labels, the conversation's and the caller's
3. a permitted model writes, or, without one, whole sentences are taken from the passages
4. what a model wrote is checked sentence by sentence; what no cited passage supports is marked
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice

from bastide.errors import Refusal, Unavailable, UnknownModel
from bastide.inference import EXTRACTIVE, ChatRequest, Inference
from bastide.knowledge.bounds import Filters, Ways
from bastide.knowledge.conversing import further, standalone
from bastide.knowledge.embedders import known_languages
from bastide.knowledge.pinning import Pinning
from bastide.knowledge.preparing import headings
from bastide.knowledge.prompting import ANSWER, NOT_FOUND, Spoken, messages, says_nothing
from bastide.knowledge.reading import detect_language, sentences, terms
from bastide.knowledge.references import named_by, named_in
from bastide.knowledge.search import Found, Hit
from bastide.knowledge.seeking import Seeker
from bastide.knowledge.support import Checked, Evidence, check, with_citations
from bastide.knowledge.told import Answer, Telling, Turn
from bastide.knowledge.values import Passage
from bastide.policy import Label
from bastide.store import Scope, new_id
from bastide.telemetry import timed

# A passage is relevant when it holds enough of the question's rare words, or when an embedder that knows the
# language puts it near. Tuned on the example documents: see tests/rooms/knowledge/test_answer.py.
RARE_WORDS_SHARE_MIN = 0.5
COSINE_MIN = 0.5

_TOKENS_MAX = 700
_USUAL = Ways()
_BEGINNING_SENTENCES = 3


@dataclass(frozen=True, slots=True)
class _Matter:
    """One question with everything that an answer to it is made from."""

    question: str
    searched: str
    found: Found
    hits: tuple[Hit, ...]
    label: Label
    history: tuple[Turn, ...] = ()
    receipt: str = ""

    @property
    def passages(self) -> tuple[Passage, ...]:
        """The passages as they are numbered for whoever answers."""
        return tuple(replace(hit.passage, n=n) for n, hit in enumerate(self.hits, start=1))


class Answering:
    """Answers questions from passages."""

    def __init__(self, seeker: Seeker, inference: Inference, pinning: Pinning) -> None:
        self._seeker = seeker
        self._inference = inference
        self._pinning = pinning

    async def answer(
        self,
        scope: Scope,
        question: str,
        *,
        model: str | None,
        limit: int,
        filters: Filters,
        history: Sequence[Turn] = (),
    ) -> Answer:
        """The answer, with its citations and its receipt."""
        answer = None
        told = self.tell(scope, question, model=model, limit=limit, filters=filters, history=history, streamed=False)
        async with aclosing(told):
            async for event in told:
                answer = event.answer
        assert answer is not None, "the last event is the answer"
        return answer

    async def tell(
        self,
        scope: Scope,
        question: str,
        *,
        model: str | None,
        limit: int,
        filters: Filters,
        history: Sequence[Turn] = (),
        ways: Ways = _USUAL,
        streamed: bool = True,
    ) -> AsyncGenerator[Telling]:
        """The answer while it is made. Closing the iterator early stops the model; its receipt is written.

        Raises UnknownModel, NoPermittedModel, and what the model's server raises where it was asked for by name.
        """
        with timed("knowledge_answer"):
            matter, generator = await self._matter(scope, question, model, limit, filters, ways, tuple(history))
            if not matter.hits:
                yield _told(matter, _nothing(matter, generator))
                return
            yield Telling("passages", matter.receipt, matter.passages)
            notes: tuple[str, ...] = ()
            if generator is not None:
                try:
                    async with aclosing(self._write(scope, matter, generator, streamed)) as written:
                        async for event in written:
                            yield event
                except Unavailable as fault:
                    if model is not None:  # asked for by name: its silence is the answer
                        raise
                    notes = (
                        f"The model {generator} did not answer ({fault.code}): these are the documents' own sentences.",
                    )
                    matter = replace(matter, receipt=new_id("rcp"))
                else:
                    return
            taken = await self._extract(scope, matter)
            yield _told(matter, replace(taken, notes=(*taken.notes, *notes)))

    async def _matter(
        self,
        scope: Scope,
        question: str,
        model: str | None,
        limit: int,
        filters: Filters,
        ways: Ways,
        history: tuple[Turn, ...],
    ) -> tuple[_Matter, str | None]:
        """What was found for the question, and the model that writes: None when sentences are taken."""
        searched = standalone(question, history, detect_language(question, ""))
        found = await self._seeker.find(
            scope, searched, limit=limit, filters=filters, mode="hybrid", ways=ways, rarity=True
        )
        hits = relevant(searched, found)
        label = Label.join_all(
            [Label.of_scope(scope), *(hit.passage.label for hit in hits), *(turn.label for turn in history)]
        )
        texts = (question, *(hit.passage.text for hit in hits), *(said for turn in history for said in _said(turn)))
        label = self._inference.looked_into(label, texts)
        generator = await self._generator(scope, label, model)
        matter = _Matter(question, searched, found, tuple(hits), label, history, new_id("rcp"))
        return matter, generator

    async def _generator(self, scope: Scope, label: Label, model: str | None) -> str | None:
        """The model that writes; None when sentences are taken from the passages. Raises UnknownModel."""
        if model is not None:
            if all(model != known.name for known in await self._inference.nameable(scope)):
                raise UnknownModel
            return None if model == EXTRACTIVE else model
        chosen = await self._inference.generator(scope, label)
        return chosen.name if chosen is not None else None

    async def _extract(self, scope: Scope, matter: _Matter) -> Answer:
        found, hits, places = matter.found, list(matter.hits), named_in(matter.question)
        hits = [hit for hit in hits if _stands_in(hit, places)] or hits
        reply = await self._inference.answer_extractively(
            scope,
            matter.searched,
            [hit.passage.text for hit in hits],
            label=matter.label,
            language=found.language,
            receipt_id=matter.receipt,
        )
        chosen = [(sentence.passage, sentence.text) for sentence in reply.sentences]
        chosen = chosen or _beginnings(hits, places)
        if not chosen:
            return replace(_nothing(matter, None), receipt=reply.receipt)
        numbers: dict[int, int] = {}
        parts: list[str] = []
        said: dict[int, list[tuple[int, int]]] = {}
        for place, text in chosen:
            n = numbers.setdefault(place, len(numbers) + 1)
            parts.append(with_citations(" ".join(text.split()), [n]))
            passage = hits[place].passage
            start = passage.start + max(passage.text.find(text), 0)
            said.setdefault(n, []).append((start, start + len(text)))
        cited = await self._pinning.pin(scope, matter.question, _cited(hits, tuple(numbers)), said)
        return Answer(
            answer=" ".join(parts),
            mode="extractive",
            model=EXTRACTIVE,
            citations=cited,
            receipt=reply.receipt,
            label=matter.label,
            notes=(*found.notes, *_foreign(cited, found.language)),
            further=further(matter.passages, cited, found.language),
        )

    async def _write(self, scope: Scope, matter: _Matter, model: str, streamed: bool) -> AsyncGenerator[Telling]:
        found = matter.found
        request = ChatRequest(
            model=model,
            messages=messages(matter.question, matter.passages, found.language, matter.history),
            max_tokens=_TOKENS_MAX,
            steady=True,
        )
        spoken, parts, name = Spoken(), [], model
        if streamed:
            pieces = self._inference.stream_chat(scope, request, label=matter.label, receipt_id=matter.receipt)
            async with aclosing(pieces):
                async for piece in pieces:
                    name = piece.model
                    parts.append(spoken.add(piece.text))
                    if parts[-1]:
                        yield Telling("text", matter.receipt, text=parts[-1])
        else:
            reply = await self._inference.chat(scope, request, label=matter.label, receipt_id=matter.receipt)
            name = reply.model
            parts.append(spoken.add(reply.text))
        text = "".join([*parts, spoken.rest()]).strip()
        yield _told(matter, await self._written(scope, matter, text, name))

    async def _written(self, scope: Scope, matter: _Matter, text: str, model: str) -> Answer:
        """What a model wrote, checked and numbered."""
        prompt = f"{ANSWER.name}@{ANSWER.version}"
        if not text or says_nothing(text):
            return replace(_nothing(matter, model), receipt=matter.receipt, prompt=prompt)
        checked = await self._check(scope, text, matter.found.language, matter.hits, matter.label)
        cited = await self._pinning.pin(scope, matter.question, _cited(matter.hits, checked.used), {})
        return Answer(
            answer=checked.text,
            mode="generated",
            model=model,
            citations=cited,
            unsupported=checked.unsupported,
            receipt=matter.receipt,
            label=matter.label,
            prompt=prompt,
            notes=matter.found.notes,
            further=further(matter.passages, cited, matter.found.language),
        )

    async def _check(self, scope: Scope, text: str, language: str, hits: Sequence[Hit], label: Label) -> Checked:
        """Words first; where words alone leave a doubt, an embedder that knows the language is asked, too."""
        evidence = [_evidence(hit.passage) for hit in hits]
        checked = check(text, evidence, language=language)
        if not checked.doubtful:
            return checked
        stretches = [
            (one.text, one.text[start:end]) for one in evidence for start, end in sentences(one.text, one.language)
        ]
        claims = list(checked.doubtful)
        try:
            texts = [*claims, *(sentence for _, sentence in stretches)]
            embedded = await self._inference.embed(scope, texts, label=label, kind="passage")
        except (Refusal, Unavailable):
            return checked
        spoken = {language, *(one.language for one in evidence)}
        if not spoken <= (known_languages(embedded.model) or spoken):
            return checked
        cosines = embedded.vectors[: len(claims)] @ embedded.vectors[len(claims) :].T
        rows = dict(zip(claims, cosines, strict=True))

        def nearness(claim: str, among: Sequence[str]) -> float:
            row = rows.get(claim, ())
            return max(
                (float(one) for one, (text, _) in zip(row, stretches, strict=False) if text in among), default=0.0
            )

        return check(text, evidence, language=language, nearness=nearness)


def _said(turn: Turn) -> tuple[str, str]:
    return turn.question, turn.answer


def relevant(question: str, found: Found) -> list[Hit]:
    """The hits that have something to do with the question; none when the best of them has not."""
    stems = found.rarity
    whole = sum(stems.values())

    def share(hit: Hit) -> float:
        there = terms(f"{headings(hit.passage.title, hit.passage.section)}\n{hit.passage.text}", found.language)
        return sum(rare for stem, rare in stems.items() if stem in there) / whole if whole else 0.0

    def near(hit: Hit) -> bool:
        return hit.cosine is not None and found.language == "en" and hit.cosine >= COSINE_MIN

    places = named_in(question)
    good = [hit for hit in found.hits if share(hit) >= RARE_WORDS_SHARE_MIN or near(hit) or _stands_in(hit, places)]
    return list(found.hits) if good else []


def _stands_in(hit: Hit, places: set[str]) -> bool:
    return not places.isdisjoint(named_by(hit.passage.section))


def _beginnings(hits: Sequence[Hit], places: set[str]) -> list[tuple[int, str]]:
    """The first sentences of the places that the question names: "What does Article 17 say?" shares no word with it."""
    named = [(place, hit.passage) for place, hit in enumerate(hits) if _stands_in(hit, places)]
    best = named[0][1].document_id if named else ""
    named.sort(key=lambda one: (one[1].document_id != best, one[1].document_id, one[1].start))
    found = (
        (place, passage.text[start:end])
        for place, passage in named
        for start, end in sentences(passage.text, passage.language)
    )
    return list(islice(found, _BEGINNING_SENTENCES))


def _evidence(passage: Passage) -> Evidence:
    return Evidence(passage.text, headings(passage.title, passage.section), passage.language)


def _cited(hits: Sequence[Hit], places: Sequence[int]) -> tuple[Passage, ...]:
    return tuple(replace(hits[place].passage, n=n) for n, place in enumerate(places, start=1))


def _foreign(cited: Sequence[Passage], language: str) -> tuple[str, ...]:
    """Says that sentences stand in another language than the question, where they do."""
    others = sorted({one.language for one in cited if one.language and one.language != language})
    if not others:
        return ()
    return (f"Sentences in {', '.join(others)} stand as they are: no model that may read them was there to translate.",)


def _told(matter: _Matter, answer: Answer) -> Telling:
    answer = replace(answer, language=matter.found.language, searched=matter.searched)
    return Telling("answer", answer.receipt, answer=answer)


def _nothing(matter: _Matter, generator: str | None) -> Answer:
    found = matter.found
    return Answer(
        answer=NOT_FOUND.get(found.language, NOT_FOUND["en"]),
        mode="extractive" if generator is None else "generated",
        model=generator or EXTRACTIVE,
        citations=(),
        receipt=found.receipt,
        found=False,
        label=matter.label,
        notes=found.notes,
    )
