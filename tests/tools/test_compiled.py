"""`make compiled`: when it has something to do, and what it says if it cannot."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "tools/compiled.py"
COPIED = (SCRIPT, "pyproject.toml", "hatch_build.py", "requirements/build.txt")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy what decides over the build, with one source file in place of all."""
    for name in (*COPIED, "dataplane/forward.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def module(project: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("compiled_of_a_project", project / SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def pretend_to_have_built(project: Path) -> None:
    (project / "build/compiled").mkdir(parents=True)
    (project / "build/compiled/made-of").write_text(module(project).fingerprint())


def run(project: Path, *flags: str, compiler: str = "cc") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags],
        cwd=project,
        env={**os.environ, "CC": compiler},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_what_was_never_built_is_not_there(project: Path) -> None:
    assert (1, "build/compiled is not there\n") == run(project, "--check")


@pytest.mark.parametrize("flags", [("--check",), ()])
def test_nothing_is_built_while_nothing_has_changed(project: Path, flags: tuple[str, ...]) -> None:
    pretend_to_have_built(project)

    assert (0, "build/compiled is up to date\n") == run(project, *flags, compiler="no-such-thing")


@pytest.mark.parametrize(
    "changed", ["dataplane/forward.py", "hatch_build.py", "requirements/build.txt"]
)
def test_a_changed_file_of_those_that_decide_is_seen(project: Path, changed: str) -> None:
    pretend_to_have_built(project)
    with (project / changed).open("a") as file:
        file.write("# changed\n")

    assert (1, "build/compiled is out of date\n") == run(project, "--check")


def test_a_module_more_or_less_on_the_list_is_seen(project: Path) -> None:
    pretend_to_have_built(project)
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace('    "dataplane/forward.py",\n', ""))

    assert (1, "build/compiled is out of date\n") == run(project, "--check")


def test_a_file_that_is_gone_is_seen(project: Path) -> None:
    pretend_to_have_built(project)
    (project / "dataplane/forward.py").unlink()

    assert (1, "build/compiled is out of date\n") == run(project, "--check")


def test_settings_that_do_not_decide_change_nothing(project: Path) -> None:
    pretend_to_have_built(project)
    settings = project / "pyproject.toml"
    settings.write_text(settings.read_text().replace("line-length = 100", "line-length = 99"))

    assert (0, "build/compiled is up to date\n") == run(project, "--check")


def test_no_compiler_is_said_and_nothing_is_begun(project: Path) -> None:
    code, said = run(project, compiler="no-such-compiler -pthread")

    assert 1 == code
    assert "no C compiler: no-such-compiler was not found" in said
    assert not (project / "build").exists()


def test_no_headers_are_said(tmp_path: Path) -> None:
    said = module(ROOT).missing(sys.executable, tmp_path)

    assert [f"no headers of Python: {tmp_path}/Python.h was not found"] == [
        line.partition(" (")[0] for line in said
    ]


def test_nothing_is_missing_where_both_are_there(tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()

    assert [] == module(ROOT).missing(sys.executable, tmp_path)


def test_a_build_that_fails_says_why_and_leaves_what_there_was(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pretend_to_have_built(project)
    before = (project / "build/compiled/made-of").read_text()
    (project / "requirements/build.txt").write_text("this is no requirement\n")

    code = module(project).build()

    said = capfd.readouterr().err
    assert 1 == code
    assert "requirements/build.txt" in said
    assert "nothing was built" in said
    assert before == (project / "build/compiled/made-of").read_text()
    assert ["compiled"] == [path.name for path in (project / "build").iterdir()]
