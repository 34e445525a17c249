"""check_jobs: checks of the job files, from what the survey saw, and their cures by the spool's own verbs.

Guarantees: every cure takes the job's lock and is a verb of the spool or a step of its recovery, so that it may die at
            any instant and be done beside a supervisor; no job is deleted, none is put back while its run may live.
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
from queuectl.spool.intake import ClaimRefused, RefusalReason
from queuectl.spool.layout import SUFFIX
from queuectl.spool.recovery import RecoveryResult
from queuectl.units import plural, spell_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from queuectl.doctor.context import Context
    from queuectl.doctor.scan import SuspectEntry

RESTART = "queuectl worker stop --wait, then: " + START


def stranded(context: Context) -> Iterator[Finding]:
    """Jobs in processing/ that nobody runs."""
    found = [*context.scan.of("stranded"), *context.scan.of("stranger", PROCESSING)]
    if not found:
        return
    text = f"nobody runs {few([str(seen) for seen in found])}: who did was killed, or it was put there by hand"
    if context.has_supervisor:
        yield Finding(WARN, f"{text}; the supervisor looks there when it starts", RESTART)
    else:
        yield Finding(WARN, text, repair=partial(_recover, context))


def _recover(context: Context) -> str:
    from queuectl.supervisor.orphans import recover_now

    mended, alive = [], []
    for found in recover_now(context.spool):
        if found.result == RecoveryResult.ALIVE:
            alive.append(found.job_id)
        elif found.result != RecoveryResult.OWNED:
            mended.append(f"{found.job_id} ({found.detail or found.result})")
    if alive:
        raise Busy(f"the command of {few(alive)} still runs, without a worker; a supervisor ends it: {START}")
    return f"recovered {few(mended)}"


def strangers(context: Context) -> Iterator[Finding]:
    """Files in the spool that are no jobs, or damaged ones."""
    waiting = context.scan.of("stranger", PENDING)
    if waiting:
        text = f"{context.scan.described('stranger', PENDING)} cannot be run ({waiting[0].detail})"
        cured = f"{text}; a supervisor sets it aside in spool/rejected"
        yield Finding(WARN, cured, repair=partial(_examine, context, waiting))
    ended = context.scan.of("stranger", DONE, DEAD)
    if ended:
        text = f"{context.scan.described('stranger', DONE, DEAD)} cannot be read as a job ({ended[0].detail})"
        yield Finding(ERROR, f"{text}; it is set aside in spool/rejected", repair=partial(_set_aside, context, ended))


def _examine(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Have each looked at as a supervisor would, which sets aside what is no job."""
    said = []
    for seen in found:
        answer = context.spool.examine(seen.name)
        if not isinstance(answer, ClaimRefused):
            said.append(f"{seen} is a job")
        elif answer.reason == RefusalReason.REJECTED:
            said.append(f"moved to spool/{answer.detail}")
        else:
            said.append(f"{seen}: {answer.detail or answer.reason}")
    return few(said)


def _set_aside(context: Context, found: Iterable[SuspectEntry]) -> str:
    kept = [f"rejected/{context.spool.reject(seen.directory, seen.name, seen.detail)}" for seen in found]
    return f"moved to spool/{few(kept)}"


def unreadable(context: Context) -> Iterator[Finding]:
    """Files that the disk, or the system, does not give."""
    found = context.scan.of("unreadable")
    if found:
        text = f"{context.scan.described('unreadable')} cannot be read: {found[0].detail}"
        yield Finding(ERROR, text, f"look for errors of the disk (dmesg), and try: cat {quoted(found[0].path)}")


def torn(context: Context) -> Iterator[Finding]:
    """Jobs whose last entry a crash cut off; they read as before it."""
    found = context.scan.of("torn", PENDING, DONE, DEAD)
    if found:
        text = f"a crash has cut off the last entry of {context.scan.described('torn', PENDING, DONE, DEAD)}; the rest is whole"
        yield Finding(WARN, text, repair=partial(_copy, context, found))


def _copy(context: Context, found: Iterable[SuspectEntry]) -> str:
    done = []
    for seen in found:
        claim = context.spool.take_in(seen.directory, seen.job_id)
        if claim is None:
            continue
        with claim:
            if claim.job.is_torn or _has_other_names(context, seen.path):
                claim.copy()
                done.append(seen.job_id)
        context.spool.note_change(seen.job_id)
    return f"wrote {few(done)} anew"


def _has_other_names(context: Context, path: str) -> bool:
    status = context.lstat(path)
    return status is not None and status.st_nlink > 1


def unfiled(context: Context) -> Iterator[Finding]:
    """Jobs in pending/ that have ended."""
    found = context.scan.of("unfiled")
    if found:
        text = f"{context.scan.described('unfiled')} has ended ({found[0].detail}) and was not moved out of pending/"
        yield Finding(WARN, f"{text}; it is never run again", repair=partial(_take, context, found))


def links(context: Context) -> Iterator[Finding]:
    """One file under two names, as a power cut can leave it."""
    found = context.scan.of("linked")
    if found:
        pairs = [f"{seen} and spool/{seen.detail}" for seen in found]
        yield Finding(WARN, f"one file has two names: {few(pairs)}", repair=partial(_take, context, found))


def shared(context: Context) -> Iterator[Finding]:
    """Jobs whose file has another name, in a copy made of links or by hand."""
    found = context.scan.of("shared")
    if found:
        text = f"{context.scan.described('shared')} has another name elsewhere (a hard link), which changes with it"
        yield Finding(WARN, f"{text}; the job gets a file of its own", repair=partial(_copy, context, found))


def _take(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Lock each; to be locked is what makes the spool tidy it."""
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
    text = f"one id stands for two jobs: {few(pairs)}; the second is never shown"
    yield Finding(ERROR, text, repair=partial(_part, context, found))


def _part(context: Context, found: Iterable[SuspectEntry]) -> str:
    """Give each of two jobs of one id what is its own, as FORMAT.md says: what waits gives way to what ran."""
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
        raise Busy(f"spool/dead/{job_id}{SUFFIX} is in somebody's hand", "try again")
    with claim:
        reason = f"duplicate-of {job_id}: a job of this id is in done/"
        return f"moved to spool/rejected/{context.spool.reject(DEAD, job_id + SUFFIX, reason)}"


def ignored(context: Context) -> Iterator[Finding]:
    """Names in pending/ that are passed over."""
    found = context.scan.of("ignored")
    if found:
        text = f"{context.scan.described('ignored')} {_age(context, found)}: only names that end in {SUFFIX} are jobs"
        path = context.layout.directory(PENDING)
        yield Finding(WARN, text, f"cd {quoted(path)}; rename to NAME{SUFFIX} what is a job, delete the rest")


def _age(context: Context, found: Iterable[SuspectEntry]) -> str:
    oldest = min((status.st_mtime for seen in found if (status := context.lstat(seen.path))), default=context.now)
    return f"was left there {spell_duration(context.now - oldest)} ago and is not looked at"


def far(context: Context) -> Iterator[Finding]:
    """Jobs that wait for a time so far away that it may be a mistake."""
    first = context.scan.first_far
    if first is not None:
        job_id, due_at = first
        text = f"{plural(context.scan.far, 'job')} will not start for over a year: {job_id} waits until {spell(due_at)[:19]}Z"
        yield Finding(INFO, text, f"if that is a mistake: queuectl retry {job_id}")


def fields(context: Context) -> Iterator[Finding]:
    """Jobs with a field that has no effect and looks like a misspelt one."""
    first = context.scan.first_misspelt
    if first is not None:
        job_id, field, meant = first
        text = (
            f"{plural(context.scan.misspelt, 'job')} with a misspelt field: {job_id}: {describe_misspelt(field, meant)}"
        )
        yield Finding(WARN if context.scan.misspelt_to_run else INFO, text, f"queuectl show {job_id}")
