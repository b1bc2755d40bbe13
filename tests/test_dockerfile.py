"""The Dockerfile, read as text: what it promises can be kept by this tree."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction, with its continuation lines joined."""

    word: str
    rest: str

    @property
    def words(self) -> Sequence[str]:
        """Its arguments without flags; an exec form's items."""
        if self.rest.startswith("["):
            return yaml.safe_load(self.rest)
        return [word for word in shlex.split(self.rest) if not word.startswith("--")]

    @property
    def flags(self) -> Sequence[str]:
        return [word for word in self.rest.split() if word.startswith("--")]


def instructions() -> Sequence[Instruction]:
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [
        Instruction(word=word, rest=rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined)
    ]


def stages() -> Sequence[Sequence[Instruction]]:
    """Cut the instructions at each FROM; what stands before the first is left out."""
    cut: list[list[Instruction]] = []
    for instruction in instructions():
        if instruction.word == "FROM":
            cut.append([])
        if cut:
            cut[-1].append(instruction)
    return cut


def last(word: str, stage: Sequence[Instruction]) -> Instruction:
    return [instruction for instruction in stage if instruction.word == word][-1]


def copied_from_the_tree() -> Sequence[str]:
    return [
        source
        for instruction in instructions()
        if instruction.word == "COPY"
        and not any(flag.startswith("--from") for flag in instruction.flags)
        for source in instruction.words[:-1]
    ]


def project() -> dict[str, object]:
    loaded = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(loaded, dict)
    return loaded


def test_both_stages_have_one_base_that_can_be_pinned() -> None:
    (argument,) = [item for item in instructions() if item.word == "ARG"]
    bases = [stage[0].words[0] for stage in stages()]

    assert ["${BASE}", "${BASE}"] == bases
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-\w+", argument.rest)


def test_the_base_runs_a_python_that_the_project_names() -> None:
    (argument,) = [item for item in instructions() if item.word == "ARG"]
    version = argument.rest.removeprefix("BASE=python:").split("-")[0]

    assert f"Programming Language :: Python :: {version}" in project()["classifiers"]  # type: ignore[operator]


def test_the_image_runs_as_a_user_by_number_that_is_not_root() -> None:
    user = last("USER", stages()[-1])
    after = stages()[-1][stages()[-1].index(user) :]

    assert "65532:65532" == user.rest
    assert {"USER", "EXPOSE", "ENTRYPOINT", "CMD"} == {item.word for item in after}


def test_the_user_is_the_one_of_the_chart() -> None:
    values = yaml.safe_load((ROOT / "helm/switchgear/values.yaml").read_text())

    assert f"{values['uid']}:{values['uid']}" == last("USER", stages()[-1]).rest


@pytest.mark.parametrize("source", copied_from_the_tree())
def test_what_is_copied_is_there_and_not_ignored(source: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert (ROOT / source).exists()
    assert "*" in ignored
    assert f"!{source}" in ignored or f"!{Path(source).parent}/*{Path(source).suffix}" in ignored


def test_what_is_not_copied_is_ignored() -> None:
    """Secrets, the environment and the history cannot get into a layer by accident."""
    allowed = {
        line.removeprefix("!").split("/")[0]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert {source.split("/")[0] for source in copied_from_the_tree()} == allowed


def test_every_package_of_the_wheel_is_copied() -> None:
    loaded = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = loaded["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert set(packages) <= set(copied_from_the_tree())


def test_what_the_build_reads_is_copied() -> None:
    facts = project()

    assert {facts["readme"], *facts["license-files"]} <= set(copied_from_the_tree())  # type: ignore[misc]


def test_the_build_hook_is_copied_and_switched_on_where_the_project_is_installed() -> None:
    (install,) = [
        item for item in instructions() if item.word == "RUN" and "--no-deps" in item.rest
    ]

    assert "HATCH_BUILD_HOOK_ENABLE_CUSTOM=true" == install.words[0]
    assert "hatch_build.py" in copied_from_the_tree()


def test_a_compiler_is_in_the_build_stage_only_and_before_the_sources() -> None:
    """So a change of the sources does not fetch it anew, and the image has no more than it had."""
    words = [item.rest for item in stages()[0]]
    installs = [at for at, text in enumerate(words) if "apt-get install" in text]
    sources = [at for at, text in enumerate(words) if text.startswith("dataplane ")]

    assert 1 == len(installs) == len(sources)
    assert installs < sources
    assert {"gcc", "libc6-dev"} <= set(words[installs[0]].split())
    assert not [item for item in stages()[-1] if "apt-get" in item.rest]


def test_the_entry_point_is_the_projects_command() -> None:
    entry = last("ENTRYPOINT", stages()[-1])

    assert ["switchgear"] == entry.words
    assert entry.rest.startswith("[")
    assert "switchgear" in project()["scripts"]  # type: ignore[operator]


def test_the_default_command_keeps_to_loopback() -> None:
    command = last("CMD", stages()[-1]).words

    assert "run" == command[0]
    assert not [word for word in command if word.startswith(("--listen", "--admin", "--allow"))]


def test_the_directories_of_the_command_are_those_of_the_chart() -> None:
    template = (ROOT / "helm/switchgear/templates/_container.tpl").read_text()

    for word in last("CMD", stages()[-1]).words[1:]:
        assert f"- {word}\n" in template


def test_everything_from_the_index_is_checked_by_hash() -> None:
    """`--no-deps` with build constraints is the project itself; all others demand hashes."""
    commands = [
        command
        for item in instructions()
        if item.word == "RUN"
        for command in item.rest.split("&&")
        if "pip install" in command
    ]

    assert 3 == len(commands)
    assert all("--require-hashes" in text or "--build-constraints" in text for text in commands)


@pytest.mark.parametrize("name", ["build", "run", "uv"])
def test_every_locked_requirement_has_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]

    assert lines
    assert [] == [line for line in lines if "==" not in line or "--hash=sha256:" not in line]


def test_every_dependency_of_the_project_is_locked() -> None:
    locked = (ROOT / "requirements" / "run.txt").read_text()
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)

    for dependency in dependencies:
        name = re.split(r"[<>=; ]", dependency)[0]
        assert re.search(rf"^{re.escape(name)}==", locked, flags=re.MULTILINE), name
