"""Forms are UTF-8: what is not is refused, and nothing of it is read as something else."""

from __future__ import annotations

import secrets

import httpx2
import pytest

from tests.doors.conftest import Company, bearer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
NAMED = 'form-data; name="{}"; filename="{}"'
WORDS = "Grüße aus Łódź"


def form(*parts: tuple[str, bytes]) -> tuple[str, bytes]:
    """A form of these parts, each its disposition and bytes: its media type and its bytes."""
    mark = secrets.token_hex(8)
    told = [f"--{mark}\r\nContent-Disposition: {head}\r\n\r\n".encode("latin-1") + body for head, body in parts]
    return f"multipart/form-data; boundary={mark}", b"\r\n".join([*told, f"--{mark}--\r\n".encode()])


def field(name: str, value: bytes) -> tuple[str, bytes]:
    return f'form-data; name="{name}"', value


@pytest.mark.parametrize(
    ("path", "parts", "param"),
    [
        ("/v1/images/edits", [field("prompt", WORDS.encode("utf-16")), (NAMED.format("image", "a"), PNG)], "prompt"),
        ("/v1/images/edits", [field("prompt", b"Gr\xfc\xdfe"), (NAMED.format("image", "a"), PNG)], "prompt"),
        ("/v1/images/edits", [field("prompt", b"x"), (NAMED.format("image", "gr\xfcn.png"), PNG)], "image"),
        ("/v1/images/variations", [field("us\xe9r", b"x"), (NAMED.format("image", "a"), PNG)], "us\ufffdr"),
        ("/v1/audio/transcriptions", [field("prompt", b"\xe9"), (NAMED.format("file", "a"), PNG)], "prompt"),
        ("/v1/files", [field("purpose", b"batch"), (NAMED.format("file", "\xe9t\xe9.jsonl"), b"{}")], "file"),
        ("/api/v1/documents", [(NAMED.format("file", "gr\xfcn.txt"), b"The lease ends in June.")], "file"),
        ("/api/v1/documents", [field("collection", b"\xe9"), (NAMED.format("file", "a.txt"), b"x")], "collection"),
    ],
)
async def test_what_is_no_utf_8_is_told_where_it_stands(
    web: httpx2.AsyncClient, us: Company, path: str, parts: list[tuple[str, bytes]], param: str
) -> None:
    kind, body = form(*parts)
    reply = await web.post(path, content=body, headers=bearer(us.keys["administrator"], content_type=kind))
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, "request.malformed", param), error
    assert "UTF-8" in error["message"]
    assert "UTF-8" in error["next"]
    assert ("type" in error) == path.startswith("/v1/"), "in the shape of the wire"


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "zlib", "idna", "x" * 300])
async def test_a_form_that_is_said_to_be_in_another_charset_is_refused(
    web: httpx2.AsyncClient, us: Company, charset: str
) -> None:
    kind, body = form((NAMED.format("file", "a.txt"), b"x"))
    headers = bearer(us.keys["administrator"], content_type=f"{kind}; charset={charset}")
    reply = await web.post("/api/v1/documents", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "request.malformed")


@pytest.mark.parametrize("more", ["", "; charset=UTF-8", "; charset=utf8", '; charset="us-ascii"'])
async def test_utf_8_is_read_as_such_whatever_else_is_said(web: httpx2.AsyncClient, us: Company, more: str) -> None:
    kind, body = form((NAMED.format("file", WORDS.encode().decode("latin-1") + ".txt"), b"The lease ends."))
    reply = await web.post(
        "/api/v1/documents", content=body, headers=bearer(us.keys["administrator"], content_type=kind + more)
    )
    assert reply.status_code in {200, 201}, reply.text
    assert reply.json()["documents"][0]["name"] == f"{WORDS}.txt"


async def test_a_boundary_may_hold_what_has_to_be_quoted(web: httpx2.AsyncClient, us: Company) -> None:
    mark = "a '()+_,-./:=?b"
    body = f"--{mark}\r\nContent-Disposition: {NAMED.format('file', 'a.txt')}\r\n\r\nThe lease.\r\n--{mark}--\r\n"
    headers = bearer(us.keys["administrator"], content_type=f'multipart/form-data; boundary="{mark}"')
    reply = await web.post("/api/v1/documents", content=body.encode(), headers=headers)
    assert reply.status_code in {200, 201}, reply.text
    none = await web.post(
        "/api/v1/documents",
        content=body.encode(),
        headers=bearer(us.keys["administrator"], content_type="multipart/form-data"),
    )
    assert (none.status_code, none.json()["error"]["code"]) == (400, "request.malformed")
