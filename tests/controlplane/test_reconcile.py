from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from controlplane.reconcile import MANY, Reconciler
from controlplane.sources.source import SourceResult, SourceState
from controlplane.store import CURRENT, TableStore
from controlplane.table.live import LiveTable, Permit
from controlplane.table.outcome import Outcome, OutcomeKind
from controlplane.table.schema import Table
from tests.controlplane.texts import eventually, joined, provider, read_all, route
from tests.fakes import FakeClock

FILES = {"a.yaml": provider("a"), "r.yaml": route("r", ["m"], ["a/x"])}
EMPTY = SourceResult(documents=())
MISSING = SourceResult(documents=(), state=SourceState.MISSING, detail="there is nothing")
DEADLINE_S = 20.0


def result(
    files: dict[str, str],
    state: SourceState = SourceState.SYNCED,
    unreadable: frozenset[str] = frozenset(),
) -> SourceResult:
    return SourceResult(documents=read_all(files), state=state, unreadable=unreadable)


@dataclass
class FakeSource:
    """Reads what it was last told, and counts."""

    now: SourceResult | Exception
    kind: str = "files"
    path: str = "dir"
    reads: int = 0
    watches: int = 0
    watch_fails: bool = False
    wake: Callable[[], None] = lambda: None
    was_read: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.watches += 1
        if self.watch_fails:
            raise OSError("no watches left")
        await asyncio.Event().wait()

    async def read(self) -> SourceResult:
        self.reads += 1
        async with self.was_read:
            self.was_read.notify_all()
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


class Loop:
    """A reconciler at work, and what it installed."""

    def __init__(
        self,
        source: FakeSource,
        store: TableStore | None = None,
        *,
        resync_s: float = 3600.0,
        listener: Callable[[Table], None] | None = None,
    ) -> None:
        self.source = source
        self.clock = FakeClock()
        self.live = LiveTable(random=lambda: 0.5)
        self.installed: list[Table] = []
        self.listener = listener
        self.reconciler = Reconciler(
            source,
            self.live,
            store,
            clock=self.clock,
            resync_s=resync_s,
            on_install=self._installed,
            hold_s=30.0,
        )

    def _installed(self, table: Table) -> None:
        self.installed.append(table)
        if self.listener is not None:
            self.listener(table)

    async def say(self, now: SourceResult | Exception) -> None:
        """Change what the source says, and wait until that was worked off."""
        self.source.now = now
        await self.settle()

    async def settle(self) -> None:
        """Let a round under way end, then wait for a whole one."""
        rounds = self.rounds
        for count in (1, 2):
            self.source.wake()
            await eventually(partial(self.has_gone_round, rounds + count))

    def has_gone_round(self, times: int) -> bool:
        return self.rounds >= times

    @property
    def rounds(self) -> int:
        return self.reconciler.status().rounds

    @property
    def providers(self) -> list[str]:
        return sorted(self.live.table.providers)


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[Loop]:
    task = asyncio.create_task(loop.reconciler.run())
    try:
        while not loop.source.watches:
            await asyncio.sleep(0)
        yield loop
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_first_reading_installs_a_table() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        async with asyncio.timeout(DEADLINE_S):
            await loop.reconciler.first()

        assert [1] == [table.generation for table in loop.installed]
        assert loop.installed[0] is loop.live.table


async def test_a_change_installs_the_next_generation_and_no_change_installs_nothing() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        await loop.say(result(FILES))
        await loop.say(result(FILES | {"b.yaml": provider("b")}))

        assert [1, 2] == [table.generation for table in loop.installed]
        assert ["a", "b"] == loop.providers


async def test_a_burst_is_merged_and_the_newest_wins() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        before = loop.source.reads
        for number in range(100):
            loop.source.now = result(FILES | {"b.yaml": provider(f"b{number}")})
            loop.source.wake()
        await loop.settle()

        assert ["a", "b99"] == loop.providers
        assert loop.source.reads - before < 10


async def test_everything_is_read_again_without_any_event() -> None:
    async with running(Loop(FakeSource(result(FILES)), resync_s=0.01)) as loop:
        async with asyncio.timeout(DEADLINE_S), loop.source.was_read:
            await loop.source.was_read.wait_for(lambda: loop.source.reads >= 5)

        assert 1 == len(loop.installed)


@pytest.mark.parametrize(
    "trouble",
    [OSError("disk on fire"), ValueError(), MISSING, SourceResult(documents=(), state=SourceState.DEGRADED)],
    ids=["os error", "any error", "missing", "nothing readable"],
)  # fmt: skip
async def test_trouble_with_the_source_changes_nothing_in_force(
    trouble: SourceResult | Exception,
) -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        await loop.say(trouble)
        status = loop.reconciler.status()

        assert 1 == len(loop.installed)
        assert ["a"] == loop.providers
        assert SourceState.SYNCED is not status.source.state

        await loop.say(result(FILES | {"b.yaml": provider("b")}))

        assert ["a", "b"] == loop.providers
        assert SourceState.SYNCED is loop.reconciler.status().source.state


async def test_trouble_is_told_with_its_words_and_age() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        loop.clock.advance(5.0)
        await loop.say(OSError("disk on fire"))
        status = loop.reconciler.status()

        assert ("degraded", "OSError: disk on fire") == (status.source.state, status.source.detail)
        assert 5.0 == status.last_success_age_s


@pytest.mark.parametrize(
    "nothing", [MISSING, SourceResult(documents=(), state=SourceState.DEGRADED), OSError("x")]
)
async def test_without_any_table_a_source_in_trouble_is_not_an_empty_table(
    nothing: SourceResult | Exception,
) -> None:
    async with running(Loop(FakeSource(nothing))) as loop:
        await loop.settle()

        assert not loop.reconciler.ready.is_set()
        assert [] == loop.installed
        assert loop.reconciler.status().last_success_age_s is None


async def test_problems_of_the_manifests_stay_told_while_the_source_is_missing() -> None:
    bad = result(FILES | {"b.yaml": provider("b", "oops: 1")})
    async with running(Loop(FakeSource(bad))) as loop:
        await loop.settle()
        await loop.say(MISSING)

        assert ["LLMProvider/b"] == [item.object for item in loop.reconciler.status().problems]


async def test_an_empty_source_in_order_is_an_empty_table() -> None:
    async with running(Loop(FakeSource(EMPTY))) as loop:
        await loop.settle()

        assert loop.reconciler.ready.is_set()
        assert [1] == [table.generation for table in loop.installed]


async def test_what_can_be_read_is_in_force_though_another_file_cannot() -> None:
    partly = result(FILES, SourceState.DEGRADED, frozenset({"b.yaml"}))
    async with running(Loop(FakeSource(partly))) as loop:
        await loop.settle()

        assert ["a"] == loop.providers
        assert loop.reconciler.status().last_success_age_s is None


async def test_a_bad_document_leaves_the_last_good_one_in_force() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        await loop.say(result(FILES | {"a.yaml": provider("a", "oops: 1")}))
        status = loop.reconciler.status()

        assert 1 == len(loop.installed)
        assert ["LLMProvider/a"] == [problem.object for problem in status.problems]
        told = {
            str(item.key): {c.type: c.status for c in item.conditions}
            for item in loop.reconciler.objects()
        }
        assert "False" == told["LLMProvider/a"]["Ready"]
        assert "True" == told["LLMRoute/r"]["Ready"]

        await loop.say(result(FILES))

        assert [] == list(loop.reconciler.status().problems)


FOUR = joined(*(provider(name) for name in "abcd"))


async def test_losing_most_providers_at_once_is_held_and_then_believed() -> None:
    async with running(Loop(FakeSource(result({"a.yaml": FOUR})))) as loop:
        await loop.settle()
        await loop.say(result({"a.yaml": joined(provider("a"), provider("new"))}))

        assert ["a", "b", "c", "d", "new"] == loop.providers
        assert "3 of 4 providers are gone" in loop.reconciler.status().braked
        told = {
            item.key.name: [c.type for c in item.conditions if c.type == "Reconciling"]
            for item in loop.reconciler.objects()
        }
        assert {
            "a": [],
            "new": [],
            "b": ["Reconciling"],
            "c": ["Reconciling"],
            "d": ["Reconciling"],
        } == told

        loop.clock.advance(29.0)
        await loop.settle()
        assert 5 == len(loop.providers)

        loop.clock.advance(1.0)
        await loop.settle()
        assert ["a", "new"] == loop.providers
        assert "" == loop.reconciler.status().braked


async def test_losing_most_providers_for_a_moment_loses_none() -> None:
    async with running(Loop(FakeSource(result({"a.yaml": FOUR})))) as loop:
        await loop.settle()
        await loop.say(result({"a.yaml": provider("a")}))
        loop.clock.advance(20.0)
        await loop.say(result({"a.yaml": FOUR}))
        loop.clock.advance(20.0)
        await loop.settle()

        assert 1 == len(loop.installed)


async def test_an_emptied_source_never_empties_the_table() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        await loop.say(EMPTY)
        loop.clock.advance(1e6)
        await loop.settle()

        assert ["a"] == loop.providers
        assert ["r"] == list(loop.live.table.routes)
        assert "never emptied" in loop.reconciler.status().braked


async def test_a_held_loss_is_believed_without_any_event() -> None:
    """The loop wakes by itself when the brake's time is over."""
    async with running(Loop(FakeSource(result({"a.yaml": FOUR})))) as loop:
        await loop.settle()
        await loop.say(result({"a.yaml": provider("a")}))
        loop.clock.advance(29.99)
        await loop.settle()
        before = loop.source.reads
        async with asyncio.timeout(DEADLINE_S), loop.source.was_read:
            await loop.source.was_read.wait_for(lambda: loop.source.reads > before)


async def test_a_table_from_the_disk_serves_until_the_source_is_back(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    async with running(Loop(FakeSource(result(FILES)), store)) as loop:
        await loop.settle()
        first = loop.live.table

    async with running(Loop(FakeSource(MISSING), store)) as loop:
        await loop.settle()
        status = loop.reconciler.status()

        assert first == loop.live.table
        assert loop.reconciler.ready.is_set()
        assert status.started_from_disk
        assert ("missing", "there is nothing") == (status.source.state, status.source.detail)
        assert ["LLMProvider/a", "LLMRoute/r"] == sorted(
            str(item.key) for item in loop.reconciler.objects()
        )

        await loop.say(result(FILES))
        assert first == loop.live.table, "the same content is not installed again"
        assert not loop.reconciler.status().started_from_disk

        await loop.say(result(FILES | {"b.yaml": provider("b")}))
        assert 2 == loop.live.table.generation


async def test_after_a_restart_a_bad_document_still_falls_back(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    async with running(Loop(FakeSource(result(FILES)), store)) as loop:
        await loop.settle()
    bad = FILES | {"a.yaml": provider("a", "oops: 1")}

    async with running(Loop(FakeSource(result(bad)), store)) as loop:
        await loop.settle()

        assert ["a"] == loop.providers


async def test_damage_on_disk_is_told_and_repaired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = TableStore(tmp_path)
    (tmp_path / CURRENT).write_bytes(b"damaged")
    async with running(Loop(FakeSource(result(FILES)), store)) as loop:
        await loop.settle()

        assert loop.live.table == store.load().table
        assert "" == loop.reconciler.status().store_detail
    assert "is of no use" in caplog.text


async def test_the_predecessor_on_disk_serves_and_is_written_again(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    async with running(Loop(FakeSource(result(FILES)), store)) as loop:
        await loop.settle()
        first = loop.live.table
        await loop.say(result(FILES | {"b.yaml": provider("b")}))
    (tmp_path / CURRENT).write_bytes(b"damaged")

    async with running(Loop(FakeSource(MISSING), store)) as loop:
        await loop.settle()

        assert first == loop.live.table
        assert first == TableStore(tmp_path).load().table
        assert () == TableStore(tmp_path).load().damage
        assert "" == loop.reconciler.status().store_detail


async def test_a_disk_that_refuses_is_told_and_tried_again(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_bytes(b"")
    async with running(Loop(FakeSource(result(FILES)), TableStore(blocked))) as loop:
        await loop.settle()

        assert ["a"] == loop.providers
        assert "table.json" in loop.reconciler.status().store_detail

        blocked.unlink()
        await loop.settle()

        assert (blocked / CURRENT).exists()
        assert "" == loop.reconciler.status().store_detail


async def test_a_watch_that_fails_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    source = FakeSource(result(FILES), watch_fails=True)
    async with running(Loop(source)) as loop:
        async with asyncio.timeout(DEADLINE_S), source.was_read:
            await source.was_read.wait_for(lambda: source.reads >= 2)

        assert ["a"] == loop.providers
    assert "watching dir failed: OSError: no watches left" in caplog.text


async def test_a_listener_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def listener(_table: Table) -> None:
        raise RuntimeError("listener")

    async with running(Loop(FakeSource(result(FILES)), listener=listener)) as loop:
        await loop.settle()
        await loop.say(result(FILES | {"b.yaml": provider("b")}))

        assert ["a", "b"] == loop.providers
    assert "a listener failed" in caplog.text


async def test_a_fault_while_applying_keeps_what_is_in_force() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        await loop.say(SourceResult(documents=[None]))  # type: ignore[list-item]
        status = loop.reconciler.status()

        assert ["a"] == loop.providers
        assert "degraded" == status.source.state
        assert status.source.detail.startswith("AttributeError")


async def test_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    bad = result(FILES | {"a.yaml": provider("a", "oops: 1")})
    with caplog.at_level(logging.WARNING):
        async with running(Loop(FakeSource(bad))) as loop:
            await loop.settle()
            await loop.settle()

    assert 1 == sum("oops" in record.getMessage() for record in caplog.records)


async def test_an_open_breaker_shows_as_unhealthy_and_stays_ready() -> None:
    async with running(Loop(FakeSource(result(FILES)))) as loop:
        await loop.settle()
        table = loop.live.table
        for _ in range(3):
            permit = loop.live.admit(table.routes["r"].targets[0], table, loop.clock())
            assert isinstance(permit, Permit)
            loop.live.record(permit, Outcome(kind=OutcomeKind.FAILURE), loop.clock())

        told = {
            str(item.key): {c.type: f"{c.status}/{c.reason}" for c in item.conditions}
            for item in loop.reconciler.objects()
        }

        for name in ("LLMProvider/a", "LLMRoute/r"):
            assert "False/CircuitOpen" == told[name]["Healthy"]
            assert "True/Ready" == told[name]["Ready"]


async def test_status_before_the_first_reading() -> None:
    status = Loop(FakeSource(MISSING)).reconciler.status()

    assert (0, "", "not read yet") == (status.generation, status.version, status.source.detail)
    assert ("files", "dir", "missing") == (
        status.source.kind,
        status.source.path,
        status.source.state,
    )


async def test_the_first_table_is_on_disk_before_it_serves(tmp_path: Path) -> None:
    """A crash in the very first moment must find a table to start from."""
    store = TableStore(tmp_path)
    on_disk: list[Table | None] = []

    def installed(_table: Table) -> None:
        on_disk.append(store.load().table)

    loop = Loop(FakeSource(result(FILES)), store, listener=installed)
    async with running(loop):
        await loop.settle()

    assert [loop.live.table] == on_disk


async def test_others_run_while_many_problems_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand bad documents are ten thousand lines, but not one long pause."""
    turns = 0
    logged: list[int] = []

    async def spin() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.ERROR:
                logged.append(turns)

    bad = {f"{number}.yaml": "kind: LLMProvider\n" for number in range(400)}
    caplog.set_level(logging.CRITICAL, "controlplane.reconcile")
    logger = logging.getLogger("controlplane.reconcile")
    handler = Noting()
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    spinning = asyncio.create_task(spin())
    try:
        async with running(Loop(FakeSource(EMPTY))) as loop:
            await loop.say(result(bad))
    finally:
        spinning.cancel()
        logger.removeHandler(handler)

    assert len(logged) >= 400
    assert max(logged.count(turn) for turn in set(logged)) <= 50


@pytest.mark.parametrize(("count", "frozen"), [(MANY - 1, False), (MANY, True)])
async def test_many_fresh_objects_are_left_alone_by_the_collector(
    count: int,
    frozen: bool,
) -> None:
    """They live as long as the table; a full collection would look through them all at once."""
    many = {"many.yaml": joined(*(provider(f"p{number}") for number in range(count)))}
    gc.unfreeze()
    try:
        async with running(Loop(FakeSource(EMPTY))) as loop:
            await loop.say(result(many))

            assert count == len(loop.providers)
            assert frozen is (gc.get_freeze_count() > 0)
    finally:
        gc.unfreeze()
