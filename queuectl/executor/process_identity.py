"""identity: which process is which, and what it uses. psutil's place, with hunt.

Guarantees: a signal reaches only the process that was meant: its start time is compared after a pidfd pins it.
Source:     pidfd_open(2), pidfd_send_signal(2), prctl(2) PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import psutil

from queuectl.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_CHILD_SUBREAPER = 36


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal to exactly this process; False when it has ended, or is not ours to signal."""
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


def watch(pid: int) -> Callable[[], bool]:
    """Return a function that tells whether the process that has this pid now still runs."""
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
    """Have orphaned descendants become our children; False where the system cannot (not Linux)."""
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
    """Tell whether we have any child, living or not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def has_dead_child() -> bool:
    """Tell whether a child of ours has died that we have not waited for yet."""
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


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    """Return what a process has started, and so on; psutil alone looks at every process of the system for that."""
    found: list[psutil.Process] = []
    parents = [root.pid]
    try:
        for pid in parents:
            children: list[int] = []
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                    children += map(int, file.read().split())
            parents += children
    except OSError:  # not Linux, or it has just ended
        return [*root.children(recursive=True)]
    for pid in parents[1:]:
        try:
            found.append(psutil.Process(pid))
        except psutil.Error:
            continue
    return found
