"""job_actions: what can be done to one job, whoever asks: command line, page, API or Python.

Owns:       the methods of Queue that change one job, and how long a job that moves is tried to be caught.
Guarantees: a job is changed under its lock; the index is told of every change.
Fails with: NotFound, Conflict, InvalidData, Busy.
"""

from __future__ import annotations

from queuectl.errors import Busy, Conflict, NoSupervisor, UsageError
from queuectl.job.fields import refuse_expired, validate
from queuectl.job.history import with_changes
from queuectl.job.job import PENDING, PROCESSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from typing_extensions import Unpack

    from queuectl.client.job_spec import JobFields
    from queuectl.client.job_view import Job
    from queuectl.job.job import Job as StoredJob
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool


class JobActions:
    """The part of Queue that changes one job."""

    layout: Layout
    spool: Spool

    if TYPE_CHECKING:

        def get(self, job_id: str) -> Job:
            """See Queue."""

        def _job(self, stored: StoredJob) -> Job: ...

    def cancel(self, job_id: str) -> Job:
        """End a job for good: a running one is killed, a waiting one never starts; filed as cancelled.

        Cancelling a job that has ended changes nothing: a completed or dead one is returned as it is.

        Raises:
            NotFound; Busy (its file is locked, or whoever runs it does not listen to this supervisor).
        """
        return self.cancel_unless_ended(job_id)[0]

    def cancel_unless_ended(self, job_id: str, check: Callable[[Job], None] | None = None) -> tuple[Job, bool]:
        """Do what `cancel` does; return the job, and whether this changed it.

        Args:
            check: called with the job before it is changed; what it raises is raised, and the job stays as it is.
        """
        was_waited_for = False
        for _ in range(self.spool.patience):
            directory = self.spool.find(job_id)
            if directory == PROCESSING:
                if check is not None and not was_waited_for:
                    check(self.get(job_id))
                self._cancel_running(job_id)
                was_waited_for = True
            elif directory == PENDING:
                cancelled = self._cancel_waiting(job_id, None if was_waited_for else check)
                if cancelled is not None:
                    return cancelled, True
            else:
                job = self.get(job_id)
                return job, was_waited_for and job.state == "cancelled"
        raise Busy(f"job {job_id} keeps being started or moved by other processes", "try again")

    def _cancel_waiting(self, job_id: str, check: Callable[[Job], None] | None) -> Job | None:
        """Return the cancelled job; None when it does not wait any more, so that it has to be looked for again."""
        try:
            with self.spool.take(job_id) as claim:
                if claim.directory != PENDING:
                    return None
                if check is not None:
                    check(self._job(claim.job))
                claim.cancel()
                self.spool.note_change(job_id)
                return self._job(claim.job)
        except Conflict:
            return None

    def _cancel_running(self, job_id: str) -> None:
        """Have a running job ended; where it is afterwards has to be looked for.

        It may have ended by itself just before, and wait for its next try.
        """
        from queuectl import control_client

        try:
            control_client.ask(self.layout, {"do": "cancel", "id": job_id}, timeout_s=None)
        except NoSupervisor:
            from queuectl.supervisor.orphans import reclaim_now

            if reclaim_now(self.spool, job_id) == "owned":
                raise Busy(
                    f"job {job_id} is being finished by a worker whose supervisor has ended",
                    "start a supervisor: queuectl worker start",
                ) from None

    def retry(
        self,
        job_id: str,
        check: Callable[[Job], None] | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> Job:
        """Run a job again now: dead and finished ones with a fresh retry budget, waiting ones without their delay.

        An `expires_at` that has passed is removed; `removed_expiry` of the returned job says which.

        Args:
            check: called with the job under its lock; what it raises is raised, and the job stays as it is.
            changes: made first, under the same lock, so that the job never starts as it was; see `edit`.

        Raises:
            NotFound; Conflict (it is running); InvalidData (it would not be a job any more); Busy.
        """
        wanted = self._changes(changes or {}, {})
        with self.spool.take(job_id) as claim:
            if check is not None:
                check(self._job(claim.job))
            expiry, now = claim.job.expires_at, self.spool.clock.now()
            is_past = expiry is not None and expiry < now
            edit = {"expires_at": None, **wanted} if is_past and wanted else wanted
            if edit:  # what would be wrong shows before anything is done
                edited = with_changes(claim.job.fields, edit)
                validate(edited)
                refuse_expired(edited, now)
            if claim.directory == PENDING:
                if edit:
                    claim.edit(edit)
                claim.run_now()
            else:
                claim.revive()
                if edit:
                    claim.edit(edit)
            claim.job.removed_expiry = expiry if is_past and "expires_at" not in wanted else None
            self.spool.note_change(job_id)
            return self._job(claim.job)

    def edit(
        self,
        job_id: str,
        changes: Mapping[str, Any] | None = None,
        *,
        check: Callable[[Job], None] | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Change a job that waits: `queue.edit(job_id, priority=5, timeout="10m")`; a field set to None is removed.

        Args:
            changes: fields as a mapping; there may be fields among them that QueueCTL does not know.
            check: called with the job under its lock; what it raises is raised, and the job stays as it is.
            fields: as those of `Queue.enqueue`.

        Raises:
            NotFound; Conflict (it does not wait); UnknownField, InvalidField (it would not be a job any more); Busy.
        """
        wanted = self._changes(changes or {}, fields)
        if not wanted:
            raise UsageError(f"nothing to change in job {job_id}: name a field")
        with self.spool.take(job_id) as claim:
            if check is not None:
                check(self._job(claim.job))
            claim.edit(wanted)
            return self._job(claim.job)

    def _changes(self, changes: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        if not changes and not fields:
            return {}
        from queuectl.client.job_spec import changes_of

        return changes_of(changes, fields, self.spool.clock.now())

    def hold(self, job_id: str, check: Callable[[Job], None] | None = None) -> Job:
        """Keep a waiting job from being started until `release`; one that is held stays so.

        Raises:
            NotFound; Conflict (it does not wait); Busy.
        """
        with self.spool.take(job_id) as claim:
            if check is not None:
                check(self._job(claim.job))
            if claim.directory != PENDING:
                raise Conflict(f"job {job_id} is {claim.job.state}; only a waiting job can be held")
            claim.hold()
            return self._job(claim.job)

    def release(self, job_id: str, check: Callable[[Job], None] | None = None) -> Job:
        """Let a held job run.

        Raises:
            NotFound; Conflict (it is not held); Busy.
        """
        with self.spool.take(job_id) as claim:
            if check is not None:
                check(self._job(claim.job))
            claim.release()
            return self._job(claim.job)

    def delete(self, job_id: str, check: Callable[[Job], None] | None = None) -> None:
        """Remove a job and all it wrote; a running one is cancelled, and awaited, first. Raises what `cancel` does.

        Args:
            check: called with the job before it is changed; what it raises is raised, and the job stays as it is.
        """
        was_waited_for = False
        for _ in range(self.spool.patience):
            if self._delete_unless_running(job_id, None if was_waited_for else check):
                return
            if check is not None and not was_waited_for:
                check(self.get(job_id))
            self._cancel_running(job_id)
            was_waited_for = True
        raise Busy(f"job {job_id} keeps being started or moved by other processes", "try again")

    def _delete_unless_running(self, job_id: str, check: Callable[[Job], None] | None) -> bool:
        try:
            claim = self.spool.take(job_id)
        except Conflict:
            return False
        with claim:
            if claim.directory == PROCESSING:
                return False
            if check is not None:
                check(self._job(claim.job))
            claim.delete()
            self.spool.note_change(job_id)
            return True
