"""When workers are started again, and who takes whose connections meanwhile."""

from __future__ import annotations

from controlplane.table.live import LiveTable
from switchgear.fleet import SILENT_BEATS, Fleet, pause_s
from switchgear.member import Member
from tests.controlplane.table.tables import zero


def test_the_first_restart_is_at_once_and_each_further_one_waits_longer() -> None:
    assert [0.0, 0.0, 0.5, 1.0, 2.0] == [pause_s(failures) for failures in range(5)]
    assert 30.0 == pause_s(50) == pause_s(5000)


class FakeMember:
    """A worker that is only looked at."""

    def __init__(self, index: int, *, serving: bool = True) -> None:
        self.index = index
        self.serving = serving
        self.pid = 1000 + index
        self.silence = 0
        self.ending = False
        self.killed = 0
        self.listeners: tuple[int, ...] = ()

    def accept(self, listeners: tuple[int, ...]) -> None:
        self.listeners = listeners

    def kill(self) -> None:
        self.killed += 1


def fleet(*members: FakeMember | None) -> Fleet:
    async def launch(*_: object) -> Member:
        raise AssertionError("nothing is started here")

    made = Fleet(
        len(members),
        launch=launch,
        listen=lambda: None,
        live=LiveTable(random=zero),
        departed=lambda _: None,
        measured=lambda _: None,
        clock=lambda: 0.0,
        drain_s=1.0,
        flush_s=1.0,
    )
    for slot, member in zip(made.slots, members, strict=True):
        slot.member = member  # type: ignore[assignment]
    return made


def assigned(*members: FakeMember | None) -> list[tuple[int, ...]]:
    fleet(*members)._assign()
    return [member.listeners for member in members if member is not None]


def test_each_takes_its_own_connections() -> None:
    assert [(0,), (1,), (2,)] == assigned(FakeMember(0), FakeMember(1), FakeMember(2))


def test_those_of_one_that_is_away_or_not_ready_are_taken_by_others() -> None:
    assert [(0, 2), (1,)] == assigned(FakeMember(0), FakeMember(1), None)
    assert [(0, 1), ()] == assigned(FakeMember(0), FakeMember(1, serving=False))
    assert [(0, 2), (1, 3)] == assigned(FakeMember(0), FakeMember(1), None, None)


def test_with_nobody_who_serves_nothing_is_assigned() -> None:
    assert [()] == assigned(FakeMember(0, serving=False), None)


def test_one_that_gives_no_sign_of_life_for_long_is_ended() -> None:
    silent, alive, draining = FakeMember(0), FakeMember(1), FakeMember(2)
    draining.ending = True
    made = fleet(silent, alive, draining)
    made._members.update({silent, alive, draining})  # type: ignore[arg-type]
    for _ in range(SILENT_BEATS):
        made.look()
        alive.silence = 0
    before = silent.killed
    made.look()

    assert (0, 1, 0, 0) == (before, silent.killed, alive.killed, draining.killed)
