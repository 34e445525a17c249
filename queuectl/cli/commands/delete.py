"""delete: remove jobs and what they wrote."""

from __future__ import annotations

from queuectl.cli.home import queue_to_change
from queuectl.cli.selection import Verb, act_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Delete each job; naming it is consent."""
    queue = queue_to_change(args, screen)
    verb = Verb("delete", "delete", "deleted", with_what=" and their output, permanently")
    return act_on(args, screen, queue, verb, queue.delete)
