"""cancel: jobs in every state, several at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run


def test_a_waiting_job_never_starts(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("cancel", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "Cancelled a\n")
    assert jobs.queue.get("a").state == "cancelled"


@pytest.mark.parametrize("state", ["held", "failed"])
def test_so_does_one_that_is_held_or_waits_for_its_next_try(cli: Run, jobs: Jobs, state: str) -> None:
    getattr(jobs, state)("a")
    assert cli("cancel", "a").code == 0
    assert jobs.queue.get("a").state == "cancelled"


@pytest.mark.parametrize("state", ["completed", "cancelled", "dead"])
def test_one_that_has_ended_stays_as_it_is(cli: Run, jobs: Jobs, state: str) -> None:
    getattr(jobs, state)("a")
    ran = cli("cancel", "a")
    history = jobs.queue.get("a").history
    assert (ran.code, ran.err) == (0, f"a has ended already: it is {state}\n")
    job = jobs.queue.get("a")
    assert (job.state, job.history) == (state, history)


def test_an_empty_id_is_said_to_be_one(cli: Run, home: Path) -> None:
    home.mkdir(exist_ok=True)
    assert cli("cancel", "").err == 'queuectl: no job ""\n          hint: the id is empty: is a variable empty?\n'


def test_only_what_was_changed_is_counted_as_cancelled(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.completed(job_id)
    jobs.dead("d")
    jobs.pending("p")
    assert cli("cancel", "a", "b").err == "Cancelled 0 jobs; 2 had ended already (2 completed)\n"
    assert cli("cancel", "a", "-o", "name").out == ""
    made = json.loads(cli("cancel", "a", "d", "p", "--json").out)
    assert (made["ids"], made["failed"]) == (["p"], [])
    assert made["unchanged"] == [{"id": "a", "state": "completed"}, {"id": "d", "state": "dead"}]
    jobs.pending("q")
    ran = cli("cancel", "q", "a", "b", "d")
    assert ran.err == "Cancelled 1 job; 3 had ended already (2 completed, 1 dead)\n"
    assert jobs.queue.counts()["dead"] == 1


def test_one_that_is_missing_keeps_no_other_from_being_cancelled(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.pending(job_id)
    ran = cli("cancel", "a", "gone-1", "b", "gone-2")
    assert (ran.code, ran.out) == (7, "")
    assert ran.err.splitlines() == [
        'queuectl: no job "gone-1"',
        'queuectl: no job "gone-2"',
        "Cancelled 2 jobs",
        "queuectl: 2 of 4 jobs could not be cancelled",
    ]
    assert cli("cancel", "gone-1").code == 3


def test_ids_from_standard_input(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b", "c"):
        jobs.pending(job_id)
    ran = cli("cancel", "-", "c", stdin=b"a\n b\r\na\n\n")
    assert (ran.code, ran.err) == (0, "Cancelled 3 jobs\n")
    assert cli("cancel", "-").err == "Cancelled 0 jobs\n"


@pytest.mark.parametrize("verb", ["cancel", "delete", "retry", "show", "wait", "purge"])
@pytest.mark.parametrize(
    "text", [b"first\nb keepme\n", b"first\n[\n", b'first\n{"id": 3}\n', b"id\tstate\na b\tdead\n"]
)
def test_a_line_that_is_not_one_id_stops_the_command_before_anything_is_done(
    cli: Run, jobs: Jobs, verb: str, text: bytes
) -> None:
    for job_id in ("first", "keepme"):
        jobs.pending(job_id)
    ran = cli(verb, "first", "-", stdin=text)
    assert (ran.code, ran.out) == (2, "")
    assert "of standard input is not one id" in ran.err
    assert "hint: write one id a line: queuectl list -o name\n" in ran.err
    assert [jobs.queue.get(job_id).state for job_id in ("first", "keepme")] == ["pending", "pending"]


@pytest.mark.parametrize("form", ["tsv", "jsonl", "name"])
def test_a_list_names_the_jobs_that_it_shows_and_no_word_of_their_commands(cli: Run, jobs: Jobs, form: str) -> None:
    jobs.pending("other", command="echo keepme")
    jobs.pending("keepme")
    jobs.pending("pending", queue="slow")
    listed = cli("list", "--search", "other", "-o", form).out
    assert cli("delete", "-", stdin=listed.encode()).code == 0
    assert sorted(job["id"] for job in jobs.queue.list()) == ["keepme", "pending"]


def test_a_table_is_not_a_list_of_ids(cli: Run, jobs: Jobs) -> None:
    jobs.pending("pending")
    assert cli("cancel", "-", stdin=cli("list").out.encode()).code == 2
    assert jobs.queue.get("pending").state == "pending"


def test_json_says_what_was_done_and_what_was_not(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("cancel", "a", "gone", "--json")
    done = json.loads(ran.out)
    assert (ran.code, done["action"], done["ids"]) == (7, "cancel", ["a"])
    assert [(f["id"], f["exit_code"], f["type"]) for f in done["failed"]] == [
        *[("gone", 3, "urn:queuectl:problem:not-found")]
    ]
    assert json.loads(ran.err.splitlines()[-1])["exit_code"] == 7


def test_names_are_ids_for_the_next_command(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("cancel", "a", "-o", "name", "-q")
    assert (ran.out, ran.err) == ("a\n", "")


def test_ctrl_c_says_what_was_done(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    from queuectl.client.queue import Queue

    for job_id in ("a", "b", "c"):
        jobs.pending(job_id)
    cancel = Queue.cancel_unless_ended

    def until_b(self: Queue, job_id: str, check: object) -> object:
        if job_id == "b":
            raise KeyboardInterrupt
        return cancel(self, job_id)

    monkeypatch.setattr(Queue, "cancel_unless_ended", until_b)
    ran = cli("cancel", "a", "b", "c")
    assert (ran.code, ran.err) == (130, "Cancelled 1 job; the others were not changed\n")
