"""attempts: a job's history as a table, one row an attempt.

Guarantees: pure; every history makes rows.
"""

from __future__ import annotations

from queuectl.clock import parse_instant
from queuectl.job.history import ready_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Row = Mapping[str, Any]

ENDS = ("completed", "failed", "died", "snoozed", "cancelled", "interrupted", "requeued")


def attempts_of(history: Sequence[Row], ready_at: float) -> list[dict[str, Any]]:
    """Return one row an attempt: attempt, started_at, ready_at, ended_at, worker, event and the details of its end.

    Args:
        ready_at: since when the first attempt could start (Job.first_ready_at).
    """
    rows: list[dict[str, Any]] = []
    is_open = False
    for entry in history:
        at = parse_instant(entry["at"])
        if entry["event"] == "started":
            number = entry.get("attempt", len(rows) + 1)
            ready_at = parse_instant(entry["ready_at"]) if "ready_at" in entry else ready_at
            rows.append({"attempt": number, "started_at": at, "ready_at": ready_at, "worker": entry.get("worker")})
            if entry.get("units"):
                rows[-1]["units"] = entry["units"]
            is_open = True
        else:
            if is_open and entry["event"] in ENDS:
                rows[-1].update({**entry, "ended_at": at})
                is_open = False
            ready_at = ready_after(entry, at, ready_at)
    return rows


def max_retries_of(row: Mapping[str, Any], configured: int) -> int:
    """Return how often failed attempts of a job are repeated: as the job says, else as configured.

    Of a job that is dead because its retries are exhausted: how often they were, whatever is configured since.
    """
    own: int | None = row["max_retries"]
    if own is None and row["state"] == "dead" and row["dead_reason"] == "retries_exhausted":
        own = max(0, int(row["failures"]) - 1)
    return configured if own is None else own


def tries(state: str, attempts: int, failures: int, max_retries: int) -> tuple[int, int]:
    """Return how many attempts there were and how many there may be; what cost no retry makes both grow."""
    without_verdict = 1 if state == "processing" else 0
    without_failure = max(0, attempts - without_verdict - failures)  # a history written by hand may have no `started`
    return attempts, max(attempts, without_failure + max_retries + 1)
