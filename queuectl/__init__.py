"""QueueCTL: a local job queue that keeps each job in one file.

`from queuectl import Queue` is the public Python API, with what Queue returns (Job, Event) and raises (QueueError and
its kinds): docs/reference/python.md. Everything else in this package may change without notice.
"""

from __future__ import annotations

from queuectl.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.client.events import Event
    from queuectl.client.filters import InvalidFilter
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue
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
    from queuectl.job.fields import InvalidField, UnknownField

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
    "Queue": "client.queue",
    "Job": "client.job_view",
    "Event": "client.events",
    "InvalidField": "job.fields",
    "UnknownField": "job.fields",
    "InvalidFilter": "client.filters",
}


def __getattr__(name: str) -> object:
    """Import the public names when first asked for: the CLI needs none of them to start."""
    if name not in __all__:
        raise AttributeError(f"module 'queuectl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"queuectl.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__
