"""The protocol on the disk, broken: what is synced, moved, locked, grown and cut off."""

from __future__ import annotations

from tests.mutants.run_mutant import Mutant

CUT = "tests/crash/test_simulator.py::test_the_power_may_go_at_any_operation"
DEATH = "tests/crash/test_faults.py::test_a_process_may_die_at_any_operation"
BATCHES = "tests/unit/spool/test_batches.py::test_"
CLAIM = "tests/unit/spool/test_claim.py::test_"
ENQUEUE = "tests/unit/spool/test_enqueue.py::test_"
FILING = "tests/unit/spool/test_group_commit.py::test_"
GROWING = "tests/unit/spool/test_locked_file.py::test_"
NAMES = "tests/unit/spool/test_name_conflicts.py::test_"
HOOKS = "tests/unit/spool/test_hooks.py::test_"
INTAKE = "tests/unit/spool/test_intake.py::test_"
TORN = "tests/crash/test_torn.py::test_"
INPUTS = "tests/unit/spool/test_inputs.py::test_"
PURGE = "tests/unit/spool/test_purge.py::test_"
RECOVERY = "tests/unit/spool/test_recovery.py::test_"

SPOOL = (
    # --- what is synced
    Mutant(
        "no sync of a new file",
        "spool/enqueue.py",
        (
            (
                "if spool.is_durable:\n            spool.files.sync(new.fd)",
                "if False:\n            spool.files.sync(new.fd)",
            ),
        ),
        (f"{CUT}[enqueue]", f"{ENQUEUE}a_job_is_durable_before_it_is_acknowledged"),
        "a power cut leaves an acknowledged job empty",
    ),
    Mutant(
        "no sync of the directory of inputs",
        "spool/inputs.py",
        (
            (
                "        if spool.is_durable:\n            files.sync_directory(spool.layout.input)",
                "        if False:\n            files.sync_directory(spool.layout.input)",
            ),
        ),
        (f"{CUT}[enqueue with input]",),
        "a power cut leaves an acknowledged job without its input",
    ),
    Mutant(
        "the input goes before its job",
        "spool/claim.py",
        (
            (
                "        self.remove()\n        self.sync_removed()\n",
                (
                    "        self._unlink(self._spool.layout.input_of(self.job.id))\n        self.remove()\n"
                    "        self.sync_removed()\n"
                ),
            ),
        ),
        (f"{CUT}[delete what waits with its input]",),
        "a process that dies in between leaves a job without its input",
    ),
    Mutant(
        "the input goes before its job is durably gone",
        "spool/purge.py",
        (
            (
                "                    inputs_left[each.id] = claim.input_inode\n",
                "                    inputs.remove_orphan(spool, each.id, claim.input_inode)\n",
            ),
        ),
        (f"{CUT}[purge with an input]",),
        "a power cut brings the job back without its input",
    ),
    Mutant(
        "the input of another process is replaced",
        "spool/inputs.py",
        (("            if not files.try_lock(fd):\n                return None\n", ""),),
        (f"{INPUTS}two_processes_that_enqueue_one_id_do_not_mix_their_inputs",),
        "of two jobs that are enqueued under one id, one gets the input of the other",
    ),
    Mutant(
        "a job that may be there loses its input",
        "spool/enqueue.py",
        (("is_used = staged.job_id is not None and spool.find(staged.job_id) is not None", "pass"),),
        ("tests/crash/test_errors.py::test_any_operation_may_fail_with_any_error[enqueue with input]",),
        "an error of the last sync removes the input of a job that has its name already",
    ),
    Mutant(
        "a job is published before it is written",
        "spool/enqueue.py",
        (
            ("        files.write(fd, data, 0)\n", "        global _late\n        _late = data\n"),
            (
                "    new.name = None\n\n\ndef _discard",
                "    new.name = None\n    spool.files.write(new.fd, _late, 0)\n\n\ndef _discard",
            ),
        ),
        (f"{ENQUEUE}at_any_moment_a_job_is_there_whole_or_not_at_all",),
        "whoever dies, or looks, in between has an empty job",
    ),
    Mutant(
        "no sync of the directory after enqueue",
        "spool/enqueue.py",
        (
            (
                "job_id = _publish(spool, new, staged)\n        if spool.is_durable:",
                "job_id = _publish(spool, new, staged)\n        if False:",
            ),
        ),
        (f"{CUT}[enqueue]",),
        "a power cut takes an acknowledged job away",
    ),
    Mutant(
        "no sync of the files of a group",
        "spool/enqueue.py",
        (("            spool.files.sync_all([new.fd for new in news])", "            pass"),),
        (f"{CUT}[enqueue many]",),
        "a power cut leaves acknowledged jobs empty",
    ),
    Mutant(
        "no sync of the directory after a group",
        "spool/enqueue.py",
        (("if spool.is_durable and news:", "if False:"),),
        (f"{CUT}[enqueue many]",),
        "a power cut takes acknowledged jobs away",
    ),
    Mutant(
        "no sync of a verdict",
        "spool/claim.py",
        (("self._file.sync()\n        except SpoolFull:", "pass\n        except SpoolFull:"),),
        (f"{CUT}[finish]", f"{CUT}[reschedule]"),
        "a job that has ended runs again after a power cut",
    ),
    Mutant(
        "no sync of what was deleted",
        "spool/claim.py",
        (("self._sync_directories(*left_by(self.directory))", "pass"),),
        (f"{CUT}[delete what has ended]",),
        "a deleted job comes back after a power cut",
    ),
    Mutant(
        "no sync of what was purged",
        "spool/purge.py",
        (("spool.files.sync_directory(spool.layout.directory(directory))", "pass"),),
        (f"{CUT}[purge]", f"{PURGE}directories_are_synced_once_a_group_before_it_is_told"),
        "jobs that were told to be gone come back after a power cut",
    ),
    Mutant(
        "a purge that does not look whether anything has happened since",
        "spool/purge.py",
        (("if claim.job.updated_at != each.updated_at:", "if False:"),),
        (f"{PURGE}what_happened_to_a_job_since_it_was_chosen_saves_it",),
        "a job that ran again and has just ended goes with what it wrote, as if it were old",
    ),
    Mutant(
        "a failed sync is tried again and trusted",
        "spool/locked_file.py",
        (("self._is_doubtful = True\n            raise self._full_or(error)", "raise self._full_or(error)"),),
        (f"{CLAIM}what_a_failed_sync_has_not_written_is_written_anew",),
        "the kernel has dropped the pages and says nothing the second time: an acknowledged verdict is not on the disk",
    ),
    # --- what is moved
    Mutant(
        "a move that overwrites",
        "spool/fs.py",
        (("NOREPLACE, EXCHANGE = 1, 2", "NOREPLACE, EXCHANGE = 0, 2"),),
        (
            "tests/unit/spool/test_fs.py::test_a_move_takes_the_name_along_and_never_overwrites",
            f"{FILING}a_job_that_ran_owns_its_name",
            f"{FILING}a_drop_that_took_the_name_of_a_running_job_gets_another",
        ),
        "a job that waits under the same name is gone",
    ),
    Mutant(
        "the verdict after the move",
        "spool/claim.py",
        (
            (
                "                self._write_verdict(entry)\n",
                '                self._move(LEADS_TO[entry["event"]])\n                self._write_verdict(entry)\n',
            ),
        ),
        (f"{DEATH}[cancel while running-new]",),
        "a crash in between files a cancelled job as completed, a failure as if it had never happened",
    ),
    Mutant(
        "a verdict is judged anew when it could not be filed",
        "spool/claim.py",
        (("        if self._uncommitted is None:\n            written", "        if True:\n            written"),),
        (f"{FILING}a_verdict_whose_directory_could_not_be_synced_is_not_given_again",),
        "a failure counts twice, and the job is buried before its time",
    ),
    Mutant(
        "a revival that grows before it moves",
        "spool/claim.py",
        (
            (
                "        self._move(PENDING)\n        self._sync_directories(PENDING, source)\n        try:",
                "        try:",
            ),
            (
                "            self._move(source)\n            raise\n        self._file.sync()\n",
                (
                    "            raise\n        self._file.sync()\n        self._move(PENDING)\n"
                    "        self._sync_directories(PENDING, source)\n"
                ),
            ),
        ),
        (f"{GROWING}at_no_moment_of_a_revival_does_done_or_dead_say_run_me",),
        "a crash leaves a file in dead/ that says it waits; recovery would have to read all that ever ended",
    ),
    Mutant(
        "two names are not merged",
        "spool/locking.py",
        (("spool.files.unlink(path)", "pass"),),
        (
            f"{RECOVERY}of_two_names_of_one_inode_the_later_stays",
            f"{ENQUEUE}a_second_name_is_taken_away_before_anything_is_decided",
        ),
        "after a power cut on btrfs a finished job lies in done/ and processing/, and runs again",
    ),
    Mutant(
        "what was moved is not compared with what was locked",
        "spool/locked_file.py",
        (("self._check_caught(target, self.job_id)", "pass"),),
        (f"{NAMES}a_stranger_that_takes_the_name_in_between_goes_back",),
        "a file nobody has read is started under the name of another",
    ),
    Mutant(
        "what was exchanged is not compared with what was locked",
        "spool/locked_file.py",
        (("if came_out is not None and came_out.st_ino != former_inode:", "if came_out is None:"),),
        (f"{GROWING}a_compaction_that_finds_a_stranger_in_its_place_steps_back",),
        "a job dropped at that moment is thrown away",
    ),
    Mutant(
        "no look elsewhere after publishing an id",
        "spool/enqueue.py",
        (("directory = known_in(spool, new.job_id)\n", "directory = None\n"),),
        (f"{ENQUEUE}a_job_that_appears_elsewhere_while_ours_is_published_wins",),
        "two jobs of one id",
    ),
    # --- what is locked
    Mutant(
        "the lock of a job is inherited by its command",
        "spool/fs.py",
        (
            (
                "return os.open(path, flags)",
                "fd = os.open(path, flags)\n        os.set_inheritable(fd, True)\n        return fd",
            ),
        ),
        (
            "tests/unit/spool/test_fs.py::test_no_descriptor_reaches_a_command",
            "tests/lifecycle/test_locks.py::test_the_lock_of_a_job_is_free_when_its_worker_dies_although_its_command_lives",
        ),
        "nobody can adopt or end the run of a worker that died",
    ),
    Mutant(
        "no look at the name after locking",
        "spool/locking.py",
        (("if there is None or there.st_ino != status.st_ino:\n            return None", "pass"),),
        (f"{ENQUEUE}a_job_that_moved_on_before_its_lock_was_had_is_not_taken",),
        "a verb changes a job that has ended, under the name of one that waits",
    ),
    Mutant(
        "no look at the name after locking, by who claims",
        "spool/intake.py",
        (
            (
                "return None if there.st_ino == status.st_ino else ClaimRefused(RefusalReason.BUSY, BUSY_S)",
                "return None",
            ),
        ),
        (f"{ENQUEUE}a_job_that_moved_on_before_its_lock_was_had_is_not_taken",),
        "a new job under the name of one that has ended is taken for gone and does not start",
    ),
    Mutant(
        "what was read before the lock decides",
        "spool/intake.py",
        (
            (
                "        if not spool.files.try_lock(fd):\n            return ClaimRefused(RefusalReason.BUSY, BUSY_S)\n        status",
                (
                    "        found = _read(spool, job_id, fd, spool.files.fstat(fd))\n"
                    "        if not spool.files.try_lock(fd):\n            return ClaimRefused(RefusalReason.BUSY, BUSY_S)\n        status"
                ),
            ),
            (
                "            return refused\n        found = _read(spool, job_id, fd, status, known)\n",
                "            return refused\n",
            ),
        ),
        (f"{ENQUEUE}what_a_job_said_before_it_was_locked_does_not_count",),
        "a job that was held a moment ago is started",
    ),
    Mutant(
        "a job that is locked is dropped",
        "spool/intake.py",
        (
            (
                "        if not spool.files.try_lock(fd):\n            return ClaimRefused(RefusalReason.BUSY, BUSY_S)\n        status",
                "        if not spool.files.try_lock(fd):\n            return ClaimRefused(RefusalReason.BUSY)\n        status",
            ),
        ),
        (f"{INTAKE}a_locked_file_is_tried_again_soon",),
        "a job that somebody looked at just then is never started",
    ),
    Mutant(
        "the file that replaces another is not locked",
        "spool/locked_file.py",
        (("files.try_lock(fd)\n            files.write(fd, record.body", "files.write(fd, record.body"),),
        (f"{GROWING}a_job_that_was_replaced_is_locked_all_the_same",),
        "two change one job at once",
    ),
    Mutant(
        "a promised id is published unlocked",
        "spool/enqueue.py",
        (("    spool.files.try_lock(new.fd)", "    pass"),),
        (f"{ENQUEUE}a_promised_job_is_locked_until_nobody_else_can_have_its_id",),
        "a job that is about to be withdrawn is started",
    ),
    # --- how a file grows
    Mutant(
        "the place to grow is found by looking at bytes",
        "job/job_file.py",
        (
            (
                "    if has_history:\n        end = len(data[:end].rstrip()) - 1\n",
                '    if b"]" in data[-4:]:\n        has_history, end = True, data.rindex(b"]")\n',
            ),
        ),
        ("tests/unit/job/test_job_file.py::test_where_a_file_grows_is_found_by_parsing_not_by_looking_at_its_bytes",),
        "the history is written into a list of the author's",
    ),
    Mutant(
        "a growth that writes the file from its start",
        "spool/locked_file.py",
        (
            (
                "self._spool.files.write(self._fd, growth, place)",
                (
                    "self._spool.files.truncate(self._fd, 0)\n"
                    "            self._spool.files.write(self._fd, self.record.body + growth, 0)"
                ),
            ),
        ),
        (f"{DEATH}[finish-new]", f"{DEATH}[hold-new]"),
        "a crash in between takes the author's words away",
    ),
    Mutant(
        "what a late writer did is not noticed",
        "spool/locked_file.py",
        (
            (
                "if files.read_at(self._fd, len(record.rest) + 1, start) != record.rest:",
                "if not record.body:",
            ),
        ),
        (
            f"{GROWING}somebody_who_still_writes_cannot_change_what_was_read",
            f"{GROWING}a_file_that_was_truncated_by_its_producer_is_written_anew",
        ),
        "a job becomes unreadable while it runs",
    ),
    Mutant(
        "a torn growth is not cut off",
        "spool/locked_file.py",
        (("        elif record.torn:\n            self._repair()\n", ""),),
        (
            f"{GROWING}what_a_crash_left_is_never_read_together_with_what_is_written_next",
            f"{TORN}a_growth_that_is_torn_is_never_read_together_with_one_that_was_torn_before",
        ),
        "a second crash makes one entry of two halves",
    ),
    Mutant(
        "a torn growth is cut off, but nothing is closed",
        "spool/locked_file.py",
        (
            (
                "        elif record.torn:\n            self._repair()\n",
                (
                    "        elif record.torn:\n"
                    "            files.truncate(self._fd, record.grow_at)\n"
                    '            self.record = record.ending(b"")\n'
                    "            self.sync()\n"
                ),
            ),
        ),
        (f"{TORN}a_growth_that_is_torn_is_never_read_together_with_one_that_was_torn_before",),
        "a crash right then forgets that the job was started",
    ),
    Mutant(
        "a torn growth is cut off, but not for good",
        "spool/locked_file.py",
        (("raise self._full_or(error)\n        self.sync()", "raise self._full_or(error)"),),
        (f"{TORN}a_growth_that_is_torn_is_never_read_together_with_one_that_was_torn_before",),
        "a second power cut makes one entry of two halves",
    ),
    Mutant(
        "the author's bracket gives way before what follows is durable",
        "spool/locked_file.py",
        (
            (
                "        self.sync()\n        if self.record.bracket_at is not None:  #",
                "        if self.record.bracket_at is not None:  #",
            ),
        ),
        (
            f"{GROWING}a_dropped_file_keeps_every_byte_until_what_follows_is_durable",
            f"{CUT}[run a dropped file, 512 bytes]",
        ),
        "after a power cut what is left of a dropped file reads as half of one",
    ),
    Mutant(
        "a first growth leaves no mark",
        "spool/locked_file.py",
        (("            self._mark(MARK)\n", "            self._mark(0)\n"),),
        (f"{CUT}[claim a dropped file]",),
        "a dropped file that a power cut brings back to pending/ is set aside",
    ),
    Mutant(
        "salvage within the author's part",
        "job/job_file.py",
        (
            ('    if text[bracket : bracket + 1] != "}":\n        return None\n', ""),
            ("if without_history else None)", "if end else None)"),
        ),
        (
            "tests/unit/job/test_torn_file.py::test_no_prefix_of_a_strangers_file_is_a_job",
            "tests/unit/job/test_torn_file.py::test_what_the_author_wrote_is_never_guessed",
        ),
        "half of what somebody is just writing is run",
    ),
    Mutant(
        "entries of any length",
        "job/job_file.py",
        (("MAX_ENTRY_BYTES = 2048 ", "MAX_ENTRY_BYTES = 1 << 20 "),),
        ("tests/unit/job/test_job_file.py::test_an_entry_is_at_most_two_kibibytes",),
        "a command that fails with long words makes its file too large to be read",
    ),
    Mutant(
        "a compaction forgets what was counted",
        "job/job.py",
        (
            (
                '"interruptions": self.interruptions,\n            "snoozes"',
                '"interruptions": 0,\n            "snoozes"',
            ),
        ),
        ("tests/unit/job/test_job.py::test_a_compaction_changes_nothing_but_the_history",),
        "a job that brings the machine down is tried for ever",
    ),
    # --- reports to hooks
    Mutant(
        "no sync of the reports to hooks",
        "spool/group_commit.py",
        (("            hooks.sync(spool)\n", "            pass\n"),),
        (f"{HOOKS}a_report_is_durable_before_the_job_moves",),
        "a power cut takes the report of a job that has moved",
    ),
    Mutant(
        "recovery moves a job without its report",
        "spool/claim.py",
        (("        self._report()\n        if self.calls:\n", "        if False:\n"),),
        (f"{HOOKS}whoever_completes_the_move_writes_the_report",),
        "no hook is run for a job whose worker was killed after the verdict",
    ),
    Mutant(
        "a report may be missing on a full disk",
        "spool/hooks.py",
        (
            (
                "                if not (may_free and spool.free_ballast()):\n                    raise SpoolFull",
                "                if False:\n                    raise SpoolFull",
            ),
        ),
        (f"{HOOKS}a_report_that_does_not_fit_keeps_the_job_until_it_does",),
        "no hook is run for what ends on a full disk",
    ),
    # --- batches
    Mutant(
        "the completion job is published before the note",
        "spool/batches.py",
        (
            (
                '    _write_note(spool, batch, json.dumps({"job": job_id, "at": stamp(now), "counts": dict(counts)}))\n    publish(spool, batch, job_id)\n',
                '    publish(spool, batch, job_id)\n    _write_note(spool, batch, json.dumps({"job": job_id, "at": stamp(now), "counts": dict(counts)}))\n',
            ),
        ),
        (f"{BATCHES}the_job_is_added_once_wherever_the_process_dies",),
        "after a crash a batch gets a second completion job",
    ),
    Mutant(
        "a batch is open for one job at a time",
        "spool/enqueue.py",
        (
            (
                "        yield from _enqueue_many(spool, jobs, adding or own)\n",
                "        for job in jobs:\n            with Adding(spool) as own:\n                yield from _enqueue_many(spool, [job], own)\n",
            ),
        ),
        (f"{BATCHES}jobs_that_are_added_together_keep_it_open_until_the_last",),
        "a batch is complete when its first job has ended",
    ),
    # --- a full disk
    Mutant(
        "put back without its verdict",
        "spool/claim.py",
        (('frozenset(("completed", "died", "expired"))', 'frozenset(("completed", "died", "expired", "failed"))'),),
        (f"{FILING}on_a_full_disk_what_has_to_run_again_stays_claimed",),
        "on a full disk a job that fails is tried for ever, at once",
    ),
)
