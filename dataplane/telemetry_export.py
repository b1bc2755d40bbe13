"""The way of ended spans out of the process: a bounded queue, one thread, a quiet voice.

A queue of our own instead of the SDK's batch processor: it takes records rather than the SDK's
spans, it knows exactly how many were dropped, and its end can be bounded (the SDK's blocks for
30 s when the collector is away, and offers no way to pass a limit).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from dataplane.telemetry_log import ExportLog
from dataplane.telemetry_records import Exporter, Recorded
from dataplane.telemetry_settings import QueueLimits

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


class ExportQueue(Generic[Item]):
    """Ended spans, or readings of metrics, on their way to an exporter.

    `put` never waits: when the queue is full the oldest span is dropped and counted. At all
    times ended = exported + failed + dropped + those still queued or under way.
    """

    def __init__(self, exporter: Exporter[Item], limits: QueueLimits, log: ExportLog) -> None:
        """Start the thread. It is a daemon: it never keeps the process alive."""
        self._exporter = exporter
        self._limits = limits
        self._batch = limits.batch
        self._max_queue = limits.max_queue
        self._log = log
        self._spans: deque[Recorded[Item]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._abandoned = False
        self._under_way = 0
        self._ended = 0
        self._exported = 0
        self._failed = 0
        self._dropped = 0
        self._worker = threading.Thread(target=self._work, name="telemetry-export", daemon=True)
        self._worker.start()

    def put(self, item: Recorded[Item]) -> None:
        """Queue one more."""
        # By its methods: compiled, `with` takes three times as long.
        self._lock.acquire()
        try:
            self._ended += 1
            if self._stopping:
                self._dropped += 1
                return
            spans = self._spans
            if len(spans) >= self._max_queue:
                spans.popleft()
                self._dropped += 1
            spans.append(item)
            full = len(spans) >= self._batch
        finally:
            self._lock.release()
        if full and not self._wake.is_set():
            self._wake.set()

    def counts(self) -> Mapping[str, int]:
        """Tell how many spans ended, and what became of them."""
        with self._lock:
            return {
                "ended": self._ended,
                "exported": self._exported,
                "failed": self._failed,
                "dropped": self._dropped,
                "queued": len(self._spans) + self._under_way,
            }

    async def close(self, flush_s: float) -> bool:
        """Send the rest for at most `flush_s` seconds, then give up on it and count it as dropped.

        Waits in a plain daemon thread: the loop's executor would be waited for at exit.
        """
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        with self._lock:
            self._stopping = True
        self._wake.set()

        def wait() -> None:
            self._worker.join(flush_s)
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:
                logger.debug("the loop was closed before the last spans were sent")

        threading.Thread(target=wait, name="telemetry-flush", daemon=True).start()
        await done.wait()
        with self._lock:
            left = len(self._spans) + self._under_way
            self._dropped += len(self._spans)
            self._spans.clear()
            self._abandoned = True
        # Interrupts the pause between two tries, and closes the idle connections.
        self._exporter.shutdown()
        self._log.detach(mute=self._worker.is_alive())
        if left:
            what = self._log.what
            logger.warning("telemetry: %d %s were not sent within %.3g s", left, what, flush_s)
        return not left

    def _work(self) -> None:
        while True:
            woken = self._wake.wait(self._limits.delay_s)
            with self._lock:
                self._wake.clear()
                stopping = self._stopping
            # A queue that filled up sends whole batches and leaves the rest to grow; nothing
            # waits longer than the delay.
            least = self._limits.batch if woken and not stopping else 1
            while batch := self._take(least):
                self._export(batch)
            if stopping:
                return

    def _take(self, least: int) -> list[Recorded[Item]]:
        with self._lock:
            count = min(len(self._spans), self._limits.batch)
            if count < least:
                return []
            batch = [self._spans.popleft() for _ in range(count)]
            self._under_way = count
            return batch

    def _export(self, batch: list[Recorded[Item]]) -> None:
        records = self._records(batch)
        try:
            succeeded = self._exporter.export(records)
        except Exception as error:  # noqa: BLE001 - the loop outlives any exporter's mistake
            self._log.failed(f"exporting {self._log.what} raised {type(error).__name__}")
            succeeded = False
        with self._lock:
            self._under_way = 0
            exported = len(records) if succeeded else 0
            self._exported += exported
            self._failed += len(batch) - exported
        if succeeded:
            self._log.succeeded()
        elif not self._abandoned:
            self._log.failed(f"{self._log.what} could not be exported")

    def _records(self, batch: list[Recorded[Item]]) -> list[Item]:
        records = []
        for item in batch:
            try:
                records.append(item.record())
            except Exception as error:  # noqa: BLE001 - one item's mistake costs that item
                self._log.failed(f"putting together what to export raised {type(error).__name__}")
        return records
