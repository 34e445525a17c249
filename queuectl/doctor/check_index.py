"""derived: whether the index can be read, and shows the spool as it is.

Guarantees: a row is called wrong only when its job's file has not changed, and the row was wrong twice although the
            index was brought up to date before each look. The index is compared only where it claims to be up to date:
            what a reader would catch up with first is no drift.
Source:     queuectl.index.clean_shutdown, queuectl.index.rebuild.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from queuectl.doctor.result import WARN, Finding, few
from queuectl.errors import NoSupervisor, QueueError
from queuectl.job.job import PROCESSING
from queuectl.units import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.context import Context
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader
    from queuectl.index.rebuild import Difference
    from queuectl.job.job import Job

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

    def __init__(self, context: Context) -> None:
        self._context = context
        self.trouble: IndexUnavailable | None = None
        self.reader: Reader | None = None
        self._suspects: dict[str, None] = {}
        if os.path.lexists(context.layout.index):
            self._open()

    def _open(self) -> None:
        from queuectl.index.database import IndexUnavailable
        from queuectl.index.reader import Reader

        try:
            reader = Reader(self._context.layout.index)
            if self._is_up_to_date(reader):
                self.reader = reader
            else:
                reader.close()
        except IndexUnavailable as error:
            self.trouble = error

    def _is_up_to_date(self, reader: Reader) -> bool:
        from queuectl.index.clean_shutdown import is_current

        if self._context.has_supervisor:
            return self.catch_up()
        return is_current(self._context.spool, reader)

    def catch_up(self) -> bool:
        """Have the supervisor write what it knows; False when it does not answer, or is still catching up."""
        from queuectl import control_client

        if self._context.supervisor is None:
            return False
        try:
            answer = control_client.ask(self._context.layout, {"do": "flush"}, timeout_s=PATIENCE_S)
        except QueueError:
            return False
        return not answer.get("syncing") and not answer.get("degraded")

    def compare_job(self, job: Job) -> None:
        """Compare a job with its row; what differs is looked at again by `differences`."""
        from queuectl.index.database import IndexUnavailable
        from queuectl.index.rebuild import agrees

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
        from queuectl.index.rebuild import compare, mark

        if self.reader is None:
            return []
        suspects, found = dict.fromkeys((*self._suspects, *self._without_files(self.reader))), []
        seen: Marks = {}
        for _ in range(ROUNDS):
            if not suspects or (self._context.supervisor is not None and not self.catch_up()):
                break
            for job_id in [*suspects]:
                now, difference = mark(self._context.spool, job_id), compare(self._context.spool, self.reader, job_id)
                if difference is None or self._is_running(job_id):
                    del suspects[job_id]
                elif job_id in seen and seen[job_id] == now:
                    found.append(difference)
                    del suspects[job_id]
                seen[job_id] = now
            self._context.wait()
        return found

    def _without_files(self, reader: Reader) -> Iterator[str]:
        for row in reader.all_rows():
            if self._context.spool.find(row[0]) is None:
                yield row[0]

    def _is_running(self, job_id: str) -> bool:
        """Tell whether a worker has it, who says that a short run has begun only when it has ended."""
        return self._context.supervisor is not None and self._context.spool.find(job_id) == PROCESSING


def index(context: Context) -> Iterator[Finding]:
    """Whether it can be read, and agrees with the job files."""
    context.scan  # noqa: B018  # it compares as it goes
    trouble, differences = context.comparison.trouble, context.comparison.differences()
    if trouble is not None:
        text = f"{trouble}; it is derived, and is made anew from the job files"
        if trouble.is_passing:
            yield Finding(WARN, str(trouble), "try again; if it stays: queuectl index rebuild")
        else:
            yield Finding(WARN, text, repair=partial(_rebuild, context))
    elif differences:
        text = f"the index is wrong about {plural(len(differences), 'job')}: {few([str(d) for d in differences])}"
        ids = [difference.id for difference in differences]
        yield Finding(
            WARN,
            text,
            repair=partial(_read_again, context, ids) if context.has_supervisor else partial(_rebuild, context),
        )


def _read_again(context: Context, job_ids: list[str]) -> str:
    """Have the supervisor read these jobs anew: what is noted as changed, it looks at."""
    for job_id in job_ids:
        context.spool.note_change(job_id)
    context.comparison.catch_up()
    return f"had the supervisor read {few(job_ids)} again"


def _rebuild(context: Context) -> str:
    from queuectl import control_client
    from queuectl.index.lock import IndexLock
    from queuectl.index.rebuild import rebuild

    try:  # a running supervisor keeps it, and opens it anew
        control_client.ask(context.layout, {"do": "flush", "doubt": True}, timeout_s=PATIENCE_S)
        return "had the supervisor make the index anew"
    except NoSupervisor:
        pass
    listed = 0
    with IndexLock(context.layout):
        for progress in rebuild(context.spool, context.layout.index):
            listed = progress.listed
    return f"built the index of {plural(listed, 'job')} anew"
