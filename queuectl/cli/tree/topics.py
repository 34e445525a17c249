"""topics: the topics of `queuectl help`; their texts are in queuectl.cli.topics."""

from __future__ import annotations

TOPICS = {
    "cron": "maintenance and jobs from cron",
    "environment": "variables that queuectl reads and that a command gets",
    "examples": "examples of every command",
    "exit-codes": "meaning of the exit codes",
    "selectors": "how to select many jobs, and when a command asks",
    "spool-format": "format of the job files, for programs that write them",
    "states": "states of a job and their transitions",
    "time-formats": "formats of times and durations",
}
