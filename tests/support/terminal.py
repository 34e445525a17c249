"""A program on a terminal: what it writes, as a small emulator shows it; keys, resizing and signals to it.

The emulator knows what ncurses and we send to an xterm. What it does not know fails the test that meets it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

PATIENCE_S = 30.0  # only ever used up by a test that fails
SEQUENCE = re.compile(
    r"\x1b\[(?P<args>[?>]?[\d;]*)(?P<verb>[@-~])|\x1b(?P<plain>[78=>M])|\x1b[()](?P<set>.)|\x1b\](?P<title>[^\x07\x1b]*)(?:\x07|\x1b\\)"
)


class Emulator:
    """A grid of characters, each with the colour codes it was written under, and a cursor."""

    def __init__(self, columns: int, rows: int) -> None:
        self.row = self.column = 0
        self.is_other_screen = False
        self.is_hidden = False
        self._style = ""
        self._saved = (0, 0)
        self._last = " "
        self._rest = ""
        self._main: list[list[tuple[str, str]]] = []
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        """Be of another size, empty."""
        self.columns, self.rows = columns, rows
        self.grid = [[(" ", "")] * columns for _ in range(rows)]
        self.top, self.bottom = 0, rows - 1
        self.row, self.column = min(self.row, rows - 1), min(self.column, columns - 1)

    def lines(self) -> list[str]:
        """Return what is shown, without blanks at the ends of lines."""
        return ["".join(char for char, _ in row).rstrip() for row in self.grid]

    def styles_of(self, text: str) -> set[str]:
        """Return the colour codes under which the first occurrence of a text was written."""
        for row in self.grid:
            at = "".join(char for char, _ in row).find(text)
            if at >= 0:
                return {style for _, style in row[at : at + len(text)]}
        raise AssertionError(f"{text!r} is not shown: {self.lines()}")

    def feed(self, text: str) -> None:
        """Take what the program wrote; half a sequence waits for its other half."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                match = SEQUENCE.match(text, at)
                if match is None:
                    assert len(text) - at < 64, f"unknown: {text[at : at + 64]!r}"
                    self._rest = text[at:]
                    return
                self._obey(match)
                at = match.end()
            else:
                self._put(text[at])
                at += 1

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self._down()
        elif char == "\b":
            self.column = max(0, self.column - 1)
        elif char not in "\x07\x0e\x0f":
            assert char.isprintable(), f"a control character reached the terminal: {char!r}"
            if self.column >= self.columns:
                self.column = 0
                self._down()
            self.grid[self.row][self.column] = (char, self._style)
            self.column += 1
            self._last = char

    def _down(self) -> None:
        if self.row == self.bottom:
            del self.grid[self.top]
            self.grid.insert(self.bottom, self._blank())
        else:
            self.row = min(self.rows - 1, self.row + 1)

    def _blank(self) -> list[tuple[str, str]]:
        return [(" ", "")] * self.columns

    def _obey(self, match: re.Match[str]) -> None:
        if match["plain"] == "7":
            self._saved = (self.row, self.column)
        elif match["plain"] == "8":
            self.row, self.column = self._saved
        elif match["plain"] == "M":
            assert self.row > self.top, "scrolls back"
            self.row -= 1
        if match["verb"] is None:
            return
        args, verb = match["args"], match["verb"]
        if args[:1] == "?":
            self._mode(args[1:], verb == "h")
            return
        numbers = [int(number or 0) for number in args.lstrip(">").split(";")]
        self._move(verb, numbers)

    def _mode(self, which: str, is_on: bool) -> None:
        for number in which.split(";"):
            if number == "1049" and is_on != self.is_other_screen:
                self.is_other_screen = is_on
                shown, self.grid = self.grid, self._main or [self._blank() for _ in range(self.rows)]
                self._main = shown
            elif number == "25":
                self.is_hidden = not is_on

    def _move(self, verb: str, numbers: list[int]) -> None:
        n = max(1, numbers[0])
        if verb in "Hf":
            self.row = min(self.rows, n) - 1
            self.column = (numbers[1] if len(numbers) > 1 and numbers[1] else 1) - 1
        elif verb in "ABCDGd":
            self.row = {"A": max(0, self.row - n), "B": min(self.rows - 1, self.row + n), "d": n - 1}.get(
                verb, self.row
            )
            self.column = {"C": self.column + n, "D": max(0, self.column - n), "G": n - 1}.get(verb, self.column)
        elif verb == "J":
            self._erase(numbers[0])
        elif verb == "r":
            self.top, self.bottom = n - 1, (numbers[1] if len(numbers) > 1 and numbers[1] else self.rows) - 1
            self.row = self.column = 0
        elif verb == "m":
            self._style = "" if numbers == [0] else self._style + ";" + ";".join(map(str, numbers))
        else:
            self._change(verb, n, numbers)

    def _change(self, verb: str, n: int, numbers: list[int]) -> None:
        line = self.grid[self.row]
        if verb == "K":
            start, end = {0: (self.column, self.columns), 1: (0, self.column + 1), 2: (0, self.columns)}[numbers[0]]
            line[start:end] = [(" ", "")] * (end - start)
        elif verb == "X":
            line[self.column : self.column + n] = [(" ", "")] * min(n, self.columns - self.column)
        elif verb == "P":
            del line[self.column : self.column + n]
            line += [(" ", "")] * (self.columns - len(line))
        elif verb == "@":
            line[self.column : self.column] = [(" ", "")] * n
            del line[self.columns :]
        elif verb == "b":
            for _ in range(n):
                self._put(self._last)
        elif verb == "L":
            for _ in range(n):
                del self.grid[self.bottom]
                self.grid.insert(self.row, self._blank())
        elif verb == "M":
            for _ in range(n):
                del self.grid[self.row]
                self.grid.insert(self.bottom, self._blank())
        elif verb in "ST":
            gone, new = (self.top, self.bottom) if verb == "S" else (self.bottom, self.top)
            for _ in range(n):
                del self.grid[gone]
                self.grid.insert(new, self._blank())
        else:
            assert verb in "hlt", f"unknown: {verb!r} {numbers}"

    def _erase(self, how: int) -> None:
        if how == 2:
            self.grid = [self._blank() for _ in range(self.rows)]
            return
        assert how == 0, f"erases {how}"
        self.grid[self.row][self.column :] = [(" ", "")] * (self.columns - self.column)
        for row in range(self.row + 1, self.rows):
            self.grid[row] = self._blank()


class Terminal:
    """A program that runs on a terminal of its own; use as a context manager."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], *, columns: int = 80, rows: int = 24) -> None:
        self.screen = Emulator(columns, rows)
        self.written = b""
        self._fd, theirs = pty.openpty()
        self._set_size(columns, rows)
        self.modes = termios.tcgetattr(theirs)
        self._theirs = theirs  # kept open: so that its modes can be looked at when the program has ended
        self.process = subprocess.Popen(
            command, env={**os.environ, **env}, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)
        os.close(self._theirs)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, as the owner of a window does."""
        self.screen.resize(columns, rows)
        self._set_size(columns, rows)
        self.process.send_signal(signal.SIGWINCH)  # the terminal is not the controlling one of its session

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def read(self, timeout_s: float = 0.1) -> None:
        """Take in what has been written."""
        if select.select([self._fd], [], [], timeout_s)[0]:
            data = os.read(self._fd, 65536)
            self.written += data
            self.screen.feed(data.decode("utf-8", "replace"))

    def until(self, *texts: str, gone: str | None = None) -> list[str]:
        """Read until all texts are shown (and `gone` is not); return the lines."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            shown = "\n".join(self.screen.lines())
            if all(text in shown for text in texts) and (gone is None or gone not in shown):
                return self.screen.lines()
            assert time.monotonic() < deadline, f"never shown: {texts}, not {gone}:\n{shown}"
            self.read()

    def end(self) -> int:
        """Read until the program has ended; return its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "it does not end:\n" + "\n".join(self.screen.lines())
            self.read()
        self.read(0)
        return self.process.wait()

    @property
    def is_restored(self) -> bool:
        """The terminal is as it was: its modes, its cursor, its main screen."""
        now = termios.tcgetattr(self._theirs)
        return now == self.modes and not self.screen.is_hidden and not self.screen.is_other_screen
