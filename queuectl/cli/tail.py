"""tail: files that grow: what stands in them, their last lines, and what is added.

Guarantees: a pipe gets the very bytes, of several files behind prefixes; a terminal gets text that cannot command it.
            Memory does not grow with the files.
"""

from __future__ import annotations

import codecs
import sys

from queuectl.cli.terminal import is_terminal
from queuectl.cli.text import safe_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.terminal import Screen
    from queuectl.growing_file import GrowingFile


LOOK_S = 0.25  # between two looks at a file: its growth wakes nobody
LONGEST_ESCAPE = 32
LONGEST_LINE = 1 << 18  # bytes of a line behind a prefix; the rest of it becomes another line


class Printer:
    """Bytes of a command on their way to stdout, or with `on_stderr` to stderr."""

    def __init__(self, screen: Screen, *, on_stderr: bool = False) -> None:
        self._stream = sys.stderr if on_stderr else sys.stdout
        self._is_terminal = is_terminal(sys.stderr) if on_stderr else screen.is_terminal
        self._decoder: Any = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write some bytes; on a terminal an escape sequence is held back until it is whole."""
        if not self._is_terminal:
            self._stream.flush()
            self._stream.buffer.write(data)
            self._stream.flush()
            return
        text = self._held + self._decoder.decode(data, final)
        escape = text.rfind("\x1b")
        whole = escape < 0 or final or "m" in text[escape:] or len(text) - escape > LONGEST_ESCAPE
        cut = len(text) if whole else escape
        if text[cut - 1 : cut] == "\r" and not final:
            cut -= 1
        self._held = text[cut:]
        self._stream.write(safe_output(text[:cut]))
        self._stream.flush()

    def copy(self, source: GrowingFile) -> None:
        """Write everything that was added."""
        while data := source.read():
            self.write(data)

    def end(self) -> None:
        """Write what was held back."""
        if self._is_terminal:
            self.write(b"", final=True)


class PrefixPrinter:
    """Lines of one of several commands on their way to stdout, each behind a prefix.

    A line is held back until it is whole, at most LONGEST_LINE of it. A terminal gets what stands there in the end of a
    line that was overwritten with carriage returns.
    """

    def __init__(self, screen: Screen, prefix: str) -> None:
        self._is_terminal = screen.is_terminal
        self._prefix = prefix.encode()
        self._held = b""

    def copy(self, source: GrowingFile) -> None:
        """Write every line that was completed."""
        while data := source.read():
            *lines, self._held = (self._held + data).split(b"\n")
            while len(self._held) > LONGEST_LINE:
                lines.append(self._held[:LONGEST_LINE])
                self._held = self._held[LONGEST_LINE:]
            self._write(lines)

    def end(self) -> None:
        """Write what was held back, as a line."""
        if self._held:
            self._write([self._held])
            self._held = b""

    def _write(self, lines: list[bytes]) -> None:
        if self._is_terminal:
            lines = [_as_seen(line) for line in lines]
        data = b"".join(self._prefix + line + b"\n" for line in lines)
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.flush()


def _as_seen(line: bytes) -> bytes:
    shown = line.rstrip(b"\r").rpartition(b"\r")[2]
    return safe_output(shown.decode("utf-8", "backslashreplace")).encode("utf-8", "backslashreplace")


def show(screen: Screen, source: GrowingFile) -> None:
    """Write the rest of a file."""
    printer = Printer(screen)
    printer.copy(source)
    printer.end()


def follow(screen: Screen, source: GrowingFile) -> None:
    """Write what is added to a file, until Ctrl-C."""
    import time

    printer = Printer(screen)
    while True:
        printer.copy(source)
        time.sleep(LOOK_S)


def read_all(source: GrowingFile) -> str:
    """Return the rest of a file as text."""
    parts = []
    while data := source.read():
        parts.append(data)
    return b"".join(parts).decode("utf-8", "backslashreplace")
