"""The same requests to all nine types, and all their errors back; tests/golden/README.md tells the layout.

SWITCHGEAR_GOLDEN=write rewrites what is expected; read the diff as if someone else wrote it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controlplane.table.schema import ProviderType
from dataplane.codec import decode, encode
from tests import matrix, shape
from tests.matrix import GOLDEN, Canonical

NINE = list(ProviderType)
CANONICAL = matrix.canonical()
CELLS = [
    pytest.param(kind, case, id=f"{matrix.FOLDERS[kind]}-{case.name}")
    for kind in NINE
    for case in CANONICAL
]
ERRORS = [
    pytest.param(kind, path, id=f"{matrix.FOLDERS[kind]}-{path.name.removesuffix('.in.json')}")
    for kind in NINE
    for path in matrix.errors(kind)
]
ERROR_FILES = [pytest.param(each.values[1], id=each.id) for each in ERRORS]


@pytest.mark.parametrize(("kind", "case"), CELLS)
def test_a_canonical_request_is_written_as_the_golden_file_says(
    kind: ProviderType, case: Canonical
) -> None:
    matrix.compare(matrix.golden_of(kind, case), matrix.written(kind, case))


@pytest.mark.parametrize(("kind", "case"), CELLS)
def test_nothing_of_ours_and_no_null_is_in_a_golden_request(
    kind: ProviderType, case: Canonical
) -> None:
    """Section by section of the canonical form: what only we know never leaves, nor what nobody said."""
    made = decode(matrix.golden_of(kind, case).read_bytes())
    for mode in made.keys() & set(matrix.MODES):
        body = made[mode].get("body", {})
        text = json.dumps(body)

        assert "zebra" not in text
        assert "switchgear" not in text
        assert "c2lnbmF0dXJl" not in text
        assert "test-key" not in text
        assert [] == [name for name, value in body.items() if value is None]


@pytest.mark.parametrize(("kind", "case"), CELLS)
def test_a_golden_stream_is_the_same_request(kind: ProviderType, case: Canonical) -> None:
    """To stream changes how the answer comes, and nothing of what is asked."""
    made = decode(matrix.golden_of(kind, case).read_bytes())
    if "stream" not in made:
        return
    unary, streamed = made["unary"], made["stream"]
    without = {
        name: value
        for name, value in streamed.get("body", {}).items()
        if name not in {"stream", "stream_options"}
    }

    assert unary.get("rejected") == streamed.get("rejected")
    whole = {name: value for name, value in unary.get("body", {}).items() if name != "stream"}
    assert whole == without
    assert unary.get("warnings") == streamed.get("warnings")


@pytest.mark.parametrize(("kind", "path"), ERRORS)
def test_an_error_is_told_as_the_golden_file_says(kind: ProviderType, path: Path) -> None:
    expected: str = decode(path.read_bytes())["class"]
    failure = matrix.failed(kind, path)

    assert expected == failure.error.value
    matrix.compare(path.with_name(path.name.replace(".in.", ".out.")), matrix.told(failure))


@pytest.mark.parametrize("path", ERROR_FILES)
def test_an_error_of_a_golden_file_has_the_one_shape(path: Path) -> None:
    """Whoever failed, the caller gets OpenAI's error; nothing of an account or a host is in it."""
    case = decode(path.read_bytes())
    caller: dict[str, Any] = decode(
        path.with_name(path.name.replace(".in.", ".out.")).read_bytes()
    )["caller"]
    headers = {**caller["headers"], "x-request-id": "req_1"}
    raw = encode(caller["body"])

    assert [] == shape.error_complaints(caller["status"], headers, raw)
    for secret in ("sk-proj", "org-1", "account", "cloudflare", "internal.amazon"):
        assert secret not in raw.decode() or case["class"] in {"bad_request", "context_length"}


def test_errors_of_one_class_are_told_alike_by_all_nine() -> None:
    """Status, type, code, retry, fail-over and breaker of a class do not depend on who failed."""
    seen: dict[str, set[str]] = {}
    for kind in NINE:
        for path in matrix.errors(kind):
            told = matrix.told(matrix.failed(kind, path))
            error = told["caller"]["body"]["error"]
            policy = [told["caller"]["status"], error["type"], told["next_target"], told["breaker"]]
            seen.setdefault(told["class"], set()).add(json.dumps(policy))

    assert dict.fromkeys(seen, 1) == {name: len(found) for name, found in seen.items()}


def test_every_folder_of_golden_files_has_the_same_layout() -> None:
    """A moved folder must not make the tests above pass by finding nothing."""
    assert 45 <= len(CANONICAL)
    assert set(NINE) == set(matrix.FOLDERS)
    for folder in matrix.FOLDERS.values():
        for part in ("requests", "answers", "streams", "errors", "canonical"):
            assert any((GOLDEN / folder / part).iterdir()), f"{folder}/{part}"
        told = {path.name.split(".")[0] for path in (GOLDEN / folder / "errors").iterdir()}
        asked = {path.name.split(".")[0] for path in (GOLDEN / folder / "errors").glob("*.in.json")}
        assert 10 <= len(asked)
        assert asked == told
        assert {case.name for case in CANONICAL} == {
            path.stem for path in (GOLDEN / folder / "canonical").iterdir()
        }


def marks_of(path: Path) -> set[str]:
    """What the caller asked for, by the words after each `+` of a file's name."""
    return set(path.name.split(".")[0].split("+")[1:])


STREAMS = [
    pytest.param(path, id=f"{folder}-{path.name.removesuffix('.out.sse')}")
    for folder in matrix.FOLDERS.values()
    for path in sorted((GOLDEN / folder / "streams").glob("*.out.sse"))
    if not marks_of(path) & {"text", "generate"}
]
ANSWERS = [
    pytest.param(path, id=f"{folder}-{path.name.removesuffix('.out.json')}")
    for folder in matrix.FOLDERS.values()
    for path in sorted((GOLDEN / folder / "answers").glob("*.out.json"))
    if not marks_of(path) & {"text", "generate", "embed"}
]


@pytest.mark.parametrize("path", STREAMS)
def test_a_golden_stream_has_the_one_shape(path: Path) -> None:
    """Of all nine, the broken ones too: up to where they broke."""
    data = path.read_bytes()
    events, _, end = data.rpartition(b": ") if not data.endswith(b"\n\n") else (data, b"", b"")
    broke = end.startswith((b"failed", b"failure"))
    if broke and not events:
        return
    written = shape.events_of(events)
    model = written[0]["model"]
    if broke:
        death = (
            b'data: {"error":{"message":"m","type":"server_error","param":null,"code":null}}\n\n'
        )
        events += death
    asked = "usage" in marks_of(path)
    ending = b"" if broke else shape.DONE

    complaints = shape.stream_complaints(events + ending, model, asked_usage=asked, dies=broke)
    if asked and not any(event.get("usage") for event in written):
        # This upstream told no usage: there is none to be passed on.
        complaints = [each for each in complaints if "usage" not in each]
    assert [] == complaints
    assert model in {"route", "m", "chat"}


@pytest.mark.parametrize("path", ANSWERS)
def test_a_golden_answer_has_the_one_shape(path: Path) -> None:
    answer = decode(path.read_bytes())
    if answer.keys() & {"failed", "failure"}:
        return

    assert [] == shape.answer_complaints(path.read_bytes(), answer["model"])
    assert answer["model"] in {"route", "m", "chat"}
