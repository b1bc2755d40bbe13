"""Sends one provider's requests: within the time limits, and with its credential.

What the requests say is the adapter's business, and which come after which the provider's. Each
failure leaves here as an UpstreamFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Protocol

from controlplane.table import schema
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import Call, HttpRequest, HttpResponse
from dataplane.transport import MAX_ANSWER_BYTES, Transport, UpstreamResponse, read_all

_MAX_ERROR_BYTES = 256 * 1024


class Signer(Protocol):
    """What authorises requests that cannot carry their credential from the start."""

    async def ready(self) -> None:
        """Get what is needed to sign. Raises UpstreamFailed (credential) if there is nothing."""
        ...

    def sign(self, http: HttpRequest) -> HttpRequest:
        """Sign a request that is sent at once. Call it after `ready`."""
        ...

    async def renew(self, refused: HttpRequest) -> bool:
        """Tell whether there is something else to sign with than what the upstream refused."""
        ...


class Sender:
    """Sends requests of one provider.

    failure: the adapter's reading of answers that are not 2xx. clock: loop time in seconds.
    """

    def __init__(
        self,
        config: schema.Provider,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float],
        *,
        failure: Callable[[HttpResponse], UpstreamFailed],
        signer: Signer | None = None,
    ) -> None:
        """Tie the parts together; nothing is sent."""
        self._config = config
        self._transport = transport
        self._credentials = credentials
        self._clock = clock
        self._failure = failure
        self._signer = signer

    def secret(self) -> str | None:
        """Give the credential's value, None if none is configured or a signer authorises.

        Raises UpstreamFailed (credential) if it is configured and missing.
        """
        ref = self._config.credential
        if ref is None or self._signer is not None:
            return None
        secret = self._credentials.value(ref)
        if secret is None:
            raise UpstreamFailed(ErrorClass.CREDENTIAL, f"the credential {ref} is missing")
        return secret

    async def ready(self, call: Call, started: float, head_s: float) -> None:
        """Have at hand what signs the requests of a call; see Signer."""
        if self._signer is not None:
            async with self._until_head(call, started, head_s):
                await self._signer.ready()

    async def open(
        self,
        http: HttpRequest,
        again: Callable[[], HttpRequest],
        *,
        tracing: Mapping[str, str],
        call: Call,
        started: float,
        head_s: float,
    ) -> UpstreamResponse:
        """Send, and return once a 2xx head has come; whoever gets the response releases it.

        again: builds the request once more, for when the credential was refused and has become
            another. head_s: seconds from `started` in which the head must come.
        """
        sent = self._authorised(http, tracing)
        response = await self._send(sent, call, started, head_s)
        if response.status < 300:
            return response
        failure = await self._refused(response, call, started)
        if failure.error is not ErrorClass.AUTH:
            raise failure
        async with self._until_head(call, started, head_s):
            renewed = await self._renewed(sent)
        if not renewed:
            raise failure
        response = await self._send(self._authorised(again(), tracing), call, started, head_s)
        if response.status < 300:
            return response
        raise await self._refused(response, call, started)

    async def body(
        self,
        response: UpstreamResponse,
        call: Call,
        started: float,
        limit: int = MAX_ANSWER_BYTES,
    ) -> bytes:
        """Read a body to its end; a silence or a break in the middle is a failure."""
        idle_s = call.timeouts.idle_s
        parts: list[bytes] = []
        size = 0
        while True:
            data = response.waiting()
            if not data:
                async with limited(
                    self._clock,
                    (
                        self._clock() + idle_s,
                        ErrorClass.TIMEOUT_IDLE,
                        f"the answer stood still for {idle_s:g} s",
                    ),
                    total_limit(call, started),
                ):
                    data = await response.chunk()
            if not data:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            size += len(data)
            if size > limit:
                raise UpstreamFailed(
                    ErrorClass.BAD_RESPONSE, f"the upstream's answer is larger than {limit} bytes"
                )
            parts.append(data)

    async def ask(self, http: HttpRequest) -> HttpResponse:
        """Make one small call that is no attempt: a probe, a list. Raises if it is not 2xx."""
        timeout_s = self._config.health_check.timeout_s
        async with limited(
            self._clock,
            (
                self._clock() + timeout_s,
                ErrorClass.TIMEOUT_FIRST_BYTE,
                f"no answer within {timeout_s:g} s",
            ),
        ):
            if self._signer is not None:
                await self._signer.ready()
                http = self._signer.sign(http)
            response = await self._transport.send(http, connect_s=timeout_s)
            try:
                body = await read_all(response)
            finally:
                response.release()
        answer = HttpResponse(status=response.status, headers=response.headers, body=body)
        if response.status >= 300:
            raise self._failure(answer)
        return answer

    def _authorised(self, http: HttpRequest, tracing: Mapping[str, str]) -> HttpRequest:
        if tracing:
            http = replace(http, headers={**http.headers, **tracing})
        return http if self._signer is None else self._signer.sign(http)

    async def _send(
        self, http: HttpRequest, call: Call, started: float, head_s: float
    ) -> UpstreamResponse:
        async with self._until_head(call, started, head_s):
            response = await self._transport.send(http, connect_s=call.timeouts.connect_s)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            response.release()
            raise UpstreamFailed(
                ErrorClass.BAD_RESPONSE, "the upstream compressed its answer, though not asked to"
            )
        return response

    async def _refused(
        self, response: UpstreamResponse, call: Call, started: float
    ) -> UpstreamFailed:
        """Classify an answer that is not 2xx, even if its body cannot be read."""
        try:
            body = await self.body(response, call, started, _MAX_ERROR_BYTES)
        except UpstreamFailed:
            body = b""
        finally:
            response.release()
        return self._failure(
            HttpResponse(status=response.status, headers=response.headers, body=body)
        )

    async def _renewed(self, refused: HttpRequest) -> bool:
        """Tell whether there is another credential than the one that was refused."""
        if self._signer is not None:
            return await self._signer.renew(refused)
        ref = self._config.credential
        return ref is not None and self._credentials.refresh(ref)

    def _until_head(
        self, call: Call, started: float, head_s: float
    ) -> AbstractAsyncContextManager[None]:
        return limited(
            self._clock,
            (started + head_s, ErrorClass.TIMEOUT_FIRST_BYTE, f"no answer within {head_s:g} s"),
            (call.deadline_s, ErrorClass.TIMEOUT_TOTAL, "the request's deadline has passed"),
            total_limit(call, started),
        )


@asynccontextmanager
async def limited(
    clock: Callable[[], float], *expiries: tuple[float, ErrorClass, str]
) -> AsyncIterator[None]:
    """Bound a block by the earliest of several times; its class and words become the failure."""
    when, error, message = min(expiries, key=lambda expiry: expiry[0])
    try:
        async with asyncio.timeout(when - clock()):
            yield
    except TimeoutError as expired:
        raise UpstreamFailed(error, message) from expired


def total_limit(call: Call, started: float) -> tuple[float, ErrorClass, str]:
    """Give the end of an attempt, for `limited`."""
    total_s = call.timeouts.total_s
    return started + total_s, ErrorClass.TIMEOUT_TOTAL, f"the attempt took over {total_s:g} s"
