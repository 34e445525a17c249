"""topics: what `queuectl help` tells about beside the commands; the texts are in queuectl.cli.topics."""

from __future__ import annotations

TOPICS = {
    "cron": "jobs from cron, and workers after a reboot",
    "environment": "variables that queuectl reads, and those that a command gets",
    "examples": "an example of everything",
    "exit-codes": "what the exit codes mean",
    "spool-format": "the files that are the queue, for programs that take part",
    "states": "the states of a job, and what leads from one to another",
    "time-formats": "how times and durations are written",
}
