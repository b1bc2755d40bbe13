"""What strict routes demand of a target: that it takes the request as it is."""

from __future__ import annotations

from collections.abc import Sequence

from dataplane.errors import RequestRejected

_CHANGES = frozenset({"dropped", "clamped", "emulated"})


def require_unchanged(warnings: Sequence[str]) -> None:
    """Check the warnings of a request that was written for an upstream, before it is sent.

    Raises RequestRejected for the first that says that something was dropped, clamped or emulated;
    what is only said in other words (`mapped`) is as good.
    """
    for warning in warnings:
        action, _, field = warning.partition(":")
        if action in _CHANGES:
            raise RequestRejected(
                f"{field} would be {action} for this provider, which the route does not allow",
                param=field,
                code="unsupported_parameter",
            )
