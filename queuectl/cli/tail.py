"""tail: files that grow: what stands in them, their last lines, and what is added.

Guarantees: a pipe gets the very bytes; a terminal gets text that cannot command it.
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
