"""options: how a command declares its options, and the options that several commands share.

Guarantees: only the standard library is imported, and little of it: every command line reads it.
Fails with: Misuse.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    Option = tuple[tuple[str, ...], dict[str, Any]]
    Handler = Callable[[Any, Any], int]  # of Arguments and Screen

STATES = "pending, held, failed, processing, completed, cancelled or dead"
FORMATS = ("table", "wide", "jsonl", "tsv", "name", "json")
ONCE = frozenset(  # a second, other value would replace the first, and with it the jobs that were meant
    ("--queue", "--tag", "--batch", "--error", "--search", "--since", "--until", "--command", "--file", "--id")
)
HIDDEN = "(hidden)"  # an option that no help tells of


class Misuse(Exception):
    """The command line cannot be read; `hint` says what to type."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Command:
    """A command: the function that carries it out, its options beside the common ones, and examples that work."""

    __slots__ = ("examples", "handler", "options", "usage")

    def __init__(self, handler: Handler, options: Sequence[Option], examples: Sequence[str], usage: str) -> None:
        self.handler = handler
        self.options = options
        self.examples = examples
        self.usage = usage


DECLARED: dict[str, Command] = {}  # of the modules that have been imported; see queuectl.cli.verbs


def command(name: str, *options: Option, examples: Sequence[str], usage: str = "") -> Callable[[Handler], Handler]:
    """Declare the command that a function carries out.

    Args:
        usage: what follows the options in the usage line, where it is not the places in their order.
    """

    def declare(handler: Handler) -> Handler:
        DECLARED[name] = Command(handler, options, examples, usage)
        return handler

    return declare


def integer(text: str) -> int:
    """Read an integer."""
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'must be an integer, not "{text}"') from None


def option(*names: str, **more: Any) -> Option:
    """Return an option, or a place, with what argparse says of it."""
    return names, more


def flag(*names: str, help: str) -> Option:
    """Return an option that takes no value."""
    return names, {"action": "store_true", "help": help}


def choice(name: str, metavar: str, choices: tuple[str, ...], *, help: str, **more: Any) -> Option:
    """Return an option that takes one of a few words."""
    return (name,), {"metavar": metavar, "choices": choices, "help": help, **more}


def number(*names: str, help: str, **more: Any) -> Option:
    """Return an option that takes an integer."""
    return names, {"metavar": "N", "type": integer, "help": help, **more}


COMMON = (
    option("--home", metavar="DIR", help="the queue's directory (default: $QUEUECTL_HOME, else ~/.queuectl)"),
    option("-o", "--output", metavar="FORMAT", choices=FORMATS, default="table", help=", ".join(FORMATS)),
    option("--json", dest="output", action="store_const", const="json", help="the same as -o json"),
    flag("-q", "--quiet", help="print only data and errors"),
    choice("--color", "WHEN", ("auto", "always", "never"), default="auto", help="auto, always or never"),
    flag("--debug", help="show a traceback with an error"),
)
ID_HELP = "a job's id or a unique prefix of it; - reads ids from standard input"
IDS = option("ids", metavar="ID", nargs="+", help=ID_HELP)
STATE = option("--state", metavar="STATE", action="append", help=f"only {STATES}; comma-separated, may be repeated")
ABOUT = (  # what a job is like
    option("--queue", metavar="NAME", help="only jobs of this queue"),
    option("--tag", metavar="TAG", help="only jobs with this tag"),
    option("--batch", metavar="NAME", help="only jobs of this batch"),
    option("--error", metavar="TEXT", help="only jobs whose last error contains TEXT"),
    option(
        "--search",
        metavar="TEXT",
        help="only jobs with all words of TEXT in name, tags, command or last error, or with TEXT in the id",
    ),
    option(
        "--since", metavar="TIME", help="only jobs that changed at or after this time: 2h, 14:30, yesterday, 2026-11-24"
    ),
    option("--until", metavar="TIME", help="only jobs that did not change after this time"),
)
SORT = option("--sort", metavar="ORDER", help="updated (default), created, run_at, priority or id; -ORDER reverses it")
FILTER_OPTIONS = (
    *ABOUT,
    SORT,
    number("-n", "--limit", help="show at most N jobs (default: 50 in a table, all in other formats)"),
    flag("--all", help="show all jobs, also in a table"),
)
# The jobs that a command acts on: named, or chosen by what they are like.
NAMED = option("ids", metavar="ID", nargs="*", help=ID_HELP)
CHOSEN = (
    *ABOUT,
    SORT,
    number("--limit", help="only the first N of the matching jobs"),
    flag("--all", help="all jobs that the command can act on"),
)
CONSENT = (
    flag("--dry-run", help="only report how many jobs would be affected"),
    flag("-y", "--yes", help="do not ask for confirmation; required with selectors where there is no terminal"),
)
LINES = number("-n", "--lines", help="only the last N lines")
FOLLOW = ("-f", "--follow")
WAIT_TIMEOUT = option("--timeout", metavar="TIME", help="give up waiting after this long and exit with 124")
PROPAGATE = flag("--propagate", help="exit with the exit code of the job that did not succeed")
