"""`switchgear get`: what a running switchgear knows, as tables or documents."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import click

from switchgear import client, tables
from switchgear.cli_params import CONTEXT, Word, admin_option
from switchgear.render import Output, document


class _Kind(click.ParamType[str]):
    """A kind of object; singular forms are taken too."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Give the plural name."""
        word = str(value).lower()
        plural = (
            word.removesuffix("y") + "ies" if word.endswith("y") else word.removesuffix("s") + "s"
        )
        if plural not in _KINDS:
            self.fail(f"'{value}' is not one of {', '.join(_KINDS)}", param, ctx)
        return plural


# kind -> path at the admin API, key in its answer, table
_KINDS: Final[dict[str, tuple[str, str, Callable[..., str]]]] = {
    "providers": ("/status", "providers", tables.providers),
    "targets": ("/status", "providers", tables.targets),
    "routes": ("/status", "routes", tables.routes),
    "requests": ("/requests", "requests", tables.requests),
    "workers": ("/status", "workers", tables.workers),
    "capabilities": ("/capabilities", "data", tables.capabilities),
}


@click.command(context_settings=CONTEXT)
@click.argument("kind", type=_Kind(), metavar="KIND")
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=Word(Output),
    default=Output.TABLE.value,
    help="wide adds columns; json and yaml are for programs.",
)
@click.option("-w", "--watch", is_flag=True, help="Show again whenever it changes, until Ctrl-C.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=1.0, help="Seconds between two looks."
)
@admin_option
def get(
    kind: str, name: str | None, output: Output, *, watch: bool, interval: float, admin: str
) -> None:
    """Show what a running switchgear knows.

    KIND is providers, targets (one line for each model of a provider), routes, capabilities (what
    each route's targets can do), requests (the last that finished, with the path each took), or
    workers (the processes that serve).
    NAME picks one provider or route by name.
    """

    def look() -> str:
        return show(fetch(admin, kind, name), kind, output)

    if not watch:
        click.echo(look())
        return
    try:
        for text in changes(look, pause=lambda: time.sleep(interval)):
            click.clear()  # does nothing unless on a terminal
            click.echo(text)
    except KeyboardInterrupt:
        pass


def fetch(admin: str, kind: str, name: str | None) -> dict[str, Any]:
    """Get the part of the status that holds `kind`. Raises ClientError, also if none has `name`."""
    path, key, _ = _KINDS[kind]
    url = admin.rstrip("/") + path
    match client.get_json(url):
        case dict() as status if isinstance(status.get(key), list):
            pass
        case _:
            raise client.ClientError(f"{url} has no {key}; is it switchgear's admin address?")
    if name is None:
        return status
    chosen = [entry for entry in status[key] if entry.get("name", entry.get("id")) == name]
    if not chosen:
        known = ", ".join(str(entry.get("name", entry.get("id"))) for entry in status[key][:20])
        raise client.ClientError(f'no {key} named "{name}"; there are: {known or "none"}')
    return {**status, key: chosen}


def show(status: dict[str, Any], kind: str, output: Output) -> str:
    """Write the part of the status that holds `kind`."""
    _, key, table = _KINDS[kind]
    if output in {Output.JSON, Output.YAML}:
        return document({key: status[key]}, output)
    return table(status, wide=output is Output.WIDE)


def changes(look: Callable[[], str], pause: Callable[[], None]) -> Any:
    """Yield what `look` sees, each time it differs; never ends by itself.

    A switchgear that is away for a while is shown as what it is, and watched on.
    """
    shown = None
    while True:
        try:
            text = look()
        except client.ClientError as error:
            if shown is None:
                raise
            text = f"({error.message})"
        if text != shown:
            yield text
            shown = text
        pause()
