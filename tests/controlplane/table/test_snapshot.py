from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.schema import (
    EMPTY_TABLE,
    BreakerMode,
    BreakerPolicy,
    CredentialKind,
    CredentialRef,
    HealthCheck,
    Model,
    Price,
    Provider,
    ProviderType,
    RetryPolicy,
    StrategyName,
    Table,
    Timeouts,
)
from controlplane.table.snapshot import (
    SCHEMA,
    SnapshotError,
    content_version,
    decode,
    encode,
    fingerprints,
)
from tests.controlplane.table.tables import provider, route, table, target

seconds = st.floats(0.0, 1e6)
counts = st.integers(0, 10**6)
names = st.text(max_size=8)
texts = st.dictionaries(names, names, max_size=3)

timeouts = st.builds(
    Timeouts,
    connect_s=seconds,
    first_event_s=seconds,
    answer_s=seconds,
    idle_s=seconds,
    total_s=seconds,
)
policies = st.builds(
    BreakerPolicy,
    mode=st.sampled_from(BreakerMode),
    consecutive_failures=counts,
    failure_ratio=seconds,
    window_s=seconds,
    min_requests=counts,
    open_s=seconds,
    max_open_s=seconds,
    half_open_requests=counts,
    ramp_up=st.lists(counts, max_size=4).map(tuple),
)
models = st.builds(
    Model,
    name=names,
    context_window=st.none() | counts,
    capabilities=st.none() | st.frozensets(names, max_size=3),
    price=st.none() | st.builds(Price, input=seconds, output=seconds),
    max_output_tokens=st.none() | counts,
    base_model=names,
)
credentials = st.builds(CredentialRef, kind=st.sampled_from(CredentialKind), name=names, key=names)
providers = st.builds(
    Provider,
    name=names,
    type=st.sampled_from(ProviderType),
    base_url=names,
    credential=st.none() | credentials,
    models=st.dictionaries(names, models, max_size=2),
    timeouts=timeouts,
    health_check=st.builds(
        HealthCheck,
        interval_s=seconds,
        timeout_s=seconds,
        unhealthy_threshold=counts,
        healthy_threshold=counts,
    ),
    breaker=policies,
    max_in_flight=counts,
    labels=texts,
    options=texts,
    headers=texts,
    suspend=st.booleans(),
    generation=counts,
)
retries = st.builds(
    RetryPolicy,
    attempts=counts,
    attempts_per_target=counts,
    backoff_s=seconds,
    max_backoff_s=seconds,
    deadline_s=seconds,
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    owners = draw(st.lists(providers, min_size=1, max_size=3, unique_by=lambda item: item.name))
    made = [
        replace(
            route(
                [target(draw(st.sampled_from(owners)), draw(names), weight=draw(counts))],
                name=name,
                strategy=draw(st.sampled_from(StrategyName)),
            ),
            models=(name + draw(st.sampled_from(["", "*"])),),
            retry=draw(retries),
            generation=draw(counts),
        )
        for name in draw(st.lists(names, max_size=3, unique=True))
    ]
    return table(owners, made, generation=draw(counts))


SMALL = table([provider("a", prices={"m": 3.0})])


def sealed(body: str) -> bytes:
    """Write a snapshot by hand, with the right checksum."""
    tail = body.encode()[1:]
    return b'{"checksum":"' + hashlib.sha256(tail).hexdigest().encode() + b'",' + tail


def body_of(made: Table) -> str:
    """Return what the checksum covers, with its brace."""
    return "{" + encode(made)[len(sealed("{}")) - 1 :].decode()


@given(made=tables())
def test_a_table_survives_the_round_trip(made: Table) -> None:
    assert made == decode(encode(made))


@given(made=tables())
def test_a_snapshot_is_canonical_json(made: Table) -> None:
    """Written object by object, it is what writing all at once would give."""
    body = body_of(made)

    assert body == json.dumps(
        json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )


@given(made=tables(), other=tables())
def test_known_fingerprints_change_nothing(made: Table, other: Table) -> None:
    known = fingerprints(other)
    mixed = replace(made, providers={**other.providers, **made.providers})

    assert fingerprints(mixed) == fingerprints(mixed, known)
    assert fingerprints(mixed) == fingerprints(mixed, fingerprints(mixed))


def test_the_same_object_is_hashed_once() -> None:
    known = fingerprints(SMALL)

    again = fingerprints(replace(SMALL, generation=7), known)

    assert known.providers["a"] is again.providers["a"]


@given(made=tables())
def test_bytes_survive_the_round_trip(made: Table) -> None:
    data = encode(made)

    assert data == encode(decode(data))


@given(position=st.integers(0), flip=st.integers(1, 255))
def test_any_damaged_byte_is_refused(position: int, flip: int) -> None:
    data = bytearray(encode(SMALL))
    data[position % len(data)] ^= flip

    with pytest.raises(SnapshotError):
        decode(bytes(data))


@given(length=st.integers(0))
def test_any_cut_is_refused(length: int) -> None:
    data = encode(SMALL)

    with pytest.raises(SnapshotError):
        decode(data[: length % len(data)])


@given(tail=st.binary(min_size=1, max_size=20))
def test_anything_behind_a_snapshot_is_refused(tail: bytes) -> None:
    with pytest.raises(SnapshotError, match="checksum"):
        decode(encode(SMALL) + tail)


@given(data=st.binary(max_size=200))
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="not a snapshot"):
        decode(data)


def test_the_empty_table_can_be_written() -> None:
    assert EMPTY_TABLE == decode(encode(EMPTY_TABLE))


def test_the_order_of_manifests_does_not_show() -> None:
    owners = [provider("a"), provider("b")]
    routes = [route([target(owner)], name=owner.name) for owner in owners]

    assert encode(table(owners, routes)) == encode(table(owners[::-1], routes[::-1]))


def test_a_hand_made_snapshot_is_read() -> None:
    assert SMALL == decode(sealed(body_of(SMALL)))


def test_a_newer_schema_is_refused_by_its_number() -> None:
    body = body_of(SMALL).replace(f'"schema":{SCHEMA}', '"schema":2,"more":1')

    with pytest.raises(SnapshotError, match="schema 2 is not known here, only 1 is"):
        decode(sealed(body))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "missing"),
        ("{nonsense}", "not JSON: JSONDecodeError"),
        ('{"a":NaN}', "not JSON: ValueError"),
        ('{"a":' + "[" * 100_000, "not JSON: RecursionError"),
        ('{"schema":"1"}', "missing"),
        ('{"schema":true}', "missing"),
    ],
)
def test_sealed_nonsense_is_refused(body: str, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        decode(sealed(body))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"suspend":false', '"suspend":0', "providers.a.suspend: expected bool, got int"),
        ('"suspend":false', '"suspend":false,"x":1', "providers.a: missing .., unknown .'x'."),
        ('"version":"v1"', '"version":1', "snapshot.version: expected str"),
        ('"type":"OpenAI"', '"type":"Other"', "providers.a.type: not a ProviderType"),
        ('"schema":1', '"schema":"1"', "snapshot.schema: expected int, got str"),
    ],
)
def test_a_wrong_field_is_refused_with_its_path(old: str, new: str, message: str) -> None:
    body = body_of(SMALL)
    assert old in body

    with pytest.raises(SnapshotError, match=message):
        decode(sealed(body.replace(old, new)))


def test_a_field_with_a_default_may_be_missing_in_an_older_snapshot() -> None:
    body = body_of(SMALL).replace('"suspend":false,', "")

    assert SMALL == decode(sealed(body))


def test_numbers_that_are_not_finite_cannot_be_written() -> None:
    broken = replace(
        provider("a"), models={"m": Model(name="m", price=Price(input=math.inf, output=0.0))}
    )

    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(table([broken]))


def with_object_generation(made: Table) -> Table:
    return replace(
        made,
        providers={name: replace(item, generation=7) for name, item in made.providers.items()},
        routes={name: replace(item, generation=8) for name, item in made.routes.items()},
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda made: replace(made, generation=9),
        lambda made: replace(made, version="other"),
        with_object_generation,
    ],
)
def test_generations_are_no_content(change: Callable[[Table], Table]) -> None:
    assert content_version(SMALL) == content_version(change(SMALL))


@given(made=tables())
def test_the_version_survives_the_round_trip(made: Table) -> None:
    assert content_version(made) == content_version(decode(encode(made)))


@pytest.mark.parametrize(
    "changed",
    [
        table([provider("a", prices={"m": 4.0})]),
        table([provider("a", prices={"m": 3.0}, suspend=True)]),
        table([provider("a", prices={"m": 3.0})], []),
        EMPTY_TABLE,
    ],
)
def test_other_content_has_another_version(changed: Any) -> None:
    assert content_version(SMALL) != content_version(changed)


def test_the_version_is_short_hex() -> None:
    version = content_version(SMALL)

    assert 16 == len(version)
    assert set(version) <= set("0123456789abcdef")
