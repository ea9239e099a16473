"""Who answered: the certificate of a connection as evidence."""

from __future__ import annotations

import hashlib
import ssl
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bastide.egress.values import TlsEvidence
from bastide.errors import PinMismatch


def shown_by(session: Any, reached: TlsEvidence) -> TlsEvidence:
    """The evidence of a TLS session after its handshake: `reached`, and who showed itself there. `session` is an
    `ssl.SSLObject`."""
    certificate = session.getpeercert(binary_form=True)
    return _evidence(reached.ip, reached.port, reached.proxy, certificate, session.version() or "")


def check_pins(evidence: TlsEvidence, pins: frozenset[str], host: str) -> None:
    """Raises PinMismatch unless the peer's key is one of the pinned ones; no pins leave it to the certificate."""
    if pins and evidence.spki_sha256 not in pins:
        raise PinMismatch(f"{host} shows another key than the pinned one.", host=host)


def tls_reason(fault: BaseException | None) -> str:
    """Why a handshake failed, in words without content."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({fault.verify_message.rstrip('.')})"
    reason = fault.reason if isinstance(fault, ssl.SSLError) else None
    return f"no acceptable TLS ({(reason or 'the handshake broke off').lower().replace('_', ' ')})"


@lru_cache(maxsize=512)
def _evidence(ip: str, port: int, proxy: str, certificate: bytes, protocol: str) -> TlsEvidence:
    parsed = x509.load_der_x509_certificate(certificate)
    key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return TlsEvidence(
        ip=ip,
        port=port,
        cert_sha256=hashlib.sha256(certificate).hexdigest(),
        spki_sha256=hashlib.sha256(key).hexdigest(),
        issuer=parsed.issuer.rfc4514_string(),
        not_after=parsed.not_valid_after_utc.isoformat(),
        protocol=protocol,
        proxy=proxy,
    )
