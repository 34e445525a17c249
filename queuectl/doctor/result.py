"""result: what a check has found, how bad it is, and what helps.

Guarantees: a finding that `doctor --fix` can mend carries the function that does it; every other says what to do.
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
    """One thing that is not as it should be.

    Args:
        level: info: worth knowing; warn: wrong, but jobs run; error: jobs cannot come in, run or be read, or others
            could run commands.
        text: what is wrong and where, with the figures.
        cure: what to type or to do.
        repair: puts it right, and returns what was done; raises OSError or QueueError when it cannot be done now.

    Attributes:
        check: the name of the check that found it.
        reason: why the check could not be made, if that is what there is to tell.
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
