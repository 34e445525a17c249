"""peers: the same work for other queues, measured by the same harness."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.harness import FULL, RELAXED, Case, Context, Figure, bench
from tests.bench.limits import XARGS, xargs_case
from tests.bench.peerware import Nq, Ours, TaskSpooler, install_peers, libraries
from tests.bench.service import processor_ns, pss
from tests.bench.timing import make_probe, read_mark, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.peerware import Peer

NAME = "peers"
PATIENCE_S = 120.0
IDLE_S = 0.3  # between two jobs to an idle queue: pollers have gone back to their longest pause
SETTLED_S = 1.0
ROUNDS = 3
DROPS = 20
NOTHING = float("nan")


@bench(NAME, "other queues on the same machine: a drain, putting jobs in, an idle queue; not run unless asked for")
def peers(context: Context) -> Iterator[Case]:
    """A drain begins with a probe and ends with one; the probes tell the time, whatever the queue is."""
    jobs = context.sizes.jobs
    probe = make_probe(context.fresh("probe"))
    context.say("installing the peers")
    made: dict[str, Callable[[], Peer] | str] = {}
    for durability in (RELAXED, FULL):
        made[f"QueueCTL, {durability}"] = lambda d=durability: Ours(d, context.fresh("ours"), context, d)  # type: ignore[misc]
    kinds: dict[str, type[Peer]] = {"task-spooler": TaskSpooler, "nq (two directories)": Nq}
    kinds.update(libraries(install_peers(context.root / "peers")))
    for name, kind in kinds.items():
        lacking = kind.missing()
        made[name] = lacking or (lambda n=name, k=kind: k(n, context.fresh("peer")))  # type: ignore[misc]
    yield xargs_case(jobs, 2)
    yield Case((Figure("GNU parallel -j2, drain", "jobs/s", limit=XARGS),), lambda: [_parallel(jobs)], ROUNDS)
    for name, make in made.items():
        if isinstance(make, str):
            context.say(f"{name} cannot be had: {make} is missing")
        durability = name.rpartition(", ")[2] if name.startswith("QueueCTL") else kinds[name].durability
        figures = (
            Figure(f"{name}, drain", "jobs/s", durability, limit=XARGS),
            Figure(f"{name}, putting in", "jobs/s", durability),
            Figure(f"{name}, idle job to start, median", "ms", durability),
            Figure(f"{name}, idle processor time", "%", durability),
            Figure(f"{name}, all processes", "MB PSS", durability),
        )
        yield Case(figures, _measure(context, make, probe, jobs), ROUNDS)


def _parallel(jobs: int) -> float:
    began = time.perf_counter()
    try:
        subprocess.run(["parallel", "-j2", "-n1", "true"], input=b"x\n" * jobs, capture_output=True, check=True)
    except OSError:
        return NOTHING
    return jobs / (time.perf_counter() - began)


def _measure(context: Context, make: Callable[[], Peer] | str, probe: str, jobs: int) -> Callable[[], list[float]]:
    def run() -> list[float]:
        if isinstance(make, str):
            return [NOTHING] * 5
        peer = make()
        try:
            return _at_work(context, peer, probe, jobs)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"{peer.name} cannot be measured: {error!r}", file=sys.stderr)
            return [NOTHING] * 5
        finally:
            peer.stop()

    return run


def _at_work(context: Context, peer: Peer, probe: str, jobs: int) -> list[float]:
    marks = context.fresh("marks")
    jobs = min(jobs, peer.most_jobs or jobs)
    peer.open()
    peer.put(f"{probe} {marks / 'first'}")
    putting_s = peer.put("true", jobs)
    peer.put(f"{probe} {marks / 'last'}")
    peer.work()
    last = _mark(marks / "last")
    drain_s = (last - _mark(marks / "first")) / 1e9
    waits = []
    for number in range(min(DROPS, context.sizes.drops)):
        time.sleep(random.uniform(IDLE_S, 2 * IDLE_S))  # in no step with those who poll
        began = time.monotonic_ns()
        peer.put(f"{probe} {marks / str(number)}")
        waits.append((_mark(marks / str(number)) - began) / 1e6)
    time.sleep(SETTLED_S)
    processes = peer.processes()
    before = sum(map(processor_ns, processes))
    time.sleep(context.sizes.seconds / 2)
    spent_ns = sum(map(processor_ns, processes)) - before
    memory = sum(pss(process.pid) for process in processes)
    return [jobs / drain_s, jobs / putting_s, median(waits), spent_ns / 1e7 / (context.sizes.seconds / 2), memory]


def _mark(path: Path) -> int:
    wait_for(path.exists, f"{path.name} was written", patience_s=PATIENCE_S)
    return read_mark(path)
