"""What is said of exports that do not work, ours and OpenTelemetry's: a quiet voice.

Not to be compiled; see `log_handler`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

# One voice with the queue.
logger = logging.getLogger("dataplane.telemetry_export")

_loggers = logging.getLogger("opentelemetry")

_QUIET_S = 60.0
"""Seconds between two lines about the same trouble."""


class ExportLog(logging.Handler):
    """Takes all that OpenTelemetry logs, and lets through what a person can bear.

    The first line of a trouble at once, then one a minute with the count of those held back, and
    one when exports work again. Without it one dead collector writes a line every 1.6 seconds.
    Tracebacks and the texts of exceptions are left out: they may hold an endpoint's query. So are
    the arguments of all loggers but the exporters': they may hold what a caller sent.
    """

    def __init__(self, now_s: Callable[[], float], endpoint: str = "", what: str = "spans") -> None:
        """Read monotonic seconds from `now_s`; name `endpoint` in each line. Attaches nothing.

        what: is exported.
        """
        self.what = what
        super().__init__(logging.WARNING)
        self._now_s = now_s
        self._where = f" [{endpoint}]" if endpoint else ""
        self._last_s: float | None = None
        self._held_back = 0
        self._failing = False
        self._muted = False

    def attach(self) -> None:
        """Become the only handler of OpenTelemetry's loggers, in place of an earlier one."""
        for earlier in tuple(_loggers.handlers):
            if isinstance(earlier, ExportLog):
                _loggers.removeHandler(earlier)
        _loggers.addHandler(self)
        _loggers.propagate = False

    def detach(self, *, mute: bool) -> None:
        """Give the loggers back; or stay and say nothing, for a thread that is still stuck."""
        self._muted = mute
        if not mute and self in _loggers.handlers:
            _loggers.removeHandler(self)
            _loggers.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, or count it."""
        if not record.name.startswith("opentelemetry.exporter"):
            self._say(str(record.msg), failing=False)
            return
        arguments = record.args if isinstance(record.args, tuple) else ()
        shown = tuple(
            type(argument).__name__ if isinstance(argument, BaseException) else argument
            for argument in arguments
        )
        self._say(str(record.msg) % shown if shown else str(record.msg), failing=True)

    def failed(self, reason: str) -> None:
        """Note a failed export, in case the exporter has not said so itself."""
        self.acquire()
        try:
            if not self._failing:
                self._say(reason, failing=True)
        finally:
            self.release()

    def trouble(self, text: str) -> None:
        """Tell of a try that failed, as an exporter of OpenTelemetry's would by its logger."""
        self.acquire()
        try:
            self._say(text, failing=True)
        finally:
            self.release()

    def succeeded(self) -> None:
        """Note an export that worked; says so if the one before did not."""
        self.acquire()
        try:
            recovered = self._failing
            if recovered:
                self._failing = False
                self._last_s = None
                self._held_back = 0
        finally:
            self.release()
        if recovered and not self._muted:
            logger.warning("telemetry: %s reach the collector again%s", self.what, self._where)

    def _say(self, text: str, *, failing: bool) -> None:
        if self._muted:
            return
        now_s = self._now_s()
        self._failing = self._failing or failing
        if self._last_s is not None and now_s - self._last_s < _QUIET_S:
            self._held_back += 1
            return
        more = f" ({self._held_back} more since the last line)" if self._held_back else ""
        self._last_s = now_s
        self._held_back = 0
        logger.warning("telemetry: %s%s%s", text[:300], self._where, more)
