"""supervisor_lock: one supervisor a home, and one writer of the index.

Owns:       run/supervisor.lock, run/supervisor.json (for people and messages; no decision reads it); holds run/index.lock.
Guarantees: the kernel frees the locks the moment their holder dies. A forked worker closes its copies without unlocking.
Fails with: Conflict, naming the holder; NotAllowed on a network file system.
"""

from __future__ import annotations

import fcntl
import json
import os
import time

from queuectl.atomic_file import open_private
from queuectl.clock import Clock
from queuectl.control_client import run_of
from queuectl.errors import Busy, Conflict, NoSupervisor, NotAllowed
from queuectl.index.lock import IndexLock, Lock
from queuectl.job.history import PROCESSING
from queuectl.spool.layout import job_id_of, shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.spool.layout import Layout

NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.glusterfs")
CHANGE_S = 5.0  # from the lock to the first answer, or from the last answer to the end
ASKING_S = 0.02  # a process that only asks (`is_owned`) holds the lock for microseconds
FORCE = "QUEUECTL_ALLOW_NETWORK_HOME"
RUN_FILES = ("control.sock", "supervisor.json")  # of a running supervisor


def _lock_of(layout: Layout) -> Lock:
    return Lock(f"{layout.run}/supervisor.lock")


class SupervisorLock:
    """Held by the supervisor for as long as it runs.

    Args:
        lock_fd: the descriptor by which this process has held the lock since before a restart.

    Attributes:
        is_kept: the lock stays held after the `with` block; `kept_fd` is its descriptor.
    """

    def __init__(self, layout: Layout, lock_fd: int | None = None) -> None:
        self._layout = layout
        self._lock_fd = lock_fd
        self.is_kept = False
        self.kept_fd = -1
        self._lock = _lock_of(layout)
        self._index = IndexLock(layout)

    def __enter__(self) -> SupervisorLock:
        _refuse_network(self._layout.home)
        is_ours = self._lock_fd is not None and self._lock.inherit(self._lock_fd)
        if not is_ours and not self._lock.try_take(ASKING_S, ASKING_S / 4):
            raise Conflict(f"another supervisor{_holder(self._layout)} owns {shorten(self._layout.home)}")
        try:
            self._index.take()
        except Busy:
            self._lock.release()
            raise
        note = f"{self._layout.run}/supervisor.json"
        if os.path.lexists(note):  # an old one may have another mode
            os.unlink(note)
        with open(open_private(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as file:
            run = run_of(self._layout)
            json.dump({"pid": os.getpid(), "started_at": Clock().now(), "run": run}, file)
        return self

    def __exit__(self, *_: object) -> None:
        for name in RUN_FILES:
            try:
                os.unlink(f"{self._layout.run}/{name}")
            except OSError:
                continue
        self._index.release()
        if self.is_kept:
            self.kept_fd = self._lock.release_to_exec()
        else:
            self._lock.release()


class RunningSupervisor:
    """The supervisor that answered when this was created, so that its end is seen although another one follows.

    Raises:
        NoSupervisor: none answers.
    """

    def __init__(self, layout: Layout) -> None:
        from queuectl import control_client
        from queuectl.executor import process_tree

        self.layout = layout
        answer = control_client.ask(layout, {"do": "hello"})
        self._id = (answer["pid"], answer["started_at"])
        self._is_alive = process_tree.watch(answer["pid"])

    @property
    def is_alive(self) -> bool:
        """Its process has not ended; a restart keeps the process."""
        return bool(self._is_alive())

    def status(self, timeout_s: float) -> dict[str, Any] | None:
        """Return its `status` answer; None if it no longer answers, or another supervisor does.

        Raises:
            TimedOut: it did not answer in time.
        """
        from queuectl import control_client

        try:
            answer = control_client.ask(self.layout, {"do": "status"}, timeout_s=timeout_s)
        except NoSupervisor:
            return None
        return answer if (answer["pid"], answer["started_at"]) == self._id else None


def find_supervisor(layout: Layout) -> RunningSupervisor | None:
    """Return the supervisor of a home; None if none owns it. One that is starting or stopping is waited for."""
    deadline = Clock().monotonic() + CHANGE_S
    while True:
        try:
            return RunningSupervisor(layout)
        except NoSupervisor:
            if not is_owned(layout) or Clock().monotonic() >= deadline:
                return None
        time.sleep(ASKING_S)


def holder_of(layout: Layout) -> int | None:
    """Return the pid of the process that holds the supervisor's lock, without taking it; None if none is found."""
    from queuectl.executor import process_tree

    return next((process.pid for process in process_tree.holders_of(f"{layout.run}/supervisor.lock")), None)


def noted_pid(layout: Layout) -> int | None:
    """Return the pid in run/supervisor.json: that supervisor runs, or it was killed.

    None if the file belongs to another home from which this one was copied.
    """
    try:
        path = f"{layout.run}/supervisor.json"
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as file:  # it may be a FIFO
            known = json.load(file)
        return int(known["pid"]) if known.get("run", run_of(layout)) == run_of(layout) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_leftovers(layout: Layout) -> list[str]:
    """Remove the files that a killed supervisor left in run/; return their names.

    Raises:
        Conflict: a supervisor runs.
    """
    lock = _lock_of(layout)
    if not lock.try_take():
        raise Conflict(f"a supervisor{_holder(layout)} has just been started")
    try:
        left = [name for name in RUN_FILES if os.path.lexists(f"{layout.run}/{name}")]
        for name in left:
            os.unlink(f"{layout.run}/{name}")
    finally:
        lock.release()
    return left


def is_owned(layout: Layout) -> bool:
    """Tell whether a supervisor owns the home, even if it does not answer."""
    return _is_locked(f"{layout.run}/supervisor.lock")


def jobs_of_orphaned_workers(layout: Layout) -> list[str]:
    """Return the jobs that workers of a dead supervisor still run.

    Meaningful only while no supervisor owns the home: its workers hold their jobs in the same way.
    """
    directory = layout.directory(PROCESSING)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [job_id for name in names if (job_id := job_id_of(name)) and _is_locked(f"{directory}/{name}")]


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # it has gone, or is no file of a job
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _holder(layout: Layout) -> str:
    from queuectl.units import spell_duration

    try:
        with open(f"{layout.run}/supervisor.json", encoding="utf-8") as file:
            known = json.load(file)
        return f" (pid {known['pid']}, up {spell_duration(Clock().now() - known['started_at'])})"
    except (OSError, ValueError, KeyError):
        return ""


def _refuse_network(home: str) -> None:
    """Refuse network file systems: their locks and renames do not give the guarantees that the queue needs."""
    kind = file_system_of(home)
    if kind in NETWORK and not os.environ.get(FORCE):
        raise NotAllowed(
            f"{home} is on a network file system ({kind}), where the queue's guarantees do not hold",
            f"move QUEUECTL_HOME to a local disk, or set {FORCE}=1 to try all the same",
        )


def file_system_of(path: str) -> str:
    """Return the kind of file system that a path lies on, "ext4"; "" if the system does not report it."""
    try:
        device = os.stat(path).st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", encoding="utf-8") as lines:
            for line in lines:
                mount, _, rest = line.partition(" - ")
                if mount.split()[2] == wanted:
                    return rest.split()[0]
    except (OSError, IndexError):
        return ""
    return ""
