"""parser: the command line as a table, and the argparse parser that is made of it.

Owns:       every command, option and help text.
Guarantees: only the standard library is imported, so that the man page is built from this file alone. Common options
            work before and after the command. Nothing is abbreviated.
Fails with: Misuse.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, NoReturn

    Option = tuple[tuple[str, ...], dict[str, Any]]

STATES = "pending, held, failed, processing, completed, cancelled or dead"
FORMATS = ("table", "wide", "jsonl", "tsv", "name", "json")
HIDDEN = SUPPRESS = "==SUPPRESS=="  # argparse.SUPPRESS


class Misuse(Exception):
    """The command line cannot be read; `hint` says what to type."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Command:
    """One row of the tree: what it does, its options beside the common ones, and examples that work."""

    __slots__ = ("examples", "help", "options", "usage")

    def __init__(self, help: str, *options: Option, examples: Sequence[str], usage: str = "") -> None:
        self.help = help
        self.options = options
        self.examples = examples
        self.usage = usage


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f'must be an integer, not "{text}"') from None


def _option(*names: str, **more: Any) -> Option:
    return names, more


def _flag(*names: str, help: str) -> Option:
    return names, {"action": "store_true", "help": help}


def _choice(name: str, metavar: str, choices: tuple[str, ...], *, help: str, **more: Any) -> Option:
    return (name,), {"metavar": metavar, "choices": choices, "help": help, **more}


def _number(*names: str, help: str, **more: Any) -> Option:
    return names, {"metavar": "N", "type": _integer, "help": help, **more}


COMMON = (
    _option("--home", metavar="DIR", help="the queue's directory (default: $QUEUECTL_HOME, else ~/.queuectl)"),
    _option("-o", "--output", metavar="FORMAT", choices=FORMATS, default="table", help=", ".join(FORMATS)),
    _option("--json", dest="output", action="store_const", const="json", help="the same as -o json"),
    _flag("-q", "--quiet", help="no messages, only data and errors"),
    _choice("--color", "WHEN", ("auto", "always", "never"), default="auto", help="auto, always or never"),
    _flag("--debug", help="show where in the program an error arose"),
)
IDS = _option(
    "ids", metavar="ID", nargs="+", help="a job's id or its unambiguous beginning; - reads ids from standard input"
)
FILTERS = (
    _option("--queue", metavar="NAME", help="only jobs of this queue"),
    _option("--tag", metavar="TAG", help="only jobs with this tag"),
    _option("--search", metavar="TEXT", help="only jobs whose id, name or command contains TEXT"),
    _option("--since", metavar="TIME", help="only jobs that changed since then: 2h, 14:30, yesterday, 2026-11-24"),
    _option("--until", metavar="TIME", help="only jobs that did not change after then"),
    _option("--sort", metavar="ORDER", help="updated (default), created, run_at, priority or id; -ORDER reverses it"),
    _number("-n", "--limit", default=50, help="show at most N jobs (default: 50)"),
    _flag("--all", help="show them all"),
)
LINES = _number("-n", "--lines", help="only the last N lines")
FOLLOW = ("-f", "--follow")
WAIT_TIMEOUT = _option("--timeout", metavar="TIME", help="give up waiting after this long and exit with 124")
PROPAGATE = _flag("--propagate", help="exit with the exit code of the job that did not succeed")

GROUPS = {
    "worker": "start, stop and watch the workers that run jobs",
    "dlq": "the dead letter queue: jobs that failed for good",
    "config": "settings: show, change and check them",
    "index": "the index, which is derived from the job files",
}

COMMANDS: dict[str, Command] = {
    "enqueue": Command(
        "put jobs into the queue",
        _option("job", metavar="JSON", nargs="?", help="a job as a JSON object; - reads one a line from stdin"),
        _option("--command", metavar="STRING", help="a command for /bin/sh; without a shell: -- PROGRAM ARGUMENT ..."),
        _option("-f", "--file", metavar="FILE", help="read jobs from FILE, one JSON object a line"),
        _flag("--lines", help="each line read is a shell command instead of a JSON object"),
        _option("--id", metavar="ID", help="the job's id (default: a new one, in order of time)"),
        _option("--name", metavar="NAME", help="a name for people"),
        _option("--queue", metavar="NAME", help='the queue it waits in (default: "default")'),
        _number("--priority", help="-1000 to 1000; higher runs first (default: 0)"),
        _option("--tag", metavar="TAG", action="append", help="a label to find it by; may be repeated"),
        _option("--batch", metavar="NAME", help="the batch it belongs to"),
        _option("--delay", metavar="TIME", help="do not start before this long from now: 10m, 2h30m"),
        _option("--at", metavar="TIME", help="do not start before then: 02:00, tomorrow 02:00, RFC 3339"),
        _option("--expires", metavar="TIME", help="bury it if it has not started by then"),
        _option("--timeout", metavar="TIME", help="end an attempt that takes longer; 0 is no limit (default: 1h)"),
        _option("--kill-after", metavar="TIME", help="time between SIGTERM and SIGKILL (default: 10s)"),
        _number("--max-retries", help="how often it is tried again after a failure (default: 3)"),
        _option("--backoff-base", metavar="X", help="wait X ** n seconds after failed attempt n (default: 2)"),
        _option("--cwd", metavar="DIR", help="where the command runs (default: the current directory)"),
        _option("--env", metavar="NAME=VALUE", action="append", help="a variable for the command; may be repeated"),
        _option("--pass-env", metavar="NAME", action="append", help="pass this variable on; may be repeated"),
        _option("--unique", metavar="KEY", help="refuse it while a job with this key waits or runs"),
        _choice("--on-conflict", "HOW", ("reject", "skip"), help="reject, or skip: print the id that has the key"),
        _choice("--leftovers", "HOW", ("end", "leave"), help="end or leave what outlives the command"),
        _option("--resume", metavar="NAME", help="ids NAME-1, NAME-2 ... by line; lines whose job exists are skipped"),
        _flag("--wait", help="wait until the job has ended; exit with 10 if it did not succeed"),
        _flag("--follow", help="wait, and show its output meanwhile"),
        PROPAGATE,
        _flag("--dry-run", help="check the jobs and show them, but put none in"),
        examples=(
            """queuectl enqueue '{"command": "echo hello"}'""",
            "queuectl enqueue --command 'sleep 2; date' --delay 10m",
            "queuectl enqueue --max-retries 0 -- printf '%s\\n' 'no shell reads this'",
            "ls *.mov | sed 's/.*/gzip -k &/' | queuectl enqueue --lines - --resume movies",
        ),
        usage="JSON | - | --command S | -f FILE | -- ARGV ...",
    ),
    "list": Command(
        "show jobs, the last changed first",
        _option("--state", metavar="STATE", action="append", help=f"only {STATES}; a comma list, may be repeated"),
        *FILTERS,
        examples=(
            "queuectl list --state pending",
            "queuectl list --state dead,failed --since 2h",
            "queuectl list --queue default -o name | queuectl cancel -",
        ),
    ),
    "show": Command(
        "tell all about jobs",
        IDS,
        examples=("queuectl show 01JDFQ8Z4T", "queuectl show 01JDFQ8Z4T --json"),
    ),
    "logs": Command(
        "show what a job wrote",
        _option("id", metavar="ID", help="the job's id or its unambiguous beginning"),
        _flag(*FOLLOW, help="go on until the job has ended"),
        _number("--attempt", help="what attempt N wrote (default: the newest)"),
        LINES,
        examples=("queuectl logs 01JDFQ8Z4T --lines 20", "queuectl logs -f 01JDFQ8Z4T"),
    ),
    "wait": Command(
        "wait until jobs have ended; exit with 10 if one did not succeed",
        IDS,
        WAIT_TIMEOUT,
        PROPAGATE,
        examples=("queuectl wait 01JDFQ8Z4T --timeout 10m", "queuectl list --queue default -o name | queuectl wait -"),
    ),
    "cancel": Command(
        "end jobs for good: running ones are killed, waiting ones never start",
        IDS,
        examples=("queuectl cancel 01JDFQ8Z4T", "queuectl list --state failed -o name | queuectl cancel -"),
    ),
    "retry": Command(
        "run jobs again now, also finished and dead ones",
        IDS,
        examples=("queuectl retry 01JDFQ8Z4T", "queuectl list --state failed -o name | queuectl retry -"),
    ),
    "delete": Command(
        "remove jobs and what they wrote; running ones are cancelled first",
        IDS,
        examples=("queuectl delete 01JDFQ8Z4T", "queuectl list --state completed --all -o name | queuectl delete -"),
    ),
    "status": Command(
        "show the queue, its workers and what needs attention",
        examples=("queuectl status", "queuectl status --json"),
    ),
    "worker start": Command(
        "add workers, starting the supervisor when none runs",
        _number("--count", default=1, help="how many to add (default: 1)"),
        _flag("--foreground", help="be the supervisor, here, until the last worker stops"),
        _number("--ready-fd", help=HIDDEN),
        examples=("queuectl worker start --count 4", "queuectl worker start --count 2 --foreground"),
    ),
    "worker stop": Command(
        "stop workers once their jobs have ended",
        _option("--id", metavar="ID", help="only this worker (default: all)"),
        _flag("--wait", help="return when they have stopped"),
        _option("--timeout", metavar="TIME", help="wait at most this long, then exit with 124; the stop goes on"),
        _flag("--now", help="do not wait for jobs: kill their commands and put them back"),
        examples=(
            "queuectl worker stop",
            "queuectl worker stop --wait --timeout 30",
            "queuectl worker stop --id worker-2 --now",
        ),
    ),
    "worker list": Command(
        "show the workers and what they do",
        examples=("queuectl worker list", "queuectl worker list --json"),
    ),
    "worker scale": Command(
        "bring the number of workers to N",
        _number("count", help="how many there shall be"),
        examples=("queuectl worker scale 8", "queuectl worker scale 1"),
    ),
    "worker restart": Command(
        "replace workers by new ones as their jobs end",
        _option("--id", metavar="ID", help="only this worker (default: all)"),
        examples=("queuectl worker restart", "queuectl worker restart --id worker-2"),
    ),
    "worker logs": Command(
        "show the log of a worker",
        _option("id", metavar="ID", nargs="?", default="supervisor", help="worker-1 ... or supervisor (default)"),
        _flag(*FOLLOW, help="go on until Ctrl-C"),
        LINES,
        examples=("queuectl worker logs worker-1 --lines 20", "queuectl worker logs supervisor -f"),
    ),
    "dlq list": Command(
        "show dead jobs, the last to die first",
        *FILTERS,
        examples=("queuectl dlq list", "queuectl dlq list --since 24h --json"),
    ),
    "dlq show": Command(
        "tell all about dead jobs",
        IDS,
        examples=("queuectl dlq show 01JDFQ8Z4T", "queuectl dlq show 01JDFQ8Z4T --json"),
    ),
    "dlq retry": Command(
        "run dead jobs again with a fresh retry budget",
        IDS,
        examples=("queuectl dlq retry 01JDFQ8Z4T", "queuectl dlq list --all -o name | queuectl dlq retry -"),
    ),
    "dlq delete": Command(
        "remove dead jobs and what they wrote",
        IDS,
        examples=("queuectl dlq delete 01JDFQ8Z4T", "queuectl dlq list --all -o name | queuectl dlq delete -"),
    ),
    "config list": Command(
        "show every setting, its value and where that comes from",
        examples=("queuectl config list", "queuectl config list --json"),
    ),
    "config get": Command(
        "print the value of a setting",
        _option("key", metavar="KEY", help="the setting's name"),
        examples=("queuectl config get max_retries_default", "queuectl config get backoff_base"),
    ),
    "config set": Command(
        "change a setting; running workers follow at once",
        _option("key", metavar="KEY", help="the setting's name"),
        _option("value", metavar="VALUE", help="its new value"),
        examples=("queuectl config set max_retries_default 5", "queuectl config set timeout 2h30m"),
    ),
    "config unset": Command(
        "go back to the default of a setting",
        _option("key", metavar="KEY", help="the setting's name"),
        examples=("queuectl config unset timeout", "queuectl config unset max-retries"),
    ),
    "config path": Command(
        "print where config.yaml is", examples=("queuectl config path", "$EDITOR $(queuectl config path)")
    ),
    "config check": Command(
        "tell whether the configuration is valid; exit with 6 if not",
        examples=("queuectl config check", "queuectl config check --json"),
    ),
    "index rebuild": Command(
        "make the index anew from the job files",
        examples=("queuectl index rebuild", "queuectl index rebuild --json"),
    ),
    "index verify": Command(
        "compare the index with the job files",
        examples=("queuectl index verify", "queuectl index verify --json"),
    ),
    "web": Command(
        "serve the status page, its API and metrics until Ctrl-C",
        _choice("what", "token", ("token",), nargs="?", help="print the token that the page and scripts need"),
        _option("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1)"),
        _number("--port", help="which port (default: the setting web_port, 5000); 0 takes a free one"),
        _option("--socket", metavar="PATH", help="listen on a socket in the file system instead, for a proxy"),
        _option("--token-file", metavar="FILE", help="where the token is (default: web.token in the home)"),
        _flag("--read-only", help="let nothing be changed"),
        _option("--allow-host", metavar="NAME", action="append", help="a name that it answers to; may be repeated"),
        _flag("--open", help="open the page in a browser"),
        _flag("--rotate", help="with token: make a new one, which signs everybody out"),
        examples=("queuectl web", "queuectl web --read-only --port 8080", "queuectl web token"),
    ),
    "help": Command(
        "show the help of a command",
        _option("words", metavar="COMMAND", nargs="*", help="the command to explain"),
        examples=("queuectl help enqueue", "queuectl help worker start"),
    ),
}

EXIT_CODES = """\
exit codes:
  0 done              1 failed            2 usage              3 not found
  4 conflict          5 no supervisor     6 invalid data       7 partly failed
  8 not allowed       9 busy or full     10 the job did not succeed
  70 our bug        124 time ran out    130 Ctrl-C"""


def handler_of(words: Sequence[str]) -> str:
    """Return the handler of a command, as "module:function"; it is imported when it is called."""
    return f"queuectl.cli.commands.{words[0]}:{'_'.join(('run', *words[1:]))}"


def subcommands(group: str = "") -> list[str]:
    """Return the words that may follow `queuectl`, or `queuectl GROUP`."""
    start = f"{group} " if group else ""
    return list(dict.fromkeys(name[len(start) :].split()[0] for name in COMMANDS if name.startswith(start)))


def build_parser(only: Iterable[str] | None = None, version: str = "") -> argparse.ArgumentParser:
    """Build the parser of all commands, or for one command line that of the commands `only`, which takes less time."""
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise Misuse(_in_our_words(message), f"{self.prog} --help")

    def make(add: Callable[..., Any], name: str, help: str, usage: str | None, *more: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = add(
            name,
            **({"help": help} if add is not Parser else {}),
            description=help[:1].upper() + help[1:] + ".",
            epilog="\n".join(more) or None,
            usage=usage,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return made

    def add_options(parser: argparse.ArgumentParser, options: Iterable[Option]) -> None:
        for names, more in options:
            checked = {**more, "type": _explained(more["type"])} if "type" in more else more
            parser.add_argument(*names, **checked)
        common = parser.add_argument_group("common options")
        for names, more in COMMON:
            # Real defaults on the root only: a default here would undo what was said before the command.
            common.add_argument(*names, **(more if parser is root else {**more, "default": argparse.SUPPRESS}))

    def _explained(read: Callable[[str], object]) -> Callable[[str], object]:
        def checked(text: str) -> object:
            try:
                return read(text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return checked

    root = make(
        Parser,
        "queuectl",
        "a local job queue in which every job is one file",
        "%(prog)s [options] COMMAND ...",
        EXIT_CODES,
    )
    add_options(
        root, [_option("-V", "--version", action="version", version=f"%(prog)s {version}", help="show the version")]
    )
    shape: dict[str, Any] = {"title": "commands", "metavar": "COMMAND", "parser_class": Parser}
    commands = root.add_subparsers(**shape, prog="queuectl")
    groups: dict[str, Any] = {}
    for name in COMMANDS if only is None else only:
        command, words = COMMANDS[name], name.split()
        group = words[0]
        if group in GROUPS and group not in groups:
            parser = make(commands.add_parser, group, GROUPS[group], f"queuectl {group} [options] COMMAND ...")
            add_options(parser, ())
            groups[group] = parser.add_subparsers(**shape, prog=f"queuectl {group}")
        add = groups.get(group, commands).add_parser
        usage = f"queuectl {name} [options] {_places(command)}".rstrip()
        parser = make(add, words[-1], command.help, usage, "examples:", *(f"  {e}" for e in command.examples))
        add_options(parser, command.options)
        parser.set_defaults(handler=handler_of(words))
    return root


def _places(command: Command) -> str:
    """Return what follows the options in a usage line."""
    shapes = {"?": "[{}]", "*": "[{} ...]", "+": "{} ...", None: "{}"}
    rows = [more for names, more in command.options if names[0][0] != "-"]
    return command.usage or " ".join(shapes[more.get("nargs")].format(more["metavar"]) for more in rows)


def _in_our_words(message: str) -> str:
    name, colon, rest = message.removeprefix("argument ").partition(": ")
    if not message.startswith("argument ") or not colon:
        return message
    return f"{name.rpartition('/')[2]} {rest}" if rest.startswith("must") else f"{name.rpartition('/')[2]}: {rest}"
