"""plain_file: opens a file that a job may have replaced, and reads its last lines.

Guarantees: a file is opened relative to its directory, never through a link, and only if it is a regular file.
"""

from __future__ import annotations

import errno
import os
import stat

from queuectl.errors import NotFound

MOST_BYTES = 256 << 10


def open_in(path: str, missing: str) -> int:
    """Open a file for reading.

    Raises:
        NotFound: it is not there, or is no file; `missing` says so in words.
    """
    folder, name = os.path.split(path)
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            fd = os.open(name, flags, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise NotFound(missing) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotFound(missing)
    return fd


def tail_of(fd: int, lines: int, start: int = 0) -> tuple[int, bytes]:
    """Return the last lines, at most MOST_BYTES and none before `start`, with the offset at which they begin."""
    size = os.fstat(fd).st_size
    begin = max(0, start, size - MOST_BYTES)
    data = os.pread(fd, max(0, size - begin), begin)
    at = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        at = data.rfind(b"\n", 0, max(0, at))
        if at < 0:
            return begin, data
    return begin + at + 1, data[at + 1 :] if lines else b""
