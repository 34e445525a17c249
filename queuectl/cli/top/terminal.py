"""terminal: a full screen: painted lines out, keys and signals in. The place of curses.

Guarantees: the terminal is as it was afterwards, however that comes: at the end, on an error, on SIGTERM, on SIGHUP.
            Signals wake `wait` at once; nothing is done in a handler.
"""

from __future__ import annotations

import curses
import locale
import os
import select
import sys

from queuectl.cli.live import cut_painted, pieces
from queuectl.cli.text import width
from queuectl.errors import UsageError
from queuectl.executor.signals import ON_A_SCREEN, Inbox, meaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.cli.top.view import Line

KEYS = {
    **{curses.KEY_UP: "up", curses.KEY_DOWN: "down", curses.KEY_PPAGE: "pgup", curses.KEY_NPAGE: "pgdn"},
    **{curses.KEY_HOME: "home", curses.KEY_END: "end", curses.KEY_ENTER: "enter", curses.KEY_BACKSPACE: "backspace"},
}
CHARACTERS = {"\n": "enter", "\r": "enter", "\x1b": "esc", "\x7f": "backspace", "\b": "backspace"}
CODES = {"31": curses.COLOR_RED, "32": curses.COLOR_GREEN, "33": curses.COLOR_YELLOW, "34": curses.COLOR_BLUE}
CODES["36"] = curses.COLOR_CYAN
ESCAPE_MS = 25


class Ended(Exception):
    """A signal asked us to end; `code` is what a shell calls that."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Terminal:
    """The screen; use as a context manager.

    Raises:
        UsageError: the terminal cannot do it.
    """

    def __init__(self, *, has_colour: bool) -> None:
        self._has_colour = has_colour
        self._attributes = {"1": curses.A_BOLD, "2": curses.A_DIM}

    def __enter__(self) -> Terminal:
        locale.setlocale(locale.LC_ALL, "")
        self._inbox = Inbox(ON_A_SCREEN)
        try:
            curses.setupterm()
            if not curses.tigetstr("cup"):
                raise curses.error("it has no cursor control")
        except curses.error as error:
            term = os.environ.get("TERM", "")
            raise UsageError(f'the terminal "{term}" is not known: {error}', "queuectl status --watch") from None
        self._window = curses.initscr()
        try:
            self._prepare()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _prepare(self) -> None:
        curses.noecho()
        curses.cbreak()
        curses.set_escdelay(ESCAPE_MS)
        self._window.keypad(True)
        self._window.nodelay(True)
        self._show_cursor(0)
        if self._has_colour and curses.has_colors():
            curses.start_color()
            curses.use_default_colors()
            for number, (code, colour) in enumerate(CODES.items(), 1):
                curses.init_pair(number, colour, -1)
                self._attributes[code] = curses.color_pair(number)

    @staticmethod
    def _show_cursor(how: int) -> None:
        try:
            curses.curs_set(how)
        except curses.error:  # this one cannot
            return

    def __exit__(self, *_: object) -> None:
        self._show_cursor(1)
        self._window.keypad(False)
        curses.nocbreak()
        curses.echo()
        curses.endwin()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        rows, columns = self._window.getmaxyx()
        return columns, rows

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines and nothing else; what is there already is not sent again."""
        columns, rows = self.size
        self._window.erase()
        for row, (line, is_selected) in enumerate(lines[:rows]):
            room = columns - 1 if row == rows - 1 else columns  # the last place of all scrolls
            self._write(row, cut_painted(line, room), curses.A_REVERSE if is_selected else 0, room)
        self._window.refresh()

    def _write(self, row: int, line: str, attribute: int, room: int) -> None:
        column = 0
        for text, code in pieces(line):
            shown = text.encode(self._window.encoding, "backslashreplace").decode(self._window.encoding)
            self._window.addstr(row, column, shown, attribute | self._attributes.get(code, 0))
            column += width(shown)
        if attribute and column < room:
            self._window.addstr(row, column, " " * (room - column), attribute)

    def wait(self, timeout_s: float) -> list[str]:
        """Return the keys that were pressed; none when time has passed, or something happened beside that.

        Raises:
            Ended: a signal says so, Ctrl-C among them.
        """
        select.select([sys.stdin, self._inbox], [], [], max(0.0, timeout_s))
        for number in self._inbox.take():
            said = meaning(number)
            if said == "resize":
                self._resize()
            elif said == "end":
                raise Ended(128 + number)
        keys = []
        while (key := self._key()) is not None:
            keys.append(key)
        return keys

    def _key(self) -> str | None:
        try:
            key = self._window.get_wch()
        except curses.error:  # none is left
            return None
        return CHARACTERS.get(key, key) if isinstance(key, str) else KEYS.get(key, "")

    def _resize(self) -> None:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        curses.resizeterm(rows, columns)
        self._window.clear()
