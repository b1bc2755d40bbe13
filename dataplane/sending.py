"""Sends one provider's requests: within the time limits, and with its credential.

What the requests say is the adapter's business, and which come after which the provider's. Each
failure leaves here as an UpstreamFailed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, TypeVar

from controlplane.table import schema
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.failures import ExpiredError
from dataplane.limits import Limits
from dataplane.provider import HttpRequest, HttpResponse
from dataplane.transport import MAX_ANSWER_BYTES, Transport, UpstreamResponse, read_all

_MAX_ERROR_BYTES: Final = 256 * 1024

ResultT = TypeVar("ResultT")


class Signer(Protocol):
    """What authorises requests that cannot carry their credential from the start."""

    def is_ready(self) -> bool:
        """Tell whether `ready` has nothing to do."""
        ...

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

    @property
    def waits(self) -> bool:
        """Whether `ready` must be awaited before a call."""
        return self._signer is not None and not self._signer.is_ready()

    async def ready(self, limits: Limits) -> None:
        """Have at hand what signs the requests of a call; see Signer."""
        if self._signer is not None:
            await _in_time(self._signer.ready(), limits)

    async def open(
        self,
        http: HttpRequest,
        again: Callable[[], HttpRequest],
        *,
        tracing: Mapping[str, str],
        limits: Limits,
    ) -> UpstreamResponse:
        """Send, and return once a 2xx head has come; whoever gets the response releases it.

        again: builds the request once more, for when the credential was refused and has become
            another.
        """
        http = self._authorised(http, tracing)
        try:
            response = await self._transport.send(
                http, connect_s=limits.connect_s, until_s=limits.head_by_s
            )
        except ExpiredError as error:
            raise limits.no_head("answer") from error
        if response.status < 300 and "content-encoding" not in response.headers:
            return response
        return await self._settled(response, http, again, tracing, limits)

    async def body(
        self, response: UpstreamResponse, limits: Limits, most: int = MAX_ANSWER_BYTES
    ) -> bytes:
        """Read a body of at most `most` bytes; a silence or a break in the middle is a failure."""
        parts: list[bytes] = []
        size = 0
        while True:
            by_s = limits.idle_by_s(self._clock())
            try:
                data = await response.chunk(by_s)
            except ExpiredError as error:
                raise limits.stood_still(by_s, "answer") from error
            if not data:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            size += len(data)
            if size > most:
                raise UpstreamFailed(
                    ErrorClass.BAD_RESPONSE, f"the upstream's answer is larger than {most} bytes"
                )
            parts.append(data)

    async def ask(self, http: HttpRequest) -> HttpResponse:
        """Make one small call that is no attempt: a probe, a list. Raises if it is not 2xx."""
        timeout_s = self._config.health_check.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                if self._signer is not None:
                    await self._signer.ready()
                    http = self._signer.sign(http)
                response = await self._transport.send(http, connect_s=timeout_s)
                try:
                    body = await read_all(response)
                finally:
                    response.release()
        except TimeoutError as error:
            raise UpstreamFailed(
                ErrorClass.TIMEOUT_FIRST_BYTE, f"no answer within {timeout_s:g} s"
            ) from error
        answer = HttpResponse(status=response.status, headers=response.headers, body=body)
        if response.status >= 300:
            raise self._failure(answer)
        return answer

    def _authorised(self, http: HttpRequest, tracing: Mapping[str, str]) -> HttpRequest:
        if self._signer is not None:
            http = self._signer.sign(http)
        if not tracing:
            return http
        return HttpRequest(
            method=http.method,
            url=http.url,
            headers=http.headers,
            body=http.body,
            tracing=tracing,
        )

    async def _settled(
        self,
        response: UpstreamResponse,
        sent: HttpRequest,
        again: Callable[[], HttpRequest],
        tracing: Mapping[str, str],
        limits: Limits,
    ) -> UpstreamResponse:
        """Make of an answer that is no plain 2xx a second try, or a failure."""
        _require_plain(response)
        if response.status < 300:
            return response
        failure = await self._refused(response, limits)
        if failure.error is not ErrorClass.AUTH:
            raise failure
        if not await _in_time(self._renewed(sent), limits):
            raise failure
        try:
            response = await self._transport.send(
                self._authorised(again(), tracing),
                connect_s=limits.connect_s,
                until_s=limits.head_by_s,
            )
        except ExpiredError as error:
            raise limits.no_head("answer") from error
        _require_plain(response)
        if response.status < 300:
            return response
        raise await self._refused(response, limits)

    async def _refused(self, response: UpstreamResponse, limits: Limits) -> UpstreamFailed:
        """Classify an answer that is not 2xx, even if its body cannot be read."""
        try:
            body = await self.body(response, limits, _MAX_ERROR_BYTES)
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


async def _in_time(work: Awaitable[ResultT], limits: Limits) -> ResultT:
    """Wait for what comes before the head, bounded by the same limit."""
    try:
        async with asyncio.timeout_at(limits.head_by_s):
            return await work
    except TimeoutError as error:
        raise limits.no_head("answer") from error


def _require_plain(response: UpstreamResponse) -> None:
    """Refuse an answer that is compressed: nobody asked for that."""
    coding = response.headers.get("content-encoding")
    if coding is not None and coding.lower() != "identity":
        response.release()
        raise UpstreamFailed(
            ErrorClass.BAD_RESPONSE, "the upstream compressed its answer, though not asked to"
        )
