"""Who is told to run what: no job waits behind a slow one, nor behind a worker that does not answer."""

from __future__ import annotations

import json
import socket
from collections import deque

import pytest

from queuectl.control_client import BUSY, IDLE
from queuectl.supervisor.worker_pool import AHEAD, AHEAD_S, ANSWER_S, QUICK_S, Prefetch, WorkerSlot
from queuectl.timers import NEVER


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    monotonic = now


class Dispatch:
    """The line, without files or index."""

    def __init__(self) -> None:
        self.line: deque[str] = deque()
        self.assigned: dict[str, None] = {}
        self.answers: list[tuple[str, str | None]] = []

    @property
    def order(self) -> Dispatch:
        return self

    def began(self, job_id: str) -> None:
        pass

    def assign(self, job_id: str) -> None:
        self.assigned[job_id] = None

    def next(self, *, ahead: bool = False) -> str | None:
        if not self.line:
            return None
        job_id = self.line.popleft()
        self.assigned[job_id] = None
        return job_id

    def has_many(self, count: int) -> bool:
        return len(self.line) > count

    def released(self, job_id: str, answer: dict[str, str] | None = None) -> None:
        self.assigned.pop(job_id, None)
        self.answers.append((job_id, answer and answer["reason"]))
        if answer is not None:
            self.line.append(job_id)


class Scene:
    def __init__(self, workers: int) -> None:
        self.clock = Clock()
        self.dispatch = Dispatch()
        self.slots: dict[str, WorkerSlot] = {}
        self.ends: dict[str, socket.socket] = {}
        for number in range(1, workers + 1):
            slot = self.slots[f"worker-{number}"] = WorkerSlot(f"worker-{number}")
            slot.handle("due")
            slot.handle("ready")
            slot.pipe, self.ends[slot.name] = socket.socketpair()
        self.prefetch = Prefetch(self, self.slots, self.dispatch)  # type: ignore[arg-type]

    def step(self, *ids: str, later: float = 0.0) -> None:
        self.clock.time += later
        self.dispatch.line.extend(ids)
        self.prefetch.step(self.clock.time)

    def told(self, number: int = 1) -> list[str]:
        end = self.ends[f"worker-{number}"]
        end.setblocking(False)
        try:
            data = end.recv(65536)
        except BlockingIOError:
            return []
        return [" ".join(json.loads(line).values()) for line in data.splitlines()]

    def worker(self, number: int = 1) -> WorkerSlot:
        return self.slots[f"worker-{number}"]

    def ends_job(self, job_id: str, number: int = 1, after: float = 0.001) -> None:
        self.clock.time += after
        self.worker(number).took_s = after
        self.prefetch.release(self.worker(number), job_id)

    def close(self) -> None:
        for slot in self.slots.values():
            assert slot.pipe is not None
            slot.pipe.close()
        for end in self.ends.values():
            end.close()


@pytest.fixture
def one():
    scene = Scene(1)
    yield scene
    scene.close()


@pytest.fixture
def two():
    scene = Scene(2)
    yield scene
    scene.close()


def make_quick(scene: Scene) -> None:
    for number in range(1, len(scene.slots) + 1):
        scene.step(f"first-{number}")
        scene.told(number)
    for number in range(1, len(scene.slots) + 1):
        scene.ends_job(f"first-{number}", number)


def test_a_worker_is_told_of_one_job_until_it_has_shown_to_be_quick(one: Scene) -> None:
    one.step("a", "b", "c")
    assert one.told() == ["run a"]
    assert one.worker().state == BUSY
    one.ends_job("a")
    one.step()
    assert one.told() == ["run b", "run c"]


def test_where_jobs_are_few_a_quick_one_has_the_next_at_hand_and_no_more(one: Scene) -> None:
    make_quick(one)
    one.step("a", "b", "c")
    one.step()
    assert one.told() == ["run a", "run b"]
    assert one.worker().job_id == "a"
    one.ends_job("a")
    assert one.worker().job_id == "b"
    one.step()
    assert one.told() == ["run c"]


@pytest.mark.parametrize(("took_s", "ahead"), [(0.0, AHEAD), (0.0001, AHEAD), (AHEAD_S / 4, 4), (AHEAD_S, 1)])
def test_where_many_wait_it_has_as_many_at_hand_as_it_runs_in_a_moment(one: Scene, took_s: float, ahead: int) -> None:
    one.step("first")
    one.ends_job("first", after=took_s)
    ids = [f"j{number}" for number in range(AHEAD * 3)]
    one.step(*ids)
    assert one.worker().orders == ids[: 1 + ahead]
    one.step()
    assert one.worker().orders == ids[: 1 + ahead]
    one.told()
    one.ends_job(ids[0], after=took_s)
    one.step()
    assert one.told() == [f"run {ids[1 + ahead]}"]


def test_a_slow_one_is_told_of_nothing_ahead(one: Scene) -> None:
    one.step("first")
    one.ends_job("first", after=QUICK_S)
    one.step(*[f"j{number}" for number in range(AHEAD * 3)])
    assert one.worker().orders == ["j0"]


def test_each_has_one_ahead_before_any_has_two(two: Scene) -> None:
    make_quick(two)
    ids = [f"j{number:03}" for number in range(AHEAD * 5)]
    two.step(*ids)
    assert two.worker(1).orders[:2] == ["j000", "j002"]
    assert two.worker(2).orders[:2] == ["j001", "j003"]
    assert len(two.worker(1).orders) == len(two.worker(2).orders) == 1 + AHEAD


def test_all_that_wait_behind_a_slow_job_are_asked_back_at_once(one: Scene) -> None:
    make_quick(one)
    one.step(*[f"j{number}" for number in range(AHEAD * 3)])
    waiting = one.worker().waiting
    assert len(waiting) == AHEAD
    one.told()
    one.step(later=QUICK_S)
    assert one.told() == ["return"]
    for job_id in waiting:
        one.prefetch.returned(one.worker(), job_id)
    assert one.worker().orders == ["j0"]


def test_what_waits_is_asked_back_when_runs_become_longer(one: Scene) -> None:
    """Else the last of them would wait for all the longer ones before it."""
    make_quick(one)
    ids = [f"j{number}" for number in range(AHEAD * 3)]
    one.step(*ids)
    one.told()
    one.ends_job("j0", after=QUICK_S * 0.9)
    one.step()
    assert one.told() == ["return"]
    for job_id in one.worker().waiting:
        one.prefetch.returned(one.worker(), job_id)
    one.step()
    assert len(one.worker().orders) == 2


def test_the_idle_are_served_before_the_quick(two: Scene) -> None:
    make_quick(two)
    two.step("a", "b")
    assert (two.told(1), two.told(2)) == (["run a"], ["run b"])


def test_what_waits_behind_a_slow_job_is_asked_back(one: Scene) -> None:
    make_quick(one)
    one.step("a", "b")
    one.told()
    assert one.prefetch.next_step == pytest.approx(one.clock.time + QUICK_S)
    one.step(later=QUICK_S)
    assert one.told() == ["return"]
    one.step(later=0.001)
    assert one.told() == []
    one.prefetch.returned(one.worker(), "b")
    assert one.dispatch.answers[-1] == ("b", "returned")
    one.step()
    assert one.told() == []  # the slow one runs; nothing more is put behind it
    assert one.worker().orders == ["a"]


def test_a_worker_without_work_has_it_fetched_from_one_who_has_two(two: Scene) -> None:
    make_quick(two)
    two.step("a", "b", "c")
    assert two.worker(1).orders == ["a", "c"]
    two.told(1)
    two.ends_job("b", 2)
    two.step()
    assert two.told(1) == ["return"]
    two.prefetch.returned(two.worker(1), "c")
    two.step()
    assert two.told(2)[-1] == "run c"


def test_one_that_does_not_answer_loses_what_it_has_not_begun(one: Scene) -> None:
    make_quick(one)
    one.step("a", "b")
    one.step(later=QUICK_S)
    one.step(later=ANSWER_S)
    assert one.worker().orders == ["a"]
    assert one.worker().unanswered == {"b"}  # looked for when it dies
    assert "b" not in one.dispatch.assigned
    assert one.dispatch.answers[-1] == ("b", "unanswered")
    assert one.prefetch.next_step == NEVER
    one.prefetch.returned(one.worker(), "b")
    assert one.worker().unanswered == set()


def test_one_that_begins_with_it_all_the_same_has_it_again(one: Scene) -> None:
    make_quick(one)
    one.step("a", "b")
    one.step(later=QUICK_S)
    one.step(later=ANSWER_S)
    one.dispatch.line.clear()
    one.ends_job("a")
    assert one.worker().state == IDLE
    one.prefetch.began(one.worker(), "b")
    assert (one.worker().state, one.worker().job_id, one.worker().orders) == (BUSY, "b", ["b"])
    assert "b" in one.dispatch.assigned


def test_an_answer_about_a_job_that_another_runs_now_frees_nothing(two: Scene) -> None:
    make_quick(two)
    two.step("a", "b")
    two.prefetch.release(two.worker(1), "b", {"reason": "busy"})
    assert "b" in two.dispatch.assigned
    assert two.worker(2).orders == ["b"]


def test_the_next_may_begin_before_the_verdict_on_the_last(one: Scene) -> None:
    make_quick(one)
    one.step("a", "b")
    one.prefetch.began(one.worker(), "b")
    assert one.worker().job_id == "b"
    assert one.worker().waiting == []
    one.prefetch.release(one.worker(), "a")
    assert (one.worker().job_id, one.worker().orders) == ("b", ["b"])
