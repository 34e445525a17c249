"""job_spec: a new job, or a change of one, as Python callers describe it, made into the fields of a job file.

Owns:       the names and types that `Queue.enqueue`, `enqueue_many` and `edit` accept beyond those of FORMAT.md: delay, at
            and expires as on the command line, datetime and timedelta (client/arguments), paths, tuples.
Guarantees: a name that does not exist and a value of the wrong type raise, naming the parameter as the caller wrote it;
            nothing is ignored. A job gets the current directory and PATH, as on the command line.
Fails with: InvalidField, UnknownField.
"""

from __future__ import annotations

import os

from queuectl.client import arguments
from queuectl.client.arguments import is_series
from queuectl.clock import spell
from queuectl.errors import did_you_mean
from queuectl.job.fields import (
    DURATIONS,
    EDITABLE,
    FIELDS,
    InvalidField,
    UnknownField,
    meant_by,
    refuse_expired,
    refuse_misspelt,
    spell_value,
)
from queuectl.units import LONGEST_S, parse_size, quote, spell_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from typing import Any, BinaryIO, Literal

    from typing_extensions import TypedDict

    Seconds = float | str | timedelta
    Instant = str | float | datetime | timedelta

    class JobFields(TypedDict, total=False):
        """The keywords of `Queue.enqueue` and, None taking a field away, of `Queue.edit`."""

        id: str | None
        command: str | None
        argv: Sequence[str | os.PathLike[str]] | None
        shell: str | None
        queue: str | None
        name: str | None
        batch: str | None
        priority: int | None
        tags: Iterable[str] | None
        max_retries: int | None
        timeout: Seconds | None
        kill_after: Seconds | None
        backoff_base: float | None
        backoff_max: Seconds | None
        backoff_jitter: float | None
        delay: Seconds | None
        at: Instant | None
        run_at: Instant | None
        expires: Instant | None
        expires_at: Instant | None
        cwd: str | os.PathLike[str] | None
        env: Mapping[str, str] | None
        stdin: str | os.PathLike[str] | bytes | BinaryIO | None
        unique_key: str | None
        after: str | Iterable[str] | None
        after_policy: Literal["success", "any", "failure"] | None
        lock: str | None
        needs: Mapping[str, int] | None
        weight: int | None
        nice: int | None
        ionice: str | None
        memory: int | str | None
        cpu_time: Seconds | None
        on_success: str | None
        on_failure: str | None
        on_dead: str | None
        on_cancel: str | None
        on_batch_done: str | None
        leftovers: Literal["end", "leave"] | None
        on_interrupt: Literal["requeue", "bury"] | None

    Job = str | Sequence[str | os.PathLike[str]] | Mapping[str, Any]

SHORT = {"delay": "run_at", "at": "run_at", "expires": "expires_at"}  # as on the command line
INSTANTS = {"at": "run_at", "expires": "expires_at", **{name: name for name in ("run_at", "expires_at", "created_at")}}
KNOWN = tuple(name for name in (*FIELDS, *SHORT) if name not in ("state", "attempts", "created_at", "updated_at"))
PAST_S = 1.0  # what was computed from the present time just before is not in the past
JOB = "a shell command, a list of arguments or a mapping of fields"


class Template:
    """What the jobs of one call have in common.

    Args:
        common: fields of every job; those of a job itself are overridden. None is left out.
        now: delays begin here.
        environ: where the current directory and PATH are taken from.
        check: look whether the job's directory is there.

    Raises:
        UnknownField, InvalidField.
    """

    def __init__(
        self, common: Mapping[str, Any], now: float, environ: Mapping[str, str] = os.environ, *, check: bool = True
    ) -> None:
        from queuectl.command_location import StartCheck, here, path_of

        check_names(common)
        self._common = {name: value for name, value in common.items() if value is not None}
        self._now = now
        self._environ = environ
        self._here = here
        self._directory: str | None = None
        path, _ = path_of(environ)
        self._env = {"PATH": path} if path else {}
        self._check = StartCheck() if check else None
        self.warnings: list[str] = []

    def check_common(self) -> None:
        """Refuse, before any job is read, what no job could have; warn of a time in the past.

        Raises:
            InvalidField.
        """
        made = converted(self._common, self._now, self._environ)
        for name, value in made.items():
            _refuse(name, value, f'"{name}"')
        refuse_expired(made, self._now, names_of(self._common))
        self._check_start(made)
        self._note_past(self._common, made)

    def job(self, job: Job | None) -> dict[str, Any]:
        """Return the fields of a job.

        Raises:
            UnknownField, InvalidField; QueueError when the current directory was removed.
        """
        written = _written(job)
        for name in ("command", "argv"):
            if name in self._common and not hasattr(job, "keys") and job is not None:
                raise InvalidField(name, f'the job is given twice: as {spell_value(job)} and as "{name}"')
        given = {**written, **self._common}
        made = converted(given, self._now, self._environ)
        if len(written) == 1 and job is not None and not hasattr(job, "keys"):
            [name] = written
            _refuse(name, made[name], "the job")
        if "cwd" not in made:
            if self._directory is None:
                self._directory = self._here(self._environ)
            made["cwd"] = self._directory
        env = made.get("env", {})
        if isinstance(env, dict) and all(isinstance(value, str) for value in env.values()):  # else it is refused
            made["env"] = {**self._env, **env}
        if "expires_at" in made:
            refuse_expired(made, self._now, names_of(given))
        self._check_start(made)
        if "run_at" in made:
            self._note_past(given, made)
        return made

    def _check_start(self, made: Mapping[str, Any]) -> None:
        if self._check is None:
            return
        try:
            self._check.check(made)
        except InvalidField as error:
            error.hint = "to skip this check: check=False"
            raise

    def _note_past(self, given: Mapping[str, Any], made: Mapping[str, Any]) -> None:
        words = past_words(given, made, self._now)
        if words is not None and words not in self.warnings:
            self.warnings.append(words)


def _refuse(name: str, value: object, label: str) -> None:
    """Raise InvalidField for a value that a field cannot have; `label` is what the caller calls it."""
    check = FIELDS.get(name)
    expected = None if check is None else check(value)
    if expected is None:
        return
    hint = None
    if name == "argv" and isinstance(value, list):
        wrong = next((word for word in value if isinstance(word, (int, float))), None)
        hint = None if wrong is None else f"{quote(wrong)} is not a string: str() makes it one"
    raise InvalidField(name, f"{label} must be {expected}, not {shown(value)}", hint)


def names_of(given: Iterable[str]) -> dict[str, str]:
    """Return, by field, the name by which the caller gave it, where that is another."""
    return {SHORT[name]: name for name in given if name in SHORT}


def past_words(given: Mapping[str, Any], made: Mapping[str, Any], now: float) -> str | None:
    """Return a warning when a job is given a start that has passed; None when it is not."""
    from queuectl.clock import instant_of

    run_at = made.get("run_at")
    if not isinstance(run_at, str) or FIELDS["run_at"](run_at) is not None:
        return None
    ago_s = now - instant_of(run_at)
    if ago_s <= PAST_S:
        return None
    name = names_of(given).get("run_at", "run_at")
    return f'"{name}" is in the past ({spell_duration(ago_s)} ago): the job runs at once'


def changes_of(
    changes: Mapping[str, Any], fields: Mapping[str, Any], now: float, *, check: bool
) -> tuple[dict[str, Any], dict[str, str], str | None]:
    """Return the changes of an edit, given as a mapping and as keywords, as fields; None takes a field away.

    Args:
        check: refuse a directory that is not there.

    Returns:
        The fields; the names by which the caller gave them (names_of); a warning of a time in the past.

    Raises:
        UnknownField, InvalidField.
    """
    from queuectl.command_location import check_directory

    check_names(fields)
    if not hasattr(changes, "keys"):
        raise InvalidField("changes", f'"changes" must be a mapping of fields, not {shown(changes)}')
    wanted = {**_checked_mapping(changes), **fields}
    for name in wanted:
        if SHORT.get(name, name) in FIELDS and SHORT.get(name, name) not in EDITABLE:
            raise InvalidField(name, f'"{name}" cannot be changed')
    made = converted(wanted, now, os.environ)
    for name, value in made.items():
        if value is not None:
            _refuse(name, value, f'"{names_of(wanted).get(name, name)}"')
    if check and made.get("cwd") is not None:
        try:
            check_directory(made["cwd"])
        except InvalidField as error:
            error.hint = "to skip this check: check=False"
            raise
    return made, names_of(wanted), past_words(wanted, made, now)


def check_names(names: Iterable[object]) -> None:
    """Raise UnknownField for a keyword that is no field of a job, InvalidField for one that only QueueCTL sets."""
    for name in names:
        if name in FIELDS and name not in KNOWN:
            raise InvalidField(str(name), f'"{name}" is set by QueueCTL and cannot be given here')
        if name not in KNOWN:
            meant = meant_by(str(name))
            near = f'; did you mean "{meant}"?' if meant else did_you_mean(str(name), KNOWN)
            hint = None if near else "a member of your own can only be given in a mapping or a JSON object"
            raise UnknownField(str(name), f'unknown field "{name}"{near}', hint)


def _written(job: Any) -> dict[str, Any]:
    """Return what was given for the job itself as fields."""
    if job is None:
        return {}
    if isinstance(job, str):
        return {"command": job}
    if hasattr(job, "keys"):
        return _checked_mapping(job)
    if isinstance(job, (bytes, bytearray, set, frozenset)) or not hasattr(job, "__iter__"):
        hint = "to run one program: a list with its path" if isinstance(job, os.PathLike) else None
        hint = "a set has no order: give a list" if isinstance(job, (set, frozenset)) else hint
        raise InvalidField("command", f"a job must be {JOB}, not {shown(job)}", hint)
    return {"argv": job}


def _checked_mapping(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of which none looks misspelt; others that QueueCTL does not know are the author's own."""
    for name in fields:
        if not isinstance(name, str):
            raise UnknownField(str(name), f"the name of a field must be text, not {shown(name)}")
    refuse_misspelt({name: value for name, value in fields.items() if name not in SHORT})
    return {**fields}


def converted(given: Mapping[str, Any], now: float, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return fields with the values that a job file has; what is wrong with others is left to `fields.validate`."""
    made = {name: value for name, value in given.items() if name not in SHORT}
    for name, field in SHORT.items():
        if name in given:
            if field in made:
                both = next(other for other in (*SHORT, field) if other != name and other in given)
                raise InvalidField(name, f'"{name}" and "{both}" cannot be used together')
            made[field] = _delayed(given[name], now) if name == "delay" and given[name] is not None else given[name]
    for name, field in INSTANTS.items():
        if given.get(name) is not None:
            made[field] = _instant(name, given[name], now)
    for name, convert in (*((name, _seconds) for name in DURATIONS), ("memory", _size)):
        if made.get(name) is not None:
            made[name] = convert(name, made[name])
    if is_series(made.get("argv")):
        made["argv"] = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in made["argv"]]
    if is_series(made.get("tags")):
        tags = made["tags"]
        made["tags"] = sorted(tags, key=str) if isinstance(tags, (set, frozenset)) else [*tags]
    if "after" in made:
        made["after"] = _parents(made["after"])
    if made.get("cwd") is not None:
        made["cwd"] = _directory(made["cwd"], environ)
    if hasattr(made.get("env"), "keys"):
        made["env"] = {**made["env"]}
    return made


def _directory(value: object, environ: Mapping[str, str]) -> str:
    from queuectl.command_location import absolute

    path = os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if not isinstance(path, str):
        raise InvalidField("cwd", f'"cwd" must be a path, not {shown(value)}')
    if not path:
        raise InvalidField("cwd", '"cwd" must not be empty', "is a variable empty? omit it for the current directory")
    return absolute(path, environ)


def _parents(value: object) -> object:
    """Return ids from an id, a job or an iterable of them."""
    if isinstance(value, str):
        return [value]
    if hasattr(value, "id") and hasattr(value, "state"):
        return [value.id]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [each.id if hasattr(each, "id") and hasattr(each, "state") else each for each in value]
    return value


def _delayed(value: object, now: float) -> str:
    seconds = _seconds("delay", value)
    if not 0 <= seconds <= LONGEST_S:
        raise InvalidField("delay", f'"delay" must be {arguments.DURATION}, from 0 to ten years, not {shown(value)}')
    return spell(now + seconds)


def _seconds(name: str, value: object) -> float:
    try:
        return arguments.seconds(value)
    except ValueError as error:
        raise InvalidField(name, f'"{name}" must be {error}, not {shown(value)}') from None


def _size(name: str, value: object) -> object:
    try:
        return parse_size(value) if isinstance(value, str) else value
    except ValueError as error:
        raise InvalidField(name, f'"{name}" must be {error}, not {shown(value)}') from None


def _instant(name: str, value: object, now: float) -> str:
    if isinstance(value, str) and FIELDS["run_at"](value) is None:
        return value
    try:
        return spell(arguments.instant(value, now))
    except ValueError as error:
        raise InvalidField(name, f'"{name}" must be {error}, not {shown(value)}') from None


def opened(source: Any) -> AbstractContextManager[BinaryIO | None]:
    """Return what a job's command is to read on its standard input as a file; None for nothing.

    Raises:
        InvalidField: it is nothing that can be read, or the file cannot be opened.
    """
    from contextlib import nullcontext
    from io import BytesIO, TextIOBase

    if isinstance(source, (bytes, bytearray, memoryview)):
        return BytesIO(source)
    hint = "text: enqueue(..., stdin=text.encode())"
    if isinstance(source, (str, os.PathLike)):
        try:
            return open(source, "rb")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            words = f'cannot read the file "stdin" {shown(os.fspath(source))}: {reason}'
            raise InvalidField("stdin", words, hint if isinstance(source, str) else None) from None
    if source is not None and (isinstance(source, TextIOBase) or not hasattr(source, "read")):
        raise InvalidField("stdin", f'"stdin" must be bytes, a path or a binary file, not {shown(source)}', hint)
    return nullcontext(source)  # its owner closes it


def warn(words: str) -> None:
    """Warn, at the line from which this package was called."""
    from sys import _getframe
    from warnings import warn

    level, frame = 2, _getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith("queuectl."):
        level, frame = level + 1, frame.f_back
    warn(words, UserWarning, stacklevel=level)


def shown(value: object) -> str:
    """Show a rejected value as its author wrote it: as Python does, but text in double quotes."""
    return repr(value) if isinstance(value, bool) else quote(value)
