"""A parent ends, or is revived or removed, at each operation of whoever enqueues, claims or decides about its child."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.errors import QueueError
from queuectl.job.job import DEAD, DONE, PENDING
from queuectl.log import Log
from queuectl.spool.claim import Claim
from queuectl.supervisor.dependents import AGAIN_S
from queuectl.supervisor.dispatcher import Dispatcher
from tests.support.fault_injection import FaultInjector
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARENT, CHILD = "parent", "child"
MOST = 300  # operations of one step; there are fewer
# What happens to the parent: the state that it is in before.
EVENTS = {
    "completes": "processing",
    "dies": "processing",
    "is cancelled": "pending",
    "is revived": "dead",
    "completed and is revived": "completed",
    "is removed": "completed",
    "is removed while it waits": "pending",
}
STEPS = ("enqueue", "claim", "decide")


class Scene:
    """A parent, its child, and a supervisor's dispatcher that hears of each change only afterwards."""

    def __init__(self, path: Path, event: str, step: str) -> None:
        self.event, self.step = event, step
        self.files, self.others = FaultInjector(), FaultInjector()
        self.mine, self.theirs = Home(path / "home", files=self.files), Home(path / "home", files=self.others)
        self.theirs.clock = self.mine.clock
        self.dispatch = Dispatcher(self.mine, Log(str(path / "log"), "supervisor"), lambda _: None, lambda _: None)
        self.run: Claim | None = None
        self.started: Claim | None = None
        self.refused: Exception | None = None
        state = EVENTS[event]
        if state == "processing":
            self.mine.enqueue({"command": "true", "id": PARENT})
            self.run = self.theirs.start(PARENT)
        else:
            self.mine.put(state, id=PARENT)
        self.dispatch.begin_sync(watched=True)
        self.rest()
        if step != "enqueue":
            self.mine.enqueue({"command": "true", "id": CHILD, "after": [PARENT]})
        self.files.trace.clear()
        self.others.trace.clear()

    def close(self) -> None:
        for claim in (self.run, self.started):
            if claim is not None:
                claim.close()
        self.dispatch._writer._database.close()

    def happen(self) -> None:
        """Do to the parent what the event says."""
        if self.run is not None:
            self.run.finish({}) if self.event == "completes" else self.run.move_to_dead("retries_exhausted", {})
            self.run.close()
        elif self.event.startswith("is removed"):
            directory = self.theirs.find(PARENT)
            assert directory is not None
            self.others.at("unlink")
            os.unlink(self.theirs.path(directory, PARENT))
        else:
            with self.theirs.take(PARENT) as claim:
                claim.cancel() if self.event == "is cancelled" else claim.revive()

    def act(self) -> None:
        """Take the step with the child."""
        try:
            if self.step == "enqueue":
                self.mine.enqueue({"command": "true", "id": CHILD, "after": [PARENT]})
            elif self.step == "claim":
                found = self.mine.claim(CHILD, "worker-1")
                self.started = found if isinstance(found, Claim) else None
            else:
                self.dispatch.refresh(CHILD)
                self.rest()
        except QueueError as error:
            self.refused = error

    def rest(self) -> None:
        """Let the dispatcher do all that it has to do, also what it does a second later."""
        for _ in range(4):
            for _ in range(100):
                self.dispatch.commit()
                now = self.mine.clock.monotonic()
                if self.dispatch.next_step(now) > now:
                    break
                self.dispatch.step(now)
            self.mine.clock.advance(AGAIN_S)

    def check(self, told: tuple[str, ...]) -> str:
        """Tell the dispatcher what has changed, and check what becomes of the child."""
        for job_id in told:
            self.dispatch.refresh(job_id)
            self.rest()
        parent = self.mine.read(PARENT).state if self.mine.find(PARENT) else "missing"
        where = self.mine.where(CHILD)
        if self.refused is not None:
            assert (where, parent) == ([], "missing"), self.refused
            return "refused"
        if self.started is not None:
            assert "completed" in (EVENTS[self.event], parent)
            return "started"
        startable = [*iter(self.dispatch.next, None)]
        if parent == "completed":
            assert (where, CHILD in startable) == ([PENDING], True)
        elif parent in ("pending", "processing"):
            assert (where, CHILD in startable) == ([PENDING], False)
        else:
            assert where == [DEAD]
            assert self.mine.read(CHILD).dead_reason == "dependency_failed"
        return f"{parent}, child in {where[0]}"


@pytest.fixture
def scenes(tmp_path: Path) -> Iterator[Callable[[str, str], Scene]]:
    made: list[Scene] = []
    numbers = count()

    def close() -> None:
        while made:
            made.pop().close()

    def make(event: str, step: str) -> Scene:
        close()
        made.append(Scene(tmp_path / str(next(numbers)), event, step))
        return made[0]

    yield make
    close()


def between(files: FaultInjector, number: int, inner: Callable[[], None]) -> Callable[[], bool]:
    """Do something before the n-th operation of a process; the answer says whether that came."""
    has_run = False

    def act(_files: FaultInjector, _method: str, _args: tuple[Any, ...]) -> None:
        nonlocal has_run
        if not has_run and len(files.trace) >= number:
            has_run = True
            inner()

    files.act = act
    return lambda: has_run


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("event", EVENTS)
def test_a_parent_changes_at_any_operation_of_a_step_with_its_child(
    scenes: Callable[[str, str], Scene], event: str, step: str
) -> None:
    """Guarantee G19. In both orders: the event inside the step, and the step inside the event."""
    ends: set[str] = set()
    for is_inside in (True, False):
        for number in range(1, MOST):
            scene = scenes(event, step)
            outer, inner = (scene.act, scene.happen) if is_inside else (scene.happen, scene.act)
            came = between(scene.files if is_inside else scene.others, number, inner)
            outer()
            scene.files.act = scene.others.act = None
            if not came():
                inner()
            ends.add(scene.check((PARENT, CHILD) if number % 2 else (CHILD, PARENT)))
            if not came():
                break
        else:
            raise AssertionError("the step has no end")
    print(event, step, ends)
    assert DONE not in ends
