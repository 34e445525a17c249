"""service: a supervisor of a bench's own home, started and stopped as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from queuectl import control_client
from queuectl.client.queue import Queue
from queuectl.errors import NoSupervisor, QueueError
from queuectl.job.job_file import parse
from tests.bench.timing import ROOT, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.harness import Context

STOP_S = 30.0


def environment(**settings: object) -> dict[str, str]:
    """Return an environment that leads to this checkout, with settings; nothing of the caller's queue or Python.

    Python keeps what it has compiled, as it does where a package is installed.
    """
    made = {name: value for name, value in os.environ.items() if not name.startswith(("QUEUECTL_", "PYTHON"))}
    made["PYTHONPATH"] = str(ROOT)
    made.update({f"QUEUECTL_{name.upper()}": str(value) for name, value in settings.items()})
    return made


def queue_at(home: Path, durability: str) -> Queue:
    """Return the queue of a home, in one durability."""
    from queuectl.config.settings import Settings

    return Queue(home, settings=Settings.from_dict({"durability": durability}))


class Service:
    """A supervisor with its workers; ended with the bench at the latest."""

    def __init__(self, context: Context, home: Path, durability: str) -> None:
        self.home = home
        self.queue = queue_at(home, durability)
        self._environ = environment(durability=durability)
        self._supervisor: psutil.Process | None = None
        context.cleanup.callback(self.stop)

    def start(self, workers: int) -> None:
        """Start it; returns when the workers are ready."""
        command = [sys.executable, "-m", "queuectl", "--home", str(self.home), "worker", "start"]
        subprocess.run([*command, "--count", str(workers)], env=self._environ, capture_output=True, check=True, cwd="/")
        self.find()

    def find(self) -> None:
        """Note who the supervisor is, so that nobody else is ever ended in its place."""
        self._supervisor = psutil.Process(self.ask("hello")["pid"])

    def ask(self, verb: str, **details: object) -> dict[str, Any]:
        """Ask it over its socket."""
        return control_client.ask(self.queue.layout, {"do": verb, **details})

    def stop(self) -> None:
        """Let what runs finish, then stop; what does not stop is killed."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        family = _family(supervisor)
        try:
            self.ask("stop")
        except QueueError:
            pass
        for straggler in psutil.wait_procs(family, STOP_S)[1]:
            straggler.kill()
            straggler.wait(STOP_S)

    def processes(self) -> tuple[psutil.Process, list[psutil.Process]]:
        """Return the supervisor and its workers."""
        if self._supervisor is None:
            raise NoSupervisor("it was not started")
        workers = [worker["pid"] for worker in self.ask("status")["workers"]]
        return self._supervisor, [psutil.Process(pid) for pid in workers]

    def memory(self) -> tuple[float, float]:
        """Return the PSS in MB of the supervisor and, on average, of a worker."""
        supervisor, workers = self.processes()
        return pss(supervisor.pid), sum(pss(worker.pid) for worker in workers) / max(1, len(workers))

    def handled(self) -> int:
        """Return how many jobs its workers have finished."""
        return sum(worker["done"] + worker["failed_attempts"] for worker in self.ask("status")["workers"])

    def wait_until_compared(self) -> None:
        """Wait until the index equals the spool."""
        wait_for(lambda: self.ask("status")["syncing"] is None, "the index is up to date", 0.05)

    def wait_until_empty(self) -> None:
        """Wait until nothing waits or runs, looking seldom so as not to disturb."""
        for directory in ("pending", "processing"):
            path = self.queue.layout.directory(directory)
            wait_for(lambda path=path: not _has_entries(path), f"{directory}/ is empty", 0.05)  # type: ignore[misc]


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _has_entries(path: str) -> bool:
    with os.scandir(path) as entries:
        return next(entries, None) is not None


def pss(pid: int) -> float:
    """Return a process's share of memory in MB: what it has alone, and its part of what several have."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def processor_ns(process: psutil.Process) -> int:
    """Return the nanoseconds that a process has been on a processor, its children not counted."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(path.read_text().split()[0]) for path in tasks)


def drain_seconds(queue: Queue, ids: Iterable[str]) -> float:
    """Return the seconds from the first `started` to the last move to done/, as the files tell.

    Nobody has to look while the jobs run. The kernel stamps a move with a clock that ticks every few milliseconds.
    """
    first, last = float("inf"), 0.0
    from queuectl.clock import parse_instant

    for number, job_id in enumerate(ids):
        path = queue.layout.job("done", job_id)
        last = max(last, os.stat(path).st_ctime)
        if number < 64:  # the oldest start first
            first = min(first, parse_instant(parse(Path(path).read_bytes()).history[0]["at"]))
    return last - first
