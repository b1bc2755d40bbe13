from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controlplane.table.schema import EMPTY_TABLE, CredentialKind, CredentialRef
from tests.controlplane.table.tables import provider, route, table, target

OWNER = provider("a")


def test_exact_names_beat_prefixes_and_those_beat_the_wildcard() -> None:
    routes = [
        replace(route([target(OWNER)], name=name), models=(pattern,))
        for name, pattern in (
            ("exact", "gpt-4o"),
            ("short", "gpt-*"),
            ("long", "gpt-4*"),
            ("rest", "*"),
        )
    ]
    made = table([OWNER], routes)

    asked = ("gpt-4o", "gpt-4o-mini", "gpt-3", "llama")
    found = [made.route_for(model) for model in asked]

    assert ["exact", "long", "short", "rest"] == [item and item.name for item in found]
    assert ["gpt-4o"] == made.model_names()


@given(
    patterns=st.lists(st.text("ab", max_size=4), unique=True, max_size=12),
    stars=st.lists(st.booleans(), min_size=12, max_size=12),
    model=st.text("ab", min_size=1, max_size=6),
)
def test_the_longest_pattern_wins(patterns: list[str], stars: list[bool], model: str) -> None:
    """The look-up finds what comparing with all patterns finds."""
    claimed = [
        f"{text}*" if star or not text else text
        for text, star in zip(patterns, stars, strict=False)
    ]
    routes = [
        replace(route([target(OWNER)], name=f"r{number}"), models=(pattern,))
        for number, pattern in enumerate(claimed)
    ]
    matching = [
        (not pattern.endswith("*"), len(pattern), f"r{number}")
        for number, pattern in enumerate(claimed)
        if pattern == model or (pattern.endswith("*") and model.startswith(pattern[:-1]))
    ]

    found = table([OWNER], routes).route_for(model)

    assert (max(matching)[2] if matching else None) == (found.name if found else None)


def test_ten_thousand_prefixes_of_one_length_are_one_look_up() -> None:
    routes = [
        replace(route([target(OWNER)], name=f"r{number}"), models=(f"family-{number:05}/*",))
        for number in range(10_000)
    ]
    made = table([OWNER], routes)

    found = made.route_for("family-09999/large")

    assert 1 == len(made.prefixes)
    assert found is not None
    assert "r9999" == found.name


def test_a_name_that_no_route_claims_has_no_route() -> None:
    assert table([OWNER]).route_for("other") is None
    assert EMPTY_TABLE.route_for("chat") is None


def test_a_credential_reads_as_a_reference() -> None:
    env = CredentialRef(kind=CredentialKind.ENV, name="KEY")
    secret = CredentialRef(kind=CredentialKind.SECRET_KEY_REF, name="keys", key="openai")

    assert ("env:KEY", "secretKeyRef:keys/openai") == (str(env), str(secret))


def test_identity_is_type_url_credential_and_model() -> None:
    renamed = provider("b", base_url=OWNER.base_url, max_in_flight=1)
    elsewhere = replace(OWNER, base_url="https://other.example")
    rekeyed = replace(OWNER, credential=None)

    assert OWNER.target_key("m") == renamed.target_key("m")
    assert OWNER.credential_key == renamed.credential_key
    assert 4 == len(
        {
            OWNER.target_key("m"),
            OWNER.target_key("n"),
            elsewhere.target_key("m"),
            rekeyed.target_key("m"),
        }
    )


def test_what_chooses_an_identity_is_part_of_the_credential() -> None:
    plain = replace(OWNER, options={"region": "eu-west-3"})
    other_region = replace(OWNER, options={"region": "eu-west-1"})
    role = replace(
        OWNER, options={"region": "eu-west-3", "bedrock.roleArn": "arn:aws:iam::1:role/x"}
    )

    assert plain.credential_key == other_region.credential_key
    assert plain.credential_key != role.credential_key
    assert plain.target_key("m") != role.target_key("m")


def test_names_are_indexed_in_order() -> None:
    """A list of all names is asked for by requests; to sort it each time would cost them."""
    routes = [replace(route([target(OWNER)], name=name), models=(name,)) for name in "cab"]

    made = table([OWNER], routes)

    assert ["a", "b", "c"] == list(made.exact) == made.model_names()
