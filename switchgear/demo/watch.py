"""Watch one provider's breaker through the admin API, closely enough to see it move."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from switchgear import client

_LOOK_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A breaker's state from a moment on. at_s: monotonic. error: the target's last one."""

    state: str
    at_s: float
    error: str = ""
    reopen_in_s: float | None = None


class BreakerWatch:
    """Looks at the first target of `provider` all the time, and keeps each change of state."""

    def __init__(self, admin_url: str, provider: str) -> None:
        """Keep what to watch; entering the context begins."""
        self._admin_url = admin_url
        self._provider = provider
        self._changed = threading.Condition()
        self._sights: list[Sight] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def sights(self, since: int = 0) -> Sequence[Sight]:
        """Return the changes from number `since` on."""
        with self._changed:
            return self._sights[since:]

    def wait_for(self, state: str, *, since: int, timeout_s: float) -> Sight | None:
        """Wait for a change to `state` from number `since` on; None if none comes in time."""

        def found() -> Sight | None:
            return next((s for s in self._sights[since:] if s.state == state), None)

        with self._changed:
            return self._changed.wait_for(found, timeout_s)

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_S):
            try:
                status = client.get_json(f"{self._admin_url}/status", timeout_s=2.0)
            except client.ClientError:
                continue
            sight = _find(status, self._provider)
            with self._changed:
                if sight and (not self._sights or self._sights[-1].state != sight.state):
                    self._sights.append(sight)
                    self._changed.notify_all()


def _find(status: Any, name: str) -> Sight | None:
    for provider in status.get("providers") or []:
        match provider:
            case {"name": found, "targets": [{"state": str(state)} as target, *_]} if found == name:
                return Sight(
                    state=state,
                    at_s=time.monotonic(),
                    error=str(target.get("lastError") or ""),
                    reopen_in_s=target.get("reopenInSeconds"),
                )
            case _:
                pass
    return None
