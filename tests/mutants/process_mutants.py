"""The protocol between processes, broken: inherited locks, what is awaited, which processes are ended."""

from __future__ import annotations

from tests.mutants.run_mutant import Mutant

CRASHES = "tests/lifecycle/test_crashes.py::test_"
JOBS = "tests/lifecycle/test_jobs.py::test_"
LOCKS = "tests/lifecycle/test_locks.py::test_"
LIMITS = "tests/unit/executor/test_limits.py::test_"

# A second supervisor is stopped by the lock of the index in any case, but only after this.
HASTE = (
    "            self._index.take()\n",
    "            import queuectl.index.lock as lock\n\n            lock.PATIENCE_S = 1.0\n            self._index.take()\n",
)
HASTY = ("supervisor/supervisor_lock.py", (HASTE,))

PROCESSES = (
    Mutant(
        "the command before the claim is complete",
        "spool/intake.py",
        (
            (
                "        claim.enter(worker, ready_at=ready_at)\n        return None\n",
                (
                    "        import queuectl.executor.local as runner\n\n"
                    "        def late(*args: object, spawn: object = runner._spawn) -> int:\n"
                    "            runner._spawn = spawn\n"
                    "            pid = spawn(*args)\n"
                    "            write(claim, worker)\n"
                    "            return pid\n\n"
                    "        write, runner._spawn = type(claim).start, late\n"
                    "        claim._move('processing')\n"
                    "        claim.job.attempts += 1\n"
                    "        return None\n"
                ),
            ),
        ),
        (f"{JOBS}a_start_is_written_before_the_command_is_started",),
        "a crash leaves a run that nobody has counted, and a second one is started beside it",
    ),
    Mutant(
        "limits after the command has started",
        "executor/local.py",
        (
            (
                "        return spawn_limited(program, arguments, environment, files, limits)\n",
                (
                    "        pid = spawn(program, arguments, environment, files)\n"
                    "        os.setpriority(os.PRIO_PROCESS, pid, limits.nice or 0)\n"
                    "        return pid\n"
                ),
            ),
        ),
        ("tests/lifecycle/test_limits_of_a_job.py::test_priorities_are_those_of_the_job_in_all_its_processes",),
        "what the command starts at once has other priorities",
    ),
    Mutant(
        "shared memory counts for each process",
        "executor/limits.py",
        (("memory = sum(map(_proportional, pids))", "pass"),),
        (f"{LIMITS}memory_that_processes_share_counts_once_above_the_limit",),
        "a command that forks is ended although it uses less than its limit",
    ),
    Mutant(
        "what a command starts is not measured",
        "executor/limits.py",
        (("sum(int(word) for word in words[11:15])", "sum(int(word) for word in words[11:13])"),),
        ("tests/lifecycle/test_limits_of_a_job.py::test_a_command_that_uses_too_much_is_ended_and_fails",),
        "processor time of children that have ended is without limit",
    ),
    Mutant(
        "the run has no lock",
        "executor/local.py",
        (("fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass"),),
        (f"{LOCKS}the_lock_of_a_job_is_free_when_its_worker_dies_although_its_command_lives",),
        "a run whose worker has died, and that has an empty environment, goes on beside its next attempt",
    ),
    Mutant(
        "the lock of a run only where shells reassign it",
        "executor/local.py",
        (("(LOCK_FD, output), ", ""),),
        (f"{LOCKS}a_command_that_sends_its_output_elsewhere_holds_the_lock_of_its_run",),
        "`exec > file` at the beginning of a script gives the lock up",
    ),
    Mutant(
        "a forked worker unlocks",
        "executor/child_setup.py",
        (
            (
                "    lowest = 3\n",
                (
                    "    import fcntl\n\n"
                    "    for name in os.listdir('/dev/fd'):\n"
                    "        try:\n"
                    "            fcntl.flock(int(name), fcntl.LOCK_UN)\n"
                    "        except OSError:\n"
                    "            continue\n"
                    "    lowest = 3\n"
                ),
            ),
        ),
        (f"{CRASHES}two_supervisors_one_wins_and_the_other_says_who",),
        "two supervisors of one home",
        also=HASTY,
    ),
    Mutant(
        "a forked worker keeps the supervisor's lock",
        "executor/child_setup.py",
        (
            (
                "    lowest = 3\n",
                (
                    "    for name in os.listdir('/dev/fd'):\n"
                    "        try:\n"
                    "            is_lock = os.readlink(f'/dev/fd/{name}').endswith('supervisor.lock')\n"
                    "            if not is_lock and int(name) > 2 and int(name) not in kept:\n"
                    "                os.close(int(name))\n"
                    "        except OSError:\n"
                    "            continue\n"
                    "    return\n"
                ),
            ),
        ),
        (f"{CRASHES}a_new_supervisor_leaves_a_job_to_the_old_worker_that_still_runs_it",),
        "no supervisor can be started as long as a job of the last one runs",
        also=HASTY,
    ),
    Mutant(
        "recovery does not search for processes",
        "supervisor/orphans.py",
        (
            (
                "return spool.run_is_locked(job.id, job.attempts) or bool(processes_of(spool, job))",
                "return spool.run_is_locked(job.id, job.attempts)",
            ),
        ),
        (f"{CRASHES}everybody_killed_the_next_supervisor_ends_the_orphan_first",),
        "a program that closes what it inherits, as ssh does, runs twice at once",
    ),
    Mutant(
        "the search ignores the lock",
        "supervisor/orphans.py",
        (
            (
                "return spool.run_is_locked(job.id, job.attempts) or bool(processes_of(spool, job))",
                "return bool(process_tree.tagged(spool.layout.home).get(run_id(job.id, job.attempts)))",
            ),
        ),
        (f"{CRASHES}a_run_with_an_empty_environment_is_found_by_its_lock",),
        "a program that is started with an empty environment, as `env -i` does, runs twice at once",
    ),
    Mutant(
        "what a failed attempt left may stay",
        "executor/attempt.py",
        (
            (
                "if self._leave and self.cause is None and succeeded(self.ended.outcome):",
                "if self._leave and self.cause is None:",
            ),
        ),
        (f"{JOBS}no_retry_begins_before_what_the_attempt_before_it_left_is_gone",),
        "two attempts of one job overlap",
    ),
    Mutant(
        "nobody looks for what a run left",
        "executor/attempt.py",
        (
            (
                "        if not self._has_leftovers():\n            return self._finish()\n        return self._step_ending(now)",
                "        return self._finish()",
            ),
        ),
        (
            f"{JOBS}what_a_run_leaves_behind_is_ended_before_the_job_is_settled",
            f"{JOBS}no_retry_begins_before_what_the_attempt_before_it_left_is_gone",
        ),
        "processes pile up, and attempts overlap",
    ),
    Mutant(
        "a verdict that cannot be written is given up",
        "worker/settle.py",
        (
            (
                '            self._send({"say": "full", "id": job_id, "detail": str(error)})\n',
                '            self._give_up(finished, "")\n',
            ),
        ),
        (f"{JOBS}a_worker_whose_verdict_finds_no_room_begins_nothing_else",),
        "on a full disk every job is run and none is settled",
    ),
    Mutant(
        "a unique key without a lock",
        "client/actions.py",
        (('with FileLock(f"{spool.layout.run}/unique.{digest}", mode=0o600):', "with nullcontext():"),),
        ("tests/lifecycle/test_client.py::test_a_unique_key_is_checked_and_published_under_one_lock",),
        "two jobs of one key",
    ),
    Mutant(
        "a second supervisor is let in",
        "supervisor/supervisor_lock.py",
        (("not self._lock.try_take(ASKING_S, ASKING_S / 4)", "False"), HASTE),
        (f"{CRASHES}two_supervisors_one_wins_and_the_other_says_who",),
        "two supervisors of one home",
    ),
)
