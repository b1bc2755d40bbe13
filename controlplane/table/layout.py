"""What an install must know of a table, found before it: who owns which identity, who leads where.

Pure, and the costly part of an install, so that it can be done in another thread while requests go
on. The live table is then switched in no more time than what it has measured takes to look through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.table.schema import (
    EMPTY_TABLE,
    BreakerMode,
    BreakerPolicy,
    Provider,
    Table,
    Target,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One target identity: the first target with it, and the policy of that one's provider."""

    target: Target
    policy: BreakerPolicy
    credential_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The identities of a table.

    credential_keys: by the provider's name. owners: the first provider of each credential key.
    places: by target key, in the order of their first mention by a route.
    targets: by the provider's name, each identity once, in the order of their first mention.
    """

    table: Table
    credential_keys: Mapping[str, str]
    owners: Mapping[str, str]
    places: Mapping[str, Place]
    targets: Mapping[str, Sequence[Target]]


EMPTY_LAYOUT = Layout(table=EMPTY_TABLE, credential_keys={}, owners={}, places={}, targets={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A target whose breaker another mode holds from now on; `key` is its identity."""

    target: Target
    before: BreakerMode
    after: BreakerMode


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An install that only needs to be done. before: the layout that it replaces."""

    before: Layout
    after: Layout
    moves: Sequence[Move]


def prepare(table: Table, before: Layout) -> Prepared:
    """Prepare the install of `table` over `before`."""
    after = lay_out(table, before)
    return Prepared(before=before, after=after, moves=_moves(before, after))


def lay_out(table: Table, before: Layout = EMPTY_LAYOUT) -> Layout:
    """Find the identities of a table. before: where known ones need not be hashed again."""
    keys = {name: _credential_key(name, item, before) for name, item in table.providers.items()}
    owners: dict[str, str] = {}
    for name, key in keys.items():
        owners.setdefault(key, name)
    places: dict[str, Place] = {}
    targets: dict[str, dict[str, Target]] = {name: {} for name in keys}
    for route in table.routes.values():
        for target in route.targets:
            provider = table.providers.get(target.provider)
            if provider is None:
                continue
            targets[target.provider].setdefault(target.key, target)
            if target.key not in places:
                places[target.key] = _place(target, provider, keys[target.provider], before)
    return Layout(
        table=table,
        credential_keys=keys,
        owners=owners,
        places=places,
        targets={name: tuple(each.values()) for name, each in targets.items()},
    )


def _credential_key(name: str, provider: Provider, before: Layout) -> str:
    if before.table.providers.get(name) is provider:
        return before.credential_keys[name]
    return provider.credential_key


def _place(target: Target, provider: Provider, credential_key: str, before: Layout) -> Place:
    known = before.places.get(target.key)
    if known is not None and known.target is target and known.policy is provider.breaker:
        return known
    return Place(target=target, policy=provider.breaker, credential_key=credential_key)


def _moves(before: Layout, after: Layout) -> Sequence[Move]:
    moves = []
    for key, place in after.places.items():
        known = before.places.get(key)
        if known is not None and known is not place and known.policy.mode is not place.policy.mode:
            moves.append(
                Move(target=place.target, before=known.policy.mode, after=place.policy.mode)
            )
    return moves
