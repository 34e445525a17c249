"""drains: how fast waiting jobs are run, and whether the backlog behind them matters."""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

from tests.bench import spools
from tests.bench.harness import FULL, RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.limits import xargs_case
from tests.bench.service import Service, drain_seconds, processor_ns
from tests.bench.timing import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRUE = "true"  # /bin/sh -c true, as xargs is told to run
DRAINS = ((RELAXED, 2, 0.95), (FULL, 2, 0.75), (FULL, 8, 0.85))


@bench(
    "drain", "sh -c true to the end of the queue, against xargs; and the processor time of a job besides its command"
)
def drain(context: Context) -> Iterator[Case]:
    """The jobs wait before the workers start; time runs from the first start to the last verdict filed."""
    jobs = context.sizes.jobs
    yield xargs_case(jobs, 2)
    for durability, workers, least in DRAINS:
        if workers != 2:
            yield xargs_case(jobs, workers)
        for seen in ("", ", known to the index"):
            what = f"drain of {jobs:,} jobs, {workers} workers{seen}"
            figures = (
                Figure(
                    f"{what}, {durability}",
                    "jobs/s",
                    durability,
                    limit=f"xargs -P{workers} -n1 sh -c true",
                    goal=None if seen else Goal(least=least),
                ),
                Figure(f"supervisor, {what}, {durability}", "µs/job", durability),
                Figure(f"workers, {what}, {durability}", "µs/job", durability),
            )
            yield Case(figures, _drain(context, durability, workers, [TRUE] * jobs, is_known=bool(seen)))


def _drain(
    context: Context, durability: str, workers: int, commands: list[str], *, is_known: bool = False
) -> Callable[[], tuple[float, float, float]]:
    """Return what gives jobs a second, and microseconds of processor time a job, of the supervisor and the workers."""

    def run() -> tuple[float, float, float]:
        service = Service(context, context.fresh("drain"), durability)
        ids = [str(job_id) for job_id in service.queue.enqueue_many(commands)]
        if is_known:
            spools.index(service.home, context.say)
        service.start(workers)
        before, handled = _spent(service), service.handled()
        service.wait_until_empty()
        spent = [(after - earlier) / 1000 for after, earlier in zip(_spent(service), before, strict=True)]
        service.stop()
        jobs = max(1, len(ids) - handled)
        return len(ids) / drain_seconds(service.queue, ids), spent[0] / jobs, spent[1] / jobs

    return run


def _spent(service: Service) -> tuple[int, int]:
    supervisor, workers = service.processes()
    return processor_ns(supervisor), sum(processor_ns(worker) for worker in workers)


@bench("crowd", "many workers whose jobs sleep: how much of the time they are kept busy")
def crowd(context: Context) -> Iterator[Case]:
    """The ideal is as many rounds of sleep as it takes for all jobs, and not a moment between them."""
    workers, jobs, naps_s = context.sizes.crowd
    ideal_s = math.ceil(jobs / workers) * naps_s
    run = _drain(context, RELAXED, workers, [f"sleep {naps_s:g}"] * jobs)
    figure = Figure(
        f"{workers} workers × sleep {naps_s:g}, {jobs:,} jobs",
        "of the ideal",
        RELAXED,
        goal=Goal(least=0.97, of="value", full_size_only=True),
    )
    yield Case((figure,), lambda: [ideal_s / (jobs / run()[0])], rounds=2)


@bench("backlog", "the same drain with more and more jobs waiting behind it, and the memory it takes")
def backlog(context: Context) -> Iterator[Case]:
    """Big spools are shared with other benches: each takes a few thousand jobs off them."""
    first, *_ = sizes = context.sizes.backlogs
    for size in sizes:
        drained = Figure(
            f"drain with {size:,} waiting, 2 workers",
            "jobs/s",
            RELAXED,
            limit=None if size == first else f"drain with {first:,} waiting, 2 workers",
            goal=None if size == first else Goal(least=0.95),
            size=size,
        )
        supervisor = Figure(
            f"supervisor, {size:,} waiting", "MB PSS", RELAXED, goal=Goal(most=20, of="value"), size=size
        )
        worker = Figure(f"a worker, {size:,} waiting", "MB PSS", RELAXED, goal=Goal(most=6, of="value"), size=size)
        yield Case((drained, supervisor, worker), _drain_part(context, size))


def _drain_part(context: Context, size: int) -> Callable[[], tuple[float, float, float]]:
    jobs = context.sizes.jobs

    def run() -> tuple[float, float, float]:
        home = spools.spool(context, size + jobs * 2, 0) if size < spools.BIG else spools.spool(context, size, size)
        service = Service(context, home, RELAXED)
        service.start(2)
        service.wait_until_compared()
        began, before = time.perf_counter(), service.handled()
        wait_for(lambda: service.handled() >= before + jobs, "enough jobs have run", 0.02)
        took, done = time.perf_counter() - began, service.handled() - before
        supervisor, worker = service.memory()
        service.stop()
        return done / took, supervisor, worker

    return run


@bench("lag", "how far the index is behind the files while jobs run")
def lag(context: Context) -> Iterator[Case]:
    """The age of the oldest finished job that a reader does not see yet, looked at every few milliseconds."""
    worst = Figure("index behind the spool, worst", "ms", RELAXED, goal=Goal(most=50, of="value"))
    typical = Figure("index behind the spool, median", "ms", RELAXED)

    def run() -> list[float]:
        service = Service(context, context.fresh("lag"), RELAXED)
        ids = [str(job_id) for job_id in service.queue.enqueue_many([TRUE] * context.sizes.jobs)]
        with service.queue.reader():
            pass  # so that there is an index to look at
        service.start(2)
        looks = _looks_until(service, len(ids))
        service.stop()
        ended = sorted(os.stat(service.queue.layout.job("done", job_id)).st_ctime for job_id in ids)
        behind = [max(0.0, at - ended[seen]) for at, seen in looks if seen < len(ended)]
        return [max(behind) * 1000, sorted(behind)[len(behind) // 2] * 1000]

    yield Case((worst, typical), run)


def _looks_until(service: Service, jobs: int) -> list[tuple[float, int]]:
    from queuectl.index.reader import Reader

    looks: list[tuple[float, int]] = []
    with Reader(service.queue.layout.index) as reader:
        while not looks or looks[-1][1] < jobs:
            at = time.time()
            looks.append((at, reader.counts()["completed"]))
            time.sleep(0.005)
    return looks
