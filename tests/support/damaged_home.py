"""A home with jobs in every state, which is hurt in one way or another, examined, mended and run."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.cli.main import main
from queuectl.job.job import DIRECTORIES, PENDING, PROCESSING
from tests.cli.support import Jobs, Ran

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from queuectl.client.queue import Queue
    from tests.support.supervised import Supervised

LONG_AGO_S = 3 * 86400.0


def make_index(queue: Queue) -> None:
    """Have an index that is up to date and says so: it does not where a directory has just changed."""
    for directory in DIRECTORIES:
        at = time.time() - 60
        os.utime(queue.layout.directory(directory), (at, at))
    queue.counts()


class DamagedHome:
    """One home.

    Attributes:
        runs: ids of jobs that have to run exactly once from now on.
        ended: ids of jobs that have ended and must not run again, each with its directory.
        nameless: what jobs write into the journal whose ids are known only once they have one.
    """

    def __init__(
        self, home: Path, capfd: pytest.CaptureFixture[str], supervised: Callable[..., Supervised], **settings: object
    ) -> None:
        self.home = home
        self.jobs = Jobs(home)
        self.queue, self.spool, self.layout = self.jobs.queue, self.jobs.spool, self.jobs.queue.layout
        self.journal = home.parent / "journal"
        self.command = f'echo "$QUEUECTL_JOB_ID" >> {self.journal}'
        self.supervised = supervised(**settings)
        self._capfd = capfd
        self.runs: set[str] = set()
        self.ended: dict[str, str] = {}
        self.nameless: set[str] = set()
        for job_id in ("first", "second", "third"):
            self.wait(job_id)
        self.end("done", "completed")
        self.end("gone", "dead")

    # --- jobs

    def wait(self, job_id: str, **fields: Any) -> Path:
        """Have a job that waits to run; returns its file."""
        self.jobs.pending(job_id, self.command, **fields)
        self.runs.add(job_id)
        return self.file(PENDING, job_id)

    def drop(self, job_id: str, **fields: Any) -> Path:
        """Have a job that another program put in, which may say what `queuectl` refuses; returns its file."""
        path = self.file(PENDING, job_id)
        path.write_text(json.dumps({"command": self.command, **fields}))
        self.runs.add(job_id)
        return path

    def end(self, job_id: str, state: str) -> Path:
        """Have a job that has ended; returns its file."""
        getattr(self.jobs, state)(job_id, command=self.command)
        directory = {"completed": "done", "cancelled": "done", "dead": "dead"}[state]
        self.ended[job_id] = directory
        return self.file(directory, job_id)

    def run(self, job_id: str) -> Path:
        """Have a job that says it was started, and that nobody runs; it is to run again."""
        self.jobs.running(job_id, command=self.command).close()
        self.runs.add(job_id)
        return self.file(PROCESSING, job_id)

    def file(self, directory: str, job_id: str) -> Path:
        return Path(self.layout.job(directory, job_id))

    def path(self, name: str) -> Path:
        return self.home / name

    def write(self, name: str, text: str = "", *, age_s: float = LONG_AGO_S) -> Path:
        """Write a file as a stranger would, some time ago."""
        path = self.path(name)
        path.write_text(text)
        path.chmod(0o600)
        self.age(path, age_s)
        return path

    def age(self, path: Path, age_s: float = LONG_AGO_S) -> None:
        at = time.time() - age_s
        os.utime(path, (at, at), follow_symlinks=False)

    def index(self) -> None:
        """Have an index that is up to date and says so."""
        make_index(self.queue)

    # --- doctor

    def doctor(self, *argv: str) -> Ran:
        self._capfd.readouterr()
        code = main(["doctor", *argv])
        return Ran(code, *self._capfd.readouterr())

    def findings(self, check: str = "", *argv: str) -> list[dict[str, Any]]:
        """Return what doctor finds, by one check or by all."""
        found = json.loads(self.doctor("--json", *argv).out)["findings"]
        return [finding for finding in found if check in ("", finding["check"])]

    # --- afterwards

    def work(self) -> None:
        """Let a supervisor run everything."""
        if not self.supervised.has_supervisor():
            self.supervised.start(1)
        self.supervised.wait_until(self._is_idle, "everything has run")

    def _is_idle(self) -> bool:
        return not any(self.spool.ids(PENDING)) and not any(self.spool.ids(PROCESSING))

    def check(self) -> None:
        """Assert that no job is lost, none has two names, and each that had to has run exactly once."""
        ran = Counter(self.journal.read_text().split()) if self.journal.exists() else Counter()
        assert ran == Counter(dict.fromkeys(self.runs | self.nameless, 1))
        where = Counter(job_id for directory in DIRECTORIES for job_id in self.spool.ids(directory))
        known = self.runs | set(self.ended)
        assert {job_id: where[job_id] for job_id in known} == dict.fromkeys(known, 1)
        assert [where[job_id] for job_id in where.keys() - known] == [1] * len(self.nameless)
        assert {job_id: self.spool.find(job_id) for job_id in self.ended} == self.ended
        assert {self.spool.read(job_id).state for job_id in where.keys() - set(self.ended)} == {"completed"}
