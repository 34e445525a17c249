"""deliveries: what is known about the reports that were delivered to hooks: how many lately, and which failed last.

Owns:       state/deliveries, a small JSON file; its lock is the right to deliver.
Guarantees: one process delivers at a time. The file is only a note: if it is lost or damaged, counting begins anew.
Fails with: OSError.
Source:     spool/FORMAT.md § Hooks.
"""

from __future__ import annotations

from queuectl.config.capacities import rate_of
from queuectl.spool.fs import IN_PLACE, READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.spool.context import SpoolContext

SIZE = 4096  # the file is written with one call and never shortened
ERROR_CHARS = 300


class Deliveries:
    """The note.

    Attributes:
        since: the beginning of the period in which `started` hooks were started.
        failures: of each hook whose last delivery failed: `at` (seconds since 1970), `job`, `error`, and how many
            failed in a row (`count`).
    """

    def __init__(self, note: dict[str, Any]) -> None:
        self.since = float(note.get("since", 0.0))
        self.started = int(note.get("started", 0))
        self.failures: dict[str, dict[str, Any]] = dict(note.get("failures", {}))

    def opens_at(self, rate: str | None, now: float) -> float:
        """Return when the next hook may be started, in seconds since 1970; `now` if that is at once."""
        if rate is None:
            return now
        most, period_s = rate_of(rate)
        ends_at = self.since + period_s
        return ends_at if self.started >= most and self.since <= now < ends_at else now

    def count_start(self, rate: str | None, now: float) -> None:
        """Count a start at `now`."""
        period_s = 0.0 if rate is None else rate_of(rate)[1]
        if not self.since <= now < self.since + period_s:
            self.since, self.started = now, 0
        self.started += 1

    def ended(self, hook: str, job_id: str | None, error: str | None, now: float) -> None:
        """Record how a delivery ended."""
        before = self.failures.pop(hook, {"count": 0})
        if error is not None:
            count = before["count"] + 1
            self.failures[hook] = {"at": now, "job": job_id, "error": error[:ERROR_CHARS], "count": count}

    def write(self, spool: SpoolContext, fd: int) -> None:
        """Write the note to the locked file."""
        import json

        note = {"since": self.since, "started": self.started, "failures": self.failures}
        spool.files.write(fd, json.dumps(note).encode().ljust(SIZE), 0)


def open_to_deliver(spool: SpoolContext) -> int | None:
    """Return the locked file; None while another process delivers. Close it afterwards."""
    fd = spool.files.open(spool.layout.deliveries, IN_PLACE)
    if spool.files.try_lock(fd):
        return fd
    spool.files.close(fd)
    return None


def read(spool: SpoolContext) -> Deliveries:
    """Read the note; an empty one where there is none that can be read."""
    import json

    try:
        fd = spool.files.open(spool.layout.deliveries, READ)
    except FileNotFoundError:
        return Deliveries({})
    try:
        return Deliveries(json.loads(spool.files.read(fd, SIZE)))
    except (ValueError, TypeError, AttributeError):
        return Deliveries({})
    finally:
        spool.files.close(fd)
