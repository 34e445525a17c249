"""enqueue: add jobs to the queue.

Guarantees: exit 0 only once every job is durable. Without a terminal nothing is imported that it does not need; a test
            counts what is.
"""

from __future__ import annotations

import sys

from queuectl.cli.job_options import Template, from_json, wait_timeout
from queuectl.cli.terminal import is_terminal
from queuectl.client.queue import Queue, refuse_never_enough
from queuectl.errors import Conflict, NotFound, UsageError
from queuectl.job.fields import ID_GRAMMAR, is_id, refuse_expired, refuse_variables, validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    Fields = dict[str, Any]

COUNTED = 10_000  # waiting jobs beyond this are not counted
UNIQUE_TRIES = 5
RESUMED_CHARACTERS = 24  # what --resume NAME appends: -HASH, -HASH-2 ...


def run(args: Arguments, screen: Screen, defaults: Fields | None = None) -> int:
    """Put one job in, or with `-` and --file those of a file; `defaults` are of fields that it leaves out."""
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
        raise UsageError(
            "nothing to enqueue: give a JSON object, -, --command, --file or -- PROGRAM", "queuectl enqueue --help"
        )
    if args.command is not None and args.argv:
        raise UsageError("--command and -- PROGRAM cannot be used together")
    return _one(args, screen, defaults or {})


def _one(args: Arguments, screen: Screen, defaults: Fields) -> int:
    wait_timeout_s = wait_timeout(args)
    queue = Queue(args.home)
    template = Template(args, queue)
    _warn(screen, template)
    written = {} if args.job is None else from_json(args.job)
    fields = template.job({**defaults, **written})
    _warn(screen, template)
    if args.dry_run:
        validate(fields)
        refuse_expired(fields, queue.spool.clock.now())
        refuse_variables(fields)
        refuse_never_enough(queue.settings, fields)
        screen.json(fields)
        screen.message("Valid; nothing was added to the queue")
        return 0
    job_id, is_new = _put(queue, fields, skip=args.on_conflict == "skip")
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


def _put(queue: Queue, fields: Fields, *, skip: bool) -> tuple[str, bool]:
    """Enqueue, and return the id with whether the job is new; `skip`: else that of the job that has its unique key."""
    for _ in range(UNIQUE_TRIES):
        try:
            return queue.submit(fields), True
        except Conflict:
            if not skip or "unique_key" not in fields:
                raise
            with queue.complete_reader() as reader:
                holder = reader.unique_holder(fields["unique_key"])
            if holder is not None:
                return str(holder), False
    return queue.submit(fields), True  # its holders ended between two looks, time and again


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
    if args.id is not None or args.unique is not None:
        raise UsageError("--id and --unique apply to one job; in a file each job has its own")
    if args.follow:
        raise UsageError("--follow shows the output of one job; for several use --wait")
    if args.resume is not None and not is_id(args.resume + "-" * RESUMED_CHARACTERS):
        raise UsageError(
            f'--resume "{args.resume}" cannot start an id: {ID_GRAMMAR}, {RESUMED_CHARACTERS} of which follow'
        )
    if args.file in (None, "-") and args.after and "-" in args.after:
        raise UsageError("standard input cannot hold both the jobs and the ids of --after")
    queue = Queue(args.home)
    template = Template(args, queue)
    _warn(screen, template)
    if args.file in (None, "-"):
        return enqueue_file(args, screen, queue, template, sys.stdin.buffer)
    with _open(args.file) as file:
        return enqueue_file(args, screen, queue, template, file)


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise NotFound(f"no file {path}") from None
