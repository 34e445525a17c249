"""standing: what the queue costs while nothing happens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.harness import RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.service import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 8
SETTLED_S = 1.0


@bench("idle", "eight workers with nothing to do: processor time, wake-ups, memory")
def idle(context: Context) -> Iterator[Case]:
    """Counted by the kernel over some seconds, for the supervisor and all workers together."""
    seconds = context.sizes.seconds
    service = Service(context, context.fresh("idle"), RELAXED)
    service.start(WORKERS)
    time.sleep(SETTLED_S)
    supervisor, workers = service.processes()
    pids = [supervisor.pid, *(worker.pid for worker in workers)]
    figures = (
        Figure(f"processor time of {WORKERS} idle workers", "%", RELAXED, goal=Goal(most=0.005, of="value")),
        Figure(f"wake-ups in {seconds:g} s", "", RELAXED, goal=Goal(most=0, of="value")),
        Figure("supervisor, empty", "MB PSS", RELAXED, goal=Goal(most=20, of="value")),
        Figure("a worker, empty", "MB PSS", RELAXED, goal=Goal(most=6, of="value")),
    )

    def run() -> list[float]:
        before = [_used(pid) for pid in pids]
        time.sleep(seconds)
        after = [_used(pid) for pid in pids]
        spent_ns = sum(b[0] - a[0] for a, b in zip(before, after, strict=True))
        switches = sum(b[1] - a[1] for a, b in zip(before, after, strict=True))
        memory = service.memory()  # asking wakes the supervisor, so it comes last
        time.sleep(0.1)
        return [spent_ns / 1e7 / seconds, switches, *memory]

    yield Case(figures, run)


def _used(pid: int) -> tuple[int, int]:
    """Return nanoseconds on a processor, and how often it was given one."""
    ran_ns, _, slices = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran_ns), int(slices)
