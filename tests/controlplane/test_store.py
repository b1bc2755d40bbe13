from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.store import CURRENT, PREDECESSOR, StoreError, TableStore
from controlplane.table.schema import Table
from tests.controlplane.texts import compiled, joined, provider, route


def table(generation: int) -> Table:
    from dataclasses import replace

    text = joined(provider(f"p{generation}"), route("chat", ["chat"], [f"p{generation}/m"]))
    return replace(compiled({"a.yaml": text}).table, generation=generation)


def test_a_saved_table_is_loaded_again(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "state" / "deep")
    store.save(table(1))

    loaded = store.load()

    assert table(1) == loaded.table
    assert () == loaded.damage


def test_nothing_on_disk_is_no_damage(tmp_path: Path) -> None:
    loaded = TableStore(tmp_path / "none").load()

    assert loaded.table is None
    assert () == loaded.damage


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "state")
    store.save(table(1))
    store.save(table(2))

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()
    }

    assert {CURRENT: 0o600, PREDECESSOR: 0o600} == modes
    assert 0o700 == stat.S_IMODE((tmp_path / "state").stat().st_mode)


def test_one_predecessor_is_kept(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    for generation in (1, 2, 3):
        store.save(table(generation))

    (tmp_path / CURRENT).unlink()
    loaded = store.load()

    assert table(2) == loaded.table


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damaged_byte_is_found_and_the_predecessor_taken(
    tmp_path: Path, data: st.DataObject
) -> None:
    store = TableStore(tmp_path)
    store.save(table(1))
    store.save(table(2))
    path = tmp_path / CURRENT
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)

    loaded = store.load()

    assert table(1) == loaded.table
    assert 1 == len(loaded.damage)
    assert str(path) in loaded.damage[0]


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"\xff" * 100])
def test_when_both_are_damaged_there_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CURRENT).write_bytes(content)
    (tmp_path / PREDECESSOR).write_bytes(content)

    loaded = TableStore(tmp_path).load()

    assert loaded.table is None
    assert 2 == len(loaded.damage)


def test_a_damaged_table_does_not_replace_a_good_predecessor(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.save(table(1))
    store.save(table(2))
    (tmp_path / CURRENT).write_bytes(b"damaged")
    store.save(table(3))
    (tmp_path / CURRENT).write_bytes(b"damaged")

    assert table(1) == store.load().table


def test_a_left_over_temporary_file_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "table.json.new").write_bytes(b"half")
    store = TableStore(tmp_path)
    store.save(table(1))

    assert table(1) == store.load().table
    assert [CURRENT] == [path.name for path in tmp_path.iterdir()]


def test_a_disk_that_refuses_is_one_error_and_changes_nothing(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    store.save(table(1))
    (tmp_path / "table.json.new").mkdir()

    with pytest.raises(StoreError, match=r"table\.json: "):
        store.save(table(2))

    assert table(1) == store.load().table


def test_a_directory_that_is_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    store = TableStore(tmp_path / "state")

    with pytest.raises(StoreError):
        store.save(table(1))
    assert store.load().table is None


def test_a_file_of_absurd_size_is_damage_and_not_read(tmp_path: Path) -> None:
    with (tmp_path / CURRENT).open("wb") as file:
        file.truncate(256 * 1024 * 1024 + 1)

    loaded = TableStore(tmp_path).load()

    assert (f"{tmp_path / CURRENT}: larger than 268435456 bytes",) == loaded.damage


def test_a_file_that_is_a_directory_is_damage(tmp_path: Path) -> None:
    (tmp_path / CURRENT).mkdir()

    loaded = TableStore(tmp_path).load()

    assert loaded.table is None
    assert 1 == len(loaded.damage)
