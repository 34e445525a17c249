"""fields: the members that an author may write into a job, and the ids of jobs.

Owns:       FIELDS, the table of everything an author may write; the grammar of ids; the checks that FIELDS is made of.
Guarantees: `validate` accepts a job only if no member can cause an error later; what depends on the running system
            (a missing directory, arguments that are too long together) is checked by the attempt.
Fails with: InvalidField, naming the field, what was expected and what was found.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from queuectl.clock import EXPECTED, parse_instant, spell
from queuectl.errors import InvalidData
from queuectl.ids import ID_CHARS as ID_CHARS
from queuectl.ids import ID_GRAMMAR as ID_GRAMMAR
from queuectl.ids import ID_MAX as ID_MAX
from queuectl.ids import is_id as is_id
from queuectl.units import LONGEST_S as LONGEST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping
    from typing import Any

    Fields = dict[str, Any]
    Check = Callable[[object], str | None]  # what was expected, or None when the value is fine

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
AT_MOST = f"at most {LONGEST_S:.0f} (ten years)"
LONGEST_ARGUMENT = 131_071  # bytes that Linux hands to a program in one piece, its NUL not counted; `sh -c` is one too

MOST_PARENTS = 1000
NAME_MAX = 200
# What would move the cursor of a terminal, break a line or reorder the text around it: the control characters C0 and C1,
# separators of lines and paragraphs, bidirectional controls, the byte order mark. The same in every version of Unicode.
NOT_IN_NAMES = (
    *((0x0000, 0x001F), (0x007F, 0x009F), (0x061C, 0x061C), (0x200E, 0x200F), (0x2028, 0x202E)),
    *((0x2066, 0x2069), (0xFEFF, 0xFEFF)),
)
_not_in_names = frozenset(chr(code) for first, last in NOT_IN_NAMES for code in range(first, last + 1))

GENERATED_CHARS = 16
GENERATED = frozenset(CROCKFORD)
PAIRS = [first + second for first in CROCKFORD for second in CROCKFORD]
_instants: dict[str, float] = {}  # those of one job are asked for several times while it is read, judged and shown
INSTANTS_MAX = 1024
_second = (-1, "")


def is_generated(job_id: str) -> bool:
    """Tell whether an id has the form of those that `new_id` makes."""
    return len(job_id) == GENERATED_CHARS and GENERATED.issuperset(job_id)


class _Ids:
    """Time-ordered ids: 9 characters of milliseconds, 7 that begin at random and count up within one millisecond."""

    __slots__ = ("last_ms", "lock", "low")

    def __init__(self) -> None:
        self.last_ms = -1
        self.low = 0
        self.lock = allocate_lock()

    def next(self, now: float) -> str:
        with self.lock:
            ms = int(now * 1000)
            if ms > self.last_ms:
                # The top bit stays free, so that counting up never carries into the milliseconds.
                self.last_ms, self.low = ms, int.from_bytes(os.urandom(5), "big") >> 6
            else:
                self.low += 1
            value = (self.last_ms << 35) + self.low
        return "".join([PAIRS[value >> shift & 1023] for shift in range(70, -1, -10)])


_ids = _Ids()
if hasattr(os, "register_at_fork"):  # a forked child must not repeat its parent's sequence
    os.register_at_fork(after_in_child=_ids.__init__)  # type: ignore[misc]


def new_id(now: float) -> str:
    """Return a fresh id of 16 characters; ids made by one process sort by creation, even if the clock goes back."""
    return _ids.next(now)


def instant_of(text: str) -> float:
    """Return an RFC 3339 instant as seconds since 1970; raises ValueError."""
    at = _instants.get(text)
    if at is None:
        at = parse_instant(text)
        _remember(text, at)
    return at


def stamp(now: float) -> str:
    """Spell the present instant; most come in a second that has been spelled just before."""
    global _second  # noqa: PLW0603 - a cache of one
    micros = round(now * 1_000_000)
    second, fraction = divmod(micros, 1_000_000)
    if second != _second[0]:
        _second = (second, spell(second).partition(".")[0])
    text = f"{_second[1]}.{fraction:06}Z"
    _remember(text, micros / 1_000_000)
    return text


def _remember(text: str, at: float) -> None:
    if len(_instants) >= INSTANTS_MAX:
        _instants.clear()
    _instants[text] = at


# --- checks: None when the value is fine, else the words for "must be ..."


def integer(low: int, high: int) -> Check:
    """Accept an integer in this range."""

    def check(value: object) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fine else f"an integer from {low} to {high}"

    return check


def number(low: float, high: float, words: str, *, above: bool = False) -> Check:
    """Accept a number in this range, `low` itself excluded when `above`."""

    def check(value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return words
        return None if low <= value <= high and not (above and value == low) else words

    return check


def one_of(*choices: str) -> Check:
    """Accept these words."""

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value in choices else " or ".join(f'"{c}"' for c in choices)

    return check


def or_null(inner: Check) -> Check:
    """Accept null as well."""
    return lambda value: None if value is None else inner(value)


def string(value: object) -> str | None:
    """Accept any string."""
    return None if isinstance(value, str) else "a string"


def flag(value: object) -> str | None:
    """Accept true and false."""
    return None if isinstance(value, bool) else "true or false"


def instant(value: object) -> str | None:
    """Accept an RFC 3339 instant with a zone."""
    if not isinstance(value, str):
        return EXPECTED
    try:
        instant_of(value)
    except ValueError as error:
        return str(error)
    return None


def _text(limit: int) -> Check:
    words = f"a non-empty string of at most {limit} characters"

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value.strip() and len(value) <= limit else words

    return check


def _fits(text: str) -> bool:
    """Tell whether a program can be given this text as one argument or variable."""
    if len(text) * 4 <= LONGEST_ARGUMENT:
        return True
    return len(text.encode("utf-8", "surrogatepass")) <= LONGEST_ARGUMENT


def _command(value: object) -> str | None:
    if isinstance(value, str) and not _fits(value):
        return f"at most {LONGEST_ARGUMENT} bytes long, which is all that a shell can be given: put it into a file"
    return None if isinstance(value, str) and value.strip() else "a non-empty string"


def _label(value: object) -> str | None:
    return None if is_id(value) else ID_GRAMMAR


def _name(value: object) -> str | None:
    fine = isinstance(value, str) and value.strip(" ") and len(value) <= NAME_MAX and _not_in_names.isdisjoint(value)
    return None if fine else f"text of one line, at most {NAME_MAX} characters, without control characters"


def _argv(value: object) -> str | None:
    if not (isinstance(value, list) and value and all(isinstance(a, str) for a in value) and value[0]):
        return "a non-empty list of strings whose first is not empty"
    fine = all(_fits(argument) for argument in value)
    return None if fine else f"a list of strings of at most {LONGEST_ARGUMENT} bytes each: put long ones into a file"


def _strings(value: object) -> str | None:
    fine = isinstance(value, list) and all(isinstance(a, str) and a for a in value)
    return None if fine else "a list of non-empty strings"


def _environment(value: object) -> str | None:
    def is_name(name: object) -> bool:
        return isinstance(name, str) and name != "" and "=" not in name

    if not (isinstance(value, dict) and all(is_name(name) and isinstance(v, str) for name, v in value.items())):
        return "an object of strings whose names are not empty and hold no '='"
    fine = all(_fits(f"{name}={text}") for name, text in value.items())
    return None if fine else f"an object in which no name with its value has more than {LONGEST_ARGUMENT} bytes"


def _absolute_path(value: object) -> str | None:
    return None if isinstance(value, str) and value.startswith("/") else "an absolute path"


def _exactly(wanted: object) -> Check:
    def check(value: object) -> str | None:
        fine = value == wanted and type(value) is type(wanted)
        return None if fine else f"{wanted!r} in a new job".replace("'", '"')

    return check


def _parents(value: object) -> str | None:
    words = f"a list of 1 to {MOST_PARENTS:,} different job ids"
    if not isinstance(value, list) or not 0 < len(value) <= MOST_PARENTS or not all(map(is_id, value)):
        return words
    return None if len(set(value)) == len(value) else words


def _lock(value: object) -> str | None:
    name, colon, capacity = value.partition(":") if isinstance(value, str) else ("", "", "")
    is_number = (
        capacity.isascii() and capacity.isdigit() and capacity[0] != "0" and (len(capacity) <= 3 or capacity == "1000")
    )
    return None if is_id(name) and is_number == bool(colon) else 'NAME or NAME:N, for example "db" or "db:3"'


MOST_UNITS_OF_A_JOB, MOST_RESOURCES = 1000, 16
_units = integer(1, MOST_UNITS_OF_A_JOB)


def _needs(value: object) -> str | None:
    fine = isinstance(value, dict) and value and all(is_id(name) and not _units(n) for name, n in value.items())
    if isinstance(value, dict) and fine and (len(value) > MOST_RESOURCES or sum(value.values()) > MOST_UNITS_OF_A_JOB):
        return f"at most {MOST_UNITS_OF_A_JOB} units together, of at most {MOST_RESOURCES} resources"
    return None if fine else 'an object with how many units of each resource are needed, for example {"gpu": 1}'


_seconds = number(0, LONGEST_S, f"a number of seconds above 0, {AT_MOST}", above=True)

FIELDS: dict[str, Check] = {
    "id": _label,
    "command": _command,
    "argv": _argv,
    "queue": _label,
    "name": _name,
    "batch": _label,
    "priority": integer(-1000, 1000),
    "tags": _strings,
    "max_retries": integer(0, 1000),
    "timeout": number(0, LONGEST_S, f"a number of seconds from 0 (none), {AT_MOST}"),
    "kill_after": _seconds,
    "backoff_base": number(0, LONGEST_S, f"a number above 0, {AT_MOST}", above=True),
    "backoff_max": _seconds,
    "backoff_jitter": number(0, 1, "a number from 0 to 1"),
    "run_at": instant,
    "expires_at": instant,
    "cwd": _absolute_path,
    "env": _environment,
    "unique_key": _text(256),
    "leftovers": one_of("end", "leave"),
    "on_interrupt": one_of("requeue", "bury"),
    "after": _parents,
    "after_policy": one_of("success", "any", "failure"),
    "lock": _lock,
    "needs": _needs,
    "weight": integer(1, 1000),
    "state": _exactly("pending"),
    "attempts": _exactly(0),
    "created_at": instant,
    "updated_at": instant,
}
EDITABLE = frozenset(FIELDS) - {"id", "state", "attempts", "created_at", "updated_at", "unique_key"}

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
    """A field of the job does not hold what it may hold; `field` lets the caller find its line."""

    def __init__(self, field: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.field = field


class UnknownField(InvalidField, TypeError):
    """There is no such field; a Python call that names it is wrong as any unknown keyword is."""


def validate(fields: Mapping[str, object]) -> None:
    """Check what an author wrote; fields outside FIELDS are none of our business and are kept.

    Raises:
        InvalidField: the first field that does not hold.
    """
    for field, value in fields.items():
        check = FIELDS.get(field)
        expected = check(value) if check is not None else None
        if expected is not None:
            raise InvalidField(field, f'"{field}" must be {expected}, not {spell_value(value)}')
    if ("command" in fields) == ("argv" in fields):
        refuse_misspelt(fields, ("command", "argv"))
        found = "both" if "command" in fields else "neither"
        raise InvalidField("argv", f'a job has exactly one of "command" and "argv"; this one has {found}')


def refuse_expired(fields: Mapping[str, object], now: float, names: Mapping[str, str] | None = None) -> None:
    """Refuse a new job whose `expires_at` leaves it no time to start; other fields may hold anything.

    A file dropped into the spool may say so: it becomes dead at once.

    Args:
        names: what the author calls these fields, where that is something else.

    Raises:
        InvalidField: for `expires_at`.
    """
    texts = fields.get("expires_at"), fields.get("run_at")
    expires_at, run_at = (instant_of(text) if isinstance(text, str) and not instant(text) else None for text in texts)
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
