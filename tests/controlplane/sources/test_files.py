"""The file source on real directories, with real events from the kernel.

Each wait is for a condition, with a deadline: how fast the machine is does not matter.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from controlplane.reconcile import Reconciler
from controlplane.sources.documents import MAX_BYTES
from controlplane.sources.files import FileSource
from controlplane.sources.source import SourceResult, SourceState
from controlplane.table.live import LiveTable
from tests.controlplane.texts import eventually, joined, provider
from tests.fakes import FakeClock


class Follower:
    """A reconciler that follows a directory by events alone: its own pace is too slow to help."""

    def __init__(self, root: Path) -> None:
        self.live = LiveTable(random=lambda: 0.5)
        self.reconciler = Reconciler(
            FileSource(root), self.live, None, clock=FakeClock(), resync_s=3600.0
        )

    def names(self) -> list[str]:
        return sorted(self.live.table.providers)

    async def sees(self, *names: str) -> None:
        try:
            await eventually(lambda: sorted(names) == self.names())
        except TimeoutError:
            pytest.fail(f"expected {sorted(names)}, still {self.names()}")

    async def is_(self, state: SourceState) -> None:
        await eventually(lambda: state is self.reconciler.status().source.state)


@asynccontextmanager
async def following(root: Path) -> AsyncIterator[Follower]:
    follower = Follower(root)
    task = asyncio.create_task(follower.reconciler.run())
    try:
        yield follower
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def read(root: Path) -> SourceResult:
    return FileSource(root).read_now()


def told(result: SourceResult) -> list[str]:
    return [str(problem) for problem in result.problems]


def origins(result: SourceResult, root: Path) -> list[str]:
    return [os.path.relpath(document.origin, root) for document in result.documents]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    return directory


async def test_files_come_change_and_go(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    async with following(root) as follower:
        await follower.sees("a")

        (root / "b.yaml").write_text(joined(provider("b"), provider("c")))
        await follower.sees("a", "b", "c")

        (root / "b.yaml").write_text(provider("c"))
        await follower.sees("a", "c")

        (root / "a.yaml").unlink()
        await follower.sees("c")


async def test_a_change_of_equal_size_is_seen(root: Path) -> None:
    (root / "a.yaml").write_text(joined(provider("a"), provider("x")))
    async with following(root) as follower:
        await follower.sees("a", "x")
        for name in "bcdef":
            (root / "a.yaml").write_text(joined(provider(name), provider("x")))
            await follower.sees(name, "x")


async def test_an_editor_s_save_by_rename_is_seen(root: Path) -> None:
    (root / "a.yaml").write_text(joined(provider("a"), provider("x")))
    async with following(root) as follower:
        await follower.sees("a", "x")
        for name in "bcd":
            (root / ".a.yaml.swp").write_text(joined(provider(name), provider("x")))
            (root / ".a.yaml.swp").rename(root / "a.yaml")
            await follower.sees(name, "x")


async def test_a_half_written_file_keeps_its_last_good_objects(root: Path) -> None:
    whole = joined(provider("a"), provider("b"))
    (root / "a.yaml").write_text(whole)
    async with following(root) as follower:
        await follower.sees("a", "b")
        (root / "a.yaml").write_text(whole[:-5])
        await follower.is_(SourceState.DEGRADED)
        assert ["a", "b"] == follower.names()

        (root / "a.yaml").write_text(whole.replace("name: b", "name: c"))
        await follower.sees("a", "c")
        await follower.is_(SourceState.SYNCED)


async def test_a_truncated_file_keeps_its_last_good_objects(root: Path) -> None:
    (root / "a.yaml").write_text(joined(provider("a"), provider("b")))
    async with following(root) as follower:
        await follower.sees("a", "b")
        with (root / "a.yaml").open("r+") as file:
            file.truncate()
            await follower.is_(SourceState.DEGRADED)
            assert ["a", "b"] == follower.names()

            file.write(joined(provider("a"), provider("c")))
        await follower.sees("a", "c")


async def test_a_new_directory_inside_is_followed(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    async with following(root) as follower:
        await follower.sees("a")
        (root / "team" / "one").mkdir(parents=True)
        (root / "team" / "one" / "b.yml").write_text(provider("b"))
        await follower.sees("a", "b")

        (root / "team" / "one" / "c.json").write_text('{"kind": "List", "items": []}')
        (root / "team" / "one" / "d.yaml").write_text(provider("d"))
        await follower.sees("a", "b", "d")


class ConfigMap:
    """A ConfigMap's volume, changed in the kubelet's order."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.revision = 0

    def write(self, files: dict[str, str]) -> None:
        old = self.root / "..data"
        before = old.resolve() if old.exists() else None
        self.revision += 1
        fresh = self.root / f"..2026_11_25_{self.revision}"
        fresh.mkdir()
        for name, text in files.items():
            (fresh / name).write_text(text)
        link = self.root / "..data_tmp"
        link.symlink_to(fresh.name)
        link.rename(old)
        for name in files:
            if not (self.root / name).is_symlink():
                (self.root / name).symlink_to(f"..data/{name}")
        for entry in self.root.iterdir():
            if not entry.name.startswith("..") and entry.name not in files:
                entry.unlink()
        if before is not None:
            shutil.rmtree(before)


async def test_a_configmap_is_followed_through_its_swaps(root: Path) -> None:
    volume = ConfigMap(root)
    volume.write({"a.yaml": provider("a"), "x.yaml": provider("x")})
    async with following(root) as follower:
        await follower.sees("a", "x")
        for name in "bcd":
            volume.write({"a.yaml": provider(name), "x.yaml": provider("x")})
            await follower.sees(name, "x")

        volume.write({"a.yaml": provider("d"), "y.yaml": provider("y")})
        await follower.sees("d", "y")


async def test_a_mounted_subdirectory_of_a_configmap_s_volume_is_read(root: Path) -> None:
    data = root / "..1"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "a.yaml").write_text(provider("a"))
    (root / "..data").symlink_to("..1")
    (root / "sub").symlink_to("..data/sub")

    assert ["sub/a.yaml"] == origins(read(root), root)


async def test_a_git_sync_link_is_followed_through_its_swaps(tmp_path: Path) -> None:
    def check_out(revision: str, *names: str) -> None:
        tree = tmp_path / "git" / ".worktrees" / revision / "manifests"
        tree.mkdir(parents=True)
        for name in names:
            (tree / f"{name}.yaml").write_text(provider(name))
        link = tmp_path / "git" / "new"
        link.symlink_to(f".worktrees/{revision}")
        link.rename(tmp_path / "git" / "current")

    check_out("r1", "a", "x")
    async with following(tmp_path / "git" / "current" / "manifests") as follower:
        await follower.sees("a", "x")
        for revision, name in (("r2", "b"), ("r3", "c"), ("r4", "d")):
            check_out(revision, name, "x")
            await follower.sees(name, "x")

        (tmp_path / "git" / ".worktrees" / "r4" / "manifests" / "e.yaml").write_text(provider("e"))
        await follower.sees("d", "e", "x")


async def test_a_link_to_a_file_elsewhere_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "a.yaml"
    real.write_text(joined(provider("a"), provider("x")))
    (root / "a.yaml").symlink_to(real)
    async with following(root) as follower:
        await follower.sees("a", "x")
        real.write_text(joined(provider("b"), provider("x")))
        await follower.sees("b", "x")


async def test_a_directory_that_appears_later_is_followed(tmp_path: Path) -> None:
    root = tmp_path / "not" / "yet"
    async with following(root) as follower:
        await follower.is_(SourceState.MISSING)
        assert not follower.reconciler.ready.is_set()
        root.mkdir(parents=True)
        (root / "a.yaml").write_text(provider("a"))
        await follower.sees("a")

        (root / "b.yaml").write_text(provider("b"))
        await follower.sees("a", "b")


def make(directory: Path, text: str) -> None:
    directory.mkdir()
    (directory / "a.yaml").write_text(text)


def exchange(here: Path, new: Path, old: Path) -> None:
    here.rename(old)
    new.rename(here)


async def test_a_directory_that_is_deleted_keeps_its_objects_and_may_come_back(root: Path) -> None:
    (root / "a.yaml").write_text(joined(provider("a"), provider("x")))
    async with following(root) as follower:
        await follower.sees("a", "x")
        for name in "bc":
            before = follower.names()
            shutil.rmtree(root)
            await follower.is_(SourceState.MISSING)
            assert before == follower.names()

            make(root, joined(provider(name), provider("x")))
            await follower.sees(name, "x")
            (root / "y.yaml").write_text(provider("y"))
            await follower.sees(name, "x", "y")
            (root / "y.yaml").unlink()
            await follower.sees(name, "x")


async def test_a_directory_that_is_made_again_at_once_is_followed(root: Path) -> None:
    """File systems give the new directory the old one's inode; only the event tells them apart."""
    (root / "a.yaml").write_text(joined(provider("a"), provider("x")))
    async with following(root) as follower:
        await follower.sees("a", "x")
        for name in "bcdef":
            shutil.rmtree(root)
            make(root, joined(provider(name), provider("x")))
            await follower.sees(name, "x")
            (root / "y.yaml").write_text(provider("y"))
            await follower.sees(name, "x", "y")
            (root / "y.yaml").unlink()
            await follower.sees(name, "x")


async def test_a_directory_that_is_replaced_is_followed(root: Path, tmp_path: Path) -> None:
    (root / "a.yaml").write_text(joined(provider("a"), provider("x")))
    async with following(root) as follower:
        await follower.sees("a", "x")
        make(tmp_path / "new", joined(provider("b"), provider("x")))
        exchange(root, tmp_path / "new", tmp_path / "old")
        await follower.sees("b", "x")

        (root / "c.yaml").write_text(provider("c"))
        await follower.sees("b", "c", "x")


async def test_a_single_file_is_followed_through_replacement(tmp_path: Path) -> None:
    path = tmp_path / "llm.yaml"
    path.write_text(joined(provider("a"), provider("x")))
    async with following(path) as follower:
        await follower.sees("a", "x")
        for name in "bcd":
            (tmp_path / "new").write_text(joined(provider(name), provider("x")))
            (tmp_path / "new").rename(path)
            await follower.sees(name, "x")


async def test_hidden_and_other_files_do_not_wake(root: Path) -> None:
    source = FileSource(root)
    (root / "a.yaml").write_text(provider("a"))
    await source.read()
    points = source._points
    assert points is not None

    assert points.concern(str(root / "a.yaml"))
    assert points.concern(str(root / "..data"))
    assert not points.concern(str(root / ".git"))
    assert not points.concern(str(root.parent / "else.yaml"))
    assert points.concern(str(root))


async def test_the_watch_ends_when_cancelled(root: Path) -> None:
    source = FileSource(root)
    woken = asyncio.Event()
    await source.read()
    task = asyncio.create_task(source.watch(woken.set))
    async with asyncio.timeout(20):
        await woken.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_watch_waits_for_the_first_reading(root: Path) -> None:
    source = FileSource(root)
    woken = asyncio.Event()
    task = asyncio.create_task(source.watch(woken.set))
    await asyncio.sleep(0)
    assert not woken.is_set()
    await source.read()
    async with asyncio.timeout(20):
        await woken.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_files_are_found_in_order_whatever_their_ending(root: Path) -> None:
    for name in ("b.yml", "a.json", "c/d.yaml", "e.txt", ".hidden.yaml", ".git/x.yaml", "~.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(provider("p"))

    assert ["a.json", "b.yml", "c/d.yaml", "~.yaml"] == origins(read(root), root)


def test_the_origin_is_as_the_caller_wrote_the_path(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a.yaml").write_text("a")
    monkeypatch.chdir(root.parent)

    assert ["manifests/a.yaml"] == [item.origin for item in read(Path("manifests")).documents]
    assert ["manifests/a.yaml"] == [
        item.origin for item in read(Path("manifests/a.yaml")).documents
    ]


async def test_unchanged_files_give_the_same_documents(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    (root / "b.yaml").write_text(provider("b"))
    source = FileSource(root)
    first = (await source.read()).documents
    os.utime(root / "a.yaml")
    (root / "b.yaml").write_text(provider("c"))
    second = (await source.read()).documents

    assert first[0] is second[0]
    assert first[1] is not second[1]


async def test_a_change_that_leaves_size_and_time_alone_is_found(root: Path) -> None:
    """As after `cp -p` or within one tick of the file system's clock."""
    path = root / "a.yaml"
    path.write_text(provider("a"))
    source = FileSource(root)
    before = path.stat()
    for _ in range(3):
        await source.read()
    path.write_text(provider("b"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    (document,) = (await source.read()).documents

    assert "b" == document.content["metadata"]["name"]


def test_what_cannot_be_read_is_named_and_the_rest_read(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    (root / "b.yaml").write_bytes(b"\xff")
    (root / "c.yaml").write_text("#" * (MAX_BYTES + 1))
    (root / "d.yaml").symlink_to("nowhere")
    (root / "e.yaml").symlink_to("e.yaml")
    result = read(root)

    assert ["a.yaml"] == origins(result, root)
    assert [
        f"{root}/b.yaml:1: is not UTF-8",
        f"{root}/c.yaml: is larger than 1024 KiB",
        f"{root}/d.yaml: is a link to nothing",
        f"{root}/e.yaml: cannot be read: Too many levels of symbolic links",
    ] == sorted(told(result))
    assert {f"{root}/{name}.yaml" for name in "bcde"} == result.unreadable
    assert SourceState.DEGRADED is result.state
    assert f"4 files or directories cannot be read, first {root}/b.yaml" == result.detail


def test_a_file_that_fails_to_be_read_is_named(root: Path) -> None:
    (root / "a.yaml").symlink_to("/proc/self/mem")

    assert [f"{root}/a.yaml: cannot be read: Input/output error"] == told(read(root))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_without_permission_is_named(root: Path) -> None:
    (root / "sub").mkdir(mode=0)

    assert [f"{root}/sub: cannot be read: Permission denied"] == told(read(root))


def test_a_link_that_leads_back_is_walked_once(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "a.yaml").write_text(provider("a"))
    (root / "sub" / "loop").symlink_to(root)

    assert ["sub/a.yaml"] == origins(read(root), root)


def test_depth_is_bounded(root: Path) -> None:
    deep = root.joinpath(*["d"] * 17)
    deep.mkdir(parents=True)
    (deep / "a.yaml").write_text(provider("a"))
    result = read(root)

    assert [] == origins(result, root)
    assert [f"{root}{'/d' * 16}: is more than 16 directories deep"] == told(result)


def test_the_number_of_files_is_bounded(root: Path) -> None:
    for number in range(10_001):
        (root / f"{number:05}.yaml").touch()
    result = read(root)

    assert [f"{root}: holds more than 10000 files; the rest is not read"] == told(result)
    assert {str(root)} == result.unreadable


def test_a_pipe_is_no_manifest(root: Path) -> None:
    os.mkfifo(root / "a.yaml")

    assert [] == told(read(root))


def test_an_empty_file_that_never_held_anything_is_nothing(root: Path) -> None:
    (root / "a.yaml").touch()

    assert (SourceState.SYNCED, []) == (read(root).state, told(read(root)))


async def test_a_file_of_comments_holds_no_objects(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    source = FileSource(root)
    await source.read()
    (root / "a.yaml").write_text("# nothing any more\n")
    result = await source.read()

    assert (SourceState.SYNCED, ()) == (result.state, tuple(result.documents))


async def test_an_emptied_file_stays_unreadable_until_it_is_written(root: Path) -> None:
    (root / "a.yaml").write_text(provider("a"))
    source = FileSource(root)
    await source.read()
    (root / "a.yaml").write_text("")
    first, second = await source.read(), await source.read()
    (root / "a.yaml").write_text(provider("b"))
    third = await source.read()

    message = f"{root}/a.yaml: is empty now; delete the file to remove its objects"
    assert [[message], [message], []] == [told(first), told(second), told(third)]


def test_nothing_at_the_path_is_missing(tmp_path: Path) -> None:
    result = read(tmp_path / "none")

    assert SourceState.MISSING is result.state
    assert f"{tmp_path}/none does not exist, or may not be looked at" == result.detail


def test_a_link_at_the_path_that_leads_to_itself_is_missing(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert SourceState.MISSING is read(tmp_path / "loop").state


def test_a_key_that_is_gone_from_a_configmap_is_named(root: Path) -> None:
    ConfigMap(root).write({"a.yaml": provider("a")})
    (root / "b.yaml").symlink_to("..data/b.yaml")
    result = read(root)

    assert [f"{root}/b.yaml: is a link to nothing"] == told(result)
    assert ["a.yaml"] == origins(result, root)


def test_a_volume_whose_data_is_gone_is_not_an_empty_one(root: Path) -> None:
    (root / "..data").symlink_to("..gone")
    (root / "a.yaml").symlink_to("..data/a.yaml")
    result = read(root)

    assert SourceState.DEGRADED is result.state
    assert [f"{root}: changes faster than it can be read"] == told(result)
    assert {str(root)} == result.unreadable


async def test_a_directory_that_goes_before_it_is_watched_is_read_again(root: Path) -> None:
    source = FileSource(root)
    await source.read()
    shutil.rmtree(root)
    wakes = 0
    woken = asyncio.Event()

    def wake() -> None:
        nonlocal wakes
        wakes += 1
        woken.set()

    task = asyncio.create_task(source.watch(wake))
    try:
        async with asyncio.timeout(20):
            await woken.wait()
            assert SourceState.MISSING is (await source.read()).state
            make(root, provider("a"))
            seen = wakes
            await eventually(lambda: wakes > seen)
        assert [f"{root}/a.yaml"] == [item.origin for item in (await source.read()).documents]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_one_reading_never_mixes_two_revisions(root: Path) -> None:
    """While a ConfigMap is swapped over and over, each reading is one revision or a refusal."""
    volume = ConfigMap(root)

    def write(revision: int) -> None:
        volume.write({f"{name}.yaml": provider(f"{name}{revision}") for name in "abcde"})

    def swap(until: Callable[[], bool]) -> None:
        revision = 1
        while not until():
            revision += 1
            write(revision)

    write(1)
    source = FileSource(root)
    stop = asyncio.Event()
    swapping = asyncio.create_task(asyncio.to_thread(swap, stop.is_set))
    revisions = []
    try:
        for _ in range(200):
            result = await source.read()
            if result.state is SourceState.SYNCED:
                revisions.append({d.content["metadata"]["name"][1:] for d in result.documents})
    finally:
        stop.set()
        await swapping

    assert {1} == {len(revision) for revision in revisions}
