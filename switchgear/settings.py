"""The settings of one sidecar process: every default is written here and nowhere else.

Values come from flags, or from environment variables of the same name with SWITCHGEAR_ before
it. What describes providers and routes is in manifests; OpenTelemetry's own settings are in its
standard OTEL_* variables.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from dataplane.telemetry_settings import TelemetrySettings

KIB: Final = 1024
MIB: Final = 1024 * KIB

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)
_SIZE_UNITS: Final[Mapping[str, int]] = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": KIB,
    "mib": MIB,
    "gib": 1024 * MIB,
}
_HEADER_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")


class SettingsError(ValueError):
    """A setting cannot be used; the message says which value, why, and what to do."""


class LogFormat(StrEnum):
    """How log lines look. AUTO: text on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a listener binds. port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Read like `127.0.0.1:4141` or `[::1]:4141`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine, in Kubernetes this pod, can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


MAX_WORKERS: Final = 64

DEFAULT_LISTEN: Final = Address(host="127.0.0.1", port=4141)
DEFAULT_ADMIN: Final = Address(host="127.0.0.1", port=4142)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process. Raises SettingsError for addresses that others could reach unasked.

    manifests: the directory to watch; None if tables come from elsewhere.
    listen: the data port, for applications. admin: status and probes; never on the data port.
    allow_remote: whether the two may be other than loopback.
    probe: answers /livez and /readyz and nothing else, for a kubelet, which comes from outside of
        the pod; so it may be any address. None: only the admin port has them.
    state_dir: holds the last good table, to start from when manifests are away.
    max_body_bytes: of a request; longer ones get 413. Images in base64 need room.
    max_connections: open at once on the data port; more wait to be accepted.
    max_in_flight: requests served at once; more get 503, so that memory stays bounded.
    workers: processes that serve requests. With more than one a supervisor is added, which has the
        control plane and the admin port; the two limits before are shared out among them.
    lame_duck_s: how long new requests are still taken at the end, while /readyz says no.
    drain_s: the longest wait for running requests at the end, lame_duck_s included. Below
        Kubernetes' grace of 30 s.
    resync_s: the longest time between two full reads of the manifests, should an event get lost.
    secrets_root: where Secrets are mounted, for credentials of the kind secretKeyRef.
    """

    state_dir: Path
    manifests: Path | None = None
    listen: Address = DEFAULT_LISTEN
    admin: Address = DEFAULT_ADMIN
    allow_remote: bool = False
    probe: Address | None = None
    max_body_bytes: int = 32 * MIB
    max_connections: int = 1024
    max_in_flight: int = 512
    workers: int = 1
    lame_duck_s: float = 0.0
    drain_s: float = 25.0
    resync_s: float = 30.0
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO
    secrets_root: Path = Path("/var/run/secrets/switchgear")
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    def __post_init__(self) -> None:
        """Refuse what is unsafe or cannot work."""
        self._check_workers()
        for name, address in (("listen", self.listen), ("admin", self.admin)):
            if not (address.is_loopback or self.allow_remote):
                raise SettingsError(
                    f"--{name} {address}: anyone who reaches this address could spend your "
                    "providers' keys, as callers are not authenticated; bind to 127.0.0.1, or "
                    "say --allow-remote if the network keeps others out"
                )
        ports = [a.port for a in (self.listen, self.admin, self.probe) if a and a.port]
        if len(ports) != len(set(ports)):
            raise SettingsError(
                f"two of --listen {self.listen}, --admin {self.admin} and --probe "
                f"{self.probe or 'none'} have the same port; each serves something else"
            )

    def _check_workers(self) -> None:
        if not 1 <= self.workers <= MAX_WORKERS:
            raise SettingsError(
                f"--workers {self.workers}: must be from 1, which is one process for everything, to "
                f"{MAX_WORKERS}; more than there are cores is of no use"
            )
        if self.workers > 1 and not hasattr(socket, "SO_REUSEPORT"):
            raise SettingsError(
                f"--workers {self.workers}: this system cannot share a port between processes (it "
                "has no SO_REUSEPORT); leave it at 1"
            )
        for name, limit in (
            ("max-connections", self.max_connections),
            ("max-in-flight", self.max_in_flight),
        ):
            if limit < self.workers:
                raise SettingsError(
                    f"--{name} {limit} is shared out among --workers {self.workers}; "
                    "each needs at least one"
                )

    @property
    def table_dir(self) -> Path:
        """Where the last good tables are: one folder for each manifest directory, never shared."""
        source = str(self.manifests.absolute()) if self.manifests else ""
        digest = hashlib.sha256(source.encode()).hexdigest()[:12]
        return self.state_dir / f"table-{digest}"


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Return where state belongs: in XDG_STATE_HOME, else in ~/.local/state.

    Source: XDG Base Directory Specification 0.8: relative values of the variable are ignored.
    """
    base = environment.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        home = environment.get("HOME", "")
        if not home:
            raise SettingsError("HOME is not set, so there is no place for state; use --state-dir")
        return Path(home) / ".local" / "state" / "switchgear"
    return Path(base) / "switchgear"


def parse_address(text: str) -> Address:
    """Parse `HOST:PORT` or `[IPV6]:PORT`. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or (":" in bare and host == bare):
        raise SettingsError(f'"{text}" is not HOST:PORT, like 127.0.0.1:4141 or [::1]:4141')
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise SettingsError(f'"{text}": the port must be a number from 0 to 65535')
    return Address(host=bare, port=int(port))


def parse_size(text: str) -> int:
    """Parse a number of bytes: `32MiB`, `500kB`, `1048576`. Raises SettingsError."""
    match = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise SettingsError(f'"{text}" is not a size, like 32MiB, 500kB or 1048576')
    size = int(float(match[1]) * unit)
    if size < 1:
        raise SettingsError(f'"{text}": the size must be at least one byte')
    return size


def parse_header_attribute(text: str) -> tuple[str, str]:
    """Parse `header=attribute` for `TelemetrySettings.header_attributes`. Raises SettingsError."""
    header, equals, attribute = (part.strip() for part in text.partition("="))
    header = header.lower()
    if not equals or not attribute or not _HEADER_NAME.fullmatch(header):
        raise SettingsError(
            f'"{text}" is not HEADER=ATTRIBUTE, like x-session-id=gen_ai.conversation.id'
        )
    return header, attribute
