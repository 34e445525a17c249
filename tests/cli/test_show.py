"""show: one job on one screen, and as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Ran, Run

Golden = Callable[[str, str], None]
Passes = Callable[[float], None]


def test_a_waiting_job(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    jobs.pending(
        *("video", "ffmpeg -i a.mov -c:v libx265 a.mp4"),
        cwd="/home/ana/video",
        tags=["video", "night"],
        env={"PATH": "/bin", "TOKEN": "secret"},
        name="the-film",
        batch="films",
        unique_key="film",
        expires_at="2026-12-01T00:00:00Z",
    )
    now(120)
    ran = cli("show", "video")
    assert "secret" not in ran.out
    golden("show-pending", ran.out)


def test_a_job_that_waits_for_its_next_try(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    jobs.failed("f", b"reading\na.mov: No such file or directory\n", max_retries=3, timeout=90)
    golden("show-failed", cli("show", "f").out)


def test_a_running_job_with_its_progress(cli: Run, jobs: Jobs, now: Passes, golden: Golden, home: Path) -> None:
    with jobs.running("r", b"one\ntwo"):
        (home / "output/r.1.progress").write_text("0.2 begun\n0.4 converting \x1b[31m\n")
        now(62)
        golden("show-processing", cli("show", "r").out)
        assert json.loads(cli("show", "r", "--json").out)[0]["progress"] == "40% converting \x1b[31m"


def test_a_dead_job_with_all_its_attempts(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    jobs.failed("d", delay_s=2)
    now(10)
    for details in ({"exit_code": 124, "timed_out": True}, {"exit_code": 137, "signal": "SIGKILL"}):
        with jobs.start("d", b"") as claim:
            now(3700)
            claim.reschedule("failed", claim.job.updated_at + 3704, {"error": "", "max_rss_bytes": 8 << 30, **details})
    with jobs.start("d") as claim:
        claim.interrupt("its worker died before the command's end was recorded")
    with jobs.start("d") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 3, "error": "no\ngood"})
    now(60)
    golden("show-dead", cli("show", "d").out)


def test_a_job_that_has_ended(cli: Run, jobs: Jobs, now: Passes, golden: Golden, home: Path) -> None:
    jobs.completed("c", b"x\n" * 1284, queue="net", priority=-5)
    (home / "output/c.1.result").write_text('{"rows": 12, "ok": true}')
    golden("show-completed", cli("show", "c").out)
    assert json.loads(cli("show", "c", "--json").out)[0]["result"] == {"rows": 12, "ok": True}


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_was_not_found_is_told_where_it_was_looked_for(cli: Run, jobs: Jobs, code: int) -> None:
    with jobs.running("n", command="nosuch", cwd="/srv", env={"PATH": "/opt/bin"}) as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": code, "error": "sh: nosuch: not found"})
    lines = cli("show", "n").out.splitlines()
    assert lines[-3:] == [
        "",
        "It ran in /srv with shell /bin/sh and PATH=/opt/bin",
        "To change that: queuectl enqueue --cwd DIR --env PATH=... (or a full path in the command)",
    ]


def test_a_directory_that_is_missing_gets_the_same_advice(cli: Run, jobs: Jobs) -> None:
    jobs.queue.submit({"argv": ["ls"], "id": "n", "cwd": "/nowhere"})
    with jobs.start("n") as claim:
        claim.move_to_dead(
            "retries_exhausted", {"exit_code": 126, "failed_to_start": True, "error": "no directory /nowhere"}
        )
    shown = cli("show", "n").out
    assert "126 (not started)" in shown
    assert "It ran in /nowhere with no shell and PATH=(the supervisor has)" in shown


def test_json_is_the_job_with_history_and_result(cli: Run, jobs: Jobs, now: Passes) -> None:
    jobs.failed("f")
    [shown] = json.loads(cli("show", "f", "--json").out)
    assert [entry["event"] for entry in shown["history"]] == ["started", "failed"]
    assert (shown["id"], shown["state"], shown["attempts"], shown["result"]) == ("f", "failed", 1, None)


def test_several_jobs_are_several_screens_or_one_array(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    jobs.pending("b")
    assert cli("show", "a", "b").out.count("enqueued") == 2
    assert [job["id"] for job in json.loads(cli("show", "a", "b", "--json").out)] == ["a", "b"]
    assert cli("show", "-", "-o", "name", stdin=b"a\nb\na\n").out == "a\nb\n"


def test_one_that_is_missing_keeps_no_other_from_being_shown(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("show", "a", "nope")
    assert ran.code == 7
    assert ran.out.startswith("a  pending")
    assert ran.err.splitlines() == ['queuectl: no job "nope"', "queuectl: 1 of 2 jobs could not be shown"]
    assert cli("show", "nope").code == 3
    problem = json.loads(cli("show", "a", "nope", "--json").err)
    assert (problem["title"], problem["errors"][0]["id"]) == ("partly failed", "nope")


def test_what_a_job_says_cannot_command_the_terminal(cli: Run, jobs: Jobs) -> None:
    """Proves G18."""
    jobs.pending("e", "printf '\x1b[2J' \u202e", tags=["\x1b[31m"], name="evil")
    shown = cli("show", "e").out
    assert "printf '\\x1b[2J' \\u202e" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_terminal_is_told_what_to_type_next(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.dead("d")
    assert "Full output: queuectl logs d\nTry now:     queuectl retry d\n" in terminal("show", "d", columns=80).out
    assert "Full output" not in terminal("show", "d", "-q").out
    jobs.completed("silent", b"")
    assert "Full output" not in terminal("show", "silent").out
    jobs.completed("c")
    Path(jobs.queue.layout.output_of("c", 1)).unlink()
    assert "Full output" not in terminal("show", "c").out


def test_an_unambiguous_beginning_will_do(cli: Run, jobs: Jobs) -> None:
    jobs.pending("alpha-1")
    jobs.pending("alpha-2")
    jobs.pending("beta")
    assert cli("show", "be").out.startswith("beta  pending")
    ran = cli("show", "alpha")
    assert (ran.code, ran.err.splitlines()[0]) == (
        4,
        'queuectl: "alpha" is a prefix of several ids: alpha-1, alpha-2 ...',
    )


def test_an_id_that_is_nearly_right_is_suggested(cli: Run, jobs: Jobs) -> None:
    jobs.dead("01JDFQ8Z4T")
    jobs.completed("01JDFW11AA")
    ran = cli("show", "01JDFX")
    assert ran.code == 3
    assert ran.err.startswith('queuectl: no job "01JDFX". Did you mean 01JDF')
    assert "01JDFQ8Z4T (dead)" in ran.err
    assert "01JDFW11AA (completed)" in ran.err


def test_a_dropped_file_that_will_be_rejected_is_no_job(cli: Run, jobs: Jobs, home: Path) -> None:
    """Before it is rejected, and after."""
    jobs.pending("a")
    (home / "spool/pending/drop.json").write_text('{"command": "echo", "at": "23:00"}')
    for verb in ("show", "cancel", "hold"):
        ran = cli(verb, "drop")
        assert ran.code == 6
        assert 'spool/pending/drop.json: not a valid job: line 1, column 21: unknown field "at"' in ran.err
    os.utime(home / "spool/pending/drop.json", (1, 1))
    assert 'unknown field "at"; did you mean "run_at"?' in cli("doctor", "--fix").out
    ran = cli("show", "drop")
    assert ran.code == 3
    assert f"hint: a file of this name was rejected; the reason: {home}/spool/rejected/drop.json.reason" in ran.err


def test_a_misspelt_field_of_a_dropped_file_is_shown_with_what_was_meant(cli: Run, jobs: Jobs, home: Path) -> None:
    (home / "spool/pending/drop.json").write_text('{"command": "echo", "tag": "a", "ticket": 7}')
    shown = cli("show", "drop").out
    assert 'note       unknown field "tag"; did you mean "tags"? It has no effect\n' in shown
    assert "ticket" not in shown  # a field of the author's own
    made = json.loads(cli("show", "drop", "--json").out)[0]
    assert (made["unknown_fields"], made["tag"], made["tags"]) == ({"tag": "tags", "ticket": None}, "a", [])
    jobs.pending("plain")
    assert json.loads(cli("show", "plain", "--json").out)[0]["unknown_fields"] == {}


def test_leftovers_that_were_ended_are_named_with_how_to_keep_them(cli: Run, jobs: Jobs) -> None:
    processes = [{"pid": 4711, "command": "sleep 600"}, {"pid": 4712, "command": "\x1b[31msh"}]
    with jobs.running("left") as claim:
        claim.finish({"exit_code": 0, "leftovers": {"count": 3, "processes": processes}})
    out = cli("show", "left").out
    assert (
        "Attempt 1 left processes running, which were ended: 3 processes: sleep 600 (pid 4711), \\x1b[31msh (pid 4712), …\n"
        in out
    )
    assert "To keep such processes: queuectl enqueue --leftovers leave" in out
    assert json.loads(cli("show", "left", "--json").out)[0]["history"][-1]["leftovers"]["count"] == 3
    assert "ended 3 processes: sleep 600 (pid 4711)" in cli("events").out


def test_leftovers_of_a_failed_attempt_are_named_without_advice_that_would_not_help(cli: Run, jobs: Jobs) -> None:
    """`leftovers: leave` is for what succeeded."""
    with jobs.running("left") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 1, "leftovers": {"count": 1, "processes": []}})
    out = cli("show", "left").out
    assert "Attempt 1 left processes running, which were ended: 1 process" in out
    assert "--leftovers" not in out


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"rows: 12\n", "line 1, column 1: expected a JSON value"),
        (b'{"a": 1,\n "a": 2}', 'line 2, column 2: the key "a" occurs twice in one object'),
        (b'{"loss": NaN}', "line 1, column 10: expected a JSON value, found NaN"),
        (b"1 2", "line 1, column 3: expected the end of the file after the value"),
        (b'"caf\xe9"', "line 1, column 5: byte 0xe9 is not UTF-8"),
        (b"[" + b"1," * 40_000 + b"1]", "it is larger than 64 KiB"),
        (None, "it cannot be read: it is a directory"),
    ],
)
def test_a_result_that_is_not_valid_says_so_and_the_job_stays_completed(
    cli: Run, jobs: Jobs, home: Path, data: bytes | None, error: str
) -> None:
    """Nothing that a job has written as its result disappears without a word."""
    jobs.completed("c")
    path = home / "output/c.1.result"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    out = cli("show", "c").out
    assert [line for line in out.splitlines() if line.startswith("result")] == [
        f"result     not valid: {error} ({path})"
    ]
    (made,) = json.loads(cli("show", "c", "--json").out)
    assert (made["state"], made["result"], made["result_error"]) == ("completed", None, error)


@pytest.mark.parametrize("data", [b"12", b"[1, 2]", b'"text"', b"null", b" \n", b""])
def test_a_result_may_be_any_json_value_or_nothing(cli: Run, jobs: Jobs, home: Path, data: bytes) -> None:
    jobs.completed("c")
    (home / "output/c.1.result").write_bytes(data)
    [made] = json.loads(cli("show", "c", "--json").out)
    assert (made["result"], made["result_error"]) == (json.loads(data) if data.strip() else None, None)


def test_a_fifo_in_the_place_of_a_result_or_progress_is_not_waited_for(cli: Run, jobs: Jobs, home: Path) -> None:
    with jobs.running("r"):
        for kind in ("result", "progress"):
            os.mkfifo(home / f"output/r.1.{kind}")
        [made] = json.loads(cli("show", "r", "--json").out)
    assert made["result_error"] == "it cannot be read: it is not a regular file"
    assert made["progress"] == "(the progress cannot be read: it is not a regular file)"


def test_the_progress_is_the_last_line_of_a_file_of_any_length(cli: Run, jobs: Jobs, home: Path) -> None:
    with jobs.running("r"):
        (home / "output/r.1.progress").write_text("0.1 begun\n" * 20_000 + "0.9 nearly done\n")
        assert json.loads(cli("show", "r", "--json").out)[0]["progress"] == "90% nearly done"
