"""Limits that are written for all workers, and what each gets of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from switchgear.shares import share, shared_out, too_small
from tests.controlplane.table.tables import provider, route, table, target


@given(st.integers(0, 10_000), st.integers(1, 64))
def test_the_shares_add_up_and_differ_by_one_at_most(total: int, workers: int) -> None:
    shares = [share(total, workers, index) for index in range(workers)]

    assert total == sum(shares)
    assert max(shares) - min(shares) <= 1


@given(st.integers(1, 1000), st.integers(1, 64))
def test_a_providers_limit_is_rounded_up_and_nothing_else_changes(limit: int, workers: int) -> None:
    owner = provider("a", max_in_flight=limit)
    before = table([owner], [route([target(owner)])])

    after = shared_out(before, workers)

    per_worker = after.providers["a"].max_in_flight
    assert limit <= workers * per_worker < limit + workers
    assert per_worker >= 1
    assert (before.version, before.routes) == (after.version, after.routes)
    assert (["a"] if limit < workers else []) == too_small(before, workers)


def test_one_worker_has_it_all() -> None:
    owner = provider("a", max_in_flight=7)
    before = table([owner], [route([target(owner)])])

    assert before == shared_out(before, 1)
