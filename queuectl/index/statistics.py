"""statistics: counts for each minute: throughput by outcome, and how long jobs waited and ran.

Owns:       BOUNDS; how old minutes are put together; percentiles from a histogram.
Guarantees: written by triggers in the same transaction as the rows that they count, so a crash, another sync
            and the deletion of jobs neither lose nor double a count. At most some 40,000 rows a queue.
Source:     schema.sql (the numbers of the buckets must agree); FEATURES row 25.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from queuectl.index.database import Database

BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)  # seconds
ENDS = ("completed", "failed", "dead", "cancelled")
COUNTED = ("enqueued", *ENDS)
RERUN = "rerun_"
KEPT_MINUTES = 48 * 60  # older ones are put together by hours
KEPT_HOURS = 31 * 24 * 60  # older ones all together
ROLL_S = 3600.0


def rolling(now: float) -> tuple[tuple[str, list[tuple[int]]], ...]:
    """Return the steps (Database.change) that put old minutes together."""
    minute = int(now / 60)
    hours, past = (minute - KEPT_MINUTES) // 60 * 60, (minute - KEPT_HOURS) // 60 * 60
    return (
        ("join_hours", [(hours,)]),
        ("drop_minutes", [(hours,)]),
        ("join_past", [(past,)]),
        ("drop_past", [(past,)]),
    )


class Figures:
    """What happened within some time.

    Attributes:
        counts: by what happened, COUNTED: `failed` are attempts that are repeated, the others jobs. A job that was
            retried by hand counts once, when and as it ended last.
        ends: the same, but each end of a job counts.
        failed_attempts: attempts that failed, repeated or not; a job that expired made none.
        waits, runs: how many fell into each bucket: BOUNDS and one more for what is longer.
        wait_s, run_s: all together.
    """

    __slots__ = ("counts", "ends", "failed_attempts", "run_s", "runs", "wait_s", "waits")

    def __init__(self, rows: Iterable[tuple[Any, ...]] = ()) -> None:
        """`rows`: what, bucket, n, total_s."""
        self.counts = dict.fromkeys(COUNTED, 0)
        self.ends = dict.fromkeys(ENDS, 0)
        self.waits = [0] * (len(BOUNDS) + 1)
        self.runs = [0] * (len(BOUNDS) + 1)
        self.wait_s = self.run_s = 0.0
        self.failed_attempts = 0
        for row in rows:
            self.add(*row)

    def add(self, what: str, bucket: int, n: int, total_s: float) -> None:
        """Count what a row says."""
        if what.startswith(RERUN):
            self.counts[what[len(RERUN) :]] -= n
            return
        if what in self.counts:
            self.counts[what] += n
        if what in self.ends:
            self.ends[what] += n
        if what == "failed" or (what == "dead" and bucket >= 0):
            self.failed_attempts += n
        if 0 <= bucket <= len(BOUNDS):
            if what == "wait":
                self.waits[bucket] += n
                self.wait_s += total_s
            else:
                self.runs[bucket] += n
                self.run_s += total_s

    def as_dict(self) -> dict[str, Any]:
        """Return the counts and the percentiles in seconds, None where nothing was measured.

        `dead_share` is the share of jobs that became dead among those that completed or became dead. Attempts are not
        part of it.
        """
        counts = self.counts
        ended = counts["completed"] + counts["dead"]
        return {
            "enqueued": counts["enqueued"],
            "completed": counts["completed"],
            "failed_attempts": self.failed_attempts,
            "retried": counts["failed"],
            "dead": counts["dead"],
            "dead_share": counts["dead"] / ended if ended else None,
            "cancelled": counts["cancelled"],
            "wait_p50": percentile(self.waits, 0.5),
            "wait_p95": percentile(self.waits, 0.95),
            "run_p50": percentile(self.runs, 0.5),
            "run_p95": percentile(self.runs, 0.95),
        }


def per_minute(completed: int, covered_s: float) -> float:
    """Return how many jobs completed a minute on average, over the time for which there are figures.

    Less than a minute counts as one: nothing is extrapolated.
    """
    return completed * 60 / max(60.0, covered_s)


def percentile(buckets: Sequence[int], share: float) -> float | None:
    """Estimate a percentile, as if what fell into a bucket were spread evenly over it; None when nothing did."""
    wanted = share * sum(buckets)
    low = below = 0.0
    for bound, n in zip((*BOUNDS, BOUNDS[-1]), buckets, strict=True):
        if n and below + n >= wanted:
            return round(low + (bound - low) * (wanted - below) / n, 6)
        low, below = bound, below + n
    return None


def series(database: Database, start: int, step: int, count: int, queue: str | None = None) -> list[Figures]:
    """Return the figures of `count` steps of `step` minutes from minute `start` on."""
    made = [Figures() for _ in range(count)]
    if queue is None:
        rows = database.all("minutes", (start, step, start))
    else:
        rows = database.all("minutes_of_queue", (start, step, start, queue))
    for number, *row in rows:
        if number < count:
            made[number].add(*row)
    return made


def by_queue(database: Database, start: int) -> dict[str, Figures]:
    """Return the figures of each queue in which something happened from minute `start` on."""
    made: dict[str, Figures] = {}
    for queue, *row in database.all("minutes_by_queue", (start,)):
        made.setdefault(queue, Figures()).add(*row)
    return made


def together(figures: Iterable[Figures]) -> Figures:
    """Return the sum."""
    made = Figures()
    for each in figures:
        for what, n in each.counts.items():
            made.counts[what] += n
        for what, n in each.ends.items():
            made.ends[what] += n
        made.failed_attempts += each.failed_attempts
        made.waits = [a + b for a, b in zip(made.waits, each.waits, strict=True)]
        made.runs = [a + b for a, b in zip(made.runs, each.runs, strict=True)]
        made.wait_s += each.wait_s
        made.run_s += each.run_s
    return made
