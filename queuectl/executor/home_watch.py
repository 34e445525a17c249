"""dwelling: whether the home that a supervisor works for is still there.

Guarantees: judged by the inode of spool/, so that a home that was removed and made anew is another one; what cannot be
            asked now (a failing disk) is still there.
"""

from __future__ import annotations

import os

from queuectl.job.job import PENDING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.layout import Layout


def exists(layout: Layout) -> bool:
    """Tell whether jobs have a place to go to; one that cannot be settled for want of it never will be."""
    return os.path.isdir(layout.directory(PENDING))


class HomeWatch:
    """The home as it was when the supervisor moved in; held open, so that no other gets its inode's number."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.spool
        self._fd = os.open(layout.spool, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._is_gone = False

    def has_just_gone(self) -> bool:
        """Tell, once, that it was removed, moved elsewhere, or replaced."""
        was_gone, self._is_gone = self._is_gone, not self._is_in_place()
        return self._is_gone and not was_gone

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._fd))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
