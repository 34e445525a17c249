"""map: a job for each item of the input, as xargs and GNU parallel make processes."""

from __future__ import annotations

import os
import sys

from queuectl.cli.commandline import dest
from queuectl.cli.commands.enqueue import OPTIONS, open_file, refuse_for_many
from queuectl.cli.enqueue_file import enqueue_lines
from queuectl.cli.items import Csv, read_items
from queuectl.cli.job_options import Template, check_text
from queuectl.cli.options import command, flag, option
from queuectl.cli.replacement import Replacement
from queuectl.cli.terminal import is_terminal
from queuectl.client.queue import Queue
from queuectl.command_location import absolute
from queuectl.errors import InvalidData, UsageError
from queuectl.ids import new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, BinaryIO

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.job_input import Found
    from queuectl.cli.terminal import Screen

SHOWN = 10  # commands that --dry-run prints


NOT_FOR_MAP = ("job", "--command", "--file", "--lines", "--id", "--unique", "--on-conflict", "--follow", "--stdin")


@command(
    "map",
    option("job", metavar="SHELL-COMMAND", nargs="?", help="a command for /bin/sh, in which items are quoted"),
    flag("-0", "--null", help="items end with a NUL character, as those of find -print0"),
    flag("--csv", help="read CSV; its first line names columns, and {NAME} is the value of one"),
    option("-f", "--file", metavar="FILE", help="read items from FILE (default: standard input)"),
    flag("--collect", help="wait, then print the output of all jobs in the order of the input"),
    *(row for row in OPTIONS if not {*row[0]} & {*NOT_FOR_MAP}),
    examples=(
        "find . -name '*.mov' -print0 | queuectl map -0 --batch movies -- gzip -k {}",
        "ls *.mov | queuectl map --dry-run 'wc -c {} > {.}.size'",
        "printf 'in,level\\na.mov,9\\n' | queuectl map --csv -- gzip -k -{level} {in}",
    ),
    usage="-- COMMAND {} | SHELL-COMMAND",
)
def run(args: Arguments, screen: Screen) -> int:
    """Put a job in for each item, and perhaps wait for them and print what they wrote."""
    if args.job is None and not args.argv:
        raise UsageError("no command: write it after --, or a shell command as one word", "queuectl map --help")
    if args.job is not None and args.argv is not None:
        raise UsageError("a shell command and -- PROGRAM cannot be used together", "queuectl map --help")
    if args.null and args.csv:
        raise UsageError("-0 and --csv cannot be used together")
    argv, shell = args.argv or None, args.job
    args.argv = args.job = None  # of the items, not of the template
    args.lines = True
    for names, more in OPTIONS:  # those that map does not have
        name = dest(names, more)
        if not hasattr(args, name):
            setattr(args, name, more.get("default", False if more.get("action") == "store_true" else None))
    refuse_for_many(args)
    check_text({"argv": argv, "command": shell})
    if args.file in (None, "-"):
        if screen.is_interactive and is_terminal(sys.stdin):
            screen.message("Reading items from the terminal, one per line; Ctrl-D ends them")
        return _run(args, screen, argv, shell, sys.stdin.buffer)
    with open_file(args.file) as file:
        return _run(args, screen, argv, shell, file)


def _run(args: Arguments, screen: Screen, argv: Sequence[str] | None, shell: str | None, file: BinaryIO) -> int:
    kind = "item" if args.null else "line"
    if args.csv:
        rows = Csv(file)
        replacement = Replacement(argv, shell, rows.columns)
        found = _jobs(replacement, _take_varying(args, replacement), rows.rows())
    else:
        replacement = Replacement(argv, shell)
        items = read_items(file, end=b"\0" if args.null else b"\n")
        found = _jobs(replacement, _take_varying(args, replacement), items)
    queue = Queue(args.home)
    if args.collect:
        args.wait = True
        if args.batch is None and args.resume is None:  # their ids are not printed: a name to find them by
            args.batch = f"map-{new_id(queue.spool.clock.now())}"
    template = Template(args, queue)
    for warning in template.warnings():
        screen.warn(warning)
    return enqueue_lines(args, screen, queue, template, found, kind=kind, shown=SHOWN)


def _take_varying(args: Arguments, replacement: Replacement) -> dict[str, str]:
    """Take the options out of `args` in which each job has an item: `name`, `cwd`, and `env NAME` for a variable."""
    taken: dict[str, str] = {}
    for name in ("name", "cwd"):
        text = getattr(args, name)
        if text is not None and replacement.is_in(text):
            taken[name] = text
            setattr(args, name, None)
    kept = []
    for pair in args.env or ():
        name, equals, value = pair.partition("=")
        if name and equals and replacement.is_in(value):
            taken[f"env {name}"] = value
        else:
            kept.append(pair)
    vars(args)["env"] = kept
    return taken


def _jobs(
    replacement: Replacement, varying: Mapping[str, str], items: Iterable[tuple[int, Any] | None]
) -> Iterator[Found | None]:
    number = 0
    for found in items:
        if found is None:
            yield None
            continue
        line, item = found
        number += 1
        if isinstance(item, InvalidData):
            yield line, item
            continue
        made = replacement.fields(number, item)
        for name, text in varying.items():
            value = replacement.in_text(text, number, item)
            if name.startswith("env "):
                made.setdefault("env", {})[name[4:]] = value
            else:
                made[name] = absolute(value, os.environ) if name == "cwd" else value
        yield line, made
