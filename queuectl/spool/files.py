"""files: every system call on the spool, one small method each.

Owns:       rename, link, unlink, fsync, flock and leases. Tests hand a Spool a subclass of Files that kills, fails or
            records at any of these methods; nothing else in the product changes files of the spool.
Guarantees: no method overwrites a file; a short write is an error.
Source:     open(2), renameat2(2), flock(2), fcntl(2) § leases, link(2) (AT_SYMLINK_FOLLOW of /proc/self/fd).
"""

from __future__ import annotations

import errno
import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Iterator

READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CHANGE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
NOREPLACE, EXCHANGE = 1, 2
AT_FDCWD = -100
SIGURG = 23  # ignored by default, unlike SIGIO: a lease that breaks must not kill us


class Files:
    """The real thing. Every method raises OSError as the kernel gave it."""

    __slots__ = ("_libc", "_unnamed")

    def __init__(self) -> None:
        self._libc: ctypes.CDLL | None = None
        self._unnamed = hasattr(os, "O_TMPFILE")

    def open(self, path: str, flags: int) -> int:
        """Open or create; what is created is 0600."""
        return os.open(path, flags, 0o600)

    def close(self, fd: int) -> None:
        """Close; this also drops the lock held through `fd`."""
        os.close(fd)

    def fstat(self, fd: int) -> os.stat_result:
        """Status of an open file."""
        return os.fstat(fd)

    def lstat(self, path: str) -> os.stat_result | None:
        """Status of a name, links not followed; None when there is none."""
        try:
            return os.lstat(path)
        except FileNotFoundError:
            return None

    def names(self, directory: str) -> Iterator[str]:
        """Names in a directory, in no order, read in batches."""
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name

    def read(self, fd: int, limit: int) -> bytes:
        """Read the file from its start, at most `limit` + 1 bytes."""
        data = os.pread(fd, min(limit + 1, 65536), 0)
        if len(data) < min(limit + 1, 65536):
            return data
        parts = [data]
        size = len(data)
        while size <= limit:
            data = os.pread(fd, limit + 1 - size, size)
            if not data:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`; raises ENOSPC when only a part went in."""
        written = os.pwrite(fd, data, offset)
        while written < len(data):
            more = os.pwrite(fd, data[written:], offset + written)
            if more == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += more

    def append(self, path: str, data: bytes) -> None:
        """Add one line to a file that others add to as well, under a shared lock."""
        fd = os.open(path, APPEND, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            os.write(fd, data)
        finally:
            os.close(fd)

    def take_all(self, path: str) -> bytes:
        """Return what was appended to `path` so far; `forget` takes it away once it has been used."""
        try:
            fd = os.open(path, READ)
        except FileNotFoundError:
            return b""
        try:
            return os.read(fd, 1 << 24)
        finally:
            os.close(fd)

    def forget(self, path: str, size: int) -> None:
        """Drop the first `size` bytes of what was appended, keeping what came meanwhile."""
        fd = os.open(path, CHANGE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            rest = os.pread(fd, 1 << 24, size)
            os.pwrite(fd, rest, 0)
            os.ftruncate(fd, len(rest))
        finally:
            os.close(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def chmod(self, fd: int, mode: int) -> None:
        """Change the mode of an open file."""
        os.fchmod(fd, mode)

    def sync(self, fd: int) -> None:
        """Make a new file durable, data and inode."""
        os.fsync(fd)

    def sync_data(self, fd: int) -> None:
        """Make what was written durable."""
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def try_lock(self, fd: int) -> bool:
        """Take the exclusive lock of an open file; False when somebody else has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def has_writer(self, path: str) -> bool:
        """Tell whether some process has the file open for writing (where leases exist; else False)."""
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        fd = os.open(path, READ)
        try:
            fcntl.fcntl(fd, fcntl.F_SETSIG, SIGURG)  # type: ignore[attr-defined]
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:  # a file system without leases
            return False
        finally:
            os.close(fd)
        return False

    def create(self, directory: str, name: str) -> tuple[int, str | None]:
        """Create a file for `publish`: without a name where the system can, else as `directory`/`name`."""
        if self._unnamed:
            try:
                return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600), None
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
                self._unnamed = False
        path = f"{directory}/{name}"
        return os.open(path, CREATE, 0o600), path

    def publish(self, fd: int, path: str | None, target: str) -> None:
        """Give a file made by `create` its name, all at once; raises FileExistsError when it is taken."""
        if path is None:
            os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd)  # a directory fd makes Python follow the link
        else:
            os.link(path, target)
            os.unlink(path)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def move(self, source: str, target: str) -> None:
        """Rename, never overwriting: raises FileExistsError when the target exists."""
        code = self._renameat2(source, target, NOREPLACE)
        if code in (errno.ENOSYS, errno.EINVAL):
            os.link(source, target, follow_symlinks=False)
            os.unlink(source)
        elif code:
            raise OSError(code, os.strerror(code), source, None, target)

    def exchange(self, one: str, other: str) -> None:
        """Swap two names at once."""
        code = self._renameat2(one, other, EXCHANGE)
        if code:
            raise OSError(code, os.strerror(code), one, None, other)

    def _renameat2(self, source: str, target: str, flags: int) -> int:
        import ctypes

        if self._libc is None:
            self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            call = self._libc.renameat2
        except AttributeError:
            return errno.ENOSYS
        while call(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags):
            code = ctypes.get_errno()
            if code != errno.EINTR:
                return code
        return 0

    def free_bytes(self, path: str) -> tuple[int, int]:
        """Return (bytes we may still write, bytes of the whole file system)."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
