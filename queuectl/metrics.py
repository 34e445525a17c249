"""metrics: figures for Prometheus, in its text format 0.0.4.

Guarantees: base units; no label whose values are without bound: of queues the MOST_QUEUES with most jobs by name, the
            others together. Counters only grow, also when jobs are deleted; an index built anew begins again with what
            the jobs in the spool tell, which Prometheus takes for a restart.
Source:     prometheus.io: exposition formats, naming.
"""

from __future__ import annotations

import platform
from itertools import accumulate

from queuectl.control_client import WORKER_STATES
from queuectl.health import ERROR, INFO, OK, WARN, examine
from queuectl.index.statistics import BOUNDS, Figures
from queuectl.job.job import STATES
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.status import startable
from queuectl.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from queuectl.spool.pauses import Pause
    from queuectl.status import Overview, ScheduleFigures

    Sample = tuple[Mapping[str, str], float]

KIND = "text/plain; version=0.0.4; charset=utf-8"
MOST_QUEUES = 50
OTHERS = "(others)"
WAIT_HELP = "Of each attempt that started: how long the job could have started before; held time is not part of it."
RUN_HELP = "Of each attempt that succeeded, failed or was cancelled: how long it ran."
SEVERITY = {OK: 0, INFO: 0, WARN: 1, ERROR: 2}


class Family:
    """One metric: its name, what it is, and its samples by what follows the name.

    Attributes:
        kind: gauge, counter or histogram.
    """

    __slots__ = ("help", "kind", "name", "samples")

    def __init__(
        self, name: str, kind: str, help: str, samples: Iterable[tuple[str, Mapping[str, str], float]]
    ) -> None:
        self.name = f"queuectl_{name}"
        self.kind = kind
        self.help = help
        self.samples = [*samples]

    def lines(self) -> Iterator[str]:
        """Yield it as Prometheus reads it."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for ending, labels, value in self.samples:
            yield f"{self.name}{ending}{_labels(labels)} {_number(value)}"


class Page:
    """The metrics as they are found."""

    def __init__(self) -> None:
        self.families: list[Family] = []

    def add(self, name: str, kind: str, help: str, samples: Iterable[Sample]) -> None:
        """Add a metric; `name` without its prefix."""
        self.families.append(Family(name, kind, help, (("", labels, value) for labels, value in samples)))

    def gauge(self, name: str, help: str, value: float) -> None:
        """Add a metric that is one figure."""
        self.add(name, "gauge", help, [({}, value)])

    def histogram(self, name: str, help: str, buckets: Sequence[int], total_s: float) -> None:
        """Add a histogram over BOUNDS and what is longer."""
        bounds = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
        below = [*accumulate(buckets)]
        counts = [("_bucket", {"le": bound}, n) for bound, n in zip(bounds, below, strict=True)]
        self.families.append(
            Family(name, "histogram", help, [*counts, ("_sum", {}, total_s), ("_count", {}, below[-1])])
        )

    def text(self) -> str:
        """Return all of them as Prometheus reads them."""
        return "".join(f"{line}\n" for family in self.families for line in family.lines())


def _labels(labels: Mapping[str, str]) -> str:
    escaped = (
        name + '="' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        for name, value in labels.items()
    )
    return "{" + ",".join(escaped) + "}" if labels else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else repr(round(value, 6))


def page_of(
    overview: Overview,
    queues: Mapping[str, Mapping[str, int]] | None,
    oldest: Mapping[str, float],
    totals: Figures | None,
) -> Page:
    """Return every figure that does not belong to the web process.

    Args:
        queues, oldest: Reader.by_queue and Reader.oldest_by_queue; `queues` is None when the index cannot be read.
        totals: Reader.totals.
    """
    page = Page()
    page.add(
        "build_info",
        "gauge",
        "The program; always 1.",
        [({"version": __version__, "python": platform.python_version()}, 1)],
    )
    _add_processes(page, overview)
    _add_spool(page, overview, has_index=queues is not None)
    if queues is not None:
        _add_queues(page, queues, startable(oldest, overview.paused), overview.now)
    _add_pauses(page, overview.paused, queues or {})
    if overview.schedules is not None:
        _add_schedules(page, overview.schedules)
    if totals is not None:
        _add_totals(page, totals)
    return page


def _add_processes(page: Page, overview: Overview) -> None:
    supervisor, workers = overview.supervisor, overview.workers
    page.gauge("up", "1 while a supervisor answers.", 0 if supervisor is None else 1)
    if supervisor is not None:
        page.gauge("start_time_seconds", "When the supervisor started, since 1970.", supervisor["started_at"])
    states = {state: sum(worker["state"] == state for worker in workers) for state in WORKER_STATES if state != "gone"}
    page.add("workers", "gauge", "Workers by state.", [({"state": state}, n) for state, n in states.items()])
    restarts = sum(worker["restarts"] for worker in workers)
    page.add("worker_restarts_total", "counter", "Processes of present workers that died.", [({}, restarts)])
    rss = sum(worker["rss_bytes"] or 0 for worker in workers)
    page.gauge("workers_resident_memory_bytes", "Memory of workers' commands, or of idle workers.", rss)


def _add_spool(page: Page, overview: Overview, *, has_index: bool) -> None:
    levels: list[Sample] = [({"condition": name}, SEVERITY[found.level]) for name, found in examine(overview).items()]
    page.add("health", "gauge", "0 is well, 1 needs attention, 2 keeps jobs from being accepted or run.", levels)
    page.gauge("spool_rejected_files", "Files that are no jobs.", overview.rejected)
    page.gauge("spool_free_bytes", "Bytes left on the file system of the spool.", overview.free_bytes)
    page.gauge("spool_size_bytes", "Bytes of the file system of the spool.", overview.disk_bytes)
    page.gauge("index_up", "1 while the index can be read.", int(has_index))
    syncing = bool((overview.supervisor or {}).get("syncing") or overview.syncing)
    page.gauge("index_syncing", "1 while it is being brought up to date.", int(syncing))
    if not syncing and has_index:
        page.gauge("index_lag_seconds", "How far the index is behind the spool, at most.", 0.0)


def _largest(queues: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the names of the MOST_QUEUES queues with most jobs."""
    return sorted(sorted(queues, key=lambda name: -sum(queues[name].values()))[:MOST_QUEUES])


def _add_queues(
    page: Page, queues: Mapping[str, Mapping[str, int]], waiting_since: Mapping[str, float], now: float
) -> None:
    named = _largest(queues)
    shown = {name: dict(queues[name]) for name in named}
    oldest = {name: waiting_since.get(name) for name in named}
    for name, counts in queues.items():
        if name not in shown or name == OTHERS:
            others = shown.setdefault(OTHERS, dict.fromkeys(STATES, 0))
            for state, n in counts.items():
                others[state] += n
            since = waiting_since.get(name)
            known = oldest.get(OTHERS)
            oldest[OTHERS] = since if known is None else known if since is None else min(since, known)
    page.add(
        "jobs",
        "gauge",
        "Jobs by queue and state.",
        [({"queue": name, "state": state}, n) for name, counts in shown.items() for state, n in counts.items()],
    )
    page.add(
        "oldest_pending_seconds",
        "gauge",
        "How long the oldest job that may start has waited; 0 when none does.",
        [({"queue": name}, 0.0 if since is None else max(0.0, now - since)) for name, since in oldest.items()],
    )


def _add_pauses(page: Page, paused: Mapping[str, Pause], queues: Mapping[str, Mapping[str, int]]) -> None:
    """Add whether queues are paused: those that are named otherwise, and paused ones."""
    page.gauge("paused", "1 while all queues are paused.", int(ALL_PAUSED in paused))
    names = {*_largest(queues), *sorted(name for name in paused if name != ALL_PAUSED)[:MOST_QUEUES]}
    samples: list[Sample] = [
        ({"queue": name}, int(name in paused or ALL_PAUSED in paused)) for name in sorted(names - {OTHERS})
    ]
    page.add("queue_paused", "gauge", "1 while no job of the queue is started because of a pause.", samples)


def _add_schedules(page: Page, schedules: ScheduleFigures) -> None:
    """Add when each schedule last added a job, and how many slots got none; of the first MOST_QUEUES by name."""
    slots: list[Sample] = [
        ({"schedule": name}, schedules.slots[name]) for name in sorted(schedules.slots)[:MOST_QUEUES]
    ]
    page.add("schedule_last_slot_seconds", "gauge", "The last slot for which a job was added, since 1970.", slots)
    missed: list[Sample] = [
        ({"schedule": name, "reason": reason}, count)
        for name in sorted(schedules.missed)[:MOST_QUEUES]
        for reason, count in zip(("misfire", "overlap"), schedules.missed[name], strict=True)
    ]
    page.add("schedule_slots_missed_total", "counter", "Slots without a job.", missed)


def _add_totals(page: Page, totals: Figures) -> None:
    ended = totals.ends
    page.add("jobs_enqueued_total", "counter", "Jobs that were put in.", [({}, totals.counts["enqueued"])])
    ends: list[Sample] = [({"outcome": end}, ended[end]) for end in ("completed", "dead", "cancelled")]
    page.add("jobs_finished_total", "counter", "Ends of jobs; a job that is retried by hand ends again.", ends)
    failures = totals.failed_attempts
    attempts: list[Sample] = [({"result": "success"}, ended["completed"]), ({"result": "failure"}, failures)]
    page.add("job_attempts_total", "counter", "Attempts that succeeded or failed.", attempts)
    page.add("job_retries_total", "counter", "Failed attempts that are repeated.", [({}, ended["failed"])])
    page.histogram("job_wait_seconds", WAIT_HELP, totals.waits, totals.wait_s)
    page.histogram("job_duration_seconds", RUN_HELP, totals.runs, totals.run_s)
