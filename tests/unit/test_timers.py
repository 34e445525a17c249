from __future__ import annotations

from queuectl.timers import NEVER, Timers


def test_each_id_comes_once_at_the_earliest_time_asked_for() -> None:
    made = Timers()
    made.set("a", 5.0)
    made.set("b", 3.0)
    made.set("a", 2.0)
    made.set("a", 9.0)
    assert made.first == 2.0
    assert [*made.due(1.0)] == []
    assert [*made.due(4.0)] == ["a", "b"]
    assert [*made.due(100.0)] == []
    assert made.first == NEVER


def test_what_is_cancelled_does_not_come() -> None:
    made = Timers()
    made.set("a", 1.0)
    made.cancel("a")
    made.cancel("never there")
    assert not made.ids
    assert [*made.due(2.0)] == []


def test_an_id_may_come_again_while_the_others_are_gone_through() -> None:
    made = Timers()
    made.set("a", 1.0)
    for job_id in made.due(1.0):
        made.set(job_id, 2.0)
    assert made.first == 2.0
