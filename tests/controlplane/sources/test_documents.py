from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.document import Document, dotted, size
from controlplane.sources import documents
from controlplane.sources.documents import UnreadableError, read_documents
from dataplane.codec import encode


def contents(text: str, origin: str = "a.yaml") -> list[Any]:
    return [document.content for document in read_documents(text.encode(), origin)]


def fault(data: bytes, origin: str = "a.yaml") -> str:
    with pytest.raises(UnreadableError) as refused:
        read_documents(data, origin)
    return str(refused.value.problem)


def test_each_document_has_its_number_and_its_lines() -> None:
    text = "# a comment\na: 1\nb:\n  c: [x, y]\n---\n---\n# nothing\n---\nd:\n- e: 2\n"

    first, second = read_documents(text.encode(), "a.yaml")

    assert (1, 2) == (first.index, second.index)
    assert (2, 2) == (first.line_of(()), first.line_of(("a",)))
    assert 4 == first.line_of(("b", "c", 1))
    assert (9, 10) == (second.line_of(("d",)), second.line_of(("d", 0, "e")))


def test_the_line_of_a_missing_field_is_that_of_the_field_around_it() -> None:
    (document,) = read_documents(b"a: 1\nb:\n  c: {}\n", "a.yaml")

    assert 3 == document.line_of(("b", "c", "x", 3))
    assert 1 == document.line_of(("nowhere",))


def test_a_document_without_lines_has_line_0() -> None:
    assert 0 == Document(origin="api", index=1, content={"a": 1}).line_of(("a",))


def test_plain_words_mean_what_kubernetes_takes_them_for() -> None:
    text = """
    [~, null, yes, Off, True, "yes", 1, -7, 010, 0x1F, 0o17, 0b11, 1.5, .5, 1e3, .inf]
    """
    others = "[2024-10-21, 12:30, 1.2.3, 1_000, !!str 3, 'x', +1, 0]"

    assert [
        [None, None, True, False, True, "yes", 1, -7, 8, 31, 15, 3, 1.5, 0.5, 1000.0, float("inf")]
    ] == contents(text)
    assert [["2024-10-21", "12:30", "1.2.3", "1_000", "3", "x", 1, 0]] == contents(others)


def test_a_list_whose_kind_is_no_text_is_one_document() -> None:
    assert [{"kind": ["List"], "items": [1, 2]}] == contents("kind: [List]\nitems: [1, 2]\n")


def test_the_names_of_fields_are_text_as_written() -> None:
    assert [{"1": "a", "yes": "b", "null": "c"}] == contents("1: a\nyes: b\nnull: c\n")


def test_a_list_of_objects_is_taken_apart_with_its_lines() -> None:
    text = "kind: List\nmetadata: {x: [1, 2]}\nitems:\n- a: 1\n  b: 2\n- c: {d: 3}\nlast: 1\n"

    first, second = read_documents(text.encode(), "a.yaml")

    assert ({"a": 1, "b": 2}, {"c": {"d": 3}}) == (first.content, second.content)
    assert (4, 5) == (first.line_of(()), first.line_of(("b",)))
    assert (6, 6) == (second.line_of(()), second.line_of(("c", "d")))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "a.yaml:3: this field stands here twice"),
        (b"a: {b: 1,\n b: 2}\n", "a.yaml:2: this field stands here twice"),
        (b"a: &x [1]\nb: *x\n", "a.yaml:2: aliases (*name) are not taken: write the value out"),
        (
            b"a: &x {c: 1}\nb:\n  <<: *x\n",
            "a.yaml:3: aliases (*name) are not taken: write the value out",
        ),
        (b"a: !secret x\n", "a.yaml:1: tags (!name) are not taken"),
        (b"a: !!python/name:os.system x\n", "a.yaml:1: tags (!name) are not taken"),
        (b"a: !!binary eA==\n", "a.yaml:1: tags (!name) are not taken"),
        (b"a: 1\n? [x]\n: 2\n", "a.yaml:2: the name of a field must be text"),
        (b"a: [1\nb: 2\n", "a.yaml:2: is not YAML: did not find expected ',' or ']'"),
        (b"a:\n\t- 1\n", "a.yaml:2: is not YAML: found character that cannot start any token"),
        (b"a: 1\nb: \xe9\n", "a.yaml:2: is not UTF-8"),
        (b"\xff\xfea\x00", "a.yaml:1: is not UTF-8"),
        (b"a: 1\nb: x\x07y\n", "a.yaml:2: holds a control character"),
        (b"[" * 51 + b"]" * 51, "a.yaml:1: is nested more than 50 levels deep"),
        (b"[" * 100_000, "a.yaml:1: is not YAML: exceeded maximum nesting depth"),
        (b"{a: " * 100_000, "a.yaml:1: is nested more than 50 levels deep"),
        (b"\na: " + b"9" * 5000, "a.yaml:2: is a number too large to read"),
        (b"a: 1e999", "a.yaml:1: is a number too large to read"),
        (b"#" * (documents.MAX_BYTES + 1), "a.yaml: is larger than 1024 KiB"),
    ],
)
def test_what_cannot_be_read_is_one_problem_with_its_line(data: bytes, message: str) -> None:
    assert message == fault(data)


def test_too_many_fields_are_refused() -> None:
    text = b"[" + b"1," * (documents.MAX_FIELDS + 1) + b"]"

    assert "a.yaml:1: holds more than 200000 fields" == fault(text)


def test_too_many_documents_are_refused() -> None:
    text = b"--- 1\n" * (documents.MAX_DOCUMENTS + 1)

    assert "a.yaml: holds more than 10000 documents" == fault(text)


def test_one_bad_document_makes_the_file_unreadable() -> None:
    assert "a.yaml:3: is not YAML: did not find expected node content" == fault(b"a: 1\n---\nb: [}")


def test_json_with_half_an_escape_is_refused() -> None:
    problem = fault(b'{"a":\n"\\ud8zz\\udczz"}', "a.json")

    assert problem.startswith("a.json:2: is not YAML: ")


def test_a_problem_never_repeats_what_it_stumbled_over() -> None:
    assert "sk-live" not in fault(b"sk-live-123: 1\nsk-live-123: 2\n")
    assert "sk-live" not in fault(b"apiKey: [sk-live-123\n")


def test_a_byte_order_mark_is_no_content() -> None:
    assert [{"a": 1}] == contents("\ufeffa: 1\n")


def test_json_may_have_tabs_and_halved_escapes() -> None:
    text = (
        '{\n\t"a": "\\ud83d\\ude00 \\\\ud83d\\\\ude00 \\u00e9 \\/",\n\t"b":\t[1.0, true, null]\n}'
    )

    (document,) = read_documents(text.encode(), "a.json")

    assert {"a": "😀 \\ud83d\\ude00 é /", "b": [1.0, True, None]} == document.content
    assert 3 == document.line_of(("b", 2))


_texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn")) | st.sampled_from('\x85\u2028\u2029"\\/'),
    max_size=8,
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@given(_values.filter(lambda value: value is not None))
def test_json_of_any_shape_reads_back(value: Any) -> None:
    (document,) = read_documents(encode(value), "a.json")

    assert value == document.content
    assert 1 + size(value) == len(document.lines)


@given(st.binary(max_size=200))
def test_reading_is_total(data: bytes) -> None:
    with contextlib.suppress(UnreadableError):
        assert all(document.line_of(()) for document in read_documents(data, "a.yaml"))


def test_a_path_is_written_for_people() -> None:
    assert "spec.targets[2].provider" == dotted(("spec", "targets", 2, "provider"))
    assert "" == dotted(())
