"""state: what the person at `top` has chosen, and what each key does to it.

Guarantees: pure; a key that means nothing here does nothing. The selected job stays selected while others come and go.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = {
    "auto": "",
    "priority": "as they start",
    "-created": "oldest first",
    "updated": "last changed first",
}
MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -10, "pgdn": 10, "home": -(10**9), "g": -(10**9)}
MOVES |= {"end": 10**9, "G": 10**9}
BACK = ("q", "esc", "l")
LONGEST_FILTER = 100


class State:
    """What is chosen.

    Attributes:
        mode: jobs, help, filter (being typed), ask (whether to cancel), log.
        order: a key of ORDERS.
        search: only jobs that contain its words in name, tags, command or last error, or its part of the id.
        above: in the log, how many lines lie below what is shown; 0 follows its end.
        message: told once in place of the keys.
    """

    def __init__(self) -> None:
        self.mode = "jobs"
        self.order = "auto"
        self.search = ""
        self.selected: str | None = None
        self.above = 0
        self.message = ""
        self._ids: Sequence[str] = ()
        self._typed = ""

    @property
    def typed(self) -> str:
        """The filter as far as it has been typed."""
        return self._typed

    @property
    def place(self) -> int:
        """The place of the selected job."""
        return self._ids.index(self.selected) if self.selected in self._ids else 0

    def show(self, ids: Sequence[str]) -> None:
        """Other jobs are there; if the selected one is not, the one in its place is."""
        place = self.place
        self._ids = ids
        if self.selected not in ids:
            self.selected = ids[min(place, len(ids) - 1)] if ids else None

    def press(self, key: str) -> str:
        """Take a key and return what is to be done: quit, look, log, cancel, retry; empty for nothing beyond this."""
        self.message = ""
        return getattr(self, f"_in_{self.mode}")(key) or ""

    def _in_jobs(self, key: str) -> str | None:
        if key in MOVES:
            self._move(MOVES[key])
        elif key == "q":
            return "quit"
        elif key == "t":
            orders = [*ORDERS]
            self.order = orders[(orders.index(self.order) + 1) % len(orders)]
            return "look"
        elif key == "/":
            self.mode, self._typed = "filter", self.search
        elif key == "?":
            self.mode = "help"
        elif self.selected is None:
            return None
        elif key == "c":
            self.mode = "ask"
        elif key == "r":
            return "retry"
        elif key in ("l", "enter"):
            self.above = 0
            return "log"
        return None

    def _move(self, by: int) -> None:
        if self._ids:
            self.selected = self._ids[max(0, min(len(self._ids) - 1, self.place + by))]

    def _in_help(self, _key: str) -> None:
        self.mode = "jobs"

    def _in_ask(self, key: str) -> str | None:
        self.mode = "jobs"
        return "cancel" if key in ("y", "Y") else None

    def _in_filter(self, key: str) -> str | None:
        if key in ("enter", "esc"):
            self.mode = "jobs"
            self.search = self._typed if key == "enter" else self.search
            return "look"
        if key == "backspace":
            self._typed = self._typed[:-1]
        elif len(key) == 1 and key.isprintable() and len(self._typed) < LONGEST_FILTER:
            self._typed += key
        return None

    def _in_log(self, key: str) -> None:
        if key in BACK:
            self.mode = "jobs"
        elif key in MOVES:
            self.above = max(0, self.above - MOVES[key])
