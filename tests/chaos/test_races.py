"""Many processes that want the same thing at the same moment: one gets it, the others are told so."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from queuectl.client.queue import Queue
from queuectl.errors import Busy, Conflict, NotFound, QueueError
from queuectl.job.job import DONE
from queuectl.supervisor.startup import READY
from tests.support.chaos import Journal, Tally, ended, has_nothing_left, race, size
from tests.support.supervised import BODY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

STARTS = size(8, 100)
IDS = size(12, 100)
ENQUEUERS = 32
ROUNDS = size(1, 10)
CLIENTS = 6
JOBS = 120
ACTS = 60
MIX = ("quick",) * 5 + ("slow",) * 4 + ("fails", "flaky", "long", "session")

# What each verb may answer, besides success (client.Queue).
DOCUMENTED = {
    "cancel": {"completed", "cancelled", "dead", NotFound.__name__, Busy.__name__},
    "retry": {"pending", "processing", "completed", "dead", "failed", "cancelled"}
    | {NotFound.__name__, Conflict.__name__, Busy.__name__},
    "delete": {"deleted", NotFound.__name__, Busy.__name__},
    "enqueue": {"enqueued", Conflict.__name__},
}
WAIT_FOR_GO = "import os, sys; import queuectl.supervisor.supervisor; os.read(int(sys.argv[3]), 1)\n"


def test_of_two_supervisors_that_start_at_once_exactly_one_runs(supervised: Make) -> None:
    """Both have everything imported and are let go by one write; the loser exits with 4 and disturbs nothing."""
    s = supervised()
    s.queue.layout.ensure()
    with Tally("supervisors at once", "starts", "jobs") as tally:
        for _ in range(STARTS):
            gate, go = os.pipe()
            racers = [_racer(s, gate) for _ in range(2)]
            os.close(gate)
            os.write(go, b"gg")
            os.close(go)
            said = [_all_of(ready) for _, ready in racers]
            assert said.count(READY.encode()) == 1, said
            winner, loser = (process for process, _ in racers)
            if said[0] != READY.encode():
                winner, loser = loser, winner
            assert loser.wait(60) == 4
            assert s.status()["pid"] == winner.pid
            s.wait_for(s.queue.enqueue("true"), "completed")
            tally.add("jobs")
            winner.terminate()
            assert winner.wait(60) == 0
            tally.add("starts")


def _racer(s: Supervised, gate: int) -> tuple[subprocess.Popen[bytes], int]:
    ready, tell = os.pipe()
    command = [sys.executable, "-c", WAIT_FOR_GO + BODY, "1", str(tell), str(gate)]
    process = subprocess.Popen(command, env=s.environ, pass_fds=(tell, gate), stderr=subprocess.DEVNULL)
    os.close(tell)
    s.processes.append(process)
    return process, ready


def _all_of(ready: int) -> bytes:
    with os.fdopen(ready, "rb") as words:
        return words.read()


def test_of_many_who_enqueue_one_id_at_once_one_wins(supervised: Make, tmp_path: Path) -> None:
    """While workers snatch the job away at once; the others get a Conflict, and it runs once."""
    s = supervised(durability="relaxed")
    journal = Journal(tmp_path / "journal")
    command = journal.command("quick")

    def enqueue(job_id: str) -> str:
        try:
            return Queue(s.home).enqueue(command, id=job_id)
        except QueueError as error:
            return type(error).__name__

    with Tally("one id for many", "ids", "refused") as tally:
        s.start(2)
        ids = [f"wanted-{n}" for n in range(IDS)]
        for job_id in ids:
            answers = Counter(race(ENQUEUERS, lambda _, job_id=job_id: enqueue(job_id)))
            assert answers == {job_id: 1, "Conflict": ENQUEUERS - 1}
            tally.add("ids")
            tally.add("refused", answers["Conflict"])
        s.wait_until(lambda: ended(s) == IDS, "all have run")
        assert journal.check(s, ids) == {"completed": IDS}
        assert sum(what == "start" for what, _, _ in journal.lines()) == IDS


def test_of_many_who_enqueue_one_unique_key_at_once_one_wins(supervised: Make, tmp_path: Path) -> None:
    """`unique_key` holds as long as the job has not ended, with a supervisor and without."""
    s = supervised(durability="relaxed")
    gate = tmp_path / "gate"

    def enqueue(key: str) -> str:
        try:
            Queue(s.home).enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", unique_key=key)
        except Conflict:
            return "refused"
        return "enqueued"

    with Tally("one key for many", "keys") as tally:
        for n, count in enumerate((100, 8, 8, 8, 8, 100)):
            if n == 3:
                s.start(2)
            answers = Counter(race(count, lambda _, n=n: enqueue(f"key {n}")))
            assert answers == {"enqueued": 1, "refused": count - 1}
            tally.add("keys")
        gate.touch()
        s.wait_until(lambda: ended(s) == 6, "all have run")


def test_verbs_of_many_processes_against_running_jobs_lose_nothing(supervised: Make, tmp_path: Path) -> None:
    """cancel, retry, delete and enqueue, at random, of jobs that wait, run, fail and end at the same time.

    Every call returns what it is documented to return; no job overlaps itself, is lost, doubled or rises again; what was
    deleted is gone, unless somebody has enqueued it anew.
    """
    for number in range(ROUNDS):
        s = supervised(backoff_base=0.1, kill_after=0.2, durability="relaxed")
        path = tmp_path / f"journal{number}"
        journal = Journal(path)
        dice = random.Random(number)
        ids = [f"job-{number}-{n}" for n in range(JOBS)]
        kinds = {job_id: journal.command(dice.choice(MIX)) for job_id in ids}
        with Tally(f"verbs at once, round {number}", *DOCUMENTED) as tally:
            for _ in s.queue.enqueue_many({"id": job_id, "command": kinds[job_id], "max_retries": 2} for job_id in ids):
                pass
            supervisor = s.start(4)
            answers = race(CLIENTS, lambda n, s=s, kinds=kinds, number=number: _act(s, kinds, number * 100 + n))
            for verb, job_id, answer in (each for some in answers for each in some):
                assert answer in DOCUMENTED[verb], (verb, job_id, answer)
                tally.add(verb)
                tally.add(answer)
            for job_id in ids:  # the long ones need not be waited for
                if s.queue.spool.find(job_id) is not None:
                    s.queue.cancel(job_id)
            s.wait_until(lambda s=s: has_nothing_left(s), "all jobs have ended")
            there = {job_id for job_id in ids if s.queue.spool.find(job_id) is not None}
            touched = {job_id for some in answers for verb, job_id, answer in some if answer == "deleted"}
            assert set(ids) - there <= touched, "a job was lost"
            _check(journal, s, there, touched)
            supervisor.terminate()
            assert supervisor.wait(60) == 0
            for job_id in there:
                s.queue.delete(job_id)


def _act(s: Supervised, kinds: dict[str, str], seed: int) -> list[tuple[str, str, str]]:
    dice = random.Random(seed)
    queue = Queue(s.home)
    done = []
    for _ in range(ACTS):
        verb = dice.choice(("cancel", "retry", "retry", "delete", "enqueue"))
        job_id = dice.choice([*kinds])
        done.append((verb, job_id, _answer(queue, verb, job_id, kinds[job_id])))
    return done


def _answer(queue: Queue, verb: str, job_id: str, command: str) -> str:
    try:
        if verb == "cancel":
            return queue.cancel(job_id).state
        if verb == "retry":
            return queue.retry(job_id).state
        if verb == "delete":
            queue.delete(job_id)
            return "deleted"
        queue.enqueue({"id": job_id, "command": command, "max_retries": 2})
    except QueueError as error:
        return type(error).__name__
    except (OSError, ValueError, AssertionError) as error:
        return repr(error)
    return "enqueued"


def _check(journal: Journal, s: Supervised, there: set[str], renewed: set[str]) -> None:
    """As Journal.check; but attempts of a job that was deleted and enqueued anew begin again with 1."""
    written = journal.lines()
    assert [line for line in written if line[0] == "overlap"] == []
    starts = Counter(
        (job_id, attempt) for what, job_id, attempt in written if what == "start" and job_id not in renewed
    )
    assert [key for key, number in starts.items() if number > 1] == []
    journal.check(s, there, only_places=True)


def test_a_job_that_an_old_worker_still_runs_is_not_cancelled_behind_its_back(supervised: Make, tmp_path: Path) -> None:
    """Its supervisor is gone and a new one runs: cancel and delete say who has it, at once, and change nothing."""
    s = supervised()
    first = s.start(1)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    job_id = s.queue.enqueue(f"read x < {gate}")
    s.wait_until(lambda: any(w["command_pid"] for w in s.status()["workers"]), "it runs")
    first.kill()
    first.wait()
    s.start(1)
    for verb in ("cancel", "delete"):
        answers = race(4, lambda _, verb=verb: _answer(Queue(s.home), verb, job_id, ""))
        assert answers == ["Busy"] * 4
    gate.write_text("go\n")
    s.wait_for(job_id, "completed")
    assert s.queue.cancel(job_id).state == "completed"


def test_whoever_sees_that_a_job_has_ended_sees_it_in_the_index(supervised: Make) -> None:
    """The file has moved, its worker has not said so yet: what is asked now already shows it."""
    s = supervised(durability="full")
    s.start(2)
    with Tally("jobs seen to end", "jobs") as tally:
        for number in range(1, size(40, 400) + 1):
            job_id = s.queue.enqueue("true")
            while s.queue.spool.find(job_id) != DONE:
                continue
            assert s.queue.counts()["completed"] == number
            tally.add("jobs")
