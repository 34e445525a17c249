"""workers: what the supervisor says of its workers, as rows of a table."""

from __future__ import annotations

from queuectl.cli.table import Column
from queuectl.units import spell_duration, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Row = Mapping[str, Any]

COLOURS = {"busy": "cyan", "stopping": "yellow", "backoff": "red", "starting": "dim"}
FIELDS = (
    "name",
    "state",
    "pid",
    "started_at",
    "done",
    "failed_attempts",
    "cpu_percent",
    "rss_bytes",
    "job_id",
    "command",
)


def columns(now: float) -> list[Column]:
    """Return the columns of the workers' table."""
    return [
        Column("WORKER", lambda row: row["name"]),
        Column("STATE", lambda row: row["state"], colour=lambda row: COLOURS.get(row["state"])),
        Column("UP", lambda row: _since(row["started_at"], now), leave_out=5),
        Column("DONE", lambda row: f"{row['done']:,}", right=True, leave_out=4),
        Column("FAILED ATTEMPTS", lambda row: _count(row["failed_attempts"]), right=True, leave_out=6),
        Column(
            "CPU",
            lambda row: None if row["cpu_percent"] is None else f"{row['cpu_percent']:.0f}%",
            right=True,
            leave_out=2,
        ),
        Column(
            "RSS",
            lambda row: None if row["rss_bytes"] is None else spell_size(row["rss_bytes"]),
            right=True,
            leave_out=3,
        ),
        Column("JOB", lambda row: row["job_id"]),
        Column("FOR", lambda row: _since(row["job_since"], now), leave_out=1),
        Column("COMMAND", lambda row: row["command"]),
    ]


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _since(instant: float | None, now: float) -> str | None:
    return None if instant is None else spell_duration(max(0.0, now - instant))
