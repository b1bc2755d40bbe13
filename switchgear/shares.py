"""What each of several workers gets of a limit that is written for all of them.

A worker keeps to its own share alone, so nothing is asked of the others while a request waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from controlplane.table.schema import Table


def share(total: int, workers: int, index: int) -> int:
    """Return a worker's part of a total; the parts add up to it, and differ by one at most."""
    return total // workers + (index < total % workers)


def shared_out(table: Table, workers: int) -> Table:
    """Return the table as each worker gets it: with its share of every provider's `maxInFlight`.

    It is rounded up, for a worker without a place could call that provider never.
    """
    providers = {
        name: replace(provider, max_in_flight=-(-provider.max_in_flight // workers))
        for name, provider in table.providers.items()
    }
    return replace(table, providers=providers)


def too_small(table: Table, workers: int) -> Sequence[str]:
    """Name the providers whose limit may be exceeded, as it is below one call for each worker."""
    return [
        name
        for name, provider in sorted(table.providers.items())
        if provider.max_in_flight < workers
    ]
