"""When the supervisor wakes for a schedule, and what it does then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queuectl.config.settings import Settings
from queuectl.log import open_log
from queuectl.spool import pauses
from queuectl.supervisor.schedule_timer import AGAIN_S, BUSY_S, ScheduleTimer
from queuectl.timers import NEVER
from tests.support.spools import Home

HOURLY = {"every": "1h", "job": {"command": "true"}}
HOUR = 3600


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def timer(spool: Home) -> ScheduleTimer:
    made = ScheduleTimer(spool, open_log(spool.layout, "supervisor"))
    made.is_clock_watched = True
    return made


def declare(spool: Home, **schedules: Any) -> None:
    spool.settings = Settings.from_dict({**spool.settings.as_dict(), "schedules": schedules})


def step(timer: ScheduleTimer, spool: Home, *, draining: bool = False) -> float:
    """Let it do what is due, and return in how many seconds it has something to do again."""
    timer.step(spool.clock.monotonic(), draining=draining)
    return timer.next_step - spool.clock.monotonic()


def log(spool: Home) -> str:
    return Path(spool.layout.log("supervisor")).read_text()


def test_without_a_schedule_it_never_wakes(timer: ScheduleTimer, spool: Home) -> None:
    assert step(timer, spool) == NEVER


def test_it_sleeps_until_the_next_slot_of_any_schedule(timer: ScheduleTimer, spool: Home) -> None:
    declare(spool, a=HOURLY, b={**HOURLY, "every": "7h"}, c={**HOURLY, "every": "20m"})
    assert step(timer, spool) == 1200
    spool.clock.advance(1199)
    assert step(timer, spool) == 1
    assert [*spool.ids("pending")] == []
    spool.clock.advance(1)
    assert step(timer, spool) == 1200
    assert [*spool.ids("pending")] == ["c@20270115T082000Z"]


def test_a_change_is_looked_at_at_once(timer: ScheduleTimer, spool: Home) -> None:
    """Of the configuration, the pauses or the clock."""
    assert step(timer, spool) == NEVER
    declare(spool, a=HOURLY)
    assert step(timer, spool) == NEVER
    timer.changed()
    assert step(timer, spool) == HOUR
    spool.clock.set_back(-2 * HOUR)
    timer.changed()
    assert step(timer, spool) == HOUR
    assert [*spool.ids("pending")] == ["a@20270115T100000Z"]


def test_without_word_of_the_clock_it_looks_every_minute(timer: ScheduleTimer, spool: Home) -> None:
    timer.is_clock_watched = False
    declare(spool, a=HOURLY)
    assert step(timer, spool) == AGAIN_S


def test_while_draining_it_leaves_the_slots_to_the_next_supervisor(timer: ScheduleTimer, spool: Home) -> None:
    declare(spool, a=HOURLY)
    step(timer, spool)
    spool.clock.advance(HOUR)
    assert step(timer, spool, draining=True) == NEVER
    assert [*spool.ids("pending")] == []


def test_a_schedule_that_is_not_valid_is_logged_once_and_stops_no_other(timer: ScheduleTimer, spool: Home) -> None:
    declare(spool, a=HOURLY, bad={"cron": "x", "job": {"command": "true"}})
    assert step(timer, spool) == HOUR
    spool.clock.advance(HOUR)
    step(timer, spool)
    assert [*spool.ids("pending")] == ["a@20270115T090000Z"]
    timer._log.flush()
    assert log(spool).count("schedule bad: cron must be") == 1


def test_after_an_error_and_beside_another_ticker_it_tries_again(timer: ScheduleTimer, spool: Home) -> None:
    declare(spool, a=HOURLY)
    step(timer, spool)
    spool.clock.advance(HOUR)
    fd = spool.files.open(f"{spool.layout.schedules}/a", 0)
    assert spool.files.try_lock(fd)
    assert step(timer, spool) == BUSY_S
    spool.files.close(fd)
    spool.clock.advance(BUSY_S)
    directory = Path(spool.layout.paused)
    directory.rename(directory.with_name("away"))
    directory.touch()
    assert step(timer, spool) == AGAIN_S
    timer._log.flush()
    assert "schedules cannot be read" in log(spool)
    directory.unlink()
    directory.with_name("away").rename(directory)
    spool.clock.advance(AGAIN_S)
    step(timer, spool)
    assert [*spool.ids("pending")] == ["a@20270115T090000Z"]


def test_a_paused_schedule_is_decided_at_its_slots(timer: ScheduleTimer, spool: Home) -> None:
    """So that one that is resumed by removing the file does not make up for the pause."""
    declare(spool, a=HOURLY)
    step(timer, spool)
    pauses.pause(spool, "@a")
    for _ in range(3):
        spool.clock.advance(HOUR)
        assert step(timer, spool) == HOUR
    Path(spool.layout.paused, "@a").unlink()
    timer.changed()
    assert step(timer, spool) == HOUR
    assert [*spool.ids("pending")] == []
