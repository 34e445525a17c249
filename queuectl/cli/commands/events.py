"""events: what happened to jobs, and with -f what happens."""

from __future__ import annotations

import time

from queuectl.cli.attempts import COLOURS
from queuectl.cli.home import queue_to_read
from queuectl.cli.live import wait_for_input_or_end
from queuectl.cli.options import FOLLOW, command, flag, number, option
from queuectl.cli.progress import open_index
from queuectl.cli.table import emit, tsv
from queuectl.cli.terminal import to_json
from queuectl.cli.text import cut, pad, safe
from queuectl.cli.times import MONTHS, instant
from queuectl.client.events import TOLD, EventStream, kinds_of
from queuectl.clock import parse_instant
from queuectl.errors import UsageError
from queuectl.job.events import MEMBERS
from queuectl.job.outcome import describe_leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

    Happened = dict[str, Any]
    Key = tuple[str, str, int | None]

DEFAULT_SINCE_S = 3600.0
LINES = 1000  # for people, unless --limit says otherwise; other formats are complete


@command(
    "events",
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
    number("-n", "--limit", help="at most the newest N past events (default: 1000 in a table, all in other formats)"),
    examples=(
        "queuectl events --since 10m",
        "queuectl events -f --type failed,died -o jsonl",
        "queuectl events --type started -o tsv",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Tell what happened since then; with -f go on until Ctrl-C."""
    kinds = kinds_of(args.type or ())
    if args.limit is not None and args.limit < 1:
        raise UsageError(f"--limit must be 1 or more, not {args.limit}")
    queue = queue_to_read(args, screen)
    now = queue.spool.clock.now()
    since = now if args.follow else now - DEFAULT_SINCE_S
    if args.since is not None:
        since = instant("--since", args.since, now, past=True)
    if screen.format == "tsv":
        screen.line("\t".join(MEMBERS))
    limit = LINES if args.limit is None and screen.is_table else args.limit
    stream = EventStream(
        queue.spool,
        lambda: open_index(queue, screen),
        kinds,
        limit,
        pause=wait_for_input_or_end,
        say=screen.message,
        warn=screen.warn,
    )
    if args.follow:
        for happened in stream.follow(since):
            if happened is not None:
                write(screen, happened)
            else:
                screen.flush()
                _report_more(screen, stream)
    if screen.format == "json":
        emit(screen, stream.past(since), (), MEMBERS)
    else:
        for happened in stream.past(since):
            write(screen, happened)
    screen.flush()
    _report_more(screen, stream)
    unseen = [kind for kind in kinds if kind not in TOLD]
    if unseen:
        screen.message(f"({', '.join(unseen)}: shown only as it happens, with -f)")
    return 0


def _report_more(screen: Screen, stream: EventStream) -> None:
    if stream.is_cut:
        screen.message(f"(the newest {stream.limit:,}; --limit for more)")
        stream.is_cut = False


def write(screen: Screen, happened: Happened) -> None:
    """Write one event; as JSON an object a line, for an array of what is to come would have no end."""
    if screen.format in ("json", "jsonl"):
        screen.line(to_json(happened))
    elif screen.format == "tsv":
        screen.line("\t".join(tsv(happened.get(field)) for field in MEMBERS))
    elif screen.format == "name":
        screen.line(str(happened["id"]))
    else:
        screen.line(_line(happened, screen))


def _line(happened: Happened, screen: Screen) -> str:
    then = time.localtime(parse_instant(happened["at"]))
    when = f"{MONTHS[then.tm_mon - 1]} {then.tm_mday:2} {time.strftime('%H:%M:%S', then)}"
    begun = f"{when}  {pad(happened['event'], 11)}  {pad(safe(happened['id']), 16)}"
    text = f"{begun}  {safe(' '.join(_words(happened)))}".rstrip()
    shown = text if screen.columns is None else cut(text, screen.columns)
    event = pad(happened["event"], 11)
    return shown.replace(event, screen.paint(event, COLOURS.get(happened["state"])), 1)


def _words(happened: Happened) -> list[str]:
    """Return the details in the order in which they are read."""
    code, words = happened.get("exit_code"), []
    if happened.get("attempt") is not None and happened["event"] not in ("held", "released", "edited"):
        words.append(f"attempt {happened['attempt']}")
    if happened.get("worker") is not None:
        words.append(f"on {happened['worker']}")
    if "signal" in happened or code is not None:
        words.append(str(happened.get("signal") or f"exit {code}"))
    if "pid" in happened:
        words.append(f"pid {happened['pid']}")
    if "run_at" in happened:
        words.append("next " + time.strftime("%H:%M:%S", time.localtime(parse_instant(happened["run_at"]))))
    said = [str(happened[name]) for name in ("reason", "detail", "error") if name in happened]
    words += [text for text in said if text != f"exit code {code}"]
    if happened.get("leftovers"):
        words.append(f"ended {describe_leftovers(happened['leftovers'])}")
    return words
