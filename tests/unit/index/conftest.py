"""A spool with an index, and what the tests of this room do with them."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.clock import Clock
from queuectl.config.settings import Settings
from queuectl.errors import InvalidData
from queuectl.index.reader import Reader
from queuectl.index.rows import AT, COLUMNS, WIDTH, row_of
from queuectl.index.sync import catch_up
from queuectl.index.writer import Due, Writer
from queuectl.job.job import DIRECTORIES, PENDING, Job
from queuectl.spool.fs import Files
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from queuectl.index.sync import Progress

NOW = 1_000_000.0
WITNESS = ("inode", "size", "ctime_ns")
READY = COLUMNS.index("ready")


def row(job_id: str, **values: Any) -> list[Any]:
    """A row of a waiting job, but for `values`."""
    made: list[Any] = [None] * len(COLUMNS)
    plain = {"state": "pending", "queue": "default", "priority": 0, "command": "true", "attempts": 0, "failures": 0}
    times = {"run_at": NOW - 1, "created_at": NOW - 1, "updated_at": NOW - 1}
    ready = {} if values.get("state", "pending") not in ("pending", "failed") else {"ready": 0}
    given = {"id": job_id, **plain, **times, **ready, **values}
    began, ended = given.get("started_at"), given.get("finished_at")
    given.setdefault("ready_at", max(given["created_at"], given["run_at"]))
    given.setdefault("wait_s", None if began is None else max(0.0, began - given["ready_at"]))
    if began is not None and ended is not None and given["state"] != "cancelled":
        given.setdefault("run_s", ended - began)
    for column, value in given.items():
        made[AT[column]] = value
    made[AT["lane"]] = made[AT["lane"]] or made[AT["queue"]]
    return made


class Home:
    """A home directory: its spool, its index, and hands that do things to both."""

    def __init__(self, path: Path) -> None:
        self.layout = Layout(str(path / "home"))
        self.layout.ensure()
        self.spool = Spool(self.layout, Settings({"durability": "relaxed"}))
        self.index = self.layout.index
        self._age = 0

    def path(self, directory: str, name: str) -> str:
        return f"{self.layout.directory(directory)}/{name}"

    def enqueue(self, command: str = "true", **fields: Any) -> str:
        return self.spool.enqueue({"command": command, **fields})

    def drop(self, name: str, text: str, directory: str = PENDING, *, is_quiet: bool = True) -> None:
        """Write a file as a stranger would; a quiet one was written long ago."""
        with open(self.path(directory, name), "w", encoding="utf-8") as file:
            file.write(text)
        if is_quiet:
            os.utime(self.path(directory, name), (1e9, 1e9))

    def start(self, job_id: str) -> Any:
        claim = self.spool.claim(job_id, "worker-1")
        assert not hasattr(claim, "again_s"), claim
        return claim

    def finish(self, job_id: str) -> None:
        with self.start(job_id) as claim:
            claim.finish({"exit_code": 0, "cpu_s": 0.5, "max_rss_bytes": 1000})

    def fail(self, job_id: str, run_at: float) -> None:
        with self.start(job_id) as claim:
            claim.reschedule("failed", run_at, {"exit_code": 1, "error": "no luck"})

    def hold(self, job_id: str) -> None:
        with self.spool.take(job_id) as claim:
            claim.hold()

    def let_time_pass(self) -> None:
        """Make the directories look as if they had not changed for long, at another moment each time."""
        self._age += 1
        for directory in DIRECTORIES:
            os.utime(self.layout.directory(directory), (1e9 + self._age, 1e9 + self._age))

    def catch_up(self, *, full: bool = False) -> Progress:
        return [*catch_up(self.spool, full=full)][-1]

    def writer(self) -> Writer:
        return Writer(self.index)

    def reader(self) -> Reader:
        return Reader(self.index)

    def rows(self) -> dict[str, list[Any]]:
        """What the index has."""
        with self.reader() as reader:
            return {row[0]: list(row) for row in reader.all_rows()}

    def jobs(self) -> dict[str, Job]:
        """What the spool has."""
        found: dict[str, Job] = {}
        for directory in DIRECTORIES:
            for job_id in self.spool.ids(directory):
                try:
                    job = self.spool.read_in(directory, job_id)
                except (InvalidData, OSError):
                    continue
                if job is not None:
                    found.setdefault(job_id, job)
        return found

    def differences(self) -> list[str]:
        """How the index differs from the spool; a witness that is not known is no difference."""
        found = []
        rows, jobs = self.rows(), self.jobs()
        for job_id in sorted(rows.keys() | jobs.keys()):
            if job_id not in rows or job_id not in jobs:
                found.append(f"{job_id} is only in the {'index' if job_id in rows else 'spool'}")
                continue
            job, row = jobs[job_id], rows[job_id]
            wanted = row_of(job, os.lstat(self.layout.job(job.directory, job_id)))[:WIDTH]
            for column in WITNESS:
                if row[AT[column]] is None:
                    wanted[AT[column]] = None
            for each in (row, wanted):  # whether it may start yet depends on the time
                each[READY] = None if each[READY] is None else 0
            if row != wanted:
                found.append(f"{job_id} is {row} instead of {wanted}")
        with self.reader() as reader:
            for state, count in reader.counts().items():
                really = sum(job.state == state for job in jobs.values())
                if count != really:
                    found.append(f"{count} instead of {really} jobs are counted as {state}")
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def new_home(tmp_path: Path) -> Callable[[], Home]:
    """Return a function that makes one more home."""
    made: list[Home] = []

    def make() -> Home:
        path = tmp_path / f"home-{len(made)}"
        path.mkdir()
        made.append(Home(path))
        return made[-1]

    return make


class Watched(Files):
    """Counts the directories that are listed and the files that are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.listed: list[str] = []
        self.looks: Counter[str] = Counter()
        self.opened = 0

    def entries(self, directory: str) -> Iterator[tuple[str, int]]:
        self.listed.append(os.path.basename(directory))
        return super().entries(directory)

    def lstat(self, path: str) -> os.stat_result | None:
        self.looks[os.path.basename(os.path.dirname(path))] += 1
        return super().lstat(path)

    def open(self, path: str, flags: int) -> int:
        self.opened += path.endswith(".json")
        return super().open(path, flags)


@pytest.fixture
def watched(home: Home) -> Watched:
    """A home in which one job lies in each directory, all of it in the index, and nothing has changed for long."""
    fill(home)
    home.let_time_pass()
    home.catch_up()
    home.spool.files = Watched()
    return home.spool.files


def run(pieces: Iterator[Any]) -> None:
    for _ in pieces:
        continue


def fill(home: Home) -> None:
    """Put jobs into all states."""
    home.enqueue(id="waiting", priority=2, tags=["t"], queue="mail")
    home.enqueue(id="later", run_at="2199-01-01T00:00:00Z")
    home.enqueue(id="held")
    home.hold("held")
    home.enqueue(id="failed")
    home.fail("failed", time.time() + 1000)
    home.enqueue(id="completed")
    home.finish("completed")
    home.enqueue(id="cancelled")
    with home.spool.take("cancelled") as claim:
        claim.cancel()
    home.enqueue(id="dead")
    with home.start("dead") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 3, "error": "boom"})
    home.enqueue(id="running")
    home.start("running").close()


def full_sync_happens(home: Home) -> bool:
    files = Watched()
    home.spool.files = files
    home.catch_up()
    home.spool.files = Files()
    assert home.differences() == []
    return {"pending", "done", "dead"} <= set(files.listed)


@pytest.fixture
def settled(home: Home) -> Home:
    fill(home)
    home.let_time_pass()
    home.catch_up()
    assert not full_sync_happens(home)
    return home


class Time(Clock):
    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "index.sqlite3")


@pytest.fixture
def clock() -> Time:
    return Time(NOW)


@pytest.fixture
def index(path: str, clock: Time) -> Iterator[Writer]:
    made = Writer(path, clock)
    yield made
    made.close()


def ids(found: list[Due]) -> list[str]:
    return [due.id for due in found]


def counted(index: Writer) -> dict[tuple[str, str], int]:
    index.commit()
    with sqlite3.connect(index.path) as connection:
        found = {(queue, state): n for queue, state, n in connection.execute("SELECT * FROM counts WHERE n <> 0")}
    connection.close()
    return found


def really(index: Writer) -> dict[tuple[str, str], int]:
    with sqlite3.connect(index.path) as connection:
        sql = "SELECT queue, state, count(*) FROM jobs GROUP BY queue, state"
        found = {(queue, state): n for queue, state, n in connection.execute(sql)}
    connection.close()
    return found
