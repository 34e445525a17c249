"""metrics: the figures of the page's /metrics, without the page.

Guarantees: a file that is written is there whole or as it was before, readable by all.
Source:     prometheus/node_exporter, textfile collector: it reads *.prom, so the temporary name ends otherwise.
"""

from __future__ import annotations

import os
import stat

from queuectl import status
from queuectl.cli.home import queue_to_read
from queuectl.cli.options import command, option
from queuectl.cli.progress import open_index
from queuectl.errors import QueueError, UsageError, from_os_error
from queuectl.index.database import IndexUnavailable
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.metrics import Page

ENDING = ".prom"
MODE = 0o644  # node_exporter is another user


@command(
    "metrics",
    option("--textfile", metavar="FILE", help="write them to FILE atomically; its name must end in .prom"),
    examples=("queuectl metrics", "queuectl metrics --textfile queuectl.prom", "queuectl metrics --json"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Print every figure, or write it to a file."""
    as_json = screen.format in ("json", "jsonl")
    if args.textfile is not None and as_json:
        raise UsageError("--textfile writes Prometheus's format; it cannot be used with JSON")
    if args.textfile == "":
        raise UsageError("--textfile must name a file")
    page = look(queue_to_read(args, screen), screen)
    if args.textfile is not None:
        write(args.textfile, page.text())
        if not args.textfile.endswith(ENDING):
            screen.warn(f"node_exporter reads only files that end in {ENDING}, not {quote(args.textfile)}")
    elif as_json:
        screen.json(as_dict(page))
    else:
        screen.write(page.text())
    return 0


def look(queue: Queue, screen: Screen) -> Page:
    """Find every figure out."""
    from queuectl.metrics import page_of

    made = status.read_overview(queue)
    try:
        with open_index(queue, screen) as reader:
            return page_of(made, reader.by_queue(), reader.oldest_by_queue(made.now), reader.totals())
    except IndexUnavailable:
        return page_of(made, None, {}, None)


def as_dict(page: Page) -> dict[str, object]:
    """Return the metrics by name."""
    return {
        family.name: {
            "type": family.kind,
            "help": family.help,
            "samples": [{"name": family.name + end, "labels": labels, "value": n} for end, labels, n in family.samples],
        }
        for family in page.families
    }


def _must_be_a_file(path: str) -> None:
    """Raise QueueError for what is not to be replaced: root could put an end to /dev/null."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there, or what opens a file beside it says why not
    if os.path.isdir(path):
        raise QueueError(
            f"cannot write {path}: it is a directory", f"name a file in it: {os.path.join(path, 'queuectl' + ENDING)}"
        )
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
        raise QueueError(f"cannot write {path}: it is {kind}", "name a file; without --textfile they are printed")


def write(path: str, text: str) -> None:
    """Put a file in the place of the last one.

    Raises:
        NotAllowed, Busy (no room), QueueError: it cannot be written; the last one is still there.
    """
    from tempfile import mkstemp

    _must_be_a_file(path)
    folder, name = os.path.split(path)
    temporary = None
    try:
        fd, temporary = mkstemp(".tmp", f".{name}.", folder or ".")
        with open(fd, "w", encoding="utf-8") as file:
            os.fchmod(fd, MODE)
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            os.unlink(temporary)
        known = from_os_error(error, f"cannot write {path}")
        known.hint = f"the directory must exist and be writable: {folder or '.'}"
        raise known from None
