"""changes: run/changes, in which those who change a job in place say so, one id a line.

Owns:       reading it for the index.
Guarantees: an id is forgotten only once the index has it on disk.
Source:     spool/FORMAT.md § Index.
"""

from __future__ import annotations

from queuectl.fields import is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.spool.spool import Spool


class Changes:
    """What stood in run/changes at one moment."""

    __slots__ = ("_data", "_spool")

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        data = spool.files.take_all(spool.changes_path)
        self._data = data[: data.rfind(b"\n") + 1]  # a line that is being appended is for the next time

    def __bool__(self) -> bool:
        return bool(self._data)

    def ids(self) -> Iterator[str]:
        """Yield the ids, each perhaps more than once; memory is that of the text."""
        at = 0
        while at < len(self._data):
            end = self._data.index(b"\n", at)
            job_id = self._data[at:end].decode("ascii", "replace")
            if is_id(job_id):
                yield job_id
            at = end + 1

    def are_there(self) -> bool:
        """Tell whether the file still begins with these lines: nobody else has dealt with them."""
        return self._spool.files.take_all(self._spool.changes_path).startswith(self._data)

    def forget(self) -> None:
        """Take these lines out of the file, keeping what came meanwhile."""
        if self._data and self.are_there():
            self._spool.files.forget(self._spool.changes_path, len(self._data))
