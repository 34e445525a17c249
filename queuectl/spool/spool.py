"""spool: the operations on jobs that need no claim.

Owns:       everything under spool/, output/ and run/changes. The operations that change a job are methods of Claim.
Guarantees: an id that `enqueue` returned survives the death of any process (and, with durability `full`, a power cut);
            a job has one name in one directory; nothing is overwritten or deleted unasked.
Fails with: Conflict, NotFound, InvalidData, Busy; OSError where the disk itself fails.
Source:     spool/FORMAT.md; qmail INTERNALS; Maildir.
"""

from __future__ import annotations

from queuectl.errors import Conflict, InvalidData
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.job.history import DIRECTORIES
from queuectl.spool import enqueue, reading
from queuectl.spool.context import SpoolContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any, BinaryIO

    from queuectl.job.job import Job
    from queuectl.spool.batches import Adding
    from queuectl.spool.claim import Claim
    from queuectl.spool.intake import ClaimRefused


class Spool(SpoolContext):
    """One home's jobs: the operations of this folder as methods, as the rest of the program uses them.

    What only changes jobs is imported when it is used: `enqueue` starts faster without it.
    """

    # --- enqueue

    def enqueue(self, fields: Mapping[str, Any], source: BinaryIO | None = None) -> str:
        """Publish one job and return its id.

        Args:
            source: copied to its end; what the command reads on its standard input.

        Raises:
            InvalidData, Conflict (the id exists), Busy (too little disk space).

        Crash: before the link, nothing (where unnamed files exist; else a temporary file in tmp/); between the link and the last
            sync, the job may or may not survive a power cut: it was not acknowledged.
        """
        enqueue.refuse_when_full(self)
        return enqueue.enqueue(self, fields) if source is None else enqueue.enqueue_with_input(self, fields, source)

    def enqueue_many(
        self, jobs: Iterable[Mapping[str, Any] | InvalidData | None], adding: Adding | None = None
    ) -> Iterator[str | InvalidData | Conflict]:
        """Publish many jobs, in groups that are synced together.

        Args:
            jobs: None ends a group: no more jobs are available for now. An error is yielded in its place.
            adding: keeps their batches open for longer than this call.

        Yields:
            The id, once the job is durable, or the reason why it was refused, in the order given.

        Raises:
            Busy: the disk is full; those of the last group may be in the queue.

        Crash: those whose ids were yielded are there; of the current group, each job is there and whole, or not there.

        Cost: memory of one group: 512 jobs, 8 MiB.
        """
        return enqueue.enqueue_many(self, jobs, adding)

    # --- reading

    def read(self, job_id: str) -> Job:
        """Read a job without locking it; see `reading.read`."""
        return reading.read(self, job_id)

    def read_in(self, directory: str, job_id: str) -> Job | None:
        """Read a job that lies in `directory`; see `reading.read_in`."""
        return reading.read_in(self, directory, job_id)

    # --- claiming

    def claim(self, job_id: str, worker: str) -> Claim | ClaimRefused:
        """Lock a waiting job in order to run it; see `intake.claim`."""
        from queuectl.spool import intake

        return intake.claim(self, job_id, worker)

    def examine(self, name: str) -> Job | ClaimRefused:
        """Look at a file in pending/; see `intake.examine`."""
        from queuectl.spool import intake

        return intake.examine(self, name)

    def take(self, job_id: str) -> Claim:
        """Lock a job in order to change it; see `locking.take`."""
        from queuectl.spool import locking

        return locking.take(self, job_id)

    def take_in(self, directory: str, job_id: str) -> Claim | None:
        """Lock a job that lies in `directory`; see `locking.take_in`."""
        from queuectl.spool import locking

        return locking.take_in(self, directory, job_id)

    def reject(self, directory: str, name: str, reason: str) -> str:
        """Move an invalid entry to rejected/; see `rejected.reject`."""
        from queuectl.spool import rejected

        return rejected.reject(self, directory, name, reason)


def check_id(job_id: str) -> str:
    """Return `job_id` or raise InvalidData with the grammar of ids."""
    if not is_id(job_id):
        raise InvalidData(f"{job_id!r} is not an id: {ID_GRAMMAR}")
    return job_id


__all__ = ["DIRECTORIES", "Spool", "check_id"]
