"""The jobs of slots: which are made, by whom, and what is remembered."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from queuectl.errors import QueueError
from queuectl.scheduling.recurrence import id_of
from queuectl.scheduling.schedules import InvalidSchedule, Schedule, check
from queuectl.spool import pauses
from queuectl.spool.fs import READ
from queuectl.spool.schedules import Ticked, begin, marker_of, paused_schedules, remove, tick
from queuectl.spool.spool import Spool
from tests.support.spools import DIRECTORIES, Home

MINUTE, HOUR, DAY = 60, 3600, 86400


def schedule(name: str = "s", **more: Any) -> Schedule:
    given = {"job": {"command": "true"}, **more}
    return check(name, given if {"cron", "every"} & {*given} else {"every": "1m", **given})


def ticked(spool: Home, *schedules: Schedule) -> list[Ticked]:
    found = [*tick(spool, {each.name: each for each in schedules}, {}, spool.clock.now())]
    for one in found:
        if one.error:
            raise one.error
    return found


def made(spool: Home, *schedules: Schedule) -> list[str]:
    return [job_id for one in ticked(spool, *schedules) for job_id in one.made]


def everything(spool: Home) -> list[str]:
    return sorted(job_id for directory in DIRECTORIES for job_id in spool.ids(directory))


def run(spool: Home, job_id: str) -> None:
    with spool.start(job_id) as claim:
        claim.finish({"exit_code": 0})


@pytest.fixture
def spool(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_new_schedule_begins_with_the_next_slot(spool: Home) -> None:
    every = schedule()
    assert made(spool, every) == []
    spool.clock.advance(59)
    assert made(spool, every) == []
    spool.clock.advance(1)
    assert made(spool, every) == ["s@20270115T080100Z"]
    assert made(spool, every) == []


def test_the_job_knows_its_schedule_and_its_slot(spool: Home) -> None:
    every = schedule(job={"command": "true", "tags": ["a"], "env": {"A": "b"}, "queue": "q"})
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    [job_id] = made(spool, every)
    fields = spool.read(job_id).fields
    assert fields["tags"] == ["a", "schedule:s"]
    assert fields["env"] == {"A": "b", "QUEUECTL_SCHEDULE": "s", "QUEUECTL_SLOT": "2027-01-15T08:01:00Z"}
    assert fields["queue"] == "q"


def _tick_once(arguments: tuple[str, float]) -> list[str]:
    home, now = arguments
    spool = Home(Path(home))
    spool.clock.advance(now - spool.clock.now())
    return made(spool, schedule(overlap="allow"))


def test_ten_tickers_at_once_make_one_job_a_slot(spool: Home) -> None:
    """Ten processes tick for each of 20 slots at the same time. Proves G23."""
    begin(spool, schedule(overlap="allow"), spool.clock.now())
    slots = [spool.clock.now() + MINUTE * number for number in range(1, 21)]
    with ProcessPoolExecutor(10, mp_context=get_context("fork")) as pool:
        found = [
            job_id for slot in slots for ids in pool.map(_tick_once, [(spool.layout.home, slot)] * 10) for job_id in ids
        ]
    assert len(found) == len(set(found)) == 20
    assert everything(spool) == sorted(found)


@pytest.mark.parametrize(
    ("misfire", "interval", "count", "missed"),
    [
        *(("once", "1m", 1, 119), ("all", "1m", 120, 0), ("skip", "1m", 1, 119)),
        *(("once", "5m", 1, 23), ("all", "5m", 24, 0), ("skip", "5m", 0, 24)),  # the last is two minutes late
    ],
)
def test_two_hours_asleep_are_caught_up_with(spool: Home, misfire: str, interval: str, count: int, missed: int) -> None:
    """As `misfire` says; and the slot after them is on time."""
    every = schedule(every=interval, misfire=misfire)
    begin(spool, every, spool.clock.now())
    spool.clock.advance(2 * HOUR + (30 if interval == "1m" else 2 * MINUTE))
    [found] = ticked(spool, every)
    assert (len(found.made), found.missed, found.skipped) == (count, missed, 0)
    marker = marker_of(spool, "s")
    assert marker is not None
    assert marker.missed == missed
    for job_id in found.made:
        run(spool, job_id)
    spool.clock.advance(5 * MINUTE - spool.clock.now() % (5 * MINUTE))
    assert made(spool, every)[-1] == id_of("s", spool.clock.now())


def test_what_is_caught_up_with_has_a_bound(spool: Home) -> None:
    """A clock that jumps by ten years makes no more than a thousand jobs, and says what is missed."""
    every = schedule(misfire="all", overlap="allow")
    begin(spool, every, spool.clock.now())
    spool.clock.advance(10 * 365 * DAY)
    [found] = ticked(spool, every)
    assert len(found.made) == 1000
    assert found.missed == 1
    assert made(spool, every) == []


def test_a_clock_that_is_set_back_repeats_no_slot(spool: Home) -> None:
    """Although the jobs of the slots are deleted."""
    every = schedule(overlap="allow")
    begin(spool, every, spool.clock.now())
    for _ in range(5):
        spool.clock.advance(MINUTE)
        [job_id] = made(spool, every)
        with spool.take(job_id) as claim:
            claim.delete()
    spool.clock.set_back(4 * MINUTE)
    for _ in range(4):
        assert made(spool, every) == []
        spool.clock.advance(MINUTE)
    assert made(spool, every) == []
    spool.clock.advance(MINUTE)
    assert made(spool, every) == ["s@20270115T080600Z"]


def test_a_schedule_ahead_of_the_clock_goes_on_when_it_is_begun_again(spool: Home) -> None:
    """The clock was years ahead, and has been set right."""
    every = schedule()
    begin(spool, every, spool.clock.now() + 365 * DAY)
    spool.clock.advance(MINUTE)
    assert made(spool, every) == []
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    assert made(spool, every) == ["s@20270115T080200Z"]


def test_a_lost_marker_is_made_anew_from_the_jobs(spool: Home) -> None:
    """The slots after the last job are due; those before are not made again."""
    every = schedule(overlap="allow")
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    run(spool, made(spool, every)[0])
    os.unlink(f"{spool.layout.schedules}/s")
    assert made(spool, every) == []
    spool.clock.advance(3 * MINUTE)
    os.unlink(f"{spool.layout.schedules}/s")
    assert made(spool, every) == ["s@20270115T080400Z"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"timing": 1}', "\0" * 512, '{"timing":"x","until":"yesterday"}'])
def test_a_damaged_marker_is_a_lost_one(spool: Home, text: str) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    Path(spool.layout.schedules, "s").write_text(text)
    assert made(spool, every) == []
    spool.clock.advance(MINUTE)
    assert len(made(spool, every)) == 1


def test_another_timing_does_not_repeat_the_past(spool: Home) -> None:
    begin(spool, schedule(every="1h"), spool.clock.now())
    spool.clock.advance(50 * MINUTE)
    assert made(spool, schedule(every="1m")) == []
    spool.clock.advance(MINUTE)
    assert made(spool, schedule(every="1m")) == ["s@20270115T085100Z"]


def test_another_timing_does_not_repeat_slots_after_the_clock_was_set_back(spool: Home) -> None:
    """Although their jobs are deleted, and the slots are those of the other timing as well."""
    begin(spool, schedule(every="1m", overlap="allow"), spool.clock.now())
    for _ in range(3):
        spool.clock.advance(MINUTE)
        [job_id] = made(spool, schedule(every="1m", overlap="allow"))
        with spool.take(job_id) as claim:
            claim.delete()
    spool.clock.set_back(3 * MINUTE)
    other = schedule(cron="* * * * *", timezone="UTC", overlap="allow")
    for _ in range(4):
        assert made(spool, other) == []
        spool.clock.advance(MINUTE)
    assert made(spool, other) == ["s@20270115T080400Z"]


def test_a_ticker_leaves_a_schedule_to_the_one_that_has_its_lock(spool: Home) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    fd = spool.files.open(f"{spool.layout.schedules}/s", READ)
    assert spool.files.try_lock(fd)
    [found] = ticked(spool, every)
    assert (found.is_busy, found.made) == (True, [])
    spool.files.close(fd)
    assert len(made(spool, every)) == 1


def test_a_schedule_that_was_removed_begins_anew(spool: Home) -> None:
    """Whether by the command or in the file, which the next tick sees."""
    for removed in (lambda: remove(spool, "s"), lambda: ticked(spool)):
        begin(spool, schedule(), spool.clock.now())
        removed()
        spool.clock.advance(HOUR)
        assert made(spool, schedule()) == []
        spool.clock.advance(MINUTE)
        [job_id] = made(spool, schedule())
        run(spool, job_id)


def test_a_schedule_that_is_not_valid_is_not_taken_for_a_removed_one(spool: Home) -> None:
    begin(spool, schedule(), spool.clock.now())
    spool.clock.advance(HOUR)
    assert [*tick(spool, {}, {"s": InvalidSchedule(("s",), "no")}, spool.clock.now())] == []
    assert len(made(spool, schedule())) == 1


def test_a_paused_schedule_makes_none_and_misses_none(spool: Home) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    pauses.pause(spool, "@s")
    assert [*paused_schedules(spool)] == ["s"]
    assert pauses.paused(spool) == frozenset()
    spool.clock.advance(HOUR)
    assert ticked(spool, every) == []
    pauses.resume(spool, "@s")
    assert ticked(spool, every) == []
    spool.clock.advance(MINUTE)
    assert len(made(spool, every)) == 1


def test_the_pause_of_a_queue_is_none_of_a_schedule(spool: Home) -> None:
    pauses.pause(spool, "s")
    assert paused_schedules(spool) == {}


# --- overlap


@pytest.mark.parametrize("state", ["waiting", "running", "held", "waiting for a retry"])
def test_a_slot_is_skipped_while_the_job_before_has_not_ended(spool: Home, state: str) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    [first] = made(spool, every)
    if state == "held":
        with spool.take(first) as claim:
            claim.hold()
    elif state != "waiting":
        claim = spool.start(first)
        if state != "running":
            claim.reschedule("failed", spool.clock.now() + HOUR, {"exit_code": 1})
        claim.close()
    spool.clock.advance(MINUTE)
    [found] = ticked(spool, every)
    assert (found.made, found.skipped) == ([], 1)
    marker = marker_of(spool, "s")
    assert marker is not None
    assert (marker.skipped, marker.skipped_slot, marker.missed) == (1, spool.clock.now(), 0)


def test_a_slot_is_made_once_the_job_before_has_ended(spool: Home) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    for _ in range(3):
        spool.clock.advance(MINUTE)
        [job_id] = made(spool, every)
        run(spool, job_id)


def test_a_queued_slot_comes_after_the_one_before(spool: Home) -> None:
    every = schedule(overlap="queue")
    begin(spool, every, spool.clock.now())
    ids = []
    for _ in range(3):
        spool.clock.advance(MINUTE)
        ids += made(spool, every)
    assert [spool.read(job_id).fields.get("after") for job_id in ids] == [None, [ids[0]], [ids[1]]]
    assert spool.read(ids[2]).fields["after_policy"] == "any"
    run(spool, ids[0])
    spool.clock.advance(MINUTE)
    run(spool, ids[1])
    run(spool, ids[2])
    assert "after" not in spool.read(made(spool, every)[0]).fields


def test_slots_that_are_caught_up_with_come_one_after_the_other(spool: Home) -> None:
    """Also with `overlap: skip`: all were asked for, and no two are to run at once."""
    every = schedule(misfire="all")
    begin(spool, every, spool.clock.now())
    spool.clock.advance(5 * MINUTE)
    ids = made(spool, every)
    assert [spool.read(job_id).fields.get("after") for job_id in ids] == [None, *([each] for each in ids[:-1])]


def test_slots_may_overlap(spool: Home) -> None:
    every = schedule(overlap="allow")
    begin(spool, every, spool.clock.now())
    for _ in range(3):
        spool.clock.advance(MINUTE)
        assert "after" not in spool.read(made(spool, every)[0]).fields


# --- errors


def test_an_error_with_one_schedule_does_not_stop_the_others(spool: Home) -> None:
    one, other = schedule("a"), schedule("b")
    begin(spool, other, spool.clock.now())
    os.mkdir(f"{spool.layout.schedules}/a")
    spool.clock.advance(MINUTE)
    found = {each.name: each for each in tick(spool, {"a": one, "b": other}, {}, spool.clock.now())}
    assert isinstance(found["a"].error, QueueError)
    assert found["b"].made == ["b@20270115T080100Z"]


def test_a_slot_whose_job_cannot_be_written_is_made_later(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    every = schedule()
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    with monkeypatch.context() as patched:
        patched.setattr(type(spool.files), "free_bytes", lambda *_: (0, 1 << 40))
        [found] = tick(spool, {"s": every}, {}, spool.clock.now())
    assert "nothing is enqueued" in str(found.error)
    assert made(spool, every) == ["s@20270115T080100Z"]


def test_a_job_that_is_in_the_way_is_the_job_of_the_slot(spool: Home) -> None:
    """Another process made it, or this one was killed before it could record it."""
    every = schedule()
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    spool.enqueue({"id": "s@20270115T080100Z", "command": "true"})
    assert made(spool, every) == []
    marker = marker_of(spool, "s")
    assert marker is not None
    assert marker.slot == spool.clock.now()


def test_a_slot_whose_job_was_removed_before_it_was_recorded_gets_no_second_one(spool: Home) -> None:
    """The process that adds the job is killed before it writes the marker; the job runs and is removed. Proves G23."""
    every = schedule(overlap="allow")
    begin(spool, every, spool.clock.now())
    spool.clock.advance(MINUTE)
    marker = marker_of(spool, "s")
    assert marker is not None
    run(spool, spool.enqueue(every.fields_of(marker.until + MINUTE)))
    with spool.take("s@20270115T080100Z") as claim:
        claim.remove()
    assert made(spool, every) == []
    spool.clock.advance(MINUTE)
    assert made(spool, every) == ["s@20270115T080200Z"]


def test_the_removal_of_a_job_with_a_slot_that_is_not_due_decides_nothing(spool: Home) -> None:
    every = schedule(overlap="allow")
    begin(spool, every, spool.clock.now())
    run(spool, spool.enqueue({**every.fields_of(None), "id": "s@20990101T000000Z"}))
    with spool.take("s@20990101T000000Z") as claim:
        claim.remove()
    spool.clock.advance(MINUTE)
    assert made(spool, every) == ["s@20270115T080100Z"]


def test_a_home_of_an_earlier_version_gets_the_directory(spool: Home) -> None:
    os.rmdir(spool.layout.schedules)
    assert marker_of(spool, "s") is None
    begin(spool, schedule(), spool.clock.now())
    assert isinstance(spool, Spool)
    spool.clock.advance(MINUTE)
    assert len(made(spool, schedule())) == 1
