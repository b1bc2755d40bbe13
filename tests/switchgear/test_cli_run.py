"""The options of `switchgear run`: flags and variables become settings, bad ones are told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from click.testing import CliRunner

from dataplane.telemetry_settings import Inbound, TelemetrySettings
from switchgear.cli import main
from switchgear.cli_run import run, to_settings
from switchgear.settings import MIB, Address, LogFormat, LogLevel, Settings


def settings(*arguments: str) -> Settings:
    with run.make_context("run", ["--manifests=/m", "--state-dir=/s", *arguments]) as context:
        return to_settings(**context.params)


def test_without_flags_each_setting_has_its_default() -> None:
    assert Settings(state_dir=Path("/s"), manifests=Path("/m")) == settings()


@pytest.mark.parametrize(
    ("flags", "changed"),
    [
        (["--listen=127.0.0.1:9"], {"listen": Address(host="127.0.0.1", port=9)}),
        (["--admin=[::1]:9"], {"admin": Address(host="::1", port=9)}),
        (["--probe=0.0.0.0:4140"], {"probe": Address(host="0.0.0.0", port=4140)}),
        (["--allow-remote"], {"allow_remote": True}),
        (["--secrets-root=/x"], {"secrets_root": Path("/x")}),
        (["--max-body=1MiB"], {"max_body_bytes": MIB}),
        (["--max-connections=7"], {"max_connections": 7}),
        (["--max-in-flight=8"], {"max_in_flight": 8}),
        (["--workers=4"], {"workers": 4}),
        (["--lame-duck=2s"], {"lame_duck_s": 2.0}),
        (["--drain=1m30s"], {"drain_s": 90.0}),
        (["--resync=500ms"], {"resync_s": 0.5}),
        (["--log-format=json"], {"log_format": LogFormat.JSON}),
        (["--log-level=debug"], {"log_level": LogLevel.DEBUG}),
        (
            [
                "--trace-inbound=link",
                "--trace-flush=1s",
                "--trace-header=X-Tenant=tenant.id",
                "--trace-header=x-run=run.id",
                "--no-trace-compat",
                "--trace-openinference",
            ],
            {
                "telemetry": TelemetrySettings(
                    inbound=Inbound.LINK,
                    flush_s=1.0,
                    header_attributes={"x-tenant": "tenant.id", "x-run": "run.id"},
                    compat=False,
                    openinference=True,
                )
            },
        ),
    ],
)
def test_a_flag_changes_its_setting_and_no_other(
    flags: list[str], changed: dict[str, object]
) -> None:
    assert dataclasses.replace(settings(), **changed) == settings(*flags)  # type: ignore[arg-type]


def test_each_flag_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHGEAR_LISTEN", "127.0.0.1:5000")
    monkeypatch.setenv("SWITCHGEAR_MAX_BODY", "2MiB")
    monkeypatch.setenv("SWITCHGEAR_TRACE_HEADER", "x-a=a.id x-b=b.id")

    found = settings("--max-body=3MiB")

    assert Address(host="127.0.0.1", port=5000) == found.listen
    assert 3 * MIB == found.max_body_bytes
    assert {"x-a": "a.id", "x-b": "b.id"} == found.telemetry.header_attributes


def test_state_goes_to_the_user_s_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    with run.make_context("run", ["--manifests=/m"]) as context:
        found = to_settings(**context.params)

    assert Path("/xdg/switchgear") == found.state_dir


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "Missing option '--manifests'"),
        (["--manifests=/m", "--listen=4141"], '"4141" is not HOST:PORT'),
        (["--manifests=/m", "--drain=5"], '"5" is not a duration'),
        (["--manifests=/m", "--max-body=big"], '"big" is not a size'),
        (["--manifests=/m", "--max-in-flight=0"], "0 is not in the range"),
        (["--manifests=/m", "--workers=0"], "--workers 0: must be from 1"),
        (["--manifests=/m", "--workers=65"], "--workers 65: must be from 1"),
        (["--manifests=/m", "--workers=two"], "'two' is not a valid integer"),
        (["--manifests=/m", "--log-level=loud"], "'loud' is not one of"),
        (["--manifests=/m", "--trace-header=x"], "is not HEADER=ATTRIBUTE"),
        (["--manifests=/m", "--listen=0.0.0.0:1"], "--allow-remote"),
        (["--manifests=/m", "--admin=127.0.0.1:4141"], "have the same port"),
    ],
)
def test_a_bad_flag_is_told_and_nothing_starts(flags: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["run", *flags])

    assert 2 == result.exit_code
    assert message in " ".join(result.output.split())
