from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.validate import validate_paths
from tests.controlplane.texts import provider, route


def test_files_and_directories_are_checked_as_one_set(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.yaml").write_text(provider("a"))
    (tmp_path / "r.yaml").write_text(route("r", ["m"], ["a/x"]))

    compiled, problems = validate_paths([tmp_path / "p", str(tmp_path / "r.yaml")])

    assert [] == list(problems)
    assert {"m": "r"} == compiled.table.exact


def test_a_file_that_is_named_twice_is_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(provider("a"))

    _, problems = validate_paths([path, path, tmp_path])

    assert [] == list(problems)


def test_all_problems_are_told_in_order_of_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.yaml").write_bytes(b"\xff")
    Path("a.yaml").write_text(provider("a", "oops: 1"))

    compiled, problems = validate_paths([Path("b.yaml"), "none", "a.yaml"])

    assert [
        "a.yaml:4: LLMProvider/a: spec.oops",
        "b.yaml:1: is not UTF-8",
        "none: does not exist",
    ] == [str(problem).split(": unknown")[0] for problem in problems]
    assert {} == compiled.table.providers
