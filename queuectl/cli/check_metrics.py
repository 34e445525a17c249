"""check_metrics: the figures that `check` compares with ranges: one row each, and when they raise an alarm unasked.

Guarantees: pure; a figure that nobody could find out is None, never 0.
"""

from __future__ import annotations

from queuectl import health
from queuectl.cli.thresholds import figure
from queuectl.units import spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.status import Overview

    Value = Callable[["Seen"], float | None]


class Seen:
    """How things stand."""

    def __init__(self, overview: Overview) -> None:
        self.overview = overview

    def count(self, *states: str) -> float | None:
        """Return how many jobs are in these states."""
        return self.overview.count(*states) if self.overview.counts else None

    def oldest_s(self) -> float | None:
        """Return for how long the oldest job that may start has waited; 0 when none does."""
        if not self.overview.counts:
            return None
        since = self.overview.oldest_waiting
        return 0.0 if since is None else max(0.0, self.overview.now - since)

    def failed_1h(self) -> float | None:
        """Return how many attempts failed in the last hour."""
        hour = self.overview.last_hour()
        return None if hour is None else float(hour["failed_attempts"])

    def stranded(self) -> float | None:
        """Return how many jobs might start while no worker is running."""
        if self.overview.workers:
            return 0
        return self.overview.due if self.overview.counts else None

    def degraded(self) -> int:
        """Return 1 when the supervisor does without something it needs, or does not answer."""
        return int(bool(self.overview.silent or (self.overview.supervisor or {}).get("degraded")))

    def blocked(self) -> int:
        """Return how many things keep jobs from being accepted or run: the home, the configuration, the disk."""
        return len(health.blocked(self.overview))

    def disk_free(self) -> float | None:
        """Return the hundredths of the disk that are free."""
        overview = self.overview
        return 100 * overview.free_bytes / overview.disk_bytes if overview.disk_bytes else None


class Measure:
    """One figure.

    Args:
        value: how it is found.
        warning, critical: the ranges in force when none is given; empty for none.
        unit: "s" or "%"; empty for a count.
    """

    __slots__ = ("critical", "unit", "value", "warning")

    def __init__(self, value: Value, warning: str = "", critical: str = "", unit: str = "") -> None:
        self.value = value
        self.warning = warning
        self.critical = critical
        self.unit = unit

    def spell(self, value: float) -> str:
        """Write a value for people."""
        if self.unit == "s":
            return spell_duration(value)
        return figure(round(value, 1)) + self.unit


# What --help says of keys and defaults is in tree/watching.py; tests/cli/test_check.py holds them together.
MEASURES = {
    "oldest": Measure(Seen.oldest_s, "5m", "1h", "s"),
    "waiting": Measure(lambda seen: seen.overview.due if seen.overview.counts else None),
    "scheduled": Measure(lambda seen: seen.overview.scheduled if seen.overview.counts else None),
    "processing": Measure(lambda seen: seen.count("processing")),
    "failed": Measure(lambda seen: seen.count("failed")),
    "failed_1h": Measure(Seen.failed_1h),
    "dead": Measure(lambda seen: seen.count("dead")),
    "dead_today": Measure(lambda seen: seen.overview.dead_today if seen.overview.counts else None, "0"),
    "stranded": Measure(Seen.stranded, "", "0"),
    "workers": Measure(lambda seen: len(seen.overview.workers)),
    "supervisor": Measure(lambda seen: int(seen.overview.supervisor is not None)),
    "degraded": Measure(Seen.degraded, "0"),
    "blocked": Measure(Seen.blocked, "", "0"),
    "schedules": Measure(
        lambda seen: seen.overview.schedules.silent(seen.overview) if seen.overview.schedules else 0, "0"
    ),
    "rejected": Measure(lambda seen: seen.overview.rejected, "0"),
    "disk_free": Measure(Seen.disk_free, "10:", "5:", "%"),
}
