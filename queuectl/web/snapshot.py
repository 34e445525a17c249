"""snapshot: everything a refresh of the page needs, in one answer that many pages share.

Guarantees: made at most every FRESH_S, however many ask; after a write through us, before the next answer. It holds
            instants and no ages, so that an idle queue is answered with 304.
"""

from __future__ import annotations

import os
import re
import zlib
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.client.batches import row_of
from queuectl.client.job_output import progress_of
from queuectl.client.job_view import group_as_dict
from queuectl.client.queues import of_all_queues, rows_of
from queuectl.client.schedules import rows_of as schedule_rows
from queuectl.clock import spell
from queuectl.errors import InvalidData, NotFound
from queuectl.growing_file import last_lines, open_regular
from queuectl.health import ERROR, INFO, OK, WARN, attention, examine
from queuectl.job.fields import command_line
from queuectl.spool.layout import shorten
from queuectl.status import supervisor_as_dict, worker_as_dict
from queuectl.version import __version__
from queuectl.web.response import encode, without_home

if TYPE_CHECKING:
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.clock import Clock
    from queuectl.job.job import Job
    from queuectl.status import Overview
    from queuectl.web.state import IndexState, QueueState, StateCache, WriteCounter
    from queuectl.web.tasks import Tasks

FRESH_S = 0.5
DISK_STEP = 16 << 20
LAST_LINE_CHARS = 200
LAST_BYTES = 4096
ESCAPES = re.compile(r"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)")
FROM_ROW = ("id", "name", "queue", "priority", "command", "tags", "attempts", "worker")


STATUS_OF = {OK: "pass", INFO: "pass", WARN: "warn", ERROR: "fail"}
ORDER = ("pass", "warn", "fail")


class SnapshotCache:
    """The newest snapshot."""

    def __init__(
        self, state_cache: StateCache, tasks: Tasks, writes: WriteCounter, boot: str, clock: Clock, *, read_only: bool
    ) -> None:
        self._state_cache = state_cache
        self._tasks = tasks
        self._writes = writes
        self._boot = boot
        self._clock = clock
        self._read_only = read_only
        self._lock = Lock()
        self._made_at = -FRESH_S
        self._made_after_write = -1
        self._jobs: dict[tuple[str, int], Job] = {}
        self._etag = ""
        self._body = b""

    def newest(self) -> tuple[str, bytes]:
        """Return its ETag and its text."""
        with self._lock:
            now, writes = self._clock.monotonic(), self._writes.value
            if now - self._made_at >= FRESH_S or self._made_after_write != writes:
                self._body = encode(self._make(self._state_cache.current()))
                self._etag = f'"{self._boot}-{zlib.crc32(self._body):08x}-{len(self._body)}"'
                self._made_at, self._made_after_write = now, writes
            return self._etag, self._body

    def _make(self, state: QueueState) -> dict[str, Any]:
        overview, index_state = state.overview, state.index_state
        return {
            "version": __version__,
            "changes": state.changes,
            "home": shorten(overview.home),
            "hostname": os.uname().nodename,
            "read_only": self._read_only,
            "health": health_of(overview),
            "attention": [
                {"level": need.level, "text": need.text, **({"hint": need.hint} if need.hint else {})}
                for need in reversed(attention(overview))
            ],
            "tasks": self._tasks.as_list(),
            **of_all_queues(overview.paused),
            "supervisor": supervisor_as_dict(overview.supervisor),
            "supervisor_died": overview.died,
            "supervisor_silent": overview.silent,
            "index": {
                "available": index_state is not None,
                "syncing": (overview.supervisor or {}).get("syncing") or overview.syncing,
                "problem": overview.unavailable or (overview.supervisor or {}).get("degraded") or None,
            },
            **_of_index(state),
            "workers": [_worker(row) for row in overview.workers],
            "running": [] if index_state is None else self._running(state.queue, index_state, overview.workers),
            "schedules": schedules_of(state.queue),
            "rejected": overview.rejected,
            "disk": {
                "free_bytes": overview.free_bytes // DISK_STEP * DISK_STEP,
                "total_bytes": overview.disk_bytes,
            },
        }

    def _running(self, queue: Queue, index_state: IndexState, workers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        by_job = {worker["job_id"]: worker for worker in workers if worker["job_id"]}
        known = self._jobs
        self._jobs = {}
        made = []
        for row in index_state.running:
            key = (row["id"], row["attempts"])
            job = known.get(key)
            if job is None:
                try:
                    job = queue.get(row["id"])
                except (NotFound, InvalidData, OSError):
                    continue
            if job.state != "processing" or job.attempts != row["attempts"]:
                continue  # it has ended since; the next snapshot shows that
            self._jobs[key] = job
            worker = by_job.get(row["id"], {})
            line, size = _last_line(queue, job)
            progress = progress_of(queue.layout, job)
            made.append(
                {
                    **{name: row[name] for name in FROM_ROW},
                    "started_at": None if row["started_at"] is None else spell(row["started_at"]),
                    "timeout": float(job.fields.get("timeout", queue.settings.timeout)),
                    "pid": worker.get("command_pid"),
                    "cpu_percent": worker.get("cpu_percent"),
                    "rss_bytes": worker.get("rss_bytes"),
                    "progress": progress or None,
                    "progress_share": _share(progress),
                    "last_line": line,
                    "output_bytes": size,
                }
            )
        return made


def _worker(row: dict[str, Any]) -> dict[str, Any]:
    """Return a worker as JSON has it; what little one that is idle uses would make every snapshot another."""
    made = worker_as_dict(row)
    return made if row["command_pid"] else {**made, "cpu_percent": 0.0}


def _of_index(state: QueueState) -> dict[str, Any]:
    overview, index_state = state.overview, state.index_state
    if index_state is None:
        nothing = dict.fromkeys(("counts", "oldest_waiting_at", "last_hour", "throughput"))
        return {**nothing, "queues": [], "batches": [], "failures": [], "failure_groups": 0, "dead_today": 0}
    oldest = overview.oldest_waiting
    return {
        "counts": overview.counts,
        "queues": [*rows_of(index_state.queues, index_state.oldest, state.queue.settings, overview.paused)],
        "batches": [row_of(name, counts) for name, counts in index_state.batches.items()],
        "oldest_waiting_at": None if oldest is None else spell(oldest),
        "last_hour": overview.last_hour(),
        "throughput": {
            "from": spell(overview.hour_from * 60.0),
            "step_s": 60,
            "completed": [figures.counts["completed"] for figures in overview.hour],
        },
        "failures": [group_as_dict(group) for group in state.failures],
        "failure_groups": state.failure_groups,
        "dead_today": overview.dead_today,
    }


def schedules_of(queue: Queue) -> list[dict[str, Any]]:
    """Return each schedule as the API has it: with the command of its jobs instead of all their fields."""
    return [_schedule(row, queue.layout.home) for row in schedule_rows(queue.spool, queue.settings)]


def _schedule(row: dict[str, Any], home: str) -> dict[str, Any]:
    job = row.pop("job")
    is_valid = row["error"] is None
    row["command"] = command_line(job) if is_valid else None
    row["error"] = None if is_valid else without_home(row["error"], shorten(home))
    for name in ("cron", "every", "timezone", "misfire", "overlap"):
        row[name] = None if row[name] is None else str(row[name])
    return row


def _share(progress: str) -> float | None:
    share = progress.partition("%")[0]
    return int(share) / 100 if "%" in progress and share.isdigit() else None


def _last_line(queue: Queue, job: Job) -> tuple[str | None, int | None]:
    """Return the last line of the output, without escape sequences, and how much there is."""
    try:
        fd = open_regular(queue.layout.output_of(job.id, job.attempts), "")
    except (NotFound, OSError):
        return None, None
    try:
        size = os.fstat(fd).st_size
        _, data = last_lines(fd, 1, LAST_BYTES)
    finally:
        os.close(fd)
    text = ESCAPES.sub("", data.decode("utf-8", "replace")).strip()
    return text.rpartition("\r")[2][-LAST_LINE_CHARS:] or None, size


def health_of(overview: Overview) -> dict[str, Any]:
    """Return every check, and the worst of them; what only the index knows is unknown without one."""
    checks = {}
    for name, found in examine(overview).items():
        hint = {"hint": found.hint} if found.hint else {}
        detail = without_home(found.text, overview.home)
        checks[name] = {"status": STATUS_OF[found.level], "detail": detail, **hint, **found.figures}
    worst = max((str(check["status"]) for check in checks.values()), key=ORDER.index)
    return {"status": worst, "version": __version__, "checks": checks}
