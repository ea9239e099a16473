"""Keys: the one outside the database, the one a tenant, and what is derived from it.

    secrets/kek           32 random bytes, made at first start, mode 0600; in no database, in no dump
      └── tenant key      32 random bytes a tenant, wrapped by the KEK (AES-256-GCM, the tenant as associated data)
            ├── "seal"    secrets and payloads (AES-256-GCM, tenant and use as associated data)
            ├── "blob"    originals
            └── "keyed"   HMAC-SHA256: pseudonyms, commitments, addresses

Derivation is HKDF-SHA256 (RFC 5869). Whoever has the database and no KEK has ciphertext.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from bastide.errors import BlobDamaged, KeysMissing

_NONCE = 12
_KNOWN_MAX = 4096  # tenants


def secret_file(path: Path, *, length: int) -> bytes:
    """The bytes of a secret file, made once with mode 0600; two processes that race get the same.

    Raises KeysMissing when the file has another length than `length`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.urandom(8).hex()}")  # a pid comes again after a kill
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, os.urandom(length))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(fresh, path)  # fails where another process was first: then its file counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    content = path.read_bytes()
    if len(content) != length:
        raise KeysMissing(f"The secret file {path.name} has {len(content)} bytes instead of {length}.")
    return content


def _derive(key: bytes, use: str) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=f"bastide/1/{use}".encode()).derive(key)


def _lock(cipher: AESGCM, plaintext: bytes, about: str) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + cipher.encrypt(nonce, plaintext, about.encode())


def _open(cipher: AESGCM, sealed: bytes, about: str) -> bytes:
    return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """What one tenant's key is used for; the key itself is not shown."""

    tenant: str
    _seal: AESGCM = field(repr=False)
    _blob: AESGCM = field(repr=False)
    _keyed: bytes = field(repr=False)

    @classmethod
    def of(cls, tenant: str, key: bytes) -> TenantKeys:
        """Derive the uses from a tenant's key."""
        return cls(tenant, AESGCM(_derive(key, "seal")), AESGCM(_derive(key, "blob")), _derive(key, "keyed"))

    def seal(self, plaintext: bytes, about: str) -> bytes:
        """Encrypt a secret; `about` names its use and place, and only the same `about` opens it."""
        return _lock(self._seal, plaintext, f"{self.tenant}|{about}")

    def unseal(self, sealed: bytes, about: str) -> bytes:
        """Decrypt a secret. Raises BlobDamaged when it was changed or belongs to another place."""
        try:
            return _open(self._seal, sealed, f"{self.tenant}|{about}")
        except (InvalidTag, ValueError) as fault:
            raise BlobDamaged("A sealed value does not open: it was changed, or moved from another place.") from fault

    def seal_piece(self, plaintext: bytes, about: str) -> bytes:
        """Encrypt one piece of a blob."""
        return _lock(self._blob, plaintext, f"{self.tenant}|{about}")

    def unseal_piece(self, sealed: bytes, about: str) -> bytes:
        """Decrypt one piece of a blob. Raises BlobDamaged."""
        try:
            return _open(self._blob, sealed, f"{self.tenant}|{about}")
        except (InvalidTag, ValueError) as fault:
            raise BlobDamaged from fault

    def keyed(self, content: bytes, purpose: str) -> bytes:
        """HMAC-SHA256 of `content` under this tenant's key for `purpose`: 32 bytes."""
        return hmac.digest(self._keyed, purpose.encode() + b"\0" + content, "sha256")

    def keying(self, purpose: str) -> hmac.HMAC:
        """The same for content that comes in pieces: update it with each, then take its digest."""
        return hmac.new(self._keyed, purpose.encode() + b"\0", "sha256")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The key-encryption key of this home."""

    _kek: bytes = field(repr=False)

    @classmethod
    def of_home(cls, home: Path) -> KeyRing:
        """The ring of `home`, whose KEK is made at first use."""
        return cls(secret_file(home / "secrets" / "kek", length=32))

    @property
    def name(self) -> str:
        """Which KEK this is: twelve hexadecimal digits that tell nothing of it."""
        return hashlib.sha256(b"bastide/kek-name" + self._kek).hexdigest()[:12]

    def wrap(self, tenant: str) -> tuple[bytes, bytes]:
        """A fresh tenant key, and the same wrapped."""
        key = os.urandom(32)
        return key, _lock(AESGCM(_derive(self._kek, "wrap")), key, tenant)

    def unwrap(self, tenant: str, wrapped: bytes) -> bytes:
        """The tenant key inside `wrapped`. Raises KeysMissing when another KEK wrapped it."""
        try:
            return _open(AESGCM(_derive(self._kek, "wrap")), wrapped, tenant)
        except (InvalidTag, ValueError) as fault:
            raise KeysMissing from fault

    def platform(self) -> TenantKeys:
        """Keys for what belongs to no tenant."""
        return TenantKeys.of("platform", _derive(self._kek, "platform"))


class KnownKeys:
    """Keys that are unwrapped in this process's memory: those of the tenants that were asked for last."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._keys: OrderedDict[str, TenantKeys] = OrderedDict()

    def of(self, tenant: str) -> TenantKeys | None:
        """The tenant's keys, if they are known."""
        known = self._keys.get(tenant)
        if known is not None:
            self._keys.move_to_end(tenant)
        return known

    def unwrap(self, tenant: str, wrapped: bytes) -> TenantKeys:
        """The keys under `wrapped`; from now on they are known. Raises as `KeyRing.unwrap` does."""
        keys = self._keys[tenant] = TenantKeys.of(tenant, self._ring.unwrap(tenant, wrapped))
        if len(self._keys) > _KNOWN_MAX:
            self._keys.popitem(last=False)
        return keys

    def forget(self, tenant: str) -> None:
        """They are known no more."""
        self._keys.pop(tenant, None)
