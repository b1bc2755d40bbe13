"""AWS' credentials, from wherever people keep them.

The environment, profiles, SSO, web identity, container and pod identity, instance metadata, and
roles on top of these: aiobotocore knows all these places. It is large, and some of what it does blocks, so it is imported
when a provider first needs keys, and works in a thread. Here is decided when it is asked: seldom,
once at a time, and early enough that no request is signed with keys that have expired.

Nothing here logs or quotes a secret.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from controlplane.table.schema import Provider
from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.providers.bedrock import region_of
from dataplane.wire.sigv4 import AwsKeys

RECHECK_S = 60.0
"""Keys of this age are used, while it is looked for newer ones."""

STALE_S = 300.0
"""Keys of this age are not used without asking. aiobotocore renews ten minutes before the end, so
keys that it gave are good for longer than this."""

RETRY_S = 5.0
"""How long a failure to get keys is remembered, and how far apart forced renewals are."""

_SESSION_NAME = "switchgear"
_CONNECT_S = 5
_READ_S = 10

# At lower levels they log answers of the token service, secrets and all; failures are told here.
_TALKATIVE = ("aiobotocore", "botocore")

log = logging.getLogger("switchgear.aws")


class KeySource(Protocol):
    """Where keys come from."""

    async def fetch(self, *, anew: bool) -> AwsKeys | None:
        """Give keys that are good for ten minutes at least, None if there are none at all.

        anew: whether to forget what was read before. Raises whatever the source raises.
        """
        ...


class AwsCredentials:
    """Keeps the keys of one provider fresh. clock: monotonic seconds."""

    def __init__(self, source: KeySource, clock: Callable[[], float]) -> None:
        """Ask for nothing yet."""
        self._source = source
        self._clock = clock
        self._keys: AwsKeys | None = None
        self._checked_s = 0.0
        self._failed_s: float | None = None
        self._why = ""
        self._renewed_s: float | None = None
        self._asking: asyncio.Task[None] | None = None

    @property
    def current(self) -> AwsKeys:
        """The keys at hand. Call it after `get`."""
        assert self._keys is not None, "get() comes first"
        return self._keys

    @property
    def is_fresh(self) -> bool:
        """Whether there are keys, and `get` would do nothing."""
        return self._keys is not None and self._clock() - self._checked_s < RECHECK_S

    async def get(self) -> None:
        """Have keys at hand that can be signed with. Raises UpstreamFailed (credential)."""
        now = self._clock()
        age_s = now - self._checked_s
        failed_lately = self._failed_s is not None and now - self._failed_s < RETRY_S
        if self._keys is not None and age_s < STALE_S:
            if age_s >= RECHECK_S and not failed_lately:
                self._ask(anew=False)
            return
        if self._asking is None and failed_lately:
            raise self._missing()
        await asyncio.shield(self._ask(anew=False))
        if self._keys is None:
            raise self._missing()

    async def renew(self, refused: str) -> bool:
        """Look for other keys than those that an upstream refused; tell whether there are any.

        refused: the access key's id. If others have come meanwhile, nothing is asked.
        """
        if self._is_other(refused):
            return True
        now = self._clock()
        if self._renewed_s is None or now - self._renewed_s >= RETRY_S:
            self._renewed_s = now
            asking = self._asking
            if asking is not None:
                # It may be about to give what it knew before.
                await asyncio.shield(asking)
            await asyncio.shield(self._ask(anew=True))
        elif self._asking is not None:
            await asyncio.shield(self._asking)
        return self._is_other(refused)

    def _is_other(self, refused: str) -> bool:
        return self._keys is not None and self._keys.access_key_id != refused

    def _ask(self, *, anew: bool) -> asyncio.Task[None]:
        """Ask the source, or join those who wait for its answer. The task never fails."""
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._fetch(anew=anew))
        return self._asking

    async def _fetch(self, *, anew: bool) -> None:
        try:
            keys = await self._source.fetch(anew=anew)
            why = "none were found"
        except Exception as error:  # noqa: BLE001 - whatever a source of credentials raises
            keys, why = None, _named(error)
        finally:
            self._asking = None
        now = self._clock()
        if keys is not None:
            self._keys, self._checked_s, self._failed_s = keys, now, None
            return
        self._failed_s, self._why = now, why
        if now - self._checked_s >= STALE_S:
            self._keys = None
        log.warning("cannot get AWS credentials: %s", why)

    def _missing(self) -> UpstreamFailed:
        return UpstreamFailed(ErrorClass.CREDENTIAL, f"cannot get AWS credentials: {self._why}")


class SessionKeys:
    """Keys from an aiobotocore session; see KeySource.

    profile: of the shared configuration, or empty. role_arn: a role to assume with what is found,
    or empty. region: of the token service.
    """

    def __init__(self, *, profile: str, role_arn: str, region: str) -> None:
        """Import nothing yet."""
        self._profile = profile
        self._role_arn = role_arn
        self._region = region
        self._found: Any = None

    async def fetch(self, *, anew: bool) -> AwsKeys | None:
        """Ask in a thread, where imports, files and slow services hold nobody up."""
        return await asyncio.to_thread(self._run, anew)

    def _run(self, anew: bool) -> AwsKeys | None:  # noqa: FBT001 - to_thread takes positions
        return asyncio.run(self._resolve(anew=anew))

    async def _resolve(self, *, anew: bool) -> AwsKeys | None:
        if anew or self._found is None:
            self._found = await self._load()
        if self._found is None:
            return None
        frozen = await self._found.get_frozen_credentials()
        return AwsKeys(
            access_key_id=frozen.access_key,
            secret_access_key=frozen.secret_key,
            session_token=frozen.token or "",
        )

    async def _load(self) -> Any:
        """Find credentials that renew themselves, None if there are none."""
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.ERROR)
        config = import_module("aiobotocore.config").AioConfig(
            connect_timeout=_CONNECT_S, read_timeout=_READ_S
        )
        session = import_module("aiobotocore.session").AioSession(profile=self._profile or None)
        session.set_config_variable("region", self._region)
        session.set_default_client_config(config)
        found = await session.get_credentials()
        if found is None or not self._role_arn:
            return found
        credentials = import_module("aiobotocore.credentials")
        fetcher = credentials.AioAssumeRoleCredentialFetcher(
            partial(session.create_client, region_name=self._region),
            found,
            self._role_arn,
            extra_args={"RoleSessionName": _SESSION_NAME},
            cache={},
        )
        return credentials.AioDeferredRefreshableCredentials(
            refresh_using=fetcher.fetch_credentials, method="assume-role"
        )


def keys_for(provider: Provider, clock: Callable[[], float]) -> AwsCredentials:
    """Make the credentials that a provider's options ask for: `bedrock.profile`, `bedrock.roleArn`."""
    source = SessionKeys(
        profile=provider.options.get("bedrock.profile", ""),
        role_arn=provider.options.get("bedrock.roleArn", ""),
        region=region_of(provider),
    )
    return AwsCredentials(source, clock)


def _named(error: Exception) -> str:
    """Name an error by its class and AWS' code; its words may hold anything."""
    response = getattr(error, "response", None)
    match response:
        case {"Error": {"Code": str(code)}}:
            return f"{type(error).__name__} ({code[:64]})"
        case _:
            return type(error).__name__
