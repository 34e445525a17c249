"""follow: files that grow: what stands in them, their last lines, and what is added.

Guarantees: a pipe gets the very bytes; a terminal gets text that cannot command it. A file that its writer rotates is
            followed into its successor.
"""

from __future__ import annotations

import codecs
import os
import sys

from queuectl.cli.text import safe_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.screen import Screen

BLOCK = 1 << 16
LOOK_S = 0.25  # between two looks at a file: its growth wakes nobody
LONGEST_ESCAPE = 32


class Source:
    """A file that is read from where the last reading ended; it may be missing as yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._open()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1

    def close(self) -> None:
        """Give the file up."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def is_missing(self) -> bool:
        """There is no such file, yet or any more."""
        return self._fd < 0

    def skip_to_last(self, lines: int) -> bool:
        """Begin with the last so many lines, and return whether there are others before them."""
        if self._fd < 0:
            return False
        position = end = os.lseek(self._fd, 0, os.SEEK_END)
        wanted = lines
        while position > 0 and wanted >= 0:
            start = max(0, position - BLOCK)
            block = os.pread(self._fd, position - start, start)
            if position == end and block.endswith(b"\n"):
                wanted += 1
            at = len(block)
            while wanted > 0 and (at := block.rfind(b"\n", 0, at)) >= 0:
                wanted -= 1
            if wanted == 0:
                position = start + at + 1
                break
            position = start
        os.lseek(self._fd, position, os.SEEK_SET)
        return position > 0

    def read(self) -> bytes:
        """Return what was added, at most a block; empty when nothing was."""
        if self._fd < 0:
            self._open()
        if self._fd < 0:
            return b""
        data = os.read(self._fd, BLOCK)
        if not data and self._was_rotated():
            self.close()
            self._open()
            return self.read() if self._fd >= 0 else b""
        return data

    def _was_rotated(self) -> bool:
        try:
            return os.stat(self._path).st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False


class Printer:
    """Bytes of a command on their way to stdout."""

    def __init__(self, screen: Screen) -> None:
        self._is_terminal = screen.is_terminal
        self._decoder: Any = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._held = ""

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write some bytes; on a terminal an escape sequence is held back until it is whole."""
        if not self._is_terminal:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
            return
        text = self._held + self._decoder.decode(data, final)
        escape = text.rfind("\x1b")
        whole = escape < 0 or final or "m" in text[escape:] or len(text) - escape > LONGEST_ESCAPE
        cut = len(text) if whole else escape
        if text[cut - 1 : cut] == "\r" and not final:
            cut -= 1
        self._held = text[cut:]
        sys.stdout.write(safe_output(text[:cut]))
        sys.stdout.flush()

    def copy(self, source: Source) -> None:
        """Write everything that was added."""
        while data := source.read():
            self.write(data)

    def end(self) -> None:
        """Write what was held back."""
        if self._is_terminal:
            self.write(b"", final=True)


def show(screen: Screen, source: Source) -> None:
    """Write the rest of a file."""
    printer = Printer(screen)
    printer.copy(source)
    printer.end()


def follow(screen: Screen, source: Source) -> None:
    """Write what is added to a file, until Ctrl-C."""
    import time

    printer = Printer(screen)
    while True:
        printer.copy(source)
        time.sleep(LOOK_S)


def read_all(source: Source) -> str:
    """Return the rest of a file as text."""
    parts = []
    while data := source.read():
        parts.append(data)
    return b"".join(parts).decode("utf-8", "backslashreplace")
