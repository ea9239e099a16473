"""Targets on loopback: one small HTTP server, and behind it a part that is not ours.

qdrant   the points and filters are those of qdrant-client's local mode
neo4j    the statements run in Kuzu, a graph database that speaks Cypher; one that it does not understand is refused
s3       the objects are those of moto, in a bucket that keeps versions; each request's signature is worked out anew by
         botocore, and one that differs is refused
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

import kuzu
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from lxml import etree
from moto.moto_server.werkzeug_app import create_backend_app
from qdrant_client import QdrantClient, models

ACCESS, SECRET = "bastide-test", "not-a-secret-of-anybody"
TOKEN = "qdrant-test-key"
LOGIN = "neo4j:not-a-secret"


@dataclass(frozen=True)
class Answer:
    """What a backend says."""

    status: int
    body: bytes
    type: str = "application/json"


def said(status: int, value: Any) -> Answer:
    """A JSON answer."""
    return Answer(status, json.dumps(value).encode())


class Backend(Protocol):
    """The system behind the server."""

    kind: str
    key: str
    options: dict[str, object]

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What it says to a request."""
        ...

    def documents(self, tenant: str) -> set[str]:
        """The documents of which it holds something, looked up behind the interface."""
        ...

    def all_of_it(self) -> str:
        """Everything that it holds, as text."""
        ...

    def lose(self) -> None:
        """A disk burns."""
        ...


class OfQdrant:
    """Qdrant's REST interface over its client's local mode."""

    kind, key = "qdrant", TOKEN

    def __init__(self) -> None:
        self.options: dict[str, object] = {"collection": f"t{uuid.uuid4().hex[:8]}"}
        self._client = QdrantClient(":memory:")

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if headers.get("api-key") != TOKEN:
            return said(401, {"status": {"error": "Unauthorized"}})
        place, given = urlsplit(path), json.loads(body or b"{}")
        parts = place.path.strip("/").split("/")[1:]
        names = [one.name for one in self._client.get_collections().collections]
        if method == "GET" and not parts:
            return _ok({"collections": [{"name": name} for name in names]})
        name, rest = parts[0], parts[1:]
        if method == "PUT" and not rest:
            if name in names:
                return said(409, {"status": {"error": "Collection already exists"}})
            self._client.create_collection(name, vectors_config=models.VectorParams.model_validate(given["vectors"]))
            return _ok(True)
        if name not in names:
            return said(404, {"status": {"error": "Not found"}})
        if rest and rest[-1] != "count" and parse_qs(place.query).get("wait") != ["true"]:
            return _ok({"operation_id": 1, "status": "acknowledged"})  # done some day: whoever counts on it is wrong
        match method, rest:
            case "PUT", ["index"]:
                assert given["field_name"] in {"tenant", "document"}
                return _ok({"operation_id": 1, "status": "completed"})
            case "PUT", ["points"]:
                points = [models.PointStruct.model_validate(one) for one in given["points"]]
                self._client.upsert(name, points)
            case "POST", ["points", "delete"]:
                self._client.delete(name, models.FilterSelector(filter=_filter(given)))
            case "POST", ["points", "count"]:
                found = self._client.count(name, _filter(given), exact=given["exact"])
                return _ok({"count": found.count})
            case _:
                return said(404, {"status": {"error": "no such route"}})
        return _ok({"operation_id": 1, "status": "completed"})

    def _points(self) -> list[Any]:
        names = [one.name for one in self._client.get_collections().collections]
        return [point for name in names for point in self._client.scroll(name, limit=10_000, with_vectors=True)[0]]

    def documents(self, tenant: str) -> set[str]:
        return {one.payload["document"] for one in self._points() if one.payload["tenant"] == tenant}

    def all_of_it(self) -> str:
        return "\n".join(str(one) for one in self._points())

    def lose(self) -> None:
        for one in self._client.get_collections().collections:
            self._client.delete_collection(one.name)


def _ok(result: Any) -> Answer:
    return said(200, {"result": result, "status": "ok", "time": 0.0})


def _filter(given: dict[str, Any]) -> models.Filter:
    assert set(given["filter"]) <= {"must", "must_not"}
    assert any(one.get("key") == "tenant" for one in given["filter"]["must"]), "a request without its tenant"
    return models.Filter.model_validate(given["filter"])


_TABLES = (
    "CREATE NODE TABLE BastideDocument(key STRING PRIMARY KEY, tenant STRING, id STRING, version INT64, "
    "collection STRING, name STRING, title STRING, language STRING, class STRING)",
    "CREATE NODE TABLE BastideEntity(key STRING PRIMARY KEY, tenant STRING, id STRING, type STRING, name STRING, "
    "same_as STRING)",
    "CREATE REL TABLE MENTIONS(FROM BastideDocument TO BastideEntity, times INT64)",
    "CREATE REL TABLE RELATES(FROM BastideEntity TO BastideEntity, document STRING, type STRING, weight DOUBLE, "
    "valid_from STRING, valid_to STRING)",
)


class OfNeo4j:
    """Neo4j's HTTP Query API over Kuzu. Tables are declared there, and constraints are its primary keys."""

    kind, key = "neo4j", LOGIN

    def __init__(self) -> None:
        self.options: dict[str, object] = {"database": "graph"}
        self._graph = kuzu.Connection(kuzu.Database(":memory:", buffer_pool_size=64 * 1024 * 1024))
        for one in _TABLES:
            self._graph.execute(one)

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if headers.get("authorization") != "Basic bmVvNGo6bm90LWEtc2VjcmV0":
            return said(401, {"errors": [{"code": "Neo.ClientError.Security.Unauthorized", "message": "no"}]})
        if (method, path) != ("POST", "/db/graph/query/v2"):
            return said(404, {"errors": [{"code": "Neo.ClientError.Request.Invalid", "message": "no such route"}]})
        given = json.loads(body)
        statement: str = given["statement"]
        if statement.startswith("CREATE CONSTRAINT bastide_"):
            return said(202, {"data": {"fields": [], "values": []}})
        try:
            done = self._graph.execute(statement, given["parameters"])
        except RuntimeError as fault:
            return said(400, {"errors": [{"code": "Neo.ClientError.Statement.SyntaxError", "message": str(fault)}]})
        assert isinstance(done, kuzu.QueryResult)
        returns = " RETURN " in statement
        fields = done.get_column_names() if returns else []
        return said(202, {"data": {"fields": fields, "values": done.get_all() if returns else []}})

    def rows(self, statement: str) -> list[Any]:
        """What a statement finds."""
        done = self._graph.execute(statement)
        assert isinstance(done, kuzu.QueryResult)
        return list(done.get_all())

    def documents(self, tenant: str) -> set[str]:
        found = self.rows("MATCH (d:BastideDocument) RETURN d.tenant, d.id")
        said_by = self.rows("MATCH ()-[r:RELATES]->() RETURN r.document")
        tied = {tuple(one.split("/")) for (one,) in said_by}
        return {id for (of, id) in found if of == tenant} | {id for (of, id) in tied if of == tenant}

    def all_of_it(self) -> str:
        asked = ("MATCH (n) RETURN n", "MATCH ()-[r]->() RETURN r")
        return "\n".join(str(row) for one in asked for row in self.rows(one))

    def lose(self) -> None:
        self._graph.execute("MATCH (n) DETACH DELETE n")


# What moto is told: that somebody signed. Whether the signature is right was found out before.
_CHECKED = f"AWS4-HMAC-SHA256 Credential={ACCESS}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00"


class OfS3:
    """A bucket of moto that keeps versions, behind signatures that are checked."""

    kind, key = "s3", f"{ACCESS}:{SECRET}"

    def __init__(self) -> None:
        self.bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        self.options: dict[str, object] = {"bucket": self.bucket, "region": "eu-central-1", "prefix": "copies"}
        self._moto = create_backend_app("s3").test_client()
        self._tell("PUT", "", b"")
        versions = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self._tell("PUT", "?versioning", versions)

    def _tell(self, method: str, path: str, body: bytes) -> bytes:
        done = self._pass_on(method, f"/{self.bucket}{path}", body)
        assert done.status < 400, done
        return done.body

    def _pass_on(self, method: str, path: str, body: bytes) -> Answer:
        done = self._moto.open(
            path,
            method=method,
            data=body,
            base_url="http://s3.amazonaws.com",
            headers={"authorization": _CHECKED},
        )
        return Answer(done.status_code, bytes(done.data), "application/xml")

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not _signed(method, path, headers, body):
            return Answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "application/xml")
        return self._pass_on(method, path, body)

    def _keys(self) -> list[tuple[str, str]]:
        tree = etree.fromstring(self._tell("GET", "?versions", b""))
        found = []
        for one in tree.iter("{*}Version", "{*}DeleteMarker"):
            found.append((one.findtext("{*}Key") or "", one.findtext("{*}VersionId") or ""))
        return found

    def documents(self, tenant: str) -> set[str]:
        parts = [key.split("/") for key, _ in self._keys()]
        return {document for prefix, of, document, _ in parts if (prefix, of) == ("copies", tenant)}

    def all_of_it(self) -> str:
        return "\n".join(key + repr(self._tell("GET", f"/{key}?versionId={v}", b"")) for key, v in self._keys())

    def lose(self) -> None:
        for key, version in self._keys():
            self._tell("DELETE", f"/{key}?versionId={version}", b"")


def _signed(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether botocore signs this request as it is signed."""
    fields = dict(one.split("=", 1) for one in headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
    names = fields["SignedHeaders"].split(";")
    region = fields["Credential"].split("/")[2]
    request = AWSRequest(method, f"http://{headers['host']}{path}", data=body or None)
    for name in names:
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["x-amz-date"]
    oracle = S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", region)
    text = oracle.string_to_sign(request, oracle.canonical_request(request))
    return {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names) and fields["Signature"] == oracle.signature(
        text, request
    )


@dataclass
class Place:
    """A target that can be told to misbehave: `fault` is None, a status, "half", "slow" or "nonsense"."""

    backend: Backend
    port: int = 0
    fault: int | str | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.down()

    async def down(self) -> None:
        """Nobody listens any more."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append((method, unquote(path)))
            await self._answer(writer, method, path, headers, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        extra = ""
        if self.fault == "slow":
            await asyncio.sleep(30)
        if isinstance(self.fault, int):
            found = said(self.fault, {"error": "told to fail"})
            extra = "retry-after: 7\r\n" if self.fault == 429 else ""
        elif self.fault == "nonsense":
            found = Answer(200, b"<html>Welcome to your new router!</html>", "text/html")
        else:
            found = self.backend.answer(method, path, headers, body)
        head = f"HTTP/1.1 {found.status} X\r\ncontent-type: {found.type}\r\ncontent-length: {len(found.body)}\r\n"
        whole = head.encode() + extra.encode() + b"connection: close\r\n\r\n" + found.body
        writer.write(whole[: len(whole) - len(found.body) // 2 - 1] if self.fault == "half" else whole)
        await writer.drain()


BACKENDS: dict[str, type[OfQdrant] | type[OfNeo4j] | type[OfS3]] = {"qdrant": OfQdrant, "neo4j": OfNeo4j, "s3": OfS3}
