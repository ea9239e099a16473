"""Signatures: AWS's published examples, and botocore as an oracle."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from bastide.knowledge.projections.signing import Signer, encoded, query_text

# The keys and signatures of "Examples: Signature Calculations in AWS Signature Version 4", S3 API reference.
EXAMPLE = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
DAY = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "extra", "signature"),
    [
        ("GET", "/test.txt", [], b"", {"range": "bytes=0-9"},
         "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("PUT", "/test$file.text", [], b"Welcome to Amazon S3.",
         {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
         "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"),
        ("GET", "/", [("lifecycle", "")], b"", {},
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("GET", "/", [("max-keys", "2"), ("prefix", "J")], b"", {},
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)  # fmt: skip
def test_the_published_examples(
    method: str, path: str, query: list[tuple[str, str]], body: bytes, extra: dict[str, str], signature: str
) -> None:
    headers = EXAMPLE.headers(method, HOST, path, query, body, DAY, extra)
    assert headers["authorization"].endswith(f"Signature={signature}")


_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@settings(max_examples=60)
@given(
    method=st.sampled_from(["GET", "PUT", "DELETE"]),
    path=st.lists(_text.filter(lambda one: one not in {"", ".", ".."} and "/" not in one), min_size=1, max_size=4),
    query=st.dictionaries(_text.filter(bool), _text, max_size=4),
    body=st.binary(max_size=50),
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_it_signs_as_botocore_does(
    method: str, path: list[str], query: dict[str, str], body: bytes, moment: datetime
) -> None:
    signer = Signer("access", "secret", "eu-west-3")
    address = "/" + "/".join(path)
    own = signer.headers(method, "minio.example:9000", address, list(query.items()), body, moment)
    url = f"http://minio.example:9000{encoded(address)}?{query_text(list(query.items()))}"
    request: Any = AWSRequest(method, url, data=body)
    request.headers["x-amz-date"] = own["x-amz-date"]
    request.headers["x-amz-content-sha256"] = own["x-amz-content-sha256"]
    request.context["timestamp"] = own["x-amz-date"]
    oracle = S3SigV4Auth(Credentials("access", "secret"), "s3", "eu-west-3")
    expected = oracle.signature(oracle.string_to_sign(request, oracle.canonical_request(request)), request)
    assert own["authorization"].endswith(expected)
