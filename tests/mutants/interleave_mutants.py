"""Steps in the wrong order, which only another process between them shows."""

from __future__ import annotations

from tests.mutants.run_mutant import Mutant

PAIR = "tests/interleave/test_pairs.py::test_two_verbs_on_one_job"
CONTENTION = "tests/interleave/test_pairs.py::test_two_verbs_that_contend_for_something"
TRIPLE = "tests/interleave/test_triples.py::test_three_verbs"
FOUND = "tests/interleave/test_found.py::test_"

INTERLEAVING = (
    Mutant(
        "a job is not looked for again where it lay, once it is locked",
        "spool/locking.py",
        (
            (
                "if there is None or there.st_ino != status.st_ino:\n            return None",
                "if False:\n            return None",
            ),
        ),
        (f"{PAIR}[revive+delete]",),
        "a job that was just revived is deleted as a finished one",
    ),
    Mutant(
        "a claim does without the lock",
        "spool/intake.py",
        (
            (
                "if not spool.files.try_lock(fd):\n            return ClaimRefused(RefusalReason.BUSY, BUSY_S)\n        status",
                "status",
            ),
        ),
        (f"{PAIR}[finish+hold]",),
        "a job starts while it is being held",
    ),
    Mutant(
        "a job is read before it is locked",
        "spool/locking.py",
        (
            (
                "        if not spool.files.try_lock(fd):\n            return None\n        status",
                "        data = spool.files.read(fd, MAX_FILE_BYTES)\n        if not spool.files.try_lock(fd):\n            return None\n        status",
            ),
            ("read_record(spool.files.read(fd, MAX_FILE_BYTES), directory", "read_record(data, directory"),
        ),
        (f"{PAIR}[hold+edit]",),
        "a change that another process has just made is undone",
    ),
    Mutant(
        "what runs is counted without run/limits.lock",
        "spool/running.py",
        (("        spool.files.lock(fd)\n        yield _room_for", "        yield _room_for"),),
        (f"{CONTENTION}[one lock]", f"{CONTENTION}[one unit]"),
        "two jobs hold one lock",
    ),
    Mutant(
        "what runs is counted before the lock is taken",
        "spool/running.py",
        (
            (
                "        spool.files.lock(fd)\n        yield _room_for(spool, job)",
                "        room = _room_for(spool, job)\n        spool.files.lock(fd)\n        yield room",
            ),
        ),
        (f"{CONTENTION}[one lock]", f"{CONTENTION}[one unit]"),
        "two jobs hold one lock",
    ),
    Mutant(
        "an id is looked for only before the job has its name",
        "spool/enqueue.py",
        (("    directory = known_in(spool, new.job_id)\n    if directory", "    directory = None\n    if directory"),),
        (f"{TRIPLE}[enqueue, enqueue, claim]",),
        "two jobs have one id, and the second is rejected after it was acknowledged",
    ),
    Mutant(
        "a parent may be removed while its child is enqueued",
        "spool/dependents.py",
        (("        spool.files.lock(fd)\n        yield", "        yield"),),
        (f"{CONTENTION}[a parent that is purged, and a new child]",),
        "a job comes after one that does not exist",
    ),
    Mutant(
        "a change does without the lock",
        "spool/locking.py",
        (("        if not spool.files.try_lock(fd):\n            return None\n", ""),),
        (f"{PAIR}[hold+edit]",),
        "of two changes at once, one is lost",
    ),
    Mutant(
        "a job is looked for once",
        "spool/context.py",
        (("for _ in range(3):  # a job may move", "for _ in range(1):  # a job may move"),),
        (f"{PAIR}[cancel+revive]",),
        "a job that moves meanwhile does not exist",
    ),
    Mutant(
        "a file is compared before the look for a writer",
        "spool/intake.py",
        (
            (
                "    if wrong_with_inode(status) is None and",
                "    now = files.fstat(fd)\n    if wrong_with_inode(status) is None and",
            ),
            ("    now = files.fstat(fd)  # after the look", "    # after the look"),
        ),
        (f"{FOUND}a_file_that_is_completed_while_it_is_judged_is_not_rejected",),
        "a valid job that was written in place is rejected",
    ),
)
