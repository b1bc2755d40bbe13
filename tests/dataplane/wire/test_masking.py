"""What may be shown of foreign text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.wire.masking import MASK, MAX_SHOWN_BYTES, cut, holds_secret, mask, one_line, shown

KEY = "sk-proj-Ab12Cd34Ef56"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Incorrect API key provided: sk-ab***yz.", f"Incorrect API key provided: {MASK}"),
        (f"key {KEY} is bad", f"key {MASK} is bad"),
        (f"({KEY})", f"({MASK})"),
        (f'{{"k":"{KEY}"}}', f'{{"k":"{MASK}"}}'),
        ("Authorization: Bearer abc.def", MASK),
        ("got Bearer abc.def, sorry", f"got {MASK}, sorry"),
        ("Basic dXNlcjpwYXNzd29yZA==", MASK),
        ("basic types only", "basic types only"),
        ("api_key=short", MASK),
        ("project 0f8fad5b-d9cb-469f-a165-70867728950e", f"project {MASK}"),
        ("hash " + "ab12" * 8, f"hash {MASK}"),
        ("base64 " + "aB3/" * 10 + "==", f"base64 {MASK}"),
        ("url-safe " + "aB3_-" * 8, f"url-safe {MASK}"),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", MASK),
        ("gsk_abcdefgh12", MASK),
        ("unsupported_country_region_territory", "unsupported_country_region_territory"),
        ("letters " + "abcdefgh" * 5, f"letters {MASK}"),
        ("a risk-averse task-list", "a risk-averse task-list"),
        ("messages[0].content is too long", "messages[0].content is too long"),
        ("ab12" * 7 + "abc", "ab12" * 7 + "abc"),
    ],
)
def test_secrets_are_masked_and_the_rest_stays(text: str, expected: str) -> None:
    assert expected == mask(text)


def test_text_is_brought_onto_one_line() -> None:
    assert "a b c d" == one_line("a\r\n\tb\x00\x1b c\u2028 \u202ed\u200b")


def test_invisible_characters_do_not_hide_a_key() -> None:
    assert MASK == shown("s\u200bk-\u200babcdef123456")


def test_text_is_cut_between_characters() -> None:
    assert "é" * 512 == cut("é" * 600, 1024)
    assert "é" * 511 == cut("é" * 600, 1023)
    assert "?" == cut("\ud800", 10)


def test_a_key_on_the_far_edge_is_not_shown_by_half() -> None:
    filler = "ab12" * 8 + " "
    text = filler * (8180 // len(filler)) + "x" * (8180 % len(filler) - 1) + " "
    text += "sk-" + "Z" * 100

    assert "Z" not in shown(text)


def test_a_word_without_end_is_not_shown() -> None:
    assert "" == shown("a" * 10_000)


def test_secrets_are_told_by_their_form() -> None:
    assert holds_secret(KEY)
    assert not holds_secret("0f8fad5b-d9cb-469f-a165-70867728950e")


@settings(max_examples=200)
@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_a_planted_key_never_survives(before: str, after: str) -> None:
    text = f"{before} {KEY} {after}"

    assert KEY not in shown(text)
    assert MASK in shown(text)


@settings(max_examples=200)
@given(text=st.text(max_size=3000))
def test_shown_text_is_printable_short_and_stable(text: str) -> None:
    result = shown(text)

    assert len(result.encode()) <= MAX_SHOWN_BYTES
    assert result.isprintable()
    assert mask(result) == result
