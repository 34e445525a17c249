"""Jobs with parents, locks, units and pauses, started or removed wrongly, or never."""

from __future__ import annotations

from tests.mutants.run_mutant import Mutant

LIMITS = "tests/unit/spool/test_limits.py::test_"
MAY_START = "tests/unit/supervisor/test_what_may_start.py::test_"
STOPPING = "tests/lifecycle/test_stopping_jobs.py::test_"
SHOWN = "tests/cli/test_dependencies_shown.py::test_"
REMOVAL = "tests/lifecycle/test_removal_of_parents.py::test_"

SCHEDULING = (
    Mutant(
        "a deletion does not look whether the job has started",
        "client/filters.py",
        (("        return job.attempts == selected.attempts\n", "        return True\n"),),
        ("tests/web/test_bulk_tasks.py::test_a_deletion_leaves_a_job_that_has_started_since_it_was_confirmed",),
        "the command of a job that only waited when its deletion was confirmed is killed",
    ),
    Mutant(
        "a claim counts without a lock",
        "spool/running.py",
        (("        spool.files.lock(fd)\n        yield", "        yield"),),
        (f"{LIMITS}a_claim_waits_for_the_one_that_counts",),
        "two processes see the same unit free, and both take it",
    ),
    Mutant(
        "a claim does not look at the parents",
        "spool/intake.py",
        (("    if job.parents:\n        decision", "    if False:\n        decision"),),
        (f"{LIMITS}a_claim_decides_by_the_files_of_the_parents[dead-success-dead]",),
        "a parent that was revived or failed a moment ago is taken for completed",
    ),
    Mutant(
        "a claim does not look for a pause",
        "spool/intake.py",
        (("    if pause is not None:\n", "    if False:\n"),),
        (f"{LIMITS}a_paused_queue_is_not_claimed_from",),
        "what was given to a worker before the pause starts after it",
    ),
    Mutant(
        "a cycle is found once and forgotten",
        "supervisor/dependents.py",
        (("        self._again.set(job_id, now + CYCLE_S)\n", ""),),
        (f"{MAY_START}jobs_that_come_after_each_other_are_reported_until_one_is_edited",),
        "after a restart nobody is told of jobs that wait for ever",
    ),
    Mutant(
        "a restart counts the newest attempt of a job only",
        "supervisor/start_order.py",
        (("for job_id, attempts, _ in found if attempts > 1):", "for job_id, attempts, _ in found if False):"),),
        (f"{MAY_START}a_restart_counts_every_attempt_against_the_rate",),
        "more jobs start than the rate allows",
    ),
    Mutant(
        "a start counts from when it was assigned",
        "supervisor/start_order.py",
        (("        if counted_at is not None:\n", "        if False:\n"),),
        (f"{MAY_START}a_start_counts_from_when_it_has_happened",),
        "on a busy machine more jobs start in a period than the rate allows",
    ),
    Mutant(
        "the time while a job is stopped counts for its timeout",
        "executor/attempt.py",
        (("            self._deadline += now - self.stopped_since\n", ""),),
        ("tests/unit/executor/test_attempt.py::test_no_time_passes_while_it_is_stopped",),
        "a job that was paused times out when it is continued",
    ),
    Mutant(
        "a resume continues what a person has stopped",
        "worker/worker.py",
        (("elif not wanted and run.stopped_by == PAUSE:", "elif not wanted and run.stopped_since is not None:"),),
        (f"{STOPPING}what_a_person_stopped_a_resume_does_not_continue",),
        "more is done than was asked for",
    ),
    Mutant(
        "a pause without a supervisor is not noticed",
        "worker/worker.py",
        (("            self._pauses_at = 0.0\n", ""),),
        (f"{STOPPING}a_stopped_job_survives_a_kill_and_is_continued_by_resume[afterwards-supervisor]",),
        "a job that a pause has stopped stays stopped for ever",
    ),
    Mutant(
        "a compaction forgets the units",
        "job/job.py",
        (('            "units": self.units or None,\n', ""),),
        (f"{LIMITS}units_survive_a_compaction_of_the_history",),
        "a unit is given twice",
    ),
    Mutant(
        "a parent's end is no reason to decide",
        "supervisor/dispatcher.py",
        (("            self._has_undecided = self._has_undecided or self._writer.has_undecided\n", ""),),
        (f"{MAY_START}a_job_starts_when_its_parent_has_completed",),
        "a job waits for ever",
    ),
    Mutant(
        "what was let start is never taken back",
        "supervisor/dependents.py",
        (("waiting += [each.id] if each.may_start else []", "pass"),),
        (f"{MAY_START}a_child_waits_again_when_its_parent_is_revived_before_it_starts",),
        "a crowd of jobs is given to workers one by one, which must refuse each",
    ),
    Mutant(
        "a job that could not be decided about is forgotten",
        "supervisor/dependents.py",
        (("found[:seen] if each.id not in self._again.ids]", "found[:seen]]"),),
        (f"{MAY_START}a_child_that_another_process_has_locked_is_decided_about_after_a_crash",),
        "after a crash it waits for ever",
    ),
    Mutant(
        "files that differ from the index are believed once",
        "supervisor/dependents.py",
        (("self._again.set(job_id, now + AGAIN_S)\n\n    def _put_off", "pass\n\n    def _put_off"),),
        (f"{MAY_START}a_parent_that_failed_twice_between_two_looks_is_not_missed",),
        "a parent that was revived and failed again at once leaves its dependents waiting for ever",
    ),
    Mutant(
        "jobs are removed beside an enqueue",
        "spool/dependents.py",
        (("        spool.files.lock(fd)\n", ""),),
        (f"{REMOVAL}a_job_that_is_being_enqueued_protects_its_parents[enqueue]",),
        "a job comes after one that is removed at that moment, and is dead at once",
    ),
    Mutant(
        "a job with parents is enqueued beside a removal",
        "spool/dependents.py",
        (("        spool.files.share(fd)\n", ""),),
        (f"{REMOVAL}a_job_that_is_being_removed_is_no_parent_any_more",),
        "a job comes after one that is removed at that moment, and is dead at once",
    ),
    Mutant(
        "purge does not keep what others wait for",
        "spool/purge.py",
        (("if each.id not in kept:", "if True:"),),
        (f"{REMOVAL}purge_and_retention_keep_it",),
        "retention makes waiting jobs dead",
    ),
    Mutant(
        "the time for which a parent runs is waiting time",
        "spool/intake.py",
        (("parents.ended_at(spool, claim.job) if claim.job.parents else None", "None"),),
        (f"{SHOWN}a_job_that_comes_after_another_is_not_counted_as_waiting",),
        "the waiting times of the queue grow with the run times of parents",
    ),
    Mutant(
        "jobs that come after others are due",
        "status.py",
        ((" - self.scheduled - self.awaiting_parents)", " - self.scheduled)"),),
        (f"{SHOWN}a_job_that_comes_after_another_is_not_counted_as_waiting",),
        "check reports jobs without workers that no worker could start",
    ),
    Mutant(
        "a running job is cancelled before those that wait",
        "cli/selection.py",
        (("    yield None\n", ""),),
        ("tests/cli/test_selection.py::test_running_jobs_are_cancelled_after_all_that_wait",),
        "a worker that becomes free starts a job that is about to be cancelled",
    ),
)

SCHEDULES = "tests/unit/spool/test_schedules.py::test_"
RECURRENCE = "tests/unit/scheduling/test_recurrence.py::test_"
RECURRING = (
    Mutant(
        "the slot of a job is not recorded before the job is removed",
        "spool/schedules.py",
        (("            marker.until = marker.slot = slot\n", "            marker.slot = slot\n"),),
        (f"{SCHEDULES}a_slot_whose_job_was_removed_before_it_was_recorded_gets_no_second_one",),
        "the slot gets a second job",
    ),
    Mutant(
        "the removal of a job with a later slot records all slots before it",
        "spool/schedules.py",
        ((" or slot > spool.clock.now():\n", ":\n"),),
        (f"{SCHEDULES}the_removal_of_a_job_with_a_slot_that_is_not_due_decides_nothing",),
        "the schedule adds no jobs until that slot",
    ),
    Mutant(
        "the slots are recorded before their jobs are made",
        "spool/schedules.py",
        (
            (
                "        if not is_paused:\n",
                "        marker.until = slots[-1]\n        _write(spool, fd, marker)\n        if not is_paused:\n",
            ),
        ),
        ("tests/crash/test_schedules.py::test_a_ticker_may_be_killed_at_any_operation[known]",),
        "a crash between loses the jobs",
    ),
    Mutant(
        "a schedule is ticked without its lock",
        "spool/schedules.py",
        (("        if not spool.files.try_lock(fd):\n", "        if False:\n"),),
        (f"{SCHEDULES}a_ticker_leaves_a_schedule_to_the_one_that_has_its_lock",),
        "a slow ticker makes the job of a slot again after it was deleted",
    ),
    Mutant(
        "another timing is caught up with",
        "spool/schedules.py",
        (("marker is None or marker.timing != schedule.timing", "marker is None"),),
        (f"{SCHEDULES}another_timing_does_not_repeat_the_past",),
        "a change of the expression adds jobs for the past",
    ),
    Mutant(
        "a schedule that begins anew goes back",
        "spool/schedules.py",
        (("    old.until = max(now, old.until)\n", "    old.until = now\n"),),
        (f"{SCHEDULES}another_timing_does_not_repeat_slots_after_the_clock_was_set_back",),
        "slots are repeated when the clock is set back and the schedule changed",
    ),
    Mutant(
        "a repeated hour is not noticed",
        "scheduling/recurrence.py",
        (("        if self._is_fixed:  # in a repeated", "        if False:  # in a repeated"),),
        (f"{RECURRENCE}slots_around_a_clock_change_are_those_of_the_model",),
        "a job runs twice in autumn",
    ),
    Mutant(
        "the gap of spring is passed over",
        "scheduling/recurrence.py",
        (("            if self._is_fixed and ahead > 0 and match", "            if False and match"),),
        (f"{RECURRENCE}a_fixed_time_comes_once_on_the_day_of_a_clock_change",),
        "a job does not run on one day in spring",
    ),
    Mutant(
        "what is caught up with may overlap",
        "spool/schedules.py",
        (
            (
                '        if schedule.overlap != "allow" and before is not None:\n',
                '        if schedule.overlap == "queue" and before is not None:\n',
            ),
        ),
        (f"{SCHEDULES}slots_that_are_caught_up_with_come_one_after_the_other",),
        "two hundred jobs run at once after a weekend",
    ),
)
