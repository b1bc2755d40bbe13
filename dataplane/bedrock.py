"""The provider for AWS Bedrock: what its API needs of I/O beyond one HTTP request a call.

Requests are signed just before they are sent, unless an API key is configured. Models are in two
lists, and a credential that may not list models says nothing of the provider's health.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from controlplane.table import schema
from dataplane.aws_credentials import AwsCredentials, keys_for
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import (
    Call,
    ChatStream,
    Completed,
    Feature,
    Health,
    HealthVerdict,
    HttpRequest,
    ModelInfo,
    Request,
)
from dataplane.providers.bedrock import BedrockAdapter
from dataplane.record import replace
from dataplane.transport import Transport
from dataplane.upstream import HttpProvider, health_after
from dataplane.wire.sigv4 import Scope, signed

SERVICE = "bedrock"
"""The signing name of both hosts."""

_MAX_PAGES = 20


class SigV4Signer:
    """Signs requests with AWS' keys; see dataplane.sending.Signer. now: the wall clock's time."""

    def __init__(
        self, credentials: AwsCredentials, region: str, now: Callable[[], datetime]
    ) -> None:
        """Get no keys yet."""
        self._credentials = credentials
        self._scope = Scope(region=region, service=SERVICE)
        self._now = now

    def is_ready(self) -> bool:
        """Tell whether there are keys that need not even be looked at again."""
        return bool(self._scope.region) and self._credentials.is_fresh

    async def ready(self) -> None:
        """Get keys. Raises UpstreamFailed (credential) if there are none."""
        if not self._scope.region:
            raise UpstreamFailed(ErrorClass.CREDENTIAL, "no AWS region to sign for is configured")
        await self._credentials.get()

    def sign(self, http: HttpRequest) -> HttpRequest:
        """Sign with the keys at hand."""
        headers = signed(
            http.method,
            http.url,
            http.headers,
            http.body,
            keys=self._credentials.current,
            scope=self._scope,
            now=self._now(),
        )
        return replace(http, headers=headers)

    async def renew(self, refused: HttpRequest) -> bool:
        """Look for other keys than those that signed the request; tell whether there are any."""
        credential = refused.headers.get("authorization", "").partition("Credential=")[2]
        return await self._credentials.renew(credential.partition("/")[0])


class BedrockProvider:
    """Bedrock's six methods; see Provider.

    clock: monotonic seconds. now: the time that signatures bear.
    """

    def __init__(
        self,
        config: schema.Provider,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float],
        *,
        keys: AwsCredentials | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Tie the parts together; nothing is sent. keys: None takes what the options say."""
        self._adapter = BedrockAdapter(config)
        self._clock = clock
        signer = None
        if config.credential is None:
            signer = SigV4Signer(keys or keys_for(config, clock), self._adapter.region, now)
        self._http = HttpProvider(
            config, self._adapter, transport, credentials, clock, signer=signer
        )
        self._sender = self._http.sender

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the model can do."""
        return self._http.capabilities(model)

    async def list_models(self) -> Sequence[ModelInfo]:
        """List what can be called: foundation models by their ids, then inference profiles.

        Without leave to list profiles there are none. Raises UpstreamFailed.
        """
        found = {model.id: model for model in await self._http.list_models()}
        page = ""
        for _ in range(_MAX_PAGES):
            request = self._adapter.profiles_request(self._sender.secret(), page)
            try:
                response = await self._sender.ask(request)
            except UpstreamFailed as failure:
                if failure.error is ErrorClass.PERMISSION:
                    break
                raise
            profiles, page = self._adapter.profiles(response)
            found |= {profile.id: profile for profile in profiles}
            if not page:
                break
        return list(found.values())

    async def is_healthy(self) -> Health:
        """Probe the control plane. A credential that may not list models proves nothing."""
        begun = self._clock()
        try:
            await self._sender.ask(self._adapter.probe_request(self._sender.secret()))
        except UpstreamFailed as failure:
            if failure.error is ErrorClass.PERMISSION:
                return Health(verdict=HealthVerdict.UNKNOWN, detail=failure.message)
            return health_after(failure)
        return Health(verdict=HealthVerdict.HEALTHY, latency_s=self._clock() - begun)

    async def chat(self, request: Request, call: Call) -> Completed:
        """Make a unary chat."""
        return await self._http.chat(request, call)

    async def chat_stream(self, request: Request, call: Call) -> ChatStream:
        """Open a stream, and return at its first semantic event."""
        return await self._http.chat_stream(request, call)

    async def embeddings(self, request: Request, call: Call) -> Completed:
        """Embed the input, by as many calls as that takes; one that fails fails all."""
        return await self._http.embeddings(request, call)
