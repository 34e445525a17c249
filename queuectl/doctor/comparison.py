"""comparison: compares the rows of the index with the job files.

Guarantees: a row is reported as wrong only when its job's file has not changed and the row was wrong twice, although the
            index was updated before each comparison. The index is compared only where it claims to be up to date.
Source:     queuectl.index.clean_shutdown, queuectl.index.rebuild.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from queuectl.errors import QueueError
from queuectl.job.job import PROCESSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.home import ExaminedHome
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader
    from queuectl.index.rebuild import Difference
    from queuectl.job.job import Job

    Marks = dict[str, tuple[int, ...] | None]

SUSPECTS = 1000
ROUNDS = 5
PATIENCE_S = 30.0


class Comparison:
    """The index, compared with the job files.

    Attributes:
        trouble: why it cannot be read.
        reader: if it can be read and is up to date.
    """

    def __init__(self, home: ExaminedHome) -> None:
        self._home = home
        self.trouble: IndexUnavailable | None = None
        self.reader: Reader | None = None
        self._suspects: dict[str, None] = {}
        if os.path.lexists(home.layout.index):
            self._open()

    def _open(self) -> None:
        from queuectl.index.database import IndexUnavailable
        from queuectl.index.reader import Reader

        try:
            reader = Reader(self._home.layout.index)
            if self._is_up_to_date(reader):
                self.reader = reader
            else:
                reader.close()
        except IndexUnavailable as error:
            self.trouble = error

    def _is_up_to_date(self, reader: Reader) -> bool:
        from queuectl.index.clean_shutdown import is_current

        if self._home.has_supervisor:
            return self.catch_up()
        return is_current(self._home.spool, reader)

    def catch_up(self) -> bool:
        """Have the supervisor update the index; False when it does not answer, or has not finished."""
        from queuectl import control_client

        if self._home.supervisor is None:
            return False
        try:
            answer = control_client.ask(self._home.layout, {"do": "flush"}, timeout_s=PATIENCE_S)
        except QueueError:
            return False
        return not answer.get("syncing") and not answer.get("degraded")

    def compare_job(self, job: Job) -> None:
        """Compare a job with its row; `differences` reads those that differ again."""
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
        """Return the rows that are certainly wrong."""
        from queuectl.index.rebuild import compare, mark

        if self.reader is None:
            return []
        suspects, found = dict.fromkeys((*self._suspects, *self._without_files(self.reader))), []
        seen: Marks = {}
        for _ in range(ROUNDS):
            if not suspects or (self._home.supervisor is not None and not self.catch_up()):
                break
            for job_id in [*suspects]:
                now, difference = mark(self._home.spool, job_id), compare(self._home.spool, self.reader, job_id)
                if difference is None or self._is_running(job_id):
                    del suspects[job_id]
                elif job_id in seen and seen[job_id] == now:
                    found.append(difference)
                    del suspects[job_id]
                seen[job_id] = now
            self._home.wait()
        return found

    def _without_files(self, reader: Reader) -> Iterator[str]:
        for row in reader.all_rows():
            if self._home.spool.find(row[0]) is None:
                yield row[0]

    def _is_running(self, job_id: str) -> bool:
        """Tell whether a worker has it: the start of a short run is reported with its end."""
        return self._home.supervisor is not None and self._home.spool.find(job_id) == PROCESSING
