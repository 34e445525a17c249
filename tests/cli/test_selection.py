"""Which jobs a verb acts on: those named, or those that selectors choose, which are counted, listed and agreed to."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from queuectl.cli import selection
from queuectl.cli.commandline import parse
from queuectl.cli.progress import Progress
from queuectl.client.queue import Queue
from queuectl.errors import Busy
from queuectl.spool.claim import Claim
from tests.cli.support import Jobs, Ran, Run, refused

ROOT = Path(__file__).resolve().parents[2]
BULK = ["cancel", "retry", "delete", "dlq retry", "dlq delete"]


def every(jobs: Jobs) -> None:
    """A job in each state in which it stays by itself."""
    jobs.pending("pending", queue="q", tags=["t"])
    jobs.held("held", queue="q")
    jobs.failed("failed", output=b"No space left on device\n", batch="b")
    jobs.completed("completed", queue="q", batch="b")
    jobs.cancelled("cancelled")
    jobs.dead("dead", queue="q", batch="b")


def states(jobs: Jobs) -> dict[str, str]:
    return {row["id"]: row["state"] for row in jobs.queue.list()}


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("cancel --all", "pending held failed"),
        ("cancel --queue q", "pending held"),
        ("cancel --state pending --queue q", "pending"),
        ("cancel --state pending,held --queue q", "pending held"),
        ("cancel --state held", "held"),
        ("cancel --batch b", "failed"),
        ("retry --all", "failed dead"),
        ("retry --state all", "failed dead"),
        ("retry --queue q", "dead"),
        ("retry --state completed", "completed"),
        ("retry --error 'SPACE left'", "failed"),
        ("delete --queue q", "pending held completed dead"),
        ("delete --all", "pending held failed completed cancelled dead"),
        ("delete --search anc", "cancelled"),
        ("delete --tag t", "pending"),
        ("delete --since 1h --state dead,completed", "completed dead"),
        ("dlq retry --all", "dead"),
        ("dlq delete --batch b", "dead"),
        ("dlq delete --queue nobody", ""),
        ("purge --batch b --state completed,dead", "completed dead"),
        ("purge --error exhausted", ""),
        ("purge --error EXHAUSTED --state dead", "dead"),
    ],
)
def test_what_selectors_choose(cli: Run, jobs: Jobs, line: str, chosen: str) -> None:
    every(jobs)
    before = states(jobs)
    ran = cli(*shlex.split(line), "--dry-run", "-o", "name")
    assert (ran.code, sorted(ran.out.split())) == (0, sorted(chosen.split()))
    assert states(jobs) == before
    told = json.loads(cli(*shlex.split(line), "--dry-run", "--json").out)
    assert (told["matched"], sum(told["by_state"].values())) == (len(chosen.split()),) * 2


@pytest.mark.parametrize("line", BULK)
def test_without_a_terminal_bulk_work_needs_yes_and_what_to_type_is_said(cli: Run, jobs: Jobs, line: str) -> None:
    jobs.dead("a")
    jobs.failed("f")
    state = [] if line.startswith("dlq") else ["--state", "failed"]
    matched = "1 job (dead)" if line.startswith("dlq") else "1 job (failed)"
    before = states(jobs)
    ran = cli(*line.split(), "--all", *state)
    typed = f"queuectl {line} --all{' --state failed' if state else ''} --yes"
    assert (ran.code, ran.out) == (2, "")
    assert f"this would {line.rsplit(maxsplit=1)[-1]} {matched}" in ran.err
    assert ran.err.splitlines()[1] == f"          hint: {typed}   (--dry-run only counts)"
    assert states(jobs) == before
    assert cli(*shlex.split(typed)[1:]).code == 0
    assert states(jobs) != before


def test_the_command_that_is_named_means_what_was_typed() -> None:
    line = "--home /x retry --all --state failed,dead --queue 'a b' --error \"it's\" --since 2h --sort=-id --limit 3"
    args = parse(shlex.split(line))
    again = parse(shlex.split(selection.typed(args, "retry"))[1:])
    assert {**vars(again), "state": again.state[0]} == {**vars(args), "state": args.state[0]}


def test_what_was_counted_is_acted_on_and_nothing_else(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a person thinks about it, one more comes, one ends, and one goes whose id is how another's begins."""
    for job_id in ("dead-1", "dead-2", "gone", "dead-3"):
        jobs.dead(job_id)

    def agree(*_: object) -> bool:
        jobs.dead("late")
        jobs.dead("gone-too")
        jobs.queue.retry("dead-2")
        with jobs.start("dead-2") as claim:
            claim.finish({"exit_code": 0})
        jobs.queue.delete("gone")
        return True

    monkeypatch.setattr(selection, "is_agreed", agree)
    ran = cli("retry", "--state", "dead")
    assert ran.code == 0
    assert ran.err == "Put back 2 jobs; 2 had changed in the meantime (1 deleted, 1 completed)\n"
    found = states(jobs)
    assert {found["dead-1"], found["dead-3"]} == {"pending"}
    assert (found["late"], found["gone-too"], found["dead-2"]) == ("dead", "dead", "completed")


def test_a_job_that_has_started_since_its_deletion_was_confirmed_is_left(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for job_id in ("starts", "waits"):
        jobs.pending(job_id)
    claims = []

    def agree(*_: object) -> bool:
        claims.append(jobs.start("starts"))
        return True

    monkeypatch.setattr(selection, "is_agreed", agree)
    ran = cli("delete", "--state", "pending,processing")
    assert ran.err == "Deleted 1 job; 1 had changed in the meantime (1 processing)\n"
    with claims[0] as claim:
        claim.finish({"exit_code": 0})
    assert states(jobs) == {"starts": "completed"}


def test_a_job_that_has_changed_though_its_state_would_do_is_left_alone(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was dead has died of something else; one that had failed has completed."""
    jobs.dead("again")
    jobs.failed("better")
    jobs.completed("fine")

    def agree(*_: object) -> bool:
        jobs.queue.retry("again")
        with jobs.start("again") as claim:
            claim.move_to_dead("retries_exhausted", {"exit_code": 2})
        with jobs.start("better") as claim:
            claim.finish({"exit_code": 0})
        return True

    monkeypatch.setattr(selection, "is_agreed", agree)
    ran = cli("retry", "--state", "dead,failed,completed")
    assert ran.err == "Put back 1 job; 2 had changed in the meantime (1 completed, 1 dead)\n"
    assert states(jobs) == {"again": "dead", "better": "completed", "fine": "pending"}


def test_a_limit_takes_the_first_in_order(cli: Run, jobs: Jobs) -> None:
    for job_id in ("a", "b", "c"):
        jobs.pending(job_id)
    assert cli("cancel", "--all", "--sort", "id", "--limit", "2", "--yes", "-o", "name").out == "a\nb\n"
    assert states(jobs)["c"] == "pending"
    assert cli("cancel", "--all", "--limit", "0", "--yes").code == 2


def test_nothing_that_matches_is_said_with_what_is_in_other_states(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", queue="q")
    jobs.pending("b", queue="q")
    ran = cli("retry", "--queue", "q", "--yes")
    says = "No job matches that is failed or dead; in other states 2 jobs (1 pending, 1 completed) would\n"
    assert (ran.code, ran.err) == (0, says)
    assert cli("cancel", "--search", "nobody", "--yes").err == "No job matches\n"


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ("--queue encod", 'no job has the queue "encod"; did you mean "encode"?'),
        ("--batch nightli", 'no job has the batch "nightli"; did you mean "nightly"?'),
        ("--tag zzz", 'no job has the tag "zzz"'),
        ("--queue encode --tag videos", 'no job has the tag "videos"; did you mean "video"?'),
    ],
)
def test_a_name_that_no_job_has(cli: Run, jobs: Jobs, selector: str, says: str) -> None:
    """To wait for it, or to read what it wrote, is an error; what acts on jobs has nothing to do."""
    jobs.completed("a", queue="encode", batch="nightly", tags=["video"])
    jobs.completed("b", batch="weekly")
    line = selector.split()
    for command in ("wait", "logs", "results"):
        ran = cli(command, *line)
        refused(ran, 3, f"queuectl: {says}")
        assert ran.err.splitlines()[1] == "          hint: queuectl list --all   (queues: queuectl queue list)"
    for command in ("list", "dlq list", "dlq list --group", "list --json"):
        ran = cli(*command.split(), *line)
        assert (ran.code, ran.err) == (0, f"queuectl: {says}\n"), command
    for command in (*BULK, "hold", "release", "purge"):
        for more in ("--yes", "--dry-run"):
            ran = cli(*command.split(), *line, more)
            assert (ran.code, ran.out, ran.err) == (0, "", f"No job matches: {says}\n"), command


def test_a_name_that_is_known_selects_no_job_without_an_error(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", queue="encode", batch="nightly")
    cli("queue", "set", "limited", "--concurrency", "2")
    cli("pause", "paused")
    for selector in ("--queue default", "--queue limited", "--queue paused", "--batch nightly --state failed"):
        assert cli("wait", *selector.split()).code == 0, selector
        assert cli("list", *selector.split()).err == "", selector


@pytest.mark.parametrize("command", ["cancel", "retry", "delete", "dlq retry", "dlq delete", "purge"])
@pytest.mark.parametrize("chosen", ["d", "--queue q"])
def test_bulk_results_have_one_shape_in_json(cli: Run, jobs: Jobs, command: str, chosen: str) -> None:
    jobs.dead("d", queue="q")
    if command == "cancel":
        jobs.pending("p", queue="q")
        chosen = chosen.replace("d", "p", 1) if chosen == "d" else chosen
    if command == "purge" and chosen != "d":
        chosen += " --state dead"
    made = json.loads(cli(*command.split(), *chosen.split(), "--yes", "--json").out)
    assert [*made][:5] == ["action", "matched", "ids", "unchanged", "failed"]
    ids = ["p" if command == "cancel" else "d"]
    assert (made["matched"], made["ids"], made["unchanged"], made["failed"]) == (1, ids, [], [])


def test_json_says_how_many_matched(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    made = json.loads(cli("cancel", "--all", "--yes", "--json").out)
    assert made == {"action": "cancel", "matched": 1, "ids": ["a"], "unchanged": [], "failed": []}
    assert json.loads(cli("cancel", "--all", "--yes", "--json").out)["matched"] == 0


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("cancel", "cancel 1 job (pending), not 1 job (dead)"),
        ("hold", "hold 1 job (pending), not 1 job (dead)"),
        ("release", "release 0 jobs, not 2 jobs (1 pending, 1 dead)"),
        ("dlq retry", "retry 1 job (dead), not 1 job (pending)"),
        ("retry", "retry 2 jobs (1 pending, 1 dead)"),
        ("delete", "delete 2 jobs (1 pending, 1 dead) and their output, permanently"),
    ],
)
def test_a_trial_of_named_jobs_counts_those_that_would_be_changed_and_changes_nothing(
    cli: Run, jobs: Jobs, verb: str, says: str
) -> None:
    jobs.pending("a")
    jobs.dead("d")
    before = states(jobs)
    ran = cli(*verb.split(), "-", "a", "--dry-run", stdin=b"d\n")
    assert (ran.code, ran.err) == (0, f"Would {says}; nothing was done\n")
    assert cli(*verb.split(), "a", "nobody", "--dry-run").code == 7
    assert states(jobs) == before


@pytest.mark.parametrize("command", [*BULK, "wait", "logs"])
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "queuectl: no jobs given"),
        ("a --all", "queuectl: give ids or selectors, not both"),
        ("a --queue q", "queuectl: give ids or selectors, not both"),
        ("--limit 3", "queuectl: --limit and --sort need a selector, for instance --all"),
        ("--sort id", "queuectl: --limit and --sort need a selector, for instance --all"),
        ("--queue ''", "queuectl: --queue must not be empty"),
        ("--since soon", "queuectl: --since must be a time"),
    ],
)
def test_mistakes_choose_nothing(cli: Run, jobs: Jobs, command: str, line: str, says: str) -> None:
    jobs.pending("a")
    ran = cli(*command.split(), *shlex.split(line), *(["--yes"] if command in BULK else []))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(says)
    assert states(jobs) == {"a": "pending"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cancel --state completed", "completed jobs cannot be cancelled"),
        ("cancel --state pending,dead", "dead jobs cannot be cancelled"),
        ("retry --state processing", "processing jobs cannot be put back"),
        ("purge --state processing", "running jobs are not purged"),
    ],
)
def test_a_state_on_which_the_verb_cannot_act_is_refused(cli: Run, jobs: Jobs, line: str, says: str) -> None:
    every(jobs)
    before = states(jobs)
    ran = cli(*line.split(), "--yes")
    assert (ran.code, says in ran.err) == (2, True)
    assert states(jobs) == before


def test_ids_on_standard_input_are_whole(cli: Run, jobs: Jobs) -> None:
    """One that has gone since it was listed does not stand for another that begins so."""
    jobs.pending("part-10")
    refused(cli("cancel", "-", stdin=b"part-1\n"), 3)
    refused(cli("delete", "-", stdin=b"part-1\n"), 3)
    refused(cli("show", "-", stdin=b"part-1\n"), 3)
    refused(cli("cancel", "part-1"), 3)
    assert cli("show", "part-1").code == 0


def test_running_jobs_come_last_so_that_no_worker_takes_another_meanwhile(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(
        "queuectl.client.queue.Queue.cancel_unless_ended",
        lambda self, job_id, check: (ended.append(job_id), (None, True))[1],
    )
    jobs.pending("first")
    with jobs.running("running"):
        jobs.pending("last")
        assert cli("cancel", "--all", "--yes").code == 0
    assert sorted(ended[:2]) == ["first", "last"]
    assert ended[2] == "running"


# --- on a terminal


def answer(reply: bytes, *argv: str) -> Ran:
    """Run it on a terminal and answer its question."""
    ours, theirs = pty.openpty()
    line = [sys.executable, str(ROOT / "queuectl"), *argv]
    process = subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, is_answered = b"", False
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        shown += data
        if b"[y/N]" in shown and not is_answered:
            is_answered = True
            os.write(ours, reply)
    os.close(ours)
    return Ran(process.wait(), shown.decode().replace("\r\n", "\n"), "")


def test_a_terminal_is_asked(jobs: Jobs, home: Path) -> None:
    every(jobs)
    before = states(jobs)
    ran = answer(b"n\n", "cancel", "--queue", "q")
    assert "Cancel 2 jobs (1 pending, 1 held)? [y/N] n\nNothing was done\n" in ran.out
    assert (ran.code, states(jobs)) == (1, before)
    ran = answer(b"y\n", "dlq", "delete", "--all")
    assert "Delete 1 job (dead) and their output, permanently? [y/N] y\nDeleted dead\n" in ran.out
    assert (ran.code, "dead" in states(jobs)) == (0, False)
    assert "[y/N]" not in answer(b"", "cancel", "pending").out


# --- commands that only look


def test_wait_counts_what_has_failed_already_unless_everything_is_meant(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d", batch="b", queue="q")
    jobs.completed("c", batch="b")
    for line in ("--batch b", "--queue q", "--state dead", "--all --queue q"):
        assert cli("wait", *line.split()).code == 10, line
    assert cli("wait", "--search", "c").code == 0
    assert cli("wait", "--all").code == 0
    assert cli("wait", "--all").err == "No job matches: there is nothing to wait for\n"


def test_logs_of_no_job_say_so(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    ran = cli("logs", "--search", "nobody")
    assert (ran.code, ran.out, ran.err) == (0, "", "No job matches\n")


def test_logs_of_several_jobs(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a", b"one\ntwo\n", batch="b")
    jobs.completed("c", b"three", batch="b")
    jobs.pending("p", batch="b")
    ran = cli("logs", "a", "c", "-n", "1")
    assert (ran.code, ran.out) == (0, "a | two\nc | three\n")
    ran = cli("logs", "--batch", "b", "--sort", "id")
    assert (ran.code, ran.out) == (0, "a | one\na | two\nc | three\n")
    assert ran.err == "(2 of 3 jobs have output that has not been removed)\n"
    assert [row["output"] for row in json.loads(cli("logs", "--batch", "b", "--sort", "id", "--json").out)] == [
        *("one\ntwo\n", "three")
    ]
    assert cli("logs", "a", "p").code == 7


# --- ids of which none can be acted on


@pytest.mark.parametrize(
    "command",
    [
        *BULK,
        "hold",
        "release",
        "priority 5",
        "edit --set priority=5",
        "purge",
        "wait",
        "logs",
        "results",
        "show",
        "dlq show",
    ],
)
def test_if_all_ids_fail_in_one_way_that_is_the_exit_code(cli: Run, jobs: Jobs, command: str) -> None:
    jobs.held("held")
    one = cli(*command.split(), "nope").code
    assert one == 3
    assert cli(*command.split(), "nope", "neither").code == one
    ran = cli(*command.split(), "nope", "neither", "--json")
    said = json.loads(ran.err.splitlines()[-1])
    assert (ran.code, said["exit_code"], said["title"]) == (3, 3, "not found")
    if command not in ("wait", "logs", "dlq show"):
        assert cli(*command.split(), "nope", "held", "nor").code == 7


def test_ids_that_fail_in_different_ways_fail_in_part(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    jobs.completed("b")
    assert cli("hold", "a", "b").code == 4
    assert cli("hold", "a", "nope").code == 7


# --- many jobs, which threads act on


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("hold", "held"),
        ("release", "pending"),
        ("priority 5", "pending"),
        ("cancel", "cancelled"),
        ("retry", "pending"),
    ],
)
def test_every_job_of_many_is_acted_on_once_and_in_order(cli: Run, jobs: Jobs, command: str, state: str) -> None:
    ids = [f"job-{number:03}" for number in range(100)]
    for job_id in ids:
        jobs.held(job_id) if command == "release" else jobs.pending(job_id)
    if command == "retry":
        cli("cancel", "--all", "--yes")
        command += " --state cancelled"
    line = [*command.split(), *([] if "--state" in command else ["--all"]), "--sort", "id", "--yes", "-o", "name"]
    ran = cli(*line)
    assert (ran.code, ran.out.split()) == (0, ids)
    assert {*states(jobs).values()} == {state}
    assert all(len(job.history) <= 3 for job in map(jobs.queue.get, ids))


def test_many_jobs_that_are_named_fail_each_for_itself(cli: Run, jobs: Jobs) -> None:
    ids = [f"job-{number:03}" for number in range(40)]
    for job_id in ids[::2]:
        jobs.pending(job_id)
    ran = cli("delete", *ids, "--json")
    done = json.loads(ran.out)
    assert (ran.code, done["ids"], [each["id"] for each in done["failed"]]) == (7, ids[::2], ids[1::2])
    assert states(jobs) == {}


def test_running_jobs_are_cancelled_after_all_that_wait(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that becomes free must not start a job that is about to be cancelled."""
    waiting = {f"job-{number:03}" for number in range(50)}
    for job_id in waiting:
        jobs.pending(job_id)
    seen: list[int] = []
    asked, cancel = threading.Event(), Claim.cancel

    def cancel_running(queue: Queue, job_id: str) -> None:
        seen.append(len([*queue.spool.ids("pending")]))  # not by the index, which takes longer than the others wait
        asked.set()
        raise Busy("still running")

    def cancel_late(claim: Claim, *args: Any, **more: Any) -> str:
        if claim.job.id == "job-000":
            asked.wait(1)  # would let the running one overtake it
        return cancel(claim, *args, **more)

    monkeypatch.setattr(Queue, "_cancel_running", cancel_running)
    monkeypatch.setattr(Claim, "cancel", cancel_late)
    with jobs.running("running"):
        assert cli("cancel", "--all", "--yes").code == 7
    assert seen == [0]


def test_ctrl_c_during_an_action_on_many_jobs(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was under way is done and counted; what was not begun stays as it is."""
    for number in range(100):
        jobs.pending(f"job-{number:03}")
    step, steps = Progress.step, []

    def interrupted(self: Progress, *args: object) -> None:
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Progress, "step", interrupted)
    ran = cli("cancel", "--all", "--yes")
    found = Counter(states(jobs).values())
    assert ran.code == 130
    assert ran.err == f"Cancelled {found['cancelled']} jobs; the others were not changed\n"
    assert 3 <= found["cancelled"] < 100
