"""A clock that goes only where a test sends it."""

from __future__ import annotations

from queuectl.clock import Clock

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00Z


class FakeClock(Clock):
    """Wall and monotonic time, moved by hand; `set_back` moves only the wall."""

    __slots__ = ("_monotonic", "_now")

    def __init__(self, now: float = NOON) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        self._now -= seconds
