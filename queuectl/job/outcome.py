"""outcome: how one attempt ended, and how that is written into a history entry.

Guarantees: every way an attempt can end is exactly one of the values of Outcome.
"""

from __future__ import annotations

import os

from queuectl.errors import UsageError, assert_never, did_you_mean
from queuectl.job.value import Value
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # what a shell would report of a command that was not started
LEFTOVERS_SHOWN = 5  # of the processes that an attempt left behind, in its history entry
LEFTOVER_CHARS = 120


class Exited(Value):
    """The command ended by itself with this exit code."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


class Signaled(Value):
    """A signal that we did not send ended the command.

    `memory_was_short`: meanwhile the kernel ended processes of this machine because it had no memory left.
    """

    __slots__ = ("memory_was_short", "number")

    def __init__(self, number: int, *, memory_was_short: bool = False) -> None:
        self.number = number
        self.memory_was_short = memory_was_short


class TimedOut(Value):
    """The attempt took longer than its `timeout` and was ended."""

    __slots__ = ("after_s",)

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s


class OutputLimit(Value):
    """The attempt wrote more than `max_output` and was ended."""

    __slots__ = ("limit_bytes",)

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes


class MemoryLimit(Value):
    """The processes of the attempt used more memory than its `memory` and were ended."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, used_bytes: int, limit_bytes: int) -> None:
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes


class CpuLimit(Value):
    """The processes of the attempt used more processor time than its `cpu_time` and were ended."""

    __slots__ = ("limit_s",)

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s


class FailedToStart(Value):
    """The command never ran: no such program, directory or shell, or too many arguments.

    `code` is what a shell would report: 127 not found, 126 not executable.
    """

    __slots__ = ("code", "why")

    def __init__(self, why: str, code: int = NOT_EXECUTABLE) -> None:
        self.why = why
        self.code = code


Outcome = Exited | Signaled | TimedOut | OutputLimit | MemoryLimit | CpuLimit | FailedToStart


class Usage(Value):
    """What the attempt cost: processor seconds and peak memory of the command and the children it waited for.

    `max_rss_bytes` is None where it could not be measured (see processes.run.peak_memory).
    """

    __slots__ = ("cpu_s", "max_rss_bytes")

    def __init__(self, cpu_s: float, max_rss_bytes: int | None) -> None:
        self.cpu_s = cpu_s
        self.max_rss_bytes = max_rss_bytes


def succeeded(outcome: Outcome) -> bool:
    """Tell whether the attempt did its work: exit code 0 and nothing else."""
    return isinstance(outcome, Exited) and outcome.code == 0


def exit_code(outcome: Outcome) -> int:
    """Return the exit code a shell user expects: 128 + n for a signal, 124 for a timeout."""
    if isinstance(outcome, Exited):
        return outcome.code
    if isinstance(outcome, Signaled):
        return 128 + outcome.number
    if isinstance(outcome, TimedOut):
        return 124
    if isinstance(outcome, (OutputLimit, MemoryLimit)):
        return 137
    if isinstance(outcome, CpuLimit):
        return 152  # as after SIGXCPU
    if isinstance(outcome, FailedToStart):
        return outcome.code
    assert_never(outcome)


def describe(outcome: Outcome) -> str:
    """Say in a few words how the attempt ended."""
    if isinstance(outcome, Exited):
        return f"exit code {outcome.code}"
    if isinstance(outcome, Signaled):
        why = ", probably because the machine ran out of memory" if outcome.memory_was_short else ""
        return f"killed by {signal_name(outcome.number)}{why}"
    if isinstance(outcome, TimedOut):
        return f"timed out after {outcome.after_s:g}s"
    if isinstance(outcome, OutputLimit):
        return f"wrote more than max_output ({outcome.limit_bytes} bytes)"
    if isinstance(outcome, MemoryLimit):
        used, limit = (_mebibytes(size) for size in (outcome.used_bytes, outcome.limit_bytes))
        return f"out of memory: used {used} of the job's {limit}"
    if isinstance(outcome, CpuLimit):
        return f"used more than the job's cpu_time of {outcome.limit_s:g}s"
    if isinstance(outcome, FailedToStart):
        return outcome.why
    assert_never(outcome)


def _mebibytes(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.1f}".removesuffix(".0") + " MiB"


def signal_name(number: int) -> str:
    """Return `SIGKILL` for 9; `signal 200` for what has no name."""
    from signal import Signals

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def signal_number(value: object) -> int:
    """Return the number of a signal that is given by number or name: 10, "USR1", "SIGUSR1", "sigusr1".

    Raises:
        UsageError: there is no such signal, or a program cannot be sent it.
    """
    from signal import Signals, valid_signals

    text = str(value).strip().upper()
    names = {each.name: each.value for each in Signals}
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif text.isascii() and text.isdigit() and len(text) < 4:
        number = int(text)
    elif isinstance(value, str) and (text in names or f"SIG{text}" in names):
        return names[text if text in names else f"SIG{text}"]
    else:
        near = did_you_mean(text.removeprefix("SIG").lower(), {name[3:].lower() for name in names})
        raise UsageError(
            f"there is no signal {quote(value)}{near}", "kill -l lists the signals: HUP, USR1, TERM ... or 1 to 64"
        )
    if number == 0:
        raise UsageError("signal 0 sends nothing; whether a job runs is shown by queuectl show")
    if number in valid_signals():
        return number
    if number in (32, 33):
        raise UsageError(f"signal {number} is used by the C library itself and cannot be sent")
    raise UsageError(f"there is no signal {quote(value)}", "kill -l lists the signals: HUP, USR1, TERM ... or 1 to 64")


def end_of_process(status: int) -> str:
    """Return how a process ended, from what `wait` says: "SIGKILL", "exit code 3"."""
    code = os.waitstatus_to_exitcode(status)
    return signal_name(-code) if code < 0 else f"exit code {code}"


def leftovers_details(leftovers: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Return what a history entry says of the processes that a command left behind and that were ended.

    An entry has 2048 bytes, so only the first few processes are described, each with both ends of its command line.

    Args:
        leftovers: (pid, command line) of each.
    """
    shown = []
    for pid, command in leftovers[:LEFTOVERS_SHOWN]:
        text = "".join(char if char.isprintable() else "?" for char in command)
        most = LEFTOVER_CHARS if text.isascii() else LEFTOVER_CHARS // 3
        if len(text) > most:
            text = f"{text[: most // 2]}…{text[-(most // 2 - 1) :]}"
        shown.append({"pid": pid, "command": text})
    return {"count": len(leftovers), "processes": shown}


def describe_leftovers(leftovers: Mapping[str, Any]) -> str:
    """Say which leftover processes were ended: "2 processes: sleep 600 (pid 4711), sh (pid 4712)"."""
    count, processes = leftovers["count"], leftovers["processes"]
    words = [f"{each['command']} (pid {each['pid']})" for each in processes]
    if count > len(processes):
        words.append("…")
    return f"{count} process{'' if count == 1 else 'es'}: {', '.join(words)}"


def entry_details(outcome: Outcome, usage: Usage | None) -> dict[str, Any]:
    """Return the members that a history entry carries for this outcome (FORMAT.md § History)."""
    details: dict[str, Any] = {"exit_code": exit_code(outcome)}
    if isinstance(outcome, Signaled):
        details["signal"] = signal_name(outcome.number)
    elif isinstance(outcome, TimedOut):
        details["timed_out"] = True
    elif isinstance(outcome, OutputLimit):
        details["output_limit"] = True
    elif isinstance(outcome, MemoryLimit):
        details["memory_limit"] = True
    elif isinstance(outcome, CpuLimit):
        details["cpu_limit"] = True
    elif isinstance(outcome, FailedToStart):
        details["failed_to_start"] = True
    if usage is not None:
        details["cpu_s"] = round(usage.cpu_s, 3)
        if usage.max_rss_bytes is not None:
            details["max_rss_bytes"] = usage.max_rss_bytes
    return details
