"""Which code runs here: `make test` tests the sources, `make test-compiled` what mypyc makes of them."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from tests.compiled import IS_COMPILED

ROOT = Path(__file__).parents[1]
HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["hooks"]["custom"]
SOURCES = HOOK["modules"]
NAMES = [source.removesuffix(".py").replace("/", ".") for source in SOURCES]


def is_extension(file: str | None) -> bool:
    return str(file).endswith(tuple(EXTENSION_SUFFIXES))


def test_the_list_is_sorted_names_each_module_once_and_every_one_is_there() -> None:
    assert sorted(set(SOURCES)) == SOURCES
    assert [] == [source for source in SOURCES if not (ROOT / source).is_file()]


@pytest.mark.parametrize("name", NAMES)
def test_a_listed_module_is_compiled_in_the_compiled_run_and_only_there(name: str) -> None:
    assert IS_COMPILED == is_extension(importlib.import_module(name).__file__)


def test_what_a_test_starts_runs_the_same_code() -> None:
    program = f"import importlib\nfor name in {NAMES!r}:\n    print(importlib.import_module(name).__file__)"

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert [IS_COMPILED] * len(NAMES) == [is_extension(file) for file in done.stdout.split()]


def awaits_in_finally(source: str) -> list[int]:
    return [
        inner.lineno
        for node in ast.walk(ast.parse((ROOT / source).read_text()))
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for inner in ast.walk(statement)
        if isinstance(inner, ast.Await)
    ]


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_awaited_in_a_finally_which_would_raise_anew_what_was_caught(
    source: str,
) -> None:
    assert [] == awaits_in_finally(source)


def test_a_module_that_is_not_listed_is_source_in_both() -> None:
    assert not is_extension(importlib.import_module("switchgear.cli").__file__)
    assert "switchgear.cli" not in NAMES


def test_without_the_switch_the_wheel_is_pure() -> None:
    assert HOOK["enable-by-default"] is False


@pytest.mark.parametrize("requirement", HOOK["dependencies"])
def test_what_compiles_is_locked_and_is_what_checks_the_types(requirement: str) -> None:
    name = requirement.partition("=")[0].partition(">")[0]
    locked = [
        line
        for lock in ("build", "dev")
        for line in (ROOT / f"requirements/{lock}.txt").read_text().splitlines()
        if line.startswith(f"{name}==")
    ]

    assert locked
    assert 1 == len(set(locked))
