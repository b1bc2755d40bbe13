"""The six methods: order of events, time limits, and what each failure becomes."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef, Timeouts
from dataplane import record
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.http.failures import ExpiredError
from dataplane.provider import (
    Answer,
    Batch,
    Call,
    Feature,
    HealthVerdict,
    HttpRequest,
    HttpResponse,
    ModelInfo,
    Operation,
    Prepared,
    Request,
    ResponseFacts,
)
from dataplane.upstream import HttpProvider
from tests.fakes import FakeClock, provider

FAST = Timeouts(connect_s=1, first_event_s=0.05, answer_s=0.05, idle_s=0.05, total_s=1)
SLOW = Timeouts(connect_s=1, first_event_s=60, answer_s=60, idle_s=60, total_s=60)
CHAT = Request(operation=Operation.CHAT, model="chat", body={})
KEY = CredentialRef(kind=CredentialKind.ENV, name="KEY")


async def expiry(until_s: float) -> None:
    """Wait as a connection does on which nothing comes."""
    try:
        async with asyncio.timeout_at(until_s):
            await asyncio.Event().wait()
    except TimeoutError as error:
        raise ExpiredError from error


class Silence:
    """A place in a body where nothing more comes."""


@dataclass
class FakeResponse:
    """An answer whose body comes in the pieces given."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: list[bytes | Silence | UpstreamFailed] = field(default_factory=list)
    released: int = 0

    async def chunk(self, until_s: float = math.inf) -> bytes:
        if not self.body:
            return b""
        piece = self.body.pop(0)
        if isinstance(piece, Silence):
            await expiry(until_s)
        if isinstance(piece, UpstreamFailed):
            raise piece
        assert isinstance(piece, bytes)
        return piece

    def whole(self) -> bytes | None:
        return None

    def release(self) -> None:
        self.released += 1


class FakeTransport:
    """Answers with the responses given, in order; None never answers."""

    def __init__(self, *answers: FakeResponse | UpstreamFailed | None) -> None:
        self._answers = list(answers)
        self.sent: list[HttpRequest] = []

    async def send(
        self, request: HttpRequest, *, connect_s: float, until_s: float = math.inf
    ) -> FakeResponse:
        self.sent.append(request)
        answer = self._answers.pop(0)
        if answer is None:
            await expiry(until_s)
        if isinstance(answer, UpstreamFailed):
            raise answer
        assert answer is not None
        return answer


class LineDecoder:
    """One line is one event: `role`, `text`, `error` or `end`."""

    def __init__(self) -> None:
        self.facts = ResponseFacts()
        self._rest = b""

    def feed(self, data: bytes) -> Batch:
        batch = Batch()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            batch.data += line + b"\n"
            batch.chunks += 1
            batch.semantic = batch.semantic or line == b"text"
            batch.done = line == b"end"
            if line == b"error":
                batch.failure = UpstreamFailed(ErrorClass.OVERLOADED, "busy", status=200)
        return batch

    def finish(self) -> Batch:
        return Batch(failure=UpstreamFailed(ErrorClass.STREAM_ABORT, "no end"))


class LineAdapter:
    """An adapter of a made-up format; it puts the secret into a header, as all do."""

    def capabilities(self, model: str) -> frozenset[Feature]:
        return frozenset({Feature.CHAT})

    def prepare(self, request: Request, model: str, secret: str | None) -> Prepared:
        if request.model == "refused":
            raise RequestRejected("cannot be said", param="model")
        return Prepared(http=_http(secret), warnings=("dropped:seed",))

    def answer(self, request: Request, prepared: Prepared, response: HttpResponse) -> Answer:
        facts = ResponseFacts(warnings=["odd:answer"])
        return Answer(body=response.body, facts=facts)

    def decoder(self, request: Request, prepared: Prepared) -> LineDecoder:
        return LineDecoder()

    def failure(self, response: HttpResponse) -> UpstreamFailed:
        classes = {401: ErrorClass.AUTH, 404: ErrorClass.CONFIG, 429: ErrorClass.RATE_LIMIT}
        error = classes.get(response.status, ErrorClass.UPSTREAM_ERROR)
        return UpstreamFailed(error, response.body.decode(), status=response.status)

    def models_request(self, secret: str | None) -> HttpRequest:
        return _http(secret)

    def models(self, response: HttpResponse) -> Sequence[ModelInfo]:
        return [ModelInfo(id=response.body.decode())]

    def probe_request(self, secret: str | None) -> HttpRequest:
        return _http(secret)


def _http(secret: str | None) -> HttpRequest:
    headers: Mapping[str, str] = {"authorization": secret} if secret else {}
    return HttpRequest(method="POST", url="http://a.test/", headers=headers)


def upstream(
    transport: FakeTransport,
    *,
    credential: CredentialRef | None = None,
    credentials: Credentials | None = None,
    timeout_s: float = 5.0,
) -> HttpProvider:
    config = provider("a", credential=credential)
    config = replace(config, health_check=replace(config.health_check, timeout_s=timeout_s))
    return HttpProvider(
        config,
        LineAdapter(),
        transport,
        credentials or Credentials(environ={}, secrets_root=Path("/nowhere"), clock=time.monotonic),
        time.monotonic,
    )


def call(
    timeouts: Timeouts = SLOW, *, deadline_in_s: float = 60.0, begun: list[int] | None = None
) -> Call:
    def begin() -> Mapping[str, str]:
        if begun is not None:
            begun.append(1)
        return {"traceparent": "00-1"}

    return Call(
        model="m", timeouts=timeouts, deadline_s=time.monotonic() + deadline_in_s, begin=begin
    )


async def test_a_unary_answer_with_all_that_was_told_of_it() -> None:
    response = FakeResponse(headers={"x-request-id": "r1"}, body=[b"{", b"}"])
    transport = FakeTransport(response)

    completed = await upstream(transport).chat(CHAT, call())

    assert (b"{}", "r1") == (completed.answer.body, completed.request_id)
    assert ("dropped:seed", "odd:answer") == tuple(completed.warnings)
    assert 1 == response.released
    assert "00-1" == transport.sent[0].all_headers()["traceparent"]


async def test_embeddings_are_the_same_exchange() -> None:
    completed = await upstream(FakeTransport(FakeResponse(body=[b"[]"]))).embeddings(CHAT, call())

    assert b"[]" == completed.answer.body


async def test_a_rejection_comes_before_the_attempt_begins() -> None:
    begun: list[int] = []
    transport = FakeTransport()

    with pytest.raises(RequestRejected):
        await upstream(transport).chat(record.replace(CHAT, model="refused"), call(begun=begun))

    assert ([], []) == (begun, transport.sent)


async def test_a_missing_credential_sends_nothing() -> None:
    transport = FakeTransport()

    with pytest.raises(UpstreamFailed) as caught:
        await upstream(transport, credential=KEY).chat(CHAT, call())

    assert (ErrorClass.CREDENTIAL, []) == (caught.value.error, transport.sent)


@pytest.mark.parametrize(
    ("answers", "timeouts", "deadline_in_s", "error"),
    [
        ([None], FAST, 60, ErrorClass.TIMEOUT_FIRST_BYTE),
        ([None], SLOW, 0.05, ErrorClass.TIMEOUT_TOTAL),
        ([None], replace(SLOW, total_s=0.05), 60, ErrorClass.TIMEOUT_TOTAL),
        ([FakeResponse(body=[b"{", Silence()])], FAST, 60, ErrorClass.TIMEOUT_IDLE),
        (
            [FakeResponse(body=[UpstreamFailed(ErrorClass.CONNECTION, "gone")])],
            SLOW,
            60,
            ErrorClass.CONNECTION,
        ),
        ([UpstreamFailed(ErrorClass.CONNECTION, "gone")], SLOW, 60, ErrorClass.CONNECTION),
        (
            [FakeResponse(headers={"content-encoding": "gzip"}, body=[b"\x1f"])],
            SLOW,
            60,
            ErrorClass.BAD_RESPONSE,
        ),
        ([FakeResponse(status=404, body=[b"no"])], SLOW, 60, ErrorClass.CONFIG),
        ([FakeResponse(status=302)], SLOW, 60, ErrorClass.UPSTREAM_ERROR),
        ([FakeResponse(status=429, body=[b"slow", Silence()])], FAST, 60, ErrorClass.RATE_LIMIT),
    ],
)
async def test_failures_of_a_unary_call(
    answers: list[FakeResponse | UpstreamFailed | None],
    timeouts: Timeouts,
    deadline_in_s: float,
    error: ErrorClass,
) -> None:
    subject = upstream(FakeTransport(*answers))

    with pytest.raises(UpstreamFailed) as caught:
        await subject.chat(CHAT, call(timeouts, deadline_in_s=deadline_in_s))

    assert error is caught.value.error
    assert all(answer.released for answer in answers if isinstance(answer, FakeResponse))


async def test_a_401_that_meets_a_rotated_key_is_tried_once_more(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    credentials = Credentials(environ={}, secrets_root=tmp_path, clock=FakeClock())
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    credentials.value(ref)
    file.unlink()
    file.write_text("newer")
    transport = FakeTransport(FakeResponse(status=401), FakeResponse(body=[b"{}"]))
    begun: list[int] = []
    subject = upstream(transport, credential=ref, credentials=credentials)

    completed = await subject.chat(CHAT, call(begun=begun))

    assert b"{}" == completed.answer.body
    assert ["old", "newer"] == [sent.headers["authorization"] for sent in transport.sent]
    assert [1] == begun


@pytest.mark.parametrize(("second", "sent"), [("old", 1), ("newer", 2)])
async def test_a_401_counts_if_the_key_is_the_same_or_the_new_one_fails_too(
    tmp_path: Path, second: str, sent: int
) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    credentials = Credentials(environ={}, secrets_root=tmp_path, clock=FakeClock())
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    credentials.value(ref)
    file.write_text(second)
    transport = FakeTransport(FakeResponse(status=401), FakeResponse(status=401))

    with pytest.raises(UpstreamFailed) as caught:
        await upstream(transport, credential=ref, credentials=credentials).chat(CHAT, call())

    assert (ErrorClass.AUTH, sent) == (caught.value.error, len(transport.sent))


async def test_a_stream_returns_at_its_first_semantic_event() -> None:
    response = FakeResponse(body=[b"role\nte", b"xt\nte", b"xt\nend\n"])
    stream = await upstream(FakeTransport(response)).chat_stream(CHAT, call())

    assert (b"role\ntext\n", 2, True) == (
        stream.head.data,
        stream.head.chunks,
        stream.head.semantic,
    )
    assert 0 == response.released

    rest = await stream.next()
    await stream.aclose()

    assert (b"text\nend\n", True) == (rest.data, rest.done)
    assert 1 == response.released


@pytest.mark.parametrize(
    ("body", "timeouts", "error"),
    [
        ([b"role\n", Silence()], FAST, ErrorClass.TIMEOUT_FIRST_BYTE),
        ([b"role\n", b"error\n"], SLOW, ErrorClass.OVERLOADED),
        ([b"error\n"], SLOW, ErrorClass.OVERLOADED),
        ([b"role\n"], SLOW, ErrorClass.STREAM_ABORT),
        ([b"role\n", b"end\n"], SLOW, ErrorClass.BAD_RESPONSE),
        ([b"ro", UpstreamFailed(ErrorClass.CONNECTION, "gone")], SLOW, ErrorClass.CONNECTION),
    ],
)
async def test_failures_before_the_first_semantic_event_are_raised(
    body: list[bytes | Silence | UpstreamFailed], timeouts: Timeouts, error: ErrorClass
) -> None:
    response = FakeResponse(body=body)

    with pytest.raises(UpstreamFailed) as caught:
        await upstream(FakeTransport(response)).chat_stream(CHAT, call(timeouts))

    assert (error, 1) == (caught.value.error, response.released)


@pytest.mark.parametrize(
    ("last", "timeouts", "error"),
    [
        (Silence(), replace(SLOW, idle_s=0.05), ErrorClass.TIMEOUT_IDLE),
        (Silence(), replace(SLOW, total_s=0.2), ErrorClass.TIMEOUT_TOTAL),
        (UpstreamFailed(ErrorClass.CONNECTION, "gone"), SLOW, ErrorClass.STREAM_ABORT),
        (b"", SLOW, ErrorClass.STREAM_ABORT),
        (b"error\n", SLOW, ErrorClass.OVERLOADED),
    ],
)
async def test_failures_after_it_come_in_the_batch(
    last: bytes | Silence | UpstreamFailed, timeouts: Timeouts, error: ErrorClass
) -> None:
    stream = await upstream(FakeTransport(FakeResponse(body=[b"text\n", last]))).chat_stream(
        CHAT, call(timeouts)
    )
    batch = await stream.next()
    await stream.aclose()

    assert batch.failure is not None
    assert error is batch.failure.error


async def test_a_stream_that_says_all_at_once_is_done_in_its_head() -> None:
    stream = await upstream(FakeTransport(FakeResponse(body=[b"text\nend\n"]))).chat_stream(
        CHAT, call()
    )

    assert (True, True) == (stream.head.semantic, stream.head.done)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (FakeResponse(body=[b"ok"]), HealthVerdict.HEALTHY),
        (FakeResponse(status=429), HealthVerdict.THROTTLED),
        (FakeResponse(status=401), HealthVerdict.MISCONFIGURED),
        (FakeResponse(status=404), HealthVerdict.MISCONFIGURED),
        (FakeResponse(status=500), HealthVerdict.UNREACHABLE),
        (UpstreamFailed(ErrorClass.CONNECTION, "gone"), HealthVerdict.UNREACHABLE),
        (None, HealthVerdict.UNREACHABLE),
    ],
)
async def test_a_probe_gives_a_verdict(
    answer: FakeResponse | UpstreamFailed | None, verdict: HealthVerdict
) -> None:
    health = await upstream(FakeTransport(answer), timeout_s=0.05).is_healthy()

    assert verdict is health.verdict
    assert (health.latency_s is not None) == (verdict is HealthVerdict.HEALTHY)


async def test_a_probe_without_its_credential_is_a_misconfiguration() -> None:
    health = await upstream(FakeTransport(), credential=KEY).is_healthy()

    assert HealthVerdict.MISCONFIGURED is health.verdict


async def test_models_are_listed() -> None:
    models = await upstream(FakeTransport(FakeResponse(body=[b"m1"]))).list_models()

    assert [ModelInfo(id="m1")] == models


def test_capabilities_are_the_adapters() -> None:
    assert frozenset({Feature.CHAT}) == upstream(FakeTransport()).capabilities("m")
