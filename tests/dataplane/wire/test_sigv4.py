"""Our signatures are botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataplane.wire.sigv4 import AwsKeys, Scope, canonical_path, signed

NOW = datetime(2026, 11, 22, 10, 20, 30, tzinfo=UTC)
SCOPE = Scope(region="eu-west-3", service="bedrock")
URL = "https://bedrock-runtime.eu-west-3.amazonaws.com/model/a%3A0/converse"
PATH_CHARACTERS = "abAZ09-_.~/%:@!$&'()*+,;= é"
words = st.text("abcXYZ019-_.", min_size=1, max_size=12)


def botocores(
    method: str, url: str, headers: dict[str, str], body: bytes, *, keys: AwsKeys, scope: Scope
) -> str:
    """The Authorization that botocore gives a request with these headers, host and date included."""
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(
        Credentials(keys.access_key_id, keys.secret_access_key), scope.service, scope.region
    )
    text = signer.string_to_sign(request, signer.canonical_request(request))
    names = signer.signed_headers(signer.headers_to_sign(request))
    day = headers["x-amz-date"][:8]
    return (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key_id}/{day}/{scope.region}/{scope.service}"
        f"/aws4_request, SignedHeaders={names}, Signature={signer.signature(text, request)}"
    )


@settings(max_examples=200)
@given(
    method=st.sampled_from(["GET", "POST"]),
    origin=st.sampled_from(
        ["https://a.Example.com", "http://127.0.0.1:8080", "https://b.test:443", "http://c.test:80"]
    ),
    path=st.text(PATH_CHARACTERS, max_size=40).map(lambda text: "/" + text),
    query=st.text("ab=&%20-c", max_size=20),
    content_type=st.sampled_from(["application/json", "  application/json;   charset=utf-8 "]),
    extra=st.dictionaries(words.map(lambda name: f"x-amz-{name.lower()}"), words, max_size=3),
    body=st.binary(max_size=100),
    secret=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1),
    token=st.text("abc/+=", max_size=20),
    now=st.integers(1_577_836_800, 2_051_222_400).map(
        lambda seconds: datetime.fromtimestamp(seconds, UTC)
    ),
    region=words,
)
@example(
    method="POST",
    origin="https://bedrock-runtime.eu-west-3.amazonaws.com",
    path="/model/arn%3Aaws%3Abedrock%3Aeu-west-3%3A123456789012%3Aapplication-inference-profile%2Fx/converse",
    query="",
    content_type="application/json",
    extra={},
    body=b"{}",
    secret="secret",
    token="",
    now=NOW,
    region="eu-west-3",
)
def test_signatures_are_botocores(
    *,
    method: str,
    origin: str,
    path: str,
    query: str,
    content_type: str,
    extra: dict[str, str],
    body: bytes,
    secret: str,
    token: str,
    now: datetime,
    region: str,
) -> None:
    url = origin + path + (f"?{query}" if query else "")
    keys = AwsKeys(access_key_id="AKID", secret_access_key=secret, session_token=token)
    scope = Scope(region=region, service="bedrock")
    headers = {"content-type": content_type, "user-agent": "us", "traceparent": "00-1", **extra}

    sent = signed(method, url, headers, body, keys=keys, scope=scope, now=now)

    covered = {
        name: value
        for name, value in sent.items()
        if name in {"content-type", "host"} or name.startswith("x-amz-")
    }
    assert botocores(method, url, covered, body, keys=keys, scope=scope) == sent["authorization"]
    assert (token or None) == sent.get("x-amz-security-token")
    assert headers.items() <= sent.items()


def test_the_host_is_the_one_that_botocore_sends() -> None:
    for url, host in (
        ("https://A.test:443/x", "a.test"),
        ("http://a.test:80/x", "a.test"),
        ("http://a.test:8080/x", "a.test:8080"),
    ):
        sent = signed("GET", url, {}, b"", keys=_keys(), scope=SCOPE, now=NOW)
        named = SigV4Auth(Credentials("a", "b"), "bedrock", "r").headers_to_sign(
            AWSRequest(method="GET", url=url)
        )["host"]

        assert (host, named) == (sent["host"], host)


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("", "/"),
        ("/", "/"),
        ("/model/a%3A0/converse", "/model/a%253A0/converse"),
        ("/a/./b/../c//d/", "/a/c/d/"),
        ("/..", "/"),
    ],
)
def test_paths_are_encoded_once_more(path: str, canonical: str) -> None:
    assert canonical == canonical_path(path)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"url": URL + "x"},
        {"body": b"other"},
        {"now": datetime(2026, 11, 22, 10, 20, 31, tzinfo=UTC)},
        {"scope": Scope(region="us-east-1", service="bedrock")},
        {"keys": AwsKeys(access_key_id="AKID", secret_access_key="other")},
        {"headers": {"content-type": "text/plain"}},
    ],
)
def test_everything_that_is_covered_changes_the_signature(change: dict[str, Any]) -> None:
    plain: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "headers": {"content-type": "application/json"},
        "body": b"{}",
        "keys": _keys(),
        "scope": SCOPE,
        "now": NOW,
    }

    def sign(fields: dict[str, Any]) -> str:
        args = [fields.pop(name) for name in ("method", "url", "headers", "body")]
        return signed(*args, **fields)["authorization"].rpartition("=")[2]

    assert sign(dict(plain)) != sign({**plain, **change})
    assert sign(dict(plain)) == sign({**plain, "headers": {**plain["headers"], "accept": "a/b"}})


def test_secrets_are_not_shown() -> None:
    keys = AwsKeys(access_key_id="AKID", secret_access_key="hush", session_token="hush")

    assert "hush" not in repr(keys)
    assert "AKID" in repr(keys)


def _keys() -> AwsKeys:
    return AwsKeys(access_key_id="AKID", secret_access_key="secret")
