"""schedule add, list, show, run, pause, resume, remove: recurring jobs of config.yaml."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Jobs, Run, refused

ADD = ("schedule", "add", "nightly", "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--no-check")


def rows(cli: Run) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli("schedule", "list", "--json").out)
    return found


def configure(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True, mode=0o700)
    (home / "config.yaml").write_text(text)


def test_one_command_adds_a_nightly_job(cli: Run, home: Path) -> None:
    ran = cli(*ADD, "--queue", "slow", "--", "tar", "czf", "a b.tgz", "/etc")
    assert (ran.code, ran.out) == (0, "nightly\n")
    assert ran.err.startswith("Added schedule nightly; its next job: 20")
    [row] = rows(cli)
    assert (row["cron"], row["timezone"], row["misfire"], row["overlap"]) == (
        *("30 2 * * *", "Europe/Berlin"),
        *("once", "skip"),
    )
    job = row["job"]
    assert (job["argv"], job["queue"], job["cwd"]) == (["tar", "czf", "a b.tgz", "/etc"], "slow", os.getcwd())
    assert "PATH" in job["env"]
    assert len(row["next"]) == 5
    assert all(slot.endswith(("00:30:00Z", "01:30:00Z")) for slot in row["next"])


def test_what_is_added_keeps_the_comments_of_the_file(cli: Run, home: Path) -> None:
    before = (
        "# mine\ntimeout: 5m  # short\nschedules:\n  # the first\n  a:\n    every: 1h  # often\n    job: {command: x}\n"
    )
    configure(home, before)
    assert cli(*ADD, "--command", "echo 'a: #b'").code == 0
    text = (home / "config.yaml").read_text()
    assert text.startswith(before)
    assert cli("schedule", "remove", "nightly").code == 0
    assert (home / "config.yaml").read_text() == before
    assert [row["name"] for row in rows(cli)] == ["a"]


def test_it_is_said_when_nothing_makes_the_jobs(cli: Run, jobs: Jobs) -> None:
    """Neither a supervisor runs nor maintenance; the same in status and check."""
    assert "nothing makes the jobs of schedules: no supervisor is running" in cli(*ADD, "--command", "x").err
    assert "nothing makes the jobs of schedules" in cli("schedule", "list").err
    assert "1 schedule adds no jobs, because no supervisor is running" in cli("status").out
    assert "1 schedule adds no jobs" in cli("check").out
    cli("maintenance")
    assert "nothing makes" not in cli("schedule", "list").err


def test_a_name_is_taken_once(cli: Run, home: Path) -> None:
    cli(*ADD, "--command", "x")
    text = (home / "config.yaml").read_text()
    refused(
        cli(*ADD, "--command", "y"),
        4,
        "queuectl: there is a schedule nightly already",
        "          hint: queuectl schedule remove nightly",
    )
    assert (home / "config.yaml").read_text() == text


@pytest.mark.parametrize(
    ("typed", "code", "words", "hint"),
    [
        (("--command", "x"), 2, "give either --cron or --every", "--cron"),
        (("--cron", "@daily", "--every", "1h", "--command", "x"), 2, "give either --cron or --every", "--cron"),
        (("--every", "1h"), 2, "give either --command or -- PROGRAM", "--every 1h"),
        (("--cron", "0 30 2 * * *", "--command", "x"), 6, "a cron expression with five fields", "no field for seconds"),
        (("--cron", "61 * * * *", "--command", "x"), 6, 'not "61 * * * *"', '"61" is not a valid minute: 0 to 59'),
        (("--every", "0", "--command", "x"), 6, "every must be a duration of whole seconds", ""),
        (("--every", "1h", "--timezone", "Europe/Berln", "--command", "x"), 6, "timezone must be", "Europe/Berlin"),
        (("--every", "1h", "--misfire", "never", "--command", "x"), 2, "--misfire", ""),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    cli: Run, home: Path, typed: tuple[str, ...], code: int, words: str, hint: str
) -> None:
    ran = cli("schedule", "add", "s", "--no-check", *typed)
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert hint in ran.err
    assert not (home / "config.yaml").exists()


@pytest.mark.parametrize("name", ["a@b", "../x", "-", "x" * 112])
def test_a_name_that_no_id_can_begin_with_is_refused(cli: Run, name: str) -> None:
    ran = cli("schedule", "add", "--every", "1h", "--command", "x", "--no-check", "--", name)
    assert ran.code in (2, 6), ran


def test_one_bad_schedule_does_not_stop_the_others(cli: Run, home: Path, jobs: Jobs) -> None:
    """It is reported with file, line, schedule and field, by list, status, check, doctor and config check."""
    configure(
        home,
        'schedules:\n  bad:\n    cron: "0 25 * * *"\n    job: {command: x}\n  good:\n    every: 1h\n    job: {command: y}\n',
    )
    said = "config.yaml:3: schedule bad: cron must be a cron expression with five fields"
    found = {row["name"]: row for row in rows(cli)}
    assert said in found["bad"]["error"]
    assert found["good"]["error"] is None
    assert len(found["good"]["next"]) == 5
    assert said in cli("schedule", "list").err
    assert said in cli("status").out
    assert said in cli("doctor").out
    checked = cli("config", "check")
    assert checked.code == 6
    assert said in checked.err
    jobs.pending("a")
    ran = cli("maintenance")
    assert ran.code == 7
    assert said in ran.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{every: 1h}", "job must be a mapping"),
        ("{every: 1h, job: x}", "job must be a mapping"),
        ("{job: {command: x}}", 'either "cron" or "every"'),
        ("{every: 1h, cron: '@daily', job: {command: x}}", "this one has both"),
        ("{every: 1h, job: {command: x, id: y}}", 'job cannot have "id"'),
        ("{every: 1h, job: {command: x, run_at: y}}", 'job cannot have "run_at"'),
        ("{every: 1h, job: {comand: x}}", 'did you mean "command"'),
        ("{every: 1h, job: {command: x, priority: high}}", '"priority" must be an integer'),
        ("{every: 1h, job: {command: x, stdin: input}}", '"stdin" is "input", but no input is given'),
        ("{every: 1h, command: x}", '"command" is a field of its job'),
        ("{every: 1h, misfires: x}", 'did you mean "misfire"'),
        ("{every: 1h, misfire: never, job: {command: x}}", "misfire must be once, skip or all"),
        ("{every: 1h, overlap: 5, job: {command: x}}", "overlap must be skip, queue or allow"),
        ("{every: 1h, timezone: Mars, job: {command: x}}", "timezone must be the name of a time zone"),
        ("x", "must be a mapping"),
        ("", "must be a mapping"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(cli: Run, home: Path, text: str, words: str) -> None:
    configure(home, f"timeout: 5\nschedules:\n  s: {text}\n")
    [row] = rows(cli)
    assert (
        row["error"].startswith(f"{home}/config.yaml:3: schedule s: ") or "config.yaml:3: schedule s: " in row["error"]
    )
    assert words in row["error"]


def test_an_expression_without_quotes_gets_a_hint(cli: Run, home: Path) -> None:
    """YAML takes the star for something else."""
    configure(home, "schedules:\n  s:\n    cron: */5 * * * *\n    job: {command: x}\n")
    ran = cli("config", "check")
    assert ran.code == 6
    assert 'a cron expression is written in quotes: cron: "30 2 * * *"' in ran.err


def test_a_job_is_run_now_under_an_id_of_its_own(cli: Run, jobs: Jobs) -> None:
    cli(*ADD, "--command", "x", "--tag", "mine")
    job_id = cli("schedule", "run", "nightly").out.strip()
    fields = jobs.spool.read(job_id).fields
    assert job_id.startswith("nightly@")
    assert fields["tags"] == ["mine", "schedule:nightly"]
    assert fields["env"]["QUEUECTL_SCHEDULE"] == "nightly"
    assert "QUEUECTL_SLOT" not in fields["env"]
    assert cli("schedule", "run", "nightly").out.strip() != job_id
    assert cli("list", "--tag", "schedule:nightly", "-o", "name").out.count("nightly@") == 2


def test_a_schedule_is_paused_and_resumed(cli: Run, home: Path) -> None:
    cli(*ADD, "--command", "x")
    ran = cli("schedule", "pause", "nightly")
    assert (ran.code, ran.out, ran.err) == (0, "nightly\n", "Paused schedule nightly\n")
    assert (home / "state/paused/@nightly").exists()
    [row] = rows(cli)
    assert row["paused_at"]
    assert row["next"] == []
    assert "Schedule nightly had been paused already" in cli("schedule", "pause", "nightly").err
    assert cli("queue", "list", "--json").out.count("nightly") == 0
    assert cli("schedule", "resume", "nightly").err == "Resumed schedule nightly\n"
    assert "had not been paused" in cli("schedule", "resume", "nightly").err
    assert not (home / "state/paused/@nightly").exists()


@pytest.mark.parametrize("verb", ["show", "run", "pause", "resume", "remove"])
def test_an_unknown_schedule_is_not_found(cli: Run, verb: str) -> None:
    cli(*ADD, "--command", "x")
    refused(cli("schedule", verb, "nigthly"), 3, 'queuectl: no schedule "nigthly"; did you mean "nightly"?')


def test_everything_about_a_schedule_is_shown(cli: Run) -> None:
    cli(*ADD, "--command", "echo hi", "--queue", "slow")
    shown = cli("schedule", "show", "nightly").out
    assert "when       30 2 * * * Europe/Berlin\n" in shown
    assert "command    echo hi\n" in shown
    assert "queue      slow\n" in shown
    assert shown.count(" (in ") == 5
    [row] = json.loads(cli("schedule", "show", "nightly", "--json").out)
    assert row["name"] == "nightly"


def test_maintenance_adds_the_jobs_that_are_due(cli: Run, home: Path) -> None:
    configure(home, "schedules:\n  s:\n    every: 1s\n    job: {command: x}\n")
    cli("enqueue", "--command", "true")
    assert cli("maintenance", "schedules").code == 0
    marker = home / "state/schedules/s"
    text = json.loads(marker.read_text())
    marker.write_text(json.dumps({**text, "until": "2026-01-01T00:00:00Z"}))
    dry = cli("maintenance", "schedules", "--dry-run")
    assert (dry.code, rows(cli)[0]["last_job"]) == (0, None)
    ran = cli("maintenance", "schedules", "--verbose")
    assert "added 1 job of schedules: s@" in ran.out
    [row] = rows(cli)
    assert row["last_state"] == "pending"
    assert row["missed"] > 0
    assert json.loads(cli("show", row["last_job"], "--json").out)[0]["schedule"] == {
        "name": "s",
        "slot": row["last_slot"],
    }
    assert re.search(r"schedule +s +slot 20", cli("show", row["last_job"]).out)
    assert "MISSED" in cli("schedule", "list").out


def test_without_schedules_the_list_says_how_to_add_one(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("schedule", "list")
    assert ran.code == 0
    assert rows(cli) == []


def test_a_command_without_its_mark_is_refused_with_a_hint(cli: Run) -> None:
    ran = cli("schedule", "add", "s", "--every", "15m", "backup.sh")
    assert (ran.code, ran.out) == (2, "")
    assert 'unexpected argument "backup.sh"' in ran.err
    assert "a command is written after --" in ran.err
