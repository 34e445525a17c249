"""growing_file: a file that grows while it is read: its last lines, what is added, and its new beginning when it has one.

Guarantees: a file that is truncated, or that another takes the place of (a log that is rotated), is read on; what was added
            to the old one before that is read first.
"""

from __future__ import annotations

import errno
import os
import stat

from queuectl.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 1 << 16
COMPARED = 64  # bytes
NOT_A_FILE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR)


def open_plainly(path: str) -> int:
    """Open a file for reading, never through a link, and without waiting for a pipe."""
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def open_regular(path: str, missing: str) -> int:
    """Open a regular file for reading, never through a link.

    Raises:
        NotFound: there is none; `missing` says so in words.
    """
    try:
        fd = open_plainly(path)
    except OSError as error:
        if error.errno in NOT_A_FILE:
            raise NotFound(missing) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotFound(missing)
    return fd


def last_lines(fd: int, lines: int, most_bytes: int, start: int = 0) -> tuple[int, bytes]:
    """Return the last lines of a file, at most so many bytes and none before `start`, and the offset where they begin."""
    size = os.fstat(fd).st_size
    begin = max(0, start, size - most_bytes)
    data = os.pread(fd, max(0, size - begin), begin)
    at = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        at = data.rfind(b"\n", 0, max(0, at))
        if at < 0:
            return begin, data
    return begin + at + 1, data[at + 1 :] if lines else b""


class GrowingFile:
    """A file that is read from where the last reading ended; it may be missing as yet.

    One that was truncated, or replaced by another file, is read on from its new beginning.

    Args:
        on_restart: called with what happened, in words, before the new beginning is read.
        open_file: returns a descriptor of the file; raises FileNotFoundError or NotFound where there is none.
    """

    def __init__(
        self,
        path: str,
        on_restart: Callable[[str], None] = lambda _words: None,
        *,
        open_file: Callable[[str], int] = open_plainly,
    ) -> None:
        self._path = path
        self._on_restart = on_restart
        self._open_file = open_file
        self._fd = -1
        self._last = b""  # just before the position; it is not the same any more where the file was begun anew
        self._open()

    def __enter__(self) -> GrowingFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        try:
            self._fd = self._open_file(self._path)
        except (FileNotFoundError, NotFound):
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
        self.skip_to(position)
        return position > 0

    def skip_to(self, position: int) -> None:
        """Begin at this byte."""
        if self._fd >= 0:
            os.lseek(self._fd, position, os.SEEK_SET)
            self._last = os.pread(self._fd, min(position, COMPARED), max(0, position - COMPARED))

    def read(self) -> bytes:
        """Return what was added, at most a block; empty when nothing was."""
        if self._fd < 0:
            self._open()
        if self._fd < 0:
            return b""
        if self._was_truncated():
            self._on_restart("was truncated")
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._last = b""
        data = os.read(self._fd, BLOCK)
        if not data and self._was_replaced():
            self._on_restart("was replaced by another file")
            self.close()
            self._last = b""
            self._open()
            return self.read() if self._fd >= 0 else b""
        self._last = (self._last + data)[-COMPARED:]
        return data

    def _was_truncated(self) -> bool:
        """Tell whether it is shorter than what was read, or was and has grown again."""
        if not self._last:
            return False
        position = os.lseek(self._fd, 0, os.SEEK_CUR)
        return os.pread(self._fd, len(self._last), position - len(self._last)) != self._last

    def _was_replaced(self) -> bool:
        try:
            now, ours = os.stat(self._path), os.fstat(self._fd)
        except FileNotFoundError:
            return False
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)
