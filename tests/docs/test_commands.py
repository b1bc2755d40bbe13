"""Each command in the pages is one that the command line takes, and each manifest is right."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import click
import pytest

from controlplane.validate import validate_paths
from switchgear.cli import main
from tests.docs.command_tables import command, commands, options, variable
from tests.docs.pages import PAGES, fences, read

_INLINE = re.compile(r"`(switchgear [^`\n]+)`")
_SHELL = frozenset({"|", ">", "<", "&&", "||", ";", "&", "2>"})
_FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]+)")
_VARIABLE = re.compile(r"\bSWITCHGEAR_[A-Z_]+\b")
# Flags of other programs that the pages name, and the one that click adds by itself.
_FOREIGN = frozenset(
    {
        "--build-arg",
        "--cap-drop",
        "--enable-auto-tool-choice",
        "--help",
        "--read-only",
        "--rm",
        "--set",
        "--tmpfs",
    }
)
_FOREIGN_VARIABLES = frozenset({"SWITCHGEAR_GOLDEN"})


def lines(page: str) -> Iterator[tuple[str, bool]]:
    """Give the command lines of a page, and whether each is whole: one to be typed as it is."""
    text = read(page)
    for found in _INLINE.finditer(text):
        yield found[1], False
    for block in (*fences(text, "sh"), *fences(text, "yaml")):
        for line in block.replace("\\\n", " ").splitlines():
            _, found, rest = line.partition("switchgear ")
            before = line.partition("switchgear ")[0].split()
            if found and (not before or before[-1] in {"--", "$"}):
                yield f"switchgear {rest}", True


def arguments(line: str) -> Sequence[str]:
    words = shlex.split(line, comments=True)[1:]
    return list(takewhile(lambda word: word not in _SHELL, words))


def parse(line: str, *, whole: bool) -> None:
    """Parse a line as click would, without looking at files. Raises click.UsageError."""
    name, *rest = arguments(line)
    if name.startswith("-"):
        return
    found = command(name)
    context = click.Context(found, info_name=name, **found.context_settings)
    if {"--help", "-h"} & set(rest):
        return
    given, _, _ = found.make_parser(context).parse_args(list(rest))
    for param in found.params:
        if whole and param.required and not given.get(str(param.name)):
            raise click.MissingParameter(ctx=context, param=param)


@pytest.mark.parametrize("page", PAGES)
def test_each_command_line_parses(page: str) -> None:
    for line, whole in lines(page):
        try:
            parse(line, whole=whole)
        except click.UsageError as error:
            pytest.fail(f"{page}: {line}: {error.format_message()}")


def test_the_parser_finds_what_is_wrong() -> None:
    with pytest.raises(click.UsageError):
        parse("switchgear run --manifest llm", whole=True)
    with pytest.raises(click.UsageError):
        parse("switchgear run --drain 5s", whole=True)
    with pytest.raises(AssertionError):
        parse("switchgear serve", whole=True)


def test_the_readme_names_each_command() -> None:
    named = {arguments(line)[0] for line, _ in lines("README.md")}

    assert set(commands()) == named


@pytest.mark.parametrize("page", PAGES)
def test_each_flag_that_is_named_exists(page: str) -> None:
    known = {
        flag
        for name in commands()
        for option in options(name)
        for flag in (*option.opts, *option.secondary_opts)
    } | {flag for option in main.params for flag in option.opts}

    assert set(_FLAG.findall(read(page))) <= known | _FOREIGN


@pytest.mark.parametrize("page", PAGES)
def test_each_variable_that_is_named_exists(page: str) -> None:
    known = {variable(option) for option in options("run")}
    known |= {str(option.envvar) for name in commands() for option in options(name)}

    assert set(_VARIABLE.findall(read(page))) <= known | _FOREIGN_VARIABLES


@pytest.mark.parametrize("page", ["README.md", "docs/manifests.md"])
def test_each_manifest_in_a_page_is_right(page: str, tmp_path: Path) -> None:
    blocks = [block for block in fences(read(page), "yaml") if "kind: LLM" in block]

    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        compiled, problems = validate_paths([file])
        assert [] == list(problems)
        assert compiled.table.routes


def test_the_python_of_the_readme_compiles() -> None:
    blocks = list(fences(read("README.md"), "python"))

    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
