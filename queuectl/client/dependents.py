"""dependents: the waiting jobs that come after others, so that these are not removed.

Guarantees: under `spool.dependents.removing` the answer is complete for every job that queuectl enqueued or the
            supervisor has seen. The index chooses, the file of each dependent decides.
Fails with: IndexUnavailable and Busy are not passed on: then pending/ is read instead. OSError.
Source:     spool/FORMAT.md § Dependencies.
"""

from __future__ import annotations

from queuectl.client import current_index
from queuectl.errors import Conflict, QueueError
from queuectl.job.job import PENDING
from queuectl.spool import dependents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from queuectl.index.reader import Reader
    from queuectl.spool.spool import Spool


SOME, ALL = 100, 1 << 31
NAMED = 3


class Dependents:
    """Answers about one home; brings the index up to date whenever a job with parents was enqueued since it last did."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._seen: int | None = None

    def of(self, job_ids: Collection[str], most: int = SOME) -> dict[str, list[str]]:
        """Return the jobs that wait for each of these, where there are some, at most `most`; call it under `removing`."""
        count = dependents.enqueued(self._spool)
        if count == 0:
            return {}
        try:
            with self._reader(count) as reader:
                asked = {job_id: reader.waiting_children(job_id, most) for job_id in job_ids}
        except QueueError:
            waiting = [*self._spool.ids(PENDING)]
            asked = dict.fromkeys(job_ids, waiting)
        found = {
            job_id: [child for child in children if job_id in self._parents_of(child)]
            for job_id, children in asked.items()
        }
        return {job_id: children for job_id, children in found.items() if children}

    def tree(self, job_ids: Collection[str]) -> list[str]:
        """Return the jobs that wait for some jobs, and for these in turn; each before those that it comes after.

        Jobs of a cycle are in any order.
        """
        children: dict[str, list[str]] = {}
        level = [*job_ids]
        while level:
            found = self.of(level, ALL)
            children.update((job_id, found.get(job_id, [])) for job_id in level)
            level = [*{child: None for each in found.values() for child in each if child not in children}]
        order: dict[str, None] = {}
        left = [(job_id, False) for job_id in job_ids]
        begun = set()
        while left:
            job_id, is_behind_children = left.pop()
            if is_behind_children:
                order[job_id] = None
            elif job_id not in begun:
                begun.add(job_id)
                left += [(job_id, True), *((child, False) for child in children[job_id])]
        return [job_id for job_id in order if job_id not in job_ids]

    def remove(self, job_id: str, only: Collection[str] | None = None) -> list[str]:
        """Remove all jobs that wait for a job, those first for which no other waits; one that has started is kept.

        Args:
            only: the jobs that may be removed; None: all.

        Returns:
            The removed jobs.

        Raises:
            Conflict: one waits that may not be removed. Nothing was.
        """
        last, removed = None, []
        with dependents.removing(self._spool):
            children = self.tree([job_id])
            if only is not None and (others := [child for child in children if child not in only]):
                raise uncounted(job_id, others)
            for child in children:
                claim = self._spool.take_in(PENDING, child)
                if claim is not None:
                    last = claim
                    with claim:
                        claim.remove()
                    self._spool.note_change(child)
                    removed.append(child)
        if last is not None:
            last.sync_removed()
        return removed

    def _reader(self, count: int) -> Reader:
        if self._seen == count:
            from queuectl.index.reader import Reader

            return Reader(self._spool.layout.index)
        reader = current_index.open_complete_reader(self._spool)
        self._seen = count if reader.path == self._spool.layout.index else None  # a temporary index is made once more
        return reader

    def _parents_of(self, child: str) -> Iterable[str]:
        try:
            job = self._spool.read_in(PENDING, child)
        except QueueError:
            return ()
        return () if job is None else job.parents


def uncounted(job_id: str, children: list[str]) -> Conflict:
    """Say that a job is not removed because jobs wait for it that were not counted before."""
    words = f"job {job_id} is not deleted, because jobs wait for it that were not counted: {_named(children)}"
    return Conflict(words, "count again, then decide")


def _named(children: list[str]) -> str:
    return ", ".join(children[:NAMED]) + (" and others" if len(children) > NAMED else "")


def conflict(job_id: str, children: list[str]) -> Conflict:
    """Say that a job is not removed because of the jobs that wait for it."""
    return Conflict(
        f"job {job_id} is not deleted, because jobs that come after it wait: {_named(children)}",
        f"to delete these too: queuectl delete --with-dependents {job_id}",
    )
