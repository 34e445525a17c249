"""claim: a job plus the right to change it.

Owns:       the verbs that change one job; only a Claim has them.
Guarantees: the verdict is written before the move; no file in done/ or dead/ has a last event that asks for a run; a
            verdict is written once and then only carried out.
Fails with: SpoolFull (nothing was changed), Conflict (wrong state), Busy (another program interfered); OSError where
            the disk fails: the job is then as before or after the operation, and recovery finishes it.
Source:     spool/FORMAT.md § Transitions.
"""

from __future__ import annotations

from queuectl.clock import spell, stamp
from queuectl.errors import Conflict, InvalidData
from queuectl.job.fields import normalized, refuse_expired, refuse_variables, validate
from queuectl.job.history import DEAD, DONE, LEADS_TO, PENDING, PROCESSING, with_changes, wrong_with
from queuectl.job.job import Job
from queuectl.job.job_file import MAX_BYTES, MAX_ENTRY_BYTES, parse
from queuectl.job.strict_json import encode
from queuectl.spool import batches, hooks, inputs, rejected
from queuectl.spool.layout import OUTPUT_KINDS
from queuectl.spool.locked_file import Replaced as Replaced
from queuectl.spool.locked_file import SpoolFull as SpoolFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any

    from queuectl.job.history import Entry
    from queuectl.job.job_file import Record
    from queuectl.spool.context import SpoolContext
    from queuectl.spool.locked_file import LockedFile

COMPACT_AT_BYTES = 64 << 10
# On a full disk these are not written, only moved: a file in done/ or dead/ without a verdict has completed or died.
MOVED_BARE = frozenset(("completed", "died", "expired"))


class Claim:
    """A locked job; close it, or use it in a `with` statement, to unlock it.

    Attributes:
        job: the job as it was read under the lock, kept up to date as it changes.
        details_lost: the disk was full, so the verdict moved the file without being written into it.
        has_moved: a verdict has moved it, and the directory is not synced yet.
        calls: the reports to hooks that a verdict which is not committed makes.
    """

    __slots__ = ("_file", "_spool", "_uncommitted", "calls", "details_lost", "has_moved", "input_inode", "job")

    def __init__(self, spool: SpoolContext, file: LockedFile) -> None:
        self._spool = spool
        self._file = file
        self.job = Job(file.job_id, file.record, file.directory, file.seen_at)
        self.details_lost = False
        self.has_moved = False
        self.input_inode: int | None = None  # of a job that was removed
        self.calls: list[str] = []
        self._uncommitted: str | None = None  # the event of a verdict that is written but not committed

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unlock the job at once. Closing twice is harmless."""
        self._file.close()

    @property
    def directory(self) -> str:
        """Where the job lies."""
        return self._file.directory

    @property
    def record(self) -> Record:
        """What its file says."""
        return self._file.record

    @property
    def inode(self) -> int:
        """The number of the inode that is locked."""
        return self._file.inode

    @property
    def links(self) -> int:
        """How many names the inode had when it was locked; it may have lost one since."""
        return self._file.links

    def fileno(self) -> int:
        """The descriptor of its file."""
        return self._file.fileno()

    def status(self) -> os.stat_result:
        """Return what the inode says of itself now."""
        return self._file.status()

    # --- the verbs of a running job (processing/)

    def enter(self, worker: str, units: dict[str, list[int]] | None = None, ready_at: float | None = None) -> None:
        """Move a waiting job to processing/ and write `started`; used by `intake.claim`, which has checked that it may start.

        Crash: in pending/; in processing/ without `started` (nothing ran); or with it (recovery counts an interruption).
        """
        self._move(PROCESSING)
        try:
            self.start(worker, units, ready_at)
        except (SpoolFull, OSError):
            if not self.record.torn:  # else it stays here for recovery, which repairs it
                self.put_back()
            raise

    def start(self, worker: str, units: dict[str, list[int]] | None = None, ready_at: float | None = None) -> None:
        """Write that an attempt begins, and which units of resources it has; not synced here (see `Spool.sync_started`).

        Args:
            ready_at: the end of the last parent, before which it could not start.

        Crash: before the write, nothing ran; after it, recovery counts an interruption.
        """
        entry: Entry = {"event": "started", "attempt": self.job.attempts + 1, "at": self._now(), "worker": worker}
        if ready_at is not None and ready_at > self.job.ready_at:
            entry["ready_at"] = spell(ready_at)
        self._grow({**entry, "units": units} if units else entry)
        self._file.has_started = True

    def finish_start(self) -> None:
        """Finish `start` while the command runs: see `LockedFile.finish_growth`.

        Crash: as after `start`.
        """
        self._file.finish_growth()

    def note_signal(self, name: str, reason: str | None = None) -> None:
        """Write that the running command was sent a signal; not synced.

        Crash: as after `start`.
        """
        entry: Entry = {"event": "signalled", "at": self._now(), "signal": name}
        self._grow({**entry, "reason": reason} if reason else entry)

    # Each returns the event that decides the job's directory: its own, or that of a verdict written before. With
    # `commit=False` the verdict is only written; `group_commit.commit_group` makes it durable and moves the job.

    def finish(self, details: dict[str, Any], *, commit: bool = True) -> str:
        """Move the job to done/ as completed. Crash: recovery finishes the move, or counts an interruption."""
        return self._settle({"event": "completed", "at": self._now(), **details}, commit=commit)

    def reschedule(self, event: str, run_at: float, details: dict[str, Any], *, commit: bool = True) -> str:
        """Put the job back: `event` is failed, snoozed, requeued or interrupted.

        Raises:
            SpoolFull: the verdict cannot be written; the job stays in processing/, locked. Try again.
        """
        return self._settle({"event": event, "at": self._now(), "run_at": spell(run_at), **details}, commit=commit)

    def move_to_dead(self, reason: str, details: dict[str, Any], event: str = "died", *, commit: bool = True) -> str:
        """Move the job to the dead letter queue."""
        return self._settle({"event": event, "at": self._now(), "reason": reason, **details}, commit=commit)

    def interrupt(self, error: str) -> None:
        """Count an attempt whose end was not seen, and put the job back or move it to dead/."""
        settings = self._spool.settings
        policy = self.job.fields.get("on_interrupt", settings.on_interrupt)
        if policy == "bury" or self.job.interruptions + 1 >= settings.max_interruptions:
            self.move_to_dead("interrupted", {"error": error})
        else:
            self.reschedule("interrupted", self._spool.clock.now(), {"error": error})

    def put_back(self) -> None:
        """Return a job of which nothing ran to pending/; the history does not change, and recovery could do the same."""
        self._move(PENDING)

    # --- the verbs of a job that does not run

    def cancel(self, details: dict[str, Any] | None = None, *, commit: bool = True) -> str:
        """Move the job to done/ as cancelled; a job that has ended already does not change.

        Raises:
            SpoolFull: nothing was changed.
        """
        if self.directory not in (PENDING, PROCESSING):
            return self.job.last_event
        return self._settle({"event": "cancelled", "at": self._now(), **(details or {})}, commit=commit)

    def revive(self) -> None:
        """Move a job from done/ or dead/ back to pending/ with a fresh retry budget.

        The only operation that moves first and then writes, so that no file in done/ or dead/ asks for a run. Removes an
        `expires_at` that has passed.

        Raises:
            SpoolFull: nothing was changed.

        Crash: in pending/ with a terminal last event: the next claim moves it back. Not acknowledged.
        """
        if self.directory not in (DONE, DEAD):
            raise Conflict(f"job {self.job.id} is {self.job.state}; only a finished or dead job can be revived")
        source = self.directory
        self._move(PENDING)
        self._sync_directories(PENDING, source)
        try:
            self._grow_to_run({"event": "revived", "at": self._now()}, self._grow)
        except SpoolFull:
            self._move(source)
            raise
        self._file.sync()

    def hold(self) -> None:
        """Keep a waiting job from being started until `release`."""
        if not self.job.is_held:
            self._grow_in_pending({"event": "held", "at": self._now()})

    def release(self) -> None:
        """Let a held job run again; removes an `expires_at` that has passed."""
        if not self.job.is_held:
            raise Conflict(f"job {self.job.id} is {self.job.state}, not held")
        self._grow_to_run({"event": "released", "at": self._now()}, self._grow_in_pending)

    def edit(self, changes: dict[str, Any]) -> None:
        """Change members that the author wrote; a member set to None is removed.

        Raises:
            InvalidData: it would not be a valid job, or expire before it can start.
        """
        self._check_pending()
        changes = normalized(changes)
        edited = with_changes(self.job.fields, changes)
        validate(edited)
        refuse_variables(changes)
        if "expires_at" in changes or "run_at" in changes:
            refuse_expired(edited, self._spool.clock.now())
        entry: Entry = {"event": "edited", "at": self._now(), "set": changes}
        wrong = wrong_with(entry)
        if wrong:
            raise InvalidData(f"this edit cannot be made: {wrong}")
        self._keep_birth(entry)
        rewritten = self.record.with_edit(entry)
        parse(rewritten.body + rewritten.tail)  # any other error must be found before it is written
        if self._can_append(entry):
            self._grow_in_pending(entry)
        else:
            self._file.replace(rewritten)
            self.job.fields = rewritten.fields
            self.job.follow(rewritten)
            self._spool.note_change(self.job.id)

    def _can_append(self, entry: Entry) -> bool:
        """Return whether an edit fits into a history entry, and is valid there."""
        if len(encode(entry)) > MAX_ENTRY_BYTES or self.record.grow_at > MAX_BYTES // 2:
            return False
        grown = self.record.grown(entry, self.record.growth(entry))
        try:
            parse(grown.body + grown.tail)
        except InvalidData:
            return False
        return True

    def run_now(self) -> None:
        """Make a job that waits for its time, its next try or its release due at once; its retry budget stays.

        Removes an `expires_at` that has passed.
        """
        now = self._now()
        self._grow_to_run({"event": "requeued", "at": now, "run_at": now}, self._grow_in_pending)

    def delete(self) -> None:
        """Remove the job, its input and everything it wrote.

        Crash: present (perhaps without some output) or gone (perhaps without its input); acknowledged only once durable.
        """
        self.remove()
        self.sync_removed()

    def sync_removed(self) -> None:
        """Make the removal of the job durable, then remove its input."""
        self._sync_directories(*left_by(self.directory))
        if self.input_inode is not None:
            inputs.remove_orphan(self._spool, self.job.id, self.input_inode)

    def remove(self) -> int:
        """Remove the job and what it wrote, not made durable; returns how many bytes of output that was.

        Its input is left, and `input_inode` set: a power cut may bring the job back. See `purge`.
        """
        if self.directory == PROCESSING:
            raise Conflict(f"job {self.job.id} is running; cancel it first")
        files = self._spool.files
        if "@" in self.job.id:
            from queuectl.spool.schedules import decide_slot

            decide_slot(self._spool, self.job.id)
        self.input_inode = inputs.inode_of(self._spool, self.job.id)
        freed = self.remove_output()
        if self.directory == PENDING:
            rejected.unpublish(self._spool, self.job.id, self.inode)
        else:
            files.unlink(self._file.path)
        return freed

    def remove_output(self) -> int:
        """Remove what the job's attempts wrote and keep the job; returns how many bytes that was. Not made durable."""
        if self.directory == PROCESSING:
            raise Conflict(f"job {self.job.id} is running; it is writing its output")
        layout, attempts = self._spool.layout, range(1, self.job.attempts + 1)
        return sum(self._unlink(layout.output_of(self.job.id, n, kind)) for n in attempts for kind in OUTPUT_KINDS)

    def _unlink(self, path: str) -> int:
        files = self._spool.files
        if not files.exists(path):
            return 0
        status = files.lstat(path)
        files.unlink(path)
        return 0 if status is None else status.st_size

    # --- growing, then moving

    def _grow_to_run(self, entry: Entry, grow: Callable[[Entry], None]) -> None:
        """Append an entry that asks for a run; the same entry removes an expiry that has passed."""
        expiry = self.job.expires_at
        if expiry is None or expiry >= self._spool.clock.now():
            grow(entry)
            return
        grow({**entry, "set": {"expires_at": None}})
        self.job.removed_expiry = expiry

    def _grow(self, entry: Entry, *, is_verdict: bool = False) -> None:
        self._keep_birth(entry)
        record = self.record
        if record.grow_at > COMPACT_AT_BYTES and record.history_bytes > COMPACT_AT_BYTES:
            self._compact()
        self._file.grow(entry, is_verdict=is_verdict)
        self.job.follow(self.record)

    def _keep_birth(self, entry: Entry) -> None:
        if not self.record.history and "created_at" not in self.record.fields:
            entry["created_at"] = spell(self.job.created_at)  # it was the mtime, which is about to change

    def _compact(self) -> None:
        try:
            self._file.replace(self.record.compacted(self.job.compacted(self._spool.clock.now())))
        except SpoolFull:
            return  # the history is compacted later

    def _check_pending(self) -> None:
        if self.directory != PENDING:
            raise Conflict(f"job {self.job.id} is {self.job.state}; only waiting jobs can be changed in this way")

    def _grow_in_pending(self, entry: Entry) -> None:
        self._check_pending()
        self._spool.note_change(self.job.id)  # noted before the change, in case this process dies after it
        self._grow(entry)
        self._file.sync()
        self._spool.note_change(self.job.id)  # and after it, for an index that has read the file in between

    def _settle(self, entry: Entry, *, commit: bool = True) -> str:
        """Write a verdict and carry it out; returns its event.

        Called again after the disk failed, it continues with the verdict in the file: a new one would count the attempt
        twice.
        """
        if self._uncommitted is None:
            written = LEADS_TO.get(self.job.last_event)  # an edit is no verdict
            if written is not None and written != self.directory:
                self._uncommitted = self.job.last_event
                entry = self.record.history[-1]
            else:
                self._write_verdict(entry)
                self._uncommitted = str(entry["event"])
            self.calls = hooks.calls_of(self._spool, self.job, entry)
        event = self._uncommitted
        if commit:
            self.sync_verdict()
            if self.calls:
                hooks.sync(self._spool)
            self.move_by_verdict()
            if self.has_moved:
                self._sync_directories(self.directory)
            self.committed()
        return event

    def _write_verdict(self, entry: Entry) -> None:
        try:
            self._grow(entry, is_verdict=True)
        except SpoolFull:
            if entry["event"] not in MOVED_BARE:
                raise
            self.details_lost = True

    # The steps of a commit; `group_commit` takes them for many jobs together.

    def sync_verdict(self) -> None:
        """Make the verdict that was written durable, then the reports to hooks; the names of those not yet."""
        if self.has_moved:
            return
        try:
            self._file.sync()
        except SpoolFull:
            if self._uncommitted not in MOVED_BARE:
                raise
            self.details_lost = True
        self._report()

    def _report(self) -> None:
        """Write for whom the verdict is, before the job moves: its hooks and its batch."""
        if self.calls:
            hooks.write(self._spool, self.calls, self.record)
        batch = batches.batch_of(self.job.fields)
        if batch is not None:
            batches.register(self._spool, batch)

    def move_by_verdict(self) -> None:
        """Move the job where the verdict leads."""
        target = LEADS_TO[str(self._uncommitted)]
        if target != self.directory:
            self._move(target)
            self.has_moved = True

    def committed(self) -> None:
        """Note that the verdict is carried out and durable."""
        self._uncommitted, self.has_moved, self.calls = None, False, []

    def finish_move(self) -> bool:
        """Move the job where its last event leads; False when it is there already or nothing leads anywhere."""
        target = LEADS_TO.get(self.job.last_event)
        if target is None or target == self.directory:
            return False
        self._file.sync()  # the process that wrote it may have died before it synced
        self.calls = hooks.calls_of(self._spool, self.job, self.record.history[-1])
        self._report()
        if self.calls:
            hooks.sync(self._spool)
            self.calls = []
        self._move(target)
        self._sync_directories(target)
        return True

    def rename(self, job_id: str, *, is_fresh: bool = False) -> None:
        """Give a job in pending/ another id; raises FileExistsError when another has it."""
        self._file.rename(job_id, is_fresh=is_fresh)
        self.job.id = job_id

    def copy(self) -> None:
        """Copy the job into a new inode, to which no other program has a name or a descriptor."""
        self._file.replace(self.record.rewritten())

    def _move(self, target: str) -> None:
        self._file.move(target)
        self.job.directory = target

    def _sync_directories(self, *names: str) -> None:
        if self._spool.is_durable:
            for name in names:
                self._spool.files.sync_directory(self._spool.layout.directory(name))

    def _now(self) -> str:
        return stamp(self._spool.clock.now())


def left_by(directory: str) -> tuple[str, ...]:
    """Return the directories to sync once a job that lay in `directory` is removed.

    The directories that it left earlier were not synced: a power cut could bring an old name back.
    """
    return (directory, *{PENDING, PROCESSING} - {directory})
