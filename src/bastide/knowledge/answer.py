"""Answer: from a question to sentences that cite passages.

1. passages are searched; without a relevant one the answer is that there is none
2. the label of what a model would read is joined from the passages' labels and the caller's
3. a permitted model writes, or, without one, whole sentences are taken from the passages
4. what a model wrote is checked sentence by sentence; what no cited passage supports is marked
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import islice

from bastide.errors import Refusal, Unavailable, UnknownModel
from bastide.inference import EXTRACTIVE, ChatRequest, Inference, Message
from bastide.knowledge.bounds import Filters
from bastide.knowledge.preparing import headings
from bastide.knowledge.reading import sentences, terms
from bastide.knowledge.references import named_by, named_in
from bastide.knowledge.search import KNOWN_LANGUAGES, Finder, Found, Hit
from bastide.knowledge.support import Checked, Evidence, check, with_citations
from bastide.knowledge.values import Answer, Passage
from bastide.policy import Label
from bastide.store import Scope
from bastide.telemetry import timed

NOT_FOUND = {
    "en": "Your documents do not answer this.",
    "de": "Ihre Dokumente beantworten das nicht.",
    "fr": "Vos documents n'y répondent pas.",
    "nl": "Uw documenten beantwoorden dit niet.",
    "es": "Sus documentos no responden a esto.",
    "it": "I suoi documenti non rispondono a questo.",
}

# A passage is relevant when it holds enough of the question's rare words, or when an embedder that knows the
# language puts it near. Tuned on the example documents: see tests/rooms/knowledge/test_answer.py.
RARE_WORDS_SHARE_MIN = 0.5
COSINE_MIN = 0.5

_TOKENS_MAX = 700
_BEGINNING_SENTENCES = 3
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt file: its version and its text."""

    name: str
    version: int
    text: str


def load_prompt(name: str) -> Prompt:
    """The prompt `name` that ships with this room."""
    head, _, text = files("bastide.knowledge").joinpath("prompts", f"{name}.md").read_text("utf-8").partition("---\n")
    return Prompt(name, int(head.partition("version:")[2]), text.strip())


_PROMPT = load_prompt("answer")


class Answering:
    """Answers questions from passages."""

    def __init__(self, finder: Finder, inference: Inference) -> None:
        self._finder = finder
        self._inference = inference

    async def answer(self, scope: Scope, question: str, *, model: str | None, limit: int, filters: Filters) -> Answer:
        """The answer, with its citations and its receipt."""
        with timed("knowledge_answer"):
            found = await self._finder.find(scope, question, limit=limit, filters=filters, mode="hybrid", rarity=True)
            hits = relevant(question, found)
            label = Label.join_all([Label.of_scope(scope), *(hit.passage.label for hit in hits)])
            generator = await self._generator(scope, label, model)
            if not hits:
                return _nothing(found, generator, label)
            if generator is None:
                return await self._extract(scope, question, found, hits, label)
            try:
                return await self._write(scope, question, found, hits, label=label, model=generator)
            except Unavailable as fault:
                if model is not None:  # asked for by name: its silence is the answer
                    raise
                taken = await self._extract(scope, question, found, hits, label)
                note = f"The model {generator} did not answer ({fault.code}): these are the documents' own sentences."
                return replace(taken, notes=(*taken.notes, note))

    async def _generator(self, scope: Scope, label: Label, model: str | None) -> str | None:
        """The model that writes; None when sentences are taken from the passages. Raises UnknownModel."""
        if model is not None:
            if all(model != known.name for known in await self._inference.models(scope)):
                raise UnknownModel
            return None if model == EXTRACTIVE else model
        chosen = await self._inference.generator(scope, label)
        return chosen.name if chosen is not None else None

    async def _extract(self, scope: Scope, question: str, found: Found, hits: Sequence[Hit], label: Label) -> Answer:
        places = named_in(question)
        hits = [hit for hit in hits if _stands_in(hit, places)] or hits
        reply = await self._inference.answer_extractively(
            scope, question, [hit.passage.text for hit in hits], label=label, language=found.language
        )
        chosen = [(sentence.passage, sentence.text) for sentence in reply.sentences]
        chosen = chosen or _beginnings(hits, places)
        if not chosen:
            return replace(_nothing(found, None, label), receipt=reply.receipt)
        numbers: dict[int, int] = {}
        parts: list[str] = []
        for place, text in chosen:
            n = numbers.setdefault(place, len(numbers) + 1)
            parts.append(with_citations(" ".join(text.split()), [n]))
        return Answer(
            answer=" ".join(parts),
            mode="extractive",
            model=EXTRACTIVE,
            citations=_cited(hits, tuple(numbers)),
            receipt=reply.receipt,
            label=label,
            notes=found.notes,
        )

    async def _write(
        self, scope: Scope, question: str, found: Found, hits: Sequence[Hit], *, label: Label, model: str
    ) -> Answer:
        request = ChatRequest(
            model=model, messages=messages(question, hits, found.language), max_tokens=_TOKENS_MAX, temperature=0.0
        )
        reply = await self._inference.chat(scope, request, label=label)
        text = _THOUGHT.sub("", reply.text).strip()
        prompt = f"{_PROMPT.name}@{_PROMPT.version}"
        if not text or _says_nothing(text):
            return replace(_nothing(found, model, label), receipt=reply.receipt, prompt=prompt, model=reply.model)
        checked = await self._check(scope, text, found.language, hits, label)
        return Answer(
            answer=checked.text,
            mode="generated",
            model=reply.model,
            citations=_cited(hits, checked.used),
            unsupported=checked.unsupported,
            receipt=reply.receipt,
            label=label,
            prompt=prompt,
            notes=found.notes,
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
        if language not in KNOWN_LANGUAGES.get(embedded.model, {language}):
            return checked
        cosines = embedded.vectors[: len(claims)] @ embedded.vectors[len(claims) :].T
        rows = dict(zip(claims, cosines, strict=True))

        def nearness(claim: str, among: Sequence[str]) -> float:
            row = rows.get(claim, ())
            return max(
                (float(one) for one, (text, _) in zip(row, stretches, strict=False) if text in among), default=0.0
            )

        return check(text, evidence, language=language, nearness=nearness)


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


def messages(question: str, hits: Sequence[Hit], language: str) -> tuple[Message, ...]:
    """What the model reads. The fence is a fresh random mark, so that no passage can write its own end."""
    fence = f"passages-{secrets.token_hex(8)}"
    system = _PROMPT.text.format(fence=fence, not_found=NOT_FOUND.get(language, NOT_FOUND["en"]))
    parts = [f"[{n}] {' > '.join([p.title, *p.section])}\n{p.text}" for n, p in _numbered(hits)]
    passages = "\n\n".join(parts)
    return (
        Message("system", system),
        Message("user", f"<{fence}>\n{passages}\n</{fence}>\n\nQuestion: {question}"),
    )


def _numbered(hits: Sequence[Hit]) -> list[tuple[int, Passage]]:
    return [(n, hit.passage) for n, hit in enumerate(hits, start=1)]


def _evidence(passage: Passage) -> Evidence:
    return Evidence(passage.text, headings(passage.title, passage.section), passage.language)


def _cited(hits: Sequence[Hit], places: Sequence[int]) -> tuple[Passage, ...]:
    return tuple(replace(hits[place].passage, n=n) for n, place in enumerate(places, start=1))


def _says_nothing(text: str) -> bool:
    bare = re.sub(r"\[\d+\]|[\s.\"'’]", "", text).casefold()
    return any(bare == re.sub(r"[\s.\"'’]", "", said).casefold() for said in NOT_FOUND.values())


def _nothing(found: Found, generator: str | None, label: Label) -> Answer:
    return Answer(
        answer=NOT_FOUND.get(found.language, NOT_FOUND["en"]),
        mode="extractive" if generator is None else "generated",
        model=generator or EXTRACTIVE,
        citations=(),
        receipt=found.receipt,
        found=False,
        label=label,
        notes=found.notes,
    )
