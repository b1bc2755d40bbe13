"""Killed servers and rewritten manifests under load: nothing is lost. The long form is a bench."""

from __future__ import annotations

from bench.storm import storm


async def test_a_short_storm_loses_nothing() -> None:
    report = await storm(seconds=9, rate=40)

    assert not report.lost, str(report)
    assert report.sent == sum(report.answered.values()) + report.cut_by_kill
    assert report.kills >= 1
    assert report.rewrites >= 5
    assert report.failed_over >= 1
