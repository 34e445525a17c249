"""A real file system on a file, whose power can be cut.

ext4 and xfs are shut down by FS_IOC_GOINGDOWN without flushing their log: what was not committed is gone. btrfs has no such
call; there the file under it is copied at that instant, which is what a disk would hold. Needs root and loop devices.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = {"ext4": 64 << 20, "xfs": 300 << 20, "btrfs": 128 << 20}  # xfs and btrfs refuse smaller ones
MAKERS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-N", "8192"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-m", "single"],
}
FS_IOC_GOINGDOWN, NO_LOG_FLUSH = 0x8004587D, 2
BLKFLSBUF = 0x1261
IS_CI = os.environ.get("QUEUECTL_CI") == "1"
_libc = ctypes.CDLL(None, use_errno=True)


def require(kind: str) -> None:
    """Skip, with the reason, where there can be no such disk; fail where there has to be."""
    reason = _why_not(kind)
    if reason is not None and IS_CI:
        pytest.fail(f"power cuts on {kind} are part of CI, but {reason}")
    if reason is not None:
        pytest.skip(f"no power cuts on {kind}: {reason}")


def _why_not(kind: str) -> str | None:
    if os.geteuid() != 0:
        return "this needs root"
    for program in (MAKERS[kind][0], "losetup"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    return None


class LoopDisk:
    """One file system, mounted at `path`; use it in a `with` statement.

    Attributes:
        path: where it is mounted.
        cuts: how often its power was cut.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.cuts = 0
        # In memory where there is such a place: a sync then costs what it is to a file system, not to a disk.
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self._image = Path(self._folder.name, "image")
        self._copy = Path(self._folder.name, "copy")
        self.path = Path(self._folder.name, "mounted")
        self.path.mkdir()
        self._device = ""
        self._fd = -1

    def __enter__(self) -> LoopDisk:
        try:
            with self._image.open("wb") as file:
                file.truncate(SIZES[self.kind])
            _run(*MAKERS[self.kind], str(self._image))
            self._device = _run("losetup", "--find", "--show", str(self._image)).strip()
            self._mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._unmount()
        finally:
            if self._device:
                _run("losetup", "--detach", self._device)
            self._folder.cleanup()

    def _mount(self) -> None:
        _call("mount", self._device.encode(), os.fsencode(self.path), self.kind.encode(), 0, None)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _unmount(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            _call("umount2", os.fsencode(self.path), 0)

    def sync(self) -> None:
        """Have everything on the disk, as some time later it would be anyway."""
        _call("syncfs", self._fd)

    def cut(self) -> None:
        """Cut the power. On btrfs nobody may write meanwhile."""
        if self.kind == "btrfs":
            _copy(self._image, self._copy)
        else:
            fcntl.ioctl(self._fd, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
        self.cuts += 1

    def restart(self) -> None:
        """Start again with what the disk held at the cut."""
        self._unmount()
        if self.kind == "btrfs":
            _copy(self._copy, self._image)
            fd = os.open(self._device, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(fd, BLKFLSBUF)
            finally:
                os.close(fd)
        self._mount()


def _call(name: str, *args: object) -> None:
    while getattr(_libc, name)(*args) != 0:
        code = ctypes.get_errno()
        if code != errno.EINTR:
            raise OSError(code, f"{name}: {os.strerror(code)}")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a sparse file that hold data."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, end


def _copy(source: Path, target: Path) -> None:
    """Copy a sparse file onto another, which stays the same inode."""
    with source.open("rb", buffering=0) as old, target.open("r+b" if target.exists() else "w+b", buffering=0) as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(0)
        new.truncate(size)
        for start, end in _extents(old.fileno(), size):
            while start < end:
                start += os.pwrite(new.fileno(), os.pread(old.fileno(), min(1 << 20, end - start), start), start)
