"""limits: starts a command with limits and priorities of its own, and measures what its processes use.

Owns:       `nice`, `ionice`, `memory` and `cpu_time` of a job.
Guarantees: priorities and the processor time of each process are set before the first instruction of the command, and are
            inherited by everything that it starts. What the system refuses is an error; the command is then not started.
            The use of all processes together is measured; the attempt ends them.
Fails with: OSError, as execve would; LimitRefused.
Source:     setpriority(2), ioprio_set(2), setrlimit(2), proc(5) § status, stat, smaps_rollup.
"""

from __future__ import annotations

import math
import os
import resource
import signal
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from queuectl.executor.spawn import Files

KILLED_AFTER_S = 10  # of processor time, a process that ignores SIGXCPU
IO_CLASSES = {"idle": 3, "best-effort": 2, "realtime": 1}  # <linux/ioprio.h>
EXECUTE = "execute"
VMSTAT = "/proc/vmstat"


class LimitRefused(Exception):
    """The system refuses a limit or priority of a job; the text says which."""


class Limits(NamedTuple):
    """What a job says of itself; None where it says nothing."""

    nice: int | None
    ionice: str | None
    memory_bytes: int | None
    cpu_s: float | None


NO_LIMITS = Limits(None, None, None, None)
FIELDS = frozenset(("nice", "ionice", "memory", "cpu_time"))


def limits_of(fields: Mapping[str, Any]) -> Limits:
    """Return the limits of a job; cheap for one without."""
    if FIELDS.isdisjoint(fields):
        return NO_LIMITS
    return Limits(fields.get("nice"), fields.get("ionice"), fields.get("memory"), fields.get("cpu_time"))


# --- starting


def spawn_limited(
    program: str, arguments: Sequence[str], environment: Mapping[str, str], files: Files, limits: Limits
) -> int:
    """Start `program` as `spawn` does, with these limits, and return its pid.

    Raises:
        OSError: it cannot be executed.
        UnicodeEncodeError: the encoding of the system cannot represent an argument.
        LimitRefused.

    Cost: fork copies the page tables of this process, which takes about as long as starting a shell.
    """
    argv = [os.fsencode(argument) for argument in arguments]
    envp = {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}
    told, tell = os.pipe2(os.O_CLOEXEC)
    try:
        mask = signal.pthread_sigmask(
            signal.SIG_SETMASK, signal.valid_signals()
        )  # a handler of ours must not run there
        try:
            pid = os.fork()
            if pid == 0:
                _become(os.fsencode(program), argv, envp, files, limits, tell)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(tell)
        failure = os.read(told, 4096)  # nothing once the program is executed
    finally:
        os.close(told)
    if failure:
        os.waitpid(pid, 0)
        step, _, code = failure.decode().rpartition(" ")
        if step == EXECUTE:
            raise OSError(int(code), os.strerror(int(code)), program)
        raise LimitRefused(_refusal(step, limits, int(code)))
    return pid


def _become(
    program: bytes,
    argv: list[bytes],
    envp: Mapping[bytes, bytes],
    files: Files,
    limits: Limits,
    tell: int,
) -> None:
    """Turn this freshly forked process into the command; does not return."""
    step = EXECUTE
    try:
        os.setsid()
        for target, source in files:
            flags = os.O_WRONLY if target else os.O_RDONLY
            os.dup2(source if isinstance(source, int) else os.open(source, flags), target)
            os.set_inheritable(target, True)  # also if it had that number before
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        if limits.nice is not None:
            step = "nice"
            os.setpriority(os.PRIO_PROCESS, 0, limits.nice)
        if limits.ionice is not None:
            step = "ionice"
            name, _, level = limits.ionice.partition(":")
            psutil.Process().ionice(IO_CLASSES[name], int(level) if level else None)
        if limits.cpu_s is not None:
            step = "cpu_time"
            _limit_processor(limits.cpu_s)
        step = EXECUTE
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execve(program, argv, envp)
    except psutil.AccessDenied:
        os.write(tell, f"{step} 1".encode())
    except OSError as error:
        os.write(tell, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)


def _limit_processor(cpu_s: float) -> None:
    """Let the kernel end a process of its own accord: it counts the time of each process by itself, in whole seconds."""
    _, hardest = resource.getrlimit(resource.RLIMIT_CPU)
    soft, hard = math.ceil(cpu_s), math.ceil(cpu_s) + KILLED_AFTER_S
    if hardest != resource.RLIM_INFINITY:
        soft, hard = min(soft, hardest), min(hard, hardest)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _refusal(step: str, limits: Limits, code: int) -> str:
    if step == "nice":
        return f"cannot set nice to {limits.nice}: {os.strerror(code)}; a higher priority needs root or ulimit -e"
    if step == "ionice":
        return f"cannot set ionice to {limits.ionice}: {os.strerror(code)}; realtime needs root"
    return f"cannot limit {step}: {os.strerror(code)}"


# --- measuring


class Used(NamedTuple):
    """What processes use together at one moment."""

    memory_bytes: int
    cpu_s: float


def measure(pids: Collection[int], suspicious_bytes: float = math.inf) -> Used:
    """Return what processes use together.

    Memory that several of them share is counted for each, unless the sum is above `suspicious_bytes`: then each gets its
    share of it, which takes longer to find out. Memory in swap counts. Processor time includes that of children that
    have ended.
    """
    memory = sum(map(_resident, pids))
    if memory > suspicious_bytes:
        memory = sum(map(_proportional, pids))
    return Used(memory, sum(map(_processor, pids)))


def _resident(pid: int) -> int:
    return _sum_of(f"/proc/{pid}/status", ("VmRSS:", "VmSwap:")) or 0


def _proportional(pid: int) -> int:
    exact = _sum_of(f"/proc/{pid}/smaps_rollup", ("Pss:", "SwapPss:"))
    return _resident(pid) if exact is None else exact


def _sum_of(path: str, names: tuple[str, ...]) -> int | None:
    """Return the sum of the named lines, which are in kB; None where the file cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith(names))
    except (OSError, ValueError, IndexError):
        return None


def _processor(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            words = file.read().rpartition(")")[2].split()
        return sum(int(word) for word in words[11:15]) / _TICKS
    except (OSError, ValueError):
        return 0.0


_TICKS = os.sysconf("SC_CLK_TCK")


def processes_killed_for_memory() -> int | None:
    """Return how many processes the kernel of this machine has ended because memory ran out; None if it does not say."""
    try:
        with open(VMSTAT, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), None)
    except (OSError, ValueError, IndexError):
        return None
