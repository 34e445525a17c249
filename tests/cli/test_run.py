"""run: a command as a job, with its output and its exit code."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.support import Run, refused
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
    ran = queuectl("run", "--max-retries", "0", *line)
    assert (ran.code, ran.out) == (7, "hi\n")
