"""pause, resume, queue list and queue set: queues as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from queuectl.client.queue import Queue
from queuectl.job.job import STATES
from tests.cli.support import Jobs, Run, refused


def paused(home: Path) -> set[str]:
    return {path.name for path in (home / "state/paused").iterdir()}


def test_a_queue_is_paused_and_resumed(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    ran = cli("pause", "encode")
    said = "Paused queue encode: no job of it starts until queuectl resume encode\n"
    assert (ran.code, ran.out, ran.err) == (0, "", said)
    assert paused(home) == {"encode"}
    ran = cli("resume", "encode")
    assert (ran.code, ran.out, ran.err) == (0, "", "Resumed queue encode\n")
    assert paused(home) == set()


def test_a_second_time_changes_nothing(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    cli("pause", "encode")
    ran = cli("pause", "encode")
    assert (ran.code, ran.err) == (0, "Queue encode had been paused already\n")
    cli("resume", "encode")
    ran = cli("resume", "encode")
    assert (ran.code, ran.err) == (0, "Queue encode had not been paused\n")


@pytest.mark.parametrize("typed", [["pause"], ["pause", "--all"]])
def test_without_a_name_everything_is_paused_and_what_runs_is_said(
    cli: Run, jobs: Jobs, home: Path, typed: list[str]
) -> None:
    with jobs.running("runs", queue="encode"):
        ran = cli(*typed)
        assert ran.err == ("Paused all queues: no job starts until queuectl resume\n1 running job goes on: runs\n")
        assert paused(home) == {"_all"}
        assert json.loads(cli("pause", "other", "encode", "--json").out)["running"] == ["runs"]


def test_plain_resume_leaves_the_pauses_of_single_queues(cli: Run, jobs: Jobs, home: Path) -> None:
    for name in ("encode", "mail"):
        jobs.pending(name, queue=name)
    cli("pause", "encode", "mail")
    cli("pause")
    ran = cli("resume", "mail")
    assert ran.err == "Resumed queue mail\nAll queues are still paused: queuectl resume\n"
    ran = cli("resume")
    assert ran.err == "Resumed all queues\nQueue encode is still paused: queuectl resume encode\n"
    cli("pause")
    ran = cli("resume", "--all")
    assert (ran.code, ran.err, paused(home)) == (0, "Resumed all queues, also queue encode\n", set())
    assert cli("resume", "--all").err == "All queues had not been paused\n"


def test_a_queue_that_no_job_has_is_a_warning(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    ran = cli("pause", "encod")
    assert ran.code == 0
    assert ran.err.startswith('queuectl: no job has the queue "encod" yet; did you mean "encode"?\nPaused queue encod:')
    assert cli("resume", "encode").err.startswith('Queue encode had not been paused; did you mean "encod"?\n')
    (home / "config.yaml").write_text("queues: {mail: {concurrency: 1}}\n")
    assert cli("pause", "mail").err.startswith("Paused queue mail:")


def test_json_and_names_say_what_was_done(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    jobs.pending("b", queue="mail")
    assert cli("pause", "encode", "-q", "-o", "name").out == "encode\n"
    made = json.loads(cli("pause", "encode", "mail", "--json").out)
    assert made == {
        **{"action": "pause", "queues": ["mail"], "unchanged": ["encode"], "all": False},
        **{"paused": ["encode", "mail"], "all_paused": False, "running": [], "stopped": []},
    }


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        (["pause", "a/b"], 'queuectl: "a/b" cannot be the name of a queue'),
        (["pause", "_all"], 'queuectl: "_all" cannot be the name of a queue'),
        (["resume", ""], 'queuectl: "" cannot be the name of a queue'),
        (["pause", "a", "--all"], "queuectl: give queues or --all, not both"),
        (["pause", "a", "--for", "soon"], "queuectl: --for must be a duration"),
        (["pause", "a", "--for", "0"], 'queuectl: a pause must end in the future, not "0"'),
        (["pause", "a", "--until", "2001-01-01"], 'queuectl: a pause must end in the future, not "2001-01-01"'),
        (["pause", "a", "--until", "30"], 'queuectl: --until "30" has no unit'),
        (["pause", "a", "--until", "18:00", "--for", "1h"], "queuectl: give --for or --until, not both"),
        (["queue", "set", "a b", "--rate", "1/1s"], 'queuectl: "a b" cannot be the name of a queue'),
        (["queue", "set", "a"], "queuectl: nothing to set: give --concurrency or --rate"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Run, home: Path, typed: list[str], line: str) -> None:
    ran = cli(*typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(line)
    assert paused(home) == set()


def test_a_home_that_does_not_exist_is_not_created(cli: Run, tmp_path: Path) -> None:
    assert cli("--home", str(tmp_path / "none"), "pause").code == 3
    assert not (tmp_path / "none").exists()


# --- queue list, queue set


def test_queues_are_listed_with_their_limits_and_pauses(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    jobs.failed("b", queue="encode")
    jobs.held("c", queue="encode")
    jobs.completed("d")
    (home / "config.yaml").write_text("queues: {encode: {concurrency: 2}, mail: {rate: 10/1m}}\n")
    cli("pause", "mail")
    with jobs.running("e", queue="encode"):
        rows = json.loads(cli("queue", "list", "--json").out)
        table = cli("queue", "list").out.splitlines()
        assert rows == Queue(home).queues()  # one shape; the API has it too
    assert rows[1].pop("oldest_waiting_at") is not None
    assert rows[1].pop("counts") == {**dict.fromkeys(STATES, 0), "pending": 1, "held": 1, "failed": 1, "processing": 1}
    assert rows[1] == {
        **{"name": "encode", "waiting": 2, "running": 1, "concurrency": 2, "rate": None},
        **{"paused": False, "paused_at": None, "paused_until": None, "stops_running": False},
    }
    assert [(row["name"], row["rate"], row["paused"]) for row in rows] == [
        ("default", None, False),
        ("encode", None, False),
        ("mail", "10/1m", True),
    ]
    assert table[0].split() == ["QUEUE", "WAITING", "HELD", "RUNNING", "LIMIT", "RATE", "OLDEST", "PAUSED"]
    assert table[3].split() == ["mail", "0", "-", "0", "-", "10/1m", "-", "paused"]
    assert cli("queue", "list", "-o", "name").out == "default\nencode\nmail\n"


def test_all_queues_are_paused_in_the_list(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    cli("pause")
    ran = cli("queue", "list")
    assert ran.out.splitlines()[1].endswith("paused")
    assert ran.err == "All queues are paused: queuectl resume\n"


def test_limits_are_written_to_the_file_and_comments_stay(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    config = home / "config.yaml"
    config.write_text("timeout: 5m  # short\nqueues:\n  mail: {rate: 1/1s}  # slow\n")
    ran = cli("queue", "set", "encode", "--concurrency", "2", "--rate", "10/1m")
    assert (ran.code, ran.out, ran.err) == (0, "", "queue encode: concurrency none → 2, rate none → 10/1m\n")
    assert config.read_text() == (
        'timeout: 5m  # short\nqueues:\n  mail: {rate: 1/1s}  # slow\n  encode: {"concurrency": 2, "rate": "10/1m"}\n'
    )
    made = json.loads(cli("queue", "set", "encode", "--rate", "none", "--json").out)
    assert (made["queue"], made["old"], made["new"]) == ("encode", {"rate": "10/1m"}, {"rate": None})
    cli("queue", "set", "encode", "--concurrency", "none")
    assert config.read_text() == "timeout: 5m  # short\nqueues:\n  mail: {rate: 1/1s}  # slow\n"


def test_a_wrong_limit_changes_nothing(cli: Run, home: Path) -> None:
    refused(
        cli("queue", "set", "encode", "--concurrency", "2", "--rate", "fast"),
        6,
        'queuectl: queues has "encode.rate", which must be how many starts in which time, for example "10/1m" or "2/1s",'
        ' not "fast"',
    )
    assert not (home / "config.yaml").exists()


def test_a_misspelt_queue_is_a_warning(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    assert (
        'no job has the queue "encdoe" yet; did you mean "encode"?'
        in cli("queue", "set", "encdoe", "--rate", "1/1s").err
    )


def test_a_pause_is_shown_by_status_and_check(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    cli("pause", "encode")
    shown = cli("status").out
    assert "Queue encode has been paused since " in shown
    assert "Z: queuectl resume encode\n" in shown
    assert cli("status", "--short").out.endswith("0 dead, 1 paused\n")
    cli("pause")
    needs = json.loads(cli("status", "--json").out)["attention"]
    assert any(
        need.startswith("All queues have been paused since ") and need.endswith(": queuectl resume") for need in needs
    )
    assert ", paused" in cli("check").out


def test_a_list_shows_which_jobs_are_paused(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    jobs.pending("b")
    cli("pause", "encode")
    rows = {line.split()[0]: line.split()[3] for line in cli("list").out.splitlines()[1:]}
    assert rows == {"a": "paused", "b": "no"}  # no worker
    cli("pause")
    assert [line.split()[3] for line in cli("list").out.splitlines()[1:]] == ["paused", "paused"]


def test_a_pause_for_a_time_says_when_it_ends_and_is_changed_by_another(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a", queue="encode")
    ran = cli("pause", "encode", "--for", "1h")
    said = "Paused queue encode: no job of it starts for 1h 00m, or until queuectl resume encode\n"
    assert (ran.code, ran.out, ran.err) == (0, "", said)
    until = json.loads((home / "state/paused/encode").read_text())["until"]
    (row,) = json.loads(cli("queue", "list", "--json").out)
    assert (row["paused"], row["paused_until"]) == (True, until)
    assert "until " in cli("queue", "list").out
    assert cli("pause", "encode").err.startswith("Paused queue encode: no job of it starts until queuectl resume")
    assert (home / "state/paused/encode").read_text() == ""
    assert cli("pause", "encode").err == "Queue encode had been paused already\n"


def test_a_pause_whose_time_is_over_is_none(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    (home / "state/paused/default").write_text('{"until": "2001-01-01T00:00:00Z"}\n')
    assert json.loads(cli("queue", "list", "--json").out)[0]["paused"] is False
    assert "paused" not in cli("status").out
    assert "paused" not in cli("list").out
    assert cli("resume", "default").err == "Queue default had not been paused\n"
    assert cli("pause").err.startswith("Paused all queues")


def test_what_runs_without_a_supervisor_is_not_stopped_and_that_is_said(cli: Run, jobs: Jobs) -> None:
    """Its worker, if it still runs, notices the pause within a second."""
    with jobs.running("runs", queue="encode"):
        ran = cli("pause", "--running")
        assert ran.err == "Paused all queues: no job starts until queuectl resume\n1 running job goes on: runs\n"
        assert " for 0s " in cli("list").out


def test_a_directory_in_the_place_of_a_pause_pauses_and_is_removed_like_one(cli: Run, jobs: Jobs, home: Path) -> None:
    jobs.pending("a")
    path = home / "state/paused/default"
    path.mkdir(parents=True)
    (path / "x").touch()
    assert "paused" in cli("list").out
    ran = cli("resume", "default")
    assert (ran.code, ran.err.splitlines()[1].strip()) == (4, f"hint: rm -r {path}")
    (path / "x").unlink()
    assert (cli("resume", "default").code, path.exists()) == (0, False)
