"""Watching a breaker through the admin API."""

from __future__ import annotations

import copy
from typing import Any

from switchgear.demo.watch import BreakerWatch
from tests.switchgear.faked_admin import STATUS, canned


def test_each_change_is_kept_with_the_last_error() -> None:
    closed: Any = copy.deepcopy(STATUS)
    closed["providers"][0]["targets"][0]["state"] = "closed"
    with (
        canned({"/status": STATUS}) as admin,
        BreakerWatch(admin.url, "local-a") as watch,
    ):
        opened = watch.wait_for("open", since=0, timeout_s=5.0)
        admin.answers["/status"] = closed
        back = watch.wait_for("closed", since=1, timeout_s=5.0)

        assert opened is not None
        assert back is not None
        assert "connection" == opened.error
        assert opened.at_s < back.at_s
        assert ["open", "closed"] == [sight.state for sight in watch.sights()]
        assert ["closed"] == [sight.state for sight in watch.sights(since=1)]


def test_a_change_that_does_not_come_is_none() -> None:
    with canned({}) as admin, BreakerWatch(admin.url, "local-a") as watch:
        assert None is watch.wait_for("open", since=0, timeout_s=0.05)
