"""cancel: end jobs for good."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Unchanged, act

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Cancel each job; one that has ended already stays as it is."""
    queue = queue_to_change(args, screen)

    def cancel(job_id: str) -> None:
        job, is_changed = queue.cancel_unless_ended(job_id)
        if not is_changed:
            raise Unchanged(job, "had ended already")

    return act(screen, queue, args.ids, cancel, "cancel", "cancelled")
