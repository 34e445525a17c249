"""spools: a million waiting and a million finished jobs in a minute or two.

Guarantees: every file is byte for byte what the product would have written: one job is made by its own functions, and the
            others differ in id and instants, which have a fixed length.

As a program: `python -m tests.bench.spools HOME --pending N --done N`.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from queuectl.client.queue import Queue
from queuectl.clock import spell
from queuectl.ids import new_id
from queuectl.index.clean_shutdown import SETTLE_S
from queuectl.job.job_file import parse, render_new
from queuectl.job.outcome import Exited, Usage, entry_details
from queuectl.spool.layout import SUFFIX, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.harness import Context

BIG = 50_000  # from here on a spool is built once a run and shared
SAID_EVERY = 100_000
SPACING_S = 0.001  # between two jobs
BLOCK_BYTES = 4096  # each takes one
INODES_LEFT = 100_000


class Template:
    """The bytes of a job, with places for its id and for each instant."""

    def __init__(self, *, is_done: bool) -> None:
        marks = [f"{year}-01-01T00:00:00.000000Z" for year in (2001, 2002, 2003)]
        self._id = new_id(0.0)
        self._data = render_new({"id": self._id, "command": "true", "created_at": marks[0]})
        if is_done:
            record = parse(self._data)
            record = record.grown(entry := _started(marks[1]), record.growth(entry))
            record = record.grown(entry := _completed(marks[2]), record.growth(entry))
            self._data = record.body + record.tail
        self._marks = [mark.encode() for mark in marks]

    def fill(self, job_id: str, created_at: float) -> bytes:
        """Return the job of this id; it began a millisecond after it was made, and took two."""
        data = self._data.replace(self._id.encode(), job_id.encode())
        for number, mark in enumerate(self._marks):
            data = data.replace(mark, spell(created_at + number * 0.001).encode())
        return data


def _started(at: str) -> dict[str, object]:
    return {"event": "started", "attempt": 1, "at": at, "worker": "worker-1"}


def _completed(at: str) -> dict[str, object]:
    return {"event": "completed", "at": at, **entry_details(Exited(0), Usage(0.001, None))}


def refuse_when_too_big(directory: str, jobs: int) -> None:
    """Raise OSError unless the file system has room for so many jobs, and half as much again."""
    free = os.statvfs(directory)
    if free.f_files and free.f_favail < jobs * 1.5 + INODES_LEFT:
        raise OSError(f"{jobs:,} files do not fit: {free.f_favail:,} inodes are free")
    if free.f_bavail * free.f_frsize < jobs * BLOCK_BYTES * 1.5:
        raise OSError(f"{jobs:,} files do not fit: {free.f_bavail * free.f_frsize >> 20:,} MiB are free")


def build(home: Path, pending: int, done: int, say: Callable[[str], None]) -> None:
    """Fill a home with jobs; the older ones are done."""
    layout = Layout(str(home))
    layout.ensure()
    refuse_when_too_big(layout.spool, pending + done)
    first = time.time() - (pending + done) * SPACING_S
    for directory, count, since in (("done", done, first), ("pending", pending, first + done * SPACING_S)):
        where = os.open(layout.directory(directory), os.O_RDONLY | os.O_DIRECTORY)
        template = Template(is_done=directory == "done")
        try:
            for number, (job_id, at) in enumerate(_ids(count, since), 1):
                fd = os.open(job_id + SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=where)
                os.write(fd, template.fill(job_id, at))
                os.close(fd)
                if number % SAID_EVERY == 0:
                    say(f"{directory}: {number:,} of {count:,} files written")
        finally:
            os.close(where)


def _ids(count: int, since: float) -> Iterator[tuple[str, float]]:
    for number in range(count):
        at = since + number * SPACING_S
        yield new_id(at), at


def index(home: Path, say: Callable[[str], None]) -> None:
    """Bring the index up to date, so that the next to come believes it without a look at the files."""
    time.sleep(SETTLE_S + 0.1)  # a directory that changed just now is not believed
    said = time.monotonic()

    def on_step(words: str) -> None:
        nonlocal said
        if time.monotonic() > said + 5:
            said = time.monotonic()
            say(f"index: {words}")

    Queue(home).catch_up(on_step=on_step)


def spool(context: Context, pending: int, done: int) -> Path:
    """Return a home with at least nearly so many jobs and a good index; a big one is built once a run and shared."""
    key = (pending, done)
    if key not in context.shared:
        home = context.fresh("spool")
        began = time.monotonic()
        if pending + done >= BIG:
            context.say(f"building a spool of {pending:,} waiting and {done:,} finished jobs")
        build(home, pending, done, context.say)
        if pending + done < BIG:
            index(home, context.say)
            return home
        context.say(f"built in {time.monotonic() - began:.0f} s; now its index")
        context.shared[key] = home
    index(context.shared[key], context.say)
    return context.shared[key]


def main() -> None:
    """Build one by hand."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.spools", description=build.__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--pending", type=int, default=1000)
    parser.add_argument("--done", type=int, default=0)
    parser.add_argument("--index", action="store_true", help="bring the index up to date as well")
    args = parser.parse_args()
    build(args.home, args.pending, args.done, print)
    if args.index:
        index(args.home, print)


if __name__ == "__main__":
    main()
