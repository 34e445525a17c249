"""checks: the table of all checks, and the repair of what they find.

Guarantees: a check that fails is an error finding of its own and does not stop the others. The order is that in which
            repairs make sense: modes and directories, then the files in them, then what is derived from the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from queuectl.doctor import (
    check_directories,
    check_index,
    check_jobs,
    check_machine,
    check_supervisor,
    check_temp_files,
)
from queuectl.doctor.result import ERROR, INFO, LEVELS, OK, Finding
from queuectl.errors import QueueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from queuectl.doctor.scan import Context

    CheckFunction = Callable[[Context], Iterator[Finding]]

NO_HOME = "there is no {} yet; it is created with the first job"


class Check(NamedTuple):
    """One row of the table; `about` is true when nothing is found."""

    name: str
    about: str
    function: CheckFunction


CHECKS = (
    Check("modes", "no other user can write to or read the home", check_directories.modes),
    Check("folders", "every directory exists", check_directories.folders),
    Check("owners", "all files and directories belong to you", check_directories.owners),
    Check("attributes", "no file or directory is immutable (chattr +i or +a)", check_directories.kept),
    Check("file-system", "the file system of the home is supported", check_directories.file_system),
    Check("strangers", "the home contains no foreign files", check_directories.strangers),
    Check("disk", "the disk has free space", check_machine.disk),
    Check("inodes", "the disk has free inodes", check_machine.inodes),
    Check("ballast", "space is reserved for the results of running jobs on a full disk", check_machine.ballast),
    Check("clock", "no file has a time in the future", check_machine.clock),
    Check("limits", "a process may open enough files", check_machine.limits),
    Check("logs", "log rotation works", check_machine.logs),
    Check("configuration", "config.yaml is valid", check_machine.configuration),
    Check("schedules", "every schedule is valid", check_machine.schedules),
    Check("environment", "the variables that override it are valid", check_machine.environment),
    Check("supervisor", "the supervisor, if one runs, answers and works normally", check_supervisor.supervisor),
    Check("version", "the supervisor has the installed version", check_supervisor.version),
    Check("events", "the system reports changed files to the supervisor", check_supervisor.events),
    Check("traces", "no killed supervisor has left files", check_supervisor.traces),
    Check("stranded", "every job in processing/ has a worker", check_jobs.stranded),
    Check("no-jobs", "every file in the spool is a valid job", check_jobs.strangers),
    Check("unreadable", "every job file can be read", check_jobs.unreadable),
    Check("torn", "every job file is complete", check_jobs.torn),
    Check("unfiled", "every ended job is in done/ or dead/", check_jobs.unfiled),
    Check("links", "every job file has one name", check_jobs.links),
    Check("shared", "no job file has a hard link elsewhere", check_jobs.shared),
    Check("duplicates", "every id belongs to one job", check_jobs.duplicates),
    Check("ignored", "no file in pending/ is ignored because of its name", check_jobs.ignored),
    Check("far", "no job is scheduled more than a year ahead", check_jobs.far),
    Check("cycles", "no job comes after itself", check_jobs.cycles),
    Check("fields", "no field of a job looks misspelt", check_jobs.fields),
    Check("without-input", "every waiting job has its input", check_jobs.without_input),
    Check("litter", "no abandoned temporary file exists", check_temp_files.temp_files),
    Check("outputs", "every output belongs to a job", check_temp_files.outputs),
    Check("inputs", "every input belongs to a job", check_temp_files.inputs),
    Check("rejected", "no file was rejected", check_temp_files.rejected),
    Check("reasons", "every reason file belongs to a rejected file", check_temp_files.reasons),
    Check("index", "the index can be read and agrees with the files", check_index.index),
    Check("workers", "workers are running for the jobs that are due", check_supervisor.workers),
)


class Repair(NamedTuple):
    """The result of a repair; `text` is what was done, or why it could not be done."""

    check: str
    text: str
    is_done: bool

    def as_dict(self) -> dict[str, object]:
        """Return what JSON has."""
        return {"check": self.check, "done": self.is_done, "text": self.text}


def examine(context: Context) -> list[Finding]:
    """Make every check; the worst findings come last. A home that does not exist is one finding."""
    if not context.find():
        found = Finding(INFO, NO_HOME.format(context.layout.home), "queuectl enqueue --command 'echo hello'")
        found.check = "folders"
        return [found]
    checks = [check for check in CHECKS if check.name == "modes"] if context.is_closed else CHECKS
    findings = [finding for check in checks for finding in _run(check, context)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def repair_all(context: Context) -> list[Repair]:
    """Repair what can be repaired, check by check; each check sees the repairs of those before it."""
    return [done for check in CHECKS for finding in _run(check, context) for done in _repaired(finding, context)]


def _repaired(finding: Finding, context: Context) -> Iterator[Repair]:
    if finding.repair is None:
        return
    try:
        yield Repair(finding.check, finding.repair(), is_done=True)
    except (QueueError, OSError) as error:
        yield Repair(finding.check, _in_words(error), is_done=False)
    context.refresh()


def _run(check: Check, context: Context) -> Iterator[Finding]:
    try:
        for finding in check.function(context):
            finding.check = check.name
            yield finding
    except (QueueError, OSError) as error:
        reason = _in_words(error)
        found = Finding(ERROR, f"could not check that {check.about}: {reason}", "check the file that the message names")
        found.check, found.reason = check.name, reason
        yield found


def _in_words(error: QueueError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def level_of(findings: list[Finding], check: str = "") -> str:
    """Return the worst level, of one check or of all."""
    levels = [finding.level for finding in findings if check in ("", finding.check)]
    return max(levels, key=LEVELS.index, default=OK)
