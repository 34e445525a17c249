"""context: what every check is given: the examined home, the scan of its job files, and its index.

Guarantees: what is gathered is gathered once, until `refresh`.
"""

from __future__ import annotations

from queuectl.doctor.comparison import Comparison
from queuectl.doctor.home import ExaminedHome
from queuectl.doctor.scan import Scan


class Context(ExaminedHome):
    """The examined home with its job files and its index."""

    def refresh(self) -> None:
        """Forget what was gathered: something was changed."""
        super().refresh()
        self._scan: Scan | None = None
        self._comparison: Comparison | None = None

    @property
    def scan(self) -> Scan:
        """The state of the job files."""
        if self._scan is None:
            self._scan = Scan(self, self.comparison)
        return self._scan

    @property
    def comparison(self) -> Comparison:
        """The index, open for comparing, or why it is not."""
        if self._comparison is None:
            self._comparison = Comparison(self)
        return self._comparison
