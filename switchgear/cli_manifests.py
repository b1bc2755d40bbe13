"""`switchgear validate`, `import` and `schema`: manifests without a running switchgear."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from switchgear.cli_params import CONTEXT
from switchgear.render import Output, document

if TYPE_CHECKING:
    from controlplane.problems import Problem
    from controlplane.table.schema import Table


@click.command(context_settings=CONTEXT)
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH...",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="json is for programs.",
)
@click.option("--strict", is_flag=True, help="Exit 1 on warnings too.")
def validate(paths: Sequence[Path], output: str, *, strict: bool) -> None:
    """Check manifests as `switchgear run` would, all PATHs together as one set.

    PATH is a file or a directory. Each problem is one line, `file:line: object: field: message`.
    Exit code 1 if there is an error, 0 otherwise.
    """
    from controlplane.problems import has_errors
    from controlplane.validate import validate_paths

    compiled, problems = validate_paths(paths)
    if output == "json":
        click.echo(document(_described(compiled.table, problems), Output.JSON))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        click.echo(_summary(compiled.table, problems))
    if has_errors(problems) or (strict and problems):
        sys.exit(1)


@click.command("import", context_settings=CONTEXT)
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
def import_file(file: Path) -> None:
    """Turn FILE, a JSON file with an `LLMProviders` section, into manifests.

    Manifests go to standard output, what could not be said in them to standard error. FILE `-` is
    standard input. Check the result with `switchgear validate`.
    """
    from controlplane.importer import ImportRefused, import_json

    is_input = str(file) == "-"
    data = sys.stdin.buffer.read() if is_input else file.read_bytes()
    try:
        imported = import_json(data)
    except ImportRefused as error:
        place = "standard input" if is_input else str(file)
        raise click.ClickException(
            "\n".join(f"{place}: {line}" for line in str(error).splitlines())
        ) from error
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(imported.text, nl=False)


@click.command(context_settings=CONTEXT)
def schema() -> None:
    """Print the JSON Schema of manifests, for editors and CI.

    It holds what a schema can say; `switchgear validate` knows the rest.
    """
    from controlplane.manifest import json_schema

    click.echo(document(json_schema(), Output.JSON))


def _summary(table: Table, problems: Sequence[Problem]) -> str:
    found = f"{_number(len(table.providers), 'provider')}, {_number(len(table.routes), 'route')}"
    if not problems:
        return f"ok: {found}"
    count = Counter(problem.severity.value for problem in problems)
    errors, warnings = count["error"], count["warning"]
    verdict = "not ok" if errors else "ok"
    return (
        f"{verdict}: {_number(errors, 'error')}, {_number(warnings, 'warning')}; "
        f"what is right comes to {found}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _described(table: Table, problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "valid": not any(problem.severity.value == "error" for problem in problems),
        "problems": [_problem(problem) for problem in problems],
        "providers": sorted(table.providers),
        "routes": sorted(table.routes),
        "models": list(table.model_names()),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "severity": problem.severity.value,
        "object": problem.object,
        "file": problem.origin,
        "document": problem.document,
        "line": problem.line,
        "path": problem.path,
        "message": problem.message,
    }
