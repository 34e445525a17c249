"""Files whose operations die, fail once or from some point on, or cut the power; all of them, also those of the index.

Built on faulty_fs.Faulty, which counts; here is what may happen at a count, and every error that the kernel could give.
"""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any

from queuectl.spool.fs import CREATE, Files
from tests.support.faulty_fs import Faulty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Act = Callable[["FaultInjector", str, tuple[Any, ...]], None]

LOOKING = {"open", "fstat", "lstat", "exists", "names", "read", "read_at", "free_bytes", "take", "has_writer"}
WRITING = {"write", "truncate", "reserve", "append", "forget"}
NAMING = {"create", "publish", "link", "unlink", "move", "exchange"}
MARKING = {"chmod", "touch"}
SYNCING = {"sync", "sync_data", "sync_directory"}
LOCKING = {"try_lock", "is_locked"}
CLOSING = {"close"}
CHANGING = WRITING | NAMING | MARKING | SYNCING | {"open", "try_lock", "close"}

# Which operations may give which error. A full disk refuses all that may need a block, a read-only one all that
# changes; Python itself tries again after EINTR but for calls on names, which only odd file systems interrupt.
REFUSE: dict[int, set[str]] = {
    errno.EIO: LOOKING | WRITING | NAMING | MARKING | SYNCING | CLOSING,
    errno.ENOSPC: WRITING | NAMING | SYNCING,
    errno.EDQUOT: WRITING | NAMING | SYNCING,
    errno.EMFILE: {"open", "names", "take", "has_writer", "create", "sync_directory", "append", "forget"},
    errno.EROFS: {"open"} | WRITING | NAMING | MARKING,
    errno.EACCES: {"open", "lstat", "exists", "names", "free_bytes", "take", "has_writer", "append", "forget"}
    | NAMING
    | MARKING
    | {"sync_directory"},
    errno.EINTR: {"lstat", "names", "publish", "link", "unlink", "touch"} | CLOSING,
}
READ_ONLY_OPEN = {errno.EROFS}  # gives it only to those who would write


class FaultInjector(Faulty):
    """Counts every operation and lets `act` do something before each."""

    def __init__(self, act: Act | None = None) -> None:
        super().__init__()
        self.act = act
        self.happened = 0
        self.error: int | None = None

    def at(self, method: str, *args: Any) -> None:
        self.trace.append(method)
        if self.act is not None:
            self.act(self, method, args)

    def exists(self, path: str) -> bool:
        try:
            return super().exists(path)
        except OSError:  # access(2) is asked for a yes or a no: an error reads as a no
            return False


def _instrument(method: str) -> None:
    real = getattr(Files, method)

    def call(self: FaultInjector, *args: Any) -> Any:
        self.at(method, *args)
        return real(self, *args)

    setattr(FaultInjector, method, call)


for _method in ("touch", "reserve", "take", "forget"):
    _instrument(_method)


def failing(number: int, error: int, *, for_ever: bool = False, again: int = 0, short: bool = False) -> Act:
    """Let the n-th operation fail.

    Args:
        for_ever: and all that come after it and can give this error.
        again: and the next that can, so many operations later.
        short: a write that fails has written half.
    """

    def act(files: FaultInjector, method: str, args: tuple[Any, ...]) -> None:
        count = len(files.trace)
        is_point = count == number or (for_ever and count > number)
        is_second = again > 0 and count >= number + again and files.happened == 1
        if not (is_point or is_second) or not can_refuse(method, args, error):
            return
        files.happened, files.error = files.happened + 1, error
        if method == "close":  # the descriptor is gone all the same
            os.close(args[0])
        if method == "write" and short:
            Files.write(files, args[0], args[1][: len(args[1]) // 2], args[2])
        raise OSError(error, os.strerror(error), *[arg for arg in args[:1] if isinstance(arg, str)])

    return act


def can_refuse(method: str, args: tuple[Any, ...], error: int) -> bool:
    """Tell whether an operation can give this error."""
    if method not in REFUSE[error]:
        return False
    is_opening = method == "open" and error in READ_ONLY_OPEN
    return not is_opening or args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) != 0


def killing(number: int) -> Act:
    """Let SIGKILL end this process before its n-th operation."""

    def act(files: FaultInjector, method: str, args: tuple[Any, ...]) -> None:
        if len(files.trace) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def at_number(number: int, do: Callable[[], None]) -> Act:
    """Call `do` before the n-th operation."""

    def act(files: FaultInjector, method: str, args: tuple[Any, ...]) -> None:
        if len(files.trace) == number:
            files.happened += 1
            do()

    return act


class Noted(FaultInjector):
    """Also keeps the arguments, for those who have to know whether an operation can give an error."""

    def __init__(self) -> None:
        super().__init__(self._keep)
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def _keep(self, files: FaultInjector, method: str, args: tuple[Any, ...]) -> None:
        self.calls.append((method, args))

    def refusals(self) -> Iterator[tuple[int, str, int]]:
        """Yield (number, operation, error) for all that could have failed."""
        for number, (method, args) in enumerate(self.calls, 1):
            for error in REFUSE:
                if can_refuse(method, args, error):
                    yield number, method, error

    def changes(self) -> Iterator[int]:
        """Yield the numbers of the operations that change something."""
        for number, (method, args) in enumerate(self.calls, 1):
            if method in CHANGING and (method != "open" or args[1] == CREATE):
                yield number


class Interrupted(Files):
    """Here renameat2 itself is interrupted by a signal, `times` times a call."""

    def __init__(self, times: int = 2) -> None:
        super().__init__()
        self.times = times
        self.interruptions = 0
        self._left = times
        import ctypes

        real = ctypes.CDLL(None, use_errno=True).renameat2

        def call(*args: Any) -> int:
            if self._left:
                self._left -= 1
                self.interruptions += 1
                ctypes.set_errno(errno.EINTR)
                return -1
            self._left = times
            return int(real(*args))

        self._rename = call
