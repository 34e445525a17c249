"""home: the home that a command line points at.

Guarantees: a command that reads, or that changes what is there already, creates no home.
Fails with: NotFound for a home that was named (--home, $QUEUECTL_HOME) and does not exist: the name may be wrong. The default
            home, and an empty directory, read as an empty queue, which is said on stderr.
"""

from __future__ import annotations

import os

from queuectl.client.queue import Queue, own_layout
from queuectl.errors import NotFound
from queuectl.spool.layout import shorten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.spool.layout import Layout

CREATED_BY = "a home is created by enqueue, worker start, web and config set"


def queue_to_read(args: Arguments, screen: Screen) -> Queue:
    """Return the queue of a command that only reads; a broken configuration is a warning."""
    home_that_exists(args, screen)
    return Queue(args.home, warn=screen.warn)


def queue_to_change(args: Arguments, screen: Screen) -> Queue:
    """Return the queue of a command that changes existing jobs; a broken configuration is an error."""
    home_that_exists(args, screen)
    return Queue(args.home)


def home_that_exists(args: Arguments, screen: Screen, *, has_queue: bool = False) -> Layout:
    """Return the home that was meant, and say so when it has no queue yet.

    Args:
        has_queue: there is nothing to do without one, so that it is an error.
    """
    layout = own_layout(args.home)
    refuse_wrong_name(args, layout)
    if not layout.has_spool:
        if has_queue:
            raise _no_queue(args, layout)
        screen.warn(f"no queue at {shorten(layout.home)} yet; enqueue and worker start create it")
    return layout


def refuse_wrong_name(args: Arguments, layout: Layout) -> None:
    """Raise NotFound for a home that was named and does not exist."""
    if args.home or os.environ.get("QUEUECTL_HOME"):
        refuse_missing(args, layout)


def refuse_missing(args: Arguments, layout: Layout) -> None:
    """Raise NotFound for a home that does not exist."""
    if not os.path.lexists(layout.home):
        raise _no_queue(args, layout)


def _no_queue(args: Arguments, layout: Layout) -> NotFound:
    source = " (--home)" if args.home else " ($QUEUECTL_HOME)" if os.environ.get("QUEUECTL_HOME") else ""
    why = "has no spool/" if os.path.isdir(layout.home) else "does not exist"
    near = _near(layout.home)
    hint = f"did you mean {shorten(near)}?" if near else f"check the name; {CREATED_BY}"
    return NotFound(f"no queue at {shorten(layout.home)}{source}: the directory {why}", hint)


def _near(home: str) -> str | None:
    """Return a home beside this one whose name is like it."""
    from difflib import get_close_matches

    parent, name = os.path.split(home)
    try:
        names = os.listdir(parent)
    except OSError:
        return None
    near = get_close_matches(name, names, 5, 0.6)
    return next((path for other in near if os.path.isdir(f"{(path := os.path.join(parent, other))}/spool")), None)
