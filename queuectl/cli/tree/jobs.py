"""jobs: the commands that put jobs in, find them and change them."""

from __future__ import annotations

from queuectl.cli.grammar import (
    FILTERS,
    FOLLOW,
    IDS,
    LINES,
    PROPAGATE,
    PURGE_FILTERS,
    STATES,
    WAIT_TIMEOUT,
    Command,
    choice,
    flag,
    number,
    option,
)

JOBS: dict[str, Command] = {
    "enqueue": Command(
        "put jobs into the queue",
        option("job", metavar="JSON", nargs="?", help="a job as a JSON object; - reads one a line from stdin"),
        option("--command", metavar="STRING", help="a command for /bin/sh; without a shell: -- PROGRAM ARGUMENT ..."),
        option("-f", "--file", metavar="FILE", help="read jobs from FILE, one JSON object a line"),
        flag("--lines", help="each line read is a shell command instead of a JSON object"),
        option("--id", metavar="ID", help="the job's id (default: a new one, in order of time)"),
        option("--name", metavar="NAME", help="a name for people"),
        option("--queue", metavar="NAME", help='the queue it waits in (default: "default")'),
        number("--priority", help="-1000 to 1000; higher runs first (default: 0)"),
        option("--tag", metavar="TAG", action="append", help="a label to find it by; may be repeated"),
        option("--batch", metavar="NAME", help="the batch it belongs to"),
        option("--delay", metavar="TIME", help="do not start before this long from now: 10m, 2h30m"),
        option("--at", metavar="TIME", help="do not start before then: 02:00, tomorrow 02:00, RFC 3339"),
        option("--expires", metavar="TIME", help="bury it if it has not started by then"),
        option("--timeout", metavar="TIME", help="end an attempt that takes longer; 0 is no limit (default: 1h)"),
        option("--kill-after", metavar="TIME", help="time between SIGTERM and SIGKILL (default: 10s)"),
        number("--max-retries", help="how often it is tried again after a failure (default: 3)"),
        option("--backoff-base", metavar="X", help="wait X ** n seconds after failed attempt n (default: 2)"),
        option("--cwd", metavar="DIR", help="where the command runs (default: the current directory)"),
        option("--env", metavar="NAME=VALUE", action="append", help="a variable for the command; may be repeated"),
        option("--pass-env", metavar="NAME", action="append", help="pass this variable on; may be repeated"),
        option("--unique", metavar="KEY", help="refuse it while a job with this key waits or runs"),
        choice("--on-conflict", "HOW", ("reject", "skip"), help="reject, or skip: print the id that has the key"),
        choice("--leftovers", "HOW", ("end", "leave"), help="end or leave what outlives the command"),
        option(
            "--resume", metavar="NAME", help="ids NAME-HASH by what a line says; lines whose job exists are skipped"
        ),
        flag("--wait", help="wait until the job has ended; exit with 10 if it did not succeed"),
        flag("--follow", help="wait, and show its output meanwhile"),
        PROPAGATE,
        flag("--no-check", help="accept a directory that is not there yet, and do not look for the program"),
        flag("--dry-run", help="check the jobs and show them, but put none in"),
        examples=(
            """queuectl enqueue '{"command": "echo hello"}'""",
            "queuectl enqueue --command 'sleep 2; date' --delay 10m",
            "queuectl enqueue --max-retries 0 -- printf '%s\\n' 'no shell reads this'",
            "ls *.mov | sed 's/.*/gzip -k &/' | queuectl enqueue --lines - --resume movies",
        ),
        usage="JSON | - | --command S | -f FILE | -- ARGV ...",
    ),
}
NOT_FOR_RUN = ("--file", "--lines", "--resume", "--wait", "--follow", "--propagate", "--dry-run")
JOBS["run"] = Command(
    "run a command as a job: show its output, exit with its exit code",
    *(row for row in JOBS["enqueue"].options if not {*row[0]} & {*NOT_FOR_RUN}),
    examples=("queuectl run -- make -j4 all", "queuectl run --queue net --command 'curl -O https://example.org/a.iso'"),
    usage="-- ARGV ... | --command S | JSON",
)
JOBS |= {
    "list": Command(
        "show jobs, the last changed first",
        option("--state", metavar="STATE", action="append", help=f"only {STATES}; a comma list, may be repeated"),
        *FILTERS,
        examples=(
            "queuectl list --state pending",
            "queuectl list --state dead,failed --since 2h",
            "queuectl list --queue default -o name | queuectl cancel -",
        ),
    ),
    "show": Command(
        "tell all about jobs",
        IDS,
        examples=("queuectl show 01JDFQ8Z4T", "queuectl show 01JDFQ8Z4T --json"),
    ),
    "logs": Command(
        "show what a job wrote",
        option("id", metavar="ID", help="the job's id or its unambiguous beginning"),
        flag(*FOLLOW, help="go on until the job has ended"),
        number("--attempt", help="what attempt N wrote (default: the newest)"),
        LINES,
        examples=("queuectl logs 01JDFQ8Z4T --lines 20", "queuectl logs -f 01JDFQ8Z4T"),
    ),
    "wait": Command(
        "wait until jobs have ended; exit with 10 if one did not succeed",
        IDS,
        WAIT_TIMEOUT,
        PROPAGATE,
        examples=("queuectl wait 01JDFQ8Z4T --timeout 10m", "queuectl list --queue default -o name | queuectl wait -"),
    ),
    "cancel": Command(
        "end jobs for good: kill running ones, drop waiting ones, leave ended ones as is",
        IDS,
        examples=("queuectl cancel 01JDFQ8Z4T", "queuectl list --state failed -o name | queuectl cancel -"),
    ),
    "retry": Command(
        "run jobs again now, also finished and dead ones; removes a passed expiry",
        IDS,
        examples=("queuectl retry 01JDFQ8Z4T", "queuectl list --state failed -o name | queuectl retry -"),
    ),
    "delete": Command(
        "remove jobs and what they wrote; running ones are cancelled first",
        IDS,
        examples=("queuectl delete 01JDFQ8Z4T", "queuectl list --state completed -o name | queuectl delete -"),
    ),
    "purge": Command(
        "remove many jobs and what they wrote, for good",
        option("ids", metavar="ID", nargs="*", help="these jobs, instead of those that match; - reads ids from stdin"),
        option(
            "--state",
            metavar="STATE",
            action="append",
            help="only such jobs (default: completed,cancelled); a comma list, may be repeated",
        ),
        option(
            "--older-than",
            metavar="TIME",
            help="only jobs that have not changed for so long, or since: 30d, 2026-11-01",
        ),
        *PURGE_FILTERS,
        flag("--output-only", help="remove only what they wrote, and keep the jobs"),
        flag("--dry-run", help="tell how many there are, and remove none"),
        flag("-y", "--yes", help="do not ask; needed where nobody can answer"),
        examples=(
            "queuectl purge --older-than 30d --dry-run",
            "queuectl purge --state dead --queue default --yes",
            "queuectl purge --output-only --older-than 7d --yes",
            "queuectl purge --output-only 01JDFQ8Z4T",
        ),
    ),
    "dlq list": Command(
        "show dead jobs, the last to die first",
        *FILTERS,
        examples=("queuectl dlq list", "queuectl dlq list --since 24h --json"),
    ),
    "dlq show": Command(
        "tell all about dead jobs",
        IDS,
        examples=("queuectl dlq show 01JDFQ8Z4T", "queuectl dlq show 01JDFQ8Z4T --json"),
    ),
    "dlq retry": Command(
        "run dead jobs again with a fresh retry budget",
        IDS,
        examples=("queuectl dlq retry 01JDFQ8Z4T", "queuectl dlq list -o name | queuectl dlq retry -"),
    ),
    "dlq delete": Command(
        "remove dead jobs and what they wrote",
        IDS,
        examples=("queuectl dlq delete 01JDFQ8Z4T", "queuectl dlq list -o name | queuectl dlq delete -"),
    ),
}
