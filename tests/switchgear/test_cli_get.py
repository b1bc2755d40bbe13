"""`switchgear get` against a canned admin API."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from dataplane import codec
from switchgear.cli import main
from switchgear.cli_get import changes
from switchgear.client import ClientError
from tests.switchgear.faked_admin import REQUESTS, STATUS, Canned, canned


@pytest.fixture
def admin() -> Iterator[Canned]:
    with canned({"/status": STATUS, "/requests": REQUESTS}) as server:
        yield server


def get(admin: Canned, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["get", *arguments, "--admin", admin.url])
    assert 0 == result.exit_code, result.output
    return result.output


def cells(line: str) -> list[str]:
    return [cell for cell in (part.strip() for part in line.split("   ")) if cell]


def test_providers_show_breaker_health_and_latency(admin: Canned) -> None:
    head, first, second, third = get(admin, "providers").splitlines()

    assert ["NAME", "TYPE", "BREAKER", "HEALTH", "LATENCY", "IN FLIGHT", "CREDENTIAL"] == cells(
        head
    )
    assert [
        "local-a",
        "VLLM",
        "open (12s) 1/2",
        "unhealthy: connect failed",
        "8.2ms",
        "0/256",
        "none",
    ] == cells(first)
    assert ["cloud", "OpenAI", "closed", "healthy", "-", "2/256", "refused (1m01s)"] == cells(
        second
    )
    assert ["parked", "Ollama", "-", "suspended", "-", "0/16", "none"] == cells(third)


def test_columns_are_aligned(admin: Canned) -> None:
    lines = get(admin, "providers").splitlines()
    places = {
        line.index(word) for line, word in zip(lines, ("TYPE", "VLLM", "OpenAI"), strict=False)
    }

    assert 1 == len(places)


def test_wide_adds_where_how_much_and_the_last_error(admin: Canned) -> None:
    line = cells(get(admin, "providers", "-o", "wide").splitlines()[1])

    assert ["http://127.0.0.1:8000/v1", "connection (1m15s ago)"] == line[-2:]
    assert ["42", "3"] == line[7:9]


def test_targets_show_each_model_and_why_it_is_out(admin: Canned) -> None:
    lines = get(admin, "targets", "-o", "wide").splitlines()

    assert 4 == len(lines)
    assert ["local-a", "tiny", "open (12s)", "no: circuit_open"] == cells(lines[1])[:4]
    assert ["25%", "2s", "-"] == cells(lines[2])[-3:]
    assert ["cloud", "gpt-4o-mini", "closed", "yes"] == cells(lines[3])[:4]


def test_routes_count_the_available_targets(admin: Canned) -> None:
    line = get(admin, "routes").splitlines()[1]

    assert [
        "chat",
        "chat,gpt-4o*",
        "PriorityWithFallback",
        "1/2",
        "local-a/tiny, cloud/gpt-4o-mini",
    ] == cells(line)
    assert "local-a/tiny (priority 1, weight 1)" in get(admin, "routes", "-o", "wide")


def test_requests_show_the_path_of_each_oldest_first(admin: Canned) -> None:
    lines = get(admin, "requests").splitlines()

    assert ["chat", "failed", "local-a 503", "3.5ms"] == cells(lines[1])[1:]
    assert ["chat", "served", "local-a circuit_open > cloud served", "812ms"] == cells(lines[2])[1:]
    assert ["200", "yes", "chat", "req-2"] == cells(
        get(admin, "requests", "-o", "wide").splitlines()[2]
    )[-4:]


def test_a_name_picks_one_and_a_singular_kind_will_do(admin: Canned) -> None:
    lines = get(admin, "provider", "cloud").splitlines()

    assert 2 == len(lines)
    assert lines[1].startswith("cloud ")


def test_an_unknown_name_lists_the_known(admin: Canned) -> None:
    result = CliRunner().invoke(main, ["get", "providers", "clod", "--admin", admin.url])

    assert 1 == result.exit_code
    assert 'no providers named "clod"; there are: local-a, cloud, parked' in result.output


def test_json_and_yaml_are_for_programs(admin: Canned) -> None:
    expected: Any = {"routes": STATUS["routes"]}

    assert expected == codec.decode(get(admin, "routes", "-o", "json"))
    assert expected == yaml.safe_load(get(admin, "routes", "-o", "yaml"))


def test_an_unknown_kind_names_the_kinds(admin: Canned) -> None:
    result = CliRunner().invoke(main, ["get", "pods", "--admin", admin.url])

    assert 2 == result.exit_code
    assert "'pods' is not one of providers, targets, routes, requests" in result.output


def test_nothing_there_says_where_it_looked() -> None:
    empty = {**STATUS, "providers": [], "routes": []}
    with canned({"/status": empty, "/requests": {"requests": []}}) as admin:
        assert "no providers in /etc/manifests\n" == get(admin, "providers")
        assert "no targets in /etc/manifests\n" == get(admin, "targets")
        assert "no routes in /etc/manifests\n" == get(admin, "routes")
        assert "no requests yet\n" == get(admin, "requests")


def test_another_server_is_not_taken_for_switchgear() -> None:
    with canned({"/status": {"hello": 1}, "/requests": (200, {}, b"<html>")}) as admin:
        other = CliRunner().invoke(main, ["get", "routes", "--admin", admin.url])
        html = CliRunner().invoke(main, ["get", "requests", "--admin", admin.url])

    assert (1, 1) == (other.exit_code, html.exit_code)
    assert "is it switchgear's admin address?" in other.output
    assert "not JSON" in html.output


def test_watching_shows_changes_only_and_survives_a_restart() -> None:
    sights = iter(["a", "a", ClientError("away"), ClientError("away"), "a", "b"])
    pauses = 0

    def look() -> str:
        sight = next(sights)
        if isinstance(sight, ClientError):
            raise sight
        return sight

    def pause() -> None:
        nonlocal pauses
        pauses += 1

    watched = changes(look, pause)

    assert ["a", "(away)", "a", "b"] == [next(watched) for _ in range(4)]
    assert 5 == pauses


def test_watching_what_was_never_there_fails_at_once() -> None:
    def look() -> str:
        raise ClientError("away")

    with pytest.raises(ClientError, match="away"):
        next(changes(look, lambda: None))


def test_watching_goes_on_until_it_is_interrupted(admin: Canned) -> None:
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "switchgear", "get", "routes", "--watch"),
            *("--interval=0.1", f"--admin={admin.url}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(2)]
        admin.answers["/status"] = {**STATUS, "routes": []}
        second = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert ["NAME", "chat"] == [line.split()[0] for line in first]
    assert "no routes in /etc/manifests\n" == second
    assert (0, "") == (process.returncode, rest)


def test_workers_are_shown_with_what_they_do() -> None:
    worker = {
        "worker": 1,
        "pid": 4711,
        "state": "serving",
        "generation": 3,
        "starts": 2,
        "inFlight": 4,
        "connections": 5,
    }
    with canned({"/status": {**STATUS, "workers": [worker]}}) as admin:
        head, line = get(admin, "workers", "-o", "wide").splitlines()
        short = get(admin, "worker").splitlines()[1]

    assert ["WORKER", "STATE", "GENERATION", "IN FLIGHT", "CONNECTIONS", "PROCESS", "STARTS"] == (
        cells(head)
    )
    assert ["1", "serving", "3", "4", "5", "4711", "2"] == cells(line)
    assert ["1", "serving", "3", "4", "5"] == cells(short)


def test_without_workers_one_process_serves_all() -> None:
    with canned({"/status": {**STATUS, "workers": []}}) as admin:
        assert "one process serves all" == get(admin, "workers").strip()
