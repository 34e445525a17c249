"""supervisor: the loop, and how its parts are connected.

Owns:       the home while it runs (run/supervisor.lock), and the loop.
Guarantees: one supervisor a home; no threads; it sleeps until something happens or is due. A job whose worker died is not
            settled before its run is proved dead or adopted.
Fails with: Conflict if another supervisor owns the home.

Parts: docs/ARCHITECTURE.md. Source: gunicorn's arbiter, s6-supervise; not their size.
"""

from __future__ import annotations

import os
import selectors
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from queuectl.clock import spell
from queuectl.config import config_file
from queuectl.control_client import BACKOFF, GONE, STOPPING
from queuectl.errors import QueueError
from queuectl.executor import process_tree
from queuectl.executor.environment import base_environment
from queuectl.executor.home_watch import HomeWatch
from queuectl.executor.signals import Inbox
from queuectl.index.rows import COLUMNS, DIRECTORY_OF
from queuectl.job.events import Event, event_of
from queuectl.job.job import PENDING, PROCESSING, VERDICTS
from queuectl.job.outcome import end_of_process
from queuectl.log import open_log
from queuectl.spool.spool import Spool
from queuectl.supervisor.control_handlers import ControlHandlers, not_running
from queuectl.supervisor.control_server import ControlServer, watch_unsent
from queuectl.supervisor.dispatcher import STATE, Dispatcher, DurableStarts
from queuectl.supervisor.file_watch import BY_OTHERS, ExternalChanges, FileEvents
from queuectl.supervisor.hook_runner import HookRunner
from queuectl.supervisor.inotify import open_clock_watch
from queuectl.supervisor.maintenance_runner import MaintenanceRunner
from queuectl.supervisor.orphans import Orphans
from queuectl.supervisor.schedule_timer import ScheduleTimer
from queuectl.supervisor.systemd_notify import ServiceManager
from queuectl.supervisor.worker_pool import Prefetch, WorkerSlot, fork_worker
from queuectl.timers import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from queuectl.spool.layout import Layout
    from queuectl.supervisor.hook_runner import HookRunner
from queuectl.supervisor.inotify import ClockWatch

ATTEMPTS, COMMAND, EXIT_CODE, STARTED_AT, UPDATED_AT = map(
    COLUMNS.index, ("attempts", "command", "exit_code", "started_at", "updated_at")
)
ENDS_A_RUN = VERDICTS | {"interrupted", "requeued", "moved", "removed", "rejected"}
LINGER_S = 60.0  # a supervisor without workers stops after that time
LONGEST_SLEEP_S = 86400.0  # select(2) counts milliseconds in 31 bits: 24 days


class Supervisor:
    """Runs workers until it is drained; `serve` returns when the last one has ended."""

    def __init__(self, layout: Layout, environ: Mapping[str, str], *, echo: bool = False) -> None:
        self.layout = layout
        self._environ = environ
        self.spool = Spool(layout, config_file.load(layout.home, environ), announce=False)
        self.clock = self.spool.clock
        self.log = open_log(layout, "supervisor", echo=echo)
        self.started_at = self.clock.now()
        self.slots: dict[str, WorkerSlot] = {}
        self.draining = False
        self.restart_with: int | None = (
            None  # workers of the new supervisor that this process becomes once drained (restart)
        )
        self._durable_starts = DurableStarts(self.spool, self.log)
        self._base = base_environment(environ)
        self._external_changes = ExternalChanges(self.emit, lambda: self._control_server.has_watchers)
        self.dispatch = Dispatcher(self.spool, self.log, self.emit, self._external_changes.report)
        self.orphans = Orphans(self.spool, self.dispatch, self.emit, self._known_pids, self.log)
        self._stopping: frozenset[str] = frozenset()  # the pauses that stop what runs, as the workers know them
        self._handlers = ControlHandlers(self, self.dispatch, self.orphans)
        self._inbox = Inbox((signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        self._selector = selectors.DefaultSelector()
        self._control_server = ControlServer(layout, self._selector, self._handlers.carry_out)
        self._prefetch = Prefetch(self.spool, self.slots, self.dispatch)
        self._manager = ServiceManager(environ, self.slots)
        self._home_watch = HomeWatch(layout)
        self._hooks = HookRunner(self.spool, self.log, self.dispatch, environ)
        self._schedules = ScheduleTimer(self.spool, self.log)
        self._files = FileEvents(
            self.spool,
            self.log,
            self.dispatch,
            on_config=self.reload,
            on_home=self.look_at_home,
            on_pause=self._read_pauses,
            on_report=self._hooks.wake,
            on_batch=self._hooks.look_at_batches,
            on_socket=self._control_server.socket_left,
            register=self._register,
            unregister=self._selector.unregister,
        )
        self._maintenance = MaintenanceRunner(self.spool, self.log, environ, self._register, self._selector.unregister)
        self._linger_until = self.clock.monotonic() + LINGER_S

    # --- the loop

    def serve(self, count: int, on_ready: Callable[[], None]) -> None:
        """Recover jobs after a crash, start `count` workers, and run until drained."""
        process_tree.become_subreaper()
        self._register(self._inbox, self._on_signal)
        self._files.open()
        clock_watch = open_clock_watch()
        self._schedules.is_clock_watched = clock_watch is not None
        if clock_watch is not None:
            self._register(clock_watch, lambda: self._on_clock(clock_watch))
        self.spool.keep_ballast()
        self.log.info(f"started pid={os.getpid()} home={self.layout.home} action=start")
        self.orphans.recover()
        self.dispatch.begin_sync(watched=self._files.is_watching)
        self.add_workers(count)
        self._hooks.wake()
        on_ready()
        while not self._is_done():
            self.log.flush()
            for key, _ in self._selector.select(self._timeout()):
                key.data()
            self._step()
        self._close()

    def _register(self, source: Any, handler: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, handler)

    def _timeout(self) -> float | None:
        now = self.clock.monotonic()
        parts = (
            self.orphans,
            self._durable_starts,
            self._files,
            self._prefetch,
            self._control_server,
            self._maintenance,
            self._hooks,
            self._manager,
            self._schedules,
        )
        restarts = (s.restart_at for s in self.slots.values() if s.state == BACKOFF)
        wake = min(self.dispatch.next_step(now), *(part.next_step for part in parts), *restarts)
        if not self.slots:
            wake = min(wake, self._linger_until)
        return None if wake == NEVER else max(0.0, min(wake - now, LONGEST_SLEEP_S))

    def _step(self) -> None:
        now = self.clock.monotonic()
        if self.dispatch.is_comparing:  # an older report must not overwrite what the comparison reads now
            self._receive_reports(*self.slots.values())
        self.dispatch.step(now)
        if self.dispatch.order.stopping != self._stopping:
            self.announce_pauses()
        self._handlers.answer_flushed(now)
        for slot in [*self.slots.values()]:
            if slot.state == BACKOFF and slot.restart_at <= now and slot.handle("due") == "fork":
                self._fork(slot)
        self.orphans.step(now)
        self._durable_starts.step(now)
        self._files.step(now)
        self._prefetch.step(now)
        self._control_server.step(now)
        self._maintenance.step(now)
        self._hooks.step(now)
        self._note_activity()
        self._schedules.step(now, draining=self.draining)
        self._manager.step(now, draining=self.draining and self.restart_with is None)
        watch_unsent(self._selector, self.slots.values())

    def _note_activity(self) -> None:
        """See to `on_idle`."""
        if self.spool.settings.on_idle is None:
            return
        if self.dispatch.assigned:
            self._hooks.note_busy()
        elif not self._hooks.is_idle and self.dispatch.has_nothing_to_start():
            self._hooks.note_idle()

    def _is_done(self) -> bool:
        if self.slots or self.orphans.adopted:
            return False
        if not self.draining and self.clock.monotonic() >= self._linger_until:
            self.drain(now=False)
        return (
            self.draining and self._maintenance.pid is None
        )  # maintenance got SIGTERM, and uses the home until it ends

    def _close(self) -> None:
        self.dispatch.close()
        self._hooks.close()
        self.log.info("stopped action=stop")
        self.log.flush()
        self._control_server.close()
        self._files.close()

    # --- reports of workers

    def _receive_reports(self, *slots: WorkerSlot) -> None:
        for slot in slots:
            for report in slot.receive():
                self._on_report(slot, report)

    def _on_report(self, slot: WorkerSlot, report: dict[str, Any]) -> None:
        said = report["say"]
        if said == "ready":
            slot.handle("ready")
            self._handlers.answer_ready()
        elif said == "started":
            self._on_started(slot, report)
        elif said == "settled":
            self._on_settled(slot, report)
        elif said == "returned":
            self._prefetch.returned(slot, report["id"])
        elif said == "notnow":
            self._prefetch.release(slot, report["id"], report)
            self.emit(Event("moved", report["id"]))
        elif said == "signalled":
            self._on_signalled(slot, report)
        elif said == "pauses":
            self._handlers.answer_pauses(slot.name)
        elif said == "full":
            self.dispatch.disk_space.wait(report["detail"])

    def _on_started(self, slot: WorkerSlot, report: dict[str, Any]) -> None:
        self._prefetch.began(slot, report["id"])
        slot.command, slot.command_pid = report["row"][COMMAND], report["pid"]
        self.dispatch.report(report["row"])
        self._durable_starts.began(report["id"])
        self._emit_start(slot, report)

    def _emit_start(self, slot: WorkerSlot, report: dict[str, Any]) -> None:
        if not self._control_server.has_watchers:
            return
        row = report["row"]
        entry = {"event": "started", "attempt": row[ATTEMPTS], "at": spell(row[STARTED_AT]), "worker": slot.name}
        self.emit(event_of(entry, report["id"], "processing"))

    def _on_settled(self, slot: WorkerSlot, report: dict[str, Any]) -> None:
        job_id, row, event = report["id"], report["row"], report["event"]
        if report["is_short"]:  # its start was not reported
            self._emit_start(slot, report)
        slot.took_s = report["took_s"]
        slot.done += event == "completed"
        slot.failed_attempts += event in ("failed", "died")
        is_old = job_id in self.dispatch.touched  # it may have been deleted since it was settled
        self._prefetch.release(slot, job_id)
        self.orphans.ignore_processes(report["left"])
        self._durable_starts.ended(job_id)
        if DIRECTORY_OF[row[STATE]] != PENDING:
            self._files.know_departure(job_id)
        self.dispatch.report(row)
        if is_old:
            self.dispatch.refresh(job_id)
        if event in BY_OTHERS:
            self._external_changes.note(job_id, row[UPDATED_AT])  # its file will be read as well
        if report["entry"].get("event") == event:
            self.emit(event_of(report["entry"], job_id, row[STATE], row[ATTEMPTS], slot.name))
        else:  # the disk was full, so the verdict only moved the file
            details = {"attempt": row[ATTEMPTS], "worker": slot.name, "exit_code": row[EXIT_CODE]}
            self.emit(Event(event, job_id, row[STATE], details))

    def _on_signalled(self, slot: WorkerSlot, report: dict[str, Any]) -> None:
        if report["sent"]:
            row, entry = report["row"], report["entry"]
            self.dispatch.report(row)
            if entry["event"] == "signalled":
                self.emit(event_of(entry, report["id"], row[STATE], row[ATTEMPTS], slot.name))
        self._handlers.answer_signal(slot.name, report["id"], sent=report["sent"])

    def emit(self, event: Event) -> None:
        """Send an event to the clients that watch; log it if it is unusual."""
        if event.kind in ("rejected", "adopted", "orphaned", "interrupted"):
            self.log.warning(event.sentence())
        if self._control_server.has_watchers:
            self._control_server.broadcast(event.as_dict(self.clock.now()))
        if event.kind in ENDS_A_RUN:
            self._handlers.run_ended(event.job_id)

    # --- workers

    def add_workers(self, count: int) -> list[str]:
        """Start `count` more workers under the lowest free names; return the names."""
        names = []
        for _ in range(count):
            number = next(n for n in range(1, len(self.slots) + 2) if f"worker-{n}" not in self.slots)
            slot = WorkerSlot(f"worker-{number}")
            self.slots[slot.name] = slot
            slot.handle("due")
            self._fork(slot)
            names.append(slot.name)
        return names

    def _fork(self, slot: WorkerSlot) -> None:
        self.dispatch.commit()
        now, wall = self.clock.monotonic(), self.clock.now()
        try:
            fork_worker(slot, self.layout, self.spool.settings, self._base, now, wall)
        except OSError as error:
            self.log.error(f"{slot.name} cannot be started: {error.strerror} action=fork")
            slot.close(now)
            slot.handle("died")
            return
        self._register(slot, lambda: self._receive_reports(slot))
        self.log.info(f"{slot.name} started pid={slot.pid} action=fork")

    def stop_worker(self, slot: WorkerSlot, *, now: bool) -> None:
        """Drain a worker; `now` ends its command and requeues the job."""
        action = slot.handle("stop")
        if now:
            slot.send({"do": "stop"})
        elif action == "drain":
            slot.send({"do": "drain"})
        if slot.state == GONE:
            del self.slots[slot.name]
            self._linger_until = self.clock.monotonic()

    def drain(self, *, now: bool) -> None:
        """Stop all workers, then this process; an earlier request to restart is cancelled."""
        self.log.info(f"draining{' at once' if now else ''} action=drain")
        self.draining = True
        self.restart_with = None
        self._maintenance.stop()
        for slot in [*self.slots.values()]:
            self.stop_worker(slot, now=now)
        if now:
            self.orphans.stop()

    def restart(self) -> None:
        """Stop all workers as their jobs end, then execute the installed code as a new supervisor (see startup).

        Raises:
            InvalidData: the configuration is broken, so no supervisor could start; nothing was changed.
        """
        if self.restart_with is not None:
            return
        config_file.load(self.layout.home, self._environ)
        count = sum(slot.state != STOPPING or slot.replace for slot in self.slots.values())
        self.drain(now=False)
        self.restart_with = count

    def stop_was_requested(self) -> bool:
        """Tell whether a signal to stop has arrived since the loop ended."""
        return not {signal.SIGTERM, signal.SIGINT}.isdisjoint(self._inbox.take())

    def _on_signal(self) -> None:
        for number in self._inbox.take():
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self.reload()
            else:
                self.drain(now=self.draining and self.restart_with is None)

    def _reap(self) -> None:
        dead: dict[int, tuple[int, Any]] = {}
        workers = {slot.pid for slot in self.slots.values()}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            dead[pid] = (status, usage)
        commands = {pid: end for pid, end in dead.items() if pid not in workers}
        for slot in [*self.slots.values()]:
            if slot.pid in dead:
                self._on_death(slot, dead[slot.pid][0], commands)
        self.orphans.reaped(commands)
        self._maintenance.reaped(commands)
        self._hooks.reaped(commands)

    def _known_pids(self) -> set[int]:
        helpers = (self._maintenance.pid, self._hooks.pid)
        pids = [*helpers, *(pid for slot in self.slots.values() for pid in (slot.pid, slot.command_pid))]
        return {pid for pid in pids if pid}

    def _on_death(self, slot: WorkerSlot, status: int, dead: dict[int, tuple[int, Any]]) -> None:
        self._receive_reports(slot)
        self._selector.unregister(slot)
        lost, note, started = [*slot.orders, *slot.unanswered], slot.last_note(), slot.job_started
        if lost or status != 0:
            self.log.error(f"{slot.name} (pid {slot.pid}) died: {end_of_process(status)} action=died")
        elif slot.state != STOPPING:
            self.log.info(f"{slot.name} (pid {slot.pid}) stopped by SIGTERM; it is replaced action=stop")
        slot.forget_job()
        slot.close(self.clock.monotonic())
        if slot.handle("died") != "wait":
            del self.slots[slot.name]
            if slot.replace and not self.draining:
                self._restart(slot.name)
        self._handlers.worker_died(slot.name)
        for job_id in lost:
            self.orphans.reclaim(job_id, note[1] if note and note[0] == job_id else None, started, dead)
        self._linger_until = self.clock.monotonic()  # the last worker may have ended

    def _restart(self, name: str) -> None:
        slot = WorkerSlot(name)
        self.slots[name] = slot
        slot.handle("due")
        self._fork(slot)

    # --- files and configuration

    def look_at_home(self) -> None:
        """Check whether the home and its index still exist."""
        self.dispatch.commit()
        if self._home_watch.has_just_gone():
            self.log.error(f"{self.layout.home} was removed: all workers are stopped action=gone")
            self.drain(now=True)

    def _on_clock(self, watch: ClockWatch) -> None:
        if watch.take():
            self.log.warning("the clock was set action=clock")
            self.dispatch.clock_was_set()
            self._schedules.changed()

    def _read_pauses(self) -> None:
        self.dispatch.order.read_pauses()
        self._schedules.changed()

    def reload(self) -> None:
        """Read the configuration again. If it is broken or unreadable, log this and keep the last valid settings."""
        try:
            settings = config_file.load(self.layout.home, self._environ)
        except QueueError as error:
            self.log.error(f"{error}; the last valid settings stay in force action=reload")
            return
        if settings == self.spool.settings:
            return
        self.spool.settings = settings
        self.dispatch.order.read_limits()
        self._schedules.changed()
        self.log.info("configuration read action=reload")
        for slot in self.slots.values():
            slot.send({"do": "settings", "values": settings.as_dict()})

    # --- what requests ask for

    def cancel(self, job_id: str) -> bool:
        """Cancel a running job; False if it does not run here."""
        for slot in self.slots.values():
            if job_id in slot.orders or job_id in slot.unanswered:
                slot.send({"do": "cancel", "id": job_id})
                return True
        return self.orphans.cancel(job_id)

    def signal(self, job_id: str, attempt: int, number: int) -> str | None:
        """Have a running command sent a signal; return the worker that will say whether it was, None if it runs under none.

        Raises:
            Conflict: it runs under none, and was not adopted.
        """
        for slot in self.slots.values():
            if job_id in slot.orders or job_id in slot.unanswered:
                slot.send({"do": "signal", "id": job_id, "attempt": attempt, "number": number})
                return slot.name
        if not self.orphans.signal(job_id, attempt, number):
            raise not_running(job_id)
        return None

    def announce_pauses(self) -> set[str]:
        """Stop and continue what runs as the pauses want; return the workers that will say that they have."""
        self.dispatch.order.read_pauses()
        self._stopping = self.dispatch.order.stopping
        for slot in self.slots.values():
            slot.send({"do": "pauses", "names": sorted(self._stopping)})
        self.orphans.heed_pauses()
        return {slot.name for slot in self.slots.values() if slot.pipe is not None}

    @property
    def why_polling(self) -> str | None:
        """Why changes of files are found by scanning; None if the system reports them."""
        return self._files.why_not

    def flush(self) -> int:
        """Read everything that has happened; return the comparison after which the index shows it."""
        awaited = self._files.read_all()
        self._receive_reports(*self.slots.values())
        for slot in self.slots.values():
            for job_id in slot.orders:
                self._read_unreported(slot, job_id)
        self.dispatch.commit()
        return awaited

    def _read_unreported(self, slot: WorkerSlot, job_id: str) -> None:
        """Read the file of a job whose worker has claimed or settled it and has not reported that yet."""
        found = self.spool.find(job_id)
        is_reported = found == PROCESSING and slot.job_id == job_id and slot.command_pid is not None
        if found is not None and not is_reported:
            with suppress(QueueError):  # removed meanwhile, or not a valid job any more: an event reports that
                self.dispatch.put(self.spool.read(job_id))
