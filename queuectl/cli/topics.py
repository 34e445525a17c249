"""topics: the topics of `queuectl help`; their texts are in help/, and some of them are part of the man page.

Guarantees: only the standard library is imported. Settings, examples and the file format are read from where they are
            declared; they are not repeated in the texts.
"""

from __future__ import annotations

import os

HERE = os.path.dirname(os.path.abspath(__file__))
FORMAT = os.path.join(os.path.dirname(HERE), "spool", "FORMAT.md")
TOPICS = {
    "cron": "maintenance and jobs from cron",
    "environment": "variables that queuectl reads and that a command gets",
    "examples": "examples of every command",
    "exit-codes": "meaning of the exit codes",
    "schedules": "jobs that are added again and again",
    "selectors": "how to select many jobs, and when a command asks",
    "spool-format": "format of the job files, for programs that write them",
    "states": "states of a job and their transitions",
    "time-formats": "formats of times and durations",
}


def text_of(topic: str) -> str:
    """Return the text of one of TOPICS."""
    if topic == "examples":
        return _examples()
    path = FORMAT if topic == "spool-format" else f"{HERE}/help/{topic}.txt"
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return text.replace("{settings}\n", _settings()) if topic == "environment" else text


def _settings() -> str:
    from queuectl.config.settings import SETTINGS

    width = max(len(setting.variable) for setting in SETTINGS)
    return "".join(f"  {setting.variable:<{width}}  default {setting.spell(setting.default)}\n" for setting in SETTINGS)


def _examples() -> str:
    from textwrap import fill

    from queuectl.cli.verbs import help_of, load_all

    parts = []
    for name, command in load_all().items():
        parts.append(
            "\n".join([fill(f"{name}: {help_of(name)}", 80), *(f"  {example}" for example in command.examples), ""])
        )
    return "\n".join(parts)
