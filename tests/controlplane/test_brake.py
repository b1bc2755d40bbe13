from __future__ import annotations

from controlplane.brake import Brake

FOUR = {"a", "b", "c", "d"}


def test_losing_half_is_no_reason_to_brake() -> None:
    assert "" == Brake(30.0).holds(FOUR, {"a", "b"}, 0.0)


def test_losing_more_than_half_is_held_for_a_while() -> None:
    brake = Brake(30.0)

    assert "3 of 4 providers are gone" in brake.holds(FOUR, {"a"}, 100.0)
    assert brake.remaining_s(110.0) == 20.0
    assert brake.holds(FOUR, {"a"}, 129.9)
    assert "" == brake.holds(FOUR, {"a"}, 130.0)


def test_another_loss_starts_the_time_again() -> None:
    brake = Brake(30.0)
    brake.holds(FOUR, {"a"}, 0.0)

    assert brake.holds(FOUR, {"b"}, 29.0)
    assert brake.holds(FOUR, {"b"}, 31.0)
    assert "" == brake.holds(FOUR, {"b"}, 59.0)


def test_what_came_back_releases_the_brake() -> None:
    brake = Brake(30.0)
    brake.holds(FOUR, {"a"}, 0.0)

    assert "" == brake.holds(FOUR, FOUR, 1.0)
    assert brake.remaining_s(1.0) is None
    assert brake.holds(FOUR, {"a"}, 40.0), "the time starts again"


def test_new_ones_beside_the_lost_do_not_release_the_brake() -> None:
    brake = Brake(30.0)
    new = {"e", "f", "g", "h"}
    brake.holds(FOUR, new, 0.0)

    assert "4 of 4 providers are gone" in brake.holds(FOUR | new, new, 10.0)
    assert "" == brake.holds(FOUR | new, new, 30.0)


def test_losing_all_is_never_believed() -> None:
    brake = Brake(30.0)
    brake.holds(FOUR, (), 0.0)

    assert "never emptied" in brake.holds(FOUR, (), 1e6)


def test_an_empty_table_loses_nothing() -> None:
    assert "" == Brake(30.0).holds((), (), 0.0)
