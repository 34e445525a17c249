"""attempts: a job's history as a table, one row an attempt.

Guarantees: pure; every history makes rows.
"""

from __future__ import annotations

from queuectl.clock import parse_instant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Row = Mapping[str, Any]

ENDS = ("completed", "failed", "died", "snoozed", "cancelled", "interrupted", "requeued")


def attempts_of(history: Sequence[Row], created_at: float, run_at: float | None) -> list[dict[str, Any]]:
    """Return one row an attempt: attempt, started_at, ready_at, ended_at, worker, event and the details of its end.

    Args:
        run_at: not before when the author wanted it to start.
    """
    rows: list[dict[str, Any]] = []
    ready = max(created_at, run_at or created_at)
    is_open = False
    for entry in history:
        at = parse_instant(entry["at"])
        if entry["event"] == "started":
            number = entry.get("attempt", len(rows) + 1)
            rows.append({"attempt": number, "started_at": at, "ready_at": ready, "worker": entry.get("worker")})
            is_open = True
        else:
            if is_open and entry["event"] in ENDS:
                rows[-1].update({**entry, "ended_at": at})
                is_open = False
            ready = parse_instant(entry["run_at"]) if "run_at" in entry else at
    return rows


def tries(state: str, attempts: int, failures: int, max_retries: int) -> tuple[int, int]:
    """Return how many attempts there were and how many there may be; what cost no retry makes both grow."""
    without_verdict = 1 if state in ("processing", "completed") else 0
    without_failure = max(0, attempts - without_verdict - failures)  # a history written by hand may have no `started`
    return attempts, max(attempts, without_failure + max_retries + 1)
