"""One line as a call: through the gateway like any other, and again where what was in the way may pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from bastide.errors import BastideError, UpstreamPaced
from bastide.inference.batches.lines import Line
from bastide.inference.gateway import Gateway, refusal
from bastide.policy import Label
from bastide.store import Scope, new_id

_AGAIN: Final = frozenset({429, 502, 503, 504})  # a server or a rate that may let us in later
_PAUSES_S: Final = (2.0, 8.0, 30.0, 60.0)  # after this many tries a server that fails is believed
_BUSY_S: Final = 3600.0  # a rate is waited for so long
_ENCODER: Final = msgspec.json.Encoder()


class _Usage(msgspec.Struct):
    prompt_tokens: Any = 0
    completion_tokens: Any = 0
    input_tokens: Any = 0
    output_tokens: Any = 0
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None
    input_tokens_details: Any = None
    output_tokens_details: Any = None


class _Answer(msgspec.Struct):
    usage: Any = None


class _Error(msgspec.Struct):
    code: Any = None
    message: Any = None


class _Refusal(msgspec.Struct):
    error: _Error


class _Asked(msgspec.Struct):
    model: Any = None


_ANSWERS: Final = msgspec.json.Decoder(_Answer)
_REFUSALS: Final = msgspec.json.Decoder(_Refusal)
_BODIES: Final = msgspec.json.Decoder(_Asked)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used, as its answer says."""

    input: int = 0
    output: int = 0
    cached: int = 0
    thought: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the output: of the answers, or of the errors."""

    n: int
    failed: bool
    data: bytes
    tokens: Tokens = Tokens()


class _Gathered:
    """A sink that keeps a whole answer."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self.ended = asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """The answer begins."""
        self.status, self.headers = status, dict(headers)

    def on_piece(self, piece: bytes) -> None:
        """Some of its body."""
        self._pieces.append(piece)

    def on_end(self) -> None:
        """All of it."""
        self.ended.set()

    @property
    def body(self) -> bytes:
        """What came."""
        return b"".join(self._pieces)


class Asking:
    """Makes the calls of one batch, in the name of who asked for it."""

    def __init__(
        self, gateway: Gateway, standing: Callable[[], Awaitable[Scope]], label: Label, wire: str, *, until: float
    ) -> None:
        """`standing` says how who asked stands now, and raises where that may ask no more: a batch can take days.
        `until`: by the clock of the loop, when the window of the batch closes.
        """
        self._gateway = gateway
        self._standing = standing
        self._label = label
        self._wire = wire
        self.until = until
        self.late = False  # something was refused until after the window
        self._far: dict[str, tuple[str, float]] = {}  # by model: its server's words, and when it may be asked again

    async def entry(self, n: int, line: Line) -> Entry | None:
        """What came of a line; None where the window closed before anything did. Raises DisabledKey.

        What may be asked again only when the window has closed is not waited for, nor is that server for other lines.
        """
        loop = asyncio.get_running_loop()
        began, tries = loop.time(), 0
        while True:
            request_id = new_id("req")
            try:
                async with asyncio.timeout_at(self.until):
                    said = await self._ask(bytes(line.body), request_id)
            except TimeoutError:
                return None
            pause = _pause_s(said, tries, loop.time() - began)
            if pause is None:
                receipt = said.headers.get(b"x-bastide-receipt", b"").decode()
                return answered(n, line.custom_id, said.status, said.body, receipt, request_id)
            told, model = _told(said), str(_BODIES.decode(line.body).model)
            if loop.time() + pause >= self.until:
                self._far[model] = told.message, loop.time() + pause
            if loop.time() + pause >= self.until or (told.code == UpstreamPaced.code and model in self._far):
                return self._too_far(n, line.custom_id, said, request_id, *self._far[model])
            tries += 1
            await asyncio.sleep(pause)

    def _too_far(self, n: int, custom_id: str, said: _Gathered, request_id: str, words: str, again: float) -> Entry:
        """A line that was refused until after the window, with that refusal."""
        self.late = True
        then, closes = _moment(again), _moment(self.until)
        message = f"{words} It may be asked again at {then}; the completion window closes at {closes}."
        receipt = said.headers.get(b"x-bastide-receipt", b"").decode()
        error = {"code": "batch_expired", "message": message}
        return answered(n, custom_id, said.status, said.body, receipt, request_id, error)

    async def _ask(self, body: bytes, request_id: str) -> _Gathered:
        scope = await self._standing()
        taken = _Gathered()
        running = self._gateway.begin(scope, self._label, self._wire, body, taken, request_id=request_id)
        try:
            await taken.ended.wait()
        except asyncio.CancelledError:
            running.cancel()  # what was seen of it is recorded and billed
            raise
        return taken


def out_of_time(n: int, custom_id: str) -> Entry:
    """A line that the window left no time for."""
    return unanswered(n, custom_id, "batch_expired", "The completion window closed before this request was answered.")


def cancelled(n: int, custom_id: str) -> Entry:
    """A line of a batch that was cancelled before it was answered."""
    return unanswered(n, custom_id, "batch_cancelled", "The batch was cancelled before this request was answered.")


def unanswered(n: int, custom_id: str, code: str, message: str) -> Entry:
    """A line that nobody has answered."""
    return Entry(n, True, _packed(custom_id, None, {"code": code, "message": message}))


def refused(n: int, custom_id: str, wire: str, fault: BastideError, receipt: str = "") -> Entry:
    """A line whose answer is an error, in the shape of its wire."""
    request_id = new_id("req")
    status, _, body = refusal(wire, fault, request_id)
    return answered(n, custom_id, status, body, receipt, request_id)


def answered(
    n: int, custom_id: str, status: int, body: bytes, receipt: str, request_id: str, error: dict[str, Any] | None = None
) -> Entry:
    """A line with the answer that came, whatever that says, and what is to be said of it beside."""
    try:
        usage = _ANSWERS.decode(body).usage
        whole: Any = msgspec.Raw(msgspec.json.format(body, indent=-1))  # one line, whatever its server wrote
    except (msgspec.DecodeError, UnicodeDecodeError):
        usage, whole = None, body.decode("utf-8", "replace")
    response: dict[str, Any] = {"status_code": status, "request_id": request_id, "body": whole}
    if receipt:
        response["receipt"] = receipt
    failed = not 200 <= status < 300
    return Entry(n, failed, _packed(custom_id, response, error), Tokens() if failed else _tokens(usage))


def _packed(custom_id: str, response: dict[str, Any] | None, error: dict[str, Any] | None) -> bytes:
    line = {"id": new_id("batch_req"), "custom_id": custom_id, "response": response, "error": error}
    return _ENCODER.encode(line) + b"\n"


def _told(said: _Gathered) -> _Error:
    """What a refusal says."""
    try:
        error = _REFUSALS.decode(said.body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Error("", "")
    return _Error(str(error.code or ""), str(error.message or ""))


def _moment(at: float) -> str:
    """A moment by the clock of the loop, as the wire writes time."""
    then = datetime.now(UTC) + timedelta(seconds=at - asyncio.get_running_loop().time())
    return then.isoformat(timespec="seconds").replace("+00:00", "Z")


def _pause_s(said: _Gathered, tries: int, took_s: float) -> float | None:
    """How long to wait before a line is asked again; None where what came is the answer."""
    if said.status not in _AGAIN:
        return None
    wait = said.headers.get(b"retry-after", b"")
    told = float(wait) if wait.isdigit() else 0.0
    if said.status == 429:
        return max(told, 1.0) if took_s < _BUSY_S else None
    return max(told, _PAUSES_S[tries]) if tries < len(_PAUSES_S) else None


def _tokens(usage: Any) -> Tokens:
    if not isinstance(usage, dict):
        return Tokens()
    try:
        told = msgspec.convert(usage, _Usage)
    except msgspec.ValidationError:
        return Tokens()
    return Tokens(
        _count(told.prompt_tokens) or _count(told.input_tokens),
        _count(told.completion_tokens) or _count(told.output_tokens),
        _detail(told.prompt_tokens_details or told.input_tokens_details, "cached_tokens"),
        _detail(told.completion_tokens_details or told.output_tokens_details, "reasoning_tokens"),
    )


def _detail(details: Any, name: str) -> int:
    return _count(details.get(name)) if isinstance(details, dict) else 0


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 2**40 else 0
