"""log: supervisor.log and worker-N.log, each rotated by the process that writes it.

Owns:       files under logs/.
Guarantees: a full disk or a missing directory never stops a job. A line is a sentence and key=value pairs. A warning or an
            error is written at once, an INFO line with the next `flush`, which a loop calls before it sleeps.
Source:     docs/DECISIONS.md D18.

Own log: INFO lines are collected and written with one call before a loop sleeps, instead of one call a line by `logging`.
Two lines a job written by `logging` took a quarter of the time of a worker whose jobs are short.
The cost: no handlers and no configuration.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from queuectl.atomic_file import open_private
from queuectl.clock import Clock, stamp

if TYPE_CHECKING:
    from queuectl.spool.layout import Layout

MAX_BYTES = 10 << 20
KEPT_FILES = 5
FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class Log:
    """One log file; a line is `2026-11-24T14:01:58.120000Z worker-1 INFO sentence`.

    Args:
        path: its older parts are PATH.1 (the newest) to PATH.5.
        echo: also write to stderr.
    """

    def __init__(self, path: str, name: str, *, echo: bool = False) -> None:
        self._path = path
        self._name = name
        self._echo = echo
        self._clock = Clock()
        self._lines: list[str] = []
        self._fd = -1
        self._size = 0

    def info(self, sentence: str) -> None:
        """Record an expected event."""
        self._note("INFO", sentence)

    def warning(self, sentence: str) -> None:
        """Write what an operator may want to check."""
        self._note("WARNING", sentence)
        self.flush()

    def error(self, sentence: str) -> None:
        """Write what an operator should check."""
        self._note("ERROR", sentence)
        self.flush()

    def exception(self, sentence: str) -> None:
        """Write an error with the traceback of the current exception."""
        import traceback

        self.error(f"{sentence}\n{traceback.format_exc()}")

    def _note(self, level: str, text: str) -> None:
        """Add one line, with control characters escaped."""
        if not text.isprintable():
            text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        self._lines.append(f"{stamp(self._clock.now())} {self._name} {level} {text}\n")

    def flush(self) -> None:
        """Write all collected lines with one call. Lines that the disk refuses are lost."""
        if not self._lines:
            return
        data = "".join(self._lines).encode("utf-8", "backslashreplace")
        self._lines.clear()
        try:
            self._make_ready(len(data))
            self._size += os.write(self._fd, data)
            if self._echo:
                sys.stderr.write(data.decode())
                sys.stderr.flush()
        except OSError:
            return

    def _make_ready(self, size: int) -> None:
        if self._fd >= 0 and self._size + size > MAX_BYTES:
            os.close(self._fd)
            self._fd = -1
            for number in range(KEPT_FILES, 0, -1):
                former = f"{self._path}.{number - 1}" if number > 1 else self._path
                if os.path.exists(former):
                    os.replace(former, f"{self._path}.{number}")
        if self._fd < 0:
            self._fd = open_private(self._path, FLAGS)
            self._size = os.fstat(self._fd).st_size


def open_log(layout: Layout, name: str, *, echo: bool = False) -> Log:
    """Return the log that is written to logs/NAME.log; `echo` also writes to stderr."""
    return Log(layout.log(name), name, echo=echo)
