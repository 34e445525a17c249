"""file_watch: passes changes of files to the dispatcher: at once where the system reports them, else every poll_interval.

Owns:       the watches on the spool, the configuration and run/; the scans where there are no watches; the memory of which
            changes of other programs were reported.
Guarantees: a file that arrives is read at once. Files that leave (mostly those that workers claim) are read every LULL_S.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.clock import parse_instant
from queuectl.control_client import SOCKET
from queuectl.job.events import Event, events_of
from queuectl.job.job import DEAD, DONE, PENDING
from queuectl.spool.layout import SUFFIX
from queuectl.supervisor.inotify import ARRIVALS, CHANGES, DEPARTURES, ITSELF, open_watch, why_not_watching
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from queuectl.job.job import Job
    from queuectl.log import Log
    from queuectl.spool.spool import Spool
    from queuectl.supervisor.dispatcher import Dispatcher
    from queuectl.supervisor.inotify import Watch

REMEMBERED = 1024  # jobs
BY_OTHERS = frozenset(  # no worker reports them as the end of an attempt
    ("enqueued", "held", "released", "edited", "revived", "requeued", "cancelled", "expired")
)
CONFIG_NAME = "config.yaml"
LULL_S = 0.05


class FileEvents:
    """Changes of files.

    Args:
        on_config: called when config.yaml may have changed.
        on_home: called when the home may have been removed.
        on_pause: called when queues may have been paused or resumed.
        on_report: called when there may be reports to hooks.
        on_batch: called when a batch may be new, or no process adds jobs to it any more.
        on_socket: called with the monotonic time when the control socket was removed.
        register, unregister: add a file descriptor and its handler to the loop; remove it.

    Attributes:
        is_watching: the system reports changes.
        why_not: why it does not; None while it does.
        next_step: the monotonic time at which `step` has something to do.
    """

    def __init__(
        self,
        spool: Spool,
        log: Log,
        dispatch: Dispatcher,
        *,
        on_config: Callable[[], None],
        on_home: Callable[[], None],
        on_pause: Callable[[], None],
        on_report: Callable[[], None],
        on_batch: Callable[[], None],
        on_socket: Callable[[float], None],
        register: Callable[[Any, Callable[[], None]], None],
        unregister: Callable[[Any], Any],
    ) -> None:
        self._spool = spool
        self._log = log
        self._dispatch = dispatch
        self._on_config = on_config
        self._on_home = on_home
        self._on_pause = on_pause
        self._on_report = on_report
        self._on_batch = on_batch
        self._on_socket = on_socket
        self._register = register
        self._unregister = unregister
        self._arrivals: Watch | None = None
        self._departures: Watch | None = None
        self._known: set[str] = set()  # names that left pending/ according to the reports of workers
        self.is_watching = False
        self.why_not: str | None = None
        self.next_step = NEVER

    def open(self) -> None:
        """Start watching, or else scan every `poll_interval`."""
        try:
            self._open_both()
        except OSError as error:
            self.close()
            every_s = self._spool.settings.poll_interval
            self.next_step = self._spool.clock.monotonic() + every_s
            why = why_not_watching(error)
            if why != self.why_not:
                self._log.warning(f"no file-system events ({why}): scanning every {every_s:g}s action=poll")
            self.why_not = why
            return
        self.is_watching, self.why_not, self.next_step = True, None, NEVER
        self._register(self._arrivals, self._on_arrivals)
        self._register(self._departures, self._on_departures)

    def _open_both(self) -> None:
        layout = self._spool.layout
        pending = layout.directory(PENDING)
        self._arrivals = self._open(
            {layout.home: ARRIVALS | DEPARTURES | ITSELF, layout.run: CHANGES, pending: ARRIVALS}
            | {layout.paused: ARRIVALS | DEPARTURES, layout.hooks: ARRIVALS, layout.batches: ARRIVALS}
        )
        # What arrives in done/ or dead/ is reported by the worker or command that moved it.
        self._departures = self._open({layout.directory(name): DEPARTURES for name in (PENDING, DONE, DEAD)})

    def _open(self, wanted: dict[str, int]) -> Watch:
        watch = open_watch()
        try:
            for directory, mask in wanted.items():
                watch.add(directory, mask)
        except OSError:
            watch.close()
            raise
        return watch

    def _on_arrivals(self) -> None:
        for change in self._arrivals.read() if self._arrivals is not None else ():
            if change.directory is None:
                self._dispatch.begin_sync(watched=True)
            elif change.directory == self._spool.layout.home:
                if change.name == CONFIG_NAME:
                    self._on_config()
                if change.has_left:
                    self._on_home()
            elif change.directory == self._spool.layout.paused:
                self._on_pause()
            elif change.directory == self._spool.layout.hooks:
                self._on_report()
            elif change.directory == self._spool.layout.batches:
                self._on_batch()
            elif change.directory == self._spool.layout.run:
                if change.name == "changes":
                    self._dispatch.read_changes()
                elif change.name == SOCKET and change.has_left:
                    self._on_socket(self._spool.clock.monotonic())
            elif not change.has_left:
                self._dispatch.arrived(change.name)

    def _on_departures(self) -> None:
        self._read_departures()
        self._unregister(self._departures)
        self.next_step = self._spool.clock.monotonic() + LULL_S

    def know_departure(self, job_id: str) -> None:
        """Record that a worker reported a job: its departure from pending/ is known, unless it comes back there."""
        if self.is_watching:
            self._known.add(f"{job_id}{SUFFIX}")

    def _read_departures(self) -> None:
        pending = self._spool.layout.directory(PENDING)
        for change in self._departures.read() if self._departures is not None else ():
            if change.directory is None:
                self._dispatch.begin_sync(watched=True)
            elif change.name not in self._known or change.directory != pending:
                self._dispatch.left(change.name, had_ended=change.directory != pending)
        self._known.clear()

    def step(self, now: float) -> None:
        """Watch departures again after LULL_S, or scan; `now` is monotonic."""
        if now < self.next_step:
            return
        if self.is_watching:
            self._register(self._departures, self._on_departures)
            self.next_step = NEVER
        else:
            self.open()  # the system may be able to report changes now
            self._on_home()
            self._on_config()
            self._on_pause()
            self._on_report()
            self._on_batch()
            if not self._dispatch.is_comparing:
                self._dispatch.begin_sync(watched=self.is_watching, is_routine=True)
            self._dispatch.read_changes(whole=True)

    def read_all(self) -> int:
        """Read all changes until now; return the value of `dispatch.compared` at which the index shows them."""
        awaited = self._dispatch.compared
        if self.is_watching:
            self._on_arrivals()
            self._read_departures()
        else:
            awaited = self._dispatch.begin_sync(watched=False, is_routine=True)
        self._dispatch.read_changes(whole=True)
        return awaited

    def close(self) -> None:
        """Stop watching."""
        for watch in (self._arrivals, self._departures):
            if watch is not None:
                watch.close()
        self._arrivals = self._departures = None


class ExternalChanges:
    """Reports what other programs did to waiting jobs, each change once, although a file is read more than once.

    Bounded memory: the last REMEMBERED jobs are known. Costs next to nothing while no client watches.

    Args:
        emit: called with every event.
        has_watchers: whether a client watches events.
    """

    def __init__(self, emit: Callable[[Event], None], has_watchers: Callable[[], bool]) -> None:
        self._emit = emit
        self._has_watchers = has_watchers
        self._reported: dict[str, float] = {}

    def already_reported(self, job_id: str, updated_at: float) -> bool:
        """Tell whether the change of a job at that time was reported."""
        return self._reported.get(job_id) == updated_at

    def note(self, job_id: str, updated_at: float) -> None:
        """Remember a change as reported."""
        self._reported[job_id] = updated_at
        if len(self._reported) > REMEMBERED:
            del self._reported[next(iter(self._reported))]

    def report(self, job: Job) -> None:
        """Report what other programs did to a job that was just read: the last change, and those since the last report."""
        if not self._has_watchers():
            return
        if self.already_reported(job.id, job.updated_at):
            return
        last = self._reported.get(job.id)
        changes: list[Event] = []
        for event in reversed([*events_of(job)]):
            is_old = last is not None and parse_instant(event.at or "") <= last
            if event.kind not in BY_OTHERS or is_old:
                break
            changes.append(event)
            if last is None:
                break
        if changes:
            self.note(job.id, job.updated_at)
        for event in reversed(changes):
            self._emit(event)
