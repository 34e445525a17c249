"""status: the state of the queue at one moment, gathered for `status` and for the page.

Fails with: nothing that can be told as well: an index that cannot be read, a supervisor that does not run.
"""

from __future__ import annotations

import os
import time

from queuectl.clock import spell
from queuectl.config import config_file
from queuectl.disk_space import LOW_SHARE
from queuectl.errors import NoSupervisor, QueueError, TimedOut
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from queuectl.spool.context import LEAST_FREE_BYTES
from queuectl.spool.enqueue import least_free
from queuectl.spool.rejected import rejected_files
from queuectl.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.config.settings import Settings
    from queuectl.errors import NotAllowed
    from queuectl.index.reader import Reader
    from queuectl.index.statistics import Figures
    from queuectl.spool.pauses import Pause

PATIENCE_S = 5.0  # for a supervisor that has much to do
HOUR = 60  # minutes
TICKED_S = 7200.0  # maintenance that ran so recently is run by cron
SUPERVISOR = ("pid", "version", "draining", "degraded", "syncing", "adopted")


class Overview:
    """How things stand at one moment.

    Attributes:
        supervisor: its `status` answer; None when none runs.
        died: the pid of the last one, if it left no word.
        silent: the pid of one that runs and does not answer.
        invalid: files in pending/ that are not valid jobs and will be rejected once a supervisor runs.
        free_files: how many more files the disk takes; None where that is not limited.
        least_free_bytes: below this nothing is enqueued.
        how_to_free: the command that frees space, where the disk is full or nearly full.
        refused: what cannot be done in the home (Layout.refuse_use), and why.
        paused: the pauses, by queue; ALL_PAUSED for all.
        hooks_waiting: how many hooks are to be run; `hook_rate` limits their starts.
        hook_failures: of each hook that failed when it was run last: when, for which job, how often in a row.
        schedules: their state; None when there is none, or the configuration cannot be read.
        misconfigured: what is wrong with config.yaml or the environment.
        counts: jobs by state; empty when the index is `unavailable`, which says why.
        hour: what happened in each of the last 60 minutes, `hour_from` (since 1970) on.
        covered_s: how much of that hour the queue has existed.
        scheduled: how many waiting jobs may not start yet; the first of them may at `next_at`.
        awaiting_parents: how many come after a job that has not ended.
    """

    def __init__(self, home: str, now: float) -> None:
        self.home = home
        self.now = now
        self.supervisor: dict[str, Any] | None = None
        self.died: int | None = None
        self.silent: int | None = None
        self.workers: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self.oldest_waiting: float | None = None
        self.hour: list[Figures] = []
        self.hour_from = 0
        self.covered_s = 3600.0
        self.scheduled = 0
        self.next_at: float | None = None
        self.awaiting_parents = 0
        self.dead_today = 0
        self.unavailable: str | None = None
        self.syncing: str | None = None  # here, while no supervisor does it
        self.invalid = self.rejected = 0
        self.free_bytes = self.disk_bytes = self.least_free_bytes = 0
        self.how_to_free: str | None = None
        self.free_files: int | None = None
        self.has_queue = True
        self.refused: tuple[str, NotAllowed] | None = None
        self.misconfigured: str | None = None
        self.paused: dict[str, Pause] = {}
        self.hooks_waiting = 0
        self.hook_failures: dict[str, dict[str, Any]] = {}
        self.hook_rate: str | None = None
        self.schedules: ScheduleFigures | None = None

    def count(self, *states: str) -> int:
        """Return how many jobs are in these states."""
        return sum(self.counts.get(state, 0) for state in states)

    @property
    def due(self) -> int:
        """How many waiting jobs might start now."""
        return max(0, self.count("pending", "failed") - self.scheduled - self.awaiting_parents)

    def last_hour(self) -> dict[str, Any] | None:
        """Return what ended in the last hour, and how long jobs waited and ran; None without an index.

        `done` and `dead` are jobs; `per_minute` is how many completed, on average over the time for which there are
        figures.
        """
        if not self.hour:
            return None
        from queuectl.index.statistics import per_minute, together

        figures = together(self.hour).as_dict()
        names = ("dead", "dead_share", "failed_attempts", "wait_p50", "wait_p95", "run_p50", "run_p95")
        return {
            "done": figures["completed"],
            **{name: figures[name] for name in names},
            "per_minute": per_minute(figures["completed"], self.covered_s),
        }


def read_overview(queue: Queue, *, usage: bool = True, patience_s: float = PATIENCE_S) -> Overview:
    """Gather what can be told without the index; a supervisor that does not answer in time is told of as `silent`.

    Args:
        usage: tell processor and memory, which takes longest.
    """
    from queuectl import control_client

    made = Overview(queue.layout.home, queue.spool.clock.now())
    try:
        made.supervisor = control_client.ask(queue.layout, {"do": "status", "usage": usage}, timeout_s=patience_s)
        made.workers = with_usage(made.supervisor["workers"]) if usage else made.supervisor["workers"]
    except (TimedOut, NoSupervisor) as error:
        from queuectl.supervisor.supervisor_lock import noted_pid

        pid = noted_pid(queue.layout)
        made.silent, made.died = (pid, None) if isinstance(error, TimedOut) else (None, pid)
    made.has_queue = queue.layout.has_spool
    made.refused = queue.layout.refuse_use()
    try:
        settings = config_file.load(queue.layout.home, os.environ)
        if settings.schedules:
            made.schedules = schedule_figures(queue, settings)
    except QueueError as error:
        made.misconfigured = str(error)
    try:
        made.free_bytes, made.disk_bytes = queue.spool.files.free_bytes(queue.layout.home)
        made.least_free_bytes = least_free(queue.settings, made.disk_bytes)
        if made.free_bytes < max(made.least_free_bytes, LEAST_FREE_BYTES, LOW_SHARE * made.disk_bytes):
            from queuectl.spool.outputs import SEARCHED_FILES, how_to_free

            _, made.how_to_free = how_to_free(queue.spool, made.disk_bytes, SEARCHED_FILES)
        space = os.statvfs(queue.layout.home)
        made.free_files = space.f_favail if space.f_files else None
        made.paused = pauses.read(queue.spool)
        _add_hooks(made, queue)
        made.rejected = len(rejected_files(queue.spool.files.names(queue.layout.rejected)))
    except FileNotFoundError:
        pass  # there is no queue yet
    except PermissionError:
        if made.refused is None:
            raise
    return made


def _add_hooks(made: Overview, queue: Queue) -> None:
    """Add what is known of hooks, if one was ever called."""
    files, layout = queue.spool.files, queue.layout
    if not files.exists(layout.hooks) or not (files.exists(layout.deliveries) or [*files.names(layout.hooks)]):
        return
    from queuectl.spool import deliveries, hooks

    made.hooks_waiting = len(hooks.reports(queue.spool))
    made.hook_failures, made.hook_rate = deliveries.read(queue.spool).failures, queue.settings.hook_rate


class ScheduleFigures:
    """The state of the schedules.

    Attributes:
        active: the names of those that make jobs.
        invalid: what is wrong with the others, by name.
        ahead: those whose last slot is in the future, because the clock was set back; the slot, by name.
        ticked_at: when maintenance last added their jobs; None when it never did.
        slots: the last slot of each for which a job was made.
        missed: how many slots of each got no job, because nothing ran or the job before had not ended.
    """

    __slots__ = ("active", "ahead", "invalid", "missed", "slots", "ticked_at")

    def __init__(self) -> None:
        self.active: list[str] = []
        self.invalid: dict[str, str] = {}
        self.ahead: dict[str, float] = {}
        self.ticked_at: float | None = None
        self.slots: dict[str, float] = {}
        self.missed: dict[str, tuple[int, int]] = {}

    def is_ticked(self, now: float) -> bool:
        """Tell whether something other than a supervisor makes the jobs."""
        return self.ticked_at is not None and 0 <= now - self.ticked_at < TICKED_S

    def silent(self, overview: Overview) -> int:
        """Return how many schedules that are not paused add no jobs."""
        is_alive = overview.supervisor is not None or overview.silent is not None or self.is_ticked(overview.now)
        return len(self.invalid) + (len(self.ahead) if is_alive else len(self.active))


def schedule_figures(queue: Queue, settings: Settings) -> ScheduleFigures:
    """Return the state of the schedules."""
    from queuectl.client.schedules import placed
    from queuectl.scheduling.schedules import read
    from queuectl.spool.schedules import AHEAD_S, TICKED, marker_of, paused_schedules

    made, spool = ScheduleFigures(), queue.spool
    valid, invalid = read(settings)
    made.invalid = {name: str(placed(error, queue.layout)) for name, error in invalid.items()}
    paused = paused_schedules(spool)
    made.active = [name for name in valid if name not in paused]
    now = spool.clock.now()
    for name in valid:
        marker = marker_of(spool, name)
        if marker is None:
            continue
        made.missed[name] = marker.missed, marker.skipped
        if marker.slot is not None:
            made.slots[name] = marker.slot
        if marker.until > now + AHEAD_S:
            made.ahead[name] = marker.until
    ran = spool.files.lstat(queue.layout.mark(TICKED))
    made.ticked_at = None if ran is None else ran.st_mtime
    return made


def nobody_ticks(queue: Queue) -> bool:
    """Tell whether neither a supervisor nor cron makes the jobs of schedules."""
    from queuectl.supervisor.supervisor_lock import is_owned

    if is_owned(queue.layout):
        return False
    return not schedule_figures(queue, queue.settings).is_ticked(queue.spool.clock.now())


def add_index_figures(made: Overview, reader: Reader) -> None:
    """Add what the index knows."""
    from queuectl.index.reader import Query

    made.counts = reader.counts()
    made.invalid = 0 if made.supervisor else reader.invalid()
    made.oldest_waiting = min(startable(reader.oldest_by_queue(made.now), made.paused).values(), default=None)
    midnight = time.mktime((*time.localtime(made.now)[:3], 0, 0, 0, 0, 0, -1))
    made.dead_today = reader.page(Query(states=("dead",), since=midnight, limit=1)).total
    made.hour_from = int(made.now / 60) - HOUR + 1
    made.hour = reader.series(made.hour_from, 1, HOUR)
    made.covered_s = made.now - reader.covered_from(made.hour_from * 60.0)
    made.scheduled, made.next_at = reader.scheduled(made.now)
    made.awaiting_parents = reader.awaiting_parents()


def startable(oldest: Mapping[str, float], paused: Container[str]) -> dict[str, float]:
    """Return Reader.oldest_by_queue of the queues that are not paused."""
    return {} if ALL_PAUSED in paused else {name: since for name, since in oldest.items() if name not in paused}


def with_usage(workers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the workers of a `status` answer with processor and memory of what each of them runs.

    Those that the supervisor has not measured, since it is of an older version or has many workers, are measured here.
    """
    return [{**worker, **({} if "cpu_percent" in worker else _measure(worker))} for worker in workers]


def _measure(worker: Mapping[str, Any]) -> Mapping[str, Any]:
    from queuectl.executor.process_tree import usage_of_worker

    return usage_of_worker(worker)


def worker_as_dict(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it."""
    instants = {name: row[name] and spell(row[name]) for name in ("started_at", "job_since")}
    return {**row, **instants}


def supervisor_as_dict(reply: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a supervisor's `status` answer as JSON has it; None when none runs."""
    if reply is None:
        return None
    return {**{name: reply[name] for name in SUPERVISOR}, "started_at": spell(reply["started_at"])}


def to_dict(overview: Overview, attention: list[str]) -> dict[str, Any]:
    """Return the JSON object of `status`; `attention` is that of health.attention_lines."""
    return {
        "version": __version__,
        "home": overview.home,
        "at": spell(overview.now),
        "supervisor": supervisor_as_dict(overview.supervisor),
        "counts": overview.counts,
        "scheduled": overview.scheduled,
        "awaiting_parents": overview.awaiting_parents,
        "next_at": None if overview.next_at is None else spell(overview.next_at),
        "oldest_waiting_s": None if overview.oldest_waiting is None else overview.now - overview.oldest_waiting,
        "last_hour": overview.last_hour(),
        "workers": [worker_as_dict(row) for row in overview.workers],
        "rejected": overview.rejected,
        "disk": {"free_bytes": overview.free_bytes, "total_bytes": overview.disk_bytes},
        "attention": attention,
    }
