"""The model wires as OpenAI's clients speak them, and the models of a tenant."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bastide.api.shapes.ground import Asked, Said


class Spoken(BaseModel):
    """A body of a foreign wire: what we do not know is passed on, not refused."""

    model_config = ConfigDict(extra="allow")


class ChatMessage(Spoken):
    """One message; `content` is text, or parts as OpenAI's clients write them."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(Spoken):
    """What a stream says beside the text."""

    include_usage: bool = False


class Chat(Spoken):
    """A conversation to be continued."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "auto", "messages": [{"role": "user", "content": "Good morning!"}], "stream": False}]
        },
    )
    model: str | None = Field(None, max_length=200, description="`auto` or nothing: the best one that is allowed.")
    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    n: int | None = Field(None, ge=1)


class Prompt(Spoken):
    """A text to go on with."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"model": "auto", "prompt": "Once"}]})
    model: str | None = Field(None, max_length=200)
    prompt: str | list[str]
    stream: bool = False
    max_tokens: int | None = Field(None, ge=1)


class ResponseQuestion(Spoken):
    """What OpenAI's newer clients ask: text, or items."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"model": "auto", "input": "Hello."}]})
    model: str | None = Field(None, max_length=200)
    input: str | list[dict[str, Any]]
    instructions: str | None = None
    stream: bool = False
    max_output_tokens: int | None = Field(None, ge=1)


class MessageQuestion(Spoken):
    """What Anthropic's clients ask."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"model": "auto", "max_tokens": 256, "messages": [{"role": "user", "content": "Good morning!"}]}
            ]
        },
    )
    model: str | None = Field(None, max_length=200)
    messages: list[dict[str, Any]] = Field(min_length=1)
    system: str | list[dict[str, Any]] | None = None
    max_tokens: int = Field(ge=1)
    stream: bool = False


class Counting(Spoken):
    """What Anthropic's clients want to have counted."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "auto", "messages": [{"role": "user", "content": "Good morning!"}]}]},
    )
    model: str | None = Field(None, max_length=200)
    messages: list[dict[str, Any]] = Field(min_length=1)


class SpeechQuestion(Spoken):
    """A text to be spoken."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"model": "auto", "input": "Good morning.", "voice": "one"}]}
    )
    model: str | None = Field(None, max_length=200)
    input: str = Field(min_length=1, max_length=100_000)
    voice: str | dict[str, Any] | None = None


class PictureQuestion(Spoken):
    """What a picture is to show."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"model": "auto", "prompt": "A fortified town from above"}]}
    )
    model: str | None = Field(None, max_length=200)
    prompt: str = Field(min_length=1, max_length=100_000)


class Completion(Said):
    """The conversation's next message, as OpenAI writes it."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


class EmbeddingQuestion(Spoken):
    """Texts to be turned into vectors."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "local/minilm", "input": ["a lease", "a contract"]}]},
    )
    model: str | None = Field(None, max_length=200)
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)


class Embeddings(Said):
    """One vector a text, as OpenAI writes it; `base64` is little-endian float32."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    model: str
    usage: dict[str, Any]


class RerankQuestion(Spoken):
    """Texts to be put into the order in which they answer."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "auto", "query": "When does the lease end?", "documents": ["In June.", "Soup."]}]
        },
    )
    model: str | None = Field(None, max_length=200, description="`auto` or nothing: the best one that is allowed.")
    query: str = Field(min_length=1, max_length=20_000)
    documents: list[str | dict[str, Any]] = Field(min_length=1, max_length=1000, description="Texts, or {text} each.")
    top_n: int | None = Field(None, ge=1, description="So many of the best; null: all.")
    return_documents: bool = False


class Reranked(Said):
    """The texts by number, best first, as Cohere's and Jina's clients read it."""

    id: str
    model: str
    results: list[dict[str, Any]]
    usage: dict[str, Any]


class ModelList(Said):
    """The models that this key may name."""

    object: Literal["list"]
    data: list[dict[str, Any]]


class NewModel(Asked):
    """A model of this tenant: a runtime of our own, or an endpoint of a provider whose record is known."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "mistral-small", "kind": "openai", "url": "http://127.0.0.1:8000/v1", "local": True},
                {
                    "name": "mistral-large",
                    "kind": "mistral",
                    "provider": "mistral/la-plateforme/eu",
                    "key": "...",
                },
            ]
        }
    )
    name: str = Field(min_length=1, max_length=200)
    kind: str = Field("openai", max_length=40, description="How the endpoint speaks: one of the kinds in the guide.")
    url: str = Field("", max_length=2000, description="Where it answers; left out, where its provider's record says.")
    model: str | None = Field(None, max_length=200, description="What the endpoint calls it; null: the same name.")
    key: str | None = Field(None, max_length=10_000, description="The endpoint's own key; sealed, never shown again.")
    provider: str | None = Field(None, max_length=200, description="The id of the provider record it stands on.")
    local: bool = Field(False, description="A runtime on our own machines: no outside provider.")
    capabilities: list[str] | None = Field(None, max_length=20)
    rank: int | None = Field(None, ge=0, le=10_000, description="The lowest is chosen first where none is named.")
    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="How often it is asked under its key; null: as its record says."
    )
    pseudonymise: bool = Field(
        False, description="What identifies a person is sent under pseudonyms, and turned back in the answer."
    )


class Model(Said):
    """A model of this tenant."""

    name: str
    kind: str


class NewRoute(Asked):
    """A name for several models, of which the first that may and can answers."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "writer", "members": ["ovh-a", "ovh-b"], "order": "listed"}]}
    )
    name: str = Field(min_length=1, max_length=128)
    members: list[str] = Field(min_length=1, max_length=32, description="Models or other routes, in their order.")
    order: Literal["listed", "price", "latency"] = "listed"
    hedge_ms: int | None = Field(
        None, ge=1, le=600_000, description="A second member is asked when the first has not begun by then."
    )


class ModelRoute(Said):
    """A route of this tenant."""

    name: str
    members: list[str]
    order: str
    hedge_ms: int | None
    created: str | None


class WhichCatalogue(Asked):
    """Whose list of models: that of a model's endpoint, or of a provider's record; one of the two."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"provider": "ovhcloud/ai-endpoints/gra"}]})
    model: str | None = Field(None, max_length=128)
    provider: str | None = Field(None, max_length=200, description="The id of a provider record.")


class WhoseOffers(Asked):
    """Whose offers are shown."""

    provider: str | None = Field(None, max_length=200, description="The id of a provider record; null: all.")


class Synced(Said):
    """What an endpoint offers now, against what it offered before."""

    record: str
    url: str
    offered: int
    came: list[str]
    went: list[str]
    repriced: list[dict[str, Any]]
    affected: list[str]
