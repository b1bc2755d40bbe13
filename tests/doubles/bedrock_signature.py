"""Checks signatures the way AWS does: by signing the request anew with the secret that it knows.

The work is botocore's; ours is only to give it the request as it came over the wire.

Source: AWS Signature Version 4, as botocore.auth implements it; codes and words of recorded refusals.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request, SignedHeaders=(?P<signed>[^,]+), "
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why AWS refuses a request."""

    code: str
    message: str
    status: int = 403


@dataclass(frozen=True, kw_only=True)
class Account:
    """Keys that are known. token: the session token that must come along, empty for none."""

    access_key_id: str = "AKIDEXAMPLE"
    secret: str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    token: str = ""
    region: str = "eu-west-3"


def verify(
    account: Account, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Refusal | None:
    """Check a request. url: with the raw path. headers: names in lower case."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        return Refusal(code="MissingAuthenticationTokenException", message="Missing Token")
    if found["key"] != account.access_key_id:
        return Refusal(
            code="UnrecognizedClientException",
            message="The security token included in the request is invalid.",
        )
    if headers.get("x-amz-security-token", "") != account.token:
        return Refusal(
            code="ExpiredTokenException",
            message="The security token included in the request is expired",
        )
    wrong = _scope_wrong(account, found, headers)
    if wrong:
        return Refusal(code="InvalidSignatureException", message=wrong)
    names = found["signed"].split(";")
    if {"host", "x-amz-date"} - set(names):
        return Refusal(code="InvalidSignatureException", message="'Host' must be signed")
    request = AWSRequest(
        method=method, url=url, headers={name: headers[name] for name in names}, data=body
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(
        Credentials(account.access_key_id, account.secret), found["service"], found["region"]
    )
    text = signer.string_to_sign(request, signer.canonical_request(request))
    if not hmac.compare_digest(signer.signature(text, request), found["signature"]):
        return Refusal(
            code="InvalidSignatureException",
            message="The request signature we calculated does not match the signature you provided.",
        )
    return None


def _scope_wrong(account: Account, found: re.Match[str], headers: Mapping[str, str]) -> str:
    if (found["region"], found["service"]) != (account.region, "bedrock"):
        return "Credential should be scoped to a valid region and to correct service: 'bedrock'."
    stamp = headers.get("x-amz-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "Date must be in ISO-8601 'basic format'."
    if not stamp.startswith(found["day"]):
        return "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date."
    if abs(datetime.now(UTC) - signed_at) > _TOLERANCE:
        return f"Signature expired: {stamp} is now earlier than allowed"
    return ""
