"""S3: the originals of all versions as objects, over its REST interface; MinIO, Ceph and others speak it.

`prefix/tenant/document/version`. An object is sealed under the tenant's key before it is sent, so that the target holds
nothing that can be read; with the option `plain` it is the file as it came in. Where the bucket keeps versions, or
markers of what was deleted, they are deleted, too: an erased document must not lie there as an older version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from bastide.egress import Reply
from bastide.errors import TargetGarbled
from bastide.knowledge.projections.signing import Signer, encoded, query_text
from bastide.knowledge.projections.speaking import Wire
from bastide.knowledge.projections.values import Content, Target

_PAGES_MAX = 100_000
_Query = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object, or the marker of a deletion; the id is empty where the server told none."""

    key: str
    id: str = ""
    marker: bool = False


class S3:
    """One tenant's part of a bucket."""

    def __init__(
        self, target: Target, wire: Wire, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        access, _, secret = (target.key or "").partition(":")
        self._wire = wire
        self._clock = clock
        self._signer = Signer(access, secret, str(target.options.get("region", "us-east-1")))
        self._bucket = str(target.options.get("bucket", "bastide"))
        self._root = f"{target.options.get('prefix', 'bastide')}/{target.tenant}/"

    # A version never changes, so what is there with its key is not sent again.
    async def put(self, content: Content) -> int:
        """As `Adapter.put`."""
        assert content.original is not None, "originals are fetched one by one"
        wanted = {f"{self._root}{content.id}/{version:08d}": version for version in content.versions}
        present = {one.key for one in await self._list(f"{self._root}{content.id}/")}
        for key, version in wanted.items():
            if key not in present:
                headers = {"content-type": "application/octet-stream"}
                await self._ask("PUT", key, [], body=await content.original(version), headers=headers)
        kept: set[str] = set()
        surplus: list[_Version] = []
        for one in await self._all(
            f"{self._root}{content.id}/"
        ):  # also what was sent twice, into a bucket with versions
            if one.key in wanted and not one.marker and one.key not in kept:
                kept.add(one.key)
            else:
                surplus.append(one)
        await self._remove(surplus)
        return len(wanted)

    async def take(self, document: str) -> None:
        """As `Adapter.take`."""
        await self._remove(await self._all(f"{self._root}{document}/"))

    async def held(self, document: str) -> int:
        """As `Adapter.held`: objects, and versions of them that the bucket kept."""
        return len(await self._all(f"{self._root}{document}/"))

    async def total(self) -> int:
        """As `Adapter.total`."""
        return len(await self._all(self._root))

    async def clear(self) -> None:
        """As `Adapter.clear`."""
        await self._remove(await self._all(self._root))

    async def alias(self, entity: str, same_as: str) -> None:
        """Objects know of no entities."""

    # -- the wire -----------------------------------------------------------------------------------

    async def _remove(self, found: list[_Version]) -> None:
        for one in found:
            query = [("versionId", one.id)] if one.id else []
            await self._ask("DELETE", one.key, query, ok=(200, 204, 404))

    async def _all(self, prefix: str) -> list[_Version]:
        """Every version and marker; of a server that knows of no versions, every object."""
        found: list[_Version] = []
        query: _Query = [("versions", ""), ("prefix", prefix)]
        for _ in range(_PAGES_MAX):
            reply = await self._ask("GET", "", query, ok=(200, 501))
            if reply.status == 501:
                return await self._list(prefix)
            tree = _read(reply, "ListVersionsResult")
            for one in [*tree.iterfind("Version"), *tree.iterfind("DeleteMarker")]:
                found.append(_Version(_said(one, "Key"), one.findtext("VersionId") or "", one.tag == "DeleteMarker"))
            if tree.findtext("IsTruncated") != "true":
                return _checked(found, prefix)
            query = [("versions", ""), ("prefix", prefix), ("key-marker", _said(tree, "NextKeyMarker"))]
            if after := tree.findtext("NextVersionIdMarker"):
                query.append(("version-id-marker", after))
        raise TargetGarbled("The target's list does not end.")

    async def _list(self, prefix: str) -> list[_Version]:
        found: list[_Version] = []
        query: _Query = [("list-type", "2"), ("prefix", prefix)]
        for _ in range(_PAGES_MAX):
            tree = _read(await self._ask("GET", "", query), "ListBucketResult")
            found += [_Version(_said(one, "Key")) for one in tree.iterfind("Contents")]
            if tree.findtext("IsTruncated") != "true":
                return _checked(found, prefix)
            token = _said(tree, "NextContinuationToken")
            query = [("list-type", "2"), ("prefix", prefix), ("continuation-token", token)]
        raise TargetGarbled("The target's list does not end.")

    async def _ask(
        self,
        method: str,
        key: str,
        query: _Query,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        ok: tuple[int, ...] = (200,),
    ) -> Reply:
        path = f"/{self._bucket}/{key}" if key else f"/{self._bucket}"
        signed = self._signer.headers(method, self._wire.host, path, query, body, self._clock(), headers)
        address = encoded(path) + (f"?{query_text(query)}" if query else "")
        content = body if method == "PUT" else None
        return await self._wire.ask(method, address, content=content, headers=signed, ok=ok)


def _read(reply: Reply, name: str) -> etree._Element:
    """The answer as a tree, its names without their space."""
    try:
        tree = etree.fromstring(reply.body, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as fault:
        raise TargetGarbled("The target's answer is no XML.") from fault
    for one in tree.iter("*"):
        one.tag = etree.QName(one).localname
    if tree.tag != name:
        raise TargetGarbled(f"The target's answer is no {name}.")
    return tree


def _said(of: etree._Element, name: str) -> str:
    text = of.findtext(name)
    if not text:
        raise TargetGarbled(f"The target's list has no {name}.")
    return text


def _checked(found: list[_Version], prefix: str) -> list[_Version]:
    """A server that lists beyond the prefix is not believed: what it lists would be deleted."""
    if any(not one.key.startswith(prefix) for one in found):
        raise TargetGarbled("The target lists objects that were not asked for.")
    return found
