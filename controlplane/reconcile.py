"""The control loop: wake, accept, compile, install, report.

It is level-triggered: a wake-up only means that reading may be worth while, each reading is of the
whole set, and everything is read again at its own pace, so that a missed event heals. Nothing that
a source, a manifest or a disk does ends the loop or empties the table.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from controlplane.brake import Brake
from controlplane.compile import Compiled, compile_table
from controlplane.last_good import NOTHING_GOOD, LastGood
from controlplane.problems import Problem, Severity, by_place
from controlplane.sources.source import Source, SourceResult, SourceState
from controlplane.status import Conditions, ObjectStatus, ReconcileStatus, SourceStatus
from controlplane.store import StoreError, TableStore
from controlplane.table.layout import Prepared, prepare
from controlplane.table.live import LiveTable
from controlplane.table.schema import Table
from controlplane.verdict import Verdict

_logger = logging.getLogger(__name__)

MANY = 500
"""Fresh documents of one reading from which on the cycle collector is told to leave them alone."""

_LINES = 50
_FIRST_RETRY_S = 0.5
_MAX_RETRY_S = 5.0


class Reconciler:
    """Keeps a live table in step with a source of manifests.

    clock: monotonic seconds. resync_s: the longest time between two readings.
    store: where the last good table is kept, None if nowhere.
    on_install: called in the loop's thread after each install, with the table now in force.
    hold_s: how long the brake on mass deletion holds; see Brake.

    `ready` is set once a table is in force, from the disk or from the source.
    """

    def __init__(
        self,
        source: Source,
        live: LiveTable,
        store: TableStore | None,
        *,
        clock: Callable[[], float],
        resync_s: float = 30.0,
        on_install: Callable[[Table], None] | None = None,
        hold_s: float = 30.0,
    ) -> None:
        self.ready = asyncio.Event()
        self._source = source
        self._live = live
        self._store = store
        self._clock = clock
        self._resync_s = resync_s
        self._on_install = on_install
        self._brake = Brake(hold_s)
        self._wake = asyncio.Event()
        self._good: LastGood = NOTHING_GOOD
        self._generation = 0
        self._saved_version = ""
        self._verdicts: Sequence[Verdict] = ()
        self._conditions = Conditions()
        self._problems: Sequence[Problem] = ()
        self._compiled_problems: Sequence[Problem] = ()
        self._state = SourceState.MISSING
        self._detail = "not read yet"
        self._failures = 0
        self._rounds = 0
        self._braked = ""
        self._store_detail = ""
        self._started_from_disk = False
        self._last_success_s: float | None = None

    async def run(self) -> None:
        """Reconcile until cancelled."""
        await self._start_from_disk()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                self._wake.clear()
                await self._round()
                self._rounds += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._wake.wait()

    async def first(self) -> None:
        """Wait until a table is in force."""
        await self.ready.wait()

    def status(self) -> ReconcileStatus:
        """Tell how things are now."""
        now_s = self._clock()
        table = self._live.table
        last = self._last_success_s
        return ReconcileStatus(
            generation=table.generation,
            version=table.version,
            source=SourceStatus(
                kind=self._source.kind,
                path=self._source.path,
                state=self._state,
                detail=self._detail,
            ),
            started_from_disk=self._started_from_disk,
            braked=self._braked,
            store_detail=self._store_detail,
            rounds=self._rounds,
            problems=self._problems,
            last_success_age_s=None if last is None else max(0.0, now_s - last),
        )

    def objects(self) -> Iterator[ObjectStatus]:
        """Tell of each object, in order of path; who has others to serve may pause between two."""
        return self._conditions.of(
            self._verdicts, self._live, braked=self._braked, now_s=self._clock()
        )

    async def _start_from_disk(self) -> None:
        if self._store is None:
            return
        loaded = await asyncio.to_thread(self._store.load)
        for damage in loaded.damage:
            _logger.warning("the table on disk is of no use: %s", damage)
        self._store_detail = "; ".join(loaded.damage)
        if loaded.table is None:
            return
        self._good = LastGood.of_table(loaded.table)
        self._verdicts = compile_table((), self._good, keep_absent=True).objects
        self._generation = loaded.table.generation
        self._started_from_disk = True
        self._live.install(loaded.table, self._clock())
        if not loaded.damage:
            self._saved_version = loaded.table.version
        self._announce(loaded.table, "from disk")

    async def _watch(self) -> None:
        """Keep the source's watch alive; without it, the pace of reading alone finds changes."""
        failures = 0
        while True:
            began_s = self._clock()
            try:
                await self._source.watch(self._wake.set)
                reason = "it ended"
            except Exception as error:  # noqa: BLE001 - restarts the watch, whatever it was
                reason = _described(error)
            failures = 0 if self._clock() - began_s > self._resync_s else failures + 1
            _logger.warning("watching %s failed: %s", self._source.path, reason)
            await asyncio.sleep(_retry_s(failures))
            self._wake.set()

    async def _round(self) -> None:
        """Read, compile and install once. Whatever goes wrong, what is in force stays."""
        try:
            result = await self._source.read()
        except Exception as error:  # noqa: BLE001 - the loop goes on, whatever it was
            self._failures += 1
            self._state, self._detail = SourceState.DEGRADED, _described(error)
            _logger.warning("reading %s failed: %s", self._source.path, self._detail)
            return
        try:
            if result.documents or result.state is SourceState.SYNCED:
                await self._apply(result)
            else:
                await self._report((*result.problems, *self._compiled_problems))
        except Exception as error:
            self._failures += 1
            self._state, self._detail = SourceState.DEGRADED, _described(error)
            _logger.exception("the manifests of %s could not be applied", self._source.path)
            return
        self._failures = 0
        self._state, self._detail = result.state, result.detail
        if result.state is SourceState.SYNCED:
            self._last_success_s = self._clock()
            self._started_from_disk = False
        await self._save(self._live.table)

    async def _apply(self, result: SourceResult) -> None:
        compiled = await self._compile(result, keep_absent=False)
        self._braked = self._brake.holds(
            self._good.providers, compiled.good.providers, self._clock()
        )
        if self._braked:
            compiled = await self._compile(result, keep_absent=True)
        if self._generation == 0 or compiled.table.version != self._live.table.version:
            table = replace(compiled.table, generation=self._generation + 1)
            if not self.ready.is_set():
                # Nothing is served before it could be served again after a crash.
                await self._save(table)
            prepared = await asyncio.to_thread(prepare, table, self._live.layout)
            self._install(table, prepared)
        self._good = compiled.good
        self._verdicts = compiled.objects
        self._compiled_problems = compiled.problems
        if compiled.fresh >= MANY:
            # All that lives as long as the table: to look through it again and again stops the loop.
            gc.freeze()
        await self._report((*result.problems, *compiled.problems))

    async def _compile(self, result: SourceResult, *, keep_absent: bool) -> Compiled:
        return await asyncio.to_thread(
            compile_table,
            result.documents,
            self._good,
            unreadable=result.unreadable,
            keep_absent=keep_absent,
        )

    def _install(self, table: Table, prepared: Prepared) -> None:
        self._live.install(table, self._clock(), prepared)
        self._generation = table.generation
        self._announce(table, "from the manifests")

    def _announce(self, table: Table, origin: str) -> None:
        _logger.info(
            "table %d (%s) %s is in force: %d providers, %d routes",
            table.generation,
            table.version,
            origin,
            len(table.providers),
            len(table.routes),
        )
        self.ready.set()
        if self._on_install is None:
            return
        try:
            self._on_install(table)
        except Exception:
            _logger.exception("a listener failed after table %d was installed", table.generation)

    async def _report(self, problems: Sequence[Problem]) -> None:
        """Keep the problems that are to be told, and log those not known before."""
        before, self._problems = self._problems, await asyncio.to_thread(by_place, problems)
        unknown = await asyncio.to_thread(_unknown, self._problems, before)
        for number, problem in enumerate(unknown, start=1):
            level = logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING
            _logger.log(level, "%s", problem)
            if number % _LINES == 0:
                await asyncio.sleep(0)

    async def _save(self, table: Table) -> None:
        """Keep a table on disk; if the disk refuses, the next round tries again."""
        if self._store is None or table.version == self._saved_version:
            return
        try:
            await asyncio.to_thread(self._store.save, table)
        except StoreError as error:
            if self._store_detail != str(error):
                _logger.warning("the table could not be kept on disk: %s", error)
            self._store_detail = str(error)
        else:
            self._saved_version = table.version
            self._store_detail = ""

    def _pause_s(self) -> float:
        """Seconds until the next reading, if nothing wakes the loop before."""
        pauses = [self._resync_s]
        if self._failures:
            pauses.append(_retry_s(self._failures))
        held_s = self._brake.remaining_s(self._clock())
        if held_s:
            pauses.append(held_s)
        return min(pauses)


def _unknown(problems: Sequence[Problem], before: Sequence[Problem]) -> Sequence[Problem]:
    known = set(before)
    return [problem for problem in problems if problem not in known]


def _retry_s(failures: int) -> float:
    return float(min(_FIRST_RETRY_S * 2 ** min(failures - 1, 10), _MAX_RETRY_S))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
