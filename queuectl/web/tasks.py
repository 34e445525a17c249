"""tasks: what the server carries out by itself, whether or not a client waits for it.

Owns:       the tasks of this process, each with a thread of its own.
Guarantees: a task that waits for its delay has done nothing. Memory is bounded: results are kept for KEPT_S, at most KEPT.
            A restart forgets all of them.
Fails with: Problem 410 (there is no such task), 409 (it is under way), 503 (too many are).
"""

from __future__ import annotations

import re
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, NamedTuple

from queuectl.clock import spell
from queuectl.errors import QueueError
from queuectl.index.error_groups import fingerprint
from queuectl.units import plural, spell_duration
from queuectl.web.response import Problem, without_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.clock import Clock

MOST = 8  # under way at a time
KEPT_S = 3600.0  # since its end
KEPT = 32
GROUPS = 20  # of errors
EXAMPLES = 20  # ids in a group
NOTE_S = 0.5  # how often a task makes what was read before out of date
JOIN_S = 2.0
_ID = re.compile(r"\b[0-9A-Z]{16}\b")  # as new_id makes them

WAITING, RUNNING, STOPPING = "waiting", "running", "stopping"
STOPPED, COMPLETED, FAILED = "stopped", "completed", "failed"


class Surroundings(NamedTuple):
    """What tasks need of the server.

    Attributes:
        note: writes a line to the log: the level, the sentence.
        note_write: makes what was read before out of date.
    """

    home: str
    clock: Clock
    note: Callable[[str, str], None]
    note_write: Callable[[], None]


class Wanted(NamedTuple):
    """What a task is to do.

    Attributes:
        carry_out: does it, job by job, as long as `is_stopping` is not set; reports each to the task.
    """

    id: str
    action: str
    total: int
    carry_out: Callable[[Task], None]


class Task:
    """One bulk action and how far it is.

    Attributes:
        id: that of its selection.
        wake: ends the delay.
    """

    def __init__(self, around: Surroundings, wanted: Wanted, delay_s: float) -> None:
        self.id = wanted.id
        self.wake = Event()
        self._around = around
        self._wanted = wanted
        self._delay_s = delay_s
        self._lock = Lock()
        self._state = WAITING if delay_s else RUNNING
        self._created_at = around.clock.now()
        self._ended_at: float | None = None
        self._problem: str | None = None
        self._done = self._failed = self._expiry_removed = 0
        self._unchanged: dict[str, int] = {}
        self._groups: dict[str, dict[str, Any]] = {}
        self._noted_at = around.clock.monotonic()
        self._thread = Thread(target=self._run, daemon=True)

    @property
    def is_over(self) -> bool:
        """It has ended."""
        return self._ended_at is not None

    @property
    def is_stopping(self) -> bool:
        """It was asked to stop."""
        return self._state == STOPPING

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it after the job that it works on; before its delay is over, nothing was done."""
        with self._lock:
            if not self.is_over:
                self._state = STOPPING
        self.wake.set()

    def join(self, patience_s: float) -> None:
        """Wait until it has ended."""
        self._thread.join(patience_s)

    def is_old(self, now: float) -> bool:
        """It ended so long ago that it need not be shown any more."""
        return self._ended_at is not None and not 0 <= now - self._ended_at <= KEPT_S

    @property
    def _left(self) -> int:
        return self._wanted.total - self._done - self._failed - sum(self._unchanged.values())

    def as_dict(self) -> dict[str, Any]:
        """Return the task as JSON has it."""
        with self._lock:
            return {
                "id": self.id,
                "action": self._wanted.action,
                "state": self._state,
                **{"total": self._wanted.total, "done": self._done, "unchanged": {**self._unchanged}},
                **{"failed": self._failed, "left": self._left, "expiry_removed": self._expiry_removed},
                "errors": [{**group, "ids": [*group["ids"]]} for group in self._groups.values()],
                "problem": self._problem,
                "created_at": spell(self._created_at),
                "begins_at": spell(self._created_at + self._delay_s),
                "ended_at": None if self._ended_at is None else spell(self._ended_at),
            }

    # --- the thread

    def _run(self) -> None:
        if self._delay_s:
            self.wake.wait(self._delay_s)
        state, problem = COMPLETED, None
        try:
            with self._lock:
                self._state = STOPPING if self.is_stopping else RUNNING
            if not self.is_stopping:
                self._wanted.carry_out(self)
        except QueueError as error:
            state, problem = FAILED, without_home(error, self._around.home)
        except Exception:  # noqa: BLE001 - it is shown and logged; the server goes on
            self._around.note("exception", f"bulk {self._wanted.action} selection={self.id} action=bug")
            state, problem = FAILED, "this is a bug in queuectl: see logs/web.log"
        with self._lock:
            self._state = STOPPED if self._left and state == COMPLETED else state
            self._problem, self._ended_at = problem, self._around.clock.now()
        self._around.note_write()
        words = f"bulk {self._wanted.action} {self._state} selection={self.id} action=web total={self._wanted.total}"
        counts = f"done={self._done} unchanged={sum(self._unchanged.values())} failed={self._failed}"
        self._around.note("info", f"{words} {counts}")

    def add_done(self, *, has_lost_expiry: bool) -> None:
        """Count a job that was changed."""
        with self._lock:
            self._done += 1
            self._expiry_removed += has_lost_expiry
        if self._around.clock.monotonic() - self._noted_at >= NOTE_S:
            self._around.note_write()
            self._noted_at = self._around.clock.monotonic()

    def add_unchanged(self, state: str) -> None:
        """Count a job that was left as it is."""
        with self._lock:
            self._unchanged[state] = self._unchanged.get(state, 0) + 1

    def add_failure(self, job_id: str, error: QueueError) -> None:
        """Count a job to which it could not be done, with those of a similar error; that of the first is shown."""
        title, detail = error.title, without_home(error, self._around.home)
        kind = fingerprint(title, "", _ID.sub("", detail.replace(job_id, "")))
        with self._lock:
            self._failed += 1
            if kind not in self._groups and len(self._groups) >= GROUPS:
                kind, title, detail = "", "other", "other errors"
            made: dict[str, Any] = {"title": title, "detail": detail, "count": 0, "ids": []}
            if error.hint and kind:
                made["hint"] = without_home(error.hint, self._around.home)
            group = self._groups.setdefault(kind, made)
            group["count"] += 1
            if len(group["ids"]) < EXAMPLES:
                group["ids"].append(job_id)


class Tasks:
    """The tasks of this process, the newest last."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._lock = Lock()
        self._tasks: dict[str, Task] = {}

    def start(self, task_id: str, make: Callable[[], Wanted], delay_s: float) -> Task:
        """Start what `make` returns; it is called unless a task of this id is under way, or too many are.

        Raises:
            Problem.
        """
        with self._lock:
            old = self._tasks.get(task_id)
            if old is not None and not old.is_over:
                raise Problem(409, "a task carries out this selection already", title="selection in use")
            if sum(not task.is_over for task in self._tasks.values()) >= MOST:
                hint = "wait until one has ended, or stop one"
                raise Problem(503, f"{MOST} bulk actions are under way already", hint, title="busy or full")
            task = Task(self._around, make(), delay_s)
            self._tasks.pop(task_id, None)
            self._tasks[task_id] = task
            self._drop_old()
        task.begin()
        return task

    def _drop_old(self) -> None:
        now = self._around.clock.now()
        over = [key for key, task in self._tasks.items() if task.is_over]
        too_many = over[: max(0, len(over) - KEPT)]
        for key in {*too_many, *(key for key in over if self._tasks[key].is_old(now))}:
            del self._tasks[key]

    def get(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            Problem: 410.
        """
        with self._lock:
            task = self._tasks.get(task_id)
        if task is None:
            words = (
                f"there is no such task: it ended more than {spell_duration(KEPT_S)} ago, or the server was restarted"
            )
            hint = "the jobs that it had not reached are as they were; list them, and count again"
            raise Problem(410, words, hint, title="task gone")
        return task

    def forget(self, task_id: str) -> Task:
        """Forget a task that has ended.

        Raises:
            Problem: 410; 409 while it is under way.
        """
        task = self.get(task_id)
        if not task.is_over:
            raise Problem(409, "the task is under way", "stop it first", title="task under way")
        with self._lock:
            self._tasks.pop(task_id, None)
        return task

    def as_list(self) -> list[dict[str, Any]]:
        """Return all tasks as JSON has them."""
        with self._lock:
            self._drop_old()
            tasks = [*self._tasks.values()]
        return [task.as_dict() for task in tasks]

    def stop_all(self) -> str | None:
        """Stop what is under way because the process ends; return a sentence about it."""
        with self._lock:
            tasks = [task for task in self._tasks.values() if not task.is_over]
        for task in tasks:
            task.stop()
        for task in tasks:
            task.join(JOIN_S)
        left = sum(task.as_dict()["left"] for task in tasks)
        return f"Stopped {plural(len(tasks), 'bulk action')}: {plural(left, 'job')} left unchanged" if left else None
