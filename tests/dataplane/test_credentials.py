"""Secrets are read where they are used, and again when they change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.table.schema import CredentialKind, CredentialRef
from dataplane.credentials import RECHECK_S, Credentials
from tests.fakes import FakeClock

MOUNTED = CredentialRef(kind=CredentialKind.SECRET_KEY_REF, name="llm-keys", key="openai")


def credentials(
    root: Path, clock: FakeClock, changed: list[CredentialRef] | None = None, **environ: str
) -> Credentials:
    return Credentials(
        environ=environ,
        secrets_root=root,
        clock=clock,
        on_change=changed.append if changed is not None else None,
    )


def test_env_is_read_by_name(tmp_path: Path) -> None:
    subject = credentials(tmp_path, FakeClock(), KEY="  sk-1\n")

    assert "sk-1" == subject.value(CredentialRef(kind=CredentialKind.ENV, name="KEY"))
    assert subject.value(CredentialRef(kind=CredentialKind.ENV, name="OTHER")) is None


def test_a_mounted_secret_is_read_by_name_and_key(tmp_path: Path) -> None:
    (tmp_path / "llm-keys").mkdir()
    (tmp_path / "llm-keys" / "openai").write_text("sk-2\n")

    assert "sk-2" == credentials(tmp_path, FakeClock()).value(MOUNTED)


@pytest.mark.parametrize(
    "content", [b"", b"  \n", b"two\nlines", b"caf\xc3\xa9", b"\xff\xfe", b"x" * 9000, b"a\x00b"]
)
def test_what_no_header_can_carry_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))

    assert credentials(tmp_path, FakeClock()).value(ref) is None


def test_a_folder_in_place_of_a_file_counts_as_missing(tmp_path: Path) -> None:
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(tmp_path))

    assert credentials(tmp_path, FakeClock()).value(ref) is None


def test_a_rotated_file_is_read_again_after_a_second_and_reported(tmp_path: Path) -> None:
    file, clock, changed = tmp_path / "key", FakeClock(), list[CredentialRef]()
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    subject = credentials(tmp_path, clock, changed)
    file.write_text("old")
    first = subject.value(ref)
    replacement = tmp_path / "new"
    replacement.write_text("new")
    replacement.rename(file)

    assert ("old", "old") == (first, subject.value(ref))

    clock.advance(RECHECK_S)

    assert "new" == subject.value(ref)
    assert [ref] == changed


def test_a_secret_that_appears_is_reported(tmp_path: Path) -> None:
    clock, changed = FakeClock(), list[CredentialRef]()
    subject = credentials(tmp_path, clock, changed)
    assert subject.value(MOUNTED) is None
    (tmp_path / "llm-keys").mkdir()
    (tmp_path / "llm-keys" / "openai").write_text("sk-3")
    clock.advance(RECHECK_S)

    assert "sk-3" == subject.value(MOUNTED)
    assert [MOUNTED] == changed


def test_a_secret_that_vanishes_is_missing(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", FakeClock()
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    subject = credentials(tmp_path, clock)
    file.write_text("old")
    subject.value(ref)
    file.unlink()
    clock.advance(RECHECK_S)

    assert subject.value(ref) is None


def test_refresh_reads_at_once_and_tells_a_change(tmp_path: Path) -> None:
    file = tmp_path / "key"
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    subject = credentials(tmp_path, FakeClock())
    file.write_text("old")
    subject.value(ref)
    unchanged = subject.refresh(ref)
    file.write_text("new")
    os.utime(file, ns=(1, 1))

    assert not unchanged
    assert subject.refresh(ref)
    assert "new" == subject.value(ref)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", FakeClock()
    ref = CredentialRef(kind=CredentialKind.FILE, name=str(file))
    subject = credentials(tmp_path, clock)
    file.write_text("aaa")
    os.utime(file, ns=(5, 5))
    subject.value(ref)
    # The same size, inode and time, which no real change keeps: what is cached must be used.
    with file.open("r+") as handle:
        handle.write("bbb")
    os.utime(file, ns=(5, 5))
    clock.advance(RECHECK_S)

    assert "aaa" == subject.value(ref)


def test_env_never_changes_under_a_running_process(tmp_path: Path) -> None:
    subject = credentials(tmp_path, FakeClock(), KEY="sk-1")

    assert not subject.refresh(CredentialRef(kind=CredentialKind.ENV, name="KEY"))
