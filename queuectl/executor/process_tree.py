"""hunt: finding every process of a run, and ending them.

Owns:       the search by parentage, by the tag QUEUECTL_RUN_ID and by the run's lock, and the sequence TERM, CONT, grace, KILL.
Guarantees: a process is signalled only when it descends from the run, carries its tag (and this home's), or holds its lock.
Source:     spool/FORMAT.md § Locks. Programs such as ssh close inherited descriptors, so the lock alone proves too little;
            others start with an empty environment, so the tag alone does as well. proc(5) § fdinfo shows who holds a lock.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from queuectl.executor import process_identity
from queuectl.executor.environment import HOME_TAG, TAG

if TYPE_CHECKING:
    from collections.abc import Callable

    Find = Callable[[], list[psutil.Process]]

LOOK_AGAIN_S = 0.05
DESCRIBED = 20  # processes of which it is noted what they were


def tag_of(process: psutil.Process, home: str) -> str | None:
    """Return the id of the run of this home that a process belongs to, as far as its environment tells."""
    try:
        environ = process.environ()
    except (psutil.Error, OSError):
        return None
    return environ.get(TAG) if _is_same(environ.get(HOME_TAG, ""), home) else None


def belongs_elsewhere(process: psutil.Process, home: str) -> bool:
    """Tell whether a process belongs to a run of another home.

    One that is still there: a home that was moved takes its runs with it.
    """
    try:
        tag = process.environ().get(HOME_TAG, "")
    except (psutil.Error, OSError):
        return False
    return bool(tag) and os.path.isdir(tag) and not _is_same(tag, home)


def _is_same(tag: str, home: str) -> bool:
    """Tell whether two paths name the same home, perhaps through a link."""
    try:
        return tag == home or (tag != "" and os.path.samefile(tag, home))
    except OSError:
        return False


def tagged(home: str) -> dict[str, list[psutil.Process]]:
    """Return all living processes of this home's runs, by run id. Cost: one pass over /proc."""
    found: dict[str, list[psutil.Process]] = {}
    for pid in psutil.pids():  # psutil.process_iter remembers who had a pid before
        try:
            process = psutil.Process(pid)
        except psutil.Error:
            continue
        tag = tag_of(process, home)
        if tag and process_identity.is_alive(process):
            found.setdefault(tag, []).append(process)
    return found


def holders_of(path: str) -> list[psutil.Process]:
    """Return the living processes that hold the lock of a run's output file; who only reads it does not.

    Cost: one pass over all descriptors in /proc. Nobody where there is no /proc.
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

    Not those of another home: where a copy was made of hard links, both homes have the same lock.
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
        return [p for p in psutil.Process(pid).children() if process_identity.is_alive(p)]
    except psutil.Error:
        return []


def descendants_of(pid: int) -> list[psutil.Process]:
    """Return all living descendants of a process."""
    try:
        return [p for p in psutil.Process(pid).children(recursive=True) if process_identity.is_alive(p)]
    except psutil.Error:
        return []


def with_descendants(pid: int) -> list[psutil.Process]:
    """Return a process and all its living descendants."""
    try:
        root = psutil.Process(pid)
    except psutil.Error:
        return []
    return [p for p in (root, *descendants_of(pid)) if process_identity.is_alive(p)]


class Ending:
    """Ends all processes that `find` returns: TERM, after `grace_s` KILL, and again until none is left.

    A process that is stopped (SIGSTOP, SIGTSTP) acts on SIGTERM only once it is continued, so it gets SIGCONT as well.
    Never blocks: the loop calls `step` when a child has died or the time it returned has come.

    Attributes:
        asked: the processes that were signalled, the first of them with their command lines.
    """

    def __init__(self, find: Find, grace_s: float, now: float) -> None:
        self._find = find
        self._kill_at = now + grace_s
        self.asked: dict[psutil.Process, str] = {}

    def hasten(self, now: float) -> None:
        """No more grace: KILL from the next step on."""
        self._kill_at = min(self._kill_at, now)

    def step(self, now: float) -> float | None:
        """Signal who is left.

        Args:
            now: monotonic seconds.

        Returns:
            When to call again, or None when no process is left.
        """
        left = [process for process in self._find() if process.pid != os.getpid()]
        if not left:
            return None
        new = [process for process in left if process not in self.asked]
        for process in new:
            self.asked[process] = process_identity.command_of(process) if len(self.asked) < DESCRIBED else ""
        if now >= self._kill_at:
            for process in left:
                process_identity.send(process, signal.SIGKILL)
            return now + LOOK_AGAIN_S
        for process in new:
            process_identity.send(process, signal.SIGTERM)
        for process in left:
            if process_identity.is_stopped(process.pid):
                process_identity.send(process, signal.SIGCONT)
        return min(now + LOOK_AGAIN_S, self._kill_at)
