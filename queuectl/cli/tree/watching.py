"""watching: the commands that tell how things stand, to people and to monitoring systems."""

from __future__ import annotations

from queuectl.cli.grammar import FOLLOW, Command, choice, flag, number, option

WATCHING: dict[str, Command] = {
    "status": Command(
        "show the queue, its workers and what needs attention",
        option(
            *("-w", "--watch"),
            metavar="TIME",
            nargs="?",
            const="2s",
            help="repeat every TIME until Ctrl-C (default: 2s)",
        ),
        flag("--short", help="one line, for a prompt: 128 waiting (oldest 42s), 3/4 busy, 7 dead"),
        examples=("queuectl status", "queuectl status --watch 5", "queuectl status --short", "queuectl status --json"),
    ),
    "top": Command(
        "show workers and jobs on a full screen, live; cancel, retry, read logs",
        option("--every", metavar="TIME", default="2s", help="time between updates (default: 2s)"),
        examples=("queuectl top", "queuectl top --every 0.5"),
    ),
    "stats": Command(
        "show throughput, failures, wait and run times, including deleted jobs",
        option("--since", metavar="TIME", default="24h", help="from this time on: 2h, 14:30, yesterday (default: 24h)"),
        choice(
            "--by",
            "WHAT",
            ("queue", "minute", "hour", "day"),
            default="hour",
            help="one row per queue, minute, hour (default) or day",
        ),
        option("--queue", metavar="NAME", help="only this queue"),
        examples=(
            "queuectl stats",
            "queuectl stats --by queue --since 7d",
            "queuectl stats --by minute --since 1h --json",
        ),
    ),
    "events": Command(
        "show events of jobs; with -f also new ones as they happen",
        flag(
            *FOLLOW,
            help="show new events until Ctrl-C, also after the supervisor restarts; --json then writes one object per line",
        ),
        option("--since", metavar="TIME", help="from this time on: 2h, 14:30, yesterday (default: 1h; with -f: now)"),
        option(
            "--type",
            metavar="KIND",
            action="append",
            help="only events of these kinds: failed,died; comma-separated, may be repeated",
        ),
        number(
            "-n", "--limit", help="at most the newest N past events (default: 1000 in a table, all in other formats)"
        ),
        examples=(
            "queuectl events --since 10m",
            "queuectl events -f --type failed,died -o jsonl",
            "queuectl events --type started -o tsv",
        ),
    ),
    "check": Command(
        "check the queue as a Nagios plugin: one line with perfdata, exit 0 to 3",
        option(
            *("-w", "--warning"),
            metavar="KEY=RANGE",
            action="append",
            help="warn when the metric KEY is out of RANGE (default: oldest=5m, dead_today=0, degraded=0, rejected=0,"
            " disk_free=10:); may be repeated; 'KEY=~:', in quotes, switches a default off",
        ),
        option(
            *("-c", "--critical"),
            metavar="KEY=RANGE",
            action="append",
            help="the same for what is critical (default: oldest=1h, stranded=0, blocked=0, disk_free=5:). KEY is one of oldest,"
            " waiting, scheduled, processing, failed (jobs), failed_1h (attempts), dead, dead_today, stranded (jobs waiting without workers),"
            " workers, supervisor, degraded, blocked (what keeps jobs from being accepted or run: home, configuration,"
            " disk), rejected, disk_free. RANGE is 10 (at most), 10: (at least), 10:20, or"
            " @10:20 (not inside)",
        ),
        option("--timeout", metavar="TIME", default="10s", help="time limit of the check (default: 10s)"),
        examples=(
            "queuectl check",
            "queuectl check -w oldest=30m -c oldest=2h -w 'dead_today=~:'",
            "queuectl check -q -c workers=1: --timeout 5",
        ),
    ),
    "metrics": Command(
        "print metrics for Prometheus, or write them to a file for node_exporter",
        option("--textfile", metavar="FILE", help="write them to FILE atomically; its name must end in .prom"),
        examples=("queuectl metrics", "queuectl metrics --textfile queuectl.prom", "queuectl metrics --json"),
    ),
    "web": Command(
        "serve the status page, its API and metrics until Ctrl-C",
        choice("what", "token", ("token",), nargs="?", help="print the token that the page and scripts need"),
        option("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)"),
        number("--port", help="port to listen on (default: the setting web_port, 5000); 0 picks a free one"),
        option("--socket", metavar="PATH", help="listen on a Unix socket instead, for a proxy"),
        option("--token-file", metavar="FILE", help="file with the token (default: web.token in the home)"),
        flag("--read-only", help="allow no changes"),
        option("--allow-host", metavar="NAME", action="append", help="a host name to accept; may be repeated"),
        flag("--open", help="open the page in a browser"),
        flag("--rotate", help="with token: create a new token, which signs all users out"),
        examples=("queuectl web", "queuectl web --read-only --port 8080", "queuectl web token"),
    ),
}
