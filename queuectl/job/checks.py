"""checks: what one field of a job may hold.

Guarantees: pure. A check returns None when the value is accepted, else what was expected, in words that follow "must be".
"""

from __future__ import annotations

from queuectl.clock import EXPECTED, instant_of
from queuectl.ids import ID_GRAMMAR, is_id
from queuectl.units import LONGEST_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[object], str | None]

AT_MOST = f"at most {LONGEST_S:.0f} (ten years)"
LONGEST_ARGUMENT = 131_071  # bytes that Linux hands to a program in one piece, its NUL not counted; `sh -c` is one too
MOST_PARENTS = 1000
LEAST_MEMORY, MOST_MEMORY = 1 << 20, 1 << 50
IO_CLASSES_WITH_LEVELS, IO_LEVELS = ("best-effort", "realtime"), "01234567"
NAME_MAX = 200
# What would move the cursor of a terminal, break a line or reorder the text around it: the control characters C0 and C1,
# separators of lines and paragraphs, bidirectional controls, the byte order mark. The same in every version of Unicode.
NOT_IN_NAMES = (
    *((0x0000, 0x001F), (0x007F, 0x009F), (0x061C, 0x061C), (0x200E, 0x200F), (0x2028, 0x202E)),
    *((0x2066, 0x2069), (0xFEFF, 0xFEFF)),
)
_not_in_names = frozenset(chr(code) for first, last in NOT_IN_NAMES for code in range(first, last + 1))


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


def text(limit: int) -> Check:
    """Accept a string that is not blank and has at most `limit` characters."""

    words = f"a non-empty string of at most {limit} characters"

    def check(value: object) -> str | None:
        return None if isinstance(value, str) and value.strip() and len(value) <= limit else words

    return check


def _fits(text: str) -> bool:
    """Tell whether a program can be given this text as one argument or variable."""
    if len(text) * 4 <= LONGEST_ARGUMENT:
        return True
    return len(text.encode("utf-8", "surrogatepass")) <= LONGEST_ARGUMENT


def command(value: object) -> str | None:
    """Accept a line for the shell."""
    if isinstance(value, str) and not _fits(value):
        return f"at most {LONGEST_ARGUMENT} bytes long, which is all that a shell can be given: put it into a file"
    return None if isinstance(value, str) and value.strip() else "a non-empty string"


def label(value: object) -> str | None:
    """Accept what may be an id."""
    return None if is_id(value) else ID_GRAMMAR


def name(value: object) -> str | None:
    """Accept text of one line."""
    fine = isinstance(value, str) and value.strip(" ") and len(value) <= NAME_MAX and _not_in_names.isdisjoint(value)
    return None if fine else f"text of one line, at most {NAME_MAX} characters, without control characters"


def argv(value: object) -> str | None:
    """Accept a program and its arguments."""
    if not (isinstance(value, list) and value and all(isinstance(a, str) for a in value) and value[0]):
        return "a non-empty list of strings whose first is not empty"
    fine = all(_fits(argument) for argument in value)
    return None if fine else f"a list of strings of at most {LONGEST_ARGUMENT} bytes each: put long ones into a file"


def strings(value: object) -> str | None:
    """Accept a list of strings, none of them empty."""
    fine = isinstance(value, list) and all(isinstance(a, str) and a for a in value)
    return None if fine else "a list of non-empty strings"


def environment(value: object) -> str | None:
    """Accept variables with their values."""

    def is_name(name: object) -> bool:
        return isinstance(name, str) and name != "" and "=" not in name

    if not (isinstance(value, dict) and all(is_name(name) and isinstance(v, str) for name, v in value.items())):
        return "an object of strings whose names are not empty and hold no '='"
    fine = all(_fits(f"{name}={text}") for name, text in value.items())
    return None if fine else f"an object in which no name with its value has more than {LONGEST_ARGUMENT} bytes"


def absolute_path(value: object) -> str | None:
    """Accept a path that begins with /."""
    return None if isinstance(value, str) and value.startswith("/") else "an absolute path"


def exactly(wanted: object) -> Check:
    """Accept this value only."""

    def check(value: object) -> str | None:
        fine = value == wanted and type(value) is type(wanted)
        return None if fine else f"{wanted!r} in a new job".replace("'", '"')

    return check


def stdin(value: object) -> str | None:
    """Accept what a command may read: its file in input/, or another file."""
    return None if value == "input" or absolute_path(value) is None else '"input" or an absolute path'


def parents(value: object) -> str | None:
    """Accept the ids of other jobs, each once."""
    words = f"a list of 1 to {MOST_PARENTS:,} different job ids"
    if not isinstance(value, list) or not 0 < len(value) <= MOST_PARENTS or not all(map(is_id, value)):
        return words
    return None if len(set(value)) == len(value) else words


def lock(value: object) -> str | None:
    """Accept NAME and NAME:N."""
    name, colon, capacity = value.partition(":") if isinstance(value, str) else ("", "", "")
    is_number = (
        capacity.isascii() and capacity.isdigit() and capacity[0] != "0" and (len(capacity) <= 3 or capacity == "1000")
    )
    return None if is_id(name) and is_number == bool(colon) else 'NAME or NAME:N, for example "db" or "db:3"'


def ionice(value: object) -> str | None:
    """Accept a class of disk priority, perhaps with a level."""
    name, colon, level = value.partition(":") if isinstance(value, str) else ("", "", "")
    is_level = len(level) == 1 and level in IO_LEVELS
    fine = name == "idle" and not colon if name not in IO_CLASSES_WITH_LEVELS else is_level == bool(colon)
    return None if fine else '"idle", "best-effort" or "realtime", the last two perhaps with a level: "best-effort:7"'


MOST_UNITS_OF_A_JOB, MOST_RESOURCES = 1000, 16
_units = integer(1, MOST_UNITS_OF_A_JOB)


def needs(value: object) -> str | None:
    """Accept names of resources, each with a number of units."""
    fine = isinstance(value, dict) and value and all(is_id(name) and not _units(n) for name, n in value.items())
    if isinstance(value, dict) and fine and (len(value) > MOST_RESOURCES or sum(value.values()) > MOST_UNITS_OF_A_JOB):
        return f"at most {MOST_UNITS_OF_A_JOB} units together, of at most {MOST_RESOURCES} resources"
    return None if fine else 'an object with how many units of each resource are needed, for example {"gpu": 1}'


seconds = number(0, LONGEST_S, f"a number of seconds above 0, {AT_MOST}", above=True)
_memory = integer(LEAST_MEMORY, MOST_MEMORY)


def memory(value: object) -> str | None:
    """Accept a number of bytes."""
    return _memory(value) and f"a number of bytes from {LEAST_MEMORY} (1 MiB) to {MOST_MEMORY} (1 PiB)"
