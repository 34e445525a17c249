"""QueueCTL: a local job queue in which every job is one file.

`from queuectl import Queue` is the public Python API, with what Queue returns (Job, Event) and raises (QueueError and
its kinds): docs/reference/python.md. Everything else in this package may change without notice.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client import Queue
    from queuectl.errors import (
        Busy,
        Conflict,
        InvalidData,
        JobFailed,
        NoSupervisor,
        NotAllowed,
        NotFound,
        QueueError,
        TimedOut,
        UsageError,
    )
    from queuectl.fields import InvalidField, UnknownField
    from queuectl.filters import InvalidFilter
    from queuectl.job_events import Event
    from queuectl.job_view import Job

__version__ = "1.0.0"
PACKAGE = os.path.dirname(os.path.abspath(__file__))  # python PACKAGE ... runs this very program
__all__ = [
    "Busy",
    "Conflict",
    "Event",
    "InvalidData",
    "InvalidField",
    "InvalidFilter",
    "Job",
    "JobFailed",
    "NoSupervisor",
    "NotAllowed",
    "NotFound",
    "Queue",
    "QueueError",
    "TimedOut",
    "UnknownField",
    "UsageError",
    "__version__",
]
_MODULES = {
    "Queue": "client",
    "Job": "job_view",
    "Event": "job_events",
    "InvalidField": "fields",
    "UnknownField": "fields",
    "InvalidFilter": "filters",
}


def __getattr__(name: str) -> object:
    """Import the public names when first asked for: the CLI needs none of them to start."""
    if name not in __all__:
        raise AttributeError(f"module 'queuectl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"queuectl.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
