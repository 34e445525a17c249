"""verbs: every command, the module in commands/ that declares its options and carries it out, and one line of help.

The order is that of the help. Only the module of the command that was typed is imported; the complete help, the man page
and the completions import all.
"""

from __future__ import annotations

from queuectl.cli.options import DECLARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.options import Command

VERBS = {
    "enqueue": ("enqueue", "add jobs to the queue"),
    "run": ("enqueue", "run a command once as a job, without input: show output, exit as it does"),
    "map": ("map", "add one job per line of input, as xargs and GNU parallel run commands"),
    "list": ("list", "list jobs, most recently changed first"),
    "show": ("show", "show everything about jobs"),
    "logs": ("logs", "show the output of jobs"),
    "results": ("results", "print one JSON line per job: id, state, exit code and its result"),
    "wait": ("wait", "wait until jobs have ended; exit with 10 if one did not succeed"),
    "cancel": ("change", "cancel jobs: kill running ones, drop waiting ones, keep finished ones as is"),
    "retry": ("change", "run jobs again now, also finished and dead ones; removes a passed expiry"),
    "hold": ("change", "keep waiting jobs from starting until they are released"),
    "release": ("change", "let held jobs start"),
    "edit": ("edit", "change fields of waiting jobs, by options or in $EDITOR"),
    "priority": ("edit", "let waiting jobs start earlier or later"),
    "signal": ("change", "send a signal to the commands of running jobs"),
    "delete": ("change", "delete jobs and their output; running ones are cancelled first"),
    "purge": ("purge", "permanently delete many jobs and their output"),
    "dlq list": ("dlq", "list dead jobs with their errors, most recent first"),
    "dlq show": ("dlq", "show everything about dead jobs"),
    "dlq retry": ("dlq", "run dead jobs again with all their retries"),
    "dlq delete": ("dlq", "delete dead jobs and their output"),
    "pause": ("queue", "start no more jobs of a queue, or of all, until resume; running jobs go on"),
    "resume": ("queue", "let the jobs of paused queues start again"),
    "queue list": ("queue", "list queues: waiting and running jobs, limits, pauses"),
    "queue set": ("queue", "limit how many jobs of a queue run or start; applies at once"),
    "schedule add": ("schedule", "add jobs again and again, by a cron expression or an interval"),
    "schedule list": ("schedule", "list schedules: when their next job is added, how the last one ended"),
    "schedule show": ("schedule", "show everything about schedules"),
    "schedule run": ("schedule", "add the job of a schedule now"),
    "schedule pause": ("schedule", "stop schedules from adding jobs until they are resumed"),
    "schedule resume": ("schedule", "let paused schedules add jobs again, from their next slot on"),
    "schedule remove": ("schedule", "remove schedules; jobs that were added stay"),
    "batch list": ("batch", "list batches of jobs and how far they are"),
    "batch show": ("batch", "show how far a batch is, when it will end, and its completion job"),
    "batch wait": ("batch", "wait until the jobs of a batch have ended"),
    "batch cancel": ("batch", "cancel the jobs of a batch"),
    "worker start": ("worker", "add workers; starts the supervisor if none is running"),
    "worker stop": ("worker", "stop workers once their jobs have ended"),
    "worker list": ("worker", "list the workers and what they are doing"),
    "worker scale": ("worker", "set the number of workers to N"),
    "worker restart": ("worker", "restart the supervisor once jobs have ended, to load new code"),
    "worker logs": ("worker", "show the log of a worker"),
    "status": ("status", "show the queue, its workers and what needs attention"),
    "top": ("top", "show workers and jobs on a full screen, live; cancel, retry, read logs"),
    "stats": ("stats", "show throughput, failures, wait and run times, including deleted jobs"),
    "events": ("events", "show events of jobs; with -f also new ones as they happen"),
    "check": ("check", "check the queue as a Nagios plugin: one line with perfdata, exit 0 to 3"),
    "metrics": ("metrics", "print metrics for Prometheus, or write them to a file for node_exporter"),
    "web": ("web", "serve the status page, its API and metrics until Ctrl-C"),
    "config list": ("config", "list settings, their values and where these come from"),
    "config get": ("config", "print the value of a setting"),
    "config set": ("config", "change a setting; running workers apply it at once"),
    "config unset": ("config", "remove a setting from the file, so that its default applies"),
    "config path": ("config", "print where config.yaml is"),
    "config check": ("config", "check whether the configuration is valid; exit with 6 if not"),
    "index rebuild": ("index", "rebuild the index from the job files"),
    "index verify": ("index", "compare the index with the job files"),
    "doctor": ("doctor", "report problems and how to fix them; exit with 1 for errors, not for warnings"),
    "maintenance": ("maintenance", "repair and clean up the queue; prints nothing when all is well"),
    "service print": ("service", "print the service files for systemd or launchd"),
    "service install": ("service", "write the service files for systemd or launchd; starts nothing"),
    "completion": ("help", "print the completion script for a shell"),
    "schema": ("help", "print the JSON Schema of jobs or config.yaml, or the OpenAPI of the API"),
    "help": ("help", "show help for a command or a topic; without arguments list them"),
}
GROUPS = {
    "worker": "start, stop and inspect the workers that run jobs",
    "queue": "list queues and set their limits",
    "schedule": "jobs that are added again and again: by cron expressions or intervals",
    "batch": "jobs that belong together: progress, waiting, cancelling",
    "dlq": "the dead letter queue: jobs that failed permanently",
    "config": "settings: show, change and check them",
    "index": "rebuild or verify the index (derived from the job files)",
    "service": "run the queue under systemd or launchd",
}


def load(name: str) -> Command:
    """Return a command of VERBS with its options; its module is imported."""
    __import__(f"queuectl.cli.commands.{VERBS[name][0]}")
    return DECLARED[name]


def load_all() -> dict[str, Command]:
    """Return all commands, in the order of VERBS."""
    return {name: load(name) for name in VERBS}


def help_of(name: str) -> str:
    """Return the line of help of a command."""
    return VERBS[name][1]


def subcommands(group: str = "") -> list[str]:
    """Return the words that may follow `queuectl`, or `queuectl GROUP`."""
    start = f"{group} " if group else ""
    return list(dict.fromkeys(name[len(start) :].split()[0] for name in VERBS if name.startswith(start)))
