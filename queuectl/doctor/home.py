"""home: the home that is examined, and its supervisor.

Guarantees: changes nothing; everything is read once, until `refresh`.
Fails with: NotAllowed for a home of another user, or that is not a directory; InvalidData for one of a later format.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import struct
import time
from fcntl import ioctl
from typing import TYPE_CHECKING

from queuectl.config import config_file
from queuectl.config.settings import Settings
from queuectl.errors import NoSupervisor, NotAllowed, QueueError, TimedOut
from queuectl.spool.fs import changed_at
from queuectl.spool.layout import FOLDERS, Layout, refuse_newer, shown
from queuectl.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any


GET_FLAGS = 2 << 30 | struct.calcsize("l") << 16 | ord("f") << 8 | 1
IMMUTABLE, APPEND_ONLY = 0x10, 0x20
UNKNOWN = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # file systems without, and other systems
ANSWER_S = 10.0
SETTLE_S = 3.0  # by then a new supervisor listens, and an old one has ended
LOOK_AGAIN_S = 0.1
ASTRAY = (errno.ENOTDIR, errno.ELOOP)  # a name that leads nowhere: another check reports it
ANOTHER = "move it away, or choose another directory: --home DIR"


class ExaminedHome:
    """One home directory.

    Args:
        on_step: called with a number of files, now and then, while the job files are read.

    Attributes:
        settings: as configured, or the defaults where the configuration is broken.
    """

    def __init__(self, layout: Layout, environ: Mapping[str, str], on_step: Callable[[int], None]) -> None:
        self.layout = layout
        self.environ = environ
        self.on_step = on_step
        self.settings = _settings(layout.home, environ)
        self.spool = Spool(layout, self.settings)
        self.files = self.spool.files
        self.refresh()

    def refresh(self) -> None:
        """Forget what was read, after a repair."""
        self.now = self.spool.clock.now()
        self._supervisor: dict[str, Any] | None = None
        self._holder: int | None = None
        self._is_silent = self._has_asked = False

    # --- names

    def find(self) -> bool:
        """Tell whether there is such a home.

        Raises:
            NotAllowed: it is not a directory, or belongs to another user.
            InvalidData: it has a later format.
        """
        path = self.layout.home
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise NotAllowed(f"{path} has a parent that is not a directory", ANOTHER) from None
        except PermissionError:
            raise NotAllowed(
                f"you may not read {os.path.dirname(path)}", "run this as the owner of the queue"
            ) from None
        if not stat.S_ISDIR(status.st_mode):
            raise NotAllowed(f"{path} is not a directory", ANOTHER)
        if status.st_uid != os.geteuid():
            owner = _name_of(status.st_uid)
            raise NotAllowed(
                f"{path} belongs to user {owner}, not to you",
                f"run this as its owner: sudo -u {owner} queuectl doctor --home {shlex.quote(path)}",
            )
        if not self.is_closed:
            refuse_newer(path)
        return True

    @property
    def is_closed(self) -> bool:
        """Its mode denies access to its owner."""
        return not os.access(self.layout.home, os.R_OK | os.X_OK)

    def folders(self) -> Iterator[str]:
        """Yield the paths of all directories that a home has, itself first."""
        yield self.layout.home
        for folder in FOLDERS:
            yield f"{self.layout.home}/{folder}"

    def lstat(self, path: str) -> os.stat_result | None:
        """Status of a name, links not followed; None when it, or what it lies in, is not there."""
        try:
            return self.files.lstat(path)
        except OSError as error:
            if error.errno in ASTRAY:
                return None
            raise

    def names(self, folder: str) -> list[str]:
        """Return the names in a directory, sorted; none when it is not there."""
        return sorted(self.each_name(folder))

    def each_name(self, folder: str) -> Iterator[str]:
        """Yield the names in a directory, in no order."""
        try:
            yield from self.files.names(f"{self.layout.home}/{folder}")
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in ASTRAY:
                raise

    def age_s(self, status: os.stat_result) -> float:
        """Return the seconds since anything happened to a file, its renaming included."""
        return self.now - changed_at(status)

    def within(self, path: str) -> str:
        """Name a path as seen from the home, on one line."""
        return shown(path.removeprefix(self.layout.home + "/"))

    # --- the supervisor

    @property
    def supervisor(self) -> dict[str, Any] | None:
        """The status that the supervisor reports; None when none answers."""
        self._ask()
        return self._supervisor

    @property
    def holder(self) -> int | None:
        """The process that holds the supervisor's lock and does not answer, if there is one."""
        self._ask()
        return self._holder

    @property
    def is_silent(self) -> bool:
        """That process listens but does not answer."""
        self._ask()
        return self._is_silent

    @property
    def has_supervisor(self) -> bool:
        """A process holds the lock of the supervisor, whether it answers or not."""
        return self.supervisor is not None or self.holder is not None

    def _ask(self) -> None:
        if self._has_asked:
            return
        self._has_asked = True
        for _ in range(round(SETTLE_S / LOOK_AGAIN_S)):
            self._ask_once()
            if self._supervisor is not None or self._holder is None or self._is_silent:
                return
            self.wait()

    def _ask_once(self) -> None:
        from queuectl import control_client
        from queuectl.supervisor import supervisor_lock

        try:
            self._supervisor = control_client.ask(self.layout, {"do": "status"}, timeout_s=ANSWER_S)
        except TimedOut:
            self._is_silent = True
        except NoSupervisor:
            pass
        self._holder = None if self._supervisor is not None else supervisor_lock.holder_of(self.layout)

    def wait(self) -> None:
        """Wait for changes that are in progress."""
        time.sleep(LOOK_AGAIN_S)


def _settings(home: str, environ: Mapping[str, str]) -> Settings:
    for source in (environ, {}):
        try:
            return config_file.load(home, source)
        except (QueueError, OSError):
            continue
    return Settings()


def _name_of(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def is_kept(fd: int) -> bool:
    """Tell whether an open file, or directory, cannot be changed, renamed or removed."""
    try:
        (flags,) = struct.unpack("l", ioctl(fd, GET_FLAGS, bytes(struct.calcsize("l"))))
    except OSError as error:
        if error.errno in UNKNOWN:
            return False
        raise
    return bool(flags & (IMMUTABLE | APPEND_ONLY))
