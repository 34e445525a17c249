"""pager: a long text on a terminal, page by page."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.terminal import Screen

AS_GIT_DOES = "FRX"  # less ends by itself when all fits, shows colours, and leaves the text on the screen


def show(screen: Screen, text: str) -> None:
    """Write a text; on a terminal that it does not fit into, through $PAGER."""
    command = shlex.split(os.environ.get("PAGER", "less"))
    if not screen.is_terminal or _fits(text) or not command or shutil.which(command[0]) is None:
        screen.write(text)
        return
    screen.flush()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env={"LESS": AS_GIT_DOES, **os.environ})
    try:
        process.communicate(text.encode())
    except BrokenPipeError:
        pass  # it was left before the end
    except KeyboardInterrupt:
        pass  # that was meant for the pager, which knows what to do with it
    while process.poll() is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue


def _fits(text: str) -> bool:
    try:
        return text.count("\n") < os.get_terminal_size(1).lines
    except OSError:
        return True
