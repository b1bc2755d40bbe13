from __future__ import annotations

from controlplane.table.layout import lay_out
from controlplane.table.measured import Measured
from controlplane.table.schema import Table
from tests.controlplane.table.tables import provider, route, table, target

A, B = provider("a"), provider("b")
BOTH = table([A, B])


def measured(made: Table = BOTH) -> Measured:
    """Give the states of a table of which nothing was measured yet."""
    result = Measured()
    result.install(lay_out(made))
    return result


def test_a_state_is_made_when_it_is_first_needed() -> None:
    states = measured()

    found = states.find(target(A), BOTH)

    assert found is not None
    assert (A, {target(A).key: found[1]}) == (found[0], states.targets)
    assert found[1] is (states.find(target(A), BOTH) or ())[1]
    assert {A.credential_key: found[1].credential} == states.credentials


def test_a_look_keeps_nothing() -> None:
    """Neither an install nor any look at ten thousand targets fills the memory."""
    states = measured()

    seen = states.glimpse(target(A))

    assert seen is not None
    assert (A, 0) == (seen[0], seen[1].failures)
    assert ({}, {}, {}) == (states.targets, states.credentials, states.providers)
    assert states.credential_of("a") is None


def test_a_look_shows_the_state_there_is() -> None:
    states = measured()

    found = states.find(target(A), BOTH)

    assert found == states.glimpse(target(A))


def test_what_no_route_leads_to_is_not_found() -> None:
    made = table([A, B], [route([target(A)])])
    states = measured(made)

    assert states.find(target(B), made) is None
    assert states.find(target(provider("c")), made) is None
    assert states.glimpse(target(B)) is None
    assert states.glimpse(target(provider("c"))) is None


def test_an_install_forgets_what_is_gone() -> None:
    states = measured()
    for owner in (A, B):
        states.find(target(owner), BOTH)
        states.provider(owner)

    states.install(lay_out(table([A])))

    assert [target(A).key] == list(states.targets)
    assert [A.credential_key] == list(states.credentials)
    assert ["a"] == list(states.providers)


def test_a_provider_that_is_gone_stays_while_it_has_calls() -> None:
    states = measured()
    states.provider(B).in_flight = 1

    states.install(lay_out(table([A])))

    assert ["b"] == list(states.providers)


def test_a_forgotten_target_shares_a_credential_that_is_still_used() -> None:
    """A refused key is refused for requests of the older table, too."""
    sibling = target(A, "other")
    now = table([A], [route([sibling])])
    states = measured(now)

    forgotten = states.find(target(A), BOTH)
    current = states.find(sibling, now)

    assert forgotten is not None
    assert current is not None
    assert forgotten[1].credential is current[1].credential
    assert [sibling.key] == list(states.targets)
