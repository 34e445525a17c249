"""top: workers and jobs on a full screen, with keys to cancel, retry and read logs."""

from __future__ import annotations

import os
import sys

from queuectl.cli.home import queue_to_read
from queuectl.cli.options import command, option
from queuectl.cli.terminal import is_terminal
from queuectl.cli.times import duration
from queuectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

SHORTEST_S = 0.1


@command(
    "top",
    option("--every", metavar="TIME", default="2s", help="time between updates (default: 2s)"),
    examples=("queuectl top", "queuectl top --every 0.5"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Show it until somebody leaves, which is no failure with q."""
    every_s = duration("--every", args.every)
    if every_s < SHORTEST_S:
        raise UsageError(f"--every must be {SHORTEST_S:g}s or more, not {args.every}")
    if not screen.is_table:
        raise UsageError("top draws on a terminal and cannot be used with -o", "queuectl status --watch --json")
    if not screen.is_terminal or not is_terminal(sys.stdin) or os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError("top needs a terminal with cursor control", "queuectl status --watch")
    from queuectl.cli.top.loop import Loop
    from queuectl.cli.top.terminal import Terminal

    queue = queue_to_read(args, screen)
    screen.is_quiet, screen.is_interactive = True, False  # nothing may write between the lines
    with Terminal(has_colour=screen.has_colour) as terminal:
        return Loop(queue, screen, terminal, every_s).run()
