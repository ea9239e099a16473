"""Sound and pictures over the wires: transcription, speech, pictures. Passed on as they are, decided like any call.

All that goes in as text (what is to be spoken, what a picture is to show, how a file is called) is looked into like
that of any call; sounds and pictures are not: their label is the caller's, tightened by whatever he says of them.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from bastide.egress import Egress, Flow
from bastide.errors import BadChat, BadPicture, UpstreamGarbage, WrongCapability
from bastide.inference.calls import Call, Calls, Choice
from bastide.inference.looking import label_of
from bastide.inference.metering import Asked, Meter, asked
from bastide.inference.openai_style import Place, encode
from bastide.inference.registry import Known, unknown
from bastide.inference.upstream_faults import fault_of
from bastide.inference.wires.media import sort_of
from bastide.policy import Label
from bastide.settings import InferenceSettings
from bastide.store import Scope, new_id

MEDIA: Final = ("transcription", "speech", "images")
"""What a model of sound or pictures may do."""

FROM_PICTURES: Final = frozenset({"edits", "variations"})
"""What a model that makes pictures may be asked to make of pictures, where its kind of server offers it."""

_OUTPUT_KEPT_MAX: Final = 64 * 1024 * 1024  # of an answer; the receipt commits to all of it
_TIMES: Final = 5  # sound takes longer than text

Choose = Callable[[Scope, str | None, str, Label], Awaitable[Choice]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A file in a request."""

    name: str
    media_type: str
    data: bytes
    field: str = "file"


@dataclass(frozen=True, slots=True)
class MediaAnswer:
    """An answer whose pieces are still to come; whoever stops reading them ends the call."""

    media_type: str
    receipt: str
    pieces: AsyncGenerator[bytes]


class Media:
    """Calls of models of sound and pictures."""

    def __init__(
        self,
        calls: Calls,
        egress: Egress,
        settings: InferenceSettings,
        *,
        choose: Choose,
        place: Callable[[Known], Place],
    ) -> None:
        self._calls = calls
        self._egress = egress
        self._settings = settings
        self._choose = choose
        self._place = place

    async def call(
        self,
        scope: Scope,
        capability: str,
        fields: Mapping[str, Any],
        *,
        label: Label,
        model: str | None = None,
        files: Sequence[Sent] = (),
        wire: str = "",
    ) -> MediaAnswer:
        """Ask a model that does `capability`, over the wire of that name or `wire`; `fields` are those of the wire,
        but for the model and the files.

        Raises UnknownModel, WrongCapability, NoPermittedModel, BadChat, BadPicture, and what egress and the model's
        server raise, as long as no piece has come; later a fault ends the pieces.
        """
        scope.need("model:use")
        if model is not None and not scope.may_name(model):
            raise unknown(model)
        wire = wire or capability
        if wire in FROM_PICTURES:
            files = [_picture(file) for file in files]
        choice = await self._choose(scope, model, capability, label_of(scope, label, _texts(fields, files)))
        if self._place(choice.known).adapter.speaks(wire) is None:
            raise WrongCapability(f"The server of {choice.model.name} takes no {wire} of pictures.", param="model")
        named = {**fields, "model": choice.model.upstream}
        media_type, body = _as_form(named, files) if files else ("application/json", encode(named))
        receipt = new_id("rcp")
        wanted = asked(capability, fields, [file.data for file in files])
        pieces = self._pieces(scope, choice, wire, media_type, body, receipt, wanted)
        try:
            head = await anext(pieces)
        except BaseException:
            await pieces.aclose()
            raise
        return MediaAnswer(head.decode("latin-1"), receipt, pieces)

    async def _pieces(
        self,
        scope: Scope,
        choice: Choice,
        wire: str,
        media_type: str,
        body: bytes,
        receipt: str,
        wanted: Asked,
    ) -> AsyncGenerator[bytes]:
        """The type of the answer, then its body."""
        place = self._place(choice.known)
        headers = {**place.headers("*/*"), "content-type": media_type}
        async with self._calls.made(scope, choice, body, receipt=receipt, units=wanted.units) as call:
            call.usage = wanted.usage  # whoever leaves before the end has asked for it
            permit = self._calls.permit(choice.decision, self._egress)
            async with (
                self._egress.open(permit, total_s=self._settings.timeout_s * _TIMES) as client,
                client.stream("POST", place.address(wire), content=body, headers=headers) as flow,
            ):
                call.tls = client.tls
                if flow.status != 200:
                    raise fault_of(flow.status, flow.headers, await flow.read(), place.key)
                said = flow.headers.get("content-type") or "application/octet-stream"
                yield said.encode("latin-1")
                meter = Meter(wanted, said)
                async with aclosing(_kept(flow, call, meter)) as coming:
                    async for piece in coming:
                        yield piece
                price = self._calls.price(choice.known)
                call.usage = meter.used(call.output, by_unit=price.by_unit and price.input is None)


def _texts(fields: Mapping[str, Any], files: Sequence[Sent]) -> Iterator[str]:
    """Whatever of a request is text, however deep it lies, names included."""
    left: list[Any] = [fields, [file.name for file in files]]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            left += one
        elif type(one) is int:  # a number may be that of somebody
            yield str(one)


async def _kept(flow: Flow, call: Call, meter: Meter) -> AsyncGenerator[bytes]:
    kept: list[bytes] = []
    size = 0
    try:
        async for piece in flow:
            size += len(piece)
            if size > _OUTPUT_KEPT_MAX:
                raise UpstreamGarbage("The answer is larger than any sound or picture that was asked for.")
            kept.append(piece)
            meter.feed(piece)
            yield piece
    finally:
        call.output = b"".join(kept)


def _picture(file: Sent) -> Sent:
    """A picture under its own media type, whatever its client calls it. Raises BadPicture for what is none."""
    media_type = sort_of(file.data)
    if not media_type:
        raise BadPicture(f"The file in `{file.field[:64]}` is no picture that models read.", param=file.field[:64])
    return replace(file, media_type=media_type)


def _as_form(fields: Mapping[str, Any], files: Sequence[Sent]) -> tuple[str, bytes]:
    """A form with files (RFC 7578): its media type and its bytes. Raises BadChat for what a form cannot say."""
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            said = str(one).lower() if isinstance(one, bool) else str(one)
            parts.append(_part(boundary, f'name="{_quoted(name)}"', None, said.encode()))
    for file in files:
        named = f'name="{_quoted(file.field)}"; filename="{_quoted(file.name)}"'
        parts.append(_part(boundary, named, file.media_type, file.data))
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _part(boundary: str, disposition: str, media_type: str | None, data: bytes) -> bytes:
    kind = f"Content-Type: {media_type}\r\n" if media_type else ""
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{kind}\r\n".encode() + data + b"\r\n"


def _quoted(name: str) -> str:
    if any(character in name for character in '\r\n\0"'):
        raise BadChat("A name in the form holds a quotation mark or the end of a line.")
    return name
