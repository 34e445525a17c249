"""live: the same screen again and again, in its place on a terminal, one below the other on a pipe.

Guarantees: a picture is one write that never clears first, so nothing flickers; none is higher or wider than the
            terminal, whose size is asked for each time. What was above stays, unless the size changes. Nothing has to be
            put right at the end, however that comes.
"""

from __future__ import annotations

import os
import select
import sys

from queuectl.cli.text import width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.terminal import Screen

CLEAR, REST, BELOW = "\x1b[H\x1b[2J", "\x1b[K", "\x1b[J"


class LiveScreen:
    """Where the pictures go."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._size = screen.size
        self._height = 0
        self._is_first = True

    def show(self, lines: list[str]) -> None:
        """Show a picture in the place of the last one."""
        columns, rows = size = self._screen.size
        if not columns or not self._moves():
            between = [] if self._is_first or not self._screen.is_table else [""]
            self._write("".join(f"{line}\n" for line in between + lines))
        else:
            kept = lines if len(lines) < rows else [*lines[: max(0, rows - 2)], "…"]
            kept = [line if shown_width(line) <= columns else cut_painted(line, columns) for line in kept]
            back = CLEAR if size != self._size else f"\x1b[{self._height}A\r" if self._height else "\r"
            self._write(back + "".join(f"{line}{REST}\n" for line in kept) + BELOW)
            self._height, self._size = len(kept), size
        self._is_first = False

    def _moves(self) -> bool:
        return os.environ.get("TERM") != "dumb"

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def wait(self, period_s: float) -> None:
        """Let some time pass; raises BrokenPipeError at once when nobody reads any more."""
        wait_for_input_or_end(-1, period_s)


def wait_for_input_or_end(fd: int, timeout_s: float) -> bool:
    """Wait until a descriptor (-1: none) has something to read, or time has passed.

    Returns:
        There is something to read.

    Raises:
        BrokenPipeError: whoever read our stdout has gone.
    """
    waiting = select.poll()
    if fd >= 0:
        waiting.register(fd, select.POLLIN)
    try:
        ours = sys.stdout.fileno()
        waiting.register(ours, 0)
    except (OSError, ValueError):  # no descriptor
        ours = -1
    found = dict(waiting.poll(timeout_s * 1000))
    if found.get(ours, 0) & (select.POLLERR | select.POLLHUP):
        raise BrokenPipeError
    return fd in found


def shown_width(line: str) -> int:
    """Return the columns that a line takes, colours aside."""
    return width("".join(text for text, _ in pieces(line)))


def pieces(line: str) -> list[tuple[str, str]]:
    """Return the parts of a line that `Screen.paint` made, each with its colour code ("" for none)."""
    first, *rest = line.split("\x1b[")
    made = [(first, "")] if first else []
    for part in rest:
        code, _, text = part.partition("m")
        if text:
            made.append((text, "" if code == "0" else code))
    return made


def cut_painted(line: str, columns: int) -> str:
    """Shorten a line that colours are in."""
    from queuectl.cli.text import cut

    made, room = "", columns
    for text, code in pieces(line):
        kept = cut(text, room)
        made += f"\x1b[{code}m{kept}\x1b[0m" if code else kept
        room -= width(kept)
    return made
