"""`switchgear run`: both planes in one process."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from controlplane import durations
from dataplane.telemetry_settings import Inbound, TelemetrySettings
from switchgear.cli_params import RUN_CONTEXT, Parsed, Word
from switchgear.settings import (
    DEFAULT_ADMIN,
    DEFAULT_LISTEN,
    KIB,
    MIB,
    LogFormat,
    LogLevel,
    Settings,
    SettingsError,
    default_state_dir,
    parse_address,
    parse_header_attribute,
    parse_size,
)

# The defaults of the dataclasses, for the help.
_DEFAULTS: Final = Settings(state_dir=Path())
_TELEMETRY: Final = TelemetrySettings()

_ADDRESS: Final = Parsed("HOST:PORT", parse_address)
_DURATION: Final = Parsed("DURATION", durations.parse)


def _size(number: int) -> str:
    return f"{number // MIB}MiB" if number % MIB == 0 else f"{number // KIB}KiB"


@click.command(context_settings=RUN_CONTEXT)
@click.option(
    "--manifests",
    type=click.Path(path_type=Path),
    required=True,
    help="Directory of manifests; watched, so that edits take effect at once.",
)
@click.option("--listen", type=_ADDRESS, default=str(DEFAULT_LISTEN), help="For applications.")
@click.option(
    "--admin", type=_ADDRESS, default=str(DEFAULT_ADMIN), help="For status, probes and the command."
)
@click.option(
    "--probe",
    type=_ADDRESS,
    help="For a kubelet: /livez and /readyz and nothing else, so it may be any address.",
)
@click.option(
    "--allow-remote",
    is_flag=True,
    help="Let --listen and --admin be other than loopback. Callers are not authenticated, so only "
    "where the network keeps others out.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    show_default="$XDG_STATE_HOME/switchgear or ~/.local/state/switchgear",
    help="Where the last good table is kept, to start from when manifests are away.",
)
@click.option(
    "--secrets-root",
    type=click.Path(path_type=Path),
    default=_DEFAULTS.secrets_root,
    help="Where Kubernetes Secrets are mounted, one folder each.",
)
@click.option(
    "--max-body",
    type=Parsed("SIZE", parse_size),
    default=_size(_DEFAULTS.max_body_bytes),
    help="The longest request body.",
)
@click.option(
    "--max-connections",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_connections,
    help="Connections open at once on the data port.",
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(min=1),
    default=_DEFAULTS.max_in_flight,
    help="Requests served at once; more are answered 503.",
)
@click.option(
    "--workers",
    type=int,
    default=_DEFAULTS.workers,
    help="Processes that serve requests, to use more than one core. With more than one, a supervisor "
    "is added that reads the manifests and has the admin port; --max-connections, --max-in-flight "
    "and each provider's maxInFlight are shared out among them. SIGUSR1 replaces them one by one.",
)
@click.option(
    "--lame-duck",
    type=_DURATION,
    default=durations.format_s(_DEFAULTS.lame_duck_s),
    help="How long new requests are still taken at the end, while /readyz already says no.",
)
@click.option(
    "--drain",
    type=_DURATION,
    default=durations.format_s(_DEFAULTS.drain_s),
    help="The longest wait for running requests at the end.",
)
@click.option(
    "--resync",
    type=_DURATION,
    default=durations.format_s(_DEFAULTS.resync_s),
    help="The longest time between two full reads of the manifests.",
)
@click.option(
    "--log-format",
    type=Word(LogFormat),
    default=_DEFAULTS.log_format.value,
    help="auto: text on a terminal, JSON elsewhere.",
)
@click.option(
    "--log-level",
    type=Word(LogLevel),
    default=_DEFAULTS.log_level.value,
    help="The least severe lines that are written.",
)
@click.option(
    "--trace-inbound",
    type=Word(Inbound),
    default=_TELEMETRY.inbound.value,
    help="What a caller's trace context is: parent of our spans, a link, or nothing.",
)
@click.option(
    "--trace-flush",
    type=_DURATION,
    default=durations.format_s(_TELEMETRY.flush_s),
    help="The longest wait at the end for spans and metrics to leave.",
)
@click.option(
    "--trace-header",
    type=Parsed("HEADER=ATTRIBUTE", parse_header_attribute),
    multiple=True,
    help="A request header to write to spans, like x-session-id=gen_ai.conversation.id. May be "
    "repeated; several in the variable are separated by spaces.",
)
@click.option(
    "--trace-compat/--no-trace-compat",
    default=_TELEMETRY.compat,
    help="Also write attributes under the names that older backends read.",
)
@click.option(
    "--trace-openinference/--no-trace-openinference",
    default=_TELEMETRY.openinference,
    help="Also write openinference.span.kind.",
)
def run(**options: Any) -> None:
    """Watch manifests and serve requests from them, until SIGTERM or Ctrl-C.

    Each flag has an environment variable: SWITCHGEAR_MANIFESTS, SWITCHGEAR_LISTEN,
    SWITCHGEAR_MAX_BODY, and so on. Tracing is set up by OpenTelemetry's own OTEL_* variables.
    """
    try:
        settings = to_settings(**options)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    # Imports make no garbage, but a lot to look through: 40 ms of the start. `run` turns it on again.
    gc.disable()
    from switchgear.run import run as run_process

    sys.exit(run_process(settings))


def to_settings(
    *,
    max_body: int,
    lame_duck: float,
    drain: float,
    resync: float,
    state_dir: Path | None,
    trace_inbound: Inbound,
    trace_flush: float,
    trace_header: tuple[tuple[str, str], ...],
    trace_compat: bool,
    trace_openinference: bool,
    **same_name: Any,
) -> Settings:
    """Make settings from the command's options. Raises SettingsError.

    same_name: options that are fields as they are.
    """
    return Settings(
        state_dir=state_dir or default_state_dir(os.environ),  # noqa: TID251 - read once, here
        max_body_bytes=max_body,
        lame_duck_s=lame_duck,
        drain_s=drain,
        resync_s=resync,
        telemetry=TelemetrySettings(
            inbound=trace_inbound,
            flush_s=trace_flush,
            header_attributes=dict(trace_header),
            compat=trace_compat,
            openinference=trace_openinference,
        ),
        **same_name,
    )
