"""job_spec: a new job, or a change of one, as Python callers describe it, made into the fields of a job file.

Owns:       the names and types that `Queue.enqueue`, `enqueue_many` and `edit` accept beyond those of FORMAT.md: delay, at
            and expires as on the command line, datetime and timedelta, paths, tuples.
Guarantees: a name that does not exist and a value of the wrong type raise, naming the parameter; nothing is ignored. A
            job gets the current directory and PATH, as on the command line.
Fails with: InvalidField, UnknownField.
"""

from __future__ import annotations

import os

from queuectl.clock import END_S, FIRST_S, spell
from queuectl.errors import did_you_mean
from queuectl.job.fields import (
    EDITABLE,
    FIELDS,
    LONGEST_S,
    InvalidField,
    UnknownField,
    meant_by,
    refuse_misspelt,
    spell_value,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta
    from typing import Any, Literal

    from typing_extensions import TypedDict

    Seconds = float | str | timedelta
    Instant = str | float | datetime | timedelta

    class JobFields(TypedDict, total=False):
        """The keywords of `Queue.enqueue` and, None taking a field away, of `Queue.edit`."""

        id: str | None
        command: str | None
        argv: Sequence[str | os.PathLike[str]] | None
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
        unique_key: str | None
        leftovers: Literal["end", "leave"] | None
        on_interrupt: Literal["requeue", "bury"] | None

    Job = str | Sequence[str | os.PathLike[str]] | Mapping[str, Any]

SHORT = {"delay": "run_at", "at": "run_at", "expires": "expires_at"}  # as on the command line
INSTANTS = ("run_at", "expires_at", "created_at")
DURATIONS = ("timeout", "kill_after", "backoff_max")
KNOWN = tuple(name for name in (*FIELDS, *SHORT) if name not in ("state", "attempts", "created_at", "updated_at"))
LEAST_EPOCH_S = 1e9  # a smaller number is meant as a delay: it would be before 2002
WHEN = "a datetime, a timedelta from now, an RFC 3339 instant, or seconds since 1970 (for a delay: delay=60)"
LONG = 'a number of seconds, a timedelta, or text as "10m"'


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

    def job(self, job: Job | None) -> dict[str, Any]:
        """Return the fields of a job.

        Raises:
            UnknownField, InvalidField; QueueError when the current directory was removed.
        """
        written = _written(job)
        for name in ("command", "argv"):
            if name in self._common and not hasattr(job, "keys") and job is not None:
                raise InvalidField(name, f'the job is given twice: as {spell_value(job)} and as "{name}"')
        made = converted({**written, **self._common}, self._now, self._environ)
        if "cwd" not in made:
            if self._directory is None:
                self._directory = self._here(self._environ)
            made["cwd"] = self._directory
        env = made.get("env", {})
        if isinstance(env, dict) and all(isinstance(value, str) for value in env.values()):  # else it is refused
            made["env"] = {**self._env, **env}
        if self._check is not None:
            try:
                self._check.check(made)
            except InvalidField as error:
                error.hint = "to skip this check: check=False"
                raise
        return made


def changes_of(changes: Mapping[str, Any], fields: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return the changes of an edit, as a mapping and as keywords, as fields; None takes a field away.

    Raises:
        UnknownField, InvalidField.
    """
    check_names(fields)
    wanted = {**_checked_mapping(changes), **fields}
    for name in wanted:
        field = SHORT.get(name, name)
        if field in FIELDS and field not in EDITABLE:
            raise InvalidField(name, f'"{name}" cannot be changed')
    return converted(wanted, now, os.environ)


def check_names(names: Iterable[object]) -> None:
    """Raise UnknownField for a keyword that is no field of a job."""
    for name in names:
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
    if isinstance(job, (bytes, bytearray)) or not hasattr(job, "__iter__"):
        words = "a shell command, a list of arguments or a mapping of fields"
        raise InvalidField("command", f"a job must be {words}, not {spell_value(job)}")
    return {"argv": job}


def _checked_mapping(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of which none looks misspelt; others that QueueCTL does not know are the author's own."""
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
            value = given[name]
            made[field] = value if value is None else _delayed(value, now) if name == "delay" else value
            if name != "delay" and isinstance(value, str):
                made[field] = _read_instant(name, value, now)
    for name in INSTANTS:
        if name in made:
            made[name] = _instant(name, made[name], now)
    for name in DURATIONS:
        if name in made:
            made[name] = _seconds(name, made[name])
    if "argv" in made and not isinstance(made["argv"], (str, dict)) and hasattr(made["argv"], "__iter__"):
        made["argv"] = [os.fspath(each) if isinstance(each, os.PathLike) else each for each in made["argv"]]
    if isinstance(made.get("tags"), (tuple, set, frozenset)):
        made["tags"] = [*made["tags"]] if isinstance(made["tags"], tuple) else sorted(made["tags"], key=str)
    if isinstance(made.get("cwd"), (str, os.PathLike)):
        from queuectl.command_location import absolute

        made["cwd"] = absolute(os.fspath(made["cwd"]), environ)
    if "env" in made and hasattr(made["env"], "keys"):
        made["env"] = {**made["env"]}
    return made


def _delayed(value: object, now: float) -> str:
    seconds = _seconds("delay", value)
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds <= LONGEST_S:
        raise InvalidField("delay", f'"delay" must be {LONG}, from 0 to ten years, not {spell_value(value)}')
    return spell(now + seconds)


def _seconds(name: str, value: object) -> object:
    from datetime import timedelta

    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        from queuectl.times import read_duration

        try:
            return read_duration(value)
        except ValueError as error:
            raise InvalidField(name, f'"{name}" must be {error}, not {spell_value(value)}') from None
    return value


def _instant(name: str, value: object, now: float) -> object:
    from datetime import datetime, timedelta

    if value is None or isinstance(value, str):
        return value
    try:
        if isinstance(value, datetime):
            at = value.timestamp()  # one without a zone is local time
        elif isinstance(value, timedelta):
            at = now + value.total_seconds()
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value >= LEAST_EPOCH_S:
            at = float(value)
        else:
            raise ValueError
        if not FIRST_S <= at < END_S:
            raise ValueError
    except (ValueError, OverflowError):
        raise InvalidField(name, f'"{name}" must be {WHEN}, not {spell_value(value)}') from None
    return spell(at)


def _read_instant(name: str, text: str, now: float) -> str:
    from queuectl.times import read_instant

    try:
        return spell(read_instant(text, now))
    except ValueError as error:
        raise InvalidField(name, f'"{name}" must be {error}, not {spell_value(text)}') from None
