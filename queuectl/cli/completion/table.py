"""table: what may be typed where, read off what the commands declare, for all shells.

Guarantees: pure; a new command or option is completed without a line of code. What only the queue knows (ids, workers) is
            asked of the program, and only where such a word is typed.
"""

from __future__ import annotations

from queuectl.cli.options import COMMON, HIDDEN, STATES
from queuectl.cli.topics import TOPICS
from queuectl.cli.verbs import GROUPS, help_of, load, subcommands
from queuectl.config.settings import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from queuectl.cli.options import Option

FILE, FOLDER, ANYTHING, NOTHING = "file", "folder", "anything", "nothing"
JOB, DEAD, WORKER, QUEUE, SCHEDULE = "job", "dead", "worker", "queue", "schedule"
MOST_IDS = 200
QUESTIONS = {  # what the program is asked for them; {} is where the shell puts --search and what was typed of the word
    JOB: f"list -q -o name -n {MOST_IDS} {{}}",
    DEAD: f"dlq list -q -o name -n {MOST_IDS} {{}}",
    WORKER: "worker list -q -o name",
    QUEUE: "queue list -q -o name",
    SCHEDULE: "schedule list -q -o name",
}
BY_METAVAR = {"FILE": FILE, "PATH": FILE, "DIR": FOLDER}
BY_QUESTION = {"JOB": JOB, "QUEUE": QUEUE, "SCHEDULE": SCHEDULE}


class Entry:
    """An option, or with empty `names` the places of a command.

    Attributes:
        value: NOTHING for a flag; FILE, FOLDER, ANYTHING; a key of QUESTIONS; else the words to choose from.
    """

    __slots__ = ("help", "names", "value")

    def __init__(self, names: tuple[str, ...], help: str, value: str | tuple[str, ...]) -> None:
        self.names = names
        self.help = help
        self.value = value


def options(command: str) -> list[Entry]:
    """Return the options of a command beside the common ones, which "" has."""
    rows = load(command).options if command else COMMON
    return [entry for entry in _entries(command, rows) if entry.names]


def place(command: str) -> str | tuple[str, ...]:
    """Return what the words behind a command are; NOTHING where none belong."""
    return next((entry.value for entry in _entries(command, load(command).options) if not entry.names), NOTHING)


def following(command: str) -> list[tuple[str, str]]:
    """Return the words that may follow "" or the name of a group, each with its help."""
    start = f"{command} " if command else ""
    return [(word, GROUPS.get(start + word) or help_of(start + word)) for word in subcommands(command)]


def taking_values(command: str) -> list[str]:
    """Return the options of a command, or the common ones, that the next word belongs to."""
    return [name for entry in options(command) if entry.value != NOTHING for name in entry.names]


def _entries(command: str, rows: Sequence[Option]) -> Iterator[Entry]:
    for names, more in rows:
        if more.get("help") != HIDDEN:
            yield Entry(names if names[0][0] == "-" else (), more["help"], _value(command, more))


def _value(command: str, more: Mapping[str, Any]) -> str | tuple[str, ...]:
    metavar = more.get("metavar", "")
    if "action" in more and more["action"] not in ("append", "extend"):
        return NOTHING
    if "choices" in more:
        return tuple(more["choices"])
    if metavar in BY_METAVAR:
        return BY_METAVAR[metavar]
    if metavar == "STATE":
        return tuple(STATES.replace(" or ", ", ").split(", "))
    if metavar in BY_QUESTION:
        return BY_QUESTION[metavar]
    if command in ("enqueue", "run", "map"):  # its ids and keys are new
        return ANYTHING
    if metavar == "ID":
        return {"worker": WORKER, "dlq": DEAD}.get(command.split(maxsplit=1)[0], JOB)
    if metavar == "KEY":
        return tuple(setting.name for setting in SETTINGS)
    if command == "help":
        return (*subcommands(), *TOPICS)
    return ANYTHING
