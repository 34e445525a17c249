"""layout: where everything lies under the queue's home directory.

Owns:       the names of directories and files; no other module joins a path under the home.
Guarantees: a path is built only from an id that `is_id` accepted; directories are made 0700.
Fails with: NotAllowed for a home that is not ours alone; InvalidData for one of a later format.
"""

from __future__ import annotations

import os
import stat

from queuectl.atomic_file import make_directory, make_parents
from queuectl.errors import InvalidData, NotAllowed, NotFound
from queuectl.ids import ID_GRAMMAR, is_id

FORMAT = 1  # of the spool: FORMAT.md § Versions
SUFFIX = ".json"
BAD_NAME = f"bad name: a job file must be called ID.json, where ID is {ID_GRAMMAR}"
IGNORED_SUFFIXES = (".tmp", ".part", "~")
# The directories of a home, each with the first thing that stops when it cannot be written to: ENQUEUE needs few of them,
# RUN (of each job) more, START (of workers) all. The home itself is needed to RUN: the index lies there.
ENQUEUE, RUN, START = "enqueue", "run", "start"
FOLDERS = {
    **{"spool": RUN, "spool/tmp": ENQUEUE, "spool/pending": ENQUEUE, "spool/processing": RUN, "spool/done": RUN},
    **{"spool/dead": RUN, "spool/rejected": START},
    **{
        "output": RUN,
        "input": START,
        "state": START,
        "state/paused": START,
        "state/hooks": START,
        "state/schedules": START,
        "state/batches": START,
        "logs": START,
        "run": RUN,
    },
}
OUTPUT_KINDS = ("log", "result", "progress")
REASON = ".reason"  # of a note on a file in rejected/

_recent: set[str] = set()  # ids: the paths of one job are built again and again while it is claimed and settled
RECENT_MAX = 1024  # `lru_cache` would do as well; to import it costs a third of what `queuectl enqueue` does


def default_home() -> str:
    """Return `$QUEUECTL_HOME`, else `~/.queuectl`; a `~` that no shell has replaced means what it means to one.

    Raises:
        NotFound: neither HOME nor passwd has a home directory.
    """
    home = os.environ.get("QUEUECTL_HOME") or "~/.queuectl"
    if home.startswith("~/") and not os.environ.get("HOME"):
        import pwd

        try:
            return os.path.abspath(pwd.getpwuid(os.geteuid()).pw_dir + home[1:])
        except KeyError:
            why = f"there is no home directory: HOME is not set, and user {os.geteuid()} is not in passwd"
            raise NotFound(why, "set QUEUECTL_HOME to the directory of the queue") from None
    return os.path.abspath(os.path.expanduser(home))


class Layout:
    """The paths of one home directory, all absolute."""

    __slots__ = ("home", "input", "logs", "output", "rejected", "run", "spool", "tmp")

    def __init__(self, home: str) -> None:
        self.home = os.path.abspath(home)
        self.spool = f"{self.home}/spool"
        self.tmp = f"{self.spool}/tmp"
        self.rejected = f"{self.spool}/rejected"
        self.output = f"{self.home}/output"
        self.input = f"{self.home}/input"
        self.logs = f"{self.home}/logs"
        self.run = f"{self.home}/run"

    def directory(self, name: str) -> str:
        """Return the path of pending, processing, done or dead."""
        return f"{self.spool}/{name}"

    def job(self, directory: str, job_id: str) -> str:
        """Return the path of a job's file.

        Raises:
            NotFound: `job_id` cannot be an id, so no such job can exist.
        """
        return f"{self.spool}/{directory}/{_checked(job_id)}{SUFFIX}"

    def output_of(self, job_id: str, attempt: int, kind: str = "log") -> str:
        """Return the path of what attempt `attempt` wrote; `kind` is log, result or progress."""
        return f"{self.output}/{_checked(job_id)}.{attempt}.{kind}"

    def input_of(self, job_id: str) -> str:
        """Return the path of what the job gets on stdin, if anything."""
        return f"{self.input}/{_checked(job_id)}"

    def log(self, name: str) -> str:
        """Return the path of a log: `supervisor` or `worker-1`."""
        return f"{self.logs}/{_checked(name)}.log"

    def mark(self, name: str) -> str:
        """Return the path of an empty file in state/ whose mtime is the time at which a task was last done."""
        return f"{self.home}/state/{_checked(name)}"

    @property
    def index(self) -> str:
        """The derived SQLite file."""
        return f"{self.home}/index.sqlite3"

    @property
    def web_token(self) -> str:
        """The secret that the page and its API ask for."""
        return f"{self.home}/web.token"

    @property
    def changes(self) -> str:
        """Where ids are noted of jobs that changed in a way that no directory shows."""
        return f"{self.run}/changes"

    @property
    def limits_lock(self) -> str:
        """Held while a job with a lock or needs is claimed."""
        return f"{self.run}/limits.lock"

    @property
    def dependents(self) -> str:
        """Locked while a job with parents is enqueued, and while jobs are removed; empty as long as none had parents."""
        return f"{self.home}/state/dependents"

    @property
    def paused(self) -> str:
        """The directory with an empty file for each pause: the name of the queue, _all, or @ and a schedule's name."""
        return f"{self.home}/state/paused"

    @property
    def hooks(self) -> str:
        """The directory with what is to be reported to hooks."""
        return f"{self.home}/state/hooks"

    @property
    def batches(self) -> str:
        """The directory with a file for each batch whose completion is reported."""
        return f"{self.home}/state/batches"

    def batch(self, name: str) -> str:
        """Return the path of the file of a batch."""
        return f"{self.batches}/{_checked(name)}"

    def prepared(self, batch: str) -> str:
        """Return the path of the completion job of a batch before it is published."""
        return f"{self.batches}/.{_checked(batch)}"

    @property
    def deliveries(self) -> str:
        """How the last reports to hooks were delivered; locked while they are."""
        return f"{self.home}/state/deliveries"

    @property
    def schedules(self) -> str:
        """The directory with a file for each schedule: the slots up to which it was decided."""
        return f"{self.home}/state/schedules"

    @property
    def ballast(self) -> str:
        """The space that is given up for verdicts when the disk is full."""
        return f"{self.run}/ballast"

    @property
    def has_spool(self) -> bool:
        """There is a queue here: its first job, or its first workers, have created it."""
        return os.path.isdir(self.spool)

    def refuse_writing(self, *folders: str) -> NotAllowed | None:
        """Return why one of these folders of the home, "" for itself, cannot be used; None when all can.

        Folders that do not exist are passed over.
        """
        for folder in folders:
            path = f"{self.home}/{folder}" if folder else self.home
            if os.access(path, os.R_OK | os.W_OK | os.X_OK) or not os.path.isdir(path):
                continue
            if hasattr(os, "ST_RDONLY") and os.statvfs(path).f_flag & os.ST_RDONLY:
                return NotAllowed(f"{path} is on a read-only file system", "dmesg says why; mount it again")
            mode = stat.S_IMODE(os.stat(path).st_mode)
            what = "read" if os.access(path, os.W_OK | os.X_OK) else "written to"
            return NotAllowed(f"{path} cannot be {what} (mode {mode:04o})", f"chmod u+rwx {path}")
        return None

    def refuse_use(self) -> tuple[str, NotAllowed] | None:
        """Return what cannot be done in this home, the most important of ENQUEUE, RUN and START, and why; None: all can."""
        if not os.access(f"{self.spool}/.", os.X_OK) and os.path.isdir(self.spool):
            closed = self.refuse_writing("spool")
            return None if closed is None else (ENQUEUE, closed)
        for need in (ENQUEUE, RUN, START):
            own = ("",) if need == RUN else ()
            refused = self.refuse_writing(*own, *(folder for folder, stops in FOLDERS.items() if stops == need))
            if refused is not None:
                return need, refused
        return None

    def ensure_run(self) -> None:
        """Create run/ for the index's lock where a queue has none, as one that was copied without it."""
        try:
            make_directory(self.run)
        except FileExistsError:
            return

    def ensure(self) -> None:
        """Create what is missing and refuse a home that others can write to.

        Crash: some directories exist, others not; the next call makes the rest.
        """
        try:
            make_parents(self.home)
            make_directory(self.home)
        except FileExistsError:
            if not os.path.isdir(self.home):
                raise NotAllowed(f"{self.home} is not a directory") from None
        except NotADirectoryError:
            raise NotAllowed(f"{self.home} has a parent that is not a directory") from None
        self.check()
        for folder in FOLDERS:
            path = f"{self.home}/{folder}"
            try:
                make_directory(path)
            except FileExistsError:
                self._check_folder(path, moves=folder.startswith("spool/") or folder == "state/batches")

    def _check_folder(self, path: str, *, moves: bool) -> None:
        """Refuse a folder that is not ours; what jobs move through must lie together, output and logs need not."""
        status = os.lstat(path) if moves else os.stat(path)
        _refuse_foreign(path, status)
        _refuse_closed(path, status, os.R_OK | os.W_OK | os.X_OK)
        if moves and status.st_dev != os.stat(self.spool).st_dev:
            raise NotAllowed(
                f"{path} is on another file system than {self.spool}", "jobs are moved by rename, never copied"
            )

    def check(self) -> None:
        """Raise NotAllowed unless the home is ours alone and we may look into it, InvalidData if it is newer."""
        status = os.stat(self.home)
        _refuse_foreign(self.home, status)
        _refuse_closed(self.home, status, os.R_OK | os.X_OK)
        refuse_newer(self.home)


def _checked(job_id: str) -> str:
    if job_id not in _recent:
        if not is_id(job_id):
            raise NotFound(f"no job {job_id!r}: not an id")
        if len(_recent) >= RECENT_MAX:
            _recent.clear()
        _recent.add(job_id)
    return job_id


def _refuse_foreign(path: str, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise NotAllowed(f"{path} is not a directory")
    if status.st_uid != os.geteuid():
        raise NotAllowed(
            f"{path} belongs to user {status.st_uid}, not to you (user {os.geteuid()})",
            "run queuectl as its owner, or set QUEUECTL_HOME to a directory of your own",
        )
    if status.st_mode & 0o022:
        raise NotAllowed(f"{path} is writable by other users, who could run commands as you", f"chmod 700 {path}")


def _refuse_closed(path: str, status: os.stat_result, access: int) -> None:
    """Refuse a directory of ours whose mode keeps us out."""
    mode = stat.S_IMODE(status.st_mode)
    if not os.access(path, access) and ~mode & (access << 6):
        raise NotAllowed(f"the mode of {path} ({mode:04o}) denies access to its owner", f"chmod 700 {path}")


def _at_once(path: str, flags: int) -> int:
    """Open a file; does not block if it is a FIFO."""
    return os.open(path, flags | os.O_NONBLOCK)


def refuse_newer(home: str) -> None:
    """Raise InvalidData for a home of a later format, in which nothing is to be changed."""
    try:
        with open(f"{home}/format", encoding="ascii", errors="replace", opener=_at_once) as file:
            said = file.read(64).strip()
    except FileNotFoundError:
        return
    if said == str(FORMAT):
        return
    from queuectl.version import __version__

    raise InvalidData(
        f"{home} has spool format {shown(said) or 'unknown'}; queuectl {__version__} knows format {FORMAT}",
        "use the version of queuectl that created it, or a later one; nothing was changed",
    )


def job_id_of(name: str) -> str | None:
    """Return the id that a file name in a state directory stands for; None when it is not a job's name."""
    job_id = name[: -len(SUFFIX)]
    return job_id if name.endswith(SUFFIX) and is_id(job_id) else None


def run_of(name: str) -> tuple[str, int] | None:
    """Return id and attempt that a file name in output/ stands for; None when it is not called as such files are."""
    rest, _, kind = name.rpartition(".")
    job_id, _, number = rest.rpartition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return (job_id, int(number)) if kind in OUTPUT_KINDS and is_number and is_id(job_id) else None


def is_ignored(name: str) -> bool:
    """Tell whether a name in pending/ is something being written, none of our business yet."""
    return name.startswith(".") or name.endswith(IGNORED_SUFFIXES) or not name.endswith(SUFFIX)


def shown(name: str) -> str:
    """Return a name found in a directory as it can be printed on one line: bytes and control characters escaped."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shorten(path: str) -> str:
    """Write a path as its owner would type it."""
    home = os.path.expanduser("~").rstrip("/")
    return "~" + path[len(home) :] if home and path.startswith(home + "/") else path
