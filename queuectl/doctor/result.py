"""result: the findings of checks.

Guarantees: a finding that `doctor --fix` can repair has the function for it; every other one says what to do.
"""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OK, INFO, WARN, ERROR = "ok", "info", "warn", "error"
LEVELS = (OK, INFO, WARN, ERROR)
FIX = "queuectl doctor --fix"
SHOWN = 3


class Finding:
    """One problem.

    Args:
        level: info: no harm; warn: wrong, but jobs run; error: jobs cannot be enqueued, run or read, or other users
            could run commands.
        text: what is wrong and where, with figures.
        cure: what to type or to do.
        repair: repairs it and returns what was done; raises OSError or QueueError if that is not possible now.

    Attributes:
        check: the name of the check that found it.
        reason: why the check could not be made; empty if it was made.
    """

    __slots__ = ("check", "cure", "level", "reason", "repair", "text")

    def __init__(self, level: str, text: str, cure: str = FIX, repair: Callable[[], str] | None = None) -> None:
        self.check = ""
        self.level = level
        self.text = text
        self.cure = cure
        self.repair = repair
        self.reason = ""

    def as_dict(self) -> dict[str, object]:
        """Return what JSON has."""
        can_fix = self.repair is not None
        return {"check": self.check, "level": self.level, "text": self.text, "cure": self.cure, "fixable": can_fix}


def few(names: Sequence[str], *, is_cut: bool = False) -> str:
    """Return the first names, and how many more there are: "a, b, c and 7 more"; with `is_cut`, at least so many."""
    more = len(names) - min(len(names), SHOWN)
    listed = ", ".join(names[:SHOWN])
    return f"{listed} and {'at least ' if is_cut else ''}{more:,} more" if more > 0 else listed


def quoted(path: str) -> str:
    """Write a path as a shell reads it."""
    return shlex.quote(path)
