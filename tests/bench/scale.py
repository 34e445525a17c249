"""scale: what gets slower when a million jobs wait and a million have finished."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from queuectl.index.database import discard
from queuectl.spool.claim import Claim
from queuectl.supervisor.inotify import ARRIVALS, open_watch
from tests.bench import spools
from tests.bench.harness import ABOVE, FULL, RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.service import Service, environment, queue_at
from tests.bench.timing import PATIENCE_S, measured_command, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLAIMS = 200
BIG_ROUNDS = 2  # of what takes minutes at the largest size
READINGS = (
    ("status", ["status"], 60.0),
    ("list", ["list"], 30.0),
    ("list, page of failed", ["list", "--state", "failed"], None),
)


@bench("reading", "status and list on top of a start of queuectl, at every size; no supervisor is running")
def reading(context: Context) -> Iterator[Case]:
    """Whole processes, above `queuectl --version`. As many jobs have finished as wait."""
    start = "queuectl --version"
    command = [sys.executable, "-m", "queuectl"]
    figures, commands = [Figure(start, "ms")], [[*command, "--version"]]
    for size in context.sizes.backlogs:
        home = spools.spool(context, size, size)
        for what, arguments, most in READINGS:
            figures.append(
                Figure(
                    f"{what}, {size:,} + {size:,}",
                    "ms",
                    RELAXED,
                    limit=start,
                    compare=ABOVE,
                    goal=None if most is None else Goal(most=most),
                    size=size,
                )
            )
            commands.append([*command, "--home", str(home), *arguments])
    environ = environment(durability=RELAXED)
    for each in commands:
        seconds_of(each, environ)  # the first look reads the index from the disk

    def run() -> list[float]:
        taken: list[list[float]] = [[] for _ in commands]
        for _ in range(max(3, context.sizes.commands // 3)):
            for times, each in zip(taken, commands, strict=True):
                times.append(seconds_of(each, environ) * 1000)
        return [median(times) for times in taken]

    yield Case(tuple(figures), run)


@bench("verbs", "enqueue and claim, in one process, at every size")
def verbs(context: Context) -> Iterator[Case]:
    """Microseconds of one call. A claimed job is put back, unchanged but for its `started`."""
    for size in context.sizes.backlogs:
        figures = [
            Figure(f"Queue.enqueue, {size:,} waiting", "µs", RELAXED, size=size),
            Figure(f"claim, {size:,} waiting", "µs", RELAXED, size=size),
        ]
        yield Case(tuple(figures), _verbs(context, size))


def _verbs(context: Context, size: int) -> Callable[[], list[float]]:
    def run() -> list[float]:
        queue = queue_at(spools.spool(context, size, size), RELAXED)
        began = time.perf_counter()
        ids = [queue.enqueue("true") for _ in range(CLAIMS)]
        enqueued = time.perf_counter()
        claims = [queue.spool.claim(job_id, "worker-1") for job_id in ids]
        claimed = time.perf_counter()
        for claim in claims:
            if isinstance(claim, Claim):
                claim.reschedule("requeued", time.time(), {"reason": "benchmark"})
                claim.close()
        return [(enqueued - began) / CLAIMS * 1e6, (claimed - enqueued) / CLAIMS * 1e6]

    return run


@bench("first-start", "from `queuectl worker start` to the first command, with a good index and without one")
def first_start(context: Context) -> Iterator[Case]:
    """The output file of the first attempt appears right before its command is started."""
    for size in context.sizes.backlogs:
        rounds = BIG_ROUNDS if size >= spools.BIG else None
        for words, with_index, most in (("with a good index", True, 1.0), ("without an index", False, 2.0)):
            figure = Figure(
                f"first job, {size:,} waiting, {words}", "s", RELAXED, goal=Goal(most=most, of="value"), size=size
            )
            yield Case((figure,), _first_start(context, size, with_index=with_index), rounds)


def _first_start(context: Context, size: int, *, with_index: bool) -> Callable[[], list[float]]:
    def run() -> list[float]:
        home = spools.spool(context, size, size)
        service = Service(context, home, RELAXED)
        kept = context.fresh("index")
        if not with_index:
            _move_index(home, kept)
        watch = open_watch()
        watch.add(service.queue.layout.output, ARRIVALS)
        began = time.perf_counter()
        command = [sys.executable, "-m", "queuectl", "--home", str(home), "worker", "start", "--count", "2"]
        process = subprocess.Popen(
            command, env=environment(durability=RELAXED), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seen, _, _ = select.select([watch], [], [], PATIENCE_S)
        took = time.perf_counter() - began
        watch.close()
        process.wait()
        service.find()
        service.stop()
        if not with_index:
            discard(service.queue.layout.index)
            _move_index(kept, home)  # what it lacks is found by comparing, sooner than by reading every file
        return [took if seen else float("nan")]

    return run


def _move_index(source: Path, target: Path) -> None:
    for file in source.glob("index.sqlite3*"):
        os.rename(file, target / file.name)


@bench("index", "the index: built from nothing, rebuilt beside the old one, compared with every file; and its memory")
def index(context: Context) -> Iterator[Case]:
    """Half of the jobs wait, half have finished. Each is one command in a process of its own."""
    for size in context.sizes.backlogs:
        is_largest = size == max(context.sizes.backlogs)
        goal = Goal(most=60, of="value", full_size_only=True) if is_largest else None
        figures = []
        for what in ("rebuild", "built by the first status", "compared by a status"):
            figures.append(
                Figure(f"{what}, {size:,} jobs", "s", FULL, goal=goal if what == "rebuild" else None, size=size)
            )
            figures.append(Figure(f"{what}, {size:,} jobs, peak memory", "MB", FULL, size=size))
        yield Case(tuple(figures), _index(context, size), BIG_ROUNDS if size >= spools.BIG else None)


def _index(context: Context, size: int) -> Callable[[], list[float]]:
    def run() -> list[float]:
        home = spools.spool(context, size // 2, size - size // 2)
        queue = queue_at(home, FULL)
        rebuilt = measured_command(home, "index", "rebuild")
        discard(queue.layout.index)
        built = measured_command(home, "status")
        os.unlink(f"{queue.layout.run}/index.seal")  # so that nothing is believed
        compared = measured_command(home, "status")
        return [*rebuilt, *built, *compared]

    return run
