"""SOCKS 5 (RFC 1928, with names and passwords as RFC 1929 has them): what is said to such a proxy, and what it answers.

A host is asked for by its name, which the proxy resolves. Nothing here opens a connection: see `tunnel`.
"""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from typing import Final

from bastide.errors import BastideError, ProxyGarbled, ProxyRefused, ProxyUnauthorised, Unreachable

_FREE: Final = 0x00
_BY_NAME: Final = 0x02
_NONE: Final = 0xFF
_WHY: Final = {
    1: "it fails",
    2: "its rules do not allow it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the host refuses the connection",
    6: "the time is up",
    7: "it makes no connections",
    8: "it takes no addresses of this kind",
}
_ITS_OWN_NO: Final = frozenset({2, 7, 8})  # whoever is behind it has not been asked
_LENGTHS: Final = {1: 4, 4: 16}


def opening(credentials: str | None) -> bytes:
    """What is said first: how we may be known."""
    methods = bytes([_FREE]) if credentials is None else bytes([_FREE, _BY_NAME])
    return bytes([5, len(methods)]) + methods


class Conversation:
    """What is answered to the opening and after it; `status` once a connection stands, or was asked for in vain.

    Without a `meant` host any answer will do.
    """

    def __init__(self, place: str, target: tuple[str, int], credentials: str | None, *, meant: str) -> None:
        self.status: int | None = None
        self._place = place
        self._target = target
        self._credentials = credentials
        self._meant = meant
        self._heard = b""
        self._next = self._method

    def feed(self, data: bytes) -> bytes:
        """Some more of what the proxy says; what is to be said to it now.

        Raises ProxyRefused, ProxyUnauthorised, ProxyGarbled, or Unreachable for the host behind.
        """
        self._heard += data
        said = b""
        while self.status is None:
            more = self._next()
            if more is None:
                return said
            said += more
        if self._heard and self.status == 0:
            raise self._garbled("goes on speaking after its yes")
        return said

    def _taken(self, length: int) -> bytes:
        taken, self._heard = self._heard[:length], self._heard[length:]
        return taken

    def _method(self) -> bytes | None:
        """How it wants to know us."""
        if self._heard[:1] not in {b"", b"\5"}:
            raise self._garbled("does not answer in SOCKS 5")
        if len(self._heard) < 2:
            return None
        method = self._taken(2)[1]
        if method == _FREE:
            self._next = self._reply
            return self._request()
        if method == _BY_NAME and self._credentials is not None:
            self._next = self._known
            name, _, word = self._credentials.partition(":")
            return b"\1" + b"".join(bytes([len(one)]) + one for one in (name.encode(), word.encode()))
        if method in {_NONE, _BY_NAME}:
            raise self._unknown()
        raise self._garbled("wants to know us in a way that was not offered")

    def _known(self) -> bytes | None:
        """Whether it accepts name and password."""
        if self._heard[:1] not in {b"", b"\1"}:
            raise self._garbled("does not answer in SOCKS 5")
        if len(self._heard) < 2:
            return None
        if self._taken(2)[1]:
            raise self._unknown()
        self._next = self._reply
        return self._request()

    def _request(self) -> bytes:
        host, port = self._target
        try:
            spelled = ip_address(host)
        except ValueError:
            name = host.encode()
            where = bytes([3, len(name)]) + name
        else:
            where = bytes([1 if isinstance(spelled, IPv4Address) else 4]) + spelled.packed
        return b"\5\1\0" + where + port.to_bytes(2, "big")

    def _reply(self) -> bytes | None:
        """Whether the connection stands. Where it leads from is of no interest, but has to be heard to its end."""
        if self._heard[:1] not in {b"", b"\5"}:
            raise self._garbled("does not answer in SOCKS 5")
        if len(self._heard) < 2:
            return None
        if said := self._heard[1]:
            if self._meant:
                raise self._no(said)
            self.status = said
            return b""
        if len(self._heard) < 5:
            return None
        kind = self._heard[3]
        length = 1 + self._heard[4] if kind == 3 else _LENGTHS.get(kind)
        if length is None:
            raise self._garbled("does not answer in SOCKS 5")
        if len(self._heard) < 6 + length:
            return None
        self._taken(6 + length)
        self.status = 0
        return b""

    def _no(self, said: int) -> BastideError:
        why = f"{_WHY.get(said, 'it gives no reason that is known')} ({said})"
        if said in _ITS_OWN_NO:
            return ProxyRefused(f"The proxy {self._place} does not let {self._meant} through: {why}.", host=self._meant)
        return Unreachable(
            f"The proxy {self._place} does not reach {self._meant}: {why}.",
            next_step="Ask whoever runs the proxy whether it can resolve and reach this host and port.",
            host=self._meant,
        )

    def _unknown(self) -> ProxyUnauthorised:
        said = f"The proxy {self._place} asks for a name and a password, or does not accept those it was given."
        return ProxyUnauthorised(said)

    def _garbled(self, said: str) -> ProxyGarbled:
        return ProxyGarbled(f"What answers at {self._place} {said}.")
