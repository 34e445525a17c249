"""attempts: how attempts and jobs ended, in a few words."""

from __future__ import annotations

from queuectl.cli.text import cut
from queuectl.units import plural, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.client.job_view import Job

    Row = Mapping[str, Any]

LONGEST_ERROR = 100
COLOURS = {
    **{"processing": "cyan", "completed": "green", "failed": "yellow", "dead": "red"},
    **{"cancelled": "dim", "held": "dim"},
}


def spell_exit(row: Row) -> str:
    """Say how an attempt ended: "0", "SIGKILL", "timeout", "127 (not started)", "interrupted"."""
    if row.get("event") == "interrupted":
        return "interrupted"
    if row.get("timed_out"):
        return "timeout"
    if row.get("output_limit"):
        return "too much output"
    if row.get("memory_limit"):
        return "out of memory"
    if row.get("cpu_limit"):
        return "cpu time"
    if row.get("failed_to_start"):
        return f"{row.get('exit_code')} (not started)"
    code = row.get("exit_code")
    return str(row["signal"]) if "signal" in row else "" if code is None else str(code)


def took(row: Row, now: float) -> str:
    """Say how long an attempt ran, or has been running."""
    return spell_duration(max(0.0, row.get("ended_at", now) - row["started_at"]))


def describe_failure(job: Job) -> str:
    """Say how a job that did not complete ended: "cancelled", "exit code 1", "retries exhausted"."""
    if job.state == "cancelled":
        return "cancelled"
    return describe_outcome(job) or (job.dead_reason or "unknown").replace("_", " ")


def last_error_line(job: Job, before: str) -> str:
    """Return the last line of the error, unless it only repeats how the attempt ended."""
    lines = [line.strip() for line in (job.last_error or "").splitlines()]
    lines = [line for line in lines if line and not line.startswith("hint:")]
    last = lines[-1] if lines and job.state == "dead" else ""
    how = describe_failure(job)
    return f"{before}{cut(last.removeprefix(f'{how}: '), LONGEST_ERROR)}" if last and last != how else ""


def describe_end(job: Job, *, shows_output: bool = False) -> str:
    """Say how a job ended, and why: "01J... completed in 3.2s", "01J... is dead after 4 attempts: exit code 1: no disk".

    Args:
        shows_output: what the command wrote was just shown; then only the error of one that was not started is added.
    """
    if job.state == "completed":
        took = f" in {spell_duration(job.finished_at - job.started_at)}" if job.finished_at and job.started_at else ""
        return f"{job.id} completed{took}"
    if job.state == "cancelled":
        return f"{job.id} was cancelled"
    how = describe_outcome(job)
    tries = f" after {plural(job.attempts, 'attempt')}" if job.attempts else ""
    why = "" if shows_output and job.outcome != "failed_to_start" else last_error_line(job, ": ")
    return f"{job.id} is {job.state}{tries}: {how or job.dead_reason or 'unknown'}{why}"


def describe_outcome(job: Job) -> str:
    """Say how the last attempt ended, in a few words; empty when none did."""
    last = next((e for e in reversed(job.history) if "exit_code" in e), None)
    if last is None:
        return ""
    if "signal" in last:
        return f"killed by {last['signal']}"
    if last.get("timed_out"):
        return "timed out"
    if last.get("output_limit"):
        return "wrote too much"
    if last.get("memory_limit"):
        return "out of memory"
    if last.get("cpu_limit"):
        return "used too much processor time"
    return f"exit code {last['exit_code']}"
