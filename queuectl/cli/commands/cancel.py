"""cancel: end jobs for good."""

from __future__ import annotations

from queuectl.cli.ids import act
from queuectl.client import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Cancel each job; one that has ended already stays as it is."""
    queue = Queue(args.home)

    def cancel(job_id: str) -> str | None:
        job = queue.cancel(job_id)
        return None if job.state == "cancelled" else f"{job_id} has ended already: it is {job.state}"

    return act(screen, queue, args.ids, cancel, "cancel", "cancelled")
