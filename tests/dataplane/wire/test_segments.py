from __future__ import annotations

import pytest

from dataplane.wire.segments import is_safe_segment, path_segment


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4.1", "ft:gpt-4o:org::id", "é", "..."])
def test_a_plain_name_is_safe(name: str) -> None:
    assert is_safe_segment(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a?b", "a#b", "a%2fb", "a b", "a\nb", "a\x00b"]
)
def test_a_name_that_could_be_more_than_a_segment_is_not(name: str) -> None:
    assert not is_safe_segment(name)
    with pytest.raises(ValueError, match="cannot be a part"):
        path_segment(name)


def test_a_segment_is_percent_encoded() -> None:
    assert "ft%3Agpt-4.1" == path_segment("ft:gpt-4.1")
    assert "%C3%A9" == path_segment("é")
