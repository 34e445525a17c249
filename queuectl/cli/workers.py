"""workers: what the supervisor says of its workers, as rows of a table."""

from __future__ import annotations

from queuectl.cli.render import Column
from queuectl.clock import spell
from queuectl.units import spell_duration, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Row = Mapping[str, Any]

COLOURS = {"busy": "cyan", "stopping": "yellow", "backoff": "red", "starting": "dim"}
FIELDS = ("name", "state", "pid", "started_at", "done", "failed", "cpu_percent", "rss_bytes", "job_id", "command")


def rows_of(workers: Iterable[Row]) -> list[dict[str, Any]]:
    """Return the workers of a `status` answer with processor and memory of what each of them runs."""
    from queuectl.processes.identity import usage

    rows = []
    for worker in workers:
        pid = worker["command_pid"] or worker["pid"]
        cpu, rss = (usage(pid) if pid else None) or (None, None)
        rows.append({**worker, "cpu_percent": None if cpu is None else round(cpu, 1), "rss_bytes": rss})
    return rows


def as_dict(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it."""
    instants = {name: row[name] and spell(row[name]) for name in ("started_at", "job_since")}
    return {**row, **instants}


def columns(now: float) -> list[Column]:
    """Return the columns of the workers' table."""
    return [
        Column("WORKER", lambda row: row["name"]),
        Column("STATE", lambda row: row["state"], colour=lambda row: COLOURS.get(row["state"])),
        Column("UP", lambda row: _since(row["started_at"], now), leave_out=3),
        Column("DONE", lambda row: f"{row['done']:,}", right=True, leave_out=2),
        Column("FAILED", lambda row: f"{row['failed']:,}", right=True, leave_out=4),
        Column("CPU", lambda row: None if row["cpu_percent"] is None else f"{row['cpu_percent']:.0f}%", right=True),
        Column(
            "RSS",
            lambda row: None if row["rss_bytes"] is None else spell_size(row["rss_bytes"]),
            right=True,
            leave_out=1,
        ),
        Column("JOB", lambda row: row["job_id"]),
        Column("FOR", lambda row: _since(row["job_since"], now)),
        Column("COMMAND", lambda row: row["command"]),
    ]


def _since(instant: float | None, now: float) -> str | None:
    return None if instant is None else spell_duration(max(0.0, now - instant))
