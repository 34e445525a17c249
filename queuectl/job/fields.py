"""fields: the members that an author may write into a job.

Owns:       FIELDS, the table of everything an author may write, with the check of each (see checks).
Guarantees: `validate` accepts a job only if no member can cause an error later; what depends on the running system
            (a missing directory, arguments that are too long together) is checked by the attempt.
Fails with: InvalidField, naming the field, what was expected and what was found.
"""

from __future__ import annotations

from queuectl.clock import instant_of
from queuectl.config.capacities import HOOKS as HOOKS
from queuectl.errors import InvalidData
from queuectl.job import checks
from queuectl.units import LONGEST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from typing import Any

    from queuectl.job.checks import Check

    Fields = dict[str, Any]

FIELDS: dict[str, Check] = {
    "id": checks.label,
    "command": checks.command,
    "argv": checks.argv,
    "shell": checks.text(256),
    "queue": checks.label,
    "name": checks.name,
    "batch": checks.label,
    "priority": checks.integer(-1000, 1000),
    "tags": checks.strings,
    "max_retries": checks.integer(0, 1000),
    "timeout": checks.number(0, LONGEST_S, f"a number of seconds from 0 (none), {checks.AT_MOST}"),
    "kill_after": checks.seconds,
    "backoff_base": checks.number(0, LONGEST_S, f"a number above 0, {checks.AT_MOST}", above=True),
    "backoff_max": checks.seconds,
    "backoff_jitter": checks.number(0, 1, "a number from 0 to 1"),
    "run_at": checks.instant,
    "expires_at": checks.instant,
    "cwd": checks.absolute_path,
    "env": checks.environment,
    "stdin": checks.stdin,
    "unique_key": checks.text(256),
    "leftovers": checks.one_of("end", "leave"),
    "on_interrupt": checks.one_of("requeue", "bury"),
    "after": checks.parents,
    "after_policy": checks.one_of("success", "any", "failure"),
    "lock": checks.lock,
    "needs": checks.needs,
    "weight": checks.integer(1, 1000),
    "nice": checks.integer(-20, 19),
    "ionice": checks.ionice,
    "memory": checks.memory,
    "cpu_time": checks.seconds,
    **dict.fromkeys((*HOOKS, "on_batch_done"), checks.command),
    "state": checks.exactly("pending"),
    "attempts": checks.exactly(0),
    "created_at": checks.instant,
    "updated_at": checks.instant,
}
DURATIONS, SIZES = ("timeout", "kill_after", "backoff_max", "cpu_time"), ("memory",)
EDITABLE = frozenset(FIELDS) - {"id", "stdin", "state", "attempts", "created_at", "updated_at", "unique_key"}

# Names that a field is often given: those of options of `enqueue`, and those that other queues use. Written without - and _.
OTHER_NAMES = {
    "argv": "args arguments",
    "backoff_base": "backoff",
    "backoff_jitter": "jitter",
    "command": "cmd cmdline commandline",
    "cwd": "chdir dir directory workdir workingdir workingdirectory",
    "env": "environ environment envs envvars passenv",
    "expires_at": "deadline expire expires expiration expiry ttl",
    "kill_after": "grace graceperiod",
    "max_retries": "maxattempts maxretry maxtries retries retry tries",
    "priority": "prio",
    "queue": "queuename",
    "run_at": "at delay eta notbefore runafter schedule scheduledat scheduledfor startat",
    "tags": "label labels tag",
    "timeout": "maxruntime timelimit",
    "unique_key": "idempotencykey unique",
    "after": "dependencies dependson",
    "lock": "locks mutex",
    "memory": "maxmemory memorylimit memlimit",
    "cpu_time": "cpulimit maxcpu",
    "nice": "niceness",
    "on_success": "oncomplete oncompleted ondone",
    "on_failure": "onerror onfail onfailed",
    "on_dead": "ondeath ondie",
    "on_cancel": "oncancelled",
}
LABELS = (
    "id",
    "name",
    "batch",
    "tags",
    "state",
    "attempts",
    "created_at",
    "updated_at",
)  # do not change how a job runs
RUNS = frozenset(FIELDS).difference(LABELS)
HOW = {
    "run_at": 'run_at is an instant, such as "2026-12-01T02:00:00Z"; on the command line: --at or --delay',
    "expires_at": 'expires_at is an instant, such as "2026-12-01T02:00:00Z"; on the command line: --expires',
}
ALIKE = 0.81  # how alike two names are that differ by a slip
_plain = {name.replace("_", ""): name for name in FIELDS}
_other = {other: name for name, others in OTHER_NAMES.items() for other in others.split()}
# Short names are like many words: pid and uid, block and clock. The rest of LABELS is written by other queues.
_short = ("id", "env", "cwd", "argv", "after", "lock", *LABELS[4:])
_fuzzy = [plain for plain, name in _plain.items() if name not in _short]


class InvalidField(InvalidData):
    """A field of the job does not hold what it may hold; `field` lets the caller find its line. `more`: of other fields."""

    more: Sequence[InvalidField] = ()

    def __init__(self, field: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.field = field


class UnknownField(InvalidField, TypeError):
    """There is no such field; a Python call that names it is wrong as any unknown keyword is."""


def validate(fields: Mapping[str, object]) -> None:
    """Check what an author wrote; fields outside FIELDS are none of our business and are kept.

    Raises:
        InvalidField: the first field that does not hold, and with it the others.
    """
    wrong = []
    for field, value in fields.items():
        check = FIELDS.get(field)
        expected = check(value) if check is not None else None
        if expected is not None:
            words = f'"{field}" must be {expected}, not {spell_value(value)}'
            wrong.append(InvalidField(field, words, _as_number(field, value)))
    if ("command" in fields) == ("argv" in fields):
        if not wrong:
            refuse_misspelt(fields, ("command", "argv"))
        found = "both" if "command" in fields else "neither"
        wrong.append(InvalidField("argv", f'a job has either "command" or "argv"; this one has {found}'))
    if "shell" in fields and "argv" in fields:
        wrong.append(InvalidField("shell", '"shell" runs a "command"; a job with "argv" is run without a shell'))
    if "on_batch_done" in fields and "batch" not in fields:
        wrong.append(InvalidField("on_batch_done", '"on_batch_done" needs "batch", the name of the batch'))
    if wrong:
        raise together(wrong)


def _as_number(field: str, value: object) -> str | None:
    """Return a hint where a duration or a size was given as text: the number that a job file has."""
    if not isinstance(value, str) or field not in (*DURATIONS, *SIZES):
        return None
    from queuectl.units import parse_duration, parse_size

    try:
        number = parse_duration(value) if field in DURATIONS else parse_size(value)
    except ValueError:
        return None
    unit = "seconds" if field in DURATIONS else "bytes"
    return f'as a number of {unit}: "{field}": {round(number) if number == round(number) else number}'


def together(wrong: Sequence[InvalidField]) -> InvalidField:
    """Return the first of several errors of a job, which has the others."""
    found = {str(each): each for error in wrong for each in (error, *error.more)}
    first, *first.more = found.values()
    return first


def refuse_together(checks: Iterable[Callable[[], None]]) -> None:
    """Make several checks of a job.

    Raises:
        InvalidField: of the first that fails, and with it those of the others.
    """
    wrong = []
    for check in checks:
        try:
            check()
        except InvalidField as error:
            wrong.append(error)
    if wrong:
        raise together(wrong)


def refuse_expired(fields: Mapping[str, object], now: float, names: Mapping[str, str] | None = None) -> None:
    """Refuse a new job whose `expires_at` leaves it no time to start; other fields may hold anything.

    A file dropped into the spool may say so: it becomes dead at once.

    Args:
        names: what the author calls these fields, where that is something else.

    Raises:
        InvalidField: for `expires_at`.
    """
    texts = fields.get("expires_at"), fields.get("run_at")
    expires_at, run_at = (
        instant_of(text) if isinstance(text, str) and not checks.instant(text) else None for text in texts
    )
    if expires_at is None:
        return
    expiry, start = ((names or {}).get(name, name) for name in ("expires_at", "run_at"))
    for at, words in ((now, "in the future"), (run_at, f'after "{start}" ({spell_value(texts[1])})')):
        if at is not None and expires_at <= at:
            message = f'"{expiry}" must be {words}, not {spell_value(texts[0])}: the job could never start'
            raise InvalidField(expiry, message)


def refuse_variables(fields: Mapping[str, object]) -> None:
    """Refuse a new or edited job whose `env` has a name that no shell line meant: `export A`, `A B`, a name with a tab.

    A file dropped into the spool may say so: such a name does no harm.

    Raises:
        InvalidField: for `env`.
    """
    env = fields.get("env")
    for name in env if isinstance(env, dict) else ():
        if isinstance(name, str) and (not name.isprintable() or " " in name):
            hint = 'leave out "export"' if name.startswith("export ") else None
            words = "the name of a variable must not contain spaces or control characters"
            raise InvalidField("env", f'"env" has the name {spell_value(name)}: {words}', hint)


def refuse_in_new(fields: Mapping[str, object], now: float, *, has_input: bool) -> None:
    """Refuse what a dropped file may say, but no caller who enqueues a job can mean.

    Args:
        has_input: the input of the job is given beside its fields.

    Raises:
        InvalidField.
    """
    if fields.get("stdin") == "input" and not has_input:
        raise InvalidField("stdin", '"stdin" is "input", but no input is given', "queuectl enqueue --stdin FILE")
    checks: list[Callable[[], None]] = []
    if "expires_at" in fields:
        checks.append(lambda: refuse_expired(fields, now))
    if "env" in fields:
        checks.append(lambda: refuse_variables(fields))
    refuse_together(checks)


def spell_value(value: object) -> str:
    """Show a rejected value as its author wrote it, cut to 60 characters."""
    import json

    try:
        text = json.dumps(value, default=repr, ensure_ascii=False)
        if not text.isprintable():
            text = json.dumps(value, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = f"this {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def normalized(fields: Fields) -> Fields:
    """Return the fields with a name in Unicode's form NFC, so that the same name is the same text."""
    name = fields.get("name")
    if not isinstance(name, str) or name.isascii():
        return fields
    from unicodedata import normalize

    return {**fields, "name": normalize("NFC", name)}


def unknown(fields: Iterable[str]) -> dict[str, str | None]:
    """Return the fields that QueueCTL does not know, each with the known one that it looks like, or None."""
    return {field: meant_by(field) for field in fields if field not in FIELDS and field != "history"}


def meant_by(name: str) -> str | None:
    """Return the field that an unknown name looks like: another spelling of it, another name for it, or a slip."""
    plain = str(name).lower().replace("_", "").replace("-", "").replace(" ", "")
    if plain in _plain:
        return _plain[plain]
    if plain in _other or len(plain) < 4:
        return _other.get(plain)
    from difflib import get_close_matches

    near = get_close_matches(plain, _fuzzy, 1, ALIKE)
    return _plain[near[0]] if near else None


def misspelt(fields: Iterable[str]) -> dict[str, str]:
    """Return unknown fields that look like a misspelt known one, each with the likely spelling."""
    return {field: meant for field, meant in unknown(fields).items() if meant is not None}


def refuse_misspelt(fields: Mapping[str, object], only: Container[str] = FIELDS) -> None:
    """Refuse a new job with a member that looks like a misspelt field: without it the job would not do what was meant.

    Args:
        only: these fields. A dropped file is refused only for those that decide how it runs (RUNS): its author gets no
            answer, and the job would not run.

    Raises:
        UnknownField: the first.
    """
    for field, meant in misspelt(fields).items():
        if meant in only:
            raise UnknownField(field, f'unknown field "{field}"; did you mean "{meant}"?', HOW.get(meant))


def describe_misspelt(field: str, meant: str) -> str:
    """Say that a field has no effect, and which one was probably meant."""
    return f'unknown field "{field}"; did you mean "{meant}"? It has no effect'


def command_line(fields: Mapping[str, Any]) -> str:
    """Return the command as a person would type it."""
    if "command" in fields:
        return str(fields["command"])
    from shlex import join

    return join(fields["argv"])
