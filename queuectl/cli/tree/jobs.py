"""jobs: the commands that put jobs in, find them and change them."""

from __future__ import annotations

from queuectl.cli.grammar import (
    ABOUT,
    CHOSEN,
    CONSENT,
    FILTERS,
    FOLLOW,
    IDS,
    LINES,
    NAMED,
    PROPAGATE,
    STATE,
    WAIT_TIMEOUT,
    Command,
    choice,
    flag,
    number,
    option,
)

JOBS: dict[str, Command] = {
    "enqueue": Command(
        "add jobs to the queue",
        option("job", metavar="JSON", nargs="?", help="a job as a JSON object; - reads one per line from stdin"),
        option(
            "--command", metavar="STRING", help="a command for /bin/sh; to run without a shell: -- PROGRAM ARGUMENT ..."
        ),
        option("-f", "--file", metavar="FILE", help="read jobs from FILE, one JSON object per line"),
        flag("--lines", help="read shell commands instead of JSON objects, one per line"),
        option("--id", metavar="ID", help="the job's id (default: generated; ids sort by time)"),
        option("--name", metavar="NAME", help="a descriptive name"),
        option("--queue", metavar="NAME", help='the queue to add it to (default: "default")'),
        number("--priority", help="-1000 to 1000; higher runs first (default: 0)"),
        option("--tag", metavar="TAG", action="append", help="a label to select jobs by; may be repeated"),
        option("--batch", metavar="NAME", help="the batch it belongs to"),
        option("--delay", metavar="TIME", help="start no earlier than this long from now: 10m, 2h30m"),
        option("--at", metavar="TIME", help="start no earlier than this time: 02:00, tomorrow 02:00, RFC 3339"),
        option("--expires", metavar="TIME", help="move it to the dead letter queue if it has not started by this time"),
        option("--timeout", metavar="TIME", help="stop an attempt that takes longer; 0 means no limit (default: 1h)"),
        option("--kill-after", metavar="TIME", help="time between SIGTERM and SIGKILL (default: 10s)"),
        number("--max-retries", help="how many times it is retried after a failure (default: 3)"),
        option("--backoff-base", metavar="X", help="wait X ** n seconds after failed attempt n (default: 2)"),
        option("--cwd", metavar="DIR", help="working directory of the command (default: the current one)"),
        option(
            "--env",
            metavar="NAME=VALUE",
            action="append",
            help="set an environment variable for the command; may be repeated",
        ),
        option(
            "--pass-env",
            metavar="NAME",
            action="append",
            help="pass this environment variable to the command; may be repeated",
        ),
        option("--unique", metavar="KEY", help="reject the job while another job with this key waits or runs"),
        choice(
            "--on-conflict", "HOW", ("reject", "skip"), help="reject, or skip: print the id of the job that has the key"
        ),
        option(
            "--after",
            metavar="JOB",
            nargs="+",
            action="extend",
            help="start only when these jobs have ended: ids, batch:NAME or tag:NAME (its jobs as of now), - for ids"
            " on standard input; may be repeated",
        ),
        choice(
            "--after-policy",
            "HOW",
            ("success", "any", "failure"),
            help="how the jobs of --after have to end: success (all completed, default), any, or failure (one failed)",
        ),
        option(
            "--lock", metavar="NAME[:N]", help="run only while fewer than N (default: 1) jobs that name this lock run"
        ),
        option(
            "--needs",
            metavar="NAME=UNITS",
            action="append",
            help="units of a resource that it takes while it runs: gpu=1; may be repeated",
        ),
        number("--weight", help="how many places it takes in its queue and of max_running (default: 1)"),
        choice("--leftovers", "HOW", ("end", "leave"), help="end or leave processes that outlive the command"),
        option("--resume", metavar="NAME", help="derive ids NAME-HASH from the lines; skip lines whose job exists"),
        flag("--wait", help="wait until the job has ended; exit with 10 if it did not succeed"),
        flag("--follow", help="wait and show its output; with --json on stderr"),
        option("--wait-timeout", metavar="TIME", help="wait at most this long, then exit with 124; the job continues"),
        PROPAGATE,
        flag("--no-check", help="do not check that the directory and the program exist"),
        flag("--dry-run", help="check and show the jobs, but add none"),
        examples=(
            """queuectl enqueue '{"command": "echo hello"}'""",
            "queuectl enqueue --command 'sleep 2; date' --delay 10m",
            "queuectl enqueue --after 01JDFQ8Z4T --lock report --command 'date > report'",
            "ls *.mov | sed 's/.*/gzip -k &/' | queuectl enqueue --lines - --resume movies",
        ),
        usage="JSON | - | --command S | -f FILE | -- ARGV ...",
    ),
}
NOT_FOR_RUN = ("--file", "--lines", "--resume", "--wait", "--follow", "--propagate", "--dry-run")
RETRIES = number("--max-retries", help="how many times it is retried after a failure (default: 0)")
JOBS["run"] = Command(
    "run a command once as a job, without input: show output, exit as it does",
    *(RETRIES if row[0] == RETRIES[0] else row for row in JOBS["enqueue"].options if not {*row[0]} & {*NOT_FOR_RUN}),
    examples=("queuectl run -- make -j4 all", "queuectl run --queue net --command 'curl -O https://example.org/a.iso'"),
    usage="-- ARGV ... | --command S | JSON",
)
JOBS |= {
    "list": Command(
        "list jobs, most recently changed first",
        STATE,
        *FILTERS,
        examples=(
            "queuectl list --state pending",
            "queuectl list --state dead,failed --since 2h",
            "queuectl list --batch nightly --error 'No space left'",
            "queuectl list --queue default -o name | queuectl cancel -",
        ),
    ),
    "show": Command(
        "show everything about jobs",
        IDS,
        examples=("queuectl show 01JDFQ8Z4T", "queuectl show 01JDFQ8Z4T --json"),
    ),
    "logs": Command(
        "show the output of jobs",
        NAMED,
        flag(*FOLLOW, help="show new output until the job has ended"),
        number("--attempt", help="the output of attempt N (default: the newest)"),
        LINES,
        STATE,
        *CHOSEN,
        examples=(
            "queuectl logs 01JDFQ8Z4T --lines 20",
            "queuectl logs -f 01JDFQ8Z4T",
            "queuectl logs --state dead --since 1h --lines 5",
        ),
    ),
    "wait": Command(
        "wait until jobs have ended; exit with 10 if one did not succeed",
        NAMED,
        WAIT_TIMEOUT,
        PROPAGATE,
        STATE,
        *CHOSEN,
        examples=(
            "queuectl wait 01JDFQ8Z4T --timeout 10m",
            "queuectl wait --batch nightly",
            "queuectl list --queue default -o name | queuectl wait -",
        ),
    ),
    "cancel": Command(
        "cancel jobs: kill running ones, drop waiting ones, keep finished ones as is",
        NAMED,
        STATE,
        *CHOSEN,
        *CONSENT,
        examples=(
            "queuectl cancel 01JDFQ8Z4T",
            "queuectl cancel --queue default --dry-run",
            "queuectl list --state failed -o name | queuectl cancel -",
        ),
    ),
    "retry": Command(
        "run jobs again now, also finished and dead ones; removes a passed expiry",
        NAMED,
        STATE,
        *CHOSEN,
        *CONSENT,
        examples=(
            "queuectl retry 01JDFQ8Z4T",
            "queuectl retry --error 'connection refused' --yes",
            "queuectl retry --state completed --tag nightly --dry-run",
        ),
    ),
    "hold": Command(
        "keep waiting jobs from starting until they are released",
        NAMED,
        STATE,
        *CHOSEN,
        *CONSENT,
        examples=("queuectl hold 01JDFW11AA", "queuectl hold --queue default --yes"),
    ),
    "release": Command(
        "let held jobs start",
        NAMED,
        *CHOSEN,
        *CONSENT,
        examples=("queuectl release 01JDFX22BB", "queuectl release --queue default --yes"),
    ),
    "edit": Command(
        "change fields of waiting jobs",
        NAMED,
        option(
            "--set",
            metavar="FIELD=VALUE",
            action="append",
            help="a new value, as in a job file; times also as --at and --delay take them: priority=5, timeout=10m,"
            " delay=2h, queue=night, tags=a,b, argv=JSON; may be repeated",
        ),
        option("--unset", metavar="FIELD", action="append", help="remove a field, so that its default applies"),
        STATE,
        *CHOSEN,
        *CONSENT,
        examples=(
            "queuectl edit 01JDFW11AA --set priority=5 --set timeout=10m",
            "queuectl edit 01JDFW11AA --set at='tomorrow 02:00'",
            "queuectl edit --queue default --set max_retries=0 --unset timeout --yes",
        ),
    ),
    "delete": Command(
        "delete jobs and their output; running ones are cancelled first",
        NAMED,
        STATE,
        *CHOSEN,
        *CONSENT,
        examples=("queuectl delete 01JDFQ8Z4T", "queuectl delete --state completed --batch nightly --yes"),
    ),
    "purge": Command(
        "permanently delete many jobs and their output",
        option(
            "ids", metavar="ID", nargs="*", help="delete these jobs instead of those that match; - reads ids from stdin"
        ),
        option(
            "--state",
            metavar="STATE",
            action="append",
            help="only jobs in this state (default: completed,cancelled); comma-separated, may be repeated",
        ),
        option(
            "--older-than",
            metavar="TIME",
            help="only jobs that have not changed for this long, or since this time: 30d, 2026-11-01",
        ),
        *(row for row in ABOUT if row[0] != ("--until",)),
        number("--limit", help="only the N jobs that have not changed for longest"),
        flag("--output-only", help="delete only their output and keep the jobs"),
        *CONSENT,
        examples=(
            "queuectl purge --older-than 30d --dry-run",
            "queuectl purge --state dead --queue default --yes",
            "queuectl purge --output-only --older-than 7d --yes",
            "queuectl purge --output-only 01JDFQ8Z4T",
        ),
    ),
    "dlq list": Command(
        "list dead jobs with their errors, most recent first",
        *FILTERS,
        flag("--group", help="group equal errors into one row, with their number and an example"),
        examples=("queuectl dlq list", "queuectl dlq list --group", "queuectl dlq list --since 24h --json"),
    ),
    "dlq show": Command(
        "show everything about dead jobs",
        IDS,
        examples=("queuectl dlq show 01JDFQ8Z4T", "queuectl dlq show 01JDFQ8Z4T --json"),
    ),
    "dlq retry": Command(
        "run dead jobs again with all their retries",
        NAMED,
        *CHOSEN,
        *CONSENT,
        examples=("queuectl dlq retry 01JDFQ8Z4T", "queuectl dlq retry --all --yes"),
    ),
    "dlq delete": Command(
        "delete dead jobs and their output",
        NAMED,
        *CHOSEN,
        *CONSENT,
        examples=("queuectl dlq delete 01JDFQ8Z4T", "queuectl dlq delete --error 'No such file' --yes"),
    ),
}
