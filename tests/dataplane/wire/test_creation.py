from __future__ import annotations

import pytest

from dataplane.wire.creation import created


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 1767225600),
        ({"date": "Thu, 01 Jan 2026 00:00:00 -0000"}, 1767225600),
        ({"date": "Thu, 01 Jan 2026 01:00:00 +0100"}, 1767225600),
        ({"date": "yesterday"}, 0),
        ({"date": ""}, 0),
        ({}, 0),
    ],
)
def test_the_date_of_the_head_is_the_answers_creation(
    headers: dict[str, str], seconds: int
) -> None:
    assert seconds == created(headers)
