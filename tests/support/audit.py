"""What has to be true of a spool after anything whatever has happened to it."""

from __future__ import annotations

import os

from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.spool import batches, hooks
from queuectl.spool.layout import job_id_of
from queuectl.spool.recovery import recover
from queuectl.spool.spool import Spool

DIRECTORIES = (PENDING, PROCESSING, DONE, DEAD)
ENDS = {"completed", "failed", "died", "snoozed", "interrupted"}  # of an attempt


def names(spool: Spool) -> dict[str, dict[str, int]]:
    """Return for each id the directories in which it has a name, with the inode."""
    found: dict[str, dict[str, int]] = {}
    for directory in DIRECTORIES:
        for name in os.listdir(spool.layout.directory(directory)):
            job_id = job_id_of(name)
            if job_id is not None:
                inode = os.lstat(f"{spool.layout.directory(directory)}/{name}").st_ino
                found.setdefault(job_id, {})[directory] = inode
    return found


def check_live(spool: Spool) -> None:
    """Before recovery already: no id stands for two different files, and every file reads as a job."""
    for job_id, places in names(spool).items():
        assert len(set(places.values())) == 1, f"{job_id} is two files: {places}"
        spool.read(job_id)


def mend(spool: Spool) -> None:
    """Do what the next start does: recover, then look at everything that waits."""
    for found in recover(spool, lambda job: spool.run_is_locked(job.id, job.attempts)):
        assert found.claim is None, f"{found.job_id} is alive"
    for name in list(spool.files.names(spool.layout.directory(PENDING))):
        spool.examine(name)
        job_id = job_id_of(name)
        claim = spool.take_in(PENDING, job_id) if job_id else None  # moves on what has ended
        if claim is not None:
            claim.close()
    for batch in batches.open_batches(spool):  # as maintenance does
        note = batches.note_of(spool, batch)
        if note is not None:
            batches.publish(spool, batch, note["job"])


def check_mended(spool: Spool) -> dict[str, Job]:
    """After recovery: each id is one name in one directory, nothing is in processing/, no attempt ended twice.

    Returns:
        The jobs.
    """
    jobs = {}
    for job_id, places in names(spool).items():
        assert len(places) == 1, f"{job_id} has several names: {places}"
        assert PROCESSING not in places, f"{job_id} is left in processing/"
        job = jobs[job_id] = spool.read(job_id)
        events = [entry["event"] for entry in job.history]
        running = "compacted" in events
        for event in events:
            assert running or event not in ENDS or event == "died", f"{job_id}: an attempt ended twice: {events}"
            running = event == "started" or (running and event not in ENDS)
    reported = {report.name for report in hooks.reports(spool)}
    for job in jobs.values():  # nothing delivers reports here, so that each is still there
        calls = hooks.calls_of(spool, job, job.history[-1]) if job.history else []
        assert reported.issuperset(calls), f"{job.id}: {calls} were not written; there are {reported}"
        batch = batches.batch_of(job.fields)
        if batch is not None and job.directory in (DONE, DEAD):
            assert spool.files.exists(spool.layout.batch(batch)), f"batch {batch} of {job.id} is not registered"
    return jobs


def open_descriptors() -> set[str]:
    """Return what this process has open. Some of it may be closed at any time: what another test left to the collector."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            continue  # the descriptor of the listing itself
    return found
