from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dataplane.random_hex import DRAWN_BYTES, RandomHex


@given(st.lists(st.integers(1, 2 * DRAWN_BYTES), max_size=200))
def test_digits_are_given_once_and_in_the_order_they_were_drawn(counts: list[int]) -> None:
    """What is left of a draw is thrown away where it is not enough."""
    drawn: list[str] = []

    def random_bytes(count: int) -> bytes:
        draw = len(drawn).to_bytes(4, "big") * (count // 4)
        drawn.append(draw.hex())
        return draw

    digits = RandomHex(random_bytes)
    given = [digits.draw(count) for count in counts]

    assert counts == [len(text) for text in given]
    at = 0
    whole = "".join(drawn)
    for text in given:
        found = whole.index(text, at)
        assert 2 * DRAWN_BYTES >= found - at
        at = found + len(text)
