"""process_tree: finds every process of a run, signals it, and ends all of them; which process is which, and what it uses.

Owns:       psutil, with the supervisor and the worker. The search by parent, by the tag QUEUECTL_RUN_ID and by the lock of
            the run. The sequence TERM, CONT, grace, KILL.
Guarantees: a process gets a signal only if it descends from the run, carries its tag (and that of this home), or holds its
            lock. The signal reaches only that process: its start time is compared after a pidfd pins it.
Source:     spool/FORMAT.md § Locks. Programs such as ssh close inherited descriptors, so the lock alone proves too little.
            Other programs start with an empty environment, so the tag alone proves too little as well. proc(5) § fdinfo
            shows which process holds a lock. pidfd_open(2), pidfd_send_signal(2), prctl(2) PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil

from queuectl.clock import Clock
from queuectl.executor.environment import HOME_TAG, TAG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Find = Callable[[], list[psutil.Process]]

PR_SET_CHILD_SUBREAPER = 36
LOOK_AGAIN_S = 0.05
LOOKS_FOR_NEW = 5  # that a process which is being stopped has started
DESCRIBED = 20  # processes whose command lines are recorded

# --- one process


def send_signal(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False if it has ended or the system refuses."""
    try:
        if not hasattr(os, "pidfd_open"):
            process.send_signal(number)  # psutil compares the start time itself
            return True
        pin = os.pidfd_open(process.pid)
        try:
            if not process.is_running():
                return False
            signal.pidfd_send_signal(pin, number)
        finally:
            os.close(pin)
    except (psutil.Error, OSError):
        return False
    return True


def signal_group(pid: int, number: int) -> bool:
    """Send a signal to the process group of a child that leads one and was not waited for, so that its pid is not reused."""
    try:
        os.killpg(pid, number)
    except OSError:
        return False
    return True


def stop_or_continue(find: Find, number: int) -> None:
    """Send SIGSTOP or SIGCONT to the processes that need it, also to those that were started meanwhile."""
    for _ in range(LOOKS_FOR_NEW):
        left = [p for p in find() if p.pid != os.getpid() and is_stopped(p.pid) != (number == signal.SIGSTOP)]
        if not sum(send_signal(process, signal.Signals(number)) for process in left):
            return


def watch(pid: int) -> Callable[[], bool]:
    """Return a function that tells whether the process that has this pid now is still running."""
    try:
        process = psutil.Process(pid)
    except psutil.Error:
        return lambda: False
    return lambda: is_alive(process)


def is_alive(process: psutil.Process) -> bool:
    """Tell whether the process still runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process; False where the system cannot (not Linux)."""
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def parent_of(pid: int) -> int | None:
    """Return the parent's pid; None when there is no such process."""
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None


def has_children() -> bool:
    """Tell whether this process has a child, living or not yet waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def has_dead_child() -> bool:
    """Tell whether a child of this process has ended and was not waited for yet."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def is_stopped(pid: int) -> bool:
    """Tell whether a process was stopped, by SIGSTOP or a debugger."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def was_continued(pid: int) -> bool:
    """Tell whether a child that was stopped has been continued, by whomever, since this was asked last."""
    try:
        return os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOHANG) is not None
    except ChildProcessError:
        return False


def command_of(process: psutil.Process) -> str:
    """Return the command line of a process, as far as it can be read; bytes that are not UTF-8 are replaced."""
    try:
        command = " ".join(process.cmdline()) or process.name()
    except (psutil.Error, OSError):
        return "?"
    return command.encode("utf-8", "replace").decode()


def usage(pid: int) -> tuple[float, int] | None:
    """Return (per cent of one processor since its start, resident bytes) of a process and its descendants."""
    try:
        root = psutil.Process(pid)
        tree = [root, *_descendants(root)]
        age = max(0.01, Clock().now() - root.create_time())
    except psutil.Error:
        return None
    cpu_s, rss = 0.0, 0
    for process in tree:
        try:
            times = process.cpu_times()
            cpu_s += times.user + times.system
            rss += process.memory_info().rss
        except psutil.Error:
            continue
    return 100 * cpu_s / age, rss


def usage_of_worker(worker: Mapping[str, Any]) -> dict[str, float | int | None]:
    """Return processor and memory of the command that a worker of a `status` answer runs, else of the worker."""
    pid = worker["command_pid"] or worker["pid"]
    cpu, rss = (usage(pid) if pid else None) or (None, None)
    return {"cpu_percent": None if cpu is None else round(cpu, 1), "rss_bytes": rss}


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    """Return all descendants of a process. psutil would read every process of the system for that."""
    found: list[psutil.Process] = []
    for pid in pids_below(root.pid)[1:]:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            continue
    return found


def pids_below(root: int) -> list[int]:
    """Return the pids of a process and of all its descendants, its own first."""
    pids = [root]
    for pid in pids:
        pids += _child_pids(pid)
    return pids


def _child_pids(pid: int) -> list[int]:
    """Return the pids of the children of a process; none if it has ended."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:  # not Linux, a kernel without this file, or it has just ended
        try:
            return [child.pid for child in psutil.Process(pid).children()]
        except psutil.Error:
            return []
    return found


# --- the processes of a run


def tag_of(process: psutil.Process, home: str) -> str | None:
    """Return the id of the run of this home that a process belongs to; None if its environment does not name one."""
    try:
        environ = process.environ()
    except (psutil.Error, OSError):
        return None
    return environ.get(TAG) if _is_same(environ.get(HOME_TAG, ""), home) else None


def belongs_elsewhere(process: psutil.Process, home: str) -> bool:
    """Tell whether a process belongs to a run of another home that exists.

    After a home was moved, its runs still name the old path.
    """
    try:
        tag = process.environ().get(HOME_TAG, "")
    except (psutil.Error, OSError):
        return False
    return bool(tag) and os.path.isdir(tag) and not _is_same(tag, home)


def _is_same(tag: str, home: str) -> bool:
    """Tell whether two paths name the same home, also through a link."""
    try:
        return tag == home or (tag != "" and os.path.samefile(tag, home))
    except OSError:
        return False


def tagged(home: str) -> dict[str, list[psutil.Process]]:
    """Return all living processes of this home's runs, by run id. Cost: one pass over /proc."""
    found: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():  # psutil.process_iter caches the earlier process of a pid
        try:
            process = psutil.Process(pid)
        except psutil.Error:
            continue
        tag = tag_of(process, home)
        if tag and is_alive(process):
            found.setdefault(tag, []).append(process)
    return found


def holders_of(path: str) -> list[psutil.Process]:
    """Return the living processes that hold the lock of a run's output file; readers do not.

    None where there is no /proc. Cost: one pass over all descriptors in /proc.
    """
    try:
        wanted = os.stat(path)
    except OSError:
        return []
    return [p for pid in psutil.pids() if _holds(pid, wanted) for p in with_descendants(pid)[:1]]


def _holds(pid: int, wanted: os.stat_result) -> bool:
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                status = os.stat(f"/proc/{pid}/fd/{name}")
                if (status.st_dev, status.st_ino) != (wanted.st_dev, wanted.st_ino):
                    continue
                with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as info:
                    if "FLOCK" in info.read():
                        return True
            except OSError:
                continue
    except OSError:
        return False
    return False


def find_run(home: str, tag: str, output: str, *, is_locked: bool) -> list[psutil.Process]:
    """Return the living processes of one run: those that carry its tag or hold its lock, and their descendants.

    Not those of another home: a copy made of hard links has the same lock.
    """
    found = {process.pid: process for process in tagged(home).get(tag, [])}
    for process in holders_of(output) if is_locked else ():
        if not belongs_elsewhere(process, home):
            found.setdefault(process.pid, process)
    for root in [*found]:
        for process in descendants_of(root):
            found.setdefault(process.pid, process)
    return list(found.values())


def children_of(pid: int) -> list[psutil.Process]:
    """Return the living children of a process."""
    try:
        return [p for p in psutil.Process(pid).children() if is_alive(p)]
    except psutil.Error:
        return []


def descendants_of(pid: int) -> list[psutil.Process]:
    """Return all living descendants of a process."""
    try:
        return [p for p in psutil.Process(pid).children(recursive=True) if is_alive(p)]
    except psutil.Error:
        return []


def with_descendants(pid: int) -> list[psutil.Process]:
    """Return a process and all its living descendants."""
    try:
        root = psutil.Process(pid)
    except psutil.Error:
        return []
    return [p for p in (root, *descendants_of(pid)) if is_alive(p)]


class Ending:
    """Ends all processes that `find` returns: TERM, after `grace_s` KILL, and again until none is left.

    A process that is stopped (SIGSTOP, SIGTSTP) acts on SIGTERM only once it is continued, so it gets SIGCONT as well.
    Never blocks: the loop calls `step` when a child has ended or the time it returned has come.

    Attributes:
        signalled: the processes that were signalled, the first DESCRIBED with their command lines.
    """

    def __init__(self, find: Find, grace_s: float, now: float) -> None:
        self._find = find
        self._kill_at = now + grace_s
        self.signalled: dict[psutil.Process, str] = {}

    def hasten(self, now: float) -> None:
        """End the grace period: send KILL from the next step on."""
        self._kill_at = min(self._kill_at, now)

    def step(self, now: float) -> float | None:
        """Signal the processes that are left.

        Args:
            now: monotonic seconds.

        Returns:
            When to call again, or None when no process is left.
        """
        left = [process for process in self._find() if process.pid != os.getpid()]
        if not left:
            return None
        new = [process for process in left if process not in self.signalled]
        for process in new:
            self.signalled[process] = command_of(process) if len(self.signalled) < DESCRIBED else ""
        if now >= self._kill_at:
            for process in left:
                send_signal(process, signal.SIGKILL)
            return now + LOOK_AGAIN_S
        for process in new:
            send_signal(process, signal.SIGTERM)
        for process in left:
            if is_stopped(process.pid):
                send_signal(process, signal.SIGCONT)
        return min(now + LOOK_AGAIN_S, self._kill_at)
