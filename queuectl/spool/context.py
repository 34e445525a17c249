"""context: what every operation on the spool needs.

Owns:       the paths, the settings, the clock and the system calls of one home; questions that names and locks answer;
            run/changes and the ballast file.
Source:     spool/FORMAT.md.
"""

from __future__ import annotations

from queuectl.clock import Clock
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING
from queuectl.spool.fs import APPEND, FULL, READ, Files
from queuectl.spool.layout import job_id_of
from queuectl.spool.quiet_timer import QuietTimer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.config.settings import Settings
    from queuectl.spool.layout import Layout

BALLAST_BYTES = 1 << 20
LEAST_FREE_BYTES = 2 * BALLAST_BYTES  # that a job needs to start; the space of the ballast does not count
SEARCH_ORDER = (PENDING, PROCESSING, DONE, DEAD)


class SpoolContext:
    """One home's paths, settings, clock and system calls.

    Args:
        layout: the paths.
        settings: the owner replaces this attribute when the configuration changes.
        announce: append the ids of changed jobs to run/changes; off in the supervisor and its workers, which report
            changes on their own.

    Attributes:
        registered: batches that this process has found or made durable in state/batches/.
        patience: how often a lock that is held only briefly is tried, 20 ms apart.
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
        self.registered: set[str] = set()
        self.quiet_timer = QuietTimer()

    @property
    def is_durable(self) -> bool:
        """What is acknowledged has to survive a power cut."""
        return self.settings.durability == "full"

    # --- jobs by name

    def find(self, job_id: str) -> str | None:
        """Return the directory in which a job lies; None when there is none."""
        for _ in range(3):  # a job may move from a directory not yet searched to one already searched
            for directory in SEARCH_ORDER:
                if self.files.exists(self.layout.job(directory, job_id)):
                    return directory
        return None

    def ids(self, directory: str) -> Iterator[str]:
        """Yield the ids in a directory, in no order."""
        for name in self.files.names(self.layout.directory(directory)):
            job_id = job_id_of(name)
            if job_id is not None:
                yield job_id

    def open_state(self, path: str, flags: int) -> int:
        """Open a file below state/; a folder that a home of an earlier version lacks is made."""
        try:
            return self.files.open(path, flags)
        except FileNotFoundError:
            self.layout.ensure()
            return self.files.open(path, flags)

    def run_is_locked(self, job_id: str, attempt: int) -> bool:
        """Return whether a process of an attempt still holds the attempt's output open."""
        try:
            fd = self.files.open(self.layout.output_of(job_id, attempt), READ)
        except FileNotFoundError:
            return False
        try:
            return self.files.is_locked(fd)
        finally:
            self.files.close(fd)

    def sync_started(self, job_id: str) -> None:
        """Sync a running job's file; does nothing when the job has left processing/."""
        try:
            fd = self.files.open(self.layout.job(PROCESSING, job_id), READ)
        except FileNotFoundError:
            return
        try:
            self.files.sync_data(fd)
        finally:
            self.files.close(fd)

    # --- files of state/

    def names_in(self, directory: str) -> list[str]:
        """Return the names in a directory; none when a home of an earlier version does not have it."""
        try:
            return [*self.files.names(directory)]
        except FileNotFoundError:
            return []

    def write_new(self, data: bytes, directory: str, path: str) -> None:
        """Write a new file and give it the name `path`, whole and durable; the directory of `path` is left to the caller to sync.

        Args:
            directory: where it is written if the file system has no unnamed files.

        Raises:
            FileExistsError: there is such a file.

        Crash: a temporary file in `directory` where unnamed files do not exist, or none; the named file is whole or not there.
        """
        fd, temporary = self.files.create(directory)
        try:
            self.files.write(fd, data, 0)
            if self.is_durable:
                self.files.sync(fd)
            self.files.publish(fd, temporary, path)
            temporary = None
        finally:
            self.files.close(fd)
            if temporary is not None:
                self.files.unlink(temporary)

    # --- changes and the ballast

    def note_change(self, job_id: str) -> None:
        """Note for the index that a job changed in a way that no directory shows."""
        if not self.announce:
            return
        try:
            self.files.append(self.changes_path, f"{job_id}\n".encode())
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.files.touch(self.layout.directory(PENDING))  # then the changed directory makes the index look

    @property
    def changes_path(self) -> str:
        """Where changed ids are noted until the index has read them."""
        return self.layout.changes

    def keep_ballast(self) -> None:
        """Reserve 1 MiB of the disk; it is freed for verdicts when the disk is full."""
        path = self.layout.ballast
        try:
            if not self.files.exists(path):
                fd = self.files.open(path, APPEND)
                try:
                    self.files.reserve(fd, BALLAST_BYTES)
                except OSError:
                    self.files.unlink(path)  # an empty one would keep the next call from reserving
                finally:
                    self.files.close(fd)
        except OSError:
            return  # the disk is full already

    def free_ballast(self) -> bool:
        """Free the reserve; returns False when there was none."""
        try:
            self.files.unlink(self.layout.ballast)
        except OSError:
            return False
        return True
