"""derived: whether the index can be read, and shows the spool as it is.

Guarantees: a row is called wrong only when its job's file did not change from before the index was brought up to date
            until after the row was read. The index is compared only where it claims to be up to date: what a reader
            would catch up with first is no drift.
Source:     queuectl.index.seal, queuectl.index.verify.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from queuectl.doctor.finding import WARN, Finding, few
from queuectl.errors import Busy, NoSupervisor, QueueError
from queuectl.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.home import Home
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader
    from queuectl.index.verify import Difference
    from queuectl.job import Job

    Marks = dict[str, tuple[int, ...] | None]

SUSPECTS = 1000
ROUNDS = 5
PATIENCE_S = 30.0


class Comparison:
    """The index beside the job files.

    Attributes:
        trouble: why it cannot be read.
        reader: where it can, and says that it is up to date.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.trouble: IndexUnavailable | None = None
        self.reader: Reader | None = None
        self._suspects: dict[str, None] = {}
        if os.path.lexists(home.layout.index):
            self._open()

    def _open(self) -> None:
        from queuectl.index.database import IndexUnavailable
        from queuectl.index.reader import Reader
        from queuectl.index.seal import is_current

        try:
            reader = Reader(self._home.layout.index)
            if self._flush() or (not self._home.has_supervisor and is_current(self._home.spool, reader)):
                self.reader = reader
            else:
                reader.close()
        except IndexUnavailable as error:
            self.trouble = error

    def _flush(self) -> bool:
        """Have the supervisor write what it knows; False when none does, or it is still catching up."""
        from queuectl.processes import control

        try:
            answer = control.ask(self._home.layout, {"do": "flush"}, timeout_s=PATIENCE_S)
        except QueueError:
            return False
        return not answer.get("syncing") and not answer.get("degraded")

    def see(self, job: Job) -> None:
        """Compare a job with its row; what differs is looked at again by `differences`."""
        from queuectl.index.database import IndexUnavailable
        from queuectl.index.verify import agrees

        if self.reader is None or len(self._suspects) >= SUSPECTS:
            return
        try:
            row = self.reader.row(job.id)
        except IndexUnavailable as error:
            self.reader, self.trouble = None, error
            return
        if row is None or not agrees(job, row):
            self._suspects[job.id] = None

    def differences(self) -> list[Difference]:
        """Return the rows that are wrong, beyond doubt."""
        if self.reader is None:
            return []
        suspects, found = [*self._suspects, *self._without_files(self.reader)], []
        for _ in range(ROUNDS):
            if not suspects:
                break
            marks = {job_id: self._mark(job_id) for job_id in suspects}
            if self._home.supervisor is not None and not self._flush():
                return []
            suspects, certain = self._compare(self.reader, marks)
            found += certain
        return found

    def _compare(self, reader: Reader, marks: Marks) -> tuple[list[str], list[Difference]]:
        from queuectl.index.verify import compare

        again, certain = [], []
        for job_id, mark in marks.items():
            found = compare(self._home.spool, reader, job_id)
            if found is not None:
                certain += [found] if mark == self._mark(job_id) else []
                again += [job_id] if mark != self._mark(job_id) else []
        return again, certain

    def _without_files(self, reader: Reader) -> Iterator[str]:
        for row in reader.all_rows():
            if self._home.spool.find(row[0]) is None:
                yield row[0]

    def _mark(self, job_id: str) -> tuple[int, ...] | None:
        spool = self._home.spool
        directory = spool.find(job_id)
        status = None if directory is None else self._home.lstat(spool.layout.job(directory, job_id))
        return None if status is None else (status.st_ino, status.st_size, status.st_ctime_ns)


def index(home: Home) -> Iterator[Finding]:
    """Whether it can be read, and agrees with the job files."""
    home.survey  # noqa: B018  # it compares as it goes
    trouble, differences = home.comparison.trouble, home.comparison.differences()
    if trouble is not None:
        text = f"{trouble}; it is derived, and is made anew from the job files"
        if trouble.is_passing:
            yield Finding(WARN, str(trouble), "try again; if it stays: queuectl index rebuild")
        else:
            yield Finding(WARN, text, mend=partial(_rebuild, home))
    elif differences:
        text = f"the index is wrong about {plural(len(differences), 'job')}: {few([str(d) for d in differences])}"
        if home.has_supervisor:
            cure = "queuectl worker stop --wait, then: queuectl index rebuild, then start the workers again"
            yield Finding(WARN, text, cure)
        else:
            yield Finding(WARN, text, mend=partial(_rebuild, home))


def _rebuild(home: Home) -> str:
    from filelock import FileLock, Timeout

    from queuectl.index.verify import rebuild
    from queuectl.processes import control

    try:  # a running supervisor keeps it, and opens it anew
        control.ask(home.layout, {"do": "flush", "doubt": True}, timeout_s=PATIENCE_S)
        return "had the supervisor make the index anew"
    except NoSupervisor:
        pass
    listed = 0
    try:
        with FileLock(f"{home.layout.run}/index.lock", timeout=PATIENCE_S, mode=0o600):
            for progress in rebuild(home.spool, home.layout.index):
                listed = progress.listed
    except Timeout:
        raise Busy(f"another process has been updating the index for {PATIENCE_S:g}s", "try again") from None
    return f"built the index of {plural(listed, 'job')} anew"
