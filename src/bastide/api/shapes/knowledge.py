"""Documents, passages and answers on the wire."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from bastide.api.shapes.ground import LABEL_EXAMPLE, Asked, LabelWire, Pages, Said

PASSAGE_EXAMPLE: dict[str, Any] = {
    "n": 1,
    "document_id": "doc_06ar2k8m1v6t7c9d0e1f2g3h4j",
    "title": "General Data Protection Regulation",
    "collection": "examples",
    "section": ["CHAPTER III", "Article 17", "1"],
    "page": None,
    "start": 10450,
    "end": 11002,
    "text": "The data subject shall have the right to obtain from the controller the erasure of personal data ...",
    "score": 0.83,
    "version": 1,
    "label": LABEL_EXAMPLE,
}

METADATA = "What is said of it beside its label: by key a text, a number, true or false, or a list of these."


class TextTold(Asked):
    """A document given as text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "lease.md", "text": "# Lease\n\nThe lease ends in June.", "collection": "contracts"}]
        }
    )
    name: str = Field(description="The file's name; its ending says what it is.")
    text: str
    collection: str | None = None
    label: LabelWire | None = None
    subjects: list[str] = Field(default_factory=list, max_length=1000, description="Whom the document is about.")
    metadata: dict[str, Any] | None = Field(None, description=METADATA)


class NewText(TextTold):
    """The same, which may belong to an intake."""

    job: str | None = Field(None, description="An open intake that gathers it; then the answer is 202.")


class WhichDocuments(Pages):
    """What the list of documents is narrowed to."""

    collection: str | None = Field(None, description="Of this collection only.")
    name: str | None = Field(None, description="With exactly this name.")
    subject: str | None = Field(None, description="About this person.")


class WhichVersions(Asked):
    """Two versions of one document."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"older": 1, "newer": 2}]})
    older: int = Field(ge=1)
    newer: int = Field(ge=1)


class WhyDelete(Asked):
    """Why a document is deleted."""

    reason: str = Field("", description="Kept in the audit log.")


class NewIntake(Asked):
    """What holds for all files of an intake."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"collection": "contracts", "label": {"class": "confidential"}}]}
    )
    collection: str | None = None
    label: LabelWire | None = None
    subjects: list[str] = Field(default_factory=list, max_length=1000, description="Whom the documents are about.")


class Intake(Said):
    """An intake that is open."""

    job: str
    workers: int = Field(description="How many processes can take files in now.")


class Closed(Said):
    """An intake that gets no further file."""

    job: str


class Relabel(Asked):
    """A document's new label, or what changes of its metadata."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"label": {"class": "confidential"}, "metadata": {"kind": "lease"}}]}
    )
    label: LabelWire | None = None
    metadata: dict[str, Any] | None = Field(None, description="Null takes a key away; what is not named stays.")
    reason: str = Field("", description="Kept in the audit log; needed to lower a label.")


class TakenIn(Said):
    """What became of one file."""

    id: str | None
    name: str
    status: Literal["ready", "queued", "unchanged", "refused"]
    chunks: int
    error: dict[str, Any] | None


class Ingested(Said):
    """What became of the files."""

    documents: list[TakenIn]
    ingested: int
    unchanged: int
    refused: int


class QueuedFile(TakenIn):
    """A file that a job will take in."""

    job: str


class Queued(Said):
    """Files that wait; `job` stands for them all."""

    documents: list[QueuedFile]
    ingested: int
    unchanged: int
    refused: int
    queued: int
    job: str


class Document(Said):
    """A document in its current version."""

    id: str
    name: str
    title: str
    collection: str
    version: int
    status: str
    media_type: str
    language: str
    bytes: int
    pages: int | None
    chunks: int
    label: LabelWire
    metadata: dict[str, Any]


class Search(Asked):
    """A question to the index."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"query": "When must personal data be erased?", "limit": 8, "mode": "hybrid"}]}
    )
    query: str
    limit: int = 8
    collection: str | None = None
    filters: dict[str, Any] = Field(
        default_factory=dict,
        description="`documents`, `names`, `languages`, `media_types`, `classes` (lists), `since`, `until`, `metadata` "
        "(by key a value, a list of which one is there, or an object of eq, any, gt, gte, lt, lte, exists).",
    )
    mode: Literal["hybrid", "text", "vector", "graph"] = "hybrid"
    explain: bool = Field(False, description="Each passage says why it is here.")
    context: Literal["none", "neighbours", "section"] = Field("none", description="What stands around each passage.")
    rerank: Literal["auto", "off"] = Field(
        "auto", description="A re-ranker that is allowed to read them orders the best."
    )


class Passage(Said):
    """A stretch of a document, with where it stands."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [PASSAGE_EXAMPLE]})
    n: int
    document_id: str
    title: str
    collection: str
    section: list[str]
    page: int | None
    start: int
    end: int
    text: str
    score: float
    version: int
    label: LabelWire


class Found(Said):
    """Passages, best first."""

    passages: list[Passage]
    took_ms: float


class TurnBefore(Asked):
    """A question that was asked before, with its answer."""

    question: str = Field(max_length=4_000)
    answer: str = Field(max_length=20_000)
    label: LabelWire | None = Field(None, description="That answer's label; null: the tenant's default.")


class Question(Asked):
    """A question to be answered from the documents."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"question": "When must personal data be erased?", "model": None, "limit": 8}]}
    )
    question: str
    model: str | None = Field(None, max_length=200, description="Null: the best one that the label allows.")
    limit: int = Field(8, description="How many passages the answer may stand on.")
    collection: str | None = None
    filters: dict[str, Any] = Field(default_factory=dict, description="As in a search.")
    rerank: Literal["auto", "off"] = Field("auto", description="As in a search.")
    decompose: Literal["off", "auto", "always"] = Field("off", description="As in a search.")
    history: list[TurnBefore] = Field(
        default_factory=list,
        max_length=50,
        description="The turns before, oldest first: a follow-up leans on the last.",
    )


class Answer(Said):
    """An answer whose sentences cite passages by number."""

    answer: str = Field(examples=["The controller must erase personal data without undue delay [1]."])
    mode: Literal["extractive", "generated"]
    model: str
    citations: list[Passage]
    unsupported: list[Any] = Field(description="Sentences that no cited passage supports.")
    receipt: str | None = Field(description="Fetch it at /api/v1/receipts/{id}; verify it with `bastide verify`.")
    found: bool = Field(description="False where the documents do not answer.")
    language: str = Field(description="The language of the question, which is that of the answer.")
    searched: str = Field(description="What was searched for: the question, with what a follow-up leans on.")
    further: list[str] = Field(description="Questions that the documents could answer next.")


class Shelf(Said):
    """A collection."""

    name: str
    documents: int
    created: str


class NewCollection(Asked):
    """A collection to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "contracts"}]})
    name: str


class Statistics(Said):
    """How much is here; `queued` are documents that cannot be searched yet."""

    documents: int
    chunks: int
    entities: int
    queued: int
    refused: int
    languages: dict[str, int]
