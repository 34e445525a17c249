"""attributes: what keeps even its owner from changing a file or a directory (chattr +i, +a).

Source:     ioctl_iflags(2).
"""

from __future__ import annotations

import errno
import os
import struct
from fcntl import ioctl
from typing import TYPE_CHECKING

from queuectl.doctor.context import quoted
from queuectl.doctor.result import ERROR, Finding, few

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.doctor.context import Context

GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
IMMUTABLE, APPEND_ONLY = 0x10, 0x20
UNKNOWN = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # file systems without, and other systems


def is_kept(fd: int) -> bool:
    """Tell whether an open file, or directory, cannot be changed, renamed or removed."""
    try:
        (flags,) = struct.unpack("l", ioctl(fd, GET_FLAGS, bytes(struct.calcsize("l"))))
    except OSError as error:
        if error.errno in UNKNOWN:
            return False
        raise
    return bool(flags & (IMMUTABLE | APPEND_ONLY))


def kept(context: Context) -> Iterator[Finding]:
    """Directories and job files that were made so."""
    paths = [path for path in context.folders() if _is_kept_folder(path)]
    paths += [seen.path for seen in context.scan.of("kept")]
    if paths:
        named = few([context.within(path) for path in paths])
        text = f"{named} cannot be changed, not even by you (chattr +i or +a): jobs neither come in there nor leave"
        yield Finding(ERROR, text, f"sudo chattr -i -a {' '.join(quoted(path) for path in paths[:MOST])}")


def _is_kept_folder(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False  # other checks say so
    try:
        return is_kept(fd)
    finally:
        os.close(fd)


MOST = 20  # on one command line
