"""Tokens of Microsoft Entra ID for Azure OpenAI, in place of an API key.

Three flows, each one small HTTP request without a vendor's SDK:

    clientSecret       the provider's credential is the application's secret
    workloadIdentity   a token that Kubernetes writes to a file is exchanged for one of Entra ID
    managedIdentity    the platform gives tokens: App Service and Container Apps at an address of
                       their own, virtual machines at the instance metadata service

What options leave out is read from the environment, by the names that Azure's own libraries use.
Managed identities of Azure Arc and Service Fabric are not supported. The transport's proxies hold
for these requests too: where HTTP_PROXY is set, NO_PROXY must name the platform's address.

Source: Microsoft identity platform, "OAuth 2.0 client credentials flow", cases one and three;
"How to use managed identities on an Azure VM to acquire an access token"; "Managed identities for
App Service", REST endpoint reference; read 2026-11-25.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, assert_never
from urllib.parse import urlencode, urlsplit

from controlplane.table import schema
from controlplane.table.schema import CredentialKind, CredentialRef
from dataplane import codec
from dataplane.bearer import BearerSigner, Token
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from dataplane.providers.azure_openai import AzureOpenAIAdapter
from dataplane.transport import Transport, read_all
from dataplane.upstream import HttpProvider

DEFAULT_SCOPE = "https://cognitiveservices.azure.com/.default"
DEFAULT_AUTHORITY = "https://login.microsoftonline.com"

_IMDS = "http://169.254.169.254"
_IMDS_VERSION = "2018-02-01"
_APP_SERVICE_VERSION = "2019-08-01"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_EVERYTHING = "/.default"
_MAX_ANSWER_BYTES = 64 * 1024
_MAX_TOKEN_LENGTH = 16 * 1024
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
# Words of RFC 6749 (5.2) and of Microsoft that may be quoted; any other text may hold anything.
_CODES = frozenset(
    {
        "access_denied",
        "consent_required",
        "identity_not_found",
        "interaction_required",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_resource",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


class Flow(StrEnum):
    """How a token is got; the value is that of the option `azure.entra`."""

    CLIENT_SECRET = "clientSecret"  # noqa: S105 - the name of a flow
    WORKLOAD_IDENTITY = "workloadIdentity"
    MANAGED_IDENTITY = "managedIdentity"


class EntraTokens:
    """Asks for tokens as one provider's options say; see TokenSource.

    The request is bounded like a probe, by the provider's `health_check.timeout_s`.
    now: the wall clock's Unix seconds.
    """

    def __init__(
        self,
        config: schema.Provider,
        transport: Transport,
        credentials: Credentials,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Read nothing yet: the environment and the secrets are looked at for each token."""
        self._config = config
        self._transport = transport
        self._credentials = credentials
        self._now = now

    async def fetch(self) -> Token:
        """Ask for a token. Raises UpstreamFailed (credential)."""
        request = self._request()
        timeout_s = self._config.health_check.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._transport.send(
                    request, connect_s=self._config.timeouts.connect_s
                )
                try:
                    body = await read_all(response, _MAX_ANSWER_BYTES)
                finally:
                    response.release()
        except TimeoutError as error:
            raise _failed(f"the token service did not answer within {timeout_s:g} s") from error
        except UpstreamFailed as failure:
            raise _failed(_trouble(failure)) from failure
        if not 200 <= response.status < 300:
            raise _failed(f"the token service answered {response.status}{_reason(body)}")
        return _token(body, self._now)

    def _request(self) -> HttpRequest:
        """Build the request of the flow, with the secrets of this moment."""
        flow = self._flow()
        match flow:
            case Flow.CLIENT_SECRET:
                return self._exchange({"client_secret": self._secret(self._config.credential)})
            case Flow.WORKLOAD_IDENTITY:
                path = self._variable("AZURE_FEDERATED_TOKEN_FILE")
                if not path:
                    raise _failed("AZURE_FEDERATED_TOKEN_FILE is not set")
                file = CredentialRef(kind=CredentialKind.FILE, name=path)
                return self._exchange(
                    {
                        "client_assertion_type": _JWT_BEARER,
                        "client_assertion": self._secret(file),
                    }
                )
            case Flow.MANAGED_IDENTITY:
                return self._platform()
            case _:
                assert_never(flow)

    def _exchange(self, proof: Mapping[str, str]) -> HttpRequest:
        """Build the request to Entra ID, with what proves who we are."""
        tenant = self._identifier("azure.tenantId", "AZURE_TENANT_ID")
        form = {
            "grant_type": "client_credentials",
            "client_id": self._identifier("azure.clientId", "AZURE_CLIENT_ID"),
            "scope": self._scope(),
            **proof,
        }
        return HttpRequest(
            method="POST",
            url=f"{self._authority()}/{tenant}/oauth2/v2.0/token",
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "accept": "application/json",
            },
            body=urlencode(form).encode(),
        )

    def _platform(self) -> HttpRequest:
        """Build the request to the platform's own token service."""
        endpoint = self._variable("IDENTITY_ENDPOINT")
        query = {"resource": self._scope().removesuffix(_EVERYTHING)}
        if client := self._option("azure.clientId", "AZURE_CLIENT_ID"):
            query["client_id"] = client
        if not endpoint:
            host = self._variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").rstrip("/") or _IMDS
            endpoint = f"{host}/metadata/identity/oauth2/token"
            query = {"api-version": _IMDS_VERSION, **query}
            headers = {"metadata": "true"}
        elif self._variable("IDENTITY_SERVER_THUMBPRINT"):
            raise _failed("managed identities of Service Fabric are not supported")
        else:
            query = {"api-version": _APP_SERVICE_VERSION, **query}
            header = CredentialRef(kind=CredentialKind.ENV, name="IDENTITY_HEADER")
            headers = {"x-identity-header": self._secret(header)}
        return HttpRequest(
            method="GET",
            url=f"{endpoint}?{urlencode(query)}",
            headers={**headers, "accept": "application/json"},
        )

    def _flow(self) -> Flow:
        name = self._config.options.get("azure.entra", "")
        try:
            return Flow(name)
        except ValueError:
            raise _failed(f"the flow {name} is not supported by this version") from None

    def _authority(self) -> str:
        """Give the address of Entra ID; like Azure's libraries, take a bare host name too."""
        written = self._option("azure.authorityHost", "AZURE_AUTHORITY_HOST") or DEFAULT_AUTHORITY
        url = (written if "://" in written else f"https://{written}").rstrip("/")
        if not url.startswith("https://") and not _is_loopback(url):
            raise _failed("the authority host must be https, as a secret is sent to it")
        return url

    def _scope(self) -> str:
        return self._config.options.get("azure.scope", "") or DEFAULT_SCOPE

    def _identifier(self, option: str, variable: str) -> str:
        """Give an id that may stand in a path and must be there."""
        value = self._option(option, variable)
        if not value:
            raise _failed(f"neither {option} nor {variable} is set")
        if not _SAFE_ID.fullmatch(value):
            raise _failed(f"{option} or {variable} is not an id of letters, digits and ._-")
        return value

    def _option(self, option: str, variable: str) -> str:
        return self._config.options.get(option, "") or self._variable(variable)

    def _variable(self, name: str) -> str:
        return self._credentials.environ.get(name, "").strip()

    def _secret(self, ref: CredentialRef | None) -> str:
        if ref is None:
            raise _failed("no credential is configured to be the client's secret")
        secret = self._credentials.value(ref)
        if secret is None:
            raise _failed(f"the credential {ref} is missing")
        return secret


def provider(
    config: schema.Provider,
    transport: Transport,
    credentials: Credentials,
    clock: Callable[[], float],
) -> HttpProvider:
    """Make an Azure OpenAI provider: with tokens if the option `azure.entra` is set, else a key."""
    signer = None
    if config.options.get("azure.entra"):
        signer = BearerSigner(EntraTokens(config, transport, credentials), config.name, clock)
    return HttpProvider(
        config, AzureOpenAIAdapter(config), transport, credentials, clock, signer=signer
    )


def _token(body: bytes, now: Callable[[], float]) -> Token:
    """Read an answer: numbers come as such from Entra ID, and as text from the platforms."""
    answer = _object(body)
    value = answer.get("access_token")
    if not isinstance(value, str) or not _fits_a_header(value):
        raise _failed("the token service answered without a usable token")
    if str(answer.get("token_type", "Bearer")).lower() != "bearer":
        raise _failed("the token service gave a token of another type than Bearer")
    lifetime_s: float | None = _whole(answer.get("expires_in"))
    if lifetime_s is None and (end_s := _whole(answer.get("expires_on"))) is not None:
        lifetime_s = end_s - now()
    if lifetime_s is None:
        raise _failed("the token service gave a token without a time of expiry")
    if lifetime_s <= 0:
        raise _failed("the token service gave a token that has expired")
    return Token(value=value, lifetime_s=lifetime_s)


def _trouble(failure: UpstreamFailed) -> str:
    """Say what the network did; the transport's own words speak of the provider."""
    if failure.error is ErrorClass.CONFIG:
        return "the address of the token service, or a header for it, is not valid"
    return f"the token service gave no usable answer ({failure.error_type})"


def _reason(body: bytes) -> str:
    """Give the error's code and Microsoft's number if they are known to be such, else nothing."""
    answer = _object(body)
    words = []
    match answer.get("error"):
        case str(code) if code in _CODES:
            words.append(code)
    match answer.get("error_codes"):
        case [int(number), *_] if 0 < number < 10**9:
            words.append(f"AADSTS{number}")
    return f" ({', '.join(words)})" if words else ""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return codec.decode_object(body)
    except codec.DecodeError:
        return {}


def _whole(value: Any) -> int | None:
    """Read a number of seconds, None if it is none."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None


def _fits_a_header(value: str) -> bool:
    return (
        0 < len(value) <= _MAX_TOKEN_LENGTH
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _is_loopback(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _failed(why: str) -> UpstreamFailed:
    """Make the failure; like the transport's, its words name no host, as callers see them."""
    return UpstreamFailed(ErrorClass.CREDENTIAL, f"cannot get an Entra ID token: {why}")
