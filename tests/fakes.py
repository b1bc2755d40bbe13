"""Doubles for what cannot run in a test: clocks, and providers that answer as told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from controlplane.table.schema import (
    BreakerMode,
    BreakerPolicy,
    CredentialRef,
    HealthCheck,
    Model,
    Provider,
    ProviderType,
    RetryPolicy,
    Route,
    StrategyName,
    Table,
    Target,
    Timeouts,
    index_models,
)
from dataplane.errors import UpstreamFailed
from dataplane.provider import (
    Answer,
    Batch,
    Call,
    Completed,
    Feature,
    Health,
    HealthVerdict,
    ModelInfo,
    Request,
    ResponseFacts,
)

ALL_FEATURES = frozenset(Feature)


class FakeClock:
    """Monotonic seconds that move only when told, or when something sleeps."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def provider(
    name: str,
    *,
    kind: ProviderType = ProviderType.VLLM,
    base_url: str = "",
    credential: CredentialRef | None = None,
    models: Sequence[Model] = (),
    **changes: object,
) -> Provider:
    """A provider with plain defaults; `changes` are fields of it."""
    fields: dict[str, object] = {
        "timeouts": Timeouts(connect_s=2, first_event_s=5, answer_s=5, idle_s=5, total_s=60),
        "health_check": HealthCheck(
            interval_s=30, timeout_s=5, unhealthy_threshold=3, healthy_threshold=1
        ),
        "breaker": BreakerPolicy(
            mode=BreakerMode.AUTO,
            consecutive_failures=3,
            failure_ratio=0.5,
            window_s=30,
            min_requests=20,
            open_s=15,
            max_open_s=300,
            half_open_requests=1,
            ramp_up=(),
        ),
        "max_in_flight": 256,
    }
    fields.update(changes)
    return Provider(
        name=name,
        type=kind,
        base_url=base_url or f"http://{name}.test/v1",
        credential=credential,
        models={model.name: model for model in models},
        **fields,  # type: ignore[arg-type]
    )


RETRY = RetryPolicy(
    attempts=4, attempts_per_target=2, backoff_s=0.2, max_backoff_s=5, deadline_s=120
)


def table(
    providers: Sequence[Provider],
    *,
    model: str = "m",
    retry: RetryPolicy = RETRY,
    strategy: StrategyName = StrategyName.PRIORITY_WITH_FALLBACK,
    name: str = "chat",
) -> Table:
    """A table with one route `chat` to all providers, by priority in the order given."""
    targets = tuple(
        Target(
            provider=item.name,
            model=model,
            priority=number,
            weight=1,
            key=item.target_key(model),
        )
        for number, item in enumerate(providers, start=1)
    )
    routes = {
        name: Route(name=name, models=(name,), strategy=strategy, targets=targets, retry=retry)
    }
    exact, prefixes, wildcard = index_models(routes)
    return Table(
        generation=1,
        version="test",
        providers={item.name: item for item in providers},
        routes=routes,
        exact=exact,
        prefixes=prefixes,
        wildcard=wildcard,
    )


@dataclass
class FakeStream:
    """A stream of the batches given."""

    batches: list[Batch]
    facts: ResponseFacts = field(default_factory=ResponseFacts)
    warnings: Sequence[str] = ()
    request_id: str = ""
    closed: bool = False

    def __post_init__(self) -> None:
        self.head = self.batches.pop(0)

    async def next(self) -> Batch:
        return self.batches.pop(0)

    async def aclose(self) -> None:
        self.closed = True


Scripted = bytes | FakeStream | BaseException


class FakeProvider:
    """Answers with what was scripted, one entry a call, and remembers the calls."""

    def __init__(
        self, script: Sequence[Scripted], *, features: frozenset[Feature] = ALL_FEATURES
    ) -> None:
        self._script = list(script)
        self._features = features
        self.calls: list[Call] = []
        self.health = Health(verdict=HealthVerdict.HEALTHY)
        self.probes = 0

    def capabilities(self, model: str) -> frozenset[Feature]:
        return self._features

    async def list_models(self) -> Sequence[ModelInfo]:
        return [ModelInfo(id="m")]

    async def is_healthy(self) -> Health:
        self.probes += 1
        return self.health

    async def chat(self, request: Request, call: Call) -> Completed:
        answer = self._next(call)
        assert isinstance(answer, bytes)
        return Completed(
            answer=Answer(body=answer, facts=ResponseFacts()), warnings=(), request_id=""
        )

    async def embeddings(self, request: Request, call: Call) -> Completed:
        return await self.chat(request, call)

    async def chat_stream(self, request: Request, call: Call) -> FakeStream:
        answer = self._next(call)
        assert isinstance(answer, FakeStream)
        return answer

    def _next(self, call: Call) -> bytes | FakeStream:
        answer = self._script.pop(0)
        if isinstance(answer, UpstreamFailed) or not isinstance(answer, BaseException):
            call.begin()
        self.calls.append(call)
        if isinstance(answer, BaseException):
            raise answer
        return answer
