"""blocked: how soon a job starts behind many that wait and may not start yet, and the memory that these take."""

from __future__ import annotations

import os
from statistics import median
from typing import TYPE_CHECKING, Any

from queuectl.job.job import PENDING
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from tests.bench.arrivals import dropped
from tests.bench.harness import ABOVE, RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.service import Service
from tests.bench.timing import make_probe, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 100_000
CROWDS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "one lock": {"lock": "db"},
    "one parent": {"after": ["first"]},
    "a limited queue": {"queue": "limited"},
    "a paused queue": {"queue": "paused"},
    "a hold": {"batch": "held"},
}
HELD = '{"id":"%s","command":"true","priority":10,"history":[{"event":"held","at":"2026-11-24T14:02:00.000000Z"}]}'


@bench(
    "blocked", "from a dropped file to its command, behind many jobs that a lock, a parent, a limit or a pause blocks"
)
def blocked(context: Context) -> Iterator[Case]:
    """All of the crowd have a higher priority; the first of them runs all the time and keeps the others waiting."""
    probe = make_probe(context.fresh("probe"))
    count = min(MOST, max(context.sizes.backlogs))
    services = {}
    for name, fields in CROWDS.items():
        home = context.fresh("blocked")
        service = services[name] = Service(context, home, RELAXED)
        (home / "config.yaml").write_text("queues: {limited: {concurrency: 1}}\n")
        if fields:
            own = fields if name in ("one lock", "a limited queue") else {}
            service.queue.enqueue("sleep 100000", id="first", priority=1000, **own)
            if name == "a hold":
                _drop_held(service.queue.layout.directory(PENDING), count)
            else:
                jobs = ({"command": "true", "priority": 10} for _ in range(count))
                service.queue.enqueue_many(jobs, **fields)
            context.cleanup.callback(_end, service)
        pauses.pause(service.queue.spool, "paused")
        service.start(2)
        service.wait_until_compared()
        if fields:
            wait_for(lambda spool=service.queue.spool: spool.find("first") == "processing", "the first job runs")
    figures = (
        *_figures("drop to start, median, behind", "ms", 5.0),
        *_figures("memory of the supervisor behind", "MB", 10.0),
    )

    def run() -> list[float]:
        marks = context.fresh("marks")
        taken: dict[str, list[float]] = {name: [] for name in services}
        for number in range(context.sizes.drops):
            for place, (name, service) in enumerate(services.items()):
                taken[name].append(dropped(service, probe, marks / f"{number}-{place}"))
        return [*map(median, taken.values()), *(service.memory()[0] for service in services.values())]

    yield Case(figures, run)


def _figures(what: str, unit: str, most: float) -> list[Figure]:
    """Return one figure for each crowd, all but the first compared with the first."""
    first, *others = CROWDS
    limit = f"{what} {first}"
    compared = [
        Figure(f"{what} {name}", unit, RELAXED, limit=limit, compare=ABOVE, goal=Goal(most=most)) for name in others
    ]
    return [Figure(limit, unit, RELAXED), *compared]


def _drop_held(directory: str, count: int) -> None:
    """Write jobs that were held before the supervisor starts; to hold them one by one takes minutes."""
    for number in range(count):
        with open(f"{directory}/held-{number:06}.json", "w", encoding="utf-8", opener=_private) as file:
            file.write(HELD % f"held-{number:06}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _end(service: Service) -> None:
    """End the job that runs all the time, and start none of the crowd."""
    pauses.pause(service.queue.spool, ALL_PAUSED)
    service.queue.cancel("first")
