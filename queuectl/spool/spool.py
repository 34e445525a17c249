"""spool: the directories of jobs and the verbs that need no claim.

Owns:       everything under spool/, output/ and run/changes; the other verbs are methods of Claim.
Guarantees: an id that `enqueue` returned survives the death of any process (and, with durability `full`, a power cut);
            a job has one name in one directory; nothing is overwritten, nothing is thrown away.
Fails with: Conflict, NotFound, InvalidData, Busy; OSError where the disk itself fails.
Source:     spool/FORMAT.md; qmail INTERNALS; Maildir.
"""

from __future__ import annotations

from queuectl.clock import Clock
from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.job.fields import ID_GRAMMAR, is_id
from queuectl.job.history import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING, leads_to
from queuectl.job.job import Job
from queuectl.job.job_file import MAX_FILE_BYTES
from queuectl.spool import enqueue, intake, rejected
from queuectl.spool.claim import Claim
from queuectl.spool.fs import APPEND, CHANGE, FULL, READ, Files
from queuectl.spool.inspection import merge_names, read_record, wrong_with_inode
from queuectl.spool.layout import SUFFIX, Layout, job_id_of
from queuectl.spool.locked_file import JobFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.spool.intake import NotNow

BALLAST_BYTES = 1 << 20
LOOK_ORDER = (PENDING, PROCESSING, DONE, DEAD)


class Spool:
    """One home's jobs.

    Args:
        layout: where things lie.
        settings: the owner replaces this attribute when the configuration changes.
        announce: append the ids of changed jobs to run/changes; off in the supervisor and its workers, which report
            changes on their own.

    Attributes:
        patience: how many times a lock that is held for moments only is tried, 20 ms apart.
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
        self.patience = 100
        self.restless = intake.Restless()

    @property
    def is_durable(self) -> bool:
        """What is acknowledged has to survive a power cut."""
        return self.settings.durability == "full"

    # --- enqueue

    def enqueue(self, fields: Mapping[str, Any]) -> str:
        """Publish one job and return its id.

        Raises:
            InvalidData, Conflict (the id exists), Busy (too little disk space).

        Crash: before the link, nothing (where unnamed files exist; else litter in tmp/); between the link and the last
            sync, the job may or may not survive a power cut: it was not acknowledged.
        """
        enqueue.refuse_when_full(self)
        return enqueue.enqueue(self, fields)

    def enqueue_many(
        self, jobs: Iterable[Mapping[str, Any] | InvalidData | None]
    ) -> Iterator[str | InvalidData | Conflict]:
        """Publish many jobs, in groups that are synced together.

        Args:
            jobs: None among them ends a group: nothing more comes for the time being. An error is yielded in its place.

        Yields:
            The id, once the job is durable, or the reason why it was refused, in the order given.

        Raises:
            Busy: the disk is full; those of the last group may be in the queue.

        Crash: those whose ids were yielded are there; of the group under way each is there, whole, or not.

        Cost: memory of one group: 512 jobs, 8 MiB.
        """
        return enqueue.enqueue_many(self, jobs)

    # --- looking

    def find(self, job_id: str) -> str | None:
        """Return the directory in which a job lies; None when there is none."""
        for _ in range(3):  # it may move from where we have not looked to where we have
            for directory in LOOK_ORDER:
                if self.files.exists(self.layout.job(directory, job_id)):
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
            try:
                job = self.read_in(directory, job_id)
            except InvalidData as error:
                raise _placed(error, directory, job_id) from None
            if job is not None:
                return job
        raise NotFound(f'no job "{job_id}"')

    def read_in(self, directory: str, job_id: str) -> Job | None:
        """Read a job that lies in `directory`; None when it has gone. What reads torn or wrong is read once more.

        Raises:
            InvalidData: the file is not a job.
        """
        try:
            fd = self._open(directory, job_id, READ)
        except FileNotFoundError:
            return None
        try:
            status = self.files.fstat(fd)
            try:
                record = read_record(self.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
                again = record.torn
            except InvalidData:
                again = True
            if again:  # it may have been read in the middle of a growth
                status = self.files.fstat(fd)
                record = read_record(self.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
            return Job(job_id, record, directory, self.files.fstat(fd).st_mtime)
        finally:
            self.files.close(fd)

    def _open(self, directory: str, job_id: str, flags: int) -> int:
        """Open a job's file; raises InvalidData for an entry that is no file of ours."""
        path = self.layout.job(directory, job_id)
        try:
            fd = self.files.open(path, flags)
        except OSError:
            status = self.files.lstat(path)
            wrong = None if status is None else wrong_with_inode(status)
            if wrong is None:
                raise
            raise InvalidData(wrong) from None
        try:
            wrong = wrong_with_inode(self.files.fstat(fd))
            if wrong is not None:
                raise InvalidData(wrong)
        except BaseException:
            self.files.close(fd)
            raise
        return fd

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
            return self.files.is_locked(fd)
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

        A claim in processing/ means that its worker is gone: whoever settles it must know that the run has ended.

        Raises:
            NotFound; Conflict when it runs; Busy when somebody else keeps it locked.
        """
        was_running = 0
        for _ in range(self.patience):
            directory = self.find(job_id)
            if directory is None:
                raise NotFound(f'no job "{job_id}"')
            try:
                claim = self.take_in(directory, job_id)
            except InvalidData as error:
                raise _placed(error, directory, job_id) from None
            if claim is not None:
                return claim
            was_running = was_running + 1 if directory == PROCESSING else 0
            if was_running == 2:
                raise Conflict(f"job {job_id} is running")
            rejected.nap()
        raise Busy(f"job {job_id} is locked by another process", "try again")

    def take_in(self, directory: str, job_id: str) -> Claim | None:
        """Lock a job that lies in `directory`; None when it has gone, or moved on, or somebody else has it.

        What a crash left half done is done first: a second name is taken away, and a job in pending/ that has ended
        is moved where it belongs.

        Raises:
            InvalidData: the file is not a job, whole or torn.
        """
        path = self.layout.job(directory, job_id)
        try:
            fd = self.files.open(path, CHANGE)
        except FileNotFoundError:
            return None
        except OSError:
            self.files.close(self._open(directory, job_id, READ))  # raises InvalidData if this is no file
            raise
        claim, is_given = None, False
        try:
            if not self.files.try_lock(fd):
                return None
            status = self.files.fstat(fd)
            there = self.files.lstat(path)
            if there is None or there.st_ino != status.st_ino:
                return None
            wrong = wrong_with_inode(status)
            if wrong:
                raise InvalidData(wrong)
            if status.st_nlink > 1 and merge_names(self, job_id, status.st_ino) != directory:
                return None
            record = read_record(self.files.read(fd, MAX_FILE_BYTES), directory, status.st_mode)
            claim = Claim(self, JobFile(self, fd, directory, job_id, record, status))
            if directory == PENDING and leads_to(record.history) in (DONE, DEAD):
                claim.finish_move()
                return None
            is_given = True
            return claim
        finally:
            if claim is None:
                self.files.close(fd)
            elif not is_given:
                claim.close()

    # --- small things

    def reject(self, directory: str, name: str, reason: str) -> str:
        """Move an entry that is no job to rejected/; see `aside.reject`."""
        return rejected.reject(self, directory, name, reason)

    def note_change(self, job_id: str) -> None:
        """Tell the index that a job changed in a way that no directory shows."""
        if not self.announce:
            return
        try:
            self.files.append(self.changes_path, f"{job_id}\n".encode())
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.files.touch(self.layout.directory(PENDING))  # then the directory has to show it

    @property
    def changes_path(self) -> str:
        """Where changed ids are noted until the index has read them."""
        return self.layout.changes

    def keep_ballast(self) -> None:
        """Reserve 1 MiB on the disk, to be given up for verdicts when it is full."""
        path = self.layout.ballast
        try:
            if not self.files.exists(path):
                fd = self.files.open(path, APPEND)
                try:
                    self.files.reserve(fd, BALLAST_BYTES)
                finally:
                    self.files.close(fd)
        except OSError:
            return  # no room for ballast: the disk is as full as it gets

    def free_ballast(self) -> bool:
        """Give the reserve up; False when it had gone already."""
        try:
            self.files.unlink(self.layout.ballast)
        except OSError:
            return False
        return True


def _placed(error: InvalidData, directory: str, job_id: str) -> InvalidData:
    """Return the error of a file that is no job, saying which file it is."""
    hint = "mend the file, or move it out of the spool"
    return InvalidData(f"spool/{directory}/{job_id}{SUFFIX}: {error}", hint, error.excerpt)


def check_id(job_id: str) -> str:
    """Return `job_id` or raise InvalidData with the grammar of ids."""
    if not is_id(job_id):
        raise InvalidData(f"{job_id!r} is not an id: {ID_GRAMMAR}")
    return job_id


__all__ = ["DIRECTORIES", "Spool", "check_id"]
