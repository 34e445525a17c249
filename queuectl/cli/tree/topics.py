"""topics: what `queuectl help` tells about beside the commands; the texts are in queuectl.cli.topics."""

from __future__ import annotations

TOPICS = {
    "cron": "upkeep and jobs from cron",
    "environment": "variables that queuectl reads, and those that a command gets",
    "examples": "an example of everything",
    "exit-codes": "what the exit codes mean",
    "selectors": "how to choose many jobs at once, and what is asked first",
    "spool-format": "the files that are the queue, for programs that take part",
    "states": "the states of a job, and what leads from one to another",
    "time-formats": "how times and durations are written",
}
