"""Each worker is an instance of its own to telemetry."""

from __future__ import annotations

import pytest

from dataplane.fleet.identity import own_environ

NAME = "OTEL_RESOURCE_ATTRIBUTES"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("service.instance.id=pod", "service.instance.id=pod.3"),
        ("a=b,service.instance.id=x%20y ,c=d", "a=b,service.instance.id=x%20y.3,c=d"),
        (" service.instance.id = pod", " service.instance.id = pod.3"),
        ("service.instance.identity=pod", "service.instance.identity=pod"),
        ("", ""),
    ],
)
def test_the_number_goes_behind_the_instance_id(before: str, after: str) -> None:
    assert {NAME: after, "KEY": "k"} == own_environ({NAME: before, "KEY": "k"}, 3)


def test_without_attributes_there_is_nothing_to_do() -> None:
    assert {} == own_environ({}, 0)
