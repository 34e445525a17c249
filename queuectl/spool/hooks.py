"""hooks: what has happened to jobs and is to be reported to a command, until the command has been run.

Owns:       state/hooks/, with a copy of a job for each report that is not delivered yet.
Guarantees: the copy is durable before the verdict moves the job, so that no crash loses a report; recovery, which completes
            the move, makes it again if it is missing. What happens to the job later does not change the copy. Where no hook is
            configured, nothing is written or looked for.
Fails with: SpoolFull, OSError: then the verdict does not move the job, and the same call may be repeated.
Source:     spool/FORMAT.md § Hooks.
"""

from __future__ import annotations

from queuectl.clock import instant_of
from queuectl.errors import InvalidData
from queuectl.ids import is_id
from queuectl.job.fields import HOOKS
from queuectl.job.history import DEAD, DONE, LEADS_TO, PENDING
from queuectl.job.hooks import IDLE, called_by, command_of
from queuectl.job.job import Job
from queuectl.job.job_file import MAX_FILE_BYTES, parse
from queuectl.spool.fs import FULL, READ
from queuectl.spool.locked_file import SpoolFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.job.history import Entry
    from queuectl.job.job_file import Record
    from queuectl.spool.context import SpoolContext

QUEUE = "_queue"  # in the place of an id: the report is of the whole queue
MOVED_TO = {"on_success": DONE, "on_cancel": DONE, "on_dead": DEAD}  # where a job is whose verdict was not written


class Report:
    """One report that is to be delivered.

    Attributes:
        name: of its file: ID.AT.HOOK.
        job_id: None for `on_idle`.
        at: when it happened, in microseconds since 1970.
    """

    __slots__ = ("at", "hook", "job_id", "name")

    def __init__(self, name: str, job_id: str | None, at: int, hook: str) -> None:
        self.name = name
        self.job_id = job_id
        self.at = at
        self.hook = hook


def calls_of(spool: SpoolContext, job: Job, entry: Entry) -> list[str]:
    """Return the names of the reports that a verdict on a job makes: one for each hook that is configured."""
    wanted = [hook for hook in called_by(entry) if command_of(hook, job.fields, spool.settings) is not None]
    return [_name(job.id, instant_of(entry["at"]), hook) for hook in wanted]


def _name(job_id: str, at: float, hook: str) -> str:
    return f"{job_id}.{round(at * 1e6)}.{hook}"


def write(spool: SpoolContext, names: list[str], record: Record | None) -> None:
    """Write reports, each with the job as its verdict left it; the directory is left to the caller to sync."""
    data = b"{}" if record is None else record.body + record.tail
    for name in names:
        for may_free in (True, False):
            try:
                _write(spool, name, data)
                break
            except FileExistsError:
                break  # an earlier call, or the process that wrote the verdict, has made it
            except FileNotFoundError:
                if not (may_free and spool.layout.has_spool):
                    raise
                spool.layout.ensure()  # a home of an earlier version
            except OSError as error:
                if error.errno not in FULL:
                    raise
                if not (may_free and spool.free_ballast()):
                    raise SpoolFull(f"cannot write {spool.layout.hooks}/{name}: the disk is full") from None


def _write(spool: SpoolContext, name: str, data: bytes) -> None:
    path = f"{spool.layout.hooks}/{name}"
    if spool.files.exists(path):
        return
    spool.write_new(data, spool.layout.tmp, path)


def report_idle(spool: SpoolContext) -> None:
    """Write the report that the queue is idle."""
    write(spool, [_name(QUEUE, spool.clock.now(), IDLE)], None)
    sync(spool)


def sync(spool: SpoolContext) -> None:
    """Make the names of reports durable."""
    if spool.is_durable:
        spool.files.sync_directory(spool.layout.hooks)


def reports(spool: SpoolContext) -> list[Report]:
    """Return what is to be delivered, the oldest first; names that are none of ours are passed over."""
    found = filter(None, map(report_of, spool.names_in(spool.layout.hooks)))
    return sorted(found, key=lambda report: (report.at, report.name))


def report_of(name: str) -> Report | None:
    """Return the report that a file name in state/hooks/ stands for; None when it is not called as such files are."""
    rest, _, hook = name.rpartition(".")
    job_id, _, at = rest.rpartition(".")
    if not (at.isascii() and at.isdigit() and len(at) < 20):
        return None
    if job_id == QUEUE and hook == IDLE:
        return Report(name, None, int(at), hook)
    return Report(name, job_id, int(at), hook) if is_id(job_id) and hook in HOOKS else None


def job_of(spool: SpoolContext, report: Report) -> Job | None:
    """Return the job of a report as it was then; None when the report has gone.

    Raises:
        InvalidData: its file is damaged.
    """
    try:
        fd = spool.files.open(f"{spool.layout.hooks}/{report.name}", READ)
    except FileNotFoundError:
        return None
    try:
        data, seen_at = spool.files.read(fd, MAX_FILE_BYTES), spool.files.fstat(fd).st_mtime
    finally:
        spool.files.close(fd)
    record = parse(data)
    if report.job_id is None:
        raise InvalidData("not the report of a job")
    job = Job(report.job_id, record, PENDING, seen_at)
    job.directory = MOVED_TO.get(report.hook) or LEADS_TO.get(job.last_event, PENDING)
    return job


def remove(spool: SpoolContext, report: Report) -> None:
    """Remove a report that was delivered. A power cut can bring it back; then it is delivered again."""
    try:
        spool.files.unlink(f"{spool.layout.hooks}/{report.name}")
    except FileNotFoundError:
        return
