"""What all task types share: how one is written down, and the shapes of their inputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from bastide.inference.inference import Inference
from bastide.inference.tasks.occurrences import fold
from bastide.inference.tasks.task import Task
from bastide.workflows import Example, JobType, JsonValue, Limits, Run


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


Thing = TypeVar("Thing", bound=Named)


def _not_blank(text: str) -> str:
    if not any(sign.isalnum() for sign in text):
        raise ValueError("there must be a letter or a digit in it")
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_not_blank)]
"""A text with something in it."""
Name: TypeAlias = Annotated[str, StringConstraints(max_length=200), AfterValidator(_not_blank)]
"""A short text with something in it: a name, a label, the title of a passage."""


def _all_different(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({fold(name) for name in names}) != len(names):
        raise ValueError("two of them have the same name")
    return names


def named_once(things: tuple[Thing, ...]) -> tuple[Thing, ...]:
    """Refuse things of which two have the same name."""
    _all_different(tuple(thing.name for thing in things))
    return things


Names: TypeAlias = Annotated[tuple[Name, ...], Field(max_length=200), AfterValidator(_all_different)]
Language: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
"""An ISO 639 code."""
Output: TypeAlias = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Kind:
    """A task type before it has models: what it is called, takes and does."""

    name: str
    about: str
    input: type[Any]
    do: Callable[[Task[Any]], Awaitable[Output]]
    example: Mapping[str, JsonValue]
    holds: Callable[[Any], bool]  # of the example's output

    def job_type(self, inference: Inference) -> JobType:
        """The type as the registry of work takes it."""
        do = self.do

        async def run(run: Run[Any]) -> JsonValue:
            return await do(Task(inference, run))

        return JobType(
            name=self.name,
            about=self.about,
            input=self.input,
            run=run,
            permission="model:use",
            tier=1,
            limits=Limits(input_bytes_max=1024 * 1024, output_bytes_max=16 * 1024 * 1024),
            example=Example(self.example, self.holds),
        )
