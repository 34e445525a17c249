"""checks: every check in the order in which it is made, and mending what they find.

Guarantees: a check that cannot be made is an error of its own and keeps the others from nothing. The order is that in
            which mending makes sense: who may write where, then what lies there, then what is derived from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.doctor import (
    check_attributes,
    check_configuration,
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

    from queuectl.doctor.context import Context

    CheckFunction = Callable[[Context], Iterator[Finding]]

NO_HOME = "there is no {} yet; it is made with the first job"


class Check:
    """One row of the table; `about` says what is so when nothing is found."""

    __slots__ = ("about", "function", "name")

    def __init__(self, name: str, about: str, function: CheckFunction) -> None:
        self.name = name
        self.about = about
        self.function = function


CHECKS = (
    Check("modes", "nobody else can write here, or look into the home", check_directories.modes),
    Check("folders", "every directory is there and is one", check_directories.folders),
    Check("owners", "all files and directories belong to you", check_directories.owners),
    Check("attributes", "no file or directory is immutable (chattr +i or +a)", check_attributes.kept),
    Check("file-system", "the file system of the home is supported", check_directories.file_system),
    Check("strangers", "the home contains no foreign files", check_directories.strangers),
    Check("disk", "the disk has free space", check_machine.disk),
    Check("inodes", "the disk takes more files", check_machine.inodes),
    Check("ballast", "space is reserved for verdicts on a full disk", check_machine.ballast),
    Check("clock", "no file has a time in the future", check_machine.clock),
    Check("limits", "a process may open enough files", check_machine.limits),
    Check("logs", "logs are as small as rotation keeps them", check_machine.logs),
    Check("configuration", "config.yaml is valid", check_configuration.file),
    Check("environment", "the variables that override it are valid", check_configuration.environment),
    Check("supervisor", "the supervisor, if one runs, answers and works normally", check_supervisor.supervisor),
    Check("version", "the supervisor has the installed version", check_supervisor.version),
    Check("events", "the system reports changed files to the supervisor", check_supervisor.events),
    Check("traces", "no killed supervisor has left files", check_supervisor.traces),
    Check("stranded", "every job in processing/ has a worker", check_jobs.stranded),
    Check("no-jobs", "every file in the spool is a job", check_jobs.strangers),
    Check("unreadable", "every job file can be read", check_jobs.unreadable),
    Check("torn", "every job file is whole", check_jobs.torn),
    Check("unfiled", "every ended job is in done/ or dead/", check_jobs.unfiled),
    Check("links", "every job has one name", check_jobs.links),
    Check("shared", "no job file has a hard link elsewhere", check_jobs.shared),
    Check("duplicates", "every id belongs to one job", check_jobs.duplicates),
    Check("ignored", "no file in pending/ is ignored because of its name", check_jobs.ignored),
    Check("far", "no job is scheduled more than a year ahead", check_jobs.far),
    Check("fields", "no field of a job looks misspelt", check_jobs.fields),
    Check("litter", "no abandoned temporary file exists", check_temp_files.temp_files),
    Check("outputs", "every output belongs to a job", check_temp_files.outputs),
    Check("inputs", "every input belongs to a job", check_temp_files.inputs),
    Check("rejected", "no file was rejected", check_temp_files.rejected),
    Check("reasons", "every reason file belongs to a rejected file", check_temp_files.reasons),
    Check("index", "the index can be read and agrees with the files", check_index.index),
    Check("workers", "workers are running for the jobs that are due", check_supervisor.workers),
)


class Repair:
    """What became of a finding that could be mended.

    Attributes:
        text: what was done, or why it could not be.
    """

    __slots__ = ("check", "is_done", "text")

    def __init__(self, check: str, text: str, *, is_done: bool) -> None:
        self.check = check
        self.text = text
        self.is_done = is_done

    def as_dict(self) -> dict[str, object]:
        """Return what JSON has."""
        return {"check": self.check, "done": self.is_done, "text": self.text}


def examine(context: Context) -> list[Finding]:
    """Make every check; the worst findings come last. Of a home that does not exist there is one thing to say."""
    if not context.find():
        found = Finding(INFO, NO_HOME.format(context.layout.home), "queuectl enqueue --command 'echo hello'")
        found.check = "folders"
        return [found]
    checks = [check for check in CHECKS if check.name == "modes"] if context.is_closed else CHECKS
    findings = [finding for check in checks for finding in _run(check, context)]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def repair_all(context: Context) -> list[Repair]:
    """Mend what can be mended, check by check; each sees what those before it have mended."""
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
        found = Finding(ERROR, f"it cannot be told whether {check.about}: {reason}", "look at what the message names")
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
