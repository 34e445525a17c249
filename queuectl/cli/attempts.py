"""attempts: how attempts are said in a word or two."""

from __future__ import annotations

from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Row = Mapping[str, Any]

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
    if row.get("failed_to_start"):
        return f"{row.get('exit_code')} (not started)"
    code = row.get("exit_code")
    return str(row["signal"]) if "signal" in row else "" if code is None else str(code)


def took(row: Row, now: float) -> str:
    """Say how long an attempt ran, or has been running."""
    return spell_duration(max(0.0, row.get("ended_at", now) - row["started_at"]))
