from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.wire.thinking_tags import ThinkSplitter, ThinkTags, split_thinking

KEPT, SPLIT, BEGUN = ThinkTags.KEPT, ThinkTags.SPLIT, ThinkTags.BEGUN


@pytest.mark.parametrize(
    ("tags", "text", "expected"),
    [
        (SPLIT, "<think>\nhm\n</think>\n\nYes", ("hm", "Yes")),
        (SPLIT, " \n<think>hm</think>Yes", ("hm", "Yes")),
        (SPLIT, "<think>\n\n</think>\n\nYes", ("", "Yes")),
        (SPLIT, "<think>a < b </thin</think> c", ("a < b </thin", "c")),
        (SPLIT, "<think>cut </thi", ("cut </thi", "")),
        (SPLIT, "<think>only</think> \n", ("only", "")),
        (SPLIT, "<think>a</think>b <think>c</think>", ("a", "b <think>c</think>")),
        (SPLIT, "Say <think>x</think>", ("", "Say <think>x</think>")),
        (SPLIT, "lost </think> tag", ("", "lost </think> tag")),
        (SPLIT, "<thin", ("", "<thin")),
        (SPLIT, " <thinking>", ("", " <thinking>")),
        (SPLIT, "", ("", "")),
        (BEGUN, "hm\n</think>\n\nYes", ("hm", "Yes")),
        (BEGUN, "<think>\nhm</think>Yes", ("hm", "Yes")),
        (BEGUN, "never closed ", ("never closed", "")),
        (BEGUN, "<th", ("<th", "")),
        (KEPT, "<think>hm</think>Yes", ("", "<think>hm</think>Yes")),
    ],
)
def test_a_text_is_split_at_its_tags(tags: ThinkTags, text: str, expected: tuple[str, str]) -> None:
    assert expected == split_thinking(text, tags)


@given(
    text=st.lists(
        st.sampled_from(["<think>", "</think>", "<", "</", "thi", "nk>", " ", "\n", "a", "é🙂"]),
        max_size=8,
    ).map("".join),
    tags=st.sampled_from(ThinkTags),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_how_a_text_is_cut_makes_no_difference(text: str, tags: ThinkTags, cuts: list[int]) -> None:
    splitter = ThinkSplitter(tags)
    marks = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    got = [splitter.feed(text[a:b]) for a, b in itertools.pairwise(marks)]

    got.append(splitter.finish())

    thought, said = ("".join(each) for each in zip(*got, strict=True))
    assert split_thinking(text, tags) == (thought, said)


def test_nothing_is_held_back_that_cannot_become_a_tag() -> None:
    splitter = ThinkSplitter(SPLIT)

    assert [("", ""), ("a", ""), ("", ""), (" </tb", ""), ("", "c"), ("", "d")] == [
        splitter.feed(piece) for piece in ("<think>", "a", " </t", "b", "</think>c", "d")
    ]
    assert splitter.over


def test_space_behind_the_reasoning_is_left_out_however_it_comes() -> None:
    splitter = ThinkSplitter(SPLIT)

    assert [("a", ""), ("", ""), ("", "b ")] == [
        splitter.feed(piece) for piece in ("<think>a</think>", " \n", " b ")
    ]
