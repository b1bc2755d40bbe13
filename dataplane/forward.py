"""One request, from its route to the answer: attempts, fail-over, retries, under one budget.

The plan says which target comes next, the live table whether it may be tried, the provider makes
the call, and the failure's class decides how to go on. Until the first semantic event nothing has
been said to the caller, so everything up to it can be tried elsewhere; after it nothing is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from controlplane.table import schema
from controlplane.table.live import LiveTable
from controlplane.table.outcome import Refusal, SkipReason
from controlplane.table.schema import Route, Table, Target
from dataplane.credentials import Credentials
from dataplane.errors import RequestRejected, UpstreamFailed
from dataplane.events import Events
from dataplane.features import describe, missing
from dataplane.plan import Plan, Step
from dataplane.provider import (
    Call,
    ChatStream,
    Completed,
    Feature,
    Operation,
    Provider,
    Request,
    ResponseFacts,
)
from dataplane.served import Attempt, ResultT, Served, ServedStream
from dataplane.telemetry import Decision, DelaySource, RequestSpan

# A member by a name of its own: looking it up in its class costs more than comparing it.
_EMBEDDINGS: Final = Operation.EMBEDDINGS


class Exchange:
    """One request on its way. arrived_s: monotonic time of its arrival."""

    __slots__ = ("arrived_s", "request", "route", "span", "table")

    def __init__(
        self,
        *,
        request: Request,
        table: Table,
        route: Route,
        span: RequestSpan,
        arrived_s: float,
    ) -> None:
        self.request = request
        self.table = table
        self.route = route
        self.span = span
        self.arrived_s = arrived_s


class Skipped:
    """A target that was not tried."""

    __slots__ = ("refusal", "target")

    def __init__(self, *, target: Target, refusal: Refusal) -> None:
        self.target = target
        self.refusal = refusal


class NothingAvailable(Exception):  # noqa: N818 - an outcome of the request
    """No target could be tried at all; `skipped` says why, in order."""

    def __init__(self, skipped: list[Skipped]) -> None:
        """Keep the reasons."""
        super().__init__("no target is available")
        self.skipped = skipped


class _State:
    """What a request has met so far."""

    __slots__ = ("failure", "fallback_reason", "rejection", "retry_after_s", "skipped")

    def __init__(self) -> None:
        self.skipped: list[Skipped] = []
        self.rejection: RequestRejected | None = None
        self.failure: UpstreamFailed | None = None
        self.fallback_reason = ""
        self.retry_after_s: float | None = None


class Forwarder:
    """Sends requests to targets.

    provider_of: makes the calls of a configured provider. clock: monotonic seconds. random: numbers
    in [0, 1). sleep: waits for seconds.
    """

    def __init__(
        self,
        *,
        live: LiveTable,
        provider_of: Callable[[schema.Provider], Provider],
        credentials: Credentials,
        events: Events,
        clock: Callable[[], float],
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Tie the parts together."""
        self._live = live
        self._provider_of = provider_of
        self._credentials = credentials
        self._events = events
        self._clock = clock
        self._random = random
        self._sleep = sleep

    async def complete(self, exchange: Exchange) -> Served[Completed]:
        """Get a whole answer.

        Raises RequestRejected, UpstreamFailed (of the last attempt) or NothingAvailable.
        """
        served = await self._run(exchange, _whole)
        served.attempt.first_event()
        served.attempt.served(served.result.answer.facts, served.result.request_id)
        return served

    async def stream(self, exchange: Exchange) -> Served[ServedStream]:
        """Open a stream, up to its first semantic event. Raises as `complete` does."""
        served = await self._run(exchange, _streamed)
        return Served(
            result=ServedStream(served.result, served.attempt),
            attempt=served.attempt,
            attempts=served.attempts,
            fallback_reason=served.fallback_reason,
        )

    async def _run(
        self, exchange: Exchange, call: Callable[[Provider, Request, Call], Awaitable[ResultT]]
    ) -> Served[ResultT]:
        """Try targets until one answers."""
        table, route = exchange.table, exchange.route
        deadline_s = exchange.arrived_s + route.retry.deadline_s
        order = self._live.order(route, table, exchange.arrived_s)
        plan = Plan(
            order,
            route.retry,
            deadline_s=deadline_s,
            window=lambda target: _window(table, target),
            random=self._random,
        )
        state = _State()
        if exchange.request.operation is _EMBEDDINGS and order:
            plan.only_like(order[0])
        if exchange.request.pinned and order:
            plan.only(order[0])
        while step := plan.next(self._clock()):
            if step.delay_s > 0:
                source = DelaySource.RETRY_AFTER if step.asked else DelaySource.BACKOFF
                exchange.span.retrying(step.target.provider, step.delay_s, source)
                await self._sleep(step.delay_s)
            attempt = self._admit(exchange, step, plan, state)
            if attempt is None:
                continue
            how = Call(
                model=step.target.model,
                timeouts=attempt.config.timeouts,
                deadline_s=deadline_s,
                begin=attempt.begin,
                strict=route.strict,
            )
            try:
                result = await call(attempt.provider, exchange.request, how)
            except UpstreamFailed as failure:
                self._failed(exchange, attempt, failure, plan, state)
            except RequestRejected as rejection:
                # Found while serializing: this target was skipped, not tried.
                attempt.cancelled()
                self._skip(
                    exchange,
                    state,
                    step.target,
                    Refusal(reason=SkipReason.CAPABILITY, detail=rejection.message),
                )
                state.rejection = state.rejection or rejection
            except BaseException:
                # The caller left, or we are buggy: neither says anything of the target.
                attempt.cancelled()
                raise
            else:
                return Served(
                    result=result,
                    attempt=attempt,
                    attempts=plan.attempts,
                    fallback_reason=state.fallback_reason,
                )
        raise _verdict(state)

    def _admit(self, exchange: Exchange, step: Step, plan: Plan, state: _State) -> Attempt | None:
        """Take a place at the target, or keep the reason why not."""
        target, table = step.target, exchange.table
        config = table.providers.get(target.provider)
        if config is None:
            refusal = Refusal(reason=SkipReason.NOT_AVAILABLE)
            self._skip(exchange, state, target, refusal)
            return None
        provider = self._provider_of(config)
        lacking = missing(exchange.request.features, provider, target.model)
        if lacking is not None:
            state.rejection = state.rejection or _unsupported(lacking, target)
            refusal = Refusal(reason=SkipReason.CAPABILITY, detail=f"lacks {lacking}")
            self._skip(exchange, state, target, refusal)
            return None
        ref = config.credential
        if ref is not None and self._credentials.value(ref) is None:
            refusal = Refusal(reason=SkipReason.CREDENTIAL_MISSING, detail=f"{ref} is missing")
            self._skip(exchange, state, target, refusal)
            return None
        now = self._clock()
        admitted = self._live.admit(target, table, now, last_resort=step.last_resort)
        if isinstance(admitted, Refusal):
            if admitted.reason is SkipReason.RAMPING_UP and not step.last_resort:
                plan.defer(target)
            self._skip(exchange, state, target, admitted)
            return None
        return Attempt(
            permit=admitted,
            target=target,
            config=config,
            provider=provider,
            request=exchange.request,
            span=exchange.span,
            plan=plan,
            live=self._live,
            events=self._events,
            clock=self._clock,
        )

    def _failed(
        self,
        exchange: Exchange,
        attempt: Attempt,
        failure: UpstreamFailed,
        plan: Plan,
        state: _State,
    ) -> None:
        """Tell everyone who must know of a failed attempt."""
        if not attempt.begun:
            # The credential vanished between the check and the call: nothing was sent.
            attempt.cancelled()
            self._skip(
                exchange,
                state,
                attempt.target,
                Refusal(reason=SkipReason.CREDENTIAL_MISSING, detail=failure.message),
            )
            state.failure = state.failure or failure
            return
        now = self._clock()
        plan.failed(attempt.target, failure, now)
        state.failure = failure
        state.fallback_reason = state.fallback_reason or failure.error_type
        if failure.retry_after_s is not None:
            known = state.retry_after_s
            state.retry_after_s = (
                failure.retry_after_s if known is None else min(known, failure.retry_after_s)
            )
        decision = _decision(plan, now, attempt.target, failure)
        attempt.failed(decision, failure, ResponseFacts())

    def _skip(self, exchange: Exchange, state: _State, target: Target, refusal: Refusal) -> None:
        exchange.span.skipped(target.provider, refusal.reason, refusal.reopen_in_s)
        state.skipped.append(Skipped(target=target, refusal=refusal))
        state.fallback_reason = state.fallback_reason or refusal.reason.value


def _whole(provider: Provider, request: Request, how: Call) -> Awaitable[Completed]:
    if request.operation is _EMBEDDINGS:
        return provider.embeddings(request, how)
    return provider.chat(request, how)


def _streamed(provider: Provider, request: Request, how: Call) -> Awaitable[ChatStream]:
    return provider.chat_stream(request, how)


def _verdict(state: _State) -> Exception:
    """Choose what the caller gets when nothing served."""
    if state.failure is not None:
        if state.failure.retry_after_s is None:
            state.failure.retry_after_s = state.retry_after_s
        return state.failure
    unsupported = all(skip.refusal.reason is SkipReason.CAPABILITY for skip in state.skipped)
    if state.rejection is not None and unsupported:
        return state.rejection
    return NothingAvailable(state.skipped)


def _decision(plan: Plan, now_s: float, target: Target, failure: UpstreamFailed) -> Decision:
    step = plan.peek(now_s)
    if step is None:
        return Decision.EXHAUSTED if failure.policy.try_next else Decision.FAIL
    return Decision.RETRY_SAME if step.target.key == target.key else Decision.NEXT_TARGET


def _unsupported(feature: Feature, target: Target) -> RequestRejected:
    param, words = describe(feature)
    return RequestRejected(
        f"{words} is not supported by {target.provider} for model {target.model}",
        param=param,
        code="unsupported_parameter",
    )


def _window(table: Table, target: Target) -> int | None:
    provider = table.providers.get(target.provider)
    model = provider.models.get(target.model) if provider is not None else None
    return model.context_window if model is not None else None
