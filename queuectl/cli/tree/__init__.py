"""tree: every command with its options, help text and examples, in the order in which help lists them."""

from __future__ import annotations

from queuectl.cli.grammar import Command
from queuectl.cli.tree.installing import INSTALLING
from queuectl.cli.tree.jobs import JOBS
from queuectl.cli.tree.upkeep import UPKEEP
from queuectl.cli.tree.watching import WATCHING
from queuectl.cli.tree.workers import WORKERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

GROUPS = {
    "worker": "start, stop and inspect the workers that run jobs",
    "dlq": "the dead letter queue: jobs that failed permanently",
    "config": "settings: show, change and check them",
    "index": "rebuild or verify the index (derived from the job files)",
    "service": "run the queue under systemd or launchd",
}

COMMANDS: dict[str, Command] = {**JOBS, **WORKERS, **WATCHING, **UPKEEP, **INSTALLING}


def handler_of(words: Sequence[str]) -> str:
    """Return the handler of a command, as "module:function"; it is imported when it is called."""
    return f"queuectl.cli.commands.{words[0]}:{'_'.join(('run', *words[1:]))}"


def subcommands(group: str = "") -> list[str]:
    """Return the words that may follow `queuectl`, or `queuectl GROUP`."""
    start = f"{group} " if group else ""
    return list(dict.fromkeys(name[len(start) :].split()[0] for name in COMMANDS if name.startswith(start)))
