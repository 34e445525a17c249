"""purge: removes many jobs, or their output, in groups.

Guarantees: each job is removed under its own lock, and only if it has not changed since it was chosen, so a job
            that is revived at that moment stays; the removal of a group is durable before it is reported.
            Memory is that of a group. A job that cannot be removed does not affect the others.
Fails with: OSError when a directory cannot be synced: what was removed last may come back after a power cut.
Source:     spool/FORMAT.md § Transitions.
"""

from __future__ import annotations

from itertools import islice

from queuectl.errors import QueueError, from_os_error
from queuectl.job.history import PROCESSING
from queuectl.spool import batches, dependents, inputs
from queuectl.spool.claim import left_by
from queuectl.spool.locking import take_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Iterator

    from queuectl.spool.context import SpoolContext

GROUP = 500  # jobs whose removal is synced together: some 60 ms


class Chosen:
    """A job to remove, as it was when it was chosen.

    Attributes:
        directory: where it was.
        updated_at: the time of its last change.
    """

    __slots__ = ("directory", "id", "updated_at")

    def __init__(self, job_id: str, directory: str, updated_at: float) -> None:
        self.id = job_id
        self.directory = directory
        self.updated_at = updated_at


class Removed:
    """The result of one group or of several.

    Attributes:
        ids: jobs that were removed, or whose output was.
        changed: jobs that were kept because they have changed or another process has locked them.
        parents: jobs that were kept because others that come after them wait.
        unreported: jobs that were kept because the completion job of their batch is still to be added.
        failed: jobs that could not be removed, each with its error.
        output_bytes: the size of the removed output.
    """

    __slots__ = ("changed", "failed", "ids", "output_bytes", "parents", "unreported")

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.changed: list[str] = []
        self.parents: list[str] = []
        self.unreported: list[str] = []
        self.failed: list[tuple[str, QueueError]] = []
        self.output_bytes = 0

    def __repr__(self) -> str:
        return f"<Removed {len(self.ids)} jobs, {len(self.changed)} had changed, {len(self.failed)} failed>"

    def add(self, group: Removed) -> None:
        """Count a group in."""
        self.ids += group.ids
        self.changed += group.changed
        self.parents += group.parents
        self.unreported += group.unreported
        self.failed += group.failed
        self.output_bytes += group.output_bytes


def purge(
    spool: SpoolContext,
    chosen: Iterable[Chosen],
    *,
    awaited: Callable[[Collection[str]], Collection[str]] = lambda _: (),
    output_only: bool = False,
) -> Iterator[Removed]:
    """Remove jobs, or with `output_only` only their output.

    Args:
        awaited: returns those of the given jobs for which others wait (client.dependents).

    Yields:
        The result of each group, once it is durable.

    Crash: each job is there, perhaps without some of its output, or gone, perhaps without its input.
    Cost: some 80 µs a job, most of which is opening and reading it, and the syncs.
    """
    rest = iter(chosen)
    while group := [*islice(rest, GROUP)]:
        removed = Removed()
        inputs_left: dict[str, int] = {}
        if output_only:
            for each in group:
                _remove(spool, each, removed, None, ())
        else:
            with dependents.removing(spool):
                kept = awaited([each.id for each in group])
                waiting = frozenset(batches.open_batches(spool))
                removed.parents += kept
                for each in group:
                    if each.id not in kept:
                        _remove(spool, each, removed, inputs_left, waiting)
        if spool.is_durable and removed.ids and not output_only:
            for directory in sorted({name for each in group for name in left_by(each.directory)}):
                spool.files.sync_directory(spool.layout.directory(directory))
        for job_id, inode in inputs_left.items():
            _remove_input(spool, job_id, inode, removed)
        yield removed


def _remove(
    spool: SpoolContext,
    each: Chosen,
    removed: Removed,
    inputs_left: dict[str, int] | None,
    waiting: Container[str],
) -> None:
    """Remove a job and note its input, which is removed later; with None only its output. Jobs of `waiting` batches stay."""
    try:
        claim = take_in(spool, each.directory, each.id) if each.directory != PROCESSING else None
        if claim is None:
            removed.changed.append(each.id)
            return
        with claim:
            if claim.job.updated_at != each.updated_at:
                removed.changed.append(each.id)
                return
            if claim.job.fields.get("batch") in waiting:
                removed.unreported.append(each.id)
                return
            if inputs_left is None:
                removed.output_bytes += claim.remove_output()
            else:
                removed.output_bytes += claim.remove()
                if claim.input_inode is not None:
                    inputs_left[each.id] = claim.input_inode
    except QueueError as error:
        removed.failed.append((each.id, error))
    except OSError as error:
        removed.failed.append((each.id, from_os_error(error, f"cannot remove job {each.id}")))
    else:
        removed.ids.append(each.id)


def _remove_input(spool: SpoolContext, job_id: str, inode: int, removed: Removed) -> None:
    try:
        removed.output_bytes += inputs.remove_orphan(spool, job_id, inode) or 0
    except OSError as error:
        removed.failed.append((job_id, from_os_error(error, f"cannot remove the input of job {job_id}")))
