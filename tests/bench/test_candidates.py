"""Who is measured, under which names, and with which environment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from candidates import OURS, all_candidates
from launch import Candidate, Site
from peers import PYTHON_PACKAGES
from processes import free_port
from stage import Running, clean_environ


def a_clone(folder: Path, run_options: str) -> Path:
    (folder / "switchgear").mkdir(parents=True)
    (folder / "switchgear/cli_run.py").write_text(run_options)
    return folder


def by_name(clone: Path) -> dict[str, Candidate]:
    return {one.name: one for one in all_candidates([clone])}


def test_another_clone_is_named_after_its_folder_and_runs_by_its_own_interpreter(
    tmp_path: Path,
) -> None:
    clone = a_clone(tmp_path / "other", "")
    site = Site(port=1, upstream_port=2, folder=tmp_path)

    launch = by_name(clone)["other"].launch(site)

    assert str(clone / ".venv/bin/python") == launch.command[0]
    assert "http://127.0.0.1:2" == launch.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]


def test_a_clone_without_compiled_code_runs_what_it_has_and_says_so(tmp_path: Path) -> None:
    site = Site(port=1, upstream_port=2, folder=tmp_path)
    ours = by_name(a_clone(tmp_path / "other", ""))

    assert "interpreted" in ours["other"].version
    assert "PYTHONPATH" not in ours["other"].launch(site).environ
    assert "" == ours["other-interpreted"].version
    assert "compiler" in ours["other-interpreted"].how


@pytest.mark.parametrize(("checked", "word"), [(0, "compiled"), (1, "interpreted")])
def test_compiled_code_runs_where_the_clone_says_that_it_is_up_to_date(
    tmp_path: Path, checked: int, word: str
) -> None:
    clone = a_clone(tmp_path / "other", '"--workers",')
    (clone / "tools").mkdir()
    (clone / "tools/compiled.py").write_text(f"raise SystemExit({checked})")
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").symlink_to(sys.executable)
    site = Site(port=1, upstream_port=2, folder=tmp_path)
    ours = by_name(clone)
    imported = str(clone / "build/compiled") if word == "compiled" else None

    for name in ("other", "other-off", "other-workers"):
        assert f" {word}," in ours[name].version
        assert imported == ours[name].launch(site).environ.get("PYTHONPATH")
    assert (word == "compiled") == bool(ours["other-interpreted"].version)
    assert "PYTHONPATH" not in ours["other-interpreted"].launch(site).environ


def test_tracing_off_is_off(tmp_path: Path) -> None:
    clone = a_clone(tmp_path / "other", "")
    site = Site(port=1, upstream_port=2, folder=tmp_path)

    launch = by_name(clone)["other-off"].launch(site)

    assert not [name for name in launch.environ if name.startswith("OTEL_")]


@pytest.mark.parametrize(("options", "there"), [("", False), ('"--workers",', True)])
def test_workers_are_measured_where_there_are_any(
    tmp_path: Path, options: str, *, there: bool
) -> None:
    clone = a_clone(tmp_path / "other", options)

    assert there == bool(by_name(clone)["other-workers"].version)


def test_what_is_not_installed_tells_how_it_would_be() -> None:
    assert all(candidate.how for candidate in all_candidates())
    assert OURS == all_candidates()[0].name


@pytest.mark.parametrize("bad", ["1.82.7", "1.82.8", "1.107.0"])
def test_releases_of_litellm_that_do_harm_are_not_installed(bad: str) -> None:
    assert not PYTHON_PACKAGES["litellm"].endswith(f"=={bad}")


@pytest.mark.parametrize(
    "name",
    [
        "OTEL_SDK_DISABLED",
        "SWITCHGEAR_LISTEN",
        "PYTHONDONTWRITEBYTECODE",
        "https_proxy",
        "NO_PROXY",
    ],
)
def test_our_environment_does_not_set_a_candidate_up(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")

    assert name not in clean_environ()
    assert "PATH" in clean_environ()


def test_who_does_not_say_what_became_of_its_spans_is_not_waited_for() -> None:
    one = Running(name="it", port=0, headers={}, process=None, admin_port=free_port())

    assert one.spans() is None
    one.await_spans()
