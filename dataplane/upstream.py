"""The six methods of a provider, around an adapter and the transport.

The adapter knows the format, the transport the network; this file knows what happens in which
order, and the time limits. Each failure leaves here as an UpstreamFailed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from controlplane.table import schema
from dataplane.batches import embed
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.http.failures import ExpiredError
from dataplane.limits import Limits
from dataplane.provider import (
    Adapter,
    Batch,
    Call,
    Completed,
    Feature,
    Health,
    HealthVerdict,
    HttpResponse,
    ModelInfo,
    Prepared,
    Request,
    ResponseFacts,
    SplitsEmbeddings,
    StreamDecoder,
)
from dataplane.record import replace
from dataplane.sending import Sender, Signer
from dataplane.strictness import require_unchanged
from dataplane.transport import Transport, UpstreamResponse
from dataplane.wire.failures import request_id

_VERDICTS: Mapping[ErrorClass, HealthVerdict] = {
    ErrorClass.RATE_LIMIT: HealthVerdict.THROTTLED,
    ErrorClass.QUOTA: HealthVerdict.THROTTLED,
    ErrorClass.AUTH: HealthVerdict.MISCONFIGURED,
    ErrorClass.PERMISSION: HealthVerdict.MISCONFIGURED,
    ErrorClass.MODEL_NOT_FOUND: HealthVerdict.MISCONFIGURED,
    ErrorClass.CONFIG: HealthVerdict.MISCONFIGURED,
    ErrorClass.CREDENTIAL: HealthVerdict.MISCONFIGURED,
    ErrorClass.BAD_REQUEST: HealthVerdict.UNKNOWN,
}


class HttpProvider:
    """A provider whose upstream is one HTTP request away.

    sender: for a provider around this one that makes calls of its own.
    """

    def __init__(
        self,
        config: schema.Provider,
        adapter: Adapter,
        transport: Transport,
        credentials: Credentials,
        clock: Callable[[], float],
        *,
        signer: Signer | None = None,
    ) -> None:
        """Tie the parts together; nothing is sent. signer: what authorises the requests."""
        self._adapter = adapter
        self._splits = adapter if isinstance(adapter, SplitsEmbeddings) else None
        self._clock = clock
        # By the models of the manifest, which are few.
        self._capable: dict[str, frozenset[Feature]] = {}
        self.sender = Sender(
            config, transport, credentials, clock, failure=adapter.failure, signer=signer
        )

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the upstream model can do."""
        known = self._capable.get(model)
        if known is None:
            known = self._capable[model] = self._adapter.capabilities(model)
        return known

    async def list_models(self) -> Sequence[ModelInfo]:
        """List the upstream's models. Raises UpstreamFailed."""
        request = self._adapter.models_request(self.sender.secret())
        return self._adapter.models(await self.sender.ask(request))

    async def is_healthy(self) -> Health:
        """Probe the upstream; the verdict says what was found."""
        begun = self._clock()
        try:
            request = self._adapter.probe_request(self.sender.secret())
            await self.sender.ask(request)
        except UpstreamFailed as failure:
            return health_after(failure)
        return Health(verdict=HealthVerdict.HEALTHY, latency_s=self._clock() - begun)

    async def chat(self, request: Request, call: Call) -> Completed:
        """Make a unary call. Raises RequestRejected before anything is sent, or UpstreamFailed."""
        limits = Limits(call, self._clock(), call.timeouts.answer_s)
        prepared = self._prepare(request, call)
        sender = self.sender
        if sender.waits:
            await sender.ready(limits)
        response = await sender.open(
            prepared.http,
            lambda: self._prepare(request, call).http,
            tracing=call.begin(),
            limits=limits,
        )
        try:
            body = response.whole()
            if body is None:
                body = await sender.body(response, limits)
            answer = self._adapter.answer(
                request,
                prepared,
                HttpResponse(status=response.status, headers=response.headers, body=body),
            )
        finally:
            response.release()
        return Completed(
            answer=answer,
            warnings=(*prepared.warnings, *answer.facts.warnings),
            request_id=request_id(response.headers),
        )

    async def embeddings(self, request: Request, call: Call) -> Completed:
        """Embed the input: exchanges like those of `chat`, one unless there are too many inputs."""
        parts = (request,) if self._splits is None else self._splits.split(request, call.model)
        return await (embed(parts, call, self.chat) if len(parts) > 1 else self.chat(request, call))

    async def chat_stream(self, request: Request, call: Call) -> UpstreamStream:
        """Open a stream, and return at its first semantic event."""
        limits = Limits(call, self._clock(), call.timeouts.first_event_s)
        prepared = self._prepare(request, call)
        sender = self.sender
        if sender.waits:
            await sender.ready(limits)
        response = await sender.open(
            prepared.http,
            lambda: self._prepare(request, call).http,
            tracing=call.begin(),
            limits=limits,
        )
        decoder = self._adapter.decoder(request, replace(prepared, answer_headers=response.headers))
        try:
            head = await self._head(response, decoder, limits)
        except BaseException:
            response.release()
            raise
        return UpstreamStream(
            head=head,
            response=response,
            decoder=decoder,
            warnings=(*prepared.warnings, *decoder.facts.warnings),
            limits=limits,
            clock=self._clock,
        )

    def _prepare(self, request: Request, call: Call) -> Prepared:
        """Write the request for the upstream. Raises RequestRejected, or UpstreamFailed."""
        if not call.strict:
            return self._adapter.prepare(request, call.model, self.sender.secret())
        request = replace(request, strict=True)
        prepared = self._adapter.prepare(request, call.model, self.sender.secret())
        require_unchanged(prepared.warnings)
        return prepared

    async def _head(
        self, response: UpstreamResponse, decoder: StreamDecoder, limits: Limits
    ) -> Batch:
        """Read until the stream says something, fails, or ends."""
        head = Batch()
        while not head.semantic:
            try:
                data = await response.chunk(limits.head_by_s)
            except ExpiredError as error:
                raise limits.no_head("event") from error
            _join(head, decoder.feed(data) if data else decoder.finish())
            if head.failure is not None and not head.semantic:
                raise head.failure
            if head.done and not head.semantic:
                raise UpstreamFailed(ErrorClass.BAD_RESPONSE, "the stream ended without an answer")
        return head


class UpstreamStream:
    """An open stream; see ChatStream. Whoever got it closes it."""

    def __init__(
        self,
        *,
        head: Batch,
        response: UpstreamResponse,
        decoder: StreamDecoder,
        warnings: Sequence[str],
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        """Take over the response."""
        self.head = head
        self.warnings = warnings
        self.request_id = request_id(response.headers)
        self._response = response
        self._decoder = decoder
        self._limits = limits
        self._clock = clock

    @property
    def facts(self) -> ResponseFacts:
        """What the stream has said of itself so far."""
        return self._decoder.facts

    async def next(self) -> Batch:
        """Wait for more. A broken connection or a silence is a failure in the batch."""
        by_s = self._limits.idle_by_s(self._clock())
        try:
            data = await self._response.chunk(by_s)
        except ExpiredError:
            return Batch(failure=self._limits.stood_still(by_s, "stream"))
        except UpstreamFailed as failure:
            return Batch(failure=_broken(failure))
        return self._decoder.feed(data) if data else self._decoder.finish()

    async def aclose(self) -> None:
        """End the call."""
        self._response.release()


def health_after(failure: UpstreamFailed) -> Health:
    """Say what a probe that failed has found."""
    verdict = _VERDICTS.get(failure.error, HealthVerdict.UNREACHABLE)
    return Health(verdict=verdict, detail=failure.message)


def _join(head: Batch, more: Batch) -> None:
    """Add what another read came to."""
    head.data += more.data
    head.chunks += more.chunks
    head.semantic = head.semantic or more.semantic
    head.done = more.done
    head.failure = more.failure


def _broken(failure: UpstreamFailed) -> UpstreamFailed:
    """Say of a failure in the middle of a stream what it is: nothing can be tried again."""
    return UpstreamFailed(ErrorClass.STREAM_ABORT, failure.message, error_type=failure.error_type)
