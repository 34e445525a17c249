"""main: from the command line to an exit code.

Guarantees: every failure is one line on stderr (with -o json one RFC 9457 object) and the exit code of its class; a
            traceback is shown only with --debug; a closed pipe ends the program quietly.
"""

from __future__ import annotations

import codecs
import os
import sys

from queuectl.cli.commandline import Arguments, command_words, parse, read_common
from queuectl.cli.options import Misuse
from queuectl.cli.terminal import Screen, as_bytes, to_json, write_stderr
from queuectl.errors import QueueError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BUG, INTERRUPTED, CLOSED_PIPE = 70, 130, 141
CONCISE = """\
QueueCTL runs shell commands in the background and keeps each job in one file.

  queuectl enqueue --command 'sleep 2; date'   add a job to the queue
  queuectl worker start --count 2              start two workers
  queuectl status                              show the state of the queue
  queuectl list --state failed                 find jobs
  queuectl logs -f ID                          follow the output of a job
  queuectl dlq list                            jobs that failed permanently
  queuectl worker stop --wait                  let running jobs end, then stop
  queuectl web                                 the same in a browser

All commands: queuectl --help     One of them: queuectl help enqueue
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    tokens = sys.argv[1:] if argv is None else [*argv]
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # closed by the caller: >&-
    sys.stderr = sys.stderr or sys.stdout
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115  # <&-
    codecs.register_error(as_bytes.__name__, as_bytes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=as_bytes.__name__)
    args: Arguments | None = None
    try:
        try:
            args = _read(tokens)
            code = args.handler(args, Screen(args)) if args.handler else 0
        except SystemExit as end:  # argparse has printed help or version
            code = int(end.code or 0)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        return CLOSED_PIPE
    except Exception as error:  # noqa: BLE001  # the last line of defence
        code = _fail(error, tokens, args or read_common(tokens))
        if isinstance(error, OSError):
            _discard_stdout()
    return code


def _discard_stdout() -> None:
    """Throw away what cannot be written: Python flushes once more when it ends, and would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _read(tokens: Sequence[str]) -> Arguments:
    """Return what was typed; without a command, describe them."""
    args = parse(tokens, _version(tokens)) if tokens else Arguments()
    if not args.handler:
        sys.stdout.write(CONCISE)
    return args


def _version(tokens: Sequence[str]) -> str:
    """Return what --version tells, if that is asked for."""
    if {"-V", "--version"}.isdisjoint(tokens):
        return ""
    from queuectl.cli.commands.help import version

    return version()


def _fail(error: Exception, tokens: Sequence[str], args: Arguments) -> int:
    """Say what went wrong and return the exit code."""
    as_json = args.output in ("json", "jsonl")
    from queuectl.cli.error_output import describe, problem

    known = _known(error)
    if args.debug:
        import traceback

        write_stderr("".join(traceback.format_exception(error)).rstrip())
    if _is_check(tokens):
        from queuectl.cli.commands.check import unknown

        return unknown(known or error, as_json=as_json)
    if known is None:
        write_stderr(f"queuectl: this is a bug in queuectl: {type(error).__name__}: {error}")
        write_stderr("          hint: add --debug and report what it shows")
        return BUG
    write_stderr(to_json(problem(known)) if as_json else describe(known))
    return known.exit_code


def _is_check(tokens: Sequence[str]) -> bool:
    """Tell whether a monitoring system asked, to whom exit 2 means that the queue is in trouble."""
    try:
        return "check" in tokens and command_words(tokens) == ["check"]
    except Misuse:
        return False


def _known(error: Exception) -> QueueError | None:
    """Return the error in the user's words; None when it is our bug."""
    if isinstance(error, Misuse):
        return UsageError(str(error), error.hint)
    if isinstance(error, OSError):
        from queuectl.errors import from_os_error

        if error.filename:
            return from_os_error(error, f"cannot use {error.filename}")
        known = from_os_error(error, "cannot write the result")
        known.hint = "only the output is lost: the operation itself has been done"
        return known
    return error if isinstance(error, QueueError) else None
