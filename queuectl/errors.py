"""errors: one exception tree; each class is one exit code.

Owns:       the meaning of exit codes 1 to 124 (CLI.md of the design, `queuectl help`).
Guarantees: `str(error)` is one line that a user can act on; `hint`, when set, says what to type.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import NoReturn, TypeVar

    Error = TypeVar("Error", bound="QueueError")


class QueueError(Exception):
    """Something went wrong in a way the user can understand.

    Args:
        message: what is wrong and where, in the user's words, without a final full stop.
        hint: what to do about it, often a command.
        excerpt: lines shown verbatim under the message (source text with a caret).

    Attributes:
        errors: where it stands for several, these as problem objects, if nothing else says them.
        more: the other errors that were found with it, as far as they are known.
    """

    exit_code = 1
    title = "failed"
    errors: Sequence[object] = ()
    more: Sequence[QueueError] = ()

    def __init__(self, message: str, hint: str | None = None, excerpt: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.excerpt = excerpt

    def __reduce__(self) -> tuple[object, ...]:
        """Let an error of any signature be sent to another process."""
        from copyreg import __newobj__  # type: ignore[attr-defined]

        return __newobj__, (type(self), *self.args), self.__dict__


class UsageError(QueueError):
    """The command line itself, or the arguments of a call, are wrong."""

    exit_code = 2
    title = "usage"


class NotFound(QueueError):
    """No such job, worker or setting."""

    exit_code = 3
    title = "not found"


class Conflict(QueueError):
    """The id exists, the job is in the wrong state, or a supervisor already runs."""

    exit_code = 4
    title = "conflict"


class NoSupervisor(QueueError):
    """A supervisor is needed and none runs."""

    exit_code = 5
    title = "no supervisor"


def with_more(found: Sequence[Error]) -> Error:
    """Return the first of several errors, which has the others."""
    first = found[0]
    others: list[QueueError] = [*first.more]
    for error in found[1:]:
        others += [error, *error.more]
        error.more = ()
    first.more = others
    return first


class InvalidData(QueueError):
    """A job or a configuration that cannot be accepted; the message names the place."""

    exit_code = 6
    title = "invalid data"

    def reworded(self, old: str, new: str) -> InvalidData:
        """Return it, and the errors found with it, with other words in the message."""
        found = InvalidData(str(self).replace(old, new, 1), self.hint, self.excerpt)
        found.more = [each.reworded(old, new) if isinstance(each, InvalidData) else each for each in self.more]
        return found


class PartlyFailed(QueueError):
    """Part of a bulk action failed; the rest was done."""

    exit_code = 7
    title = "partly failed"


class NotAllowed(QueueError):
    """Permissions forbid it."""

    exit_code = 8
    title = "not allowed"


class Busy(QueueError):
    """A lock is held, the disk is full, the index is being rebuilt: try again.

    Attributes:
        results: where many jobs were to be enqueued, what became of those before.
    """

    exit_code = 9
    title = "busy or full"
    results: Sequence[object] = ()


class JobFailed(QueueError):
    """The job that was waited for did not succeed."""

    exit_code = 10
    title = "job failed"


class TimedOut(QueueError):
    """`--timeout` ran out before the thing waited for happened."""

    exit_code = 124
    title = "timeout"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean "..."?' when something known is like `word`, else nothing."""
    from difflib import get_close_matches

    names = [*known]
    near = [name for name in names if len(word) > 1 and name.startswith(word)]
    near = near or get_close_matches(word.lower(), names, 1, 0.7)
    return f'; did you mean "{near[0]}"?' if near else ""


def from_os_error(error: OSError, doing: str) -> QueueError:
    """Turn an operating system error into the exception that carries its exit code.

    Args:
        doing: what failed, naming the file: "cannot write spool/pending".
    """
    import errno

    reason = os.strerror(error.errno) if error.errno else str(error)
    message = f"{doing}: {reason}"
    if error.errno == errno.EROFS:
        return NotAllowed(message, "dmesg says why; the queue works again once the disk is writable")
    if error.errno in (errno.EACCES, errno.EPERM):
        return NotAllowed(message, _cure_of_denied(error.filename) or "ask the owner of the file or directory named")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Busy(message, "free some disk space, then try again")
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN):
        return Busy(message, "try again; too many files are open")
    return QueueError(message)


def _cure_of_denied(path: object) -> str | None:
    """Return what lets us use a path: a command for the first part of it that keeps us out."""
    import os
    import stat

    if not isinstance(path, str) or not path.startswith("/"):
        return None
    parent, part = os.path.dirname(path), ""
    for name in path.split("/")[1:]:
        part += f"/{name}"
        try:
            status = os.stat(part)
        except OSError:
            return None
        is_directory = stat.S_ISDIR(status.st_mode)
        wanted = os.X_OK if is_directory and part != path else os.R_OK | os.W_OK
        wanted |= os.R_OK | os.W_OK if part == parent else 0
        if os.access(part, wanted):
            continue
        if status.st_uid == os.geteuid():
            return f"chmod {'700' if is_directory else '600'} {part}"
        return f"{part} belongs to user {status.st_uid}: run queuectl as that user, or ask that user"
    return None


def assert_never(value: NoReturn) -> NoReturn:
    """Close a chain of `isinstance` tests: the type checker proves that this is not reached."""
    raise AssertionError(f"unexpected value: {value!r}")
