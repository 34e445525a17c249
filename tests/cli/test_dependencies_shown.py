"""show and retry of jobs that wait for other jobs, limits or pauses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl import control_client
from queuectl.errors import NoSupervisor
from tests.cli.support import Jobs, Run, refused

Passes = Callable[[float], None]


@pytest.fixture
def children(jobs: Jobs) -> None:
    """A dead parent with a child that died because of it."""
    jobs.pending("parent")
    jobs.pending("child", after=["parent"], lock="db:2", weight=2)
    jobs.queue.cancel("parent")
    assert jobs.spool.claim("child", "worker-1").reason == "moved"  # type: ignore[union-attr]
    jobs.spool.note_change("child")


def test_show_says_what_a_job_waits_for_and_takes(cli: Run, jobs: Jobs) -> None:
    jobs.pending("parent")
    jobs.pending("child", after=["parent"], after_policy="any", lock="db:2", weight=2)
    jobs.queue.list()  # brings the index up to date
    lines = cli("show", "child").out.splitlines()
    assert lines[0] == "child  pending  waits for other jobs"
    assert "after      parent (pending)   policy any" in lines
    assert {"lock       db:2", "weight     2"} <= {*lines}
    assert "dependents child" in cli("show", "parent").out.splitlines()


def test_a_paused_job_is_not_ready_to_run(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    cli("pause", "encode")
    assert cli("show", "a").out.splitlines()[0] == "a  pending  paused"
    cli("resume", "encode")
    assert cli("show", "a").out.splitlines()[0] == "a  pending  ready to run"


def test_the_units_of_an_attempt_are_shown(cli: Run, jobs: Jobs, home: Path) -> None:
    (home / "config.yaml").write_text("resources: {gpu: 2}\n")
    with Jobs(home).running("a", needs={"gpu": 2}):
        out = cli("show", "a").out
    assert "needs      gpu 2" in out
    assert "gpu 0,1" in out


@pytest.mark.usefixtures("children")
def test_a_retry_of_a_child_names_the_parent(cli: Run, jobs: Jobs) -> None:
    assert jobs.queue.get("child").state == "dead"
    refused(
        cli("retry", "child"),
        4,
        "queuectl: job child cannot start: parent is cancelled",
        "          hint: queuectl retry parent   (child follows)",
    )
    ran = cli("retry", "--state", "dead", "--yes")
    assert (ran.code, jobs.queue.get("child").state) == (0, "dead")
    assert "follows when that is retried" in ran.err


@pytest.mark.usefixtures("children")
def test_a_retry_of_the_parent_says_that_the_child_follows(cli: Run, jobs: Jobs) -> None:
    jobs.queue.list()
    assert cli("retry", "parent").err == "parent runs again: attempt 1; 1 job that comes after it follows\n"


def test_a_job_that_comes_after_another_is_not_counted_as_waiting(cli: Run, jobs: Jobs, now: Passes) -> None:
    """Neither is it late, nor is the time for which its parent ran a delay of its own."""
    with jobs.running("parent") as claim:
        jobs.pending("child", after=["parent"])
        jobs.pending("grandchild", after=["child"])
        now(7200)
        told = json.loads(cli("status", "--json").out)
        assert (told["counts"]["pending"], told["awaiting_parents"], told["oldest_waiting_s"]) == (2, 2, None)
        assert cli("status", "--short").out.startswith("0 waiting, 2 after others, ")
        assert " waiting=0;" in cli("check").out
        claim.finish({"exit_code": 0})
    jobs.spool.note_change("parent")
    now(10)
    assert cli("status", "--short").out.startswith("1 waiting, 1 after others, ")
    with jobs.start("child") as claim:
        assert claim.job.wait_s == 10
        claim.finish({"exit_code": 0})
    [attempt] = json.loads(cli("show", "child", "--json").out)[0]["attempt_list"]
    assert attempt["ready_at"] == jobs.queue.get("parent").history[-1]["at"]


def test_list_says_why_a_job_that_is_due_does_not_start(cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_layout: object, request: dict[str, object], **_more: object) -> dict[str, object]:
        if request["do"] == "flush":
            raise NoSupervisor("none")
        blocked = {"lock/db": ["x"], "queue/full": [], "resource/gpu": ["y"], "rate/mail": []}
        return {"blocked": blocked, "draining": False, "workers": [{"state": "idle", "job_id": None}]}

    monkeypatch.setattr(control_client, "ask", ask)
    monkeypatch.setenv("QUEUECTL_RESOURCES", '{"gpu": 1}')
    jobs = Jobs(home)
    jobs.completed("one")
    for job_id in ("two", "three"):
        jobs.held(job_id)
    jobs.pending("child", after=["one", "two", "three"], after_policy="any", lock="db")
    jobs.pending("only", after=["two"])
    jobs.pending("ready", after=["one"])
    jobs.pending("later", after=["two"], run_at="2099-01-01T00:00:00Z")
    jobs.pending("locked", lock="db")
    jobs.pending("free", lock="other")
    jobs.pending("full", queue="full")
    jobs.pending("gpu", needs={"gpu": 1}, queue="mail")
    jobs.pending("mail", queue="mail")
    lines = [line.split("  ") for line in cli("list", "--state", "pending", "-o", "wide").out.splitlines()[1:]]
    found = {words[0]: words for words in ([word.strip() for word in line if word.strip()] for line in lines)}
    assert found.pop("later")[3].startswith("in ")
    assert {job_id: words[3] for job_id, words in found.items()} == {
        "child": "after two +1",
        "only": "after two",
        "ready": "now",
        "locked": "lock db",
        "free": "now",
        "full": "queue full",
        "gpu": "gpu in use",
        "mail": "queue rate",
    }
    row = json.loads(cli("list", "--search", "child", "--json").out)[0]
    assert not {"ready", "lane", "after"} & {*row}


def test_jobs_that_come_after_each_other_say_so(cli: Run, jobs: Jobs, home: Path) -> None:
    for job_id, parent in ("ab", "bc", "ca", "da"):
        text = json.dumps({"command": "true", "id": job_id, "after": [parent]})
        (home / f"spool/pending/{job_id}.json").write_text(text)
    said = "it comes after itself, through b, c: none of them can start (queuectl edit a --unset after)"
    assert said in cli("show", "a").out
    assert "comes after itself" not in cli("show", "d").out
    (finding,) = [each for each in json.loads(cli("doctor", "--json").out)["findings"] if each["check"] == "cycles"]
    assert "come after each other, so none of them can start" in finding["text"]
    assert cli("edit", "a", "--unset", "after").code == 0
    assert "comes after itself" not in cli("show", "b").out
    assert "cycles" not in cli("doctor").out


def test_all_that_come_after_a_job_are_counted(cli: Run, jobs: Jobs) -> None:
    """Also more than a job may have parents."""
    jobs.pending("parent")
    found = jobs.queue.enqueue_many([{"command": "true", "id": f"c{n:04}"} for n in range(1203)], after=["parent"])
    assert len(found) == 1203
    jobs.queue.cancel("parent")
    jobs.queue.list()  # brings the index up to date
    assert "dependents c0000, c0001, c0002, c0003, c0004 and 1,198 more" in cli("show", "parent").out.splitlines()
    assert "1,203 jobs that come after it follow" in cli("retry", "parent").err


def test_list_says_that_the_machine_has_no_room(cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_layout: object, request: dict[str, object], **_more: object) -> dict[str, object]:
        if request["do"] == "flush":
            raise NoSupervisor("none")
        workers = [{"state": "idle", "job_id": None}]
        return {"blocked": {}, "draining": False, "workers": workers, "machine": machine}

    monkeypatch.setattr(control_client, "ask", ask)
    Jobs(home).pending("one")
    machine = ("load", "the load average of the machine is 9.00, max_load is 4")
    assert "load too high" in cli("list").out
    machine = ("memory", "1 GiB of memory is available, min_free_memory is 4 GiB")
    assert "memory low" in cli("list").out
