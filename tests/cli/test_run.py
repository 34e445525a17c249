"""run: a command as a job, with its output and its exit code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.support import Jobs, Run, refused
from tests.support.supervised import Supervised


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ([], ["queuectl: nothing to run: give -- PROGRAM, --command or a JSON object"]),
        (["-"], ["queuectl: run accepts one job", "          hint: many jobs: queuectl enqueue -"]),
        (["--command", "true", "--", "true"], ["queuectl: --command and -- PROGRAM cannot be used together"]),
        (["--wait", "--", "true"], ["          hint: queuectl run --help"]),
    ],
)
def test_what_it_does_not_take(cli: Run, line: list[str], lines: list[str]) -> None:
    refused(cli("run", *line), 2, *lines)


@pytest.mark.parametrize("line", [["--", "sh", "-c", "echo hi; exit 7"], ["--command", "echo hi; exit 7"]])
def test_it_shows_the_output_and_exits_as_the_command_does(
    queuectl: Run, supervised: Callable[..., Supervised], line: list[str]
) -> None:
    supervised().start()
    ran = queuectl("run", *line)
    assert (ran.code, ran.out) == (7, "hi\n")


@pytest.mark.parametrize(
    ("line", "retries"),
    [
        (["--", "true"], 0),
        (["--command", "true"], 0),
        (['{"command":"true"}'], 0),
        (['{"command":"true","max_retries":2}'], 2),
        (["--max-retries", "3", "--", "true"], 3),
    ],
)
def test_it_runs_once_unless_retries_are_asked_for(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, line: list[str], retries: int
) -> None:
    """Who waits for a command does not expect it to run four times."""
    monkeypatch.setattr("queuectl.cli.commands.wait.await_job", lambda *_args, **_more: 0)
    assert cli("run", *line).code == 0
    [job] = jobs.queue.list()
    assert jobs.queue.get(job["id"]).fields["max_retries"] == retries
