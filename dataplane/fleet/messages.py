"""What the frames between supervisor and workers hold, as records.

They travel as JSON in the plain form of `controlplane.table.plain`, which is strict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from controlplane.table.plain import decoder, encoder
from controlplane.table.view import ProviderView
from dataplane import codec
from dataplane.logs import LogFormat
from dataplane.provider_numbers import Numbers
from dataplane.request_counts import Counts
from dataplane.telemetry_settings import TelemetrySettings

RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a worker is told first.

    worker: its number, from 0. version: of the program. listeners: descriptors of the listening
    sockets, one for each worker; all workers hold all of them. host, port: their address.
    log_level: of the logging module. secrets_root: where Secrets are mounted. The limits are this
    worker's share.
    """

    worker: int
    version: str
    listeners: Sequence[int]
    host: str
    port: int
    max_body_bytes: int
    max_in_flight: int
    max_connections: int
    loopback: bool
    secrets_root: str
    log_format: LogFormat
    log_level: int
    telemetry: TelemetrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The sockets to take connections from, by their place among the listeners."""

    listeners: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a worker ends.

    drain_s: of a worker that is replaced, how long connections may stay idle; of one that is
        stopped, what running requests get in all.
    lame_duck_s: how long one that is stopped still takes connections, in drain_s.
    finish_s: what running requests of one that is replaced get after drain_s.
    """

    drain_s: float
    lame_duck_s: float = 0.0
    finish_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a worker tells once a second.

    used: monotonic time of the latest call of each provider that was called since the last beat.
    served: those of them that answered a call since.
    """

    in_flight: int
    connections: int
    used: Mapping[str, float] = field(default_factory=dict)
    served: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker has counted since its start, and sees of its providers now.

    requests: as the status document has them. providers: those that were called, with their targets.
    spans: counts of the telemetry, by name.
    cut_off: requests that were left unfinished at the end.
    """

    requests: Mapping[str, int]
    providers: Sequence[ProviderView] = ()
    numbers: Mapping[str, Numbers] = field(default_factory=dict)
    spans: Mapping[str, int] = field(default_factory=dict)
    cut_off: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a worker adds to the metrics.

    counts: since it was asked before; each is told once. active: requests under way. calls: calls under way, by
    provider; those without any are left out.
    """

    counts: Counts
    active: int = 0
    calls: Mapping[str, int] = field(default_factory=dict)


def plain(record: Any) -> Any:
    """Give the plain form of one of the records, to be a part of another document."""
    kind: Any = type(record)
    return encoder(kind)(record)


def pack(record: Any) -> bytes:
    """Write one of the records."""
    return codec.encode(plain(record))


def read(kind: type[RecordT], value: Any) -> RecordT:
    """Read the plain form of a record. Raises ShapeError for anything else."""
    hashable: Any = kind
    return cast("RecordT", decoder(hashable)(value, kind.__name__))


def unpack(kind: type[RecordT], payload: bytes) -> RecordT:
    """Read a record. Raises ValueError (DecodeError, ShapeError) for anything else."""
    return read(kind, codec.decode(payload))
