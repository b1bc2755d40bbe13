"""The budget of one request: which target comes next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.schema import RetryPolicy, Target
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.plan import Plan

POLICY = RetryPolicy(
    attempts=4, attempts_per_target=2, backoff_s=0.2, max_backoff_s=5.0, deadline_s=120.0
)


def target(name: str, model: str = "m") -> Target:
    return Target(provider=name, model=model, priority=1, weight=1, key=f"{name}/{model}")


A, B, C = target("a"), target("b"), target("c")


def plan(
    targets: Sequence[Target] = (A, B),
    policy: RetryPolicy = POLICY,
    windows: dict[str, int] | None = None,
    random: float = 0.5,
) -> Plan:
    return Plan(
        targets,
        policy,
        deadline_s=100.0,
        window=lambda item: (windows or {}).get(item.provider),
        random=lambda: random,
    )


def fail(
    subject: Plan, error: ErrorClass, now_s: float = 0.0, retry_after_s: float | None = None
) -> None:
    step = subject.next(now_s)
    assert step is not None
    subject.began(step.target)
    subject.failed(step.target, UpstreamFailed(error, "no", retry_after_s=retry_after_s), now_s)


def order(subject: Plan, error: ErrorClass) -> list[str]:
    """Fail every step with the same error, and list the targets that were tried."""
    tried = []
    now_s = 0.0
    while step := subject.next(now_s):
        now_s += step.delay_s
        tried.append(step.target.provider)
        subject.began(step.target)
        subject.failed(step.target, UpstreamFailed(error, "no"), now_s)
    return tried


def test_untried_targets_come_before_retries() -> None:
    assert ["a", "b", "a", "b"] == order(plan(), ErrorClass.UPSTREAM_ERROR)


def test_the_attempt_budget_ends_the_request() -> None:
    assert ["a", "b", "c", "a"] == order(plan((A, B, C)), ErrorClass.UPSTREAM_ERROR)


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (ErrorClass.BAD_REQUEST, ["a"]),
        (ErrorClass.CONTENT_POLICY, ["a"]),
        (ErrorClass.TOO_LARGE, ["a"]),
        (ErrorClass.UNSUPPORTED, ["a", "b"]),
        (ErrorClass.AUTH, ["a", "b"]),
        (ErrorClass.PERMISSION, ["a", "b"]),
        (ErrorClass.MODEL_NOT_FOUND, ["a", "b"]),
        (ErrorClass.CONFIG, ["a", "b"]),
        (ErrorClass.QUOTA, ["a", "b"]),
        (ErrorClass.TIMEOUT_FIRST_BYTE, ["a", "b"]),
        (ErrorClass.UNREACHABLE, ["a", "b"]),
        (ErrorClass.RATE_LIMIT, ["a", "b", "a", "b"]),
        (ErrorClass.OVERLOADED, ["a", "b", "a", "b"]),
        (ErrorClass.NOT_READY, ["a", "b", "a", "b"]),
        (ErrorClass.CONNECTION, ["a", "b", "a", "b"]),
        (ErrorClass.TIMEOUT_CONNECT, ["a", "b", "a", "b"]),
        (ErrorClass.BAD_RESPONSE, ["a", "b", "a", "b"]),
        (ErrorClass.CONFLICT, ["a", "b", "a", "b"]),
        (ErrorClass.CREDENTIAL, ["a", "b"]),
    ],
)
def test_the_class_decides_what_is_tried(error: ErrorClass, tried: list[str]) -> None:
    assert tried == order(plan(), error)


def test_a_retry_waits_for_its_back_off() -> None:
    subject = plan((A,))
    fail(subject, ErrorClass.UPSTREAM_ERROR)

    step = subject.next(0.0)

    assert step is not None
    assert (0.1, False) == (step.delay_s, step.asked)


def test_the_upstreams_wish_to_wait_is_honoured() -> None:
    subject = plan((A,))
    fail(subject, ErrorClass.RATE_LIMIT, retry_after_s=1.5)

    step = subject.next(0.5)

    assert step is not None
    assert (1.0, True) == (step.delay_s, step.asked)


def test_a_wish_beyond_the_longest_back_off_ends_the_request() -> None:
    subject = plan((A,))
    fail(subject, ErrorClass.RATE_LIMIT, retry_after_s=6.0)

    assert subject.next(0.0) is None


def test_nothing_starts_after_the_deadline() -> None:
    assert plan().next(100.0) is None


def test_no_wait_goes_beyond_the_deadline() -> None:
    subject = plan((A,))
    fail(subject, ErrorClass.RATE_LIMIT, now_s=97.0, retry_after_s=4.0)

    assert subject.next(97.0) is None


def test_the_upstream_may_forbid_a_retry() -> None:
    subject = plan((A,))
    step = subject.next(0.0)
    assert step is not None
    subject.began(step.target)
    subject.failed(
        A, UpstreamFailed(ErrorClass.UPSTREAM_ERROR, "no", should_retry=False), now_s=0.0
    )

    assert subject.next(0.0) is None


@pytest.mark.parametrize(
    ("windows", "tried"),
    [
        ({"a": 8, "b": 8, "c": 32}, ["a", "c"]),
        ({"a": 8, "b": 4}, ["a"]),
        ({"b": 32}, ["a"]),
        ({}, ["a"]),
    ],
)
def test_a_prompt_that_is_too_long_goes_to_larger_windows_only(
    windows: dict[str, int], tried: list[str]
) -> None:
    assert tried == order(plan((A, B, C), windows=windows), ErrorClass.CONTEXT_LENGTH)


def test_a_target_that_ramps_up_comes_after_the_others_and_before_retries() -> None:
    subject = plan((A, B))
    first = subject.next(0.0)
    assert first is not None
    subject.defer(first.target)
    fail(subject, ErrorClass.UPSTREAM_ERROR)

    step = subject.next(0.0)

    assert step is not None
    assert ("a", True) == (step.target.provider, step.last_resort)


def test_embeddings_stay_with_one_model() -> None:
    other = target("b", "another")
    subject = plan((A, other, C))
    subject.only_like(A)

    assert ["a", "c"] == order(subject, ErrorClass.AUTH)


def test_a_pinned_request_stays_with_one_target() -> None:
    subject = plan((A, B))
    subject.only(A)

    assert ["a", "a"] == order(subject, ErrorClass.UPSTREAM_ERROR)


@given(
    count=st.integers(1, 6),
    attempts=st.integers(1, 8),
    per_target=st.integers(1, 4),
    errors=st.lists(st.sampled_from(sorted(ErrorClass)), min_size=40, max_size=40),
    random=st.floats(0, 0.999),
)
def test_no_budget_is_ever_exceeded(
    count: int, attempts: int, per_target: int, errors: list[ErrorClass], random: float
) -> None:
    policy = RetryPolicy(
        attempts=attempts,
        attempts_per_target=per_target,
        backoff_s=0.5,
        max_backoff_s=3.0,
        deadline_s=100.0,
    )
    subject = plan([target(f"t{i}") for i in range(count)], policy, random=random)
    tried: list[str] = []
    now_s = 0.0
    while step := subject.next(now_s):
        assert 0 <= step.delay_s <= 3.0
        now_s += step.delay_s
        assert now_s < 100.0
        tried.append(step.target.key)
        subject.began(step.target)
        subject.failed(step.target, UpstreamFailed(errors[len(tried)], "no"), now_s)

    assert len(tried) <= attempts
    assert all(tried.count(key) <= per_target for key in tried)
    assert len(set(tried[:count])) == len(tried[:count])
