"""help: the help of a command, as --help shows it."""

from __future__ import annotations

from queuectl.cli.commandline import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Print the help of the command that `args.words` name."""
    screen.flush()
    parse([*args.words, "--help"])
    return 0
