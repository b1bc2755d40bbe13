"""The command `switchgear`: its sub-commands by name, each imported only when it is used."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import click

from switchgear import __version__
from switchgear.compiled import is_compiled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """Where a sub-command is, as `module:attribute`, and its line in the overview."""

    where: str
    line: str


_COMMANDS: Final[Mapping[str, _Command]] = {
    "run": _Command(
        where="switchgear.cli_run:run", line="Watch manifests and serve requests from them."
    ),
    "validate": _Command(
        where="switchgear.cli_manifests:validate", line="Check manifests; exit 1 on errors."
    ),
    "get": _Command(
        where="switchgear.cli_get:get",
        line="Show providers, routes, targets or requests of a running switchgear.",
    ),
    "explain": _Command(
        where="switchgear.cli_explain:explain",
        line="Tell where a model's requests would go now, and why.",
    ),
    "chat": _Command(where="switchgear.cli_chat:chat", line="Send one message, print the answer."),
    "import": _Command(
        where="switchgear.cli_manifests:import_file",
        line="Turn an LLMProviders JSON file into manifests.",
    ),
    "schema": _Command(
        where="switchgear.cli_manifests:schema", line="Print the JSON Schema of manifests."
    ),
    "demo": _Command(
        where="switchgear.cli_demo:demo",
        line="Run everything here: two real model servers, and fail-over between them.",
    ),
}


class _LazyGroup(click.Group):
    """A group that knows its sub-commands' names and one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the sub-commands, in the order of the overview."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one sub-command."""
        known = _COMMANDS.get(cmd_name)
        if known is None:
            return None
        module, _, attribute = known.where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{known.where} is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.line) for name, command in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the sub-command; an unknown one gets a guess at what was meant."""
        name = args[0] if args else ""
        near = difflib.get_close_matches(name, _COMMANDS, n=1)
        if name and name not in _COMMANDS and not name.startswith("-") and near:
            ctx.fail(f"no such command '{name}'; did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)


def _tell_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's way
    if asked and not ctx.resilient_parsing:
        click.echo(f"switchgear {__version__} ({'compiled' if is_compiled() else 'interpreted'})")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version, and whether the request path is compiled.",
)
def main() -> None:
    """One local, OpenAI-compatible endpoint, backed by many LLM providers.

    Declare providers and routes as manifests, run `switchgear run --manifests DIR`, and send
    OpenAI requests to http://127.0.0.1:4141/v1. To see it work without any account, try
    `switchgear demo --story`.
    """
