"""Tokens that expire, kept fresh and put on requests.

However many requests wait, a token is asked for once at a time; early enough that in the ordinary
run none of them waits; and again when an upstream refuses the one at hand. Where tokens come from
is the business of a TokenSource.

Nothing here logs or quotes a token.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dataplane.errors import ErrorClass, UpstreamFailed
from dataplane.provider import HttpRequest
from dataplane.record import replace

EARLY_S = 300.0
"""How long before its end a token is used, while another is asked for; half the life of tokens
that live less than twice as long."""

RETRY_S = 5.0
"""How long a failure to get a token is remembered, and how far apart forced renewals are."""

log = logging.getLogger("switchgear.bearer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it was given. lifetime_s: seconds that it is good for, above 0."""

    value: str = field(repr=False)
    lifetime_s: float


class TokenSource(Protocol):
    """Where tokens come from."""

    async def fetch(self) -> Token:
        """Ask for a token, within a time limit of the source's own.

        Raises UpstreamFailed (credential), with a message that holds no secret.
        """
        ...


class BearerSigner:
    """Authorises requests with tokens of a source; see dataplane.sending.Signer.

    name: the provider's, for logs. clock: monotonic seconds.
    """

    def __init__(self, source: TokenSource, name: str, clock: Callable[[], float]) -> None:
        """Ask for nothing yet."""
        self._source = source
        self._name = name
        self._clock = clock
        # A refused or expired token stays here, so that `sign` always finds one after `ready`.
        self._token = ""
        self._refresh_s = -math.inf
        self._end_s = -math.inf
        self._failed_s: float | None = None
        self._why = ""
        self._renewed_s: float | None = None
        self._asking: asyncio.Task[None] | None = None

    def is_ready(self) -> bool:
        """Tell whether the token is good, and not to be renewed yet."""
        return self._clock() < min(self._refresh_s, self._end_s)

    async def ready(self) -> None:
        """Have a good token at hand. Raises UpstreamFailed (credential) if there is none."""
        now = self._clock()
        failed_lately = self._failed_s is not None and now - self._failed_s < RETRY_S
        if now < self._end_s:
            if now >= self._refresh_s and not failed_lately:
                self._ask()
            return
        if self._asking is None and failed_lately:
            raise self._missing()
        await asyncio.shield(self._ask())
        if self._clock() >= self._end_s:
            raise self._missing()

    def sign(self, http: HttpRequest) -> HttpRequest:
        """Put the token at hand on a request."""
        assert self._token, "ready() comes first"
        return replace(http, headers={**http.headers, "authorization": f"Bearer {self._token}"})

    async def renew(self, refused: HttpRequest) -> bool:
        """Drop the token that an upstream refused; tell whether there is another one now.

        If another has come meanwhile, nothing is asked.
        """
        authorization = refused.headers.get("authorization", "")
        if self._is_other(authorization):
            return True
        now = self._clock()
        if self._renewed_s is None or now - self._renewed_s >= RETRY_S:
            self._renewed_s = now
            self._end_s = -math.inf
            await asyncio.shield(self._ask())
        elif self._asking is not None:
            await asyncio.shield(self._asking)
        return self._is_other(authorization)

    def _is_other(self, authorization: str) -> bool:
        return self._clock() < self._end_s and authorization != f"Bearer {self._token}"

    def _ask(self) -> asyncio.Task[None]:
        """Ask the source, or join those who wait for its answer.

        A task, so that a caller who leaves takes the answer from nobody; it is bounded by the
        source's time limit.
        """
        if self._asking is None:
            self._asking = asyncio.get_running_loop().create_task(self._fetch())
        return self._asking

    async def _fetch(self) -> None:
        asked_s = self._clock()
        try:
            token = await self._source.fetch()
        except UpstreamFailed as failure:
            self._failed_s, self._why = self._clock(), failure.message
            log.warning("provider %s: %s", self._name, failure.message)
            return
        finally:
            self._asking = None
        self._token = token.value
        self._end_s = asked_s + token.lifetime_s
        self._refresh_s = self._end_s - min(EARLY_S, token.lifetime_s / 2)
        self._failed_s, self._why = None, ""

    def _missing(self) -> UpstreamFailed:
        return UpstreamFailed(ErrorClass.CREDENTIAL, self._why or "the token has expired already")
