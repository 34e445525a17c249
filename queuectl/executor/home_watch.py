"""home_watch: whether the home of a supervisor still exists.

Guarantees: decided by the inode of spool/, so that a home that was removed and created again is a different one. A home that
            cannot be examined now (a failing disk) counts as existing.
"""

from __future__ import annotations

import os

from queuectl.job.job import PENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.layout import Layout


def exists(layout: Layout) -> bool:
    """Tell whether the spool exists. Without it a job cannot be settled."""
    return os.path.isdir(layout.directory(PENDING))


class HomeWatch:
    """The home at the start of the supervisor; spool/ is held open so that its inode number is not used again."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.spool
        self._fd = os.open(layout.spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._is_gone = False

    def has_just_gone(self) -> bool:
        """Tell, once, that it was removed, moved or replaced."""
        was_gone, self._is_gone = self._is_gone, not self._is_in_place()
        return self._is_gone and not was_gone

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
