"""thresholds: the values at which a check raises an alarm, as Nagios plugins have them.

Guarantees: pure; numbers may be durations (`5m`), and are written as plain ones, which is what monitoring systems read.
Fails with: ValueError, whose text says what was expected.
Source:     Monitoring Plugins Development Guidelines, § Threshold and Ranges.
"""

from __future__ import annotations

from queuectl.units import AmbiguousUnit, parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Spell = Callable[[float], str]

EXPECTED = 'a range, as "10" (0 to 10 is fine), "10:", "~:10", "10:20" or "@10:20" (not inside)'
ANYTHING = float("inf")


class Range:
    """Values that are fine; or, when `is_inside` is set, those that are not.

    Attributes:
        start, end: both included.
    """

    __slots__ = ("end", "is_inside", "start")

    def __init__(self, start: float, end: float, *, is_inside: bool = False) -> None:
        self.start = start
        self.end = end
        self.is_inside = is_inside

    def alarms(self, value: float) -> bool:
        """Tell whether a value raises the alarm."""
        return (self.start <= value <= self.end) is self.is_inside

    def why(self, value: float, spell: Spell) -> str:
        """Say what is wrong with a value that raises the alarm."""
        if self.is_inside:
            return f"within {spell(self.start)} to {spell(self.end)}"
        return f"above {spell(self.end)}" if value > self.end else f"below {spell(self.start)}"

    def __str__(self) -> str:
        start = "~:" if self.start == -ANYTHING else "" if self.start == 0 else f"{figure(self.start)}:"
        end = "" if self.end == ANYTHING else figure(self.end)
        return ("@" if self.is_inside else "") + (start or ("" if end else "0:")) + end


def parse_range(text: str) -> Range:
    """Read a range.

    Raises:
        ValueError: not one; the text says what was expected.
    """
    rest = text.strip()
    is_inside = rest.startswith("@")
    start, colon, end = rest.removeprefix("@").rpartition(":")
    if not colon and not end:
        raise ValueError(EXPECTED)
    made = Range(
        -ANYTHING if start == "~" else _number(start) if start else 0.0,
        _number(end) if end else ANYTHING,
        is_inside=is_inside,
    )
    if made.start > made.end:
        raise ValueError(f"{EXPECTED} whose start is not above its end")
    return made


def _number(text: str) -> float:
    try:
        return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)
    except AmbiguousUnit:
        raise
    except ValueError:
        raise ValueError(EXPECTED) from None


def figure(value: float) -> str:
    """Write a number plainly, with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
