"""statistics: minutes that are long ago are put together by hours, those very long ago all together.

Only who writes the index may: the supervisor does it once an hour with what it writes anyway, this task when none runs.
"""

from __future__ import annotations

from queuectl.index.writer import Writer
from queuectl.maintenance.context import Report
from queuectl.maintenance.index import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.maintenance.context import TaskContext


def run_once(context: TaskContext) -> Report:
    """Put them together."""
    if not context.is_supervised and not context.dry_run:
        write(context, Writer.roll)
    return Report()
