"""workers: the commands for the workers that run jobs."""

from __future__ import annotations

from queuectl.cli.grammar import FOLLOW, HIDDEN, Command, flag, number, option

WORKERS: dict[str, Command] = {
    "worker start": Command(
        "add workers; starts the supervisor if none is running",
        number("workers", nargs="?", help="how many to add (default: 1)"),
        number("--count", help="the same as N"),
        flag("--foreground", help="run the supervisor in the foreground until the last worker stops"),
        number("--ready-fd", help=HIDDEN),
        number("--lock-fd", help=HIDDEN),
        examples=("queuectl worker start --count 4", "queuectl worker start --count 2 --foreground"),
    ),
    "worker stop": Command(
        "stop workers once their jobs have ended",
        option("--id", metavar="ID", help="only this worker (default: all)"),
        flag("--wait", help="return when every process of the queue has ended"),
        option("--timeout", metavar="TIME", help="wait at most this long, then exit with 124; the stop continues"),
        flag("--now", help="do not wait for jobs: kill their commands and requeue them"),
        examples=(
            "queuectl worker stop",
            "queuectl worker stop --wait --timeout 30",
            "queuectl worker stop --id worker-2 --now",
        ),
    ),
    "worker list": Command(
        "list the workers and what they are doing",
        examples=("queuectl worker list", "queuectl worker list --json"),
    ),
    "worker scale": Command(
        "set the number of workers to N",
        number("count", help="the number of workers to have"),
        examples=("queuectl worker scale 8", "queuectl worker scale 1"),
    ),
    "worker restart": Command(
        "restart the supervisor once jobs have ended, to load new code",
        option("--id", metavar="ID", help="replace only this worker; the supervisor stays"),
        flag("--wait", help="return when it has restarted (the default outside a job)"),
        flag("--no-wait", help="return at once (the default inside a job)"),
        option("--timeout", metavar="TIME", help="wait at most this long, then exit with 124; the restart continues"),
        examples=("queuectl worker restart", "queuectl worker restart --id worker-2"),
    ),
    "worker logs": Command(
        "show the log of a worker",
        option("id", metavar="ID", nargs="?", default="supervisor", help="worker-1 ... or supervisor (default)"),
        flag(*FOLLOW, help="show new lines until Ctrl-C"),
        number("-n", "--lines", help="only the last N lines (default: 50 on a terminal and with -f, else all)"),
        examples=("queuectl worker logs worker-1 --lines 20", "queuectl worker logs supervisor -f"),
    ),
}
