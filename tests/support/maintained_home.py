"""A home whose maintenance is run in this process, without a supervisor, by a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from queuectl.index.reader import Reader
from queuectl.index.sync import catch_up
from queuectl.maintenance.context import Report, TaskContext
from queuectl.maintenance.runner import TASKS, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.client.queue import Queue
    from tests.support.spools import Home


class Queued:
    """What maintenance needs of a Queue, on a spool that is handed in."""

    def __init__(self, spool: Home) -> None:
        self.spool = spool
        self.layout = spool.layout

    @property
    def settings(self) -> Any:
        return self.spool.settings

    def reader(self, _warn: Callable[[str], None] | None = None) -> Reader:
        for _ in catch_up(self.spool):
            pass
        return Reader(self.layout.index)


def work_on(spool: Home, **more: Any) -> TaskContext:
    """Return what a task is given; it does not rest."""
    return TaskContext(cast("Queue", Queued(spool)), **{"is_gentle": False, **more})


def do(spool: Home, task: str, **more: Any) -> Report:
    """Run one task; what it raises comes out."""
    return TASKS[task](work_on(spool, **more))


def do_all(spool: Home, *names: str, **more: Any) -> dict[str, Report]:
    """Run tasks as the command does."""
    return {done.task: done.report for done in run(work_on(spool, **more), names)}
