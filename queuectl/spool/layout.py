"""layout: where everything lies under the queue's home directory.

Owns:       the names of directories and files; nobody else joins a path under the home.
Guarantees: a path is built only from an id that `is_id` accepted; directories are 0700.
Fails with: NotAllowed for a home that is not ours alone.
"""

from __future__ import annotations

import os
import stat

from queuectl.errors import NotAllowed, NotFound
from queuectl.fields import is_id

SUFFIX = ".json"
IGNORED_SUFFIXES = (".tmp", ".part", "~")
FOLDERS = (
    *("spool", "spool/tmp", "spool/pending", "spool/processing", "spool/done", "spool/dead", "spool/rejected"),
    *("output", "input", "state", "logs", "run"),
)


def default_home() -> str:
    """Return `$QUEUECTL_HOME`, else `~/.queuectl`."""
    return os.path.abspath(os.environ.get("QUEUECTL_HOME") or os.path.expanduser("~/.queuectl"))


class Layout:
    """The paths of one home directory, all absolute."""

    __slots__ = ("home", "output", "rejected", "run", "spool", "tmp")

    def __init__(self, home: str) -> None:
        self.home = os.path.abspath(home)
        self.spool = f"{self.home}/spool"
        self.tmp = f"{self.spool}/tmp"
        self.rejected = f"{self.spool}/rejected"
        self.output = f"{self.home}/output"
        self.run = f"{self.home}/run"

    def directory(self, name: str) -> str:
        """Return the path of pending, processing, done or dead."""
        return f"{self.spool}/{name}"

    def job(self, directory: str, job_id: str) -> str:
        """Return the path of a job's file.

        Raises:
            NotFound: `job_id` cannot be an id, so no such job can exist.
        """
        if not is_id(job_id):
            raise NotFound(f"no job {job_id!r}: not an id")
        return f"{self.spool}/{directory}/{job_id}{SUFFIX}"

    def output_of(self, job_id: str, attempt: int, kind: str = "log") -> str:
        """Return the path of what attempt `attempt` wrote; `kind` is log, result or progress."""
        return f"{self.output}/{job_id}.{attempt}.{kind}"

    def log(self, name: str) -> str:
        """Return the path of a log: `supervisor` or `worker-1`."""
        return f"{self.home}/logs/{name}.log"

    @property
    def index(self) -> str:
        """The derived SQLite file."""
        return f"{self.home}/index.sqlite3"

    def ensure(self) -> None:
        """Create what is missing and refuse a home that others can write to.

        Crash: some directories exist, others not; the next call makes the rest.
        """
        os.makedirs(self.home, mode=0o700, exist_ok=True)
        self.check()
        for folder in FOLDERS:
            try:
                os.mkdir(f"{self.home}/{folder}", 0o700)
            except FileExistsError:
                continue

    def check(self) -> None:
        """Raise NotAllowed unless the home belongs to us and nobody else may write there."""
        status = os.stat(self.home)
        if not stat.S_ISDIR(status.st_mode):
            raise NotAllowed(f"{self.home} is not a directory")
        if status.st_uid != os.geteuid():
            raise NotAllowed(
                f"{self.home} belongs to user {status.st_uid}, not to you (user {os.geteuid()})",
                "run queuectl as its owner, or set QUEUECTL_HOME to a directory of your own",
            )
        if status.st_mode & 0o022:
            raise NotAllowed(
                f"{self.home} may be written by others, who could then run commands as you", f"chmod 700 {self.home}"
            )


def job_id_of(name: str) -> str | None:
    """Return the id that a file name in a state directory stands for; None when it is not a job's name."""
    job_id = name[: -len(SUFFIX)]
    return job_id if name.endswith(SUFFIX) and is_id(job_id) else None


def is_ignored(name: str) -> bool:
    """Tell whether a name in pending/ is something being written, none of our business yet."""
    return name.startswith(".") or name.endswith(IGNORED_SUFFIXES) or not name.endswith(SUFFIX)
