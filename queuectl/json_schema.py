"""json_schema: JSON Schemas of job files and config.yaml, for editors and for programs that write them.

Guarantees: pure; what queuectl.job.fields and queuectl.config.settings accept, and nothing else, but for what `$comment` lists.
Source:     JSON Schema 2020-12; the patterns mean the same in ECMAScript and Python.
"""

from __future__ import annotations

from queuectl.config.capacities import MOST_UNITS
from queuectl.config.settings import ABOVE_ZERO, ALIASES, SETTINGS
from queuectl.job.checks import (
    IO_CLASSES_WITH_LEVELS,
    IO_LEVELS,
    LEAST_MEMORY,
    LONGEST_ARGUMENT,
    MOST_MEMORY,
    MOST_PARENTS,
    MOST_RESOURCES,
    MOST_UNITS_OF_A_JOB,
    NAME_MAX,
    NOT_IN_NAMES,
)
from queuectl.job.fields import FIELDS, HOOKS
from queuectl.scheduling.schedules import MISFIRE, MOST_CHARS, NOT_IN_JOBS, OVERLAP
from queuectl.units import LONGEST_S, SPELLINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.config.settings import Setting

    Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "[A-Za-z0-9][A-Za-z0-9._@-]{0,127}"
END = "$(?!\\n)"  # `$` alone lets a line feed follow in some languages
TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"
DECIMAL = "([0-9]+\\.?[0-9]*|\\.[0-9]+)"
SIZE = f"^{DECIMAL} *([Bb]|[KkMmGgTt]([Ii]?[Bb])?){END}"


def _part(unit: str) -> str:
    """Return the pattern of a number with one of the spellings of a unit, in either case."""
    words = sorted(SPELLINGS[unit], key=len, reverse=True)
    either_case = ("".join(f"[{letter}{letter.upper()}]" for letter in word) for word in words)
    return f"({DECIMAL} *({'|'.join(either_case)}) *)"


_W, _D, _H, _M, _S, _MS = (_part(unit) for unit in SPELLINGS)
_BARE = "0*[0-5]?[0-9]"  # 1h30, 2m30
_DAY = f"({_H}?{_M}?{_S}?{_MS}?|{_H}{_BARE}|{_H}?{_M}{_BARE})"
DURATION = f"^(?=[0-9.])({DECIMAL} *|{_W}?{_D}?{_DAY}){END}"
NOT_SAID_OF_JOBS = (
    "Refused although it matches: an integer written as 1.0; a day that its month does not have; an instant outside the years "
    f"0001 to 9999 of UTC; an argument, or a variable with its value, of more than {LONGEST_ARGUMENT} bytes; needs of more than {MOST_UNITS_OF_A_JOB} units together; NUL or an unpaired surrogate in a string; a duplicate member; a history that is not "
    "the last member or that QueueCTL has not written; more than 32 levels or 1 MiB."
)
NOT_SAID_OF_SETTINGS = (
    "Refused although it matches: an integer written as 1.0; a duration or size in words that is out of range; a duplicate "
    "setting, also under its other name. Accepted although it does not match: numbers in quotes; lists in "
    "one string; none in other spellings; - or . for _ in names; schedules that are not valid, which add no jobs."
)


def _id(description: str) -> Schema:
    return {"type": "string", "pattern": f"^{ID}{END}", "description": description}


def _instant(description: str) -> Schema:
    date = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    pattern = f"^{date}[Tt ]{TIME}:[0-5][0-9](\\.[0-9]+)?([Zz]|[+-]{TIME}){END}"
    return {"type": "string", "format": "date-time", "pattern": pattern, "description": description}


def _seconds(description: str, *, zero: bool = False) -> Schema:
    return {"type": "number", _low(zero): 0, "maximum": LONGEST_S, "description": description}


def _low(zero: bool) -> str:
    return "minimum" if zero else "exclusiveMinimum"


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "pattern": "\\S", **more, "description": description}


def _class_of(ranges: tuple[tuple[int, int], ...]) -> str:
    return "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in ranges)


JOB: dict[str, Schema] = {
    "id": _id("unique id; if another job has it, the file is rejected; default: the file name, or a generated id"),
    "command": _text("run by /bin/sh -c; a job has exactly one of command and argv", maxLength=LONGEST_ARGUMENT),
    "argv": {
        "type": "array",
        "items": {"type": "string", "maxLength": LONGEST_ARGUMENT},
        "prefixItems": [{"type": "string", "minLength": 1, "maxLength": LONGEST_ARGUMENT}],
        "minItems": 1,
        "description": "a program and its arguments, run without a shell",
    },
    "shell": _text("the shell that runs command, as SHELL -c COMMAND; default /bin/sh", maxLength=256),
    "queue": _id('the queue of the job; the default is "default"'),
    "name": {
        "type": "string",
        "pattern": f"^(?! *{END})[^{_class_of(NOT_IN_NAMES)}]*{END}",
        "maxLength": NAME_MAX,
        "description": "a display name: any text of one line",
    },
    "batch": _id("the batch of the job"),
    "priority": {"type": "integer", "minimum": -1000, "maximum": 1000, "description": "higher runs first; default 0"},
    "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "description": "labels for filters"},
    "max_retries": {
        "type": "integer",
        "minimum": 0,
        "maximum": 1000,
        "description": "how many times a failed job is retried",
    },
    "timeout": _seconds("time limit of one attempt in seconds; 0 means no limit", zero=True),
    "kill_after": _seconds("seconds between SIGTERM and SIGKILL"),
    "backoff_base": _seconds("after failed attempt n the job waits backoff_base ** n seconds"),
    "backoff_max": _seconds("longest wait before a retry, in seconds"),
    "backoff_jitter": {"type": "number", "minimum": 0, "maximum": 1, "description": "share of the wait that is random"},
    "run_at": _instant("the job does not start before this time"),
    "expires_at": _instant("a job that has not started by this time is moved to dead"),
    "cwd": {"type": "string", "pattern": "^/", "description": "working directory of the command, an absolute path"},
    "env": {
        "type": "object",
        "propertyNames": {"pattern": "^[^=]+$", "maxLength": LONGEST_ARGUMENT - len("=")},
        "additionalProperties": {"type": "string", "maxLength": LONGEST_ARGUMENT - len("A=")},
        "description": "environment variables of the command",
    },
    "stdin": {
        "type": "string",
        "pattern": f"^(/|input{END})",
        "description": "what the command reads: the absolute path of a file, or input for the file input/ID of the home",
    },
    "unique_key": _text("the job is refused while another job with this key waits or runs", maxLength=256),
    "leftovers": {"enum": ["end", "leave"], "description": "whether processes that the command left running are ended"},
    "on_interrupt": {
        "enum": ["requeue", "bury"],
        "description": "what happens after an attempt whose end was not recorded",
    },
    "after": {
        "type": "array",
        "items": _id("a job"),
        "minItems": 1,
        "maxItems": MOST_PARENTS,
        "uniqueItems": True,
        "description": "the job does not start before these jobs have ended",
    },
    "after_policy": {
        "enum": ["success", "any", "failure"],
        "description": "how the jobs in after must end; default success",
    },
    "lock": {
        "type": "string",
        "pattern": f"^{ID}(:([1-9][0-9]{{0,2}}|1000))?{END}",
        "description": "NAME or NAME:N; the job does not start while N running jobs (1) have a lock of this name",
    },
    "needs": {
        "type": "object",
        "minProperties": 1,
        "maxProperties": MOST_RESOURCES,
        "propertyNames": {"pattern": f"^{ID}{END}"},
        "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 1000},
        "description": "how many units of each resource the job takes while it runs",
    },
    "weight": {
        "type": "integer",
        "minimum": 1,
        "maximum": 1000,
        "description": "how much of max_running and of its queue's concurrency the job takes; default 1",
    },
    "nice": {
        "type": "integer",
        "minimum": -20,
        "maximum": 19,
        "description": "processor priority of the command; a negative one needs the right to raise it",
    },
    "ionice": {
        "type": "string",
        "pattern": f"^(idle|({'|'.join(IO_CLASSES_WITH_LEVELS)})(:[{IO_LEVELS[0]}-{IO_LEVELS[-1]}])?){END}",
        "description": "disk priority: idle, best-effort or realtime, the last two perhaps with a level",
    },
    "memory": {
        "type": "integer",
        "minimum": LEAST_MEMORY,
        "maximum": MOST_MEMORY,
        "description": "an attempt whose processes together use more bytes of memory is ended and fails",
    },
    "cpu_time": _seconds("an attempt whose processes together use more seconds of a processor is ended and fails"),
    "on_batch_done": _text(
        "run by /bin/sh, as a job, when all jobs of its batch have ended", maxLength=LONGEST_ARGUMENT
    ),
    **{
        hook: _text(f"run by /bin/sh when {when}", maxLength=LONGEST_ARGUMENT)
        for hook, when in (
            ("on_success", "the job has completed"),
            ("on_failure", "an attempt has failed"),
            ("on_dead", "the job has moved to the dead letter queue"),
            ("on_cancel", "the job was cancelled"),
        )
    },
    "state": {"const": "pending", "description": "accepted because other queues write it"},
    "attempts": {"type": "integer", "const": 0, "description": "accepted because other queues write it"},
    "created_at": _instant("time of creation"),
    "updated_at": _instant("accepted because other queues write it"),
}


def job_schema() -> Schema:
    """Return the schema of a job file, without its history."""
    return {
        "$schema": DIALECT,
        "$id": "urn:queuectl:schema:job:1",
        "title": "QueueCTL job",
        "description": "A job file in pending/, or the argument of `queuectl enqueue`. Other members are kept.",
        "$comment": NOT_SAID_OF_JOBS,
        "type": "object",
        "properties": {
            **{field: JOB[field] for field in FIELDS},
            "history": {
                "type": "array",
                "description": "what happened to the job; written by QueueCTL, not by authors",
            },
        },
        "oneOf": [{"required": ["command"]}, {"required": ["argv"]}],
        "not": {"required": ["argv", "shell"]},
        "dependentRequired": {"on_batch_done": ["batch"]},
    }


def config_schema() -> Schema:
    """Return the schema of config.yaml."""
    properties = {setting.name: _setting(setting) for setting in SETTINGS}
    properties.update((alias, properties[name]) for alias, name in ALIASES.items())
    return {
        "$schema": DIALECT,
        "$id": "urn:queuectl:schema:config:1",
        "title": "QueueCTL configuration",
        "description": "config.yaml in the queue's home directory.",
        "$comment": NOT_SAID_OF_SETTINGS,
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": False,
    }


def _setting(setting: Setting) -> Schema:
    default = [*setting.default] if isinstance(setting.default, tuple) else setting.default
    return {**_KINDS[setting.kind](setting), "description": setting.help, "default": default}


def _integer(setting: Setting) -> Schema:
    return {"type": "integer", "minimum": int(setting.low), "maximum": int(setting.high)}


def _number(setting: Setting) -> Schema:
    low = {"exclusiveMinimum": 0} if setting.low == ABOVE_ZERO else {"minimum": setting.low}
    return {"type": "number", **low, "maximum": setting.high}


def _names(value: Schema) -> Schema:
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^{ID}{END}"},
        "additionalProperties": value,
    }


def _in_words(number: Schema, pattern: str) -> Schema:
    return {"anyOf": [number, {"type": "string", "pattern": pattern}]}


_KINDS: dict[str, Callable[[Setting], Schema]] = {
    "integer": _integer,
    "number": _number,
    "choice": lambda setting: {"enum": [*setting.choices]},
    "integers": lambda setting: {"anyOf": [_integer(setting), {"type": "array", "items": _integer(setting)}]},
    "optional_integer": lambda setting: {"anyOf": [_integer(setting), {"enum": ["none", None]}]},
    "resources": lambda _: _names({"type": "integer", "minimum": 0, "maximum": MOST_UNITS}),
    "queues": lambda _: _names(
        {
            "type": ["object", "null"],
            "properties": {
                "concurrency": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_UNITS},
                "rate": {"type": ["string", "null"], "pattern": "/"},
                **{hook: {"type": ["string", "null"], "pattern": "\\S"} for hook in HOOKS},
            },
            "additionalProperties": False,
        }
    ),
    "command": lambda _: {"type": ["string", "number", "boolean", "null"]},
    "rate": lambda _: {"anyOf": [{"type": "string", "pattern": "/"}, {"enum": ["none", None]}]},
    "schedules": lambda _: {
        "type": ["object", "null"],
        "propertyNames": {"pattern": f"^[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_CHARS - 1}}}{END}"},
        "additionalProperties": {
            "type": "object",
            "properties": {
                "cron": {"type": ["string", "null"], "description": "minute hour day month weekday, or @daily ..."},
                "every": _in_words({"type": ["integer", "null"], "minimum": 1, "maximum": int(LONGEST_S)}, DURATION),
                "timezone": {"type": ["string", "null"], "description": "of the cron expression: Europe/Berlin"},
                "misfire": {"enum": [*MISFIRE, None]},
                "overlap": {"enum": [*OVERLAP, None]},
                "job": {
                    "type": "object",
                    "properties": {field: JOB[field] for field in FIELDS if field not in NOT_IN_JOBS},
                    "not": {"anyOf": [{"required": [field]} for field in NOT_IN_JOBS]},
                    "oneOf": [{"required": ["command"]}, {"required": ["argv"]}],
                },
            },
            "required": ["job"],
            "additionalProperties": False,
        },
    },
    "size_bytes": lambda setting: _in_words(_integer(setting), SIZE),
    "duration_s": lambda setting: _in_words(_number(setting), DURATION),
}
