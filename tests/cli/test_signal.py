"""signal: which are refused, and what is said; that they arrive is in tests/lifecycle/test_stopping_jobs.py."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import Jobs, Run, refused


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("USER1", 'there is no signal "USER1"; did you mean "usr1"?'),
        ("0", "signal 0 sends nothing"),
        ("32", "signal 32 is used by the C library itself"),
        ("99", 'there is no signal "99"'),
        ("", 'there is no signal ""'),
        ("1.5", 'there is no signal "1.5"'),
    ],
)
def test_what_is_no_signal_is_refused(cli: Run, jobs: Jobs, typed: str, line: str) -> None:
    jobs.pending("a")
    ran = cli("signal", typed, "a")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"queuectl: {line}")


def test_only_running_jobs_are_signalled(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    jobs.completed("b")
    refused(cli("signal", "HUP", "a"), 4, "queuectl: job a is pending; only a running job can be sent a signal")
    refused(cli("signal", "HUP", "nobody"), 3, 'queuectl: no job "nobody"')
    ran = cli("signal", "HUP", "--all", "--yes")
    assert (ran.code, ran.err) == (
        0,
        "No job matches that is processing; in other states 2 jobs (1 pending, 1 completed) would\n",
    )


@pytest.mark.parametrize("name", ["HUP", "SIGHUP", "sighup", "1"])
def test_without_a_supervisor_it_is_refused(cli: Run, jobs: Jobs, name: str) -> None:
    with jobs.running("runs"):
        assert cli("signal", name, "--all", "--dry-run").err == "Would signal 1 job (processing); nothing was done\n"
        refused(cli("signal", name, "runs"), 5, "queuectl: no supervisor is running")
        hint = f"queuectl --home {jobs.queue.layout.home} signal 1 --all --yes"
        ran = cli("signal", name, "--all")
        assert ran.code == 2
        assert "this would signal 1 job (processing): without a terminal it needs --yes" in ran.err
        assert hint.partition(" signal")[2] in ran.err or f"signal {name} --all --yes" in ran.err
        made = json.loads(cli("signal", name, "runs", "x", "--json").out)
        assert [each["id"] for each in made["failed"]] == ["runs", "x"]
