from __future__ import annotations

from dataclasses import replace

from controlplane.table.health import ProbeHealth
from tests.controlplane.table.tables import HEALTH_CHECK


def probe(health: ProbeHealth, *results: bool, healthy_threshold: int = 1) -> None:
    check = replace(HEALTH_CHECK, healthy_threshold=healthy_threshold)
    for reachable in results:
        health.probed(reachable=reachable, detail="up" if reachable else "refused", check=check)


def test_nothing_is_known_before_a_threshold_is_reached() -> None:
    health = ProbeHealth()

    probe(health, False, False)

    assert health.healthy is None
    assert "refused" == health.detail


def test_failed_probes_in_a_row_make_unhealthy() -> None:
    health = ProbeHealth()

    probe(health, False, False, False)

    assert health.healthy is False


def test_a_good_probe_ends_the_row_of_failed_ones() -> None:
    health = ProbeHealth()

    probe(health, False, False, True, False, False)

    assert health.healthy is True


def test_as_many_good_probes_as_demanded_bring_back() -> None:
    health = ProbeHealth()
    probe(health, False, False, False)

    probe(health, True, healthy_threshold=2)
    after_one = health.healthy
    probe(health, True, healthy_threshold=2)

    assert (False, True) == (after_one, health.healthy)


def test_a_served_call_ends_the_row_but_does_not_bring_back() -> None:
    health = ProbeHealth()
    probe(health, False, False)
    health.answered()
    probe(health, False, False)
    before = health.healthy

    probe(health, False)
    health.answered()

    assert (None, False) == (before, health.healthy)
