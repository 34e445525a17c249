"""arrivals: putting jobs in, and how soon a dropped one starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import TYPE_CHECKING

from tests.bench.harness import ABOVE, FULL, RELAXED, Case, Context, Figure, Goal, bench
from tests.bench.limits import bare_python, create_rate, sync_rate
from tests.bench.service import Service, environment, queue_at
from tests.bench.timing import make_probe, percentile, read_mark, seconds_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IDLE_S = 0.02  # between two drops: everything has gone back to sleep
SCRIPT = """#!{python}
{header}import sys
from queuectl.cli.main import main
if __name__ == "__main__":
    sys.exit(main())
"""
# Installers write the program that starts an entry point. Newer ones no longer import `re` in it.
SCRIPTS = {"": "", ", its script imports re": "import re\n"}


@bench("latency", "from a file dropped into an idle queue to the first instruction of its command")
def latency(context: Context) -> Iterator[Case]:
    """Drop and direct spawn take turns; both run `sh -c 'probe FILE'`, and the probe asks for the time first."""
    tools = context.fresh("probe")
    probe = make_probe(tools)
    services = {}
    for durability in (RELAXED, FULL):
        services[durability] = Service(context, context.fresh("latency"), durability)
        services[durability].start(2)
    direct = ("direct spawn, median", "direct spawn, p99")
    figures = [Figure(what, "ms") for what in direct]
    for durability in services:
        for share, limit, most in (("median", direct[0], 1.5), ("p99", direct[1], 5.0)):
            figures.append(
                Figure(
                    f"drop to start, {share}, {durability}",
                    "ms",
                    durability,
                    limit=limit,
                    compare=ABOVE,
                    goal=Goal(most=most),
                )
            )

    def run() -> list[float]:
        marks = context.fresh("marks")
        taken: list[list[float]] = [[] for _ in range(1 + len(services))]
        for number in range(context.sizes.drops):
            taken[0].append(_spawned(probe, marks / f"{number}-direct"))
            for place, (durability, service) in enumerate(services.items(), 1):
                taken[place].append(dropped(service, probe, marks / f"{number}-{durability}"))
        return [number for each in taken for number in (median(each), percentile(each, 0.99))]

    yield Case(tuple(figures), run)


def _spawned(probe: str, mark: Path) -> float:
    command = ["sh", "-c", f"{probe} {mark}"]
    began = time.monotonic_ns()
    pid = os.posix_spawn("/bin/sh", command, dict(os.environ))
    os.waitpid(pid, 0)
    time.sleep(IDLE_S)
    return (read_mark(mark) - began) / 1e6


def dropped(service: Service, probe: str, mark: Path) -> float:
    """Return the milliseconds from the drop of a job to the first instruction of its command."""
    layout = service.queue.layout
    written, name = f"{layout.tmp}/{mark.name}", f"{layout.directory('pending')}/{mark.name}.json"
    with open(written, "w", encoding="utf-8") as file:
        json.dump({"command": f"{probe} {mark}"}, file)
    began = time.monotonic_ns()
    os.rename(written, name)
    at = read_mark(mark)
    done = layout.job("done", mark.name)
    wait_for(lambda: os.path.exists(done), "the dropped job has ended")
    time.sleep(IDLE_S)
    return (at - began) / 1e6


@bench("enqueue-process", "queuectl enqueue as a whole process, against bare python3 -c pass")
def enqueue_process(context: Context) -> Iterator[Case]:
    """Started as an installed console script is. No supervisor runs, and nobody reads what it prints."""
    bare = "python3 -c pass"
    figures, commands = [Figure(bare, "ms")], [(bare_python(), environment())]
    folder = context.fresh("script")
    for (words, header), durability in [(s, d) for s in SCRIPTS.items() for d in (RELAXED, FULL)]:
        figures.append(
            Figure(
                f"queuectl enqueue, {durability}{words}",
                "ms",
                durability,
                limit=bare,
                goal=Goal(most=2.0) if durability == FULL and not words else None,
            )
        )
        script = folder / f"queuectl-{len(figures)}"
        script.write_text(SCRIPT.format(python=sys.executable, header=header))
        script.chmod(0o755)
        home = context.fresh("home")
        command = [str(script), "--home", str(home), "enqueue", "--command", "true"]
        commands.append((command, environment(durability=durability)))

    def run() -> list[float]:
        taken: list[list[float]] = [[] for _ in commands]
        for _ in range(context.sizes.commands):
            for times, (command, environ) in zip(taken, commands, strict=True):
                times.append(seconds_of(command, environ) * 1000)
        return [median(times) for times in taken]

    yield Case(tuple(figures), run)


@bench("enqueue", "Queue.enqueue in a loop, and many jobs acknowledged together")
def enqueue(context: Context) -> Iterator[Case]:
    """The limits are what the disk does with as many files of that size."""
    sizes = context.sizes
    loop, synced = sizes.jobs * 2, max(50, sizes.jobs // 4)
    created, durable = "create + write", "create + write + fsync file and directory"
    yield Case((Figure(created, "files/s"),), lambda: [create_rate(context.fresh("files"), loop)])
    yield Case((Figure(durable, "files/s"),), lambda: [sync_rate(context.fresh("files"), synced)])
    relaxed = Goal(least=25_000, of="value", full_size_only=True)
    yield Case(
        (Figure("Queue.enqueue loop, relaxed", "jobs/s", RELAXED, limit=created, goal=relaxed),),
        _loop(context, RELAXED, loop),
    )
    yield Case(
        (Figure("Queue.enqueue loop, full", "jobs/s", FULL, limit=durable, goal=Goal(least=0.9)),),
        _loop(context, FULL, synced),
    )
    for durability in (RELAXED, FULL):
        goal = Goal(least=20_000, of="value", full_size_only=True) if durability == FULL else None
        yield Case(
            (
                Figure(
                    f"queuectl enqueue - ({sizes.bulk:,} lines), {durability}",
                    "jobs/s",
                    durability,
                    limit=created,
                    goal=goal,
                ),
            ),
            _bulk(context, durability, sizes.bulk),
        )


def _loop(context: Context, durability: str, jobs: int) -> Callable[[], list[float]]:
    def run() -> list[float]:
        queue = queue_at(context.fresh("enqueue"), durability)
        queue.enqueue("true")
        began = time.perf_counter()
        for _ in range(jobs):
            queue.enqueue("true")
        return [jobs / (time.perf_counter() - began)]

    return run


def _bulk(context: Context, durability: str, jobs: int) -> Callable[[], list[float]]:
    lines = b"".join(b'{"command": "true", "tags": ["%d"]}\n' % number for number in range(jobs))

    def run() -> list[float]:
        command = [sys.executable, "-m", "queuectl", "--home", str(context.fresh("bulk")), "enqueue", "-"]
        began = time.perf_counter()
        environ = environment(durability=durability)
        subprocess.run(command, input=lines, env=environ, capture_output=True, check=True)
        return [jobs / (time.perf_counter() - began)]

    return run
