"""recovery: what a crash left in processing/, and how it is mended.

Owns:       processing/ at a time when the one who claimed is gone.
Guarantees: idempotent; may die at any instant and be run again; done/ and dead/ are never read or moved; a job is put
            back only when its run is proved to have ended.
Source:     spool/FORMAT.md § Recovery.
"""

from __future__ import annotations

from queuectl.errors import InvalidData
from queuectl.job import PROCESSING
from queuectl.spool.claim import wrong_with_inode
from queuectl.spool.intake import merge_names
from queuectl.spool.layout import job_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queuectl.job import Job
    from queuectl.spool.claim import Claim
    from queuectl.spool.spool import Spool

    RunIsAlive = Callable[[Job], bool]


class Found:
    """One file of processing/ as recovery left it.

    Attributes:
        job_id: whose.
        result: owned (somebody holds its lock), gone, rejected, moved, interrupted, or alive.
        claim: with `alive` only: the job, locked; the caller adopts or ends its run, settles and closes it.
        job: the job as it is now, where it was moved or interrupted.
    """

    __slots__ = ("claim", "detail", "job", "job_id", "result")

    def __init__(
        self, job_id: str, result: str, *, claim: Claim | None = None, job: Job | None = None, detail: str = ""
    ) -> None:
        self.job_id = job_id
        self.result = result
        self.claim = claim
        self.job = job
        self.detail = detail


def recover(spool: Spool, is_alive: RunIsAlive) -> Iterator[Found]:
    """Go through processing/ and finish what was begun.

    Args:
        is_alive: told a job whose last event is `started`, says whether any process of that attempt may still run.
    """
    for name in list(spool.files.names(spool.layout.directory(PROCESSING))):
        job_id = job_id_of(name)
        if job_id is None:
            kept = spool.reject(PROCESSING, name, "bad name in processing/")
            yield Found(name, "rejected", detail=f"rejected/{kept}")
        else:
            yield reclaim(spool, job_id, is_alive)


def reclaim(spool: Spool, job_id: str, is_alive: RunIsAlive) -> Found:
    """Mend one job of processing/; see `recover`.

    Crash: each step is a growth or a move that the next call continues from.
    """
    try:
        claim = spool.take_in(PROCESSING, job_id)
    except InvalidData as error:
        return _reject(spool, job_id, str(error))
    except OSError as error:
        return Found(job_id, "rejected" if _is_entry_of_no_job(spool, job_id) else "owned", detail=str(error))
    if claim is None:
        gone = spool.files.lstat(spool.layout.job(PROCESSING, job_id)) is None
        return Found(job_id, "gone" if gone else "owned")
    keep_open = False
    try:
        if merge_names(spool, job_id, claim.inode()) != PROCESSING:
            return Found(job_id, "gone", detail="a power cut had left it two names")
        if claim.record.history and claim.job.last_event == "started":
            if is_alive(claim.job):
                keep_open = True
                return Found(job_id, "alive", claim=claim, job=claim.job)
            claim.interrupt("its worker died before the end was seen")
            return Found(job_id, "interrupted", job=claim.job)
        if not claim.finish_move():
            claim.put_back()
        return Found(job_id, "moved", job=claim.job, detail=f"to {claim.directory}/")
    finally:
        if not keep_open:
            claim.close()


def _reject(spool: Spool, job_id: str, reason: str) -> Found:
    try:
        kept = spool.reject(PROCESSING, f"{job_id}.json", reason)
    except FileNotFoundError:
        return Found(job_id, "gone")
    return Found(job_id, "rejected", detail=f"rejected/{kept}: {reason}")


def _is_entry_of_no_job(spool: Spool, job_id: str) -> bool:
    """A link, directory or FIFO in processing/: set it aside; True when that was done."""
    status = spool.files.lstat(spool.layout.job(PROCESSING, job_id))
    wrong = wrong_with_inode(status) if status is not None else None
    return wrong is not None and _reject(spool, job_id, wrong).result == "rejected"
