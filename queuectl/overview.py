"""overview: how things stand at one moment, gathered for `status` and for the page.

Fails with: nothing that can be told as well: an index that cannot be read, a supervisor that does not run.
"""

from __future__ import annotations

import time

from queuectl import __version__
from queuectl.clock import spell
from queuectl.errors import NoSupervisor, TimedOut
from queuectl.spool.aside import set_aside
from queuectl.spool.layout import shorten
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.client import Queue
    from queuectl.index.minutes import Figures
    from queuectl.index.reader import Reader

PATIENCE_S = 5.0  # for a supervisor that has much to do
LOW_SHARE = 0.05  # of a disk that is free
HOUR = 60  # minutes
START = "queuectl worker start --count 2"
SUPERVISOR = ("pid", "version", "draining", "degraded", "syncing", "adopted")


class Overview:
    """How things stand at one moment.

    Attributes:
        supervisor: its `status` answer; None when none runs.
        died: the pid of the last one, if it left no word.
        silent: the pid of one that runs and does not answer.
        invalid: files in pending/ that are not valid jobs and will be rejected once a supervisor runs.
        counts: jobs by state; empty when the index is `unavailable`, which says why.
        hour: what happened in each of the last 60 minutes, `hour_from` (since 1970) on.
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
        self.dead_today = 0
        self.unavailable: str | None = None
        self.syncing: str | None = None  # here, while no supervisor does it
        self.invalid = self.rejected = 0
        self.free_bytes = self.disk_bytes = 0

    def count(self, *states: str) -> int:
        """Return how many jobs are in these states."""
        return sum(self.counts.get(state, 0) for state in states)

    def last_hour(self) -> dict[str, Any] | None:
        """Return attempts that ended in the last hour, and how long jobs waited and ran; None without an index."""
        if not self.hour:
            return None
        from queuectl.index.minutes import together

        told = together(self.hour).as_dict()
        done, failed = told["completed"], told["failed"] + told["dead"]
        times = {name: told[name] for name in ("wait_p50", "wait_p95", "run_p50", "run_p95")}
        return {"done": done, "failed": failed, "per_minute": (done + failed) / HOUR, **times}


class Need:
    """Something that needs a person.

    Attributes:
        level: info, warn or error.
        hint: what to type, if something helps.
    """

    __slots__ = ("hint", "level", "text")

    def __init__(self, level: str, text: str, hint: str | None = None) -> None:
        self.level = level
        self.text = text
        self.hint = hint


def look(queue: Queue, *, usage: bool = True, patience_s: float = PATIENCE_S) -> Overview:
    """Gather what can be told without the index; a supervisor that does not answer in time is told of as `silent`.

    Args:
        usage: tell processor and memory, which takes longest.
    """
    from queuectl.processes import control
    from queuectl.processes.ownership import noted_pid

    made = Overview(queue.layout.home, queue.spool.clock.now())
    try:
        made.supervisor = control.ask(queue.layout, {"do": "status"}, timeout_s=patience_s)
        made.workers = with_usage(made.supervisor["workers"]) if usage else made.supervisor["workers"]
    except TimedOut:
        made.silent = noted_pid(queue.layout)
    except NoSupervisor:
        made.died = noted_pid(queue.layout)
    try:
        made.free_bytes, made.disk_bytes = queue.spool.files.free_bytes(queue.layout.home)
        made.rejected = len(set_aside(queue.spool.files.names(queue.layout.rejected)))
    except FileNotFoundError:
        pass  # there is no queue yet
    return made


def look_into_index(made: Overview, reader: Reader) -> None:
    """Add what the index knows."""
    from queuectl.index.reader import Query

    made.counts = reader.counts()
    made.invalid = 0 if made.supervisor else reader.invalid()
    made.oldest_waiting = reader.oldest_waiting(made.now)
    midnight = time.mktime((*time.localtime(made.now)[:3], 0, 0, 0, 0, 0, -1))
    made.dead_today = reader.page(Query(states=("dead",), since=midnight, limit=1)).total
    made.hour_from = int(made.now / 60) - HOUR + 1
    made.hour = reader.series(made.hour_from, 1, HOUR)


def with_usage(workers: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the workers of a `status` answer with processor and memory of what each of them runs."""
    rows = []
    for worker in workers:
        from queuectl.processes.identity import usage

        pid = worker["command_pid"] or worker["pid"]
        cpu, rss = (usage(pid) if pid else None) or (None, None)
        rows.append({**worker, "cpu_percent": None if cpu is None else round(cpu, 1), "rss_bytes": rss})
    return rows


def worker_as_dict(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as JSON has it."""
    instants = {name: row[name] and spell(row[name]) for name in ("started_at", "job_since")}
    return {**row, **instants}


def attention(overview: Overview) -> Iterator[Need]:
    """Yield what needs a person, the most important last."""
    supervisor = overview.supervisor or {}
    syncing = supervisor.get("syncing") or overview.syncing
    if syncing:
        yield Need("info", f"The index is being brought up to date ({syncing}): figures may lag")
    if supervisor.get("draining"):
        then = "; then the supervisor restarts" if supervisor.get("restarting") else ""
        yield Need("warn", f"Draining: each worker stops when its job has ended{then}")
    adopted = len(supervisor.get("adopted", ()))
    if adopted:
        runs = "runs" if adopted == 1 else "run"
        yield Need("warn", f"{plural(adopted, 'job')} whose worker died {runs} on under the supervisor")
    if overview.disk_bytes and overview.free_bytes < LOW_SHARE * overview.disk_bytes:
        yield Need("error", f"The disk is nearly full: {spell_size(overview.free_bytes)} left")
    if overview.rejected:
        words = "file is no job; the reason lies beside it", "files are no jobs; the reasons lie beside them"
        where = f"{shorten(overview.home)}/spool/rejected"
        yield Need("warn", f"{overview.rejected:,} {words[overview.rejected > 1]}: {where}")
    if overview.invalid:
        what = "1 file in spool/pending is not a valid job" if overview.invalid == 1 else ""
        what = what or f"{overview.invalid:,} files in spool/pending are not valid jobs"
        yield Need("warn", f"{what}; a supervisor moves such files to spool/rejected", "queuectl doctor")
    if overview.count("dead"):
        new = f", {overview.dead_today:,} new today" if overview.dead_today else ""
        yield Need("error", f"{plural(overview.count('dead'), 'dead job')}{new}", "queuectl dlq list")
    if overview.unavailable:
        yield Need("error", f"{overview.unavailable}; to build the index anew", "queuectl index rebuild")
    if supervisor.get("degraded"):
        yield Need("error", f"Degraded: {supervisor['degraded']}")
    if overview.silent:
        text = f"The supervisor (pid {overview.silent}) does not answer: it was stopped, or has too much to do; figures may be old"
        yield Need("error", text, f"kill -CONT {overview.silent}")
    waiting = overview.count("pending", "failed")
    if waiting and not overview.workers and not overview.silent:
        wait = "1 job waits" if waiting == 1 else f"{waiting:,} jobs wait"
        yield Need("error", f"{wait}, but nobody works", START)


def to_dict(overview: Overview) -> dict[str, Any]:
    """Return what JSON has."""
    supervisor = overview.supervisor
    return {
        "version": __version__,
        "home": overview.home,
        "at": spell(overview.now),
        "supervisor": supervisor
        and {
            **{name: supervisor[name] for name in SUPERVISOR},
            "started_at": spell(supervisor["started_at"]),
        },
        "counts": overview.counts,
        "oldest_waiting_s": None if overview.oldest_waiting is None else overview.now - overview.oldest_waiting,
        "last_hour": overview.last_hour(),
        "workers": [worker_as_dict(row) for row in overview.workers],
        "rejected": overview.rejected,
        "disk": {"free_bytes": overview.free_bytes, "total_bytes": overview.disk_bytes},
        "attention": [f"{need.text}: {need.hint}" if need.hint else need.text for need in attention(overview)],
    }
