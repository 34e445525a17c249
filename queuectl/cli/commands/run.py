"""run: put one job in, show its output, and exit as it does: `enqueue --follow --propagate --max-retries 0`.

A person who runs a command expects it to run once; retries are for jobs that nobody waits for.
"""

from __future__ import annotations

from queuectl.cli.commandline import dest
from queuectl.cli.commands import enqueue
from queuectl.cli.tree.jobs import JOBS
from queuectl.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Enqueue the job, follow it, and return its exit code."""
    if args.job == "-":
        raise UsageError("run accepts one job", "many jobs: queuectl enqueue -")
    if args.job is None and args.command is None and not args.argv:
        raise UsageError("nothing to run: give -- PROGRAM, --command or a JSON object", "queuectl run --help")
    for names, more in JOBS["enqueue"].options:
        name = dest(names, more)
        if not hasattr(args, name):
            setattr(args, name, name in ("follow", "propagate") or more.get("default"))
    return enqueue.run(args, screen, {"max_retries": 0})
