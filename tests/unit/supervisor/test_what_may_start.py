"""Jobs with parents, limits and pauses in the supervisor: a job that may start is never left waiting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.index.database import IndexUnavailable
from queuectl.job.job import DEAD, DONE, PENDING
from queuectl.log import Log
from queuectl.spool import parents, pauses
from queuectl.spool.intake import LIMIT_S, RefusalReason
from queuectl.supervisor import dependents, start_order
from queuectl.supervisor.dependents import AGAIN_S
from queuectl.supervisor.dispatcher import Dispatcher
from queuectl.supervisor.machine import LOOK_AGAIN_S, Machine
from queuectl.timers import NEVER
from tests.support.spools import Home


class FakeMachine(Machine):
    def __init__(self) -> None:
        self.now_load, self.now_free, self.looks = 0.0, 8 << 30, 0

    def load(self) -> float:
        self.looks += 1
        return self.now_load

    def free_memory(self) -> int:
        self.looks += 1
        return self.now_free


class Scene:
    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.machine = FakeMachine()
        self.spool = Home(path / "home", **settings)
        self.open()

    def open(self) -> None:
        self.dispatch = Dispatcher(
            self.spool, Log(str(self.path / "log"), "supervisor"), lambda _: None, lambda _: None, self.machine
        )

    def put(self, state: str = "pending", **fields: Any) -> str:
        job_id = self.spool.put(state, **fields)
        self.dispatch.refresh(job_id)
        return job_id

    def step(self, seconds: float = 0.1) -> None:
        """Let time pass, and do what is due."""
        self.spool.clock.advance(seconds)
        for _ in range(20):
            now = self.spool.clock.monotonic()
            if self.dispatch.next_step(now) > now:
                return
            self.dispatch.step(now)
        raise AssertionError("the loop does not come to rest")

    def fails(self, job_id: str) -> None:
        with self.spool.start(job_id) as claim:
            claim.move_to_dead("retries_exhausted", {"exit_code": 1})

    def refused(self, job_id: str, limit: str) -> None:
        self.dispatch.released(
            job_id, {"reason": RefusalReason.LIMIT, "again_s": LIMIT_S, "detail": f"{limit} is held"}
        )


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.dispatch.close()


def test_a_job_starts_when_its_parent_has_completed(scene: Scene) -> None:
    """Guarantee G19."""
    parent = scene.put()
    child = scene.put(after=[parent])
    scene.step()
    assert (scene.dispatch.next(), scene.dispatch.next()) == (parent, None)
    with scene.spool.start(parent) as claim:
        claim.finish({})
    scene.dispatch.released(parent)
    scene.dispatch.refresh(parent)
    scene.step()
    assert scene.dispatch.next() == child


def test_a_parent_that_failed_twice_between_two_looks_is_not_missed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is revived just before its child is moved to dead/, and dead again before the index has read that."""
    parent = scene.put("dead")
    decide = parents.decide_by_files

    def revived_just_now(*args: Any) -> Any:
        monkeypatch.setattr(parents, "decide_by_files", decide)
        with scene.spool.take(parent) as claim:
            claim.revive()
        return decide(*args)

    monkeypatch.setattr(parents, "decide_by_files", revived_just_now)
    child = scene.put(after=[parent])
    scene.step()
    assert scene.spool.find(child) == PENDING
    scene.fails(parent)
    scene.dispatch.refresh(parent)
    scene.step()
    scene.step(AGAIN_S)
    assert scene.spool.find(child) == DEAD


def test_a_child_waits_again_when_its_parent_is_revived_before_it_starts(scene: Scene) -> None:
    """It is not given to a worker that must refuse it, nor found in the index as one that may start."""
    parent = scene.put("completed")
    child = scene.put(after=[parent])
    scene.step()
    with scene.spool.take(parent) as claim:
        claim.revive()
    scene.dispatch.refresh(parent)
    scene.step()
    assert (scene.dispatch.next(), scene.dispatch.next()) == (parent, None)
    scene.dispatch.order.read_limits()  # reads the index again
    assert scene.dispatch.next() is None
    with scene.spool.start(parent) as claim:
        claim.finish({})
    scene.dispatch.released(parent)
    scene.dispatch.refresh(parent)
    scene.step()
    assert scene.dispatch.next() == child


def test_a_child_that_dies_while_its_parent_is_revived_is_revived_too(scene: Scene) -> None:
    """Its claim decided by the parent as it was; the index hears of the parent first."""
    parent = scene.put("dead")
    child = scene.spool.put("pending", after=[parent])
    scene.dispatch.refresh(child)
    scene.dispatch.commit()
    with scene.spool.take(child) as claim:
        parents.settle(claim, parents.decide_by_files(scene.spool, claim.job))
    with scene.spool.take(parent) as claim:
        claim.revive()
    scene.dispatch.refresh(parent)
    scene.step()
    scene.dispatch.refresh(child)
    scene.step()
    assert scene.spool.find(child) == PENDING


def test_a_child_that_another_process_has_locked_is_decided_about_after_a_crash(scene: Scene) -> None:
    parent = scene.put("dead")
    child = scene.put(after=[parent])
    with scene.spool.take(child):
        scene.step()
    assert scene.spool.find(child) == PENDING
    scene.dispatch.commit()
    scene.dispatch._writer._database.close()  # as a killed supervisor leaves it
    scene.open()
    scene.dispatch.begin_sync(watched=True)
    scene.step()
    assert scene.spool.find(child) == DEAD


def test_children_whose_parents_are_not_indexed_yet_are_not_taken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new index reads pending/ before done/; every child would be locked and read in vain."""
    parent = scene.spool.put("completed")
    missing = scene.spool.put("pending")
    child, orphan = scene.put(after=[parent]), scene.put(after=[missing])
    scene.spool.path(PENDING, missing).unlink()
    monkeypatch.setattr(scene.spool, "take_in", lambda *_: pytest.fail("a child was locked"))
    scene.step()
    monkeypatch.undo()
    scene.dispatch.begin_sync(watched=True)
    scene.step()
    assert (scene.dispatch.next(), scene.spool.find(orphan)) == (child, DEAD)


@pytest.mark.parametrize("is_indexed", [True, False])
def test_a_job_with_parents_starts_although_the_clock_was_set_back(scene: Scene, is_indexed: bool) -> None:
    parent = scene.put("completed")
    child = scene.put(after=[parent])
    scene.spool.clock.set_back(86400)
    scene.step()
    if is_indexed:
        scene.dispatch.order.read_limits()  # reads the index again
    assert scene.dispatch.next() == child


def test_a_supervisor_without_an_index_starts_children_and_looks_behind_a_blocked_crowd(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_order, "SCAN_FILES", 4)
    holder = scene.put(lock="db")
    assert scene.dispatch.next() == holder
    for _ in range(20):
        scene.put(lock="db")
    parent = scene.put()
    assert scene.dispatch.next() == parent
    child = scene.put(after=[parent])
    scene.dispatch._fail(IndexUnavailable("no disk"))
    monkeypatch.setattr(scene.dispatch, "_repair_at", 1e9)
    with scene.spool.start(parent) as claim:
        claim.finish({})
    scene.dispatch.released(parent)
    found = None
    for _ in range(40):
        found = found or scene.dispatch.next()
        scene.step(0.2)
    assert found == child


def test_a_lane_that_others_block_is_left_alone_for_a_while(scene: Scene) -> None:
    """Not one job after the other is given to a worker that must refuse it; other lanes go on."""
    first, second = scene.put(lock="db"), scene.put(lock="db")
    assert scene.dispatch.next() == first
    scene.refused(first, "lock/db")
    assert scene.dispatch.next() is None
    other = scene.put(lock="mail")
    assert scene.dispatch.next() == other
    assert list(scene.dispatch.order.blocked) == ["lock/db"]
    scene.step(LIMIT_S)
    assert scene.dispatch.next() == first
    scene.dispatch.released(first)
    assert scene.dispatch.next() == second


def test_an_adopted_job_counts_as_its_file_says(tmp_path: Path) -> None:
    """The index was not current, or does not know it, or its file cannot be read any more."""
    scene = Scene(tmp_path, queues={"slow": {"concurrency": 1}})
    adopted = scene.spool.put("processing", queue="slow")
    scene.dispatch.order.assign(adopted)
    waiting = scene.put(queue="slow")
    assert scene.dispatch.next() is None
    scene.dispatch.released(adopted)
    assert scene.dispatch.next() == waiting
    scene.dispatch.order.assign("gone")
    scene.dispatch.close()


def test_a_restart_of_the_supervisor_does_not_forget_the_rate(tmp_path: Path) -> None:
    scene = Scene(tmp_path, queues={"mail": {"rate": "2/1m"}})
    for _ in range(2):
        scene.put("completed", queue="mail")
    waiting = scene.put(queue="mail")
    scene.spool.clock.advance(30)
    scene.dispatch.close()
    scene.open()
    assert scene.dispatch.next() is None
    scene.step(29)
    assert scene.dispatch.next() is None
    scene.step(2)
    assert scene.dispatch.next() == waiting
    scene.dispatch.close()


def test_a_restart_counts_every_attempt_against_the_rate(tmp_path: Path) -> None:
    scene = Scene(tmp_path, queues={"mail": {"rate": "2/1m"}})
    job_id = scene.spool.put("failed", queue="mail")
    scene.spool.clock.advance(5)
    with scene.spool.start(job_id) as claim:
        claim.finish({"exit_code": 0})
    scene.dispatch.refresh(job_id)
    waiting = scene.put(queue="mail")
    scene.spool.clock.advance(25)
    scene.dispatch.close()
    scene.open()
    assert scene.dispatch.next() is None
    scene.step(29)
    assert scene.dispatch.next() is None
    scene.step(2)
    assert scene.dispatch.next() == waiting
    scene.dispatch.close()


def test_a_start_counts_from_when_it_has_happened(tmp_path: Path) -> None:
    """A worker may start a job later than it was assigned; no window of the rate has more starts all the same."""
    scene = Scene(tmp_path, queues={"mail": {"rate": "1/10s"}})
    first, second = scene.put(queue="mail"), scene.put(queue="mail")
    assert scene.dispatch.next() == first
    scene.step(4)
    scene.dispatch.order.began(first)
    scene.step(9)
    assert scene.dispatch.next() is None
    scene.dispatch.released(first)  # long after it began
    assert scene.dispatch.next() is None
    scene.step(1.5)
    assert scene.dispatch.next() == second
    scene.dispatch.close()


def test_starts_before_a_crash_count_once_the_index_is_current(tmp_path: Path) -> None:
    scene = Scene(tmp_path, queues={"mail": {"rate": "1/1m"}})
    scene.spool.put("completed", queue="mail")  # the index was killed before it learnt that
    scene.spool.clock.advance(1)
    scene.dispatch.close()
    scene.open()
    scene.dispatch.begin_sync(watched=True)
    scene.put(queue="mail")
    scene.step()
    assert scene.dispatch.next() is None
    scene.dispatch.close()


def test_pauses_that_cannot_be_read_stop_everything_until_they_can(scene: Scene) -> None:
    job_id = scene.put()
    os.rename(scene.spool.layout.paused, f"{scene.spool.layout.paused}.away")
    Path(scene.spool.layout.paused).touch()
    scene.dispatch.order.read_pauses()
    assert scene.dispatch.next() is None
    Path(scene.spool.layout.paused).unlink()
    os.rename(f"{scene.spool.layout.paused}.away", scene.spool.layout.paused)
    scene.step(start_order.AGAIN_S)
    assert scene.dispatch.next() == job_id


def test_no_lane_is_looked_at_while_as_many_jobs_run_as_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, max_running=1)
    first = scene.put()
    assert scene.dispatch.next() == first
    waiting = [scene.put(lock=f"lock-{n}") for n in range(3)]
    with monkeypatch.context() as patched:
        patched.setattr(start_order, "blocking", lambda *_: pytest.fail("a lane was looked at"))
        assert scene.dispatch.next() is None
    assert scene.dispatch.order.blocked == {"running": [first]}
    scene.dispatch.released(first)
    assert scene.dispatch.next() == waiting[0]
    scene.dispatch.close()


def test_an_edit_of_a_waiting_job_moves_it_to_its_new_lane(scene: Scene) -> None:
    """`lock`, `queue`, `priority` and `after` of a job that is in a window already."""
    holder = scene.put(lock="db")
    assert scene.dispatch.next() == holder
    job_id, other = scene.put(lock="db"), scene.put()
    assert scene.dispatch.next() == other
    for changes, starts in (({"lock": None}, True), ({"lock": "db"}, False), ({"lock": "b", "queue": "q"}, True)):
        with scene.spool.take(job_id) as claim:
            claim.edit(changes)
        scene.dispatch.refresh(job_id)
        assert scene.dispatch.next() == (job_id if starts else None)
        if starts:
            scene.dispatch.released(job_id, {"reason": "unanswered"})
    with scene.spool.take(job_id) as claim:
        claim.edit({"after": [holder]})
    scene.dispatch.refresh(job_id)
    scene.step()
    assert scene.dispatch.next() is None
    assert scene.spool.find(holder) != DONE


def test_a_pause_that_was_not_noticed_costs_one_refusal(scene: Scene) -> None:
    jobs = [scene.put() for _ in range(3)]
    pauses.pause(scene.spool, "default")
    assert scene.dispatch.next() == jobs[0]
    scene.dispatch.released(jobs[0], {"reason": RefusalReason.PAUSED, "detail": "default"})
    assert scene.dispatch.next() is None
    pauses.resume(scene.spool, "default")
    scene.dispatch.order.read_pauses()
    assert scene.dispatch.next() == jobs[0]


@pytest.mark.parametrize(
    ("settings", "limit", "words"),
    [
        ({"max_load": 4}, "load", "the load average of the machine is 9.50, max_load is 4"),
        ({"min_free_memory": "2GiB"}, "memory", "1 GiB of memory is available, min_free_memory is 2 GiB"),
    ],
)
def test_a_busy_machine_starts_one_job_and_more_once_it_is_idle(
    tmp_path: Path, settings: dict[str, Any], limit: str, words: str
) -> None:
    scene = Scene(tmp_path, **settings)
    first, second, third = (scene.put() for _ in range(3))
    scene.machine.now_load, scene.machine.now_free = 9.5, 1 << 30
    order = scene.dispatch.order
    assert (scene.dispatch.next(), scene.dispatch.next()) == (first, None)  # with nothing running one always starts
    assert order.blocked == {limit: []}
    assert order.shortage == (limit, words)
    assert order.next_step(scene.spool.clock.monotonic()) == scene.spool.clock.monotonic() + LOOK_AGAIN_S
    assert scene.machine.looks == 1
    assert scene.dispatch.next() is None
    assert scene.machine.looks == 1  # not at every request
    scene.step(LOOK_AGAIN_S)
    assert scene.dispatch.next() is None
    assert scene.machine.looks == 2
    scene.machine.now_load, scene.machine.now_free = 0.0, 8 << 30
    scene.step(LOOK_AGAIN_S)
    assert (scene.dispatch.next(), scene.dispatch.next(ahead=True), scene.dispatch.next()) == (second, None, third)
    assert order.blocked == {}
    scene.dispatch.close()


def test_a_machine_with_limits_is_not_looked_at_while_no_job_waits(tmp_path: Path) -> None:
    scene = Scene(tmp_path, max_load=1)
    scene.machine.now_load = 5.0
    first, second = scene.put(), scene.put()
    assert (scene.dispatch.next(), scene.dispatch.next()) == (first, None)
    with scene.spool.take(second) as claim:
        claim.cancel()
    scene.dispatch.refresh(second)
    scene.step(LOOK_AGAIN_S)
    looks = scene.machine.looks
    assert scene.dispatch.next() is None
    assert scene.dispatch.order.next_step(scene.spool.clock.monotonic()) == NEVER
    assert (scene.machine.looks, scene.dispatch.order.blocked) == (looks, {})
    scene.dispatch.close()


def test_an_unlimited_machine_is_never_looked_at(scene: Scene) -> None:
    scene.put()
    scene.put()
    assert scene.dispatch.next() is not None
    assert scene.dispatch.next() is not None
    assert scene.machine.looks == 0


def test_the_job_that_runs_alone_ended_so_the_next_starts_on_a_busy_machine(tmp_path: Path) -> None:
    scene = Scene(tmp_path, max_load=1)
    scene.machine.now_load = 5.0
    first, second = scene.put(), scene.put()
    assert (scene.dispatch.next(), scene.dispatch.next()) == (first, None)
    with scene.spool.start(first) as claim:
        claim.finish({})
    scene.dispatch.released(first)
    assert scene.dispatch.next() == second
    scene.dispatch.close()


def test_the_readings_of_this_machine() -> None:
    machine = Machine()
    free = machine.free_memory()
    assert machine.load() >= 0
    assert free is not None
    assert free > 1 << 20


def test_jobs_that_come_after_each_other_are_reported_until_one_is_edited(scene: Scene) -> None:
    """As dropped files can have it: each exists when the other is looked at."""
    for job_id, parent in ("ab", "bc", "ca", "da"):  # d is behind the cycle, not in it
        scene.spool.drop(f"{job_id}.json", {"command": "true", "after": [parent]})
    for job_id in "abcd":
        scene.dispatch.refresh(job_id)
    scene.step()
    assert scene.dispatch.in_cycles == ["a", "b", "c"]
    scene.dispatch.close()
    scene.open()
    scene.dispatch.begin_sync(watched=True)
    scene.step()
    assert scene.dispatch.in_cycles == ["a", "b", "c"]  # the index has them still
    with scene.spool.take("a") as claim:
        claim.edit({"after": None})
    scene.dispatch.refresh("a")
    scene.step()
    scene.step(dependents.CYCLE_S)
    assert scene.dispatch.in_cycles == []
    assert scene.dispatch.next() == "a"
    assert (scene.path / "log").read_text().count("comes after itself") == 6
