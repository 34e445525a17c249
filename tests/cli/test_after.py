"""enqueue --after, --lock, --needs, --weight: what a new job waits for and takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuectl.cli.commandline import parse, read_plainly, read_with_argparse
from tests.cli.support import Jobs, Run, refused, stored


@pytest.fixture(autouse=True)
def parents(jobs: Jobs) -> None:
    jobs.pending("extract-1", batch="night", tags=["raw"])
    jobs.pending("extract-2", batch="night")


@pytest.mark.parametrize(
    "typed",
    [
        ["--after", "extract-1", "extract-2"],
        ["--after", "extract-1", "--after", "extract-2"],
        ["--after", "extract-1,extract-2"],
        ["--after=extract-1\nextract-2"],  # "$(queuectl enqueue - < jobs)"
        ["--after", "batch:night"],
        ["--after", "tag:raw", "batch:night"],
        ["--after", "extract-1", "extract-2", "extract-1"],
    ],
)
def test_a_job_comes_after_the_jobs_that_are_named(cli: Run, home: Path, typed: list[str]) -> None:
    ran = cli("enqueue", *typed, "--command", "true")
    assert (ran.code, ran.err) == (0, "")
    assert stored(home, ran.out)["after"] == ["extract-1", "extract-2"]


@pytest.mark.parametrize("read", [read_plainly, read_with_argparse])
@pytest.mark.parametrize("behind", [["--command", "true"], ["-q", "--command", "true"], ['{"command": "true"}']])
def test_the_ids_end_where_something_else_begins(read: object, behind: list[str]) -> None:
    args = read(["enqueue", "--after", "a", "b", *behind], ["enqueue"])  # type: ignore[operator]
    assert args.after[:2] == ["a", "b"]
    assert args.command == "true" or "{" in (args.job or args.after.pop())


def test_json_may_follow_the_ids(cli: Run, home: Path) -> None:
    made = stored(home, cli("enqueue", "--after", "extract-1", '{"command": "echo hi"}').out)
    assert (made["command"], made["after"]) == ("echo hi", ["extract-1"])
    made = stored(home, cli("enqueue", "--color=never", "--after=extract-1", '{"command": "echo hi"}').out)
    assert (made["command"], made["after"]) == ("echo hi", ["extract-1"])


def test_ids_come_from_standard_input(cli: Run, home: Path) -> None:
    made = stored(home, cli("enqueue", "--after", "-", "--command", "true", stdin=b"extract-2\nextract-1\n").out)
    assert made["after"] == ["extract-2", "extract-1"]
    ran = cli("enqueue", "-", "--after", "-", stdin=b"extract-2\n")
    refused(ran, 2, "queuectl: standard input cannot hold both the jobs and the ids of --after")


def test_jobs_of_a_file_come_after_the_same_jobs(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "--lines", "-", "--after", "extract-1", "--lock", "db:2", stdin=b"echo a\necho b\n")
    made = [stored(home, job_id) for job_id in ran.out.split()]
    assert [(job["after"], job["lock"]) for job in made] == [(["extract-1"], "db:2")] * 2


def test_a_line_may_come_after_a_line_before_it(cli: Run, home: Path) -> None:
    lines = (
        b'{"id":"a","command":"true"}\n{"id":"b","command":"true","after":["a"]}\n{"command":"true","after":["c"]}\n'
    )
    ran = cli("enqueue", "-", stdin=lines)
    assert (ran.code, ran.out) == (7, "a\nb\n")
    assert 'queuectl: line 3: the job comes after "c", which does not exist' in ran.err
    assert stored(home, "b")["after"] == ["a"]


def test_the_beginning_of_a_generated_id_is_enough_where_it_is_unique(cli: Run, home: Path) -> None:
    job_id = cli("enqueue", "--command", "true").out.strip()
    assert stored(home, cli("enqueue", "--after", job_id[:-1], "--command", "true").out)["after"] == [job_id]
    assert cli("enqueue", "--after", "extract-", "--command", "true").code == 3


@pytest.mark.parametrize(
    ("typed", "code", "lines"),
    [
        (
            ["--after", "extrct-1"],
            3,
            ['queuectl: no job "extrct-1". Did you mean extract-1 (pending) or extract-2 (pending)?'],
        ),
        (["--after", "batch:nigth"], 3, ['queuectl: --after batch:nigth: no job has the batch "nigth"']),
        (["--after", "job:x"], 2, ['queuectl: --after "job:x" is not an id, batch:NAME or tag:NAME']),
        (["--after="], 2, ["queuectl: --after needs the id of a job, not an empty text"]),
        (
            ["--after-policy", "any"],
            2,
            ["queuectl: --after-policy says how the jobs of --after have to end; name them"],
        ),
        (["--after", "extract-1", "--after-policy", "all"], 2, []),
        (["--lock", "db:0"], 6, ['queuectl: "lock" must be NAME or NAME:N, for example "db" or "db:3", not "db:0"']),
        (["--needs", "gpu=two"], 2, ['queuectl: --needs must be NAME=UNITS, not "gpu=two"']),
        (["--needs", "gpu=1", "--needs", "gpu=2"], 2, ['queuectl: --needs names "gpu" twice']),
        (["--weight", "0"], 6, []),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Run, home: Path, typed: list[str], code: int, lines: list[str]) -> None:
    refused(cli("enqueue", *typed, "--command", "true"), code, *lines)
    assert len([*(home / "spool/pending").iterdir()]) == 2


def test_what_a_job_takes_is_stored_and_shown_by_a_dry_run(cli: Run, home: Path) -> None:
    (home / "config.yaml").write_text("resources: {gpu: 2, license: 5}\n")
    typed = ["--lock", "db", "--needs", "gpu=2", "--needs", "license", "--weight", "3", "--command", "true"]
    ran = cli("enqueue", "--dry-run", "--after", "extract-1", "--after-policy", "any", *typed)
    shown = json.loads(ran.out)
    assert (shown["after"], shown["after_policy"]) == (["extract-1"], "any")
    taken = {"lock": "db", "needs": {"gpu": 2, "license": 1}, "weight": 3}
    assert taken.items() <= shown.items()
    assert taken.items() <= stored(home, cli("enqueue", *typed).out).items()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--weight", "3", "--queue", "encode"], "its weight is 3, and the setting queues.encode.concurrency is 2"),
        (["--needs", "gpu=3"], "it needs 3 of gpu, and the setting resources.gpu is 2"),
        (["--needs", "fpga"], "it needs 1 of fpga, and the setting resources.fpga is 0"),
    ],
)
def test_what_can_never_be_met_is_refused(cli: Run, home: Path, typed: list[str], words: str) -> None:
    (home / "config.yaml").write_text("resources: {gpu: 2}\nqueues: {encode: {concurrency: 2}}\n")
    for dry in ([], ["--dry-run"]):
        refused(cli("enqueue", *typed, *dry, "--command", "true"), 6, f"queuectl: the job can never start: {words}")
        ran = cli("enqueue", *typed, *dry, "-", stdin=b'{"command":"true"}\n')
        assert (ran.code, ran.out) == (6, ""), ran


def test_a_parent_that_has_failed_already_is_a_warning(cli: Run, jobs: Jobs) -> None:
    jobs.cancelled("gone")
    ran = cli("enqueue", "--after", "extract-1", "gone", "--command", "true")
    assert (ran.code, ran.err) == (
        0,
        "queuectl: gone is cancelled: the job becomes dead at once, and waits again once that is retried\n",
    )
    assert cli("enqueue", "--after", "gone", "--after-policy", "any", "--command", "true").err == ""
    jobs.completed("fine")
    assert (
        "is cancelled at once"
        in cli("enqueue", "--after", "fine", "--after-policy", "failure", "--command", "true").err
    )


def test_run_takes_the_same_options() -> None:
    args = parse(["run", "--after", "a", "b", "--lock", "db", "--needs", "gpu=1", "--weight", "2", "--", "true"])
    assert (args.after, args.lock, args.needs, args.weight, args.argv) == (["a", "b"], "db", ["gpu=1"], 2, ["true"])
