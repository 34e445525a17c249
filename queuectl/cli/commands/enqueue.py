"""enqueue: add jobs to the queue.

Guarantees: exit 0 only once every job is durable. Without a terminal nothing is imported that it does not need; a test
            counts what is.
"""

from __future__ import annotations

import sys

from queuectl.cli.commandline import dest
from queuectl.cli.job_options import JOB_OPTIONS, Template, from_json, wait_timeout, warn_of_full_disk
from queuectl.cli.options import PROPAGATE, command, flag, number, option
from queuectl.cli.terminal import is_terminal
from queuectl.client.queue import Queue
from queuectl.errors import Conflict, NotFound, UsageError
from queuectl.ids import ID_GRAMMAR, is_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    Fields = dict[str, Any]

COUNTED = 10_000  # waiting jobs beyond this are not counted
UNIQUE_TRIES = 5
RESUMED_CHARACTERS = 24  # what --resume NAME appends: -HASH, -HASH-2 ...


OPTIONS = (
    option("job", metavar="JSON", nargs="?", help="a job as a JSON object; - reads one per line from stdin"),
    option(
        "--command", metavar="STRING", help="a command for /bin/sh; to run without a shell: -- PROGRAM ARGUMENT ..."
    ),
    option("-f", "--file", metavar="FILE", help="read jobs from FILE, one JSON object per line"),
    flag("--lines", help="read shell commands instead of JSON objects, one per line"),
    *JOB_OPTIONS,
    option(
        "--stdin",
        metavar="FILE",
        help="what the command reads on its standard input, copied now; - copies standard input",
    ),
    option("--resume", metavar="NAME", help="derive ids NAME-HASH from the lines; skip lines whose job exists"),
    flag("--wait", help="wait until the job has ended; exit with 10 if it did not succeed"),
    flag("--follow", help="wait and show its output; with --json on stderr"),
    option("--wait-timeout", metavar="TIME", help="wait at most this long, then exit with 124; the job continues"),
    PROPAGATE,
    flag("--no-check", help="do not check that the directory and the program exist"),
    flag("--dry-run", help="check and show the jobs, but add none"),
)
NOT_FOR_RUN = ("--file", "--lines", "--resume", "--wait", "--follow", "--propagate", "--dry-run")
RETRIES_OF_RUN = number("--max-retries", help="how many times it is retried after a failure (default: 0)")


@command(
    "enqueue",
    *OPTIONS,
    examples=(
        """queuectl enqueue '{"command": "echo hello"}'""",
        "queuectl enqueue --command 'sleep 2; date' --delay 10m",
        "queuectl enqueue --after 01JDFQ8Z4T --lock report --command 'date > report'",
        "ls *.mov | sed 's/.*/gzip -k &/' | queuectl enqueue --lines - --resume movies",
    ),
    usage="JSON | - | --command S | -f FILE | -- ARGV ...",
)
def run_enqueue(args: Arguments, screen: Screen) -> int:
    """Put one job in, or with `-` and --file those of a file."""
    return _enqueue(args, screen, {})


@command(
    "run",
    *(RETRIES_OF_RUN if row[0] == RETRIES_OF_RUN[0] else row for row in OPTIONS if not {*row[0]} & {*NOT_FOR_RUN}),
    examples=("queuectl run -- make -j4 all", "queuectl run --queue net --command 'curl -O https://example.org/a.iso'"),
    usage="-- ARGV ... | --command S | JSON",
)
def run_run(args: Arguments, screen: Screen) -> int:
    """Enqueue the job, follow it, and return its exit code: `enqueue --follow --propagate --max-retries 0`.

    A person who runs a command expects it to run once; retries are for jobs that nobody waits for.
    """
    if args.job == "-":
        raise UsageError("run accepts one job", "many jobs: queuectl enqueue -")
    if args.job is None and args.command is None and not args.argv:
        raise UsageError("nothing to run: give -- PROGRAM, --command or a JSON object", "queuectl run --help")
    for names, more in OPTIONS:
        name = dest(names, more)
        if not hasattr(args, name):
            setattr(args, name, name in ("follow", "propagate") or more.get("default"))
    return _enqueue(args, screen, {"max_retries": 0})


def _refuse_command_after(after: Sequence[str] | None) -> None:
    """Refuse a command that was typed behind --after, which takes it for a job."""
    if after and after[-1] != "-" and not is_id(after[-1].partition(":")[2] or after[-1]):
        from shlex import quote

        hint = f"queuectl enqueue --after {after[0]} --command {quote(after[-1])}"
        raise UsageError(f'nothing to enqueue: --after takes ids, and "{after[-1]}" is none', hint)


def _enqueue(args: Arguments, screen: Screen, defaults: Fields) -> int:
    """Enqueue what was typed; `defaults` are of fields that one job leaves out."""
    if args.after and args.job is None and args.after[-1][:1] == "{":  # argparse took it for another id
        args.job = args.after.pop()
    if args.file is not None or args.job == "-" or args.lines:
        return _many(args, screen)
    if args.resume is not None:
        raise UsageError("--resume needs jobs from a file: --file, --lines or -")
    if args.job is None and args.command is None and not args.argv:
        if args.argv is None and is_terminal(sys.stdin):
            from queuectl.cli.commandline import parse

            parse(["enqueue", "--help"])
        _refuse_command_after(args.after)
        raise UsageError(
            "nothing to enqueue: give a JSON object, -, --command, --file or -- PROGRAM", "queuectl enqueue --help"
        )
    if args.command is not None and args.argv:
        raise UsageError("--command and -- PROGRAM cannot be used together")
    return _one(args, screen, defaults)


def _one(args: Arguments, screen: Screen, defaults: Fields) -> int:
    wait_timeout_s = wait_timeout(args)
    queue = Queue(args.home)
    template = Template(args, queue)
    _warn(screen, template)
    written = {} if args.job is None else from_json(args.job)
    fields = template.job({**defaults, **written})
    _warn(screen, template)
    if args.dry_run:
        queue.check(fields)
        if args.on_conflict != "skip":
            queue.refuse_taken(fields)
        screen.json(fields if args.stdin is None else {**fields, "stdin": "input"})
        screen.message("Valid; nothing was added to the queue")
        return 0
    with _input(args, screen) as source:
        job_id, is_new = _put(queue, fields, source, skip=args.on_conflict == "skip")
    warn_of_full_disk(screen, queue)
    waits = args.wait or args.follow or args.propagate or wait_timeout_s is not None
    is_json = screen.format in ("json", "jsonl")
    if not (waits and is_json) and not (args.follow and screen.is_table):  # else the end of the waiting is the result
        counts = {"queued": int(is_new), "known": int(not is_new), "refused": []}
        screen.result({"action": "enqueue", "id": job_id, "ids": [job_id], **counts}, [job_id])
        screen.flush()
    if waits:
        from queuectl.cli.commands.wait import await_job

        screen.message(_words(job_id, is_new))
        return await_job(queue, screen, job_id, follow=args.follow, timeout_s=wait_timeout_s, propagate=args.propagate)
    if screen.is_interactive:
        _report_queued(screen, queue, job_id, fields, is_new=is_new)
    return 0


class _Nothing:
    """No file, where one may be closed."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_error: object) -> None:
        return None


def _input(args: Arguments, screen: Screen) -> BinaryIO | _Nothing:
    """Open what the command is to read."""
    if args.stdin is None:
        return _Nothing()
    if args.stdin != "-":
        return open_file(args.stdin)
    if args.after and "-" in args.after:
        raise UsageError("standard input cannot hold both the ids of --after and the input of the command")
    if screen.is_interactive and is_terminal(sys.stdin):
        screen.message("Reading the input of the command from the terminal; Ctrl-D ends it")
    return sys.stdin.buffer


def _put(queue: Queue, fields: Fields, source: BinaryIO | None, *, skip: bool) -> tuple[str, bool]:
    """Enqueue, and return the id with whether the job is new; `skip`: else that of the job that has its unique key."""
    for _ in range(UNIQUE_TRIES):
        try:
            return queue.submit(fields, source), True
        except Conflict:
            if not skip or "unique_key" not in fields:
                raise
            with queue.complete_reader() as reader:
                holder = reader.unique_holder(fields["unique_key"])
            if holder is not None:
                return str(holder), False
            if source is not None:
                raise  # some of the input may have been read
    return queue.submit(fields, source), True  # its holders ended between two looks, time and again


def _warn(screen: Screen, template: Template) -> None:
    for warning in template.warnings():
        screen.warn(warning)


def _words(job_id: str, is_new: bool) -> str:
    return f"Queued {job_id}" if is_new else f"Queued already: {job_id}"


def _report_queued(screen: Screen, queue: Queue, job_id: str, fields: Fields, *, is_new: bool) -> None:
    """Say what was done and what to type next; on a terminal only, for it looks around."""
    from queuectl import control_client
    from queuectl.errors import NoSupervisor

    text = _words(job_id, is_new)
    if "run_at" in fields:
        from queuectl.cli.times import ago
        from queuectl.clock import parse_instant

        text += f", runs {ago(parse_instant(fields['run_at']), queue.spool.clock.now())}"
    elif is_new and not fields.get("priority"):
        waiting = _waiting(queue)  # this one among them, unless it has been started already
        text += f" ({max(0, waiting - 1):,}{'+' if waiting > COUNTED else ''} ahead)"
    try:
        control_client.connect(queue.layout).close()
    except NoSupervisor:
        screen.message(f"{text}, but no worker is running\nStart some: queuectl worker start --count 2")
        return
    screen.message(f"{text}.  Follow: queuectl logs -f {job_id}")


def _waiting(queue: Queue) -> int:
    count = 0
    for _ in queue.spool.files.names(queue.layout.directory("pending")):
        count += 1
        if count > COUNTED:
            break
    return count


def _many(args: Arguments, screen: Screen) -> int:
    """Put the jobs of a file or of standard input in."""
    from queuectl.cli.enqueue_file import enqueue_file

    if args.job not in (None, "-") or args.command is not None or args.argv:
        hint = f"queuectl enqueue --lines --file {args.job}" if args.job is not None and args.file is None else None
        raise UsageError("jobs are read from a file; JSON, --command and -- PROGRAM cannot be used with it", hint)
    refuse_for_many(args)
    queue = Queue(args.home)
    template = Template(args, queue)
    _warn(screen, template)
    if args.file in (None, "-"):
        return enqueue_file(args, screen, queue, template, sys.stdin.buffer)
    with open_file(args.file) as file:
        return enqueue_file(args, screen, queue, template, file)


def refuse_for_many(args: Arguments) -> None:
    """Raise UsageError for options that do not apply to many jobs."""
    if args.id is not None or args.unique is not None:
        raise UsageError("--id and --unique apply to one job; in a file each job has its own")
    if args.stdin is not None:
        raise UsageError("--stdin applies to one job", 'in a file, a job can have "stdin": "/path"')
    if args.follow:
        raise UsageError("--follow shows the output of one job; for several use --wait")
    if args.resume is not None and not is_id(args.resume + "-" * RESUMED_CHARACTERS):
        raise UsageError(
            f'--resume "{args.resume}" cannot start an id: {ID_GRAMMAR}, {RESUMED_CHARACTERS} of which follow'
        )
    if args.file in (None, "-") and args.after and "-" in args.after:
        raise UsageError("standard input cannot hold both the jobs and the ids of --after")


def open_file(path: str) -> BinaryIO:
    """Open the file that jobs are read from."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory, not a file") from None
