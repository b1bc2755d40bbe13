"""The six methods of a provider, around an adapter and the transport.

The adapter knows the format, the transport the network; this file knows what happens in which
order, and the time limits. Each failure leaves here as an UpstreamFailed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from controlplane.table import schema
from dataplane.batches import embed
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import (
    Adapter,
    Batch,
    Call,
    Completed,
    Feature,
    Health,
    HealthVerdict,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Prepared,
    Request,
    ResponseFacts,
    SplitsEmbeddings,
    StreamDecoder,
)
from dataplane.sending import Sender, Signer, limited, total_limit
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
        self.sender = Sender(
            config, transport, credentials, clock, failure=adapter.failure, signer=signer
        )

    def capabilities(self, model: str) -> frozenset[Feature]:
        """Tell what the upstream model can do."""
        return self._adapter.capabilities(model)

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
        started = self._clock()
        prepared, response = await self._open(request, call, started, call.timeouts.answer_s)
        try:
            body = await self.sender.body(response, call, started)
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
        started = self._clock()
        prepared, response = await self._open(request, call, started, call.timeouts.first_event_s)
        decoder = self._adapter.decoder(request, replace(prepared, answer_headers=response.headers))
        try:
            head = await self._head(response, decoder, call, started)
        except BaseException:
            response.release()
            raise
        return UpstreamStream(
            head=head,
            response=response,
            decoder=decoder,
            warnings=(*prepared.warnings, *decoder.facts.warnings),
            idle_s=call.timeouts.idle_s,
            end_s=started + call.timeouts.total_s,
            clock=self._clock,
        )

    async def _open(
        self, request: Request, call: Call, started: float, head_s: float
    ) -> tuple[Prepared, UpstreamResponse]:
        """Send, and return once a 2xx head has come; a second time if a 401 met a rotated key."""
        if call.strict:
            request = replace(request, strict=True)
        prepared = self._adapter.prepare(request, call.model, self.sender.secret())
        if call.strict:
            require_unchanged(prepared.warnings)
        await self.sender.ready(call, started, head_s)

        def again() -> HttpRequest:
            return self._adapter.prepare(request, call.model, self.sender.secret()).http

        response = await self.sender.open(
            prepared.http,
            again,
            tracing=call.begin(),
            call=call,
            started=started,
            head_s=head_s,
        )
        return prepared, response

    async def _head(
        self, response: UpstreamResponse, decoder: StreamDecoder, call: Call, started: float
    ) -> Batch:
        """Read until the stream says something, fails, or ends."""
        head = Batch()
        first_s = call.timeouts.first_event_s
        async with limited(
            self._clock,
            (started + first_s, ErrorClass.TIMEOUT_FIRST_BYTE, f"no event within {first_s:g} s"),
            (call.deadline_s, ErrorClass.TIMEOUT_TOTAL, "the request's deadline has passed"),
            total_limit(call, started),
        ):
            while not head.semantic:
                data = await response.chunk()
                _join(head, decoder.feed(data) if data else decoder.finish())
                if head.failure is not None and not head.semantic:
                    raise head.failure
                if head.done and not head.semantic:
                    raise UpstreamFailed(
                        ErrorClass.BAD_RESPONSE, "the stream ended without an answer"
                    )
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
        idle_s: float,
        end_s: float,
        clock: Callable[[], float],
    ) -> None:
        """Take over the response."""
        self.head = head
        self.warnings = warnings
        self.request_id = request_id(response.headers)
        self._response = response
        self._decoder = decoder
        self._idle_s = idle_s
        self._end_s = end_s
        self._clock = clock

    @property
    def facts(self) -> ResponseFacts:
        """What the stream has said of itself so far."""
        return self._decoder.facts

    async def next(self) -> Batch:
        """Wait for more. A broken connection or a silence is a failure in the batch."""
        data = self._response.waiting()
        if not data:
            try:
                async with limited(
                    self._clock,
                    (
                        self._clock() + self._idle_s,
                        ErrorClass.TIMEOUT_IDLE,
                        f"the stream stood still for {self._idle_s:g} s",
                    ),
                    (self._end_s, ErrorClass.TIMEOUT_TOTAL, "the attempt took too long"),
                ):
                    data = await self._response.chunk()
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
    if failure.error in (ErrorClass.TIMEOUT_IDLE, ErrorClass.TIMEOUT_TOTAL):
        return failure
    return UpstreamFailed(ErrorClass.STREAM_ABORT, failure.message, error_type=failure.error_type)
