"""Files that misbehave: old systems, full disks, and a process that dies or a call that fails at the n-th operation."""

from __future__ import annotations

import errno
import os
from typing import Any

from queuectl.spool.fs import Files, _no_such_call


def make_old(files: Files, *, unnamed: bool = False) -> None:
    """Let it run on a system without renameat2 and, unless `unnamed`, without unnamed files."""
    files._rename = _no_such_call
    files._unnamed = unnamed


class Old(Files):
    """A system without renameat2."""

    def __init__(self) -> None:
        super().__init__()
        make_old(self, unnamed=True)


class Named(Files):
    """Nor has its file system unnamed files."""

    def __init__(self) -> None:
        super().__init__()
        make_old(self)


class FullDisk(Files):
    """A disk on which growing and creating fail while `full`, and nothing else.

    Attributes:
        short: how many bytes of a growth still go in.
        ballast_helps: unlinking the ballast makes room.
    """

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.short = 0
        self.ballast_helps = False

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if self.full and offset + len(data) > os.fstat(fd).st_size:  # what is there can be overwritten
            super().write(fd, data[: self.short], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data, offset)

    def create(self, directory: str) -> tuple[int, str | None]:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().create(directory)

    def unlink(self, path: str) -> None:
        super().unlink(path)
        if path.endswith("ballast") and self.ballast_helps:
            self.full = False


class Point:
    """One operation at which something happens."""

    def __init__(self, number: int, error: int | None = None, *, short: int | None = None) -> None:
        self.number = number
        self.error = error  # None: the process dies
        self.short = short  # bytes of a write that still go in
        self.happened = False


class Faulty(Files):
    """Counts every operation; at the point it dies before the operation, or fails instead of it.

    Attributes:
        trace: the operations so far.
    """

    def __init__(self, point: Point | None = None) -> None:
        super().__init__()
        self.point = point
        self.trace: list[str] = []

    def at(self, method: str, *args: Any) -> None:
        self.trace.append(method)
        point = self.point
        if point is None or len(self.trace) != point.number:
            return
        point.happened = True
        if point.short is not None and method == "write":
            Files.write(self, args[0], args[1][: point.short], args[2])
        if point.error is None:
            os._exit(DIED)
        raise OSError(point.error, os.strerror(point.error))


DIED = 77
# What the kernel can refuse; a question that never raises (exists) and a descriptor that is closed all the same
# (close) can only be died at.
REFUSABLE = {
    "open": (errno.EACCES, errno.EMFILE, errno.EIO),
    "fstat": (errno.EIO,),
    "lstat": (errno.EIO, errno.EACCES),
    "read": (errno.EIO,),
    "read_at": (errno.EIO,),
    "write": (errno.ENOSPC, errno.EDQUOT, errno.EIO),
    "truncate": (errno.EIO,),
    "chmod": (errno.EPERM,),
    "set_mode": (errno.EPERM,),
    "sync": (errno.EIO, errno.ENOSPC),
    "sync_data": (errno.EIO, errno.ENOSPC),
    "sync_directory": (errno.EIO, errno.EMFILE),
    "try_lock": (errno.ENOLCK,),
    "is_locked": (errno.ENOLCK,),
    "has_writer": (errno.ENOENT, errno.EACCES),
    "create": (errno.ENOSPC, errno.EMFILE, errno.EIO),
    "publish": (errno.ENOSPC, errno.EIO),
    "link": (errno.EIO, errno.EMLINK),
    "unlink": (errno.EIO, errno.EROFS),
    "move": (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES),
    "exchange": (errno.EIO,),
    "free_bytes": (errno.EIO,),
    "append": (errno.ENOSPC, errno.EIO),
}
DEADLY = (*REFUSABLE, "exists", "close", "names")


def _instrument(method: str) -> None:
    real = getattr(Files, method)

    def call(self: Faulty, *args: Any, **kwargs: Any) -> Any:
        self.at(method, *args)
        return real(self, *args, **kwargs)

    setattr(Faulty, method, call)


for _method in DEADLY:
    _instrument(_method)
