"""Signed notes and checkpoints: a few lines of text and the log's Ed25519 signature under them.

The forms are C2SP signed-note and tlog-checkpoint; a public key is written `<name>+<key id>+<key>`
as their tools write it. Text whose signature has not been checked is never handed out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bastide.audit.merkle import HASH_BYTES, NotProven

_ED25519 = b"\x01"
_SIGNATURES_MAX = 64
_NOTE_BYTES_MAX = 262_144
_SECRET_PREFIX = "PRIVATE+KEY+"  # noqa: S105 -- the marker of the file's form, not a secret


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Who may sign: a name and an Ed25519 public key of 32 bytes."""

    name: str
    key: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that stand before each signature of this key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.key).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key in `text`. Raises NotProven when it is not one, or its id does not belong to it."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not _good_name(parts[0]):
            raise NotProven("this is not a public key of a log: expected <name>+<id>+<key>")
        material = from_base64(parts[2])
        if len(material) != 1 + HASH_BYTES or material[:1] != _ED25519:
            raise NotProven("this public key is not an Ed25519 key")
        found = cls(parts[0], material[1:])
        if found.id.hex() != parts[1]:
            raise NotProven("this public key and its id do not belong together")
        return found

    def accepts(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature` (64 bytes) is this key's signature under `text`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


class SecretKey:
    """The log's signing key; it never appears in a representation or a log line."""

    __slots__ = ("_key", "public")

    def __init__(self, name: str, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new key under this name."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> SecretKey:
        """The key in a key file's text. Raises NotProven when it is not one."""
        parts = text.strip().removeprefix(_SECRET_PREFIX).split("+", 2)
        if not text.startswith(_SECRET_PREFIX) or len(parts) != 3 or not _good_name(parts[0]):
            raise NotProven("this is not a log key")
        material = from_base64(parts[2])
        if len(material) != 1 + HASH_BYTES or material[:1] != _ED25519:
            raise NotProven("this log key is not an Ed25519 key")
        found = cls(parts[0], material[1:])
        if found.public.id.hex() != parts[1]:
            raise NotProven("this log key and its id do not belong together")
        return found

    def reveal(self) -> str:
        """The text for the key file, and for nothing else."""
        seed = base64.b64encode(_ED25519 + self._key.private_bytes_raw()).decode()
        return f"{_SECRET_PREFIX}{self.public.name}+{self.public.id.hex()}+{seed}"

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only a holder of this key can make, one value a purpose."""
        return hashlib.blake2b(purpose.encode(), key=self._key.private_bytes_raw(), digest_size=32).digest()

    def sign(self, text: str) -> str:
        """`text` (ending in a newline) as a signed note."""
        signature = base64.b64encode(self.public.id + self._key.sign(text.encode())).decode()
        return f"{text}\n— {self.public.name} {signature}\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log at one size, as it signed it."""

    origin: str
    size: int
    root: bytes
    note: str

    @classmethod
    def sign(cls, key: SecretKey, size: int, root: bytes) -> Checkpoint:
        """The signed checkpoint of a tree of `size` with this root."""
        text = f"{key.public.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        return cls(key.public.name, size, root, key.sign(text))

    @classmethod
    def open(cls, note: str, key: PublicKey) -> Checkpoint:
        """The checkpoint in `note`, once the signature of `key` under it has been checked.

        Raises NotProven when the note is malformed or not signed by this key.
        """
        lines = open_note(note, key).split("\n")
        if len(lines) < 4 or not all(lines[:3]):
            raise NotProven("the checkpoint has not its three lines")
        origin, size, root = lines[0], lines[1], from_base64(lines[2])
        if origin != key.name:
            raise NotProven(f"the checkpoint is of the log {origin}, the key of {key.name}")
        if not (size.isascii() and size.isdecimal()) or (size[0] == "0" and size != "0") or len(size) > 19:
            raise NotProven("the checkpoint's size is not a number")
        if len(root) != HASH_BYTES:
            raise NotProven("the checkpoint's root is not a SHA-256 hash")
        return cls(origin, int(size), root, note)


def open_note(note: str, key: PublicKey) -> str:
    """The text of a signed note, once the signature of `key` has been checked; other signatures are left aside.

    Raises NotProven.
    """
    if len(note) > _NOTE_BYTES_MAX or any(letter < " " and letter != "\n" for letter in note):
        raise NotProven("this is not a signed note")
    text, gap, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    if not gap or lines.pop() != "" or not 0 < len(lines) <= _SIGNATURES_MAX:
        raise NotProven("this is not a signed note")
    text += "\n"
    good = False
    for line in lines:
        mark, name, signature = [*line.split(" "), "", ""][:3]
        if mark != "—" or line.count(" ") != 2 or not _good_name(name):
            raise NotProven("this is not a signed note: a signature line is malformed")
        material = from_base64(signature)
        if name == key.name and material[:4] == key.id:
            if not key.accepts(_utf8(text), material[4:]):
                raise NotProven(f"the signature of {key.name} does not belong to this text")
            good = True
    if not good:
        raise NotProven(f"the note is not signed by {key.name} ({key.id.hex()})")
    return text


def from_base64(text: str) -> bytes:
    """Strict standard base 64. Raises NotProven: an encoding has one spelling only."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as fault:
        raise NotProven("a value is not base 64") from fault
    if base64.b64encode(found).decode() != text:
        raise NotProven("a value is not in canonical base 64")
    return found


def _good_name(name: str) -> bool:
    return bool(name) and "+" not in name and name.isprintable() and " " not in name


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as fault:
        raise NotProven("the note is not valid UTF-8") from fault
