"""What is said and done in every process that serves when a breaker moves or a secret changes."""

from __future__ import annotations

import logging

from controlplane.table.live import LiveTable
from controlplane.table.schema import CredentialRef
from controlplane.table.view import Transition

log = logging.getLogger("switchgear")


def credential_changed(live: LiveTable, ref: CredentialRef, now_s: float) -> None:
    """Close the breakers of a credential whose secret has become another."""
    for provider in live.table.providers.values():
        if provider.credential == ref:
            live.credential_changed(provider.credential_key, now_s)
    log.info("credential %s has changed", ref)


def log_transition(transition: Transition) -> None:
    """Write the line of a breaker that has moved, in the process that found it out."""
    if transition.followed:
        return
    log.info(
        "breaker of %s %s: %s -> %s (%s)",
        transition.provider,
        transition.model,
        transition.before.value,
        transition.after.value,
        transition.reason,
    )
