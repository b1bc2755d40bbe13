"""When tokens are asked for, how often, and what happens when none comes."""

from __future__ import annotations

import asyncio

import pytest

from dataplane.bearer import EARLY_S, RETRY_S, BearerSigner, Token
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from tests.fakes import FakeClock

BARE = HttpRequest(method="POST", url="http://a.test/", headers={"accept": "*/*"})
REFUSED = UpstreamFailed(ErrorClass.CREDENTIAL, "no token: refused")


class FakeSource:
    """Gives what was scripted, one entry a call; holds the answer back while `gate` is closed."""

    def __init__(self, *script: Token | UpstreamFailed) -> None:
        self._script = list(script)
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self) -> Token:
        self.asked += 1
        await self.gate.wait()
        answer = self._script.pop(0)
        if isinstance(answer, UpstreamFailed):
            raise answer
        return answer


def token(value: str, lifetime_s: float = 3600.0) -> Token:
    return Token(value=value, lifetime_s=lifetime_s)


def signer(source: FakeSource, clock: FakeClock) -> BearerSigner:
    return BearerSigner(source, "azure-eu", clock)


def bearer(subject: BearerSigner) -> str:
    return subject.sign(BARE).headers["authorization"]


async def settled() -> None:
    """Let the tasks that were started run as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_token_goes_onto_the_request_beside_its_other_headers() -> None:
    subject = signer(FakeSource(token("t1")), FakeClock())

    await subject.ready()

    assert {"accept": "*/*", "authorization": "Bearer t1"} == subject.sign(BARE).headers


async def test_a_token_is_used_until_it_is_time_for_another() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"))
    subject = signer(source, clock)
    await subject.ready()

    clock.advance(3600 - EARLY_S - 0.1)
    await subject.ready()
    await settled()

    assert (1, "Bearer t1") == (source.asked, bearer(subject))


async def test_it_is_ready_between_a_token_and_the_time_for_another() -> None:
    clock = FakeClock()
    subject = signer(FakeSource(token("t1")), clock)
    told = [subject.is_ready()]
    await subject.ready()
    told.append(subject.is_ready())
    clock.advance(3600 - EARLY_S)
    told.append(subject.is_ready())

    assert [False, True, False] == told


async def test_fifty_callers_ask_once() -> None:
    source = FakeSource(token("t1"))
    source.gate.clear()
    subject = signer(source, FakeClock())

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(subject.ready())
        await settled()
        source.gate.set()

    assert (1, "Bearer t1") == (source.asked, bearer(subject))


async def test_fifty_callers_share_one_failure() -> None:
    source = FakeSource(REFUSED)
    source.gate.clear()
    subject = signer(source, FakeClock())

    waiting = [asyncio.ensure_future(subject.ready()) for _ in range(50)]
    await settled()
    source.gate.set()
    failures = await asyncio.gather(*waiting, return_exceptions=True)

    assert 1 == source.asked
    assert {"no token: refused"} == {str(failure) for failure in failures}
    assert 50 == len({id(failure) for failure in failures})


async def test_a_caller_who_leaves_takes_the_token_from_nobody() -> None:
    source = FakeSource(token("t1"))
    source.gate.clear()
    subject = signer(source, FakeClock())
    first = asyncio.ensure_future(subject.ready())
    second = asyncio.ensure_future(subject.ready())
    await settled()

    first.cancel()
    await settled()
    source.gate.set()
    await second

    assert (True, 1, "Bearer t1") == (first.cancelled(), source.asked, bearer(subject))


async def test_near_its_end_a_token_is_used_while_another_is_fetched() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"), token("t2"))
    subject = signer(source, clock)
    await subject.ready()
    clock.advance(3600 - EARLY_S)
    source.gate.clear()

    await subject.ready()
    await subject.ready()
    await settled()

    assert (2, "Bearer t1") == (source.asked, bearer(subject))

    source.gate.set()
    await settled()

    assert "Bearer t2" == bearer(subject)


async def test_a_short_lived_token_is_replaced_at_half_its_life() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1", 60), token("t2", 60))
    subject = signer(source, clock)
    await subject.ready()

    clock.advance(29.9)
    await subject.ready()
    await settled()
    assert 1 == source.asked

    clock.advance(0.1)
    await subject.ready()
    await settled()
    assert 2 == source.asked


async def test_a_failed_refresh_keeps_the_token_to_its_last_second() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"), REFUSED, REFUSED)
    subject = signer(source, clock)
    await subject.ready()
    clock.advance(3600 - EARLY_S)
    await subject.ready()
    await settled()

    clock.advance(EARLY_S - 0.1)
    await subject.ready()
    await settled()
    assert (3, "Bearer t1") == (source.asked, bearer(subject))

    clock.advance(0.1)
    with pytest.raises(UpstreamFailed, match="no token: refused"):
        await subject.ready()
    assert 3 == source.asked


async def test_a_refresh_that_failed_is_not_tried_again_at_once() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"), REFUSED, token("t2"))
    subject = signer(source, clock)
    await subject.ready()
    clock.advance(3600 - EARLY_S)
    await subject.ready()
    await settled()

    await subject.ready()
    await settled()
    assert 2 == source.asked

    clock.advance(RETRY_S)
    await subject.ready()
    await settled()
    assert (3, "Bearer t2") == (source.asked, bearer(subject))


async def test_a_failure_is_remembered_for_a_while() -> None:
    clock = FakeClock()
    source = FakeSource(REFUSED, token("t1"))
    subject = signer(source, clock)

    for _ in range(3):
        with pytest.raises(UpstreamFailed) as caught:
            await subject.ready()
        assert ErrorClass.CREDENTIAL is caught.value.error
    assert 1 == source.asked

    clock.advance(RETRY_S)
    await subject.ready()
    assert "Bearer t1" == bearer(subject)


async def test_an_expired_token_is_waited_for() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"), token("t2"))
    subject = signer(source, clock)
    await subject.ready()

    clock.advance(3600)
    await subject.ready()

    assert "Bearer t2" == bearer(subject)


async def test_a_token_that_comes_too_late_is_none() -> None:
    clock = FakeClock()
    source = FakeSource(REFUSED, token("t0", 10), token("t1", 10))
    subject = signer(source, clock)
    with pytest.raises(UpstreamFailed, match="refused"):
        await subject.ready()
    clock.advance(RETRY_S)
    await subject.ready()
    clock.advance(10)
    source.gate.clear()
    waiting = asyncio.ensure_future(subject.ready())
    await settled()

    clock.advance(10)
    source.gate.set()

    with pytest.raises(UpstreamFailed, match="expired already"):
        await waiting


async def test_a_refused_token_is_replaced() -> None:
    source = FakeSource(token("t1"), token("t2"))
    subject = signer(source, FakeClock())
    await subject.ready()

    assert await subject.renew(subject.sign(BARE))
    assert "Bearer t2" == bearer(subject)


async def test_many_who_were_refused_ask_once() -> None:
    source = FakeSource(token("t1"), token("t2"))
    subject = signer(source, FakeClock())
    await subject.ready()
    refused = subject.sign(BARE)
    source.gate.clear()

    waiting = [asyncio.ensure_future(subject.renew(refused)) for _ in range(50)]
    await settled()
    source.gate.set()

    assert {True} == set(await asyncio.gather(*waiting))
    assert await subject.renew(refused), "one who comes late finds the new token"
    assert 2 == source.asked


async def test_the_same_token_again_is_no_other_but_may_be_used_on() -> None:
    source = FakeSource(token("t1"), token("t1"))
    subject = signer(source, FakeClock())
    await subject.ready()

    assert not await subject.renew(subject.sign(BARE))

    await subject.ready()
    assert (2, "Bearer t1") == (source.asked, bearer(subject))


async def test_renewals_are_kept_apart() -> None:
    clock = FakeClock()
    source = FakeSource(token("t1"), token("t2"), token("t3"))
    subject = signer(source, clock)
    await subject.ready()
    await subject.renew(subject.sign(BARE))

    assert not await subject.renew(subject.sign(BARE))
    assert 2 == source.asked

    clock.advance(RETRY_S)
    assert await subject.renew(subject.sign(BARE))
    assert "Bearer t3" == bearer(subject)


async def test_a_refused_token_is_not_used_again_if_no_other_comes() -> None:
    source = FakeSource(token("t1"), REFUSED)
    subject = signer(source, FakeClock())
    await subject.ready()

    assert not await subject.renew(subject.sign(BARE))

    with pytest.raises(UpstreamFailed, match="no token: refused"):
        await subject.ready()


async def test_a_failure_is_logged_with_the_providers_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subject = signer(FakeSource(REFUSED), FakeClock())

    with pytest.raises(UpstreamFailed):
        await subject.ready()

    assert ["provider azure-eu: no token: refused"] == caplog.messages


def test_a_token_does_not_show_its_value() -> None:
    assert "canary" not in repr(token("canary"))
