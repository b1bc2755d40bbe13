"""Settings: every text that is taken, every one that is refused, and what is unsafe."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from switchgear.settings import (
    MAX_WORKERS,
    MIB,
    Address,
    Settings,
    SettingsError,
    default_state_dir,
    parse_address,
    parse_header_attribute,
    parse_size,
)

STATE = Path("/state")


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:4141", "127.0.0.1", 4141, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        ("localhost:0", "localhost", 0, True),
        ("[::1]:65535", "::1", 65535, True),
        ("0.0.0.0:4141", "0.0.0.0", 4141, False),
        ("[::]:4141", "::", 4141, False),
        ("10.0.0.7:80", "10.0.0.7", 80, False),
        ("gateway.example:80", "gateway.example", 80, False),
    ],
)
def test_addresses_are_read_and_known_as_loopback_or_not(
    text: str, host: str, port: int, loopback: bool
) -> None:
    address = parse_address(text)

    assert Address(host=host, port=port) == address
    assert loopback == address.is_loopback
    assert text == str(address)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("4141", "is not HOST:PORT"),
        (":4141", "is not HOST:PORT"),
        ("", "is not HOST:PORT"),
        ("::1:4141", "is not HOST:PORT"),
        ("127.0.0.1:", "the port must be a number"),
        ("127.0.0.1:http", "the port must be a number"),
        ("127.0.0.1:65536", "the port must be a number"),
        ("127.0.0.1:-1", "the port must be a number"),
        ("127.0.0.1:٣", "the port must be a number"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(text: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        parse_address(text)


@given(st.text(max_size=30))
def test_any_text_is_an_address_or_a_settings_error(text: str) -> None:
    try:
        address = parse_address(text)
    except SettingsError:
        return
    assert 0 <= address.port <= 65535


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("32MiB", 32 * MIB),
        ("32 mib", 32 * MIB),
        ("1.5KiB", 1536),
        ("500kB", 500_000),
        ("2MB", 2_000_000),
        ("1GiB", 1024 * MIB),
        ("1gb", 10**9),
        ("77", 77),
        ("77B", 77),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert size == parse_size(text)


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1e6", "32 megs", "0", "0.1", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="size"):
        parse_size(text)


def test_header_attributes_are_read_with_the_header_in_lower_case() -> None:
    assert ("x-session-id", "gen_ai.conversation.id") == parse_header_attribute(
        "X-Session-Id = gen_ai.conversation.id"
    )


@pytest.mark.parametrize("text", ["x-tenant", "x-tenant=", "=tenant.id", "x tenant=tenant.id"])
def test_what_is_no_header_attribute_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not HEADER=ATTRIBUTE"):
        parse_header_attribute(text)


@pytest.mark.parametrize("name", ["listen", "admin"])
def test_a_wide_address_needs_to_be_allowed(name: str) -> None:
    wide = Address(host="0.0.0.0", port=9000)

    with pytest.raises(SettingsError, match=rf"--{name} 0\.0\.0\.0:9000: .*--allow-remote"):
        Settings(state_dir=STATE, **{name: wide})  # type: ignore[arg-type]  # one of two names
    allowed = Settings(state_dir=STATE, allow_remote=True, **{name: wide})  # type: ignore[arg-type]
    assert wide == getattr(allowed, name)


def test_no_two_ports_are_the_same() -> None:
    same = Address(host="127.0.0.1", port=4141)

    with pytest.raises(SettingsError, match=r"have the same port"):
        Settings(state_dir=STATE, listen=same, admin=same)


def test_two_free_ports_are_not_the_same_port() -> None:
    free = Address(host="127.0.0.1", port=0)

    assert free == Settings(state_dir=STATE, listen=free, admin=free).listen


def test_each_manifest_directory_has_a_table_folder_of_its_own() -> None:
    files = {
        Settings(state_dir=STATE, manifests=manifests).table_dir
        for manifests in (Path("/a"), Path("/b"), Path("/a/../b"), None)
    }

    assert 4 == len(files)
    assert {STATE} == {file.parent for file in files}
    assert (
        Settings(state_dir=STATE, manifests=Path("here")).table_dir
        == Settings(state_dir=STATE, manifests=Path.cwd() / "here").table_dir
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/switchgear"),
        ({"HOME": "/h"}, "/h/.local/state/switchgear"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/switchgear"),
    ],
)
def test_state_belongs_where_the_xdg_specification_says(
    environment: dict[str, str], expected: str
) -> None:
    assert Path(expected) == default_state_dir(environment)


def test_without_a_home_the_message_names_the_flag() -> None:
    with pytest.raises(SettingsError, match="--state-dir"):
        default_state_dir({})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"workers": 0}, "--workers 0: must be from 1"),
        ({"workers": -1}, "--workers -1: must be from 1"),
        ({"workers": MAX_WORKERS + 1}, f"to {MAX_WORKERS}; more than there are cores"),
        ({"workers": 4, "max_in_flight": 3}, "--max-in-flight 3 is shared out among --workers 4"),
        ({"workers": 4, "max_connections": 3}, "--max-connections 3 is shared out among"),
    ],
)
def test_a_number_of_workers_that_cannot_work_is_refused(
    settings: dict[str, int], why: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        Settings(state_dir=Path("/s"), **settings)  # type: ignore[arg-type]


def test_a_system_that_cannot_share_ports_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")

    with pytest.raises(SettingsError, match="has no SO_REUSEPORT"):
        Settings(state_dir=Path("/s"), workers=2)
    assert 1 == Settings(state_dir=Path("/s")).workers


def test_as_many_workers_as_there_may_be_are_taken() -> None:
    assert MAX_WORKERS == Settings(state_dir=Path("/s"), workers=MAX_WORKERS).workers
