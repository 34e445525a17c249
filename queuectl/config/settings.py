"""settings: the one table of what can be configured, and the object that holds a value for each.

Owns:       SETTINGS; configuration file, environment, flags, help and config.example.yaml are all read from it.
Guarantees: pure; whatever `Setting.spell` writes, `Setting.parse` reads back as the same value.
Fails with: ValueError, whose text goes on after a name: 'must be an integer from 0 to 1000, not "four"';
            InvalidData, that text after the setting's name; NotFound for an unknown name.
"""

from __future__ import annotations

from queuectl.config import capacities
from queuectl.errors import InvalidData, NotFound
from queuectl.units import LONGEST_S, NO_MONTHS, AmbiguousUnit, quote, spell_exact_size
from queuectl.units import parse_duration as parse_duration
from queuectl.units import parse_size as parse_size
from queuectl.units import spell_duration as spell_duration
from queuectl.units import spell_size as spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

Value = int | float | str | tuple[int, ...] | dict[str, "Any"] | None

ABOVE_ZERO = 5e-324  # the smallest number there is: "at least this" means "above 0"
MAX_SIZE_BYTES = 1 << 50
TEXTS = ("command", "rate")
NONE = ("none", "null", "~", "")
LONGEST_COMMAND = 65536  # bytes


class Setting:
    """One row of SETTINGS.

    Attributes:
        kind: integer, number, size_bytes, duration_s, choice, integers (a list), optional_integer (or none),
            command or rate (texts, or none), resources, queues or schedules (mappings; see config.capacities).
        low, high: the range, inclusive; of each item in a list; without meaning for a choice.
        unit: what the value counts; empty for pure numbers and words.
        choices: the words of a `choice`, the default first.
    """

    __slots__ = ("choices", "default", "help", "high", "kind", "low", "name", "unit")

    def __init__(
        self,
        name: str,
        kind: str,
        default: Value,
        low: float,
        high: float,
        unit: str,
        help: str,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.low = low
        self.high = high
        self.unit = unit
        self.help = help
        self.choices = choices

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "QUEUECTL_" + self.name.upper()

    def expected(self) -> str:
        """Say which values are accepted, in words that go on after "must be"."""
        if self.kind in capacities.EXPECTED:
            return capacities.EXPECTED[self.kind]
        if self.kind == "command":
            return "a shell command, or none"
        if self.kind == "rate":
            return f"{capacities.RATE}, or none"
        if self.kind == "choice":
            return " or ".join(f'"{choice}"' for choice in self.choices)
        if self.kind == "size_bytes":
            low, high = spell_exact_size(int(self.low)), spell_exact_size(int(self.high))
            return f'a size from {low} to {high}: bytes, or as "64MiB", "1GiB"'
        if self.high == LONGEST_S:
            limits = "above 0" if self.low else "from 0"
            if self.kind == "duration_s":
                limits += ", at most 10 years" if self.low else " to 10 years"
        else:
            limits = f"from {self.low:.12g} to {self.high:.12g}"
        if self.kind == "duration_s":
            return f'a duration {limits}: seconds, or as "90s", "10m", "2h30m", "3d"'
        noun = {"number": "a number", "integers": "a list of integers"}.get(self.kind, "an integer")
        return f"{noun} {limits}" + (", or none" if self.kind == "optional_integer" else "")

    def parse(self, text: str) -> Value:
        """Read a value as the environment, the command line and config.yaml spell it.

        Raises:
            ValueError: the text goes on after the setting's name.
        """
        text = text.strip()
        if self.kind in capacities.EXPECTED:
            return capacities.parse(self.kind, text)
        if self.kind in TEXTS:
            return self._text(text)
        try:
            return self._in_range(_PARSERS[self.kind](text))
        except AmbiguousUnit:
            raise ValueError(f"must be {self.expected()} ({NO_MONTHS}), not {quote(text)}") from None
        except ValueError:
            raise self.refusal(quote(text) if text else "nothing") from None

    def check(self, value: object) -> Value:
        """Accept a value that already has a type, as JSON gives it; text is parsed.

        Raises:
            ValueError: the text goes on after the setting's name.
        """
        if isinstance(value, str):
            return self.parse(value)
        if self.kind in capacities.EXPECTED:
            return capacities.check(self.kind, value)
        if self.kind in TEXTS and value is None:
            return None
        try:
            if self.kind == "integers" and isinstance(value, (list, tuple)):
                return self._in_range(tuple(_strict_integer(item) for item in value))
            if self.kind == "optional_integer" and value is None:
                return None
            if self.kind in ("number", "duration_s") and isinstance(value, float):
                return self._in_range(value)
            if self.kind not in ("integers", "choice", *TEXTS):
                return self._in_range(_strict_integer(value))
        except ValueError:
            pass
        raise self.refusal("nothing" if value is None else quote(value))

    def spell(self, value: Value) -> str:
        """Write a value exactly, as `parse` and YAML read it back."""
        if value is None:
            return "none"
        if isinstance(value, dict):
            return capacities.spell(value)
        if isinstance(value, tuple):
            return "[" + ", ".join(str(item) for item in value) + "]"
        return spell_exact_size(int(value)) if self.kind == "size_bytes" else str(value)

    def in_yaml(self, value: Value) -> str:
        """Write a value as YAML reads it back: a command in quotes."""
        return capacities.quoted(value) if self.kind == "command" and isinstance(value, str) else self.spell(value)

    def _text(self, text: str) -> str | None:
        if text.lower() in NONE:
            return None
        if self.kind == "command" and ("\0" in text or len(text.encode("utf-8", "replace")) > LONGEST_COMMAND):
            raise ValueError(f"must be at most {LONGEST_COMMAND} bytes without NUL: put a longer one into a script")
        if self.kind == "rate":
            capacities.rate_of(text, None)
        return text

    def refusal(self, found: str) -> ValueError:
        """Return the error that says what was expected and what was found."""
        return ValueError(f"must be {self.expected()}, not {found}")

    def _in_range(self, value: Value) -> Value:
        if isinstance(value, dict):
            raise TypeError(self.name)  # see capacities.check
        if isinstance(value, str):
            fine = value in self.choices
        else:
            items = value if isinstance(value, tuple) else () if value is None else (value,)
            fine = all(self.low <= item <= self.high for item in items)  # also false for NaN
        if not fine:
            raise ValueError(value)
        return value


def _parse_integer(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 60):
        raise ValueError(text)
    return int(text)


def _parse_number(text: str) -> int | float:
    if not set(text) <= set("0123456789.+-eE"):
        raise ValueError(text)
    return _parse_integer(text) if set(text) <= set("0123456789+-") else float(text)


def _parse_duration(text: str) -> int | float:
    try:
        return _parse_number(text)  # keeps 60 and 2.0 as they were written, and reads 1e-05 as `spell` may write it
    except ValueError:
        seconds = parse_duration(text)
        return int(seconds) if seconds.is_integer() else seconds


def _parse_integers(text: str) -> tuple[int, ...]:
    inner = text[1:-1] if text[:1] == "[" and text[-1:] == "]" else text
    return tuple(_parse_integer(item.strip()) for item in inner.split(",")) if inner.strip() else ()


def _strict_integer(value: object) -> int:
    if type(value) is not int:  # a bool is an int to isinstance, and not to us
        raise ValueError(value)
    return value


_PARSERS: Mapping[str, Callable[[str], Value]] = {
    "integer": _parse_integer,
    "number": _parse_number,
    "size_bytes": parse_size,
    "duration_s": _parse_duration,
    "choice": str,
    "integers": _parse_integers,
    "optional_integer": lambda text: None if text.lower() in NONE else _parse_integer(text),
}


def _duration(name: str, default: Value, low: float, help: str, high: float = LONGEST_S) -> Setting:
    return Setting(name, "duration_s", default, low, high, "seconds", help)


def _choice(name: str, choices: tuple[str, ...], help: str) -> Setting:
    return Setting(name, "choice", choices[0], 0, 0, "", help, choices)


def _size(name: str, default: int, low: int, help: str) -> Setting:
    return Setting(name, "size_bytes", default, low, MAX_SIZE_BYTES, "bytes", help)


def _plain(name: str, kind: str, default: Value, low: float, high: float, help: str) -> Setting:
    return Setting(name, kind, default, low, high, "", help)


def _command(name: str, help: str) -> Setting:
    return Setting(name, "command", None, 0, 0, "", help)


def _count(name: str, default: int, help: str) -> Setting:
    return Setting(name, "integer", default, 0, 10**9, "jobs", help)


SETTINGS: tuple[Setting, ...] = (
    Setting("max_retries_default", "integer", 3, 0, 1000, "", "how many times a failed job is retried"),
    _plain(
        "backoff_base",
        "number",
        2,
        ABOVE_ZERO,
        LONGEST_S,
        "after failed attempt n a job waits backoff_base ** n seconds: 2, 4, 8 ...",
    ),
    _duration("backoff_max", 3600, ABOVE_ZERO, "longest wait before a retry"),
    Setting("backoff_jitter", "number", 0, 0, 1, "", "share of the wait that is random, so that retries spread out"),
    _duration("timeout", 3600, 0, "time limit of one attempt; 0 means no limit"),
    _duration("kill_after", 10, ABOVE_ZERO, "time between SIGTERM and SIGKILL when a command has to end"),
    _plain(
        "permanent_exit_codes",
        "integers",
        (),
        1,
        255,
        "exit codes that are not retried: the job moves to the dead letter queue at once",
    ),
    _plain(
        "snooze_exit_code",
        "optional_integer",
        None,
        1,
        255,
        "exit code with which a command asks to run again later without using a retry; usually 75",
    ),
    _duration("snooze_delay", 60, ABOVE_ZERO, "delay of a job that asked to run again later"),
    _duration(
        "poll_interval",
        2.0,
        0.05,
        "interval between scans of the spool without file-system events; with events, jobs start at once",
        3600,
    ),
    _choice(
        "durability",
        ("full", "relaxed"),
        "full: acknowledged changes survive a power cut; relaxed: a power cut can lose the last seconds",
    ),
    _duration("drop_grace", 5, 0, "how long an invalid file in pending/ must be unchanged before it is rejected"),
    _plain(
        *("max_interruptions", "integer", 3, 1, 1000),
        "crashes in a row (of worker or machine) after which a job goes to the dead letter queue",
    ),
    _choice("on_interrupt", ("requeue", "bury"), "what happens to a job that a crash interrupted"),
    _choice(
        "orphans", ("kill", "wait"), "commands that outlived both worker and supervisor: end them or wait for them"
    ),
    _choice("leftovers", ("end", "leave"), "processes that a finished command left running: end them or leave them"),
    _size(
        "max_output", 1 << 30, 1, "a command that writes more is ended and fails; checked every second and at its end"
    ),
    _size("max_input", 1 << 30, 0, "enqueue --stdin refuses more"),
    _size("min_free", 64 << 20, 0, "enqueue is refused below this much free disk, or 1 %, whichever is smaller"),
    _duration("retention_done", 604800, 0, "how long completed and cancelled jobs are kept (7 days); 0 means for ever"),
    _duration("retention_dead", 0, 0, "how long dead jobs are kept; 0 means for ever"),
    _count(
        "retention_jobs", 1_000_000, "how many completed and cancelled jobs are kept, the newest first; 0 means all"
    ),
    _size(
        "retention_output",
        10 << 30,
        0,
        "size limit of all output; the oldest of completed jobs is deleted first; 0 means no limit",
    ),
    _duration(
        "maintenance_interval",
        3600,
        0,
        "how often the supervisor runs maintenance, at most once a minute; 0 turns it off",
    ),
    Setting(
        "max_running",
        "optional_integer",
        None,
        1,
        10**6,
        "jobs",
        "how many jobs may run at once; none means as many as there are workers",
    ),
    Setting(
        "max_load", "number", 0, 0, 10**6, "", "no job starts while the load average is this high; 0 means no limit"
    ),
    _size("min_free_memory", 0, 0, "no job starts while less memory is available; 0 means no limit"),
    _plain(
        "queues", "queues", {}, 0, 0, "of queues: how many jobs run at once, how many start in a period; their hooks"
    ),
    Setting("resources", "resources", {}, 0, 0, "", "how many units there are of what jobs name in their needs"),
    _command("on_success", "command that is run when a job has completed"),
    _command("on_failure", "command that is run after each failed attempt of a job"),
    _command("on_dead", "command that is run when a job has moved to the dead letter queue"),
    _command("on_cancel", "command that is run when a job was cancelled"),
    _command("on_idle", "command that is run when no job runs any more and none may start"),
    _duration("hook_timeout", 60, ABOVE_ZERO, "time limit of each of these commands"),
    Setting(
        "hook_rate", "rate", "100/1m", 0, 0, "", "how many of these commands are started in which time; later ones wait"
    ),
    Setting("schedules", "schedules", {}, 0, 0, "", "jobs that are added again and again; see queuectl help schedules"),
    Setting("web_port", "integer", 5000, 0, 65535, "", "port of `queuectl web`; 0 takes a free port"),
    _choice("web_auth", ("token", "none"), "none: no token is required; allowed only for a read-only page"),
    _choice("web_access", ("full", "read-only"), "read-only: the page and its API change nothing"),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
ALIASES = {"max_retries": "max_retries_default"}
UNKNOWN_HINT = "queuectl config list shows all settings"


def find(name: str) -> Setting:
    """Return the setting of this name, spelled with `_`, `-` or `.` (web.port).

    Raises:
        NotFound: there is none; the message says which one may have been meant.
    """
    plain = name.replace("-", "_").replace(".", "_")
    setting = _BY_NAME.get(ALIASES.get(plain, plain))
    if setting is not None:
        return setting
    from difflib import get_close_matches

    near = get_close_matches(plain.lower()[:64], [*_BY_NAME, *ALIASES], 1)
    raise NotFound(f"unknown setting {quote(name)}" + (f'; did you mean "{near[0]}"?' if near else ""), UNKNOWN_HINT)


def find_member(name: str) -> tuple[Setting, tuple[str, ...]]:
    """Return the setting of this name, and which member of it is meant: none, or ("gpu",) for "resources.gpu".

    Raises:
        NotFound.
    """
    try:
        path = capacities.path_of(name)
    except ValueError as error:
        raise NotFound(f"unknown setting {quote(name)}{error}", UNKNOWN_HINT) from None
    return (find(name), ()) if path is None else (find(name.partition(".")[0]), path)


class Settings:
    """A value for every setting, with where each came from. Immutable; equal when the values are."""

    __slots__ = (*_BY_NAME, "_origins")

    max_retries_default: int
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    timeout: float
    kill_after: float
    permanent_exit_codes: tuple[int, ...]
    snooze_exit_code: int | None
    snooze_delay: float
    poll_interval: float
    durability: str
    drop_grace: float
    max_interruptions: int
    on_interrupt: str
    orphans: str
    leftovers: str
    max_output: int
    max_input: int
    min_free: int
    retention_done: float
    retention_dead: float
    retention_jobs: int
    retention_output: int
    maintenance_interval: float
    max_running: int | None
    max_load: float
    min_free_memory: int
    queues: dict[str, dict[str, Any]]
    resources: dict[str, int]
    on_success: str | None
    on_failure: str | None
    on_dead: str | None
    on_cancel: str | None
    on_idle: str | None
    hook_timeout: float
    hook_rate: str | None
    schedules: dict[str, Any]
    web_port: int
    web_auth: str
    web_access: str
    _origins: dict[str, str]

    def __init__(self, values: Mapping[str, Value] | None = None, origins: Mapping[str, str] | None = None) -> None:
        """Take values that are known to be good, by canonical name; the rest are defaults."""
        given = values or {}
        for name, setting in _BY_NAME.items():
            object.__setattr__(self, name, given.get(name, setting.default))
        object.__setattr__(self, "_origins", dict(origins or {}))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"settings are immutable; use replace({name!r}, ...)")

    def __reduce__(self) -> tuple[object, ...]:
        return Settings, (self._values(), self._origins)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(repr(self._values()))

    def __repr__(self) -> str:
        changed = {name: value for name, value in self._values().items() if value != _BY_NAME[name].default}
        return f"Settings({changed!r})"

    @classmethod
    def from_dict(cls, values: Mapping[str, object], origin: str | None = None) -> Settings:
        """Build from what `as_dict` gave; what is missing is default.

        Raises:
            NotFound: an unknown setting.
            InvalidData: a value that is not accepted.
        """
        settings = cls()
        for name, value in values.items():
            settings = settings.replace(name, value, origin)
        return settings

    def as_dict(self) -> dict[str, int | float | str | list[int] | dict[str, Any] | None]:
        """Return the values by name, as JSON can hold them."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._values().items()}

    def get(self, name: str) -> Value:
        """Return a value by its setting's name, spelled with `_` or `-`."""
        return self._values()[find(name).name]

    def origin(self, name: str) -> str:
        """Tell where a value came from: default, config.yaml:7, environment QUEUECTL_TIMEOUT."""
        return self._origins.get(find(name).name, "default")

    def replace(self, name: str, text_or_value: object, origin: str | None = "flag") -> Settings:
        """Return a copy with one other value.

        Raises:
            NotFound: an unknown setting.
            InvalidData: a value that is not accepted.
        """
        setting = find(name)
        try:
            value = setting.check(text_or_value)
        except ValueError as error:
            raise InvalidData(f"{setting.name} {error}") from None
        origins = {other: text for other, text in self._origins.items() if other != setting.name}
        if origin is not None:
            origins[setting.name] = origin
        return Settings({**self._values(), setting.name: value}, origins)

    def _values(self) -> dict[str, Value]:
        return {name: getattr(self, name) for name in _BY_NAME}
