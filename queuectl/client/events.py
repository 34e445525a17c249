"""job_events: what happened to jobs, from their histories, and what happens, as the supervisor reports it.

Owns:       Event, which Python callers get; how the two sources are put together.
Guarantees: reads only; a million old jobs cost nothing when the newest events are asked for. While events are followed,
            what happens while no supervisor runs, or between two, comes from the histories. An event has the same
            members and the same time from both. What a job passes through in an instant, as a retry that is started at once,
            may be reported as its start alone; the histories have it all. Jobs that were deleted have no past.
Source:     spool/FORMAT.md § History; the members are those that the supervisor reports.
"""

from __future__ import annotations

import heapq
import json
from typing import Any, NamedTuple

from queuectl.client.arguments import is_series
from queuectl.clock import parse_instant, spell
from queuectl.errors import NoSupervisor, QueueError, UsageError, did_you_mean
from queuectl.job.events import MEMBERS, SENTENCES, STATE_AFTER, events_of
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from queuectl.control_client import Feed
    from queuectl.index.reader import Reader
    from queuectl.spool.spool import Spool

    Happened = dict[str, Any]
    Key = tuple[str, str, str]

PAGE = 500
TOLD = ("enqueued", *STATE_AFTER)
KINDS = tuple(dict.fromkeys((*SENTENCES, *TOLD)))
MEANT = {  # what other queues, and states, call these events
    **dict.fromkeys(("created", "added", "submitted", "queued", "new", "pending"), "enqueued"),
    **dict.fromkeys(("running", "processing", "begun", "claimed"), "started"),
    **dict.fromkeys(("finished", "done", "ended", "success", "succeeded"), "completed"),
    **dict.fromkeys(("error", "errored", "retrying"), "failed"),
    **dict.fromkeys(("dead", "killed", "buried"), "died"),
    **dict.fromkeys(("retried", "retry", "requeue"), "revived"),
    **{"deleted": "removed", "paused": "held", "resumed": "released", "changed": "edited", "updated": "edited"},
}
_KINDS = f"there are {', '.join(KINDS)}"
UNASKED = ("moved",)  # a worker found a file elsewhere than expected: reported only when it is asked for by name
LOOK_S = 1.0  # between two looks while no supervisor reports
FOREVER_S = 86400.0
OVERLAP_S = 2.0  # what was written just before a look may be seen only after it
REMEMBERED = 20_000


class Event(NamedTuple):
    """Something that happened to a job.

    Attributes:
        at: seconds since 1970.
        event: enqueued, started, completed, failed, died, expired, cancelled, held ... (FORMAT.md § History).
        id: of the job.
        state: of the job afterwards; empty when it is gone.
        attempt, worker, exit_code: None where they do not apply.
        details: what else there is to say: error, reason, signal, run_at, pid ...
    """

    at: float
    event: str
    id: str
    state: str
    attempt: int | None
    worker: str | None
    exit_code: int | None
    details: Mapping[str, Any]

    @classmethod
    def of(cls, happened: Happened) -> Event:
        """Return the event that a line of `events -o jsonl` says."""
        attempt, worker, code = (happened.get(name) for name in MEMBERS[4:])
        details = {name: value for name, value in happened.items() if name not in MEMBERS}
        at = parse_instant(happened["at"])
        return cls(at, happened["event"], happened["id"], happened.get("state", ""), attempt, worker, code, details)

    def as_dict(self) -> dict[str, Any]:
        """Return the event as `events --json` has it."""
        return {**{name: getattr(self, name) for name in MEMBERS}, "at": spell(self.at), **self.details}


def kinds_of(given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return kinds of events: one, a comma list, or several of these; none for None.

    Raises:
        UsageError: there is no such kind.
    """
    texts = (given,) if isinstance(given, str) else () if given is None else given
    if not is_series(texts):
        raise UsageError(f"kinds of events must be text or several texts, not {quote(given)}", _KINDS)
    kinds: dict[str, None] = {}
    for text in texts:
        if not isinstance(text, str):
            raise UsageError(f"a kind of event must be text, not {quote(text)}", _KINDS)
        for word in (word.strip().lower() for word in text.split(",")):
            if word not in KINDS:
                near = MEANT.get(word)
                meant = f'; did you mean "{near}"?' if near else did_you_mean(word, KINDS)
                raise UsageError(f'there is no event "{word}"{meant}', _KINDS)
            kinds[word] = None
    return tuple(kinds)


class EventStream:
    """Events in the order in which they happened, each once as far as it can be remembered.

    Args:
        kinds: only these; empty for all.
        limit: of the past, only so many, the newest.
        open_reader: opens the index.
        pause: waits until a descriptor (-1: none) can be read, or some seconds have passed.
        say, warn: given what there is to tell beside events.

    Attributes:
        is_cut: the past holds more than `limit`.
    """

    def __init__(
        self,
        spool: Spool,
        open_reader: Callable[[], Reader],
        kinds: Collection[str] = (),
        limit: int | None = None,
        *,
        pause: Callable[[int, float], object] | None = None,
        say: Callable[[str], None] = lambda _words: None,
        warn: Callable[[str], None] = lambda _words: None,
    ) -> None:
        self._spool = spool
        self._kinds = kinds
        self.limit = limit
        self._open_reader = open_reader
        self._pause = pause or wait_for_input
        self._say = say
        self._warn = warn
        self._told: dict[Key, None] = {}
        self.is_cut = False

    def past(self, since: float) -> Iterator[Happened]:
        """Yield what the histories say since then and has not been yielded."""
        with self._open_reader() as reader:
            found: Iterable[Happened]
            if self.limit is None:
                found = all_since(self._spool, reader, since, self._kinds)
            else:
                found, self.is_cut = newest(self._spool, reader, since, self.limit, self._kinds)
            for happened in found:
                if self._is_new(happened):
                    yield happened

    def follow(self, since: float) -> Iterator[Happened | None]:
        """Yield events without end, whichever supervisor runs, and while none does; None where no more are known yet."""
        from queuectl.control_client import Feed

        seen_at, is_alone = since, False
        while True:
            try:
                feed: Feed | None = Feed(self._spool.layout)
            except NoSupervisor:
                feed = None
            if is_alone is not (feed is None):
                is_alone = feed is None
                self._say(ALONE if is_alone else AGAIN)
            try:
                now = self._spool.clock.now()
                try:
                    yield from self.past(max(since, seen_at - OVERLAP_S))
                except QueueError as error:
                    self._warn(str(error))
                else:
                    seen_at = now
                yield None
                if feed is None:
                    self._pause(-1, LOOK_S)
                else:
                    yield from self._reported(feed)
            finally:
                if feed is not None:
                    feed.close()
                    seen_at = self._spool.clock.now()

    def _reported(self, feed: Feed) -> Iterator[Happened | None]:
        """Yield what the supervisor reports, unless the histories have said it just before, until it has gone."""
        while feed.is_open:
            self._pause(feed.fileno(), FOREVER_S)
            for happened in feed.take():
                if self._is_new(happened):
                    yield happened
            yield None

    def _is_new(self, happened: Happened) -> bool:
        """Tell whether an event is wanted and has not been yielded; it is remembered."""
        kind, told = happened["event"], self._told
        key = (happened["id"], kind, happened["at"])
        if key in told or (kind not in self._kinds if self._kinds else kind in UNASKED):
            return False
        told[key] = None
        if len(told) > REMEMBERED:
            del told[next(iter(told))]
        return True


ALONE = "No supervisor is running: job files are looked at every second"
AGAIN = "A supervisor runs: it tells what happens"


def wait_for_input(fd: int, timeout_s: float) -> None:
    """Wait until a descriptor (-1: none) has something to read, or time has passed."""
    import select

    waiting = select.poll()
    if fd >= 0:
        waiting.register(fd, select.POLLIN)
    waiting.poll(timeout_s * 1000)


def newest(
    spool: Spool, reader: Reader, since: float, limit: int, kinds: Collection[str] = ()
) -> tuple[list[Happened], bool]:
    """Return the newest events since then, oldest first, and whether there are more.

    Args:
        kinds: only these; empty for all.
    """
    from queuectl.index.reader import Query

    kept: list[tuple[float, int, Happened]] = []  # a heap, the oldest first
    count = 0
    for row in reader.rows(Query(since=since, limit=PAGE, is_counted=False)):
        if len(kept) >= limit and row["updated_at"] < kept[0][0]:
            break
        for at, happened in _since(spool, row["id"], since, kinds):
            count += 1
            (heapq.heappush if len(kept) < limit else heapq.heappushpop)(kept, (at, count, happened))
    return [happened for _, _, happened in sorted(kept)], count > limit


def all_since(spool: Spool, reader: Reader, since: float, kinds: Collection[str] = ()) -> Iterator[Happened]:
    """Yield all events since then, oldest first; beyond some thousand they are sorted on disk."""
    from queuectl.index.database import Sorter
    from queuectl.index.reader import Query

    sorter = Sorter()
    try:
        for row in reader.rows(Query(since=since, limit=PAGE, is_counted=False)):
            for at, happened in _since(spool, row["id"], since, kinds):
                sorter.add(f"{at:020.6f} {sorter.count:012d} {json.dumps(happened)}")
        for line in sorter:
            yield json.loads(line.split(" ", 2)[2])
    finally:
        sorter.close()


def _since(spool: Spool, job_id: str, since: float, kinds: Collection[str]) -> Iterator[tuple[float, Happened]]:
    """Yield the events of one job since then, each with its instant; none when it was deleted, or damaged, meanwhile."""
    try:
        job = spool.read(job_id)
    except QueueError:
        return
    for event in events_of(job):
        happened = event.as_dict(since)
        at = parse_instant(happened["at"])
        if at >= since and (not kinds or event.kind in kinds):
            yield at, happened
