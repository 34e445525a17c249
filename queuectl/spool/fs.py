"""fs: every system call on the spool, one small method each.

Owns:       rename, link, unlink, fsync, flock and leases. Tests hand a Spool a subclass of Files that kills, fails or
            records at any of these methods; nothing else in the product changes files of the spool.
Guarantees: no move overwrites; a short write is an error; nothing waits for another process, except for the lock of run/changes.
Source:     open(2), renameat2(2), flock(2), fcntl(2) § leases, link(2) (AT_SYMLINK_FOLLOW of /proc/self/fd).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from queuectl.atomic_file import open_private, restore_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Never through a link, never waiting for the other end of a FIFO, never making a terminal ours.
_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
READ = os.O_RDONLY | _CAREFUL
CHANGE = os.O_RDWR | _CAREFUL
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFUL
APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _CAREFUL
SHARED = os.O_RDWR | os.O_CREAT | os.O_APPEND | _CAREFUL
IN_PLACE = os.O_RDWR | os.O_CREAT | _CAREFUL
NOREPLACE, EXCHANGE = 1, 2
AT_FDCWD = -100
SYNC_FILE_RANGE_WRITE = 2
READ_ON_BYTES = 1 << 20
MANY_FILES = 64  # so many new ones are made durable by syncing the file system, whatever else waits there,
MUCH_BYTES = 1 << 30  # unless the machine has more than this to write: what is not ours would be waited for
MEMINFO = "/proc/meminfo"
READ_BYTES = 65536  # most files are read at once
FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Files:
    """The real thing. Every method raises OSError as the kernel gave it."""

    __slots__ = ("_made", "_rename", "_unnamed")

    def __init__(self) -> None:
        self._rename: Callable[..., int] | None = None
        self._unnamed = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
        self._made = 0

    # --- looking

    def open(self, path: str, flags: int) -> int:
        """Open or create; what is created is 0600, whatever the umask."""
        if flags & os.O_CREAT:
            return open_private(path, flags)
        return os.open(path, flags)

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

    def exists(self, path: str) -> bool:
        """Tell whether there is such a name, links not followed."""
        return os.access(path, os.F_OK, follow_symlinks=False)

    def names(self, directory: str) -> Iterator[str]:
        """Names in a directory, in no order, read in batches."""
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name

    def entries(self, directory: str) -> Iterator[tuple[str, int]]:
        """Names in a directory, each with the inode of its entry, in no order, read in batches."""
        with os.scandir(directory) as entries:
            for entry in entries:
                yield entry.name, entry.inode()

    def read(self, fd: int, limit: int) -> bytes:
        """Read the file from its start, at most `limit` + 1 bytes."""
        data = os.pread(fd, READ_BYTES, 0)
        if len(data) < READ_BYTES:
            return data
        parts = [data]
        size = len(data)
        while size <= limit:
            data = os.pread(fd, min(READ_ON_BYTES, limit + 1 - size), size)  # what is asked for is allocated
            if not data:
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        """Read at most `size` bytes from `offset`."""
        return os.pread(fd, size, offset)

    def free_bytes(self, path: str) -> tuple[int, int]:
        """Return (bytes we may still write, bytes of the whole file system)."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize

    # --- the bytes of a file

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """Write all of `data` at `offset`; raises ENOSPC when only a part went in."""
        written = os.pwrite(fd, data, offset)
        while written < len(data):
            more = os.pwrite(fd, data[written:], offset + written)
            if more == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += more

    def truncate(self, fd: int, size: int) -> None:
        """Cut a file off."""
        os.ftruncate(fd, size)

    def chmod(self, fd: int, mode: int) -> None:
        """Change the mode of an open file."""
        os.fchmod(fd, mode)

    def set_mode(self, path: str, mode: int) -> None:
        """Change the mode of a name, never through a link; also where it cannot be opened for want of rights."""
        flags = getattr(os, "O_PATH", os.O_RDONLY) | _CAREFUL
        fd = os.open(path, flags)
        try:
            os.chmod(f"/proc/self/fd/{fd}" if hasattr(os, "O_PATH") else fd, mode)
        finally:
            os.close(fd)

    def touch(self, path: str) -> None:
        """Make a file or directory look changed."""
        os.utime(path)

    def reserve(self, fd: int, size: int) -> None:
        """Take up `size` bytes of the disk."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        else:
            self.write(fd, bytes(size), 0)

    def sync(self, fd: int) -> None:
        """Make a new file durable, data and inode."""
        os.fsync(fd)

    def sync_all(self, fds: Sequence[int]) -> None:
        """Make many new files of one file system durable: one by one, or all that it has not written yet at once."""
        if len(fds) >= MANY_FILES:
            if self._unwritten_bytes() > MUCH_BYTES:
                self.begin_writing(fds)
            elif self._sync_file_system(fds[0]):
                return
        for fd in fds:
            self.sync(fd)

    def _unwritten_bytes(self) -> int:
        """Return how much all programs have written that is not on the disks yet; 0 where that is unknown."""
        try:
            with open(MEMINFO, encoding="ascii") as file:
                words = [line.split() for line in file if line.startswith(("Dirty:", "Writeback:"))]
            return sum(int(each[1]) for each in words) << 10
        except (OSError, ValueError, IndexError):
            return 0

    def begin_writing(self, fds: Iterable[int]) -> None:
        """Have the kernel write these files at once, so that to sync them one by one takes less; a hint, no more."""
        from ctypes import c_int64

        write = _c_call("sync_file_range")
        for fd in fds:
            write(fd, c_int64(0), c_int64(0), SYNC_FILE_RANGE_WRITE)

    def _sync_file_system(self, fd: int) -> bool:
        import ctypes

        if not _c_call("syncfs")(fd):
            return True
        code = ctypes.get_errno()
        if code == errno.ENOSYS:
            return False
        raise OSError(code, os.strerror(code))

    def sync_data(self, fd: int) -> None:
        """Make what was written durable."""
        os.fdatasync(fd) if hasattr(os, "fdatasync") else os.fsync(fd)

    # --- locks

    def try_lock(self, fd: int) -> bool:
        """Take the exclusive lock of an open file; False when another process has it."""
        return self._flock(fd, fcntl.LOCK_EX)

    def lock(self, fd: int) -> None:
        """Wait for the exclusive lock of an open file; only for locks that are held for milliseconds."""
        fcntl.flock(fd, fcntl.LOCK_EX)

    def share(self, fd: int) -> None:
        """Wait for the shared lock of an open file; only for locks that are held for milliseconds."""
        fcntl.flock(fd, fcntl.LOCK_SH)

    def is_locked(self, fd: int) -> bool:
        """Return whether a process holds the exclusive lock of an open file; two processes may ask at the same time."""
        return not self._flock(fd, fcntl.LOCK_SH)

    def _flock(self, fd: int, kind: int) -> bool:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def has_writer(self, path: str) -> bool:
        """Tell whether some process has the file open for writing (where leases exist; else False)."""
        if not hasattr(fcntl, "F_SETLEASE"):
            return False
        from signal import SIGURG

        fd = os.open(path, READ)
        try:
            # Whoever opens it for writing this very moment breaks the lease: of the signals that may tell us so,
            # this one is ignored unless somebody asks for it. The default, SIGIO, would end us.
            fcntl.fcntl(fd, fcntl.F_SETSIG, SIGURG)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except BlockingIOError:
            return True
        except OSError:  # a file system without leases, or another's file
            return False
        finally:
            os.close(fd)
        return False

    # --- names

    def create(self, directory: str) -> tuple[int, str | None]:
        """Create a file for `publish`: without a name where the system can, else with one of its own in `directory`."""
        if self._unnamed:
            try:
                fd = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
                restore_mode(fd)
                return fd, None
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                    raise
                self._unnamed = False
        path = self.fresh_name(directory)
        return open_private(path, CREATE), path

    def fresh_name(self, directory: str) -> str:
        """Return a path that no other process uses."""
        self._made += 1
        return f"{directory}/{os.getpid()}.{self._made}.{os.urandom(6).hex()}"

    def publish(self, fd: int, path: str | None, target: str) -> None:
        """Give a file made by `create` its name, all at once; raises FileExistsError when it is taken.

        Crash: with `path` only: the file may have both names.
        """
        if path is None:
            # `src_dir_fd`, whatever it is, makes Python follow the link.
            try:
                os.link(f"/proc/self/fd/{fd}", target, src_dir_fd=fd, follow_symlinks=True)
            except OSError as error:
                error.filename, error.filename2 = target, None  # the other name is temporary
                raise
        else:
            self.move(path, target)

    def link(self, source: str, target: str) -> None:
        """Give a file, or a symbolic link itself, a second name; raises FileExistsError."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(path)

    def move(self, source: str, target: str, *, is_fresh: bool = False) -> None:
        """Rename, never overwriting: raises FileExistsError when the target exists.

        Args:
            is_fresh: no other process can have this name, so an ordinary rename overwrites nothing either.

        Crash: where the system cannot do it at once, the file may have both names, unless `is_fresh`.
        """
        code = self._renameat2(source, target, NOREPLACE)
        if code in (errno.ENOSYS, errno.EINVAL):
            if is_fresh:
                os.rename(source, target)
            else:
                self._move_in_steps(source, target)
        elif code:
            raise OSError(code, os.strerror(code), source, None, target)

    @property
    def moves_at_once(self) -> bool:
        """A move is one step here: this system has renameat2."""
        return self._renameat2("", "", NOREPLACE) != errno.ENOSYS

    def exchange(self, one: str, other: str) -> bool:
        """Swap two names at once; False where the system cannot: then `one` has replaced `other` and is gone."""
        code = self._renameat2(one, other, EXCHANGE)
        if code in (errno.ENOSYS, errno.EINVAL):
            os.rename(one, other)
            return False
        if code:
            raise OSError(code, os.strerror(code), one, None, other)
        return True

    def _move_in_steps(self, source: str, target: str) -> None:
        if stat.S_ISDIR(os.lstat(source).st_mode):  # has no second name
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
            os.rename(source, target)
            return
        self.link(source, target)
        self.unlink(source)

    def _renameat2(self, source: str, target: str, flags: int) -> int:
        import ctypes

        call = self._rename = self._rename or _c_call("renameat2")
        while call(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags):
            code = ctypes.get_errno()
            if code != errno.EINTR:
                return code
        return 0

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # --- run/changes

    def append(self, path: str, data: bytes) -> None:
        """Add one line to a file that others add to as well, under a shared lock."""
        fd = open_private(path, APPEND)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            os.write(fd, data)
        finally:
            os.close(fd)

    def take(self, path: str, limit: int = 1 << 40) -> bytes:
        """Return what was appended to `path` so far, the oldest first; `forget` takes it away once it has been used."""
        try:
            fd = os.open(path, READ)
        except FileNotFoundError:
            return b""
        try:
            return self.read(fd, limit)[:limit]
        finally:
            os.close(fd)

    def forget(self, path: str, size: int) -> None:
        """Drop the first `size` bytes of what was appended, keeping what came meanwhile."""
        fd = os.open(path, CHANGE)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            rest = os.pread(fd, max(0, os.fstat(fd).st_size - size), size)
            os.pwrite(fd, rest, 0)
            os.ftruncate(fd, len(rest))
        finally:
            os.close(fd)


def _c_call(name: str) -> Callable[..., int]:
    """Return a function of the C library, found once; where it is missing, one that fails with ENOSYS."""
    if name not in _c_calls:
        import ctypes

        _c_calls[name] = getattr(ctypes.CDLL(None, use_errno=True), name, _no_such_call)
    return _c_calls[name]


_c_calls: dict[str, Callable[..., int]] = {}


def _no_such_call(*_: object) -> int:
    import ctypes

    ctypes.set_errno(errno.ENOSYS)
    return -1


def changed_at(status: os.stat_result) -> float:
    """Return when anything last happened to a file, its renaming included: one that was just put there is young."""
    return max(status.st_mtime, status.st_ctime)
