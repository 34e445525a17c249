"""QueueCTL: a local job queue in which every job is one file.

`from queuectl import Queue` is the whole public Python API; everything else
in this package may change without notice.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client import Queue
    from queuectl.errors import QueueError

__version__ = "1.0.0"
PACKAGE = os.path.dirname(os.path.abspath(__file__))  # python PACKAGE ... runs this very program
__all__ = ["Queue", "QueueError", "__version__"]


def __getattr__(name: str) -> object:
    """Import the public names when first asked for: the CLI needs none of them to start."""
    if name == "Queue":
        from queuectl.client import Queue

        return Queue
    if name == "QueueError":
        from queuectl.errors import QueueError

        return QueueError
    raise AttributeError(f"module 'queuectl' has no attribute {name!r}")
