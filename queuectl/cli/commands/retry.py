"""retry: run jobs again now."""

from __future__ import annotations

from queuectl.cli.ids import act
from queuectl.client import Queue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Make each job due now: finished and dead ones with a fresh retry budget."""
    queue = Queue(args.home)

    def retry(job_id: str) -> str:
        return f"{job_id} runs again: attempt {queue.retry(job_id).attempts + 1}"

    return act(screen, queue, args.ids, retry, "retry", "put back")
