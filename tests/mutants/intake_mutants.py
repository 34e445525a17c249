"""What comes in, and what a crash left, treated wrongly."""

from __future__ import annotations

from tests.mutants.run_mutant import Mutant

ENQUEUE = "tests/unit/spool/test_enqueue.py::test_"
NO_JOBS = "tests/unit/spool/test_rejected.py::test_"
INTAKE = "tests/unit/spool/test_intake.py::test_"
RECOVERY = "tests/unit/spool/test_recovery.py::test_"

INTAKE_AND_RECOVERY = (
    # --- what comes in
    Mutant(
        "nobody asks for a writer",
        "spool/intake.py",
        (
            (
                "if spool.files.has_writer(spool.layout.job(PENDING, job_id)):\n            return ClaimRefused(RefusalReason.BEING_WRITTEN, WRITER_S)",
                "pass",
            ),
        ),
        (f"{INTAKE}as_long_as_somebody_has_it_open_for_writing_it_waits",),
        "a file that its author is not done with is run",
    ),
    Mutant(
        "looking opens for writing",
        "spool/intake.py",
        (("fd = _open(spool, job_id, READ)", "fd = _open(spool, job_id, CHANGE)"),),
        (f"{INTAKE}looking_at_a_file_does_not_change_it",),
        "each look raises the event that asks for the next one",
    ),
    Mutant(
        "links are followed",
        "spool/fs.py",
        (("_CAREFUL = os.O_NOFOLLOW | os.O_NONBLOCK", "_CAREFUL = os.O_NONBLOCK"),),
        (
            "tests/unit/spool/test_fs.py::test_nothing_is_opened_through_a_link_and_no_fifo_makes_us_wait",
            f"{NO_JOBS}an_entry_that_cannot_be_a_job_is_set_aside_itself",
        ),
        "a link in pending/ has us read, and change, a file elsewhere",
    ),
    Mutant(
        "what has ended runs when it lies in pending/",
        "spool/intake.py",
        (("if claim.finish_move():", "if False:"),),
        (f"{INTAKE}what_has_ended_never_runs_again_wherever_it_lies",),
        "a revival that was cut off, and never acknowledged, runs",
    ),
    Mutant(
        "a change in place is not noted",
        "spool/claim.py",
        (
            (
                "        self._grow(entry)\n        self._file.sync()\n        self._spool.note_change(self.job.id)",
                "        self._grow(entry)\n        self._file.sync()",
            ),
        ),
        (f"{ENQUEUE}changes_in_place_are_noted_for_the_index",),
        "a list shows a job as waiting that is held",
    ),
    # --- recovery
    Mutant(
        "recovery reads what has ended",
        "spool/recovery.py",
        (
            (
                "    for name in list(spool.files.names(spool.layout.directory(PROCESSING))):\n",
                (
                    '    for job_id in [*spool.ids("done")]:\n'
                    '        claim = spool.take_in("done", job_id)\n'
                    "        if claim is not None:\n"
                    "            claim.close()\n"
                    "    for name in list(spool.files.names(spool.layout.directory(PROCESSING))):\n"
                ),
            ),
        ),
        (f"{RECOVERY}done_and_dead_are_never_read_or_moved",),
        "a start takes longer with every job that ever ended",
    ),
    Mutant(
        "recovery judges again",
        "spool/recovery.py",
        (("if not claim.finish_move():\n        claim.put_back()", "claim.put_back()"),),
        (f"{RECOVERY}a_verdict_that_was_written_is_carried_out",),
        "a job that has ended runs again after a crash",
    ),
    Mutant(
        "a lost start is not counted",
        "spool/intake.py",
        (('if job.last_event == "started":', "if False:"),),
        (f"{INTAKE}a_start_whose_move_was_lost_counts_as_an_interruption",),
        "a job that brings the machine down is tried for ever",
    ),
)
