"""The command as a whole: help, version, names, and how quick it is to import."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from switchgear import __version__
from switchgear.cli import main
from tests.compiled import IS_COMPILED

_NAMES = ("run", "validate", "get", "explain", "chat", "import", "schema", "demo")


def test_the_overview_lists_each_sub_command() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert 0 == result.exit_code
    assert list(_NAMES) == [
        line.split()[0]
        for line in result.output.partition("Commands:")[2].splitlines()
        if line.startswith("  ") and not line.startswith("    ")
    ]


@pytest.mark.parametrize("name", _NAMES)
def test_each_sub_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "-h"])

    assert 0 == result.exit_code
    assert f"Usage: main {name}" in result.output or f"Usage: switchgear {name}" in result.output


@pytest.mark.parametrize("name", _NAMES)
def test_each_option_has_a_help_line(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert isinstance(command, click.Command)
    assert [] == [
        option.name
        for option in command.params
        if isinstance(option, click.Option) and not option.help
    ]


def test_the_version_is_the_package_s_and_tells_which_code_it_is() -> None:
    code = "compiled" if IS_COMPILED else "interpreted"

    result = CliRunner().invoke(main, ["--version"])

    assert f"switchgear {__version__} ({code})\n" == result.output


def test_a_slip_of_the_pen_gets_a_guess() -> None:
    result = CliRunner().invoke(main, ["vlaidate"])

    assert 2 == result.exit_code
    assert "no such command 'vlaidate'; did you mean 'validate'?" in result.output


def test_a_wild_name_is_refused_without_a_guess() -> None:
    result = CliRunner().invoke(main, ["xyzzy"])

    assert 2 == result.exit_code
    assert "No such command 'xyzzy'" in result.output
    assert "did you mean" not in result.output


def test_the_overview_imports_nothing_heavy() -> None:
    program = (
        "import sys; from click.testing import CliRunner; from switchgear.cli import main\n"
        "CliRunner().invoke(main, ['--help'])\n"
        "heavy = {'aiohttp', 'pydantic', 'yaml', 'msgspec', 'opentelemetry', 'watchfiles'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert "[]\n" == result.stdout


def test_it_runs_as_a_module_under_its_own_name() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "switchgear", "get", "--help"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert result.stdout.startswith("Usage: switchgear get [OPTIONS] KIND [NAME]")
