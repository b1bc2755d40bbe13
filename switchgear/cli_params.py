"""What the sub-commands share: parameter types, and the options that name addresses."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

import click

from switchgear.settings import DEFAULT_ADMIN, DEFAULT_LISTEN

_HELP: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# For commands that read addresses and files; their few variables are named one by one.
CONTEXT: Final[dict[str, Any]] = {**_HELP, "show_default": True}
# For `run`: each flag has its variable, SWITCHGEAR_LISTEN for --listen and so on.
RUN_CONTEXT: Final[dict[str, Any]] = {**CONTEXT, "auto_envvar_prefix": "SWITCHGEAR"}

admin_option = click.option(
    "--admin",
    metavar="URL",
    default=f"http://{DEFAULT_ADMIN}",
    envvar="SWITCHGEAR_ADMIN_URL",
    show_envvar=True,
    help="The admin API of a running switchgear.",
)
data_option = click.option(
    "--url",
    metavar="URL",
    default=f"http://{DEFAULT_LISTEN}",
    envvar="SWITCHGEAR_URL",
    show_envvar=True,
    help="The data port of a running switchgear.",
)


class Parsed(click.ParamType[object]):
    """Text that a function parses; its ValueError is what the user reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        """Keep the function. name: shown in the help in place of a value."""
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Parse text; anything else is a default, parsed before."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Word(click.Choice[StrEnum]):
    """One of an enumeration's values, written as the value and not as the member's name."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Give the word that is compared and shown."""
        return str(choice)
