"""atomic_file: files and directories of a home as they are created.

Guarantees: what is created has exactly the mode that is asked for, whatever the umask; the umask itself is left alone, for
            the commands of jobs inherit it.
Fails with: OSError.
"""

from __future__ import annotations

import os

FILE_MODE, DIRECTORY_MODE = 0o600, 0o700
PERMISSIONS = 0o777


def open_private(path: str, flags: int) -> int:
    """Open a file with O_CREAT among the flags; a new one gets FILE_MODE. One that exists keeps its mode."""
    fd = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        restore_mode(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def restore_mode(fd: int) -> None:
    """Give a file that was just created the bits of FILE_MODE that the umask took away."""
    mode = os.fstat(fd).st_mode & PERMISSIONS
    if mode != FILE_MODE and not mode & ~FILE_MODE:  # a file that others may read was there before
        os.fchmod(fd, FILE_MODE)


def make_directory(path: str) -> None:
    """Create a directory for its owner alone; raises FileExistsError."""
    os.mkdir(path, DIRECTORY_MODE)
    if os.lstat(path).st_mode & PERMISSIONS != DIRECTORY_MODE:
        os.chmod(path, DIRECTORY_MODE)


def make_parents(path: str) -> None:
    """Create the directories above a path as `mkdir -p` does: by the umask, but never closed to their owner."""
    parent = os.path.dirname(path)
    if os.path.isdir(parent):
        return
    make_parents(parent)
    try:
        os.mkdir(parent)
    except FileExistsError:
        return
    mode = os.lstat(parent).st_mode & PERMISSIONS
    if ~mode & DIRECTORY_MODE:
        os.chmod(parent, mode | DIRECTORY_MODE)
