"""One request over its targets: fail-over, retries, skips, and what is told of each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.table.live import LiveTable
from controlplane.table.schema import (
    CredentialKind,
    CredentialRef,
    Model,
    Price,
    Provider,
    Table,
)
from controlplane.table.view import TargetView
from dataplane import record
from dataplane.credentials import Credentials
from dataplane.errors import ErrorClass, RequestRejected, UpstreamFailed
from dataplane.events import AttemptEnded, Event, Events
from dataplane.flight import Clock
from dataplane.forward import Exchange, Forwarder, NothingAvailable
from dataplane.provider import Batch, Feature, Operation, Request, Usage
from dataplane.telemetry import NoTelemetry
from tests.fakes import RETRY, FakeClock, FakeProvider, FakeStream, Scripted, provider, table


class FakePool:
    """Hands out the fakes by name."""

    def __init__(self, providers: Mapping[str, FakeProvider]) -> None:
        self._providers = providers

    def get(self, config: Provider) -> FakeProvider:
        return self._providers[config.name]


class Scene:
    """A forwarder over fakes: `Scene(a=[...], b=[...])`, tried in that order."""

    def __init__(self, **scripts: Sequence[Scripted]) -> None:
        self.clock = FakeClock()
        self.live = LiveTable(random=lambda: 0.5)
        self.fakes = {name: FakeProvider(script) for name, script in scripts.items()}
        self.environ: dict[str, str] = {}
        self.ended: list[Event] = []
        self.events = Events()
        self.events.subscribe(self.ended.append)
        self.table = table([provider(name) for name in scripts])
        self.live.install(self.table, self.clock())
        self.forwarder = Forwarder(
            live=self.live,
            provider_of=FakePool(self.fakes).get,
            credentials=Credentials(
                environ=self.environ, secrets_root=Path("/nowhere"), clock=self.clock
            ),
            events=self.events,
            clock=self.clock,
            random=lambda: 0.5,
            sleep=self.clock.sleep,
        )

    def use(self, changed: Table) -> None:
        self.table = changed
        self.live.install(changed, self.clock())

    def exchange(
        self, features: frozenset[Feature] = frozenset(), operation: Operation = Operation.CHAT
    ) -> Exchange:
        telemetry = NoTelemetry(Clock(now_s=self.clock, wall_ns=lambda: 0))
        span = telemetry.request(
            "POST",
            "/v1/chat/completions",
            {},
            path="/v1/chat/completions",
            scheme="http",
            server_address="127.0.0.1",
            server_port=1,
            user_agent="",
        )
        return Exchange(
            request=Request(operation=operation, model="chat", body={}, features=features),
            table=self.table,
            route=self.table.routes["chat"],
            span=span,
            arrived_s=self.clock(),
        )

    def target(self, name: str) -> TargetView:
        (view,) = [item for item in self.live.view(self.clock()) if item.name == name]
        return view.targets[0]


def stream(*batches: Batch) -> FakeStream:
    return FakeStream(list(batches))


HEAD = Batch(data=b"data: 1\n\n", chunks=1, semantic=True)
DONE = Batch(done=True)


async def test_the_first_target_answers() -> None:
    scene = Scene(a=[b"{}"], b=[])
    exchange = scene.exchange()

    served = await scene.forwarder.complete(exchange)

    assert b"{}" == served.result.answer.body
    assert ("a", 1, "") == (served.target.provider, served.attempts, served.fallback_reason)
    assert ("a:served",) == exchange.span.flight.path
    assert 1 == scene.target("a").successes


async def test_a_throttled_target_fails_over_at_once() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.RATE_LIMIT, "slow down", status=429)], b=[b"{}"])
    exchange = scene.exchange()

    served = await scene.forwarder.complete(exchange)

    assert ("b", 2, "429") == (served.target.provider, served.attempts, served.fallback_reason)
    assert [] == scene.clock.slept
    assert ("a:429", "b:served") == exchange.span.flight.path
    assert 0 == scene.target("a").consecutive_failures
    assert "cooldown" == scene.target("a").refusal


async def test_a_single_target_is_tried_again_after_a_pause() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.UPSTREAM_ERROR, "no", status=500), b"{}"])

    served = await scene.forwarder.complete(scene.exchange())

    assert 2 == served.attempts
    assert [pytest.approx(0.1)] == scene.clock.slept


async def test_a_rate_limit_is_waited_for_if_nothing_else_is_left() -> None:
    limited = UpstreamFailed(ErrorClass.RATE_LIMIT, "no", status=429, retry_after_s=1.5)
    scene = Scene(a=[limited, b"{}"])

    served = await scene.forwarder.complete(scene.exchange())

    assert 2 == served.attempts
    assert [1.5] == scene.clock.slept


async def test_the_callers_mistake_is_not_tried_elsewhere() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.BAD_REQUEST, "bad", status=400)], b=[b"{}"])

    with pytest.raises(UpstreamFailed) as caught:
        await scene.forwarder.complete(scene.exchange())

    assert ErrorClass.BAD_REQUEST is caught.value.error
    assert 0 == scene.target("a").consecutive_failures
    assert [] == scene.fakes["b"].calls


async def test_three_failures_open_the_breaker_and_later_requests_skip_the_target() -> None:
    scene = Scene(
        a=[UpstreamFailed(ErrorClass.TIMEOUT_FIRST_BYTE, "no")] * 3,
        b=[b"{}"] * 4,
    )
    for _ in range(3):
        await scene.forwarder.complete(scene.exchange())
    exchange = scene.exchange()

    served = await scene.forwarder.complete(exchange)

    assert (1, "circuit_open") == (served.attempts, served.fallback_reason)
    assert ("a:circuit_open", "b:served") == exchange.span.flight.path
    assert 3 == len(scene.fakes["a"].calls)


async def test_the_last_failure_is_what_the_caller_gets_with_the_shortest_hint() -> None:
    scene = Scene(
        a=[UpstreamFailed(ErrorClass.RATE_LIMIT, "no", status=429, retry_after_s=9)],
        b=[UpstreamFailed(ErrorClass.QUOTA, "no", status=429)],
    )

    with pytest.raises(UpstreamFailed) as caught:
        await scene.forwarder.complete(scene.exchange())

    assert (ErrorClass.QUOTA, 9) == (caught.value.error, caught.value.retry_after_s)


async def test_a_target_that_lacks_a_feature_is_skipped() -> None:
    scene = Scene(a=[], b=[b"{}"])
    scene.fakes["a"] = FakeProvider([], features=frozenset())
    scene.forwarder._provider_of = FakePool(scene.fakes).get
    exchange = scene.exchange(frozenset({Feature.TOOLS}))

    served = await scene.forwarder.complete(exchange)

    assert ("b", "capability") == (served.target.provider, served.fallback_reason)
    assert 1 == exchange.span.flight.targets_skipped


async def test_if_every_target_lacks_the_feature_the_caller_is_told_which() -> None:
    scene = Scene(a=[], b=[])
    scene.fakes.update(
        a=FakeProvider([], features=frozenset()), b=FakeProvider([], features=frozenset())
    )

    with pytest.raises(RequestRejected) as caught:
        await scene.forwarder.complete(scene.exchange(frozenset({Feature.TOOLS})))

    assert ("tools", "unsupported_parameter") == (caught.value.param, caught.value.code)


async def test_a_rejection_while_serializing_is_a_skip_and_not_an_attempt() -> None:
    scene = Scene(a=[RequestRejected("no such thing", param="n")], b=[b"{}"])
    exchange = scene.exchange()

    served = await scene.forwarder.complete(exchange)

    assert ("b", 1) == (served.target.provider, served.attempts)
    assert ("a:capability", "b:served") == exchange.span.flight.path
    assert 0 == scene.target("a").in_flight


async def test_if_every_target_rejects_the_caller_gets_the_first_rejection() -> None:
    scene = Scene(
        a=[RequestRejected("first", param="n")], b=[RequestRejected("second", param="stop")]
    )

    with pytest.raises(RequestRejected) as caught:
        await scene.forwarder.complete(scene.exchange())

    assert "n" == caught.value.param


async def test_a_missing_credential_is_a_reason_to_skip() -> None:
    scene = Scene(a=[], b=[b"{}"])
    ref = CredentialRef(kind=CredentialKind.ENV, name="NO_SUCH_KEY")
    scene.use(table([provider("a", credential=ref), provider("b")]))
    exchange = scene.exchange()

    served = await scene.forwarder.complete(exchange)

    assert ("b", "credential_missing") == (served.target.provider, served.fallback_reason)
    assert "closed" == scene.target("a").state


async def test_nothing_available_tells_every_reason() -> None:
    scene = Scene(a=[], b=[])
    ref = CredentialRef(kind=CredentialKind.ENV, name="NO_SUCH_KEY")
    scene.use(table([provider("a", credential=ref), provider("b", suspend=True)]))

    with pytest.raises(NothingAvailable) as caught:
        await scene.forwarder.complete(scene.exchange())

    reasons = [(skip.target.provider, skip.refusal.reason.value) for skip in caught.value.skipped]
    assert [("a", "credential_missing"), ("b", "suspended")] == reasons


async def test_a_full_target_is_skipped() -> None:
    scene = Scene(a=[stream(HEAD)], b=[b"{}"])
    scene.use(table([provider("a", max_in_flight=1), provider("b")]))
    await scene.forwarder.stream(scene.exchange())

    served = await scene.forwarder.complete(scene.exchange())

    assert ("b", "max_in_flight") == (served.target.provider, served.fallback_reason)


async def test_a_prompt_that_is_too_long_goes_to_the_larger_window() -> None:
    scene = Scene(
        a=[UpstreamFailed(ErrorClass.CONTEXT_LENGTH, "long", status=400)], b=[], c=[b"{}"]
    )
    small, large = Model(name="m", context_window=8), Model(name="m", context_window=32)
    scene.use(
        table(
            [
                provider("a", models=[small]),
                provider("b", models=[small]),
                provider("c", models=[large]),
            ]
        )
    )

    served = await scene.forwarder.complete(scene.exchange())

    assert "c" == served.target.provider


async def test_embeddings_never_fail_over_to_another_model() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.AUTH, "no", status=401)], b=[b"{}"])
    route = scene.table.routes["chat"]
    other = replace(route.targets[1], model="another")
    scene.use(
        replace(scene.table, routes={"chat": replace(route, targets=(route.targets[0], other))})
    )

    with pytest.raises(UpstreamFailed):
        await scene.forwarder.complete(scene.exchange(operation=Operation.EMBEDDINGS))

    assert [] == scene.fakes["b"].calls


async def test_a_request_that_names_a_providers_file_never_leaves_it() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.AUTH, "no", status=401)], b=[b"{}"])
    exchange = scene.exchange()
    exchange.request = record.replace(exchange.request, pinned=True)

    with pytest.raises(UpstreamFailed):
        await scene.forwarder.complete(exchange)

    assert [] == scene.fakes["b"].calls


async def test_the_deadline_bounds_retries() -> None:
    scene = Scene(a=[UpstreamFailed(ErrorClass.RATE_LIMIT, "no", status=429, retry_after_s=3)])
    scene.use(table([provider("a")], retry=replace(RETRY, deadline_s=2)))

    with pytest.raises(UpstreamFailed):
        await scene.forwarder.complete(scene.exchange())

    assert [] == scene.clock.slept


async def test_a_stream_fails_over_until_its_first_event() -> None:
    scene = Scene(
        a=[UpstreamFailed(ErrorClass.UPSTREAM_ERROR, "error event", status=200)],
        b=[stream(HEAD, DONE)],
    )

    served = await scene.forwarder.stream(scene.exchange())

    assert ("b", HEAD) == (served.target.provider, served.result.head)


async def test_a_stream_that_ends_well_is_a_success() -> None:
    scene = Scene(a=[stream(HEAD, DONE)])
    exchange = scene.exchange()
    served = await scene.forwarder.stream(exchange)
    batch = await served.result.next()
    await served.result.aclose()

    assert batch.done
    assert ("a:served",) == exchange.span.flight.path
    assert (1, 0, 0) == (
        scene.target("a").successes,
        scene.target("a").failures,
        scene.target("a").in_flight,
    )


async def test_a_stream_that_breaks_counts_against_its_target() -> None:
    broken = Batch(failure=UpstreamFailed(ErrorClass.STREAM_ABORT, "gone"))
    scene = Scene(a=[stream(HEAD, broken)], b=[b"{}"])
    exchange = scene.exchange()
    served = await scene.forwarder.stream(exchange)
    await served.result.next()
    await served.result.aclose()

    assert 1 == scene.target("a").failures
    assert [] == scene.fakes["b"].calls
    assert ("a:stream.truncated",) == exchange.span.flight.path


async def test_a_stream_that_its_caller_leaves_counts_for_nothing() -> None:
    inner = stream(HEAD)
    scene = Scene(a=[inner])
    exchange = scene.exchange()
    served = await scene.forwarder.stream(exchange)
    await served.result.aclose()

    view = scene.target("a")
    assert (0, 0, 0) == (view.successes, view.failures, view.in_flight)
    assert ("a:cancelled",) == exchange.span.flight.path
    assert inner.closed


async def test_a_caller_that_leaves_gives_the_place_back() -> None:
    scene = Scene(a=[asyncio.CancelledError()])

    with pytest.raises(asyncio.CancelledError):
        await scene.forwarder.complete(scene.exchange())

    view = scene.target("a")
    assert (0, 0) == (view.in_flight, view.failures)


async def test_a_bug_gives_the_place_back_too() -> None:
    scene = Scene(a=[KeyError("bug")])

    with pytest.raises(KeyError):
        await scene.forwarder.complete(scene.exchange())

    assert 0 == scene.target("a").in_flight


async def test_a_target_that_left_the_table_is_not_tried() -> None:
    scene = Scene(a=[b"{}"], b=[b"{}"])
    exchange = scene.exchange()
    exchange.table = replace(scene.table, providers={"b": scene.table.providers["b"]})

    served = await scene.forwarder.complete(exchange)

    assert ("b", "not_available") == (served.target.provider, served.fallback_reason)


async def test_each_attempt_is_an_event_with_its_tokens_and_cost() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100)
    answer = stream(HEAD, DONE)
    answer.facts.usage = usage
    scene = Scene(a=[UpstreamFailed(ErrorClass.OVERLOADED, "no", status=503)], b=[answer])
    priced = Model(name="m", price=Price(input=2, output=10))
    scene.use(table([provider("a"), provider("b", models=[priced])]))
    served = await scene.forwarder.stream(scene.exchange())
    await served.result.next()
    await served.result.aclose()

    first, second = scene.ended
    assert isinstance(first, AttemptEnded)
    assert isinstance(second, AttemptEnded)
    assert ("a", "next_target", "503", None) == (
        first.provider,
        first.decision,
        first.error_type,
        first.usage,
    )
    assert ("b", "served", "", usage) == (
        second.provider,
        second.decision,
        second.error_type,
        second.usage,
    )
    assert pytest.approx(0.003) == second.cost


async def test_a_skip_is_no_attempt() -> None:
    scene = Scene(a=[RequestRejected("no such thing", param="n")])

    with pytest.raises(RequestRejected):
        await scene.forwarder.complete(scene.exchange())

    assert [] == scene.ended
