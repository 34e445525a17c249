"""spool: the directories of jobs and the verbs that need no claim.

Owns:       everything under spool/, output/ and run/changes; the other verbs are methods of Claim.
Guarantees: an id that `enqueue` returned survives the death of any process (and, with durability `full`, a power cut);
            a job has one name in one directory; nothing is overwritten, nothing is thrown away.
Fails with: Conflict, NotFound, InvalidData, Busy; OSError where the disk itself fails.
Source:     spool/FORMAT.md; qmail INTERNALS (publish by link); Maildir.
"""

from __future__ import annotations

import os

from queuectl.clock import Clock, spell
from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.fields import ID_GRAMMAR, InvalidField, is_id, new_id, validate
from queuectl.job import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING, Job
from queuectl.record import MAX_BYTES, render_new
from queuectl.spool import intake
from queuectl.spool.claim import Claim, read_record, wrong_with_inode
from queuectl.spool.files import APPEND, CHANGE, CREATE, READ, Files
from queuectl.spool.layout import SUFFIX, Layout, job_id_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.settings import Settings
    from queuectl.spool.intake import NotNow

LOCK_RETRY_S = 0.02
LOCK_PATIENCE_S = 2.0
BALLAST_BYTES = 1 << 20
LOOK_ORDER = (PENDING, PROCESSING, DONE, DEAD)


class Spool:
    """One home's jobs.

    Args:
        layout: where things lie.
        settings: the owner replaces this attribute when the configuration changes.
        announce: append the ids of changed jobs to run/changes; off in the supervisor and its workers, which report
            changes on their own.
    """

    def __init__(
        self,
        layout: Layout,
        settings: Settings,
        *,
        files: Files | None = None,
        clock: Clock | None = None,
        announce: bool = True,
    ) -> None:
        self.layout = layout
        self.settings = settings
        self.files = files or Files()
        self.clock = clock or Clock()
        self.announce = announce
        self.seen: dict[str, tuple[int, int, float]] = {}  # unreadable names in pending/: size, mtime, first seen

    # --- enqueue

    def enqueue(self, fields: Mapping[str, Any]) -> str:
        """Publish one job and return its id.

        Raises:
            InvalidData, Conflict (the id exists), Busy (too little disk space).

        Crash: before the link, nothing (where unnamed files exist; else litter in tmp/); between the link and the last
            sync, the job may or may not survive a power cut: it was not acknowledged.
        """
        self._refuse_when_full()
        job_id = self._publish(fields)
        if self.settings.durability == "full":
            self.files.sync_directory(self.layout.directory(PENDING))
        return job_id

    def enqueue_many(self, jobs: Iterable[Mapping[str, Any]]) -> Iterator[str | InvalidData | Conflict]:
        """Publish many jobs, acknowledged together: all are durable once the iterator ends.

        Yields:
            The id, or the reason why this one was refused, in the order given.
        """
        self._refuse_when_full()
        for fields in jobs:
            try:
                yield self._publish(fields)
            except (InvalidData, Conflict) as error:
                yield error
        if self.settings.durability == "full":
            self.files.sync_directory(self.layout.directory(PENDING))

    def _publish(self, fields: Mapping[str, Any]) -> str:
        if "history" in fields:
            raise InvalidField("history", 'a new job has no "history"')
        validate(fields)
        job_id = fields.get("id")
        is_ours = job_id is None
        if job_id is None:
            job_id = new_id()
        data = render_new({"id": job_id, **fields, "created_at": fields.get("created_at") or spell(self.clock.now())})
        if len(data) > MAX_BYTES // 2:
            raise InvalidData(f"the job is {len(data)} bytes; at most {MAX_BYTES // 2} can be enqueued")
        files = self.files
        try:
            fd, path = files.create(self.layout.tmp, f"{job_id}.{os.getpid()}")
        except FileNotFoundError:
            self.layout.ensure()
            fd, path = files.create(self.layout.tmp, f"{job_id}.{os.getpid()}")
        try:
            if not is_ours:
                files.try_lock(fd)  # nobody claims it before we have looked for the id elsewhere
            files.write(fd, data, 0)
            if self.settings.durability == "full":
                files.sync(fd)
            target = self.layout.job(PENDING, job_id)
            try:
                files.publish(fd, path, target)
            except FileExistsError:
                self._discard(path)
                raise self._taken(job_id, PENDING) from None
            path = None
            if not is_ours:
                self._refuse_known(job_id, target)
        except BaseException:
            self._discard(path)
            raise
        finally:
            files.close(fd)
        return str(job_id)

    def _discard(self, path: str | None) -> None:
        if path is not None and self.files.lstat(path) is not None:
            self.files.unlink(path)

    def _refuse_known(self, job_id: str, target: str) -> None:
        for directory in (PROCESSING, DONE, DEAD):
            if self.files.lstat(self.layout.job(directory, job_id)) is not None:
                self.files.unlink(target)
                raise self._taken(job_id, directory)

    def _taken(self, job_id: str, directory: str) -> Conflict:
        return Conflict(f"job {job_id} exists already, in {directory}/", "leave the id out to get a fresh one")

    def _refuse_when_full(self) -> None:
        try:
            free, total = self.files.free_bytes(self.layout.spool)
        except FileNotFoundError:
            self.layout.ensure()
            free, total = self.files.free_bytes(self.layout.spool)
        floor = min(self.settings.min_free, total // 100)
        if free < floor:
            raise Busy(
                f"the disk of {self.layout.home} has {free >> 20} MiB left; below {floor >> 20} MiB nothing is enqueued",
                "free some space: queuectl delete finished jobs, or lower min_free",
            )

    # --- looking

    def find(self, job_id: str) -> str | None:
        """Return the directory in which a job lies; None when there is none."""
        for _ in range(3):  # it may move from where we have not looked to where we have
            for directory in LOOK_ORDER:
                if self.files.lstat(self.layout.job(directory, job_id)) is not None:
                    return directory
        return None

    def read(self, job_id: str) -> Job:
        """Read a job without locking it; right for showing, not for deciding.

        Raises:
            NotFound, InvalidData (the file is not a job).
        """
        for _ in range(5):
            directory = self.find(job_id)
            if directory is None:
                break
            job = self.read_in(directory, job_id)
            if job is not None:
                return job
        raise NotFound(f'no job "{job_id}"')

    def read_in(self, directory: str, job_id: str) -> Job | None:
        """Read a job that lies in `directory`; None when it has gone. A torn read is made once more."""
        for last_try in (False, True):
            try:
                fd = self.files.open(self.layout.job(directory, job_id), READ)
            except FileNotFoundError:
                return None
            try:
                status = self.files.fstat(fd)
                wrong = wrong_with_inode(status)
                if wrong:
                    raise InvalidData(f"{directory}/{job_id}{SUFFIX}: {wrong}")
                record = read_record(self.files.read(fd, MAX_BYTES), directory)
            finally:
                self.files.close(fd)
            if not record.torn or last_try:
                break
        return Job(job_id, record, directory, status.st_mtime)

    def ids(self, directory: str) -> Iterator[str]:
        """Yield the ids in a directory, in no order."""
        for name in self.files.names(self.layout.directory(directory)):
            job_id = job_id_of(name)
            if job_id is not None:
                yield job_id

    def run_is_locked(self, job_id: str, attempt: int) -> bool:
        """Tell whether some process of an attempt still holds the attempt's output open."""
        try:
            fd = self.files.open(self.layout.output_of(job_id, attempt), READ)
        except FileNotFoundError:
            return False
        try:
            return not self.files.try_lock(fd)
        finally:
            self.files.close(fd)

    def sync_started(self, job_id: str) -> None:
        """Make what was written to a running job's file durable; nothing when it has moved on."""
        try:
            fd = self.files.open(self.layout.job(PROCESSING, job_id), READ)
        except FileNotFoundError:
            return
        try:
            self.files.sync_data(fd)
        finally:
            self.files.close(fd)

    # --- claiming

    def claim(self, job_id: str, worker: str) -> Claim | NotNow:
        """Take a waiting job in order to run it; see `intake.claim`."""
        return intake.claim(self, job_id, worker)

    def examine(self, name: str) -> Job | NotNow:
        """Look at a file in pending/; see `intake.examine`."""
        return intake.examine(self, name)

    def take(self, job_id: str) -> Claim:
        """Lock a job wherever it lies, in order to change it.

        Raises:
            NotFound; Conflict when it runs; Busy when somebody else keeps it locked.
        """
        deadline = self.clock.monotonic() + LOCK_PATIENCE_S
        while True:
            directory = self.find(job_id)
            if directory is None:
                raise NotFound(f'no job "{job_id}"')
            claim = self.take_in(directory, job_id)
            if claim is not None:
                return claim
            if directory == PROCESSING:
                raise Conflict(f"job {job_id} is running")
            if self.clock.monotonic() > deadline:
                raise Busy(f"job {job_id} is locked by another process", "try again")
            _nap()

    def take_in(self, directory: str, job_id: str) -> Claim | None:
        """Lock a job that lies in `directory`; None when it has gone or somebody else has it.

        Raises:
            InvalidData: the file is not a job, whole or torn.
        """
        path = self.layout.job(directory, job_id)
        try:
            fd = self.files.open(path, CHANGE)
        except FileNotFoundError:
            return None
        try:
            status = self.files.fstat(fd)
            wrong = wrong_with_inode(status)
            if wrong:
                raise InvalidData(f"{directory}/{job_id}{SUFFIX}: {wrong}")
            if not self.files.try_lock(fd):
                return None
            there = self.files.lstat(path)
            if there is None or there.st_ino != status.st_ino:
                return None
            claim = Claim(self, fd, directory, job_id, read_record(self.files.read(fd, MAX_BYTES), directory))
            fd = -1
            return claim
        finally:
            if fd >= 0:
                self.files.close(fd)

    # --- setting aside and small things

    def reject(self, directory: str, name: str, reason: str) -> str:
        """Move an entry that is no job (the entry itself, never its target) to rejected/, with the reason beside it.

        Returns:
            Its name there. Crash: moved without a reason, or not moved; never executed.
        """
        kept = name
        number = 0
        while True:
            try:
                self.files.move(f"{self.layout.directory(directory)}/{name}", f"{self.layout.rejected}/{kept}")
                break
            except FileExistsError:
                number += 1
                kept = f"{name}.{number}"
        text = f"{spell(self.clock.now())} from {directory}/: {reason}\n".encode("utf-8", "backslashreplace")
        try:
            fd = self.files.open(f"{self.layout.rejected}/{kept}.reason", CREATE)
        except OSError:
            return kept
        try:
            self.files.write(fd, text, 0)
        except OSError:
            return kept  # a full disk: set aside without its reason
        finally:
            self.files.close(fd)
        return kept

    def note_change(self, job_id: str) -> None:
        """Tell the index that a job changed in a way that no directory shows."""
        if self.announce:
            self.files.append(self.changes_path, f"{job_id}\n".encode())

    @property
    def changes_path(self) -> str:
        """Where changed ids are noted until the index has read them."""
        return f"{self.layout.run}/changes"

    def keep_ballast(self) -> None:
        """Reserve 1 MiB on the disk, to be given up for verdicts when it is full."""
        path = f"{self.layout.run}/ballast"
        try:
            if self.files.lstat(path) is None:
                fd = self.files.open(path, APPEND)
                try:
                    os.posix_fallocate(fd, 0, BALLAST_BYTES) if hasattr(os, "posix_fallocate") else None
                finally:
                    self.files.close(fd)
        except OSError:
            return  # no room for ballast: the disk is as full as it gets

    def free_ballast(self) -> bool:
        """Give the reserve up; False when it had gone already."""
        try:
            self.files.unlink(f"{self.layout.run}/ballast")
        except OSError:
            return False
        return True


def check_id(job_id: str) -> str:
    """Return `job_id` or raise InvalidData with the grammar of ids."""
    if not is_id(job_id):
        raise InvalidData(f"{job_id!r} is not an id: {ID_GRAMMAR}")
    return job_id


def _nap() -> None:
    import time

    time.sleep(LOCK_RETRY_S)


__all__ = ["DIRECTORIES", "Spool", "check_id"]
