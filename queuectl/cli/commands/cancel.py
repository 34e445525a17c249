"""cancel: end jobs for good."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Unchanged
from queuectl.cli.selection import Verb, act_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Cancel each job; one that has ended already stays as it is."""
    queue = queue_to_change(args, screen)

    def cancel(job_id: str, check: Check | None) -> None:
        job, is_changed = queue.cancel_unless_ended(job_id, check)
        if not is_changed:
            raise Unchanged(job.id, job.state, "had ended already")

    return act_on(args, screen, queue, Verb("cancel", "cancel", "cancelled"), cancel)
