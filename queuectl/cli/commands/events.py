"""events: what happened to jobs, from their histories, and what happens, as the supervisor tells it.

Guarantees: with -f, what happens while no supervisor runs, or between two, is told from the histories; around such a
            change something may be told twice. What a job passes through in an instant, as a revival that is started at
            once, may be told as its start alone; the histories have it all.
"""

from __future__ import annotations

import time

from queuectl.cli.attempts import COLOURS
from queuectl.cli.chronicle import TOLD, all_since, newest
from queuectl.cli.home import queue_to_read
from queuectl.cli.progress import open_index
from queuectl.cli.redraw import wait_for_input_or_end
from queuectl.cli.render import tsv
from queuectl.cli.screen import to_json
from queuectl.cli.text import cut, pad, safe
from queuectl.cli.times import MONTHS, instant
from queuectl.clock import parse_instant
from queuectl.errors import NoSupervisor, QueueError, UsageError
from queuectl.events import SENTENCES
from queuectl.outcome import describe_leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.processes.control import Feed

    Happened = dict[str, Any]
    Key = tuple[str, str, int | None]

KINDS = tuple(dict.fromkeys((*SENTENCES, *TOLD)))
FIELDS = ("at", "event", "id", "state", "attempt", "worker", "exit_code")
DEFAULT_SINCE_S = 3600.0
LINES = 1000  # for people, unless --limit says otherwise; other formats are complete
LOOK_S = 1.0  # between two looks while no supervisor tells
FOREVER_S = 86400.0
OVERLAP_S = 2.0  # what was written just before a look may be seen only after it
REMEMBERED = 4096
UNASKED = ("moved",)  # a worker found a file elsewhere than expected: told only when --type names it
AGAIN = "A supervisor runs: it tells what happens"


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
        screen.line("\t".join(FIELDS))
    limit = LINES if args.limit is None and screen.is_table else args.limit
    teller = Teller(queue, screen, kinds, limit)
    if args.follow:
        Follower(queue, screen, teller, since).follow()
    if screen.format == "json":
        teller.tell_past_as_array(since)
    else:
        teller.tell_past(since)
    unseen = [kind for kind in kinds if kind not in TOLD]
    if unseen:
        screen.say(f"({', '.join(unseen)}: told only while it happens, with -f)")
    return 0


def kinds_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Read repeated comma lists of kinds.

    Raises:
        UsageError: there is no such kind.
    """
    kinds = [word.strip().lower() for text in texts for word in text.split(",")]
    for word in kinds:
        if word not in KINDS:
            from queuectl.cli.commandline import did_you_mean

            raise UsageError(
                f'no kind of event is called "{word}"{did_you_mean(word, KINDS)}', f"there are {', '.join(KINDS)}"
            )
    return tuple(dict.fromkeys(kinds))


class Teller:
    """Writes events, each once as far as it can remember."""

    def __init__(self, queue: Queue, screen: Screen, kinds: tuple[str, ...], limit: int | None) -> None:
        self._queue = queue
        self._screen = screen
        self._kinds = kinds
        self._limit = limit
        self._told: dict[Key, float] = {}  # from the histories
        self._heard: dict[Key, float] = {}  # from the supervisor, which says a little later when it was
        self._is_array = False
        self._written = 0

    def tell_past(self, since: float) -> None:
        """Tell what the histories say since then and has not been told."""
        with open_index(self._queue, self._screen) as reader:
            if self._limit is None:
                self._tell_each(all_since(self._queue, reader, since, self._kinds))
                return
            found, is_more = newest(self._queue, reader, since, self._limit, self._kinds)
        self._tell_each(found)
        if is_more:
            self._screen.say(f"(the newest {self._limit:,}; --limit for more)")

    def tell_past_as_array(self, since: float) -> None:
        """The same as one JSON array; what comes as it happens is an object a line, for an array would have no end."""
        self._is_array = True
        self.tell_past(since)
        self._screen.line("\n]" if self._written else "[]")

    def _tell_each(self, found: Iterable[Happened]) -> None:
        for happened in found:
            key, at = _key(happened), parse_instant(happened["at"])
            if self._told.get(key) != at and abs(self._heard.get(key, 0.0) - at) > OVERLAP_S:
                self._write(happened)
            _remember(self._told, key, at)
        self._screen.flush()

    def tell(self, happened: Happened) -> None:
        """Tell what the supervisor says, unless the histories have said it just before."""
        key, at = _key(happened), parse_instant(happened["at"])
        if abs(self._told.pop(key, 0.0) - at) > OVERLAP_S:
            self._write(happened)
        _remember(self._heard, key, at)

    def _write(self, happened: Happened) -> None:
        if happened["event"] not in self._kinds if self._kinds else happened["event"] in UNASKED:
            return
        screen = self._screen
        if self._is_array:
            screen.write((",\n  " if self._written else "[\n  ") + to_json(happened))
            self._written += 1
        elif screen.format in ("json", "jsonl"):
            screen.line(to_json(happened))
        elif screen.format == "tsv":
            screen.line("\t".join(tsv(happened.get(field)) for field in FIELDS))
        elif screen.format == "name":
            screen.line(str(happened["id"]))
        else:
            screen.line(_line(happened, screen))


def _key(happened: Happened) -> Key:
    return happened["id"], happened["event"], happened.get("attempt")


def _remember(known: dict[Key, float], key: Key, at: float) -> None:
    known[key] = at
    if len(known) > REMEMBERED:
        del known[next(iter(known))]


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
    if "attempt" in happened and happened["event"] not in ("held", "released", "edited"):
        words.append(f"attempt {happened['attempt']}")
    if "worker" in happened:
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


class Follower:
    """Hears the supervisor, whichever runs, and looks itself while none does.

    Args:
        since: nothing older is told.
    """

    def __init__(self, queue: Queue, screen: Screen, teller: Teller, since: float) -> None:
        self._queue = queue
        self._screen = screen
        self._teller = teller
        self._since = since
        self._seen_at = since

    def follow(self) -> None:
        """Go on until Ctrl-C, or until nobody reads."""
        from queuectl.processes.control import Feed

        is_alone = False
        while True:
            try:
                feed: Feed | None = Feed(self._queue.layout)
            except NoSupervisor:
                feed = None
            if is_alone is not (feed is None):
                is_alone = feed is None
                self._screen.say(
                    "No supervisor is running: job files are looked at every second" if is_alone else AGAIN
                )
            self._look()
            if feed is None:
                wait_for_input_or_end(-1, LOOK_S)
            else:
                self._hear(feed)

    def _hear(self, feed: Feed) -> None:
        try:
            while feed.is_open:
                wait_for_input_or_end(feed.fileno(), FOREVER_S)
                for happened in feed.take():
                    self._teller.tell(happened)
                self._screen.flush()
        finally:
            feed.close()
            self._seen_at = self._queue.spool.clock.now()

    def _look(self) -> None:
        """Tell what nobody has told, from shortly before the last look, or word, on."""
        now = self._queue.spool.clock.now()
        try:
            self._teller.tell_past(max(self._since, self._seen_at - OVERLAP_S))
        except QueueError as error:
            self._screen.warn(str(error))
        else:
            self._seen_at = now
