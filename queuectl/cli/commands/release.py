"""release: let held jobs start."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.selection import Verb, act_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Release each job."""
    queue = queue_to_change(args, screen)

    def release(job_id: str, check: Check | None) -> None:
        queue.release(job_id, check)

    return act_on(args, screen, queue, Verb("release", "release", "released"), release)
