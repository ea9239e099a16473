"""One form for names that look the same, so that nobody is made twice and nobody is missed."""

from __future__ import annotations

import re
import unicodedata

from bastide.errors import BadIdentityName
from bastide.store import is_id

_NAME_MAX = 200
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,135}\Z")


def proper_name(text: str) -> str:
    """The name with composed letters and single blanks; never in the form of an id. Raises BadIdentityName."""
    name = unicodedata.normalize("NFC", " ".join(text[: 16 * _NAME_MAX].split()))
    if not 0 < len(name) <= _NAME_MAX or not name.isprintable():
        raise BadIdentityName
    prefix = name.partition("_")[0]
    if prefix.isalpha() and is_id(name, prefix):
        raise BadIdentityName("A name must not have the form of an id.", next_step="Use another name.")
    return name


def proper_email(text: str) -> str:
    """The address in lower case. Raises BadIdentityName."""
    email = unicodedata.normalize("NFC", text[: 2 * _NAME_MAX].strip()).lower()
    if not _EMAIL.match(email) or not email.isprintable():
        raise BadIdentityName("This is not an e-mail address.", next_step="Give it as name@organisation.example.")
    return email


def plain(text: str) -> str:
    """What is looked for, as the database can take it; what it cannot take is changed and matches nothing."""
    composed = unicodedata.normalize("NFC", text[: 2 * _NAME_MAX]).replace("\0", "\ufffd")
    return composed.encode("utf-8", "replace").decode("utf-8")
