"""job_options: the options that describe a job, and the job that a command line describes.

Owns:       JOB_OPTIONS, from which every command takes those that apply to its jobs.
Guarantees: what the flags say wins over the JSON; JSON is read as strictly as a file dropped into the spool.
Fails with: InvalidData with the place; UsageError.
"""

from __future__ import annotations

import os

from queuectl.cli.options import choice, number, option
from queuectl.command_location import StartCheck, absolute, here, is_utf8, path_of
from queuectl.errors import InvalidData, UsageError
from queuectl.ids import is_id
from queuectl.job.fields import HOOKS, InvalidField, refuse_misspelt, refuse_variables
from queuectl.job.job_file import parse
from queuectl.job.strict_json import is_json
from queuectl.spool.enqueue import Checked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue

    Fields = dict[str, Any]

JOB_OPTIONS = (
    option("--id", metavar="ID", help="the job's id (default: generated; ids sort by time)"),
    option("--name", metavar="NAME", help="a descriptive name"),
    option("--queue", metavar="NAME", help='the queue to add it to (default: "default")'),
    number("--priority", help="-1000 to 1000; higher runs first (default: 0)"),
    option("--tag", metavar="TAG", action="append", help="a label to select jobs by; may be repeated"),
    option("--batch", metavar="NAME", help="the batch it belongs to"),
    option("--delay", metavar="TIME", help="start no earlier than this long from now: 10m, 2h30m"),
    option("--at", metavar="TIME", help="start no earlier than this time: 02:00, tomorrow 02:00, RFC 3339"),
    option("--expires", metavar="TIME", help="move it to the dead letter queue if it has not started by this time"),
    option("--timeout", metavar="TIME", help="stop an attempt that takes longer; 0 means no limit (default: 1h)"),
    option("--kill-after", metavar="TIME", help="time between SIGTERM and SIGKILL (default: 10s)"),
    number("--max-retries", help="how many times it is retried after a failure (default: 3)"),
    option("--backoff-base", metavar="X", help="wait X ** n seconds after failed attempt n (default: 2)"),
    option("--cwd", metavar="DIR", help="working directory of the command (default: the current one)"),
    option(
        "--env",
        metavar="NAME=VALUE",
        action="append",
        help="set an environment variable for the command; may be repeated",
    ),
    option(
        "--pass-env",
        metavar="NAME",
        action="append",
        help="pass this environment variable to the command; may be repeated",
    ),
    option("--unique", metavar="KEY", help="reject the job while another job with this key waits or runs"),
    choice(
        "--on-conflict", "HOW", ("reject", "skip"), help="reject, or skip: print the id of the job that has the key"
    ),
    option(
        "--after",
        metavar="JOB",
        nargs="+",
        action="extend",
        help="start only when these jobs have ended: ids, batch:NAME or tag:NAME (its jobs as of now), - for ids"
        " on standard input; may be repeated",
    ),
    choice(
        "--after-policy",
        "HOW",
        ("success", "any", "failure"),
        help="how the jobs of --after have to end: success (all completed, default), any, or failure (one failed)",
    ),
    option("--lock", metavar="NAME[:N]", help="run only while fewer than N (default: 1) jobs that name this lock run"),
    option(
        "--needs",
        metavar="NAME=UNITS",
        action="append",
        help="units of a resource that it takes while it runs: gpu=1; may be repeated",
    ),
    number("--weight", help="how many places it takes in its queue and of max_running (default: 1)"),
    option("--on-success", metavar="COMMAND", help="run this when it has completed"),
    option("--on-failure", metavar="COMMAND", help="run this after each failed attempt"),
    option("--on-dead", metavar="COMMAND", help="run this when it has moved to the dead letter queue"),
    option(
        "--on-batch-done", metavar="COMMAND", help="add this as a job, NAME@done, when all jobs of --batch have ended"
    ),
    option("--on-cancel", metavar="COMMAND", help="run this when it was cancelled"),
    choice("--leftovers", "HOW", ("end", "leave"), help="end or leave processes that outlive the command"),
    option("--shell", metavar="PROGRAM", help="the shell that runs --command: bash, zsh, python3 (default: /bin/sh)"),
    number("--nice", help="processor priority of the command, from -20 (highest) to 19 (lowest)"),
    option("--ionice", metavar="CLASS", help="disk priority: idle, best-effort[:0-7] or realtime[:0-7]"),
    option("--memory", metavar="SIZE", help="end an attempt whose processes together use more memory: 500M, 4G"),
    option("--cpu-time", metavar="TIME", help="end an attempt whose processes together use more processor time"),
)
LABELS = (
    *("id", "name", "queue", "priority", "batch", "max_retries", "leftovers", "lock", "weight", "after_policy"),
    *("shell", "nice", "ionice", "on_batch_done", *HOOKS),
)


def warn_of_full_disk(screen: Screen, queue: Queue) -> None:
    """Say that the jobs that were enqueued cannot start, if that is so."""
    from queuectl.spool import context

    free_bytes, _ = queue.spool.files.free_bytes(queue.layout.spool)
    if free_bytes >= context.LEAST_FREE_BYTES:
        return
    from queuectl.disk_space import warning

    words = warning(queue.spool)
    if words is not None:
        screen.warn(words)


class Template:
    """What the command line says about every job it puts in."""

    def __init__(self, args: Arguments, queue: Queue) -> None:
        """Read the flags.

        Raises:
            UsageError: one of them holds nonsense.
            InvalidData: one of them, or a variable, is not text.
            NotFound, Conflict: --after names no job, or several.
        """
        self._warnings: list[str] = []
        self._flags = _from_flags(args, queue.spool.clock.now(), self._warnings)
        if args.after:
            from queuectl.cli.after import never_starts, parents_of

            self._flags["after"] = parents_of(queue, args.after)
            warning = never_starts(queue, self._flags["after"], args.after_policy or "success")
            if warning is not None:
                self._warnings.append(warning)
        elif args.after_policy is not None and args.job is None and args.file is None and not args.lines:
            raise UsageError("--after-policy says how the jobs of --after have to end; name them", "--after ID")
        if args.on_batch_done is not None and args.batch is not None and is_id(args.batch):
            from queuectl.cli.batch_warnings import warning_of

            self._warnings += warning_of(queue, args.batch, args.on_batch_done)
        path, unusable = path_of(os.environ)
        if unusable:
            shown = os.fsencode(":".join(unusable)).decode("ascii", "backslashreplace")
            self._warnings.append(f"PATH is kept without {shown}, which is not UTF-8: a job file cannot hold it")
        self._below = {"PATH": path} if path else {}  # the job's own `env` wins over it
        self._above = _environment(args)
        if args.cwd is not None:
            self._flags["cwd"] = absolute(args.cwd, os.environ)
        check_text({**self._flags, "env": self._above})
        self._directory: str | None = None
        self._start_check = None if args.no_check else StartCheck()

    def job(self, fields: Mapping[str, Any]) -> Fields:
        """Return a whole job: `fields`, what the flags say, and the place where it was typed.

        Raises:
            InvalidData: its directory is not there.
        """
        made = Checked(fields, **self._flags)
        if "command" in self._flags:
            made.pop("argv", None)
        elif "argv" in self._flags:
            made.pop("command", None)
            if "shell" not in self._flags:
                made.pop("shell", None)
        if "cwd" not in made:
            if self._directory is None:
                self._directory = here(os.environ)
                check_text(self._directory, "cwd")
            made["cwd"] = self._directory
        env = made.get("env", {})
        if isinstance(env, dict):  # anything else is refused with the job
            made["env"] = {**self._below, **env, **self._above}
        if self._start_check is not None:
            warning = self._start_check.check(made)
            if warning is not None:
                self._warnings.append(warning)
        return made

    def warnings(self) -> list[str]:
        """Return what is to be said that has not been returned yet."""
        found, self._warnings = self._warnings, []
        return found


def _from_flags(args: Arguments, now: float, warnings: list[str]) -> Fields:
    made: Fields = {name: value for name in LABELS if (value := getattr(args, name)) is not None}
    if args.argv:
        made["argv"] = args.argv
    if args.command is not None:
        made["command"] = args.command
    if args.tag:
        made["tags"] = args.tag
    if args.needs:
        made["needs"] = units_of(args.needs)
    if args.unique is not None:
        made["unique_key"] = args.unique
    if args.backoff_base is not None:
        made["backoff_base"] = _number("--backoff-base", args.backoff_base)
    if args.memory is not None:
        made["memory"] = _size("--memory", args.memory)
    times = (args.timeout, args.kill_after, args.cpu_time, args.delay, args.at, args.expires)
    if any(text is not None for text in times):
        _add_times(made, args, now, warnings)
    return made


def _add_times(made: Fields, args: Arguments, now: float, warnings: list[str]) -> None:
    from queuectl.cli.times import ago, duration, instant
    from queuectl.clock import spell

    for name, text in (("timeout", args.timeout), ("kill_after", args.kill_after), ("cpu_time", args.cpu_time)):
        if text is not None:
            made[name] = duration("--" + name.replace("_", "-"), text)
    if args.delay is not None and args.at is not None:
        raise UsageError("--delay and --at cannot be used together")
    run_at, start = now, "now"
    if args.delay is not None:
        run_at, start = now + duration("--delay", args.delay), f'--delay "{args.delay}"'
        made["run_at"] = spell(run_at)
    if args.at is not None:
        run_at, start = instant("--at", args.at, now), f'--at "{args.at}"'
        made["run_at"] = spell(run_at)
        if run_at < now:
            warnings.append(f"{start} is in the past ({ago(run_at, now)}): the job runs at once")
        elif len(args.at) == 4 and args.at.isdigit() and args.at[:2] < "24" and args.at[2:] < "60":
            warnings.append(f'{start} is a number of seconds; the time of day is "{args.at[:2]}:{args.at[2:]}"')
    if args.expires is not None:
        expires_at = instant("--expires", args.expires, now)
        if expires_at <= max(now, run_at):
            start = start if run_at > now else f"now ({ago(expires_at, now)})"
            raise UsageError(f'--expires "{args.expires}" is not after {start}: the job could never start')
        made["expires_at"] = spell(expires_at)


def units_of(texts: Iterable[str], option: str = "--needs") -> dict[str, int]:
    """Read what a job needs of resources: "gpu=1", "gpu=1,license=2", or "gpu" for one unit.

    Raises:
        UsageError.
    """
    made: dict[str, int] = {}
    for pair in ",".join(texts).split(","):
        name, equals, units = pair.partition("=")
        if not is_id(name) or (equals and not (units.isascii() and units.isdigit() and len(units) < 10)):
            raise UsageError(f'{option} must be NAME=UNITS, not "{pair}"', f"for example: {option} gpu=1")
        if name in made:
            raise UsageError(f'{option} names "{name}" twice')
        made[name] = int(units or 1)
    return made


def _number(option: str, text: str) -> int | float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise UsageError(f'{option} must be a number, not "{text}"') from None


def _size(option: str, text: str) -> int:
    from queuectl.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f'{option} must be {error}, not "{text}"') from None


def _environment(args: Arguments) -> dict[str, str]:
    made = {}
    for name in args.pass_env or ():
        if name not in os.environ:
            raise UsageError(f"--pass-env {name}: this variable is not set in your environment")
        made[name] = os.environ[name]
    for pair in args.env or ():
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise UsageError(
                f'--env must be NAME=VALUE, not "{pair}"',
                f"to pass a variable from your environment: --pass-env {pair}",
            )
        made[name] = value
    try:
        refuse_variables({"env": made})
    except InvalidField as error:
        raise UsageError(str(error).replace('"env"', "--env", 1), error.hint) from None
    return made


def check_text(value: object, field: str = "") -> None:
    """Refuse what has no UTF-8: the system's strings may hold any bytes, JSON text may not."""
    if isinstance(value, str):
        if not is_utf8(value):
            raise InvalidData(f'"{field}" contains bytes that are not UTF-8; a job file cannot hold them')
    elif isinstance(value, dict):
        for key, member in value.items():
            check_text(key, field or key)
            check_text(member, field or key)
    elif isinstance(value, list):
        for member in value:
            check_text(member, field)


def wait_timeout(args: Arguments) -> float | None:
    """Return --wait-timeout in seconds; None without it."""
    if args.wait_timeout is None:
        return None
    from queuectl.cli.times import duration

    return duration("--wait-timeout", args.wait_timeout)


# --- JSON


def from_json(text: str) -> Fields:
    """Read a job typed as JSON on the command line.

    Raises:
        InvalidData: with line, column, caret, and a hint where the shell may have changed the text.
    """
    try:
        return read(os.fsencode(text))
    except InvalidData as error:
        if text.lstrip()[:1] == "[":
            error.hint = "several jobs: give one object a line to queuectl enqueue -"
        if is_json(text):
            raise
        hint = "did the shell remove the quotes? queuectl enqueue --command 'echo \"hi\"'"
        if not text.lstrip().startswith(("{", "[", '"')):
            from shlex import quote

            hint = f"to give a shell command, use --command: queuectl enqueue --command {quote(text)}"
        found = error.reworded("the job is not valid: ", "the job is not valid JSON: ")
        found.hint = hint
        raise found from None


def read(data: bytes) -> Fields:
    """Read a job as its author wrote it.

    Raises:
        InvalidData: with line, column and caret.
    """
    try:
        record = parse(data, refuse_misspelt)
    except InvalidData as error:
        raise error.reworded("not a valid job: ", "the job is not valid: ") from None
    if record.has_history:
        raise InvalidData('the job is not valid: a new job has no "history"')
    return record.fields
