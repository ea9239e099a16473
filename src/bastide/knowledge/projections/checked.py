"""Checked: what somebody writes of a target, refused where it could not be used or could mislead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from bastide.errors import BadProjection
from bastide.knowledge import bounds
from bastide.knowledge.projections.values import KINDS, NewProjection
from bastide.policy import Label

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_WORD = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.IGNORECASE)
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

_OPTIONS: Mapping[str, Mapping[str, re.Pattern[str] | None]] = {
    "qdrant": {"collection": _WORD, "text": None},
    "neo4j": {"database": _WORD},
    "s3": {"bucket": _BUCKET, "region": _WORD, "prefix": _PREFIX, "plain": None},
}


def checked(new: NewProjection) -> NewProjection:
    """The target in the spelling that is kept. Raises BadProjection, which names the field."""
    if not _NAME.fullmatch(new.name):
        raise BadProjection("A name has up to 63 lower-case letters, digits and ._-", field="name")
    if new.kind not in KINDS:
        raise BadProjection(f"The kind {new.kind[:40]!r} is not known; kinds: {', '.join(KINDS)}.", field="kind")
    try:
        Label(cls=new.class_max)
    except ValueError as fault:
        raise BadProjection(f"There is no class {new.class_max[:40]!r}.", field="class_max") from fault
    key = None if new.key is None else new.key.strip()
    if key is not None and (not key or not key.isascii() or not key.isprintable()):
        raise BadProjection("The key is empty or holds characters that no header may carry.", field="key")
    if new.kind == "s3" and (key is None or not all(key.partition(":"))):
        raise BadProjection("S3 takes an access key and its secret as ACCESS:SECRET.", field="key")
    collections = None if new.collections is None else tuple(bounds.collection(one) for one in new.collections)
    if collections == ():
        raise BadProjection("Name a collection, or leave the field out.", field="collections")
    return replace(new, url=_address(new), key=key, options=_options(new), collections=collections)


def _address(new: NewProjection) -> str:
    wrong = BadProjection("The address must be http(s)://host[:port][/path].", field="url")
    try:
        parts = urlsplit(new.url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError as fault:
        raise wrong from fault
    if not usable or not new.url.isascii() or not new.url.isprintable() or " " in new.url or "\\" in new.url:
        raise wrong
    if parts.username is not None or parts.query or parts.fragment:
        raise BadProjection("The address holds no user name, query or fragment; give the key as a key.", field="url")
    if ".." in parts.path or "%" in parts.path or (new.kind == "s3" and parts.path.strip("/")):
        raise BadProjection("The address of a bucket has no path: name the bucket as an option.", field="url")
    if parts.scheme == "http" and not new.record.startswith("local/"):
        raise BadProjection("A provider is reached by https only.", field="url")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _options(new: NewProjection) -> dict[str, object]:
    known = _OPTIONS[new.kind]
    for name, value in new.options.items():
        if name not in known:
            raise BadProjection(f"{new.kind} has no option {name[:40]!r}; it has {', '.join(known)}.", field="options")
        form = known[name]
        if not isinstance(value, bool) if form is None else not (isinstance(value, str) and form.fullmatch(value)):
            raise BadProjection(f"The option {name} cannot be {str(value)[:40]!r}.", field="options")
        if form is _PREFIX and (".." in str(value) or "//" in str(value) or str(value).endswith("/")):
            raise BadProjection("A prefix has no empty part, and does not end with a slash.", field="options")
    if new.kind == "s3" and "bucket" not in new.options:
        raise BadProjection("Name the bucket as the option `bucket`.", field="options")
    return dict(new.options)
