"""job_actions: what can be done to one job, whoever asks: command line, page, API or Python.

Owns:       the methods of Queue that change one job, and how long a job that moves is tried to be caught. `edit` and
            `retry` take what Python has; `change` and `rerun`, which they call, take the fields of a job file.
Guarantees: a job is changed under its lock; the index is told of every change.
Fails with: NotFound, Conflict, InvalidData, Busy.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext

from queuectl.client.arguments import id_of
from queuectl.errors import Busy, Conflict, InvalidData, NoSupervisor, UsageError, from_os_error
from queuectl.job.fields import EDITABLE, FIELDS, InvalidField, refuse_expired, refuse_variables, validate
from queuectl.job.history import with_changes
from queuectl.job.job import DEPENDENCY_FAILED, PENDING, PROCESSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from typing_extensions import Unpack

    from queuectl.client.arguments import JobOrId
    from queuectl.client.dependents import Dependents
    from queuectl.client.job_spec import JobFields
    from queuectl.client.job_view import Job
    from queuectl.config.settings import Settings
    from queuectl.index.reader import Reader
    from queuectl.job.job import Job as StoredJob
    from queuectl.spool.claim import Claim
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool

    Look = Callable[[Job], None]
    Ask = Callable[[Mapping[str, Any], InvalidData | None], Mapping[str, Any] | None]

PUBLIC = (
    *("enqueue", "enqueue_many", "submit", "get", "resolve", "list", "counts", "events", "output", "wait"),
    *("cancel", "retry", "hold", "release", "edit", "delete", "purge", "signal"),
    *("pause", "resume", "paused", "queues", "batches", "batch"),
    *("cancel_unless_ended", "change", "check", "rerun"),
)


@contextmanager
def free_key(spool: Spool, key: str) -> Iterator[None]:
    """Keep a unique key from being taken by another job meanwhile.

    Raises:
        Conflict: a job that waits or runs has it.
    """
    from hashlib import sha256

    from filelock import FileLock

    from queuectl.client.current_index import open_complete_reader

    digest = sha256(key.encode()).hexdigest()[:32]
    with FileLock(f"{spool.layout.run}/unique.{digest}", mode=0o600):
        with open_complete_reader(spool) as reader:
            refuse_held(reader, key)
        yield


def refuse_held(reader: Reader, key: str) -> None:
    """Raise Conflict when a job that waits or runs has a unique key."""
    holder = reader.unique_holder(key)
    if holder is not None:
        raise Conflict(f'unique_key "{key}" is held by job {holder}, which has not ended')


def raises_queue_errors(queue: type[Any]) -> type[Any]:
    """Let the public methods of a class raise what the system refuses as QueueError; class decorator.

    An error that names no file came from a callback, and is left as it is.
    """

    def wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **keywords: Any) -> Any:
            try:
                return method(*args, **keywords)
            except OSError as error:
                if error.filename is None:
                    raise
                raise from_os_error(error, f"cannot use {os.fsdecode(error.filename)}") from error

        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(call, name, getattr(method, name))
        call.__wrapped__ = method  # type: ignore[attr-defined]
        return call

    for name in PUBLIC:
        setattr(queue, name, wrapped(getattr(queue, name)))
    return queue


def enqueuing(spool: Spool) -> AbstractContextManager[None]:
    """Keep parents from being removed; see spool.dependents."""
    from queuectl.spool import dependents

    return dependents.enqueuing(spool)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that differ, with their new values; None for those that are gone."""
    gone = {name: None for name in before if name not in after}
    return {**gone, **{name: value for name, value in after.items() if name not in before or before[name] != value}}


class JobActions:
    """The part of Queue that changes one job."""

    layout: Layout
    settings: Settings
    spool: Spool
    _dependents: Dependents | None = None

    if TYPE_CHECKING:

        def get(self, job: JobOrId) -> Job:
            """See Queue."""

        def _job(self, stored: StoredJob) -> Job: ...

    # What `before` is called with is the job before it is changed, under its lock where it is not running. What it
    # raises is raised, and the job stays as it is.

    def cancel(self, job: JobOrId) -> Job:
        """End a job for good: a running one is killed, a waiting one never starts. Its state is then cancelled.

        Cancelling a job that has ended changes nothing: a completed or dead one is returned as it is. A running command
        gets SIGTERM, and SIGKILL after `kill_after` seconds; this call returns when it has ended.

        Raises:
            NotFound; Busy (its file is locked, or a worker without a supervisor is finishing it).

        Crash: the job is as it was, or cancelled. A running one that was asked to end does end.
        """
        return self.cancel_unless_ended(id_of(job))[0]

    def cancel_unless_ended(self, job_id: str, before: Look | None = None) -> tuple[Job, bool]:
        """Do what `cancel` does; return the job, and whether this changed it."""
        was_waited_for = False
        for _ in range(self.spool.patience):
            directory = self.spool.find(job_id)
            if directory == PROCESSING:
                if before is not None and not was_waited_for:
                    before(self.get(job_id))
                self._cancel_running(job_id)
                was_waited_for = True
            elif directory == PENDING:
                cancelled = self._cancel_waiting(job_id, None if was_waited_for else before)
                if cancelled is not None:
                    return cancelled, True
            else:
                job = self.get(job_id)
                return job, was_waited_for and job.state == "cancelled"
        raise Busy(f"job {job_id} keeps being started or moved by other processes", "try again")

    def _cancel_waiting(self, job_id: str, before: Look | None) -> Job | None:
        """Return the cancelled job; None when it does not wait any more, so that it has to be looked for again."""
        try:
            with self.spool.take(job_id) as claim:
                if claim.directory != PENDING:
                    return None
                if before is not None:
                    before(self._job(claim.job))
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

    def signal(self, job: JobOrId, signal: str | int, before: Look | None = None) -> Job:
        """Send a signal to the process group of a running job's command: `queue.signal(job, "HUP")`.

        SIGSTOP and SIGCONT reach every process of the job. While it is stopped no time passes for its timeout. What a signal
        does to the job follows from how its command ends.

        Args:
            signal: its name, with or without SIG, or its number.

        Raises:
            UsageError (no such signal); NotFound; Conflict (it is not running); NoSupervisor; Busy (a worker without a
            supervisor is finishing it).

        Crash: the signal was sent or not; the history may lack it.
        """
        from queuectl import control_client
        from queuectl.job.outcome import signal_number

        number, job_id = signal_number(signal), id_of(job)
        found = self.get(job_id)
        if before is not None:
            before(found)
        if found.state != "processing":
            raise Conflict(f"job {job_id} is {found.state}; only a running job can be sent a signal")
        control_client.ask(self.layout, {"do": "signal", "id": job_id, "attempt": found.attempts, "number": number})
        return self.get(job_id)

    def retry(self, job: JobOrId, changes: Mapping[str, Any] | None = None, *, check: bool = True) -> Job:
        """Run a job again now: dead and finished ones with a fresh retry budget, waiting ones without their delay.

        An `expires_at` that has passed is removed; `removed_expiry` of the returned job says which.

        Args:
            changes: made first, under the same lock, so that the job never starts as it was; see `edit`.
            check: see `edit`.

        Raises:
            NotFound; Conflict (it is running, or another job has its unique_key); UnknownField, InvalidField (it would not be a job any more); Busy.

        Crash: the job is as it was, or it waits to run again; of `changes`, all are made or none.
        """
        return self.rerun(id_of(job), **self._changes({} if changes is None else changes, {}, check=check))

    def rerun(
        self,
        job_id: str,
        changes: Mapping[str, Any],
        before: Look | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Job:
        """Do what `retry` does, with changes that are fields of a job file.

        Args:
            names: what the caller calls these fields, where that is something else.
        """
        with self.spool.take(job_id) as claim:
            if before is not None:
                before(self._job(claim.job))
            if claim.job.dead_reason == DEPENDENCY_FAILED and not {"after", "after_policy"} & {*changes}:
                from queuectl.spool.parents import refuse_dead_parents

                refuse_dead_parents(self.spool, claim.job)
            expiry, now = claim.job.expires_at, self.spool.clock.now()
            is_past = expiry is not None and expiry < now
            edit = {"expires_at": None, **changes} if is_past and changes else {**changes}
            if edit:
                self._check_edit(claim, edit, names)
            key = claim.job.fields.get("unique_key")
            if claim.directory == PENDING:
                if edit:
                    claim.edit(edit)
                claim.run_now()
            else:
                with nullcontext() if key is None else free_key(self.spool, key):
                    claim.revive()
                    self.spool.note_change(job_id)
                if edit:
                    claim.edit(edit)
            claim.job.removed_expiry = expiry if is_past and "expires_at" not in changes else None
            self.spool.note_change(job_id)
            return self._job(claim.job)

    def edit(
        self,
        job: JobOrId,
        changes: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Change a job that waits: `queue.edit(job, priority=5, timeout="10m")`; a field set to None is removed.

        Args:
            changes: fields as a mapping; there may be fields among them that QueueCTL does not know.
            check: refuse a directory that is not there.
            fields: as those of `Queue.enqueue`, in the same units.

        Raises:
            NotFound; Conflict (it does not wait); UnknownField, InvalidField (it would not be a job any more); Busy.

        Crash: all changes are made, or none.
        """
        return self.change(id_of(job), **self._changes({} if changes is None else changes, fields, check=check))

    def change(
        self,
        job_id: str,
        changes: Mapping[str, Any],
        before: Look | None = None,
        names: Mapping[str, str] | None = None,
    ) -> Job:
        """Change a job that waits, exactly as `changes` say: fields of a job file; None removes one.

        Args:
            names: what the caller calls these fields, where that is something else.

        Raises:
            UsageError (no changes); NotFound; Conflict (it does not wait); InvalidData (it would not be a job any more);
            Busy.
        """
        if not changes:
            raise UsageError(f"nothing to change in job {job_id}: name a field")
        if changes.get("after"):  # its new parents are not removed meanwhile
            with enqueuing(self.spool):
                return self._change(job_id, changes, before, names)
        return self._change(job_id, changes, before, names)

    def rewrite(self, job_id: str, ask: Ask, *, check: bool = True) -> Job | None:
        """Change a job that waits to what `ask` returns; it is locked meanwhile, and so does not start.

        Args:
            ask: given the fields that can be changed, returns them as they shall be, or None for no change; called again
                with the error while the job would not be valid.
            check: refuse a new directory that is not there.

        Returns:
            The job; None when nothing was changed.

        Raises:
            NotFound; Conflict (it does not wait); Busy; what `ask` raises.
        """
        from queuectl.client.job_spec import changes_of

        with self.spool.take(job_id) as claim:
            if claim.directory != PENDING:
                raise Conflict(f"job {job_id} is {claim.job.state}; only waiting jobs can be edited")
            before = {name: value for name, value in claim.job.fields.items() if name not in FIELDS or name in EDITABLE}
            error = None
            while True:
                wanted = ask(before, error)
                changes = {} if wanted is None else changed(before, wanted)
                if not changes:
                    return None
                try:
                    made, names, _ = changes_of(changes, {}, self.spool.clock.now(), check=check)
                    with enqueuing(self.spool) if made.get("after") else nullcontext():
                        self._check_edit(claim, made, names)
                        claim.edit(made)
                    return self._job(claim.job)
                except InvalidData as wrong:
                    error = wrong

    def _change(
        self, job_id: str, changes: Mapping[str, Any], before: Look | None, names: Mapping[str, str] | None
    ) -> Job:
        with self.spool.take(job_id) as claim:
            if before is not None:
                before(self._job(claim.job))
            if claim.directory == PENDING:
                self._check_edit(claim, changes, names)
            claim.edit({**changes})
            return self._job(claim.job)

    def _check_edit(self, claim: Claim, changes: Mapping[str, Any], names: Mapping[str, str] | None) -> None:
        """Refuse an edit before anything is done."""
        for name in changes:
            if name in FIELDS and name not in EDITABLE:
                raise InvalidField(name, f'"{name}" cannot be changed')
        edited = with_changes(claim.job.fields, changes)
        validate(edited)
        refuse_variables(changes)
        if "expires_at" in changes or "run_at" in changes:
            refuse_expired(edited, self.spool.clock.now(), names)
        if not changes.keys().isdisjoint(("weight", "needs", "queue")):
            self._refuse_never_enough(edited)
        if changes.get("after"):
            from queuectl.spool.enqueue import refuse_parents
            from queuectl.spool.parents import refuse_cycle

            refuse_parents(self.spool, claim.job.id, edited["after"])
            refuse_cycle(self.spool, claim.job.id, edited["after"])

    def _refuse_never_enough(self, fields: Mapping[str, Any]) -> None:
        """Refuse a job that takes more than the configuration, which may have changed since we read it, ever has."""
        from queuectl.config import config_file
        from queuectl.spool.running import refuse_never_enough

        validate(fields)
        try:
            refuse_never_enough(self.settings, fields)
        except InvalidField:
            refuse_never_enough(config_file.load(self.layout.home, os.environ), fields)

    def _changes(self, changes: Mapping[str, Any], fields: Mapping[str, Any], *, check: bool) -> dict[str, Any]:
        """Return arguments of `change` and `rerun`."""
        if changes == {} and not fields:
            return {"changes": {}}
        from queuectl.client.job_spec import changes_of, warn

        made, names, warning = changes_of(changes, fields, self.spool.clock.now(), check=check)
        if warning is not None:
            warn(warning)
        return {"changes": made, "names": names}

    def hold(self, job: JobOrId, before: Look | None = None) -> Job:
        """Keep a waiting job from being started until `release`; one that is held stays so.

        Raises:
            NotFound; Conflict (it does not wait); Busy.
        """
        job_id = id_of(job)
        with self.spool.take(job_id) as claim:
            if before is not None:
                before(self._job(claim.job))
            if claim.directory != PENDING:
                raise Conflict(f"job {job_id} is {claim.job.state}; only a waiting job can be held")
            claim.hold()
            return self._job(claim.job)

    def release(self, job: JobOrId, before: Look | None = None) -> Job:
        """Let a held job run.

        Raises:
            NotFound; Conflict (it is not held); Busy.
        """
        with self.spool.take(id_of(job)) as claim:
            if before is not None:
                before(self._job(claim.job))
            claim.release()
            return self._job(claim.job)

    def delete(
        self, job: JobOrId, before: Look | None = None, *, with_dependents: bool | Collection[str] = False
    ) -> list[str]:
        """Remove a job and all it wrote; a running one is cancelled, and awaited, first. Raises what `cancel` does.

        Args:
            with_dependents: remove the jobs that wait for it too, and those that wait for them; without it that they wait is
                a Conflict. Ids: only these jobs; that another one waits is a Conflict.

        Returns the ids of the dependents that were removed.

        Crash: the job is as it was, cancelled, or gone; output that it leaves is removed by maintenance.
        """
        job_id, dependents = id_of(job), []
        if with_dependents is not False:
            if before is not None:
                before(self.get(job_id))
            from queuectl.client.dependents import Dependents

            dependents = Dependents(self.spool).remove(job_id, None if with_dependents is True else with_dependents)
        self._delete(job_id, before)
        return dependents

    def _delete(self, job_id: str, before: Look | None) -> None:
        was_waited_for = False
        for _ in range(self.spool.patience):
            if self._delete_unless_running(job_id, None if was_waited_for else before):
                return
            if before is not None and not was_waited_for:
                before(self.get(job_id))
            self._cancel_running(job_id)
            was_waited_for = True
        raise Busy(f"job {job_id} keeps being started or moved by other processes", "try again")

    def _delete_unless_running(self, job_id: str, before: Look | None) -> bool:
        from queuectl.spool import dependents

        with dependents.removing(self.spool):
            self._refuse_awaited(job_id)
            try:
                claim = self.spool.take(job_id)
            except Conflict:
                return False
            with claim:
                if claim.directory == PROCESSING:
                    return False
                if before is not None:
                    before(self._job(claim.job))
                claim.remove()
        claim.sync_removed()  # not under the lock, so that the syncs of several threads share a commit
        self.spool.note_change(job_id)
        return True

    def _refuse_awaited(self, job_id: str) -> None:
        from queuectl.spool import dependents

        if dependents.enqueued(self.spool):
            from queuectl.client.dependents import Dependents, conflict

            if self._dependents is None:
                self._dependents = Dependents(self.spool)
            for children in self._dependents.of([job_id]).values():
                raise conflict(job_id, children)
