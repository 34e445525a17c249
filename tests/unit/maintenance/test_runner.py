"""A run of maintenance: which tasks, in which order, and what one that fails does to the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

from queuectl.cli.commands.maintenance import TASKS as TYPED
from queuectl.errors import Busy, UsageError
from queuectl.maintenance import runner
from queuectl.maintenance.context import Report, TaskContext
from queuectl.maintenance.runner import TASKS, check
from tests.support.maintained_home import do_all, work_on
from tests.support.spools import Home


def ran(spool: Home) -> bool:
    return os.path.exists(spool.layout.mark("maintenance-ran"))


def test_all_run_in_their_order_and_that_is_noted(spool: Home) -> None:
    spool.put("completed")
    assert [*do_all(spool)] == [*TASKS]
    assert ran(spool)


def test_those_that_are_named_run_in_the_same_order(spool: Home) -> None:
    assert [*do_all(spool, "index", "reclaim")] == ["reclaim", "index"]
    assert not ran(spool)


def test_a_trial_is_not_noted_and_leaves_no_log(spool: Home) -> None:
    spool.put("completed")
    do_all(spool, dry_run=True)
    assert not ran(spool)
    assert sorted(os.listdir(f"{spool.layout.home}/state")) == ["batches", "hooks", "paused", "schedules"]
    assert os.listdir(f"{spool.layout.home}/logs") == []


def test_one_that_fails_does_not_keep_the_others(spool: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_work: TaskContext) -> Report:
        raise PermissionError(13, "Permission denied", "/x")

    def wrong(_work: TaskContext) -> Report:
        raise ZeroDivisionError

    monkeypatch.setitem(runner.TASKS, "retention", broken)
    monkeypatch.setitem(runner.TASKS, "litter", wrong)
    done = do_all(spool)
    assert [*done] == [*TASKS]
    assert str(done["retention"].failed[0]) == "cannot use /x: Permission denied"
    assert str(done["litter"].failed[0]) == "this is a bug in queuectl: ZeroDivisionError: "
    log = Path(spool.layout.log("maintenance")).read_text()
    assert "maintenance ERROR retention: cannot use /x: Permission denied action=retention" in log


def test_what_was_done_is_in_the_log(spool: Home) -> None:
    spool.put("completed")
    spool.clock.advance(10 * 86400)
    do_all(spool)
    assert "INFO retention: removed 1 job, 0 B output action=retention" in Path(
        spool.layout.log("maintenance")
    ).read_text(encoding="utf-8")


def test_a_second_run_at_once_is_refused_and_does_nothing(spool: Home) -> None:
    with FileLock(f"{spool.layout.run}/maintenance.lock"), pytest.raises(Busy, match="already running"):
        do_all(spool)
    do_all(spool)


def test_the_lock_is_free_after_a_run_that_was_given_up(spool: Home) -> None:
    rest = runner.run(work_on(spool))
    next(rest)
    rest.close()
    do_all(spool)


def test_the_command_line_names_the_tasks_that_there_are() -> None:
    """Its table imports nothing, so the names are there twice."""
    assert [*TYPED] == [*TASKS]
    with pytest.raises(UsageError, match='no task "retain"'):
        check(["retain"])


def test_an_invalid_file_is_rejected_although_no_supervisor_runs(spool: Home) -> None:
    bad = Path(spool.layout.directory("pending"), "bad.json")
    bad.write_text("{bad")
    os.utime(bad, (1e9, 1e9))
    do_all(spool)
    assert sorted(os.listdir(spool.layout.rejected)) == ["bad.json", "bad.json.reason"]
