"""hooks: delivers what happened to jobs to the commands that are configured for it (on_success, on_dead ...).

Guarantees: a report is removed only once its command has been run to its end; a crash before that has it run again. At most
            AT_ONCE commands run at a time, and no more are started than `hook_rate` allows: the rest stays for the next run.
            A command that fails is not repeated; it is logged, and `status` and `check` show it. The job is never changed.
"""

from __future__ import annotations

import os
from collections import deque

from queuectl.errors import InvalidData, QueueError
from queuectl.executor.environment import HOME_TAG, base_environment
from queuectl.executor.hook_runs import HookRun, run_hooks
from queuectl.job.hooks import IDLE, command_of
from queuectl.log import open_log
from queuectl.maintenance.context import Report as TaskReport
from queuectl.spool import deliveries, hooks
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.job import Job
    from queuectl.maintenance.context import TaskContext
    from queuectl.spool.hooks import Report

AT_ONCE = 2
LOG = "hooks"
TEXT_CHARS = 1000  # of a command or an error in the environment


def run_once(context: TaskContext) -> TaskReport:
    """Deliver what may be delivered now."""
    waiting = hooks.reports(context.spool)
    if not waiting:
        return TaskReport()
    if context.dry_run:
        return TaskReport(f"would run {plural(len(waiting), 'hook')}", waiting=len(waiting))
    fd = deliveries.open_to_deliver(context.spool)
    if fd is None:
        return TaskReport()  # another process delivers them
    try:
        return Delivery(context, fd).run()
    finally:
        context.spool.files.close(fd)


class Delivery:
    """One run.

    Args:
        fd: state/deliveries, locked.
    """

    def __init__(self, context: TaskContext, fd: int) -> None:
        self._context = context
        self._spool = context.spool
        self._clock = context.spool.clock
        self._fd = fd
        self._note = deliveries.read(context.spool)
        self._log = open_log(context.layout, LOG)
        self._base = base_environment(os.environ)
        self._of: dict[str, Report] = {}  # by name, those that are being delivered
        self._queued: deque[Report] = deque()
        self._succeeded = self._failed = 0

    def run(self) -> TaskReport:
        """Deliver, and return what was done."""
        for run in run_hooks(self._next, AT_ONCE):
            self._ended(self._of.pop(run.name), run)
        left = len(hooks.reports(self._spool))
        count = self._succeeded + self._failed
        parts = (
            [f"ran {plural(count, 'hook')}" + (f", {self._failed:,} of which failed" if self._failed else "")]
            if count
            else []
        )
        if left:
            rate = self._context.settings.hook_rate
            parts.append(f"{plural(left, 'hook')} {'waits' if left == 1 else 'wait'} (hook_rate: {rate})")
            self._log.info(f"{parts[-1]} action=wait")
        self._log.flush()
        return TaskReport(", ".join(parts), ran=count, hooks_failed=self._failed, waiting=left)

    def _next(self) -> HookRun | None:
        """Return the next command to start; None when there is none, or none may be started now."""
        settings = self._context.settings
        while True:
            now = self._clock.now()
            if self._note.opens_at(settings.hook_rate, now) > now:
                return None
            if not self._queued:
                fresh = [each for each in hooks.reports(self._spool) if each.name not in self._of]
                self._queued.extend(fresh)
                if not fresh:
                    return None
            report = self._queued.popleft()
            run = self._prepare(report)
            if run is not None:
                self._of[report.name] = report
                self._note.count_start(settings.hook_rate, now)
                self._note.write(self._spool, self._fd)
                return run

    def _prepare(self, report: Report) -> HookRun | None:
        """Return what a report has run; None, and the report is removed, when there is nothing to run."""
        settings = self._context.settings
        try:
            job = hooks.job_of(self._spool, report) if report.job_id is not None else None
        except InvalidData as error:
            self._drop(report, f"its file is damaged: {error}")
            return None
        if job is None and report.hook != IDLE:
            return None  # another process has removed it
        command = settings.on_idle if job is None else command_of(report.hook, job.fields, settings)
        if command is None:
            self._drop(report, "no command is configured any more")
            return None
        own = job.fields if job is not None and report.hook in job.fields else {}  # it runs where the job runs
        environment = {**self._base, **own.get("env", {}), **self._variables(report, job)}
        return HookRun(
            report.name,
            command,
            self._stdin(report, job),
            environment,
            str(own.get("cwd") or environment["HOME"]),
            float(settings.hook_timeout),
            float(settings.kill_after),
        )

    def _variables(self, report: Report, job: Job | None) -> dict[str, str]:
        made = {HOME_TAG: self._spool.layout.home, "QUEUECTL_HOOK": report.hook}
        if job is None:
            return made
        output = self._spool.layout.output_of(job.id, job.attempts) if job.attempts else ""
        return {
            **made,
            "QUEUECTL_EVENT": job.last_event,
            "QUEUECTL_JOB_ID": job.id,
            "QUEUECTL_JOB_NAME": str(job.fields.get("name", "")),
            "QUEUECTL_QUEUE": job.queue,
            "QUEUECTL_BATCH": str(job.fields.get("batch", "")),
            "QUEUECTL_STATE": job.state,
            "QUEUECTL_ATTEMPT": str(job.attempts),
            "QUEUECTL_COMMAND": job.command[:TEXT_CHARS],
            "QUEUECTL_EXIT_CODE": "" if job.exit_code is None else str(job.exit_code),
            "QUEUECTL_REASON": job.dead_reason or "",
            "QUEUECTL_ERROR": (job.last_error or "")[:TEXT_CHARS],
            "QUEUECTL_OUTPUT": output,
        }

    def _stdin(self, report: Report, job: Job | None) -> bytes:
        """Return the job as `show --json` has it, or what there is to say of the queue."""
        import json

        from queuectl.client.job_view import Job as JobView
        from queuectl.clock import spell

        if job is None:
            made: dict[str, object] = {
                "hook": report.hook,
                "at": spell(report.at / 1e6),
                "home": self._spool.layout.home,
            }
        else:
            made = JobView(job, self._context.layout, self._context.settings).as_dict()
        return json.dumps(made, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"

    def _ended(self, report: Report, run: HookRun) -> None:
        hooks.remove(self._spool, report)
        self._succeeded += run.error is None
        self._failed += run.error is not None
        output = run.output.replace("\n", " | ")
        words = f"{report.hook} of {_subject(report)}"
        if run.error is None:
            self._log.info(f"{words} succeeded {output} action=hook".replace("  ", " "))
        else:
            self._log.warning(f"{words} failed: {run.error} {output} action=hook")
        last = run.output.splitlines()[-1:]
        error = None if run.error is None else ": ".join([run.error, *last])
        self._note.ended(report.hook, report.job_id, error, self._clock.now())
        self._note.write(self._spool, self._fd)
        self._tell_supervisor(report, error)

    def _tell_supervisor(self, report: Report, error: str | None) -> None:
        """Have those that watch events see it."""
        from queuectl import control_client

        details = {"hook": report.hook, "error": error, "succeeded": error is None}
        if self._context.is_supervised:
            try:
                control_client.ask(self._context.layout, {"do": "hook", "id": report.job_id, **details}, timeout_s=1.0)
            except (QueueError, OSError):
                return  # it has ended meanwhile, or is of an earlier version

    def _drop(self, report: Report, why: str) -> None:
        self._log.warning(f"{report.hook} of {_subject(report)} is not run: {why} action=drop")
        hooks.remove(self._spool, report)


def _subject(report: Report) -> str:
    return "the queue" if report.job_id is None else f"job {report.job_id}"
