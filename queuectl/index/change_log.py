"""change_log: reads run/changes, into which a process that changes a job in place writes its id.

Owns:       reading it for the index.
Guarantees: an id is forgotten only once the index has it on disk.
Source:     spool/FORMAT.md § Index.
"""

from __future__ import annotations

import io

from queuectl.ids import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.spool.spool import Spool


ALL = 1 << 40


class Changes:
    """What stood in run/changes at one moment, or the first `limit` bytes of it."""

    __slots__ = ("_data", "_spool")

    def __init__(self, spool: Spool, limit: int = ALL) -> None:
        self._spool = spool
        data = spool.files.take(spool.changes_path, limit)
        whole = data[: data.rfind(b"\n") + 1]  # a line that is being appended is for the next time
        self._data = whole if len(data) < limit else whole or data

    def __bool__(self) -> bool:
        return bool(self._data)

    def ids(self) -> Iterator[str]:
        """Yield the ids, each perhaps more than once; memory is that of the text."""
        last = b""
        for line in io.BytesIO(self._data):
            job_id = line.rstrip(b"\n").decode("ascii", "replace")
            if line != last and is_id(job_id):  # a verb notes its job twice
                yield job_id
            last = line

    def are_there(self) -> bool:
        """Return whether the file still begins with these lines: no other process has handled them."""
        return self._spool.files.take(self._spool.changes_path, len(self._data)) == self._data

    def forget(self) -> None:
        """Remove these lines from the file and keep those added since."""
        if self._data and self.are_there():
            self._spool.files.forget(self._spool.changes_path, len(self._data))
