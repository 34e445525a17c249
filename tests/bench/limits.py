"""limits: what the bare machine does, which no queue can beat."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.bench.harness import NOTHING_STORED, Case, Context, Figure, bench
from tests.bench.service import environment
from tests.bench.timing import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JOB_BYTES = 300
XARGS = "xargs -P2 -n1 sh -c true"


def xargs_rate(jobs: int, parallel: int) -> float:
    """Return commands a second of what a user would do by hand."""
    command = ["xargs", f"-P{parallel}", "-n1", "sh", "-c", "true"]
    began = time.perf_counter()
    subprocess.run(command, input=b"x\n" * jobs, check=True)
    return jobs / (time.perf_counter() - began)


def xargs_case(jobs: int, parallel: int) -> Case:
    """Return the limit of a drain."""
    return Case((Figure(f"xargs -P{parallel} -n1 sh -c true", "jobs/s"),), lambda: [xargs_rate(jobs, parallel)])


def spawn_rate(jobs: int, parallel: int) -> float:
    """Return commands a second of a bare loop over posix_spawn."""
    environ = dict(os.environ)
    began = time.perf_counter()
    for number in range(jobs):
        if number >= parallel:
            os.wait()
        os.posix_spawn("/bin/sh", ["sh", "-c", "true"], environ)
    for _ in range(min(parallel, jobs)):
        os.wait()
    return jobs / (time.perf_counter() - began)


def bare_python() -> list[str]:
    """Return the command that does nothing but start Python."""
    return [sys.executable, "-c", "pass"]


def create_rate(directory: Path, files: int) -> float:
    """Return files a second: create, write, close."""
    data = b"x" * JOB_BYTES
    where = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    began = time.perf_counter()
    for number in range(files):
        fd = os.open(str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=where)
        os.write(fd, data)
        os.close(fd)
    took = time.perf_counter() - began
    os.close(where)
    return files / took


def sync_rate(directory: Path, files: int) -> float:
    """Return files a second: create, write, fsync the file, fsync the directory."""
    data = b"x" * JOB_BYTES
    where = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    began = time.perf_counter()
    for number in range(files):
        fd = os.open(str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=where)
        os.write(fd, data)
        os.fsync(fd)
        os.close(fd)
        os.fsync(where)
    took = time.perf_counter() - began
    os.close(where)
    return files / took


@bench("limits", "the bare machine: starting commands, starting Python, creating and syncing files")
def limits(context: Context) -> Iterator[Case]:
    """Nothing of QueueCTL runs here."""
    jobs, files = context.sizes.jobs, context.sizes.jobs * 5

    def on_disk(rate: Callable[[Path, int], float], count: int) -> Callable[[], list[float]]:
        return lambda: [rate(context.fresh("files"), count)]

    yield xargs_case(jobs, 2)
    yield Case((Figure("posix_spawn sh -c true, 2 at a time", "jobs/s", limit=XARGS),), lambda: [spawn_rate(jobs, 2)])
    yield Case((Figure("python3 -c pass", "ms"),), lambda: [seconds_of(bare_python(), environment()) * 1000])
    yield Case((Figure("create + write 300 B", "files/s"),), on_disk(create_rate, files))
    yield Case(
        (Figure("create + write 300 B + fsync file and directory", "files/s", NOTHING_STORED),),
        on_disk(sync_rate, max(50, jobs // 4)),
    )
