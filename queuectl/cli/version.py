"""version: which queuectl this is, for --version.

Cost: a file is opened; no other command line pays for it.
"""

from __future__ import annotations

import os
import sys

from queuectl.spool.layout import FORMAT
from queuectl.version import __version__

COMMIT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "COMMIT")


def describe() -> str:
    """Return the version, then what it runs on and what it was built from, as far as that is known."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{__version__}\n" + ", ".join([f"Python {python}", f"spool format {FORMAT}", *_commit()])


def _commit() -> list[str]:
    """Return the commit that a build left, with a + behind it where files differed from it."""
    try:
        with open(COMMIT, encoding="ascii") as file:
            return [f"commit {file.read().strip()}"]
    except OSError:
        return []
