"""The forms of the page: what is wrong is said beside its field, all at once, and what is printed makes the same job."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from queuectl.clock import spell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.support import Jobs
    from tests.support.browser import Person

RED = "\x1b[31merror:\x1b[0m disk\r\x1b]0;title\x07disk 7 is full"


def test_all_that_is_wrong_is_said_at_once_beside_its_field(person: Person, jobs: Jobs) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.locator("dialog summary").click()
    wrong = {
        "priority": "many",
        "timeout": "long",
        "env": "bad",
        "after": "none",
        "lock": "a b",
        "needs": "gpu=some",
        "weight": "0",
    }
    for name, typed in wrong.items():
        page.fill(f"#f-{name}", typed)
    page.locator("dialog button.main").click()
    for name in ("command", "priority", "timeout", "env", "lock", "needs", "weight"):
        person.see(f"#f-{name}[aria-invalid=true]")
    person.see("#f-command:focus")
    assert page.inner_text("#f-command-told") == "type the command to run"
    assert "Priority must be an integer" in page.inner_text("#f-priority-told")
    assert person.axe() == []
    for name in wrong:
        page.fill(f"#f-{name}", "")
    page.fill("#f-command", "true")
    page.fill("#f-after", "none")
    page.fill("#f-needs", "gpu=2")
    page.locator("dialog button.main").click()
    person.see("#f-after-told", 'the job comes after "none", which does not exist')
    person.see("#f-needs-told", "the job can never start")
    assert jobs.queue.counts()["pending"] == 0


def test_what_a_job_waits_for_and_takes_is_typed_and_kept_as_a_draft(person: Person, jobs: Jobs, home: Path) -> None:
    (home / "config.yaml").write_text("resources: {gpu: 4}\n")
    jobs.pending("first")
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "true")
    page.locator("dialog summary").click()
    assert not page.locator("#f-after_policy").count()
    for name, typed in (("after", "first"), ("lock", "db:2"), ("needs", "gpu=2"), ("weight", "3")):
        page.fill(f"#f-{name}", typed)
    page.select_option("#f-after_policy", "any")
    printed = person.see("dialog pre", "--after=first").inner_text()
    for word in ("--after-policy=any", "--lock=db:2", "--needs=gpu=2", "--weight=3"):
        assert word in printed
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    assert page.input_value("#f-lock") == "db:2"  # and it is unfolded
    person.see("dialog pre", "--after-policy=any")
    page.locator("dialog button.main").click()
    person.see(".toast", "Queued")
    [job] = [row for row in jobs.queue.list() if row["id"] != "first"]
    fields = jobs.queue.get(job["id"]).fields
    assert {name: fields[name] for name in ("after", "after_policy", "lock", "needs", "weight")} == {
        **{"after": ["first"], "after_policy": "any", "lock": "db:2"},
        **{"needs": {"gpu": 2}, "weight": 3},
    }


def test_a_wrong_time_in_a_filter_is_said_in_the_words_of_the_page(person: Person, jobs: Jobs) -> None:
    jobs.pending("j")
    page = person.sign_in("jobs?since=some+time")
    person.see(".empty", "Since must be a time")
    assert "%2B" not in page.inner_text(".empty")


def test_a_wrong_variable_is_refused_with_its_line(person: Person, jobs: Jobs) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "true")
    page.locator("dialog summary").click()
    for typed, told in (
        ("A=1\nX Y=1", 'line 2: the name "X Y" must not contain spaces'),
        ("bad", 'line 1: "bad" has no "=": type NAME=value'),
        ("A=1\n\nexport Z=2", 'line 3: type NAME=value without "export"'),
        ("=1", 'line 1: there is no name before "="'),
        ("A=1\nA=2", "line 2: A is set twice"),
    ):
        page.fill("#f-env", typed)
        person.see("#f-env-told", told)
        page.locator("dialog button.main").click()
        person.see("#f-env[aria-invalid=true]:focus")
    assert jobs.queue.counts()["pending"] == 0
    page.fill("#f-env", "A=1=2\nB= x ")
    person.see("dialog pre", "--env=A=1=2 '--env=B= x '")


def test_the_printed_command_makes_the_same_job(person: Person, jobs: Jobs, home: Path, tmp_path: Path) -> None:
    (directory := tmp_path / "it's $HOME here").mkdir()
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.locator("dialog summary").click()
    page.fill("#f-command", "-x 'a b' \"$HOME\" `id` !! \\\n\ttwo é")
    for name, value in (
        ("name", "-n 'q'"),
        ("priority", "-5"),
        ("max_retries", "0"),
        ("timeout", "2m"),
        ("queue", "q"),
        ("tags", "x y, -z"),
        ("unique_key", "$(key)"),
        ("cwd", str(directory)),
        ("env", "A=$HOME 'x'\nB=1"),
    ):
        page.fill(f"#f-{name}", value)
    page.fill("#f-run_at", "2099-01-01T00:00")
    printed = person.see("dialog pre", "--env=B=1").inner_text()
    queuectl = f'queuectl() {{ {sys.executable} -m queuectl "$@"; }}\n{printed}\n'
    environ = {**os.environ, "QUEUECTL_HOME": str(home)}
    ran = subprocess.run(["sh", "-c", queuectl], capture_output=True, text=True, cwd="/", env=environ, check=False)
    assert ran.returncode == 0, (printed, ran.stderr)
    typed = dict(jobs.queue.get(ran.stdout.strip()).fields)
    jobs.queue.delete(ran.stdout.strip())  # it holds the key
    page.locator("dialog button.main").click()
    person.miss("dialog")
    [row] = jobs.queue.list()
    made = dict(jobs.queue.get(row["id"]).fields)
    assert typed["env"].pop("PATH") == os.environ["PATH"]
    for fields in (typed, made):
        del fields["id"], fields["created_at"]
    typed["run_at"], made["run_at"] = (fields["run_at"][:19] for fields in (typed, made))
    assert typed == made


def test_a_start_time_in_the_past_is_said_before_and_after(person: Person, jobs: Jobs) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "true")
    page.locator("dialog summary").click()
    page.fill("#f-run_at", "2020-01-01T00:00")
    person.see("dialog .banner.warn", '"run_at" is in the past (')
    page.locator("dialog button.main").click()
    person.see(".toast", '"run_at" is in the past (')
    assert jobs.queue.counts()["pending"] == 1


def test_a_copied_command_says_which_variables_it_lacks(person: Person, jobs: Jobs) -> None:
    jobs.pending("j", env={"PATH": "/bin", "A": "hush", "B": "1"}, run_at=spell(4e9))
    page = person.sign_in("jobs/j")
    person.press("Copy as queuectl command")
    person.see(".toast", "the command takes A, B from your shell")
    assert "hush" not in page.content()


def test_a_job_is_duplicated_and_its_queue_and_tags_are_changed(person: Person, jobs: Jobs) -> None:
    """The draft of another job, typed before, stays."""
    jobs.queue.enqueue(
        ["echo", "a b"], id="first", queue="encode", tags=["x", "y"], priority=3, timeout=60, env={"KEY": "1"}
    )
    page = person.sign_in("jobs/first")
    page.keyboard.press("n")
    page.fill("#f-command", "draft")
    page.keyboard.press("Escape")
    person.press("Duplicate")
    person.see("dialog h2", "A new job like first")
    person.see("dialog p", "give KEY again")
    page.locator("dialog button.main").click()
    person.see(".toast", "Queued")
    [made] = [row["id"] for row in jobs.queue.list() if row["id"] != "first"]
    fields = jobs.queue.get(made).fields
    assert {name: fields[name] for name in ("command", "queue", "tags", "priority", "timeout")} == {
        **{"command": "echo 'a b'", "queue": "encode", "tags": ["x", "y"]},
        **{"priority": 3, "timeout": 60},
    }
    page.keyboard.press("n")
    assert page.input_value("#f-command") == "draft"
    page.keyboard.press("Escape")
    person.press("Edit")
    page.fill("#f-queue", "mail")
    page.fill("#f-tags", "z")
    person.press("Save")
    person.see(".toast", "first is saved")
    fields = jobs.queue.get("first").fields
    assert (fields["queue"], fields["tags"]) == ("mail", ["z"])
