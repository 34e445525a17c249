"""command_location: what a new job takes from the place where it is enqueued, and whether it could start there.

Owns:       the current directory as it was typed, PATH as a job file can keep it, and where a program is found.
Guarantees: a path through a symbolic link stays as it was typed, so that a job in `/srv/app/current` runs in the release that
            is current when it starts. Command line and Python take the same from here; an executor finds programs by the
            same search.
Fails with: InvalidField for `cwd`; QueueError when the current directory is gone.
"""

from __future__ import annotations

import errno
import os
import stat

from queuectl.errors import QueueError
from queuectl.job.fields import InvalidField

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

REMEMBERED = 4096  # directories and programs that a check has found, of a file of jobs
SHOWN_CHARS = 200  # of a path in a message
LATER = "to skip this check: --no-check"


def here(environ: Mapping[str, str]) -> str:
    """Return the current directory: `$PWD`, as the shell has it, when that is what it names, else as the kernel has it.

    Raises:
        QueueError: it was removed.
    """
    try:
        typed = environ.get("PWD", "")
        if typed[:1] == "/" and not {".", ".."}.intersection(typed.split("/")) and _is_here(typed):
            return typed
        return os.getcwd()
    except FileNotFoundError:
        raise QueueError("the current directory no longer exists", "name one with --cwd") from None


def _is_here(directory: str) -> bool:
    try:
        found = os.stat(directory)
    except (OSError, ValueError):
        return False
    current = os.stat(".")
    return (found.st_dev, found.st_ino) == (current.st_dev, current.st_ino)


def absolute(directory: str, environ: Mapping[str, str]) -> str:
    """Return a directory that a user named as an absolute path: `~` is the home directory, symbolic links stay.

    Raises:
        InvalidField: `~NAME` names no user.
        QueueError: the current directory was removed.
    """
    if directory[:1] == "~":  # quoted, or behind `--cwd=`, where shells leave it as it is
        expanded = os.path.expanduser(directory)
        if expanded[:1] != "/":
            raise _refusal(f'"{_brief(directory)}": no such user exists')
        return expanded
    if directory[:1] == "/":
        return directory
    parts = [part for part in directory.split("/") if part not in ("", ".")]
    return os.path.join(here(environ), *parts)


def path_of(environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return PATH as a job file can keep it, and the entries that it cannot: those that are not UTF-8."""
    path = environ.get("PATH", "")
    if path.isascii():
        return path, []
    entries = path.split(":")
    fine = [entry for entry in entries if is_utf8(entry)]
    return ":".join(fine), [entry for entry in entries if not is_utf8(entry)]


def is_utf8(text: str) -> bool:
    """Tell whether a string of the system, which may hold any bytes, is text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def which(name: str, path: str, cwd: str = "") -> str | None:
    """Return what a shell in `cwd` would start; `shutil.which` brings half a megabyte of archive formats along."""
    for directory in path.split(":") if path else ():
        found = os.path.join(cwd, directory, name)
        if os.access(found, os.X_OK) and not os.path.isdir(found):
            return found
    return None


class StartCheck:
    """Looks whether jobs could start if they were started now; what was found once is not looked for again."""

    def __init__(self) -> None:
        self._found: set[tuple[str, str, object]] = set()

    def check(self, fields: Mapping[str, object]) -> str | None:
        """Look for the job's directory and, when it has `argv` or `shell`, its program. Fields may hold anything.

        Returns:
            What is wrong with the program, its input or its priority: this may be different when the job starts.

        Raises:
            InvalidField: the directory is missing or cannot be used.
        """
        cwd, argv, env = fields.get("cwd"), fields.get("argv"), fields.get("env")
        if not isinstance(cwd, str) or cwd[:1] != "/" or "\0" in cwd:
            return None
        words = [str(word) for word in argv] if isinstance(argv, list) and "command" not in fields else []
        if isinstance(fields.get("shell"), str):
            words = [str(fields["shell"])]
        path = env.get("PATH") if isinstance(env, dict) else None
        nice = fields.get("nice")
        key = cwd, words[0] if words else "", (str(path), nice if isinstance(nice, int) else 0)
        if key in self._found:
            return wrong_with_input(fields.get("stdin"))
        check_directory(cwd)
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        self._found.add(key)
        wrong = wrong_with_nice(nice) or wrong_with_input(fields.get("stdin"))
        if wrong is None and words and words[0] and "\0" not in words[0]:
            wrong = wrong_with_program(words, path if isinstance(path, str) else None, cwd)
        if wrong is not None and "shell" in fields:
            wrong = wrong.partition("; ")[0]  # what may have been meant by a program is not meant by a shell
        return wrong


def check_directory(cwd: str) -> None:
    """Refuse a directory in which no command could be started.

    Raises:
        InvalidField.
    """
    try:
        mode = os.stat(cwd).st_mode
    except FileNotFoundError:
        raise _refusal(f"there is no directory {_brief(cwd)}", LATER) from None
    except OSError as error:
        raise _refusal(f"cannot use directory {_brief(cwd)}: {error.strerror}") from None
    if not stat.S_ISDIR(mode):
        raise _refusal(f"{_brief(cwd)} is not a directory")
    if not os.access(cwd, os.X_OK):
        raise _refusal(f"cannot enter directory {_brief(cwd)}: {os.strerror(errno.EACCES)}")


def wrong_with_nice(nice: object) -> str | None:
    """Say that this user may not raise the priority of a job so far; None when that is not known."""
    if not isinstance(nice, int) or nice >= 0 or os.geteuid() == 0:
        return None
    import resource

    lowest = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0] if hasattr(resource, "RLIMIT_NICE") else 0
    return None if nice >= lowest else f"nice {nice} needs root, or a limit (ulimit -e) of {20 - nice}"


def wrong_with_input(path: object) -> str | None:
    """Say that the file does not exist that a job is to read on its standard input; None when it does or there is none."""
    if not isinstance(path, str) or path[:1] != "/" or "\0" in path or os.path.exists(path):
        return None
    return f"there is no file {_brief(path)} yet, which its stdin names"


def wrong_with_program(argv: Sequence[str], path: str | None, cwd: str) -> str | None:
    """Say why the program of a job could not be started, and what was perhaps meant; None when nothing is wrong.

    Args:
        path: of the job; None when that of the supervisor will be used, which is not known here.
    """
    name = argv[0]
    if "/" in name:
        found = os.path.join(cwd, name.removeprefix("./"))
        if os.path.isdir(found):
            return f"{_brief(found)} is a directory, not a program"
        if os.path.exists(found):
            return None if os.access(found, os.X_OK) else f"{_brief(found)} is not executable: chmod +x {_brief(found)}"
        return f"there is no program {_brief(found)}" + _perhaps(argv)
    if path is None or which(name, path, cwd) is not None:
        return None
    return f'there is no program "{_brief(name)}" in PATH' + _perhaps(argv)


def _perhaps(argv: Sequence[str]) -> str:
    from shlex import join, quote

    if len(argv[0].split()) > 1:
        rest = "".join(f" {quote(word)}" for word in argv[1:])
        return f"; did you mean -- {argv[0]}{rest}, or --command {quote(argv[0] + rest)}?"
    return f"; if it is a command of the shell: --command {quote(join(argv))}"


def _refusal(message: str, hint: str | None = None) -> InvalidField:
    error = InvalidField("cwd", message)
    error.hint = hint
    return error


def _brief(path: str) -> str:
    return path if len(path) <= SHOWN_CHARS else "…" + path[-SHOWN_CHARS:]
