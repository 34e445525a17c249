"""parents: the jobs that a job comes after, as the spool has them.

Guarantees: decides by files, never by the index; a parent that moves meanwhile is found.
Fails with: OSError.
Source:     spool/FORMAT.md § Dependencies.
"""

from __future__ import annotations

from queuectl.errors import Conflict, InvalidData, NotFound
from queuectl.job.fields import InvalidField
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.job.job import DEPENDENCY_FAILED
from queuectl.scheduling.dependencies import MISSING, Verdict, decide, describe
from queuectl.spool.reading import read
from queuectl.units import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from queuectl.job.job import Job
    from queuectl.scheduling.dependencies import Decision
    from queuectl.spool.claim import Claim
    from queuectl.spool.context import SpoolContext

UNREADABLE = "unreadable"  # the state of a parent whose file is damaged: it may be repaired, so it is waited for
MOST_NAMED = 5
MOST_READ = 200  # files, to say why one job waits
NOT_NEEDED = "not_needed"


def states_of(spool: SpoolContext, parents: Iterable[str]) -> dict[str, str | None]:
    """Return the state of each parent. Cost: one file read for each that has ended, else a look at its name."""
    return {job_id: _state_of(spool, job_id) for job_id in parents}


def _state_of(spool: SpoolContext, job_id: str) -> str | None:
    directory = spool.find(job_id)
    if directory is None:
        return _look_closely(spool, job_id)
    if directory not in (DONE, DEAD):
        return directory
    try:
        return read(spool, job_id).state
    except NotFound:
        return _look_closely(spool, job_id)
    except InvalidData:
        return UNREADABLE


def _look_closely(spool: SpoolContext, job_id: str) -> str | None:
    """Return MISSING only if the disk says so; `find` finds nothing where it cannot look."""
    for directory in (PENDING, PROCESSING, DONE, DEAD):
        if spool.files.lstat(spool.layout.job(directory, job_id)) is not None:
            return UNREADABLE
    return MISSING


def decide_by_files(spool: SpoolContext, job: Job) -> Decision:
    """Return what becomes of a job, judged by the files of its parents."""
    return decide(job.after_policy, states_of(spool, job.parents))


def ended_at(spool: SpoolContext, job: Job) -> float | None:
    """Return when the last parent of a job ended, by their files; None if it has none, or their files do not say it."""
    ends = []
    for parent in job.parents:
        try:
            ends.append(read(spool, parent).finished_at)
        except (NotFound, InvalidData):
            continue
    return max((end for end in ends if end is not None), default=None)


def refuse_cycle(spool: SpoolContext, job_id: str, after: Iterable[str]) -> None:
    """Refuse new parents of a job that come after it themselves. Cost: one file read for each job that it comes after.

    Raises:
        InvalidField.
    """
    cycle = cycle_of(spool, job_id, after, most=None)
    if cycle:
        raise InvalidField("after", f'job "{job_id}" cannot come after "{cycle[-1]}", which comes after "{job_id}"')


def cycle_of(spool: SpoolContext, job_id: str, after: Iterable[str], *, most: int | None = MOST_READ) -> list[str]:
    """Return jobs through which a job comes after itself, the first one of `after`; empty when there are none.

    Args:
        most: how many files are read; None: as many as there are.
    """
    through = dict.fromkeys(after, "")  # each job with the one that comes after it
    for number, parent in enumerate(left := [*through]):  # which grows meanwhile
        if most is not None and number >= most:
            break
        try:
            its = read(spool, parent).parents
        except (NotFound, InvalidData):
            continue
        if job_id in its:
            path = [parent]
            while through[path[-1]]:
                path.append(through[path[-1]])
            return path[::-1]
        for each in its:
            if each not in through:
                through[each] = parent
                left.append(each)
    return []


class ParentFailed(Conflict):
    """A job is retried that would be dead again at once, because of a parent."""


def refuse_dead_parents(spool: SpoolContext, job: Job) -> None:
    """Refuse to retry a job that a parent keeps from starting; retrying the parent revives it.

    Raises:
        ParentFailed.
    """
    decision = decide_by_files(spool, job)
    if decision.verdict is Verdict.FAIL:
        parents = [parent for parent, state in decision.parents.items() if state is not None]
        hint = f"queuectl retry {' '.join(parents[:5])}   ({job.id} follows)" if parents else "queuectl edit --help"
        raise ParentFailed(f"job {job.id} cannot start: {describe_all(decision.parents)}", hint)


def settle(claim: Claim, decision: Decision, *, commit: bool = True) -> None:
    """Move a waiting job to dead/ that cannot start any more, or to done/ where it is not needed.

    Crash: as `Claim.move_to_dead` and `Claim.cancel`.
    """
    words = describe_all(decision.parents)
    if decision.verdict is Verdict.FAIL:
        claim.move_to_dead(DEPENDENCY_FAILED, {"error": f"after: {words}"}, commit=commit)
    elif decision.verdict is Verdict.SKIP:
        claim.cancel({"reason": NOT_NEEDED, "error": f"after: {words}; nothing failed"}, commit=commit)


def describe_all(parents: Mapping[str, str | None]) -> str:
    """Say how parents ended: "extract-3 is dead, extract-7 is cancelled"; of many the first ones."""
    return listed([describe(job_id, state) for job_id, state in parents.items()], MOST_NAMED)
