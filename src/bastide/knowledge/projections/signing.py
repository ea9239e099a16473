"""Signing: AWS Signature Version 4 for S3, with the signature in a header.

After "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" of the S3 API reference. The
path is encoded once (other services twice), and the body's hash is always sent and signed. Pure.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Signer:
    """An access key for one region."""

    access: str
    secret: str = field(repr=False)
    region: str = "us-east-1"
    service: str = "s3"

    def headers(
        self,
        method: str,
        host: str,
        path: str,
        query: Sequence[tuple[str, str]],
        body: bytes,
        now: datetime,
        extra: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """The headers to send, all signed with the host; `path` is not encoded yet, `host` as the request says it."""
        at = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        own = {name.lower(): value for name, value in (extra or {}).items()}
        own |= {"x-amz-date": at, "x-amz-content-sha256": digest}
        signed = {name: " ".join(value.split()) for name, value in sorted({**own, "host": host}.items())}
        names = ";".join(signed)
        lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
        canonical = "\n".join((method, encoded(path), query_text(query), lines, names, digest))
        scope = f"{at[:8]}/{self.region}/{self.service}/aws4_request"
        text = "\n".join((_ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        signature = hmac.new(self._key(at[:8]), text.encode(), hashlib.sha256).hexdigest()
        value = f"{_ALGORITHM} Credential={self.access}/{scope},SignedHeaders={names},Signature={signature}"
        return {**own, "authorization": value}

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, self.service, "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        return key


def encoded(path: str) -> str:
    """A path as it is signed and sent."""
    return quote(path, safe="/-_.~")


def query_text(query: Sequence[tuple[str, str]]) -> str:
    """A query as it is signed and sent: encoded, then sorted."""
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query)
    return "&".join(f"{name}={value}" for name, value in pairs)
