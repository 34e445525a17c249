"""check_jobs: checks of the job files that the scan found, and their repairs.

Guarantees: each repair takes the job's lock and is a verb of the spool or a step of its recovery, so it may be killed at
            any instant and may run beside a supervisor. No job is deleted; none is moved back while its attempt may run.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from queuectl.clock import spell
from queuectl.doctor.result import ERROR, INFO, WARN, Finding, few, quoted
from queuectl.errors import Busy
from queuectl.health import START
from queuectl.job.fields import describe_misspelt
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.scheduling.dependencies import find_cycle
from queuectl.spool.intake import ClaimRefused, RefusalReason
from queuectl.spool.layout import SUFFIX
from queuectl.spool.recovery import RecoveryResult
from queuectl.units import plural, spell_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from queuectl.doctor.scan import Context, SuspectEntry

    RepairFunction = Callable[[Context, Iterable[SuspectEntry]], str]


def _suspects(
    context: Context, kind: str, level: str, text: str, repair: RepairFunction | str, *directories: str
) -> Iterator[Finding]:
    """Yield one finding for all entries of a kind.

    Args:
        text: "{}" stands for the names of the entries, "{detail}" and "{path}" for those of the first one.
        repair: its repair, or what the user can do.
    """
    found = context.scan.of(kind, *directories)
    if found:
        first = {"detail": found[0].detail, "path": quoted(found[0].path)}
        words = text.format(context.scan.described(kind, *directories), **first)
        if isinstance(repair, str):
            yield Finding(level, words, repair.format(**first))
        else:
            yield Finding(level, words, repair=partial(repair, context, found))


def stranded(context: Context) -> Iterator[Finding]:
    """Jobs in processing/ without a worker."""
    found = [*context.scan.of("stranded"), *context.scan.of("stranger", PROCESSING)]
    if not found:
        return
    text = (
        f"no worker runs {few([str(seen) for seen in found])}: its worker was killed, or the file was put there by hand"
    )
    if context.has_supervisor:
        cure = f"queuectl worker stop --wait, then: {START}"
        yield Finding(WARN, f"{text}; the supervisor recovers it when it starts", cure)
    else:
        yield Finding(WARN, text, repair=partial(_recover, context))


def _recover(context: Context) -> str:
    from queuectl.supervisor.orphans import recover_now

    recovered, alive = [], []
    for found in recover_now(context.spool):
        if found.result == RecoveryResult.ALIVE:
            alive.append(found.job_id)
        elif found.result != RecoveryResult.OWNED:
            recovered.append(f"{found.job_id} ({found.detail or found.result})")
    if alive:
        raise Busy(f"the command of {few(alive)} is still running without a worker; a supervisor ends it: {START}")
    return f"recovered {few(recovered)}"


def strangers(context: Context) -> Iterator[Finding]:
    """Files in the spool that are not valid jobs, or damaged ones."""
    text = "{} cannot be run ({detail}); a supervisor moves it to spool/rejected"
    yield from _suspects(context, "stranger", WARN, text, _examine, PENDING)
    text = "{} cannot be read as a job ({detail}); it will be moved to spool/rejected"
    yield from _suspects(context, "stranger", ERROR, text, _reject, DONE, DEAD)


def _examine(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Examine each as a supervisor would, which rejects invalid files."""
    done = []
    for seen in found:
        answer = context.spool.examine(seen.name)
        if not isinstance(answer, ClaimRefused):
            done.append(f"{seen} is a job")
        elif answer.reason == RefusalReason.REJECTED:
            done.append(f"moved to spool/{answer.detail}")
        else:
            done.append(f"{seen}: {answer.detail or answer.reason}")
    return few(done)


def _reject(context: Context, found: Iterable[SuspectEntry]) -> str:
    kept = [f"rejected/{context.spool.reject(seen.directory, seen.name, seen.detail)}" for seen in found]
    return f"moved to spool/{few(kept)}"


def unreadable(context: Context) -> Iterator[Finding]:
    """Files that cannot be read."""
    cure = "look for disk errors (dmesg), and try: cat {path}"
    yield from _suspects(context, "unreadable", ERROR, "{} cannot be read: {detail}", cure)


def torn(context: Context) -> Iterator[Finding]:
    """Jobs whose last entry a crash truncated; they are read without it."""
    text = "a crash has truncated the last entry of {}; the rest is complete"
    yield from _suspects(context, "torn", WARN, text, _copy, PENDING, DONE, DEAD)


def _copy(context: Context, found: Iterable[SuspectEntry]) -> str:
    done = []
    for seen in found:
        claim = context.spool.take_in(seen.directory, seen.job_id)
        if claim is None:
            continue
        with claim:
            status = context.lstat(seen.path)
            if claim.job.is_torn or (status is not None and status.st_nlink > 1):
                claim.copy()
                done.append(seen.job_id)
        context.spool.note_change(seen.job_id)
    return f"rewrote {few(done)}"


def unfiled(context: Context) -> Iterator[Finding]:
    """Jobs in pending/ that have ended."""
    text = "{} has ended ({detail}) but was not moved out of pending/; it is never run again"
    yield from _suspects(context, "unfiled", WARN, text, _take)


def links(context: Context) -> Iterator[Finding]:
    """One file under two names, as a power cut can leave it."""
    found = context.scan.of("linked")
    if found:
        pairs = few([f"{seen} and spool/{seen.detail}" for seen in found])
        yield Finding(WARN, f"one file has two names: {pairs}", repair=partial(_take, context, found))


def shared(context: Context) -> Iterator[Finding]:
    """Jobs whose file has another name, in a copy made of links or by hand."""
    text = "{} has another name elsewhere (a hard link), so another program may change it; the job gets its own file"
    yield from _suspects(context, "shared", WARN, text, _copy)


def _take(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Lock each job; the spool then moves it to its directory."""
    moved = []
    for seen in found:
        claim = context.spool.take_in(seen.directory, seen.job_id)
        if claim is not None:
            claim.close()
        context.spool.note_change(seen.job_id)
        moved.append(f"spool/{context.spool.find(seen.job_id)}/{seen.job_id}{SUFFIX}")
    return f"kept {few(moved)}"


def duplicates(context: Context) -> Iterator[Finding]:
    """One id for two jobs."""
    found = context.scan.of("twice")
    if not found:
        return
    pairs = [f"{seen.job_id} in {seen.directory}/ and {seen.detail}/" for seen in found]
    text = f"two jobs have the same id: {few(pairs)}; the second is never shown"
    yield Finding(ERROR, text, repair=partial(_part, context, found))


def _part(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Reject or rename one of two jobs of one id as FORMAT.md says: the job that has run keeps the id."""
    said = []
    for seen in found:
        if seen.directory == PENDING:
            said.append(_examine(context, [seen]))
        elif seen.directory == PROCESSING:
            said.append(_recover(context))
        else:
            said.append(_keep_done(context, seen.job_id))
    return few(said)


def _keep_done(context: Context, job_id: str) -> str:
    claim = context.spool.take_in(DEAD, job_id)
    if claim is None:
        raise Busy(f"spool/dead/{job_id}{SUFFIX} is in use by another process", "try again")
    with claim:
        reason = f"duplicate-of {job_id}: a job of this id is in done/"
        return f"moved to spool/rejected/{context.spool.reject(DEAD, job_id + SUFFIX, reason)}"


def ignored(context: Context) -> Iterator[Finding]:
    """Files in pending/ whose names are ignored."""
    found = context.scan.of("ignored")
    if found:
        oldest = min((status.st_mtime for seen in found if (status := context.lstat(seen.path))), default=context.now)
        age = spell_duration(context.now - oldest)
        text = f"{context.scan.described('ignored')} is ignored, for {age}: only names that end in {SUFFIX} are jobs"
        cure = f"cd {quoted(context.layout.directory(PENDING))}; rename jobs to NAME{SUFFIX}, delete the rest"
        yield Finding(WARN, text, cure)


def far(context: Context) -> Iterator[Finding]:
    """Jobs that wait for a time so far away that it may be a mistake."""
    first = context.scan.first_far
    if first is not None:
        job_id, due_at = first
        text = f"{plural(context.scan.far, 'job')} will not start for over a year: {job_id} waits until {spell(due_at)[:19]}Z"
        yield Finding(INFO, text, f"if that is a mistake: queuectl retry {job_id}")


def cycles(context: Context) -> Iterator[Finding]:
    """Jobs that come after each other, as dropped files or edits at the same moment can have it."""
    found = find_cycle(context.scan.after)
    if found:
        whom = f"{few(found)} come after each other" if len(found) > 1 else f"{found[0]} comes after itself"
        yield Finding(WARN, f"{whom}, so none of them can start", f"queuectl edit {found[0]} --unset after")


def fields(context: Context) -> Iterator[Finding]:
    """Jobs with a field that has no effect and looks like a misspelt one."""
    first = context.scan.first_misspelt
    if first is not None:
        job_id, field, meant = first
        text = f"{plural(context.scan.misspelt, 'job')} with a field that looks misspelt: {job_id}: {describe_misspelt(field, meant)}"
        yield Finding(WARN if context.scan.misspelt_to_run else INFO, text, f"queuectl show {job_id}")


def without_input(context: Context) -> Iterator[Finding]:
    """Waiting jobs whose input is missing."""
    first = context.scan.first_without_input
    if first is not None:
        path = context.layout.input_of(first)
        text = f"{plural(context.scan.without_input, 'waiting job')} whose input is missing: {first} needs {path}"
        yield Finding(WARN, text, f"restore the file from a backup, or: queuectl cancel {first}")
