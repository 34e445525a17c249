"""group_commit: makes the verdicts of many jobs durable together and moves the jobs.

Guarantees: for each job the same as for a single one: its verdict and its reports to hooks are durable before it moves,
            and the move before it counts as committed. A failure of one job does not affect the others.
Source:     spool/FORMAT.md § Transitions (finish many).
"""

from __future__ import annotations

from queuectl.errors import Busy
from queuectl.spool import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from queuectl.spool.claim import Claim
    from queuectl.spool.context import SpoolContext


def commit_group(spool: SpoolContext, claims: Iterable[Claim]) -> dict[Claim, Exception]:
    """Sync the verdict of each job, move each job accordingly, sync each directory once.

    Returns:
        What failed, by job: SpoolFull, Replaced or OSError; for these it may be called again. The others are committed.

    Crash: recovery finishes the moves.
    """
    failed: dict[Claim, Exception] = {}
    left = [*claims]
    if spool.is_durable and len(left) > 1:
        spool.files.begin_writing(claim.fileno() for claim in left)
    left = [claim for claim in left if _succeeds(claim, claim.sync_verdict, failed)]
    calling = [claim for claim in left if claim.calls and not claim.has_moved]
    if calling:
        try:
            hooks.sync(spool)
        except OSError as error:
            failed |= dict.fromkeys(calling, error)
            left = [claim for claim in left if claim not in failed]
    left = [claim for claim in left if _succeeds(claim, claim.move_by_verdict, failed)]
    for directory in dict.fromkeys(claim.directory for claim in left if claim.has_moved):
        try:
            if spool.is_durable:
                spool.files.sync_directory(spool.layout.directory(directory))
        except OSError as error:
            failed |= {claim: error for claim in left if claim.has_moved and claim.directory == directory}
    for claim in left:
        if claim not in failed:
            claim.committed()
    return failed


def _succeeds(claim: Claim, step: Callable[[], None], failed: dict[Claim, Exception]) -> bool:
    try:
        step()
    except (Busy, OSError) as error:
        failed[claim] = error
        return False
    return True
