"""What crosses the door of egress: a permit in, a reply and its evidence out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bastide.errors import BrokenReply


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to speak to exactly one scheme, host and port until `expires_at`.

    Made by `Egress.permit` from an allowed decision; `seal` shows that this process made it.
    """

    scheme: str
    host: str
    port: int
    endpoint: str
    local: bool
    decision_hash: str
    expires_at: datetime
    pins: tuple[str, ...] = ()
    seal: bytes = b""

    @property
    def origin(self) -> str:
        """Scheme, host and port as the start of an address: `https://host:443`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def sealed_facts(self) -> bytes:
        """What the seal covers: every other field, in one fixed order."""
        fields = [self.scheme, self.host, self.port, self.endpoint, self.local, self.decision_hash]
        return json.dumps([*fields, self.expires_at.isoformat(), *self.pins]).encode()


@dataclass(frozen=True, slots=True)
class TlsEvidence:
    """Who answered: the peer's address and, under TLS, the certificate it showed (hashes in lower hex).

    Without TLS the certificate fields are empty: the address is then the whole evidence. Through a proxy the address is
    empty: only the proxy knows where it connected to, and the certificate is the whole evidence.
    """

    ip: str
    port: int
    cert_sha256: str = ""
    spki_sha256: str = ""
    issuer: str = ""
    not_after: str = ""  # ISO 8601, UTC
    protocol: str = ""
    proxy: str = ""  # host:port of the proxy that the connection went through

    def to_wire(self) -> dict[str, str | int]:
        """The evidence as a receipt shows it; a proxy only where there is one."""
        said = asdict(self)
        if not self.proxy:
            del said["proxy"]
        return said


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, within the size limit. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    tls: TlsEvidence | None = None

    def json(self) -> Any:
        """The body as JSON; raises BrokenReply when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as problem:
            raise BrokenReply("The answer is not JSON.", upstream_status=self.status) from problem
