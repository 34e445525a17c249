"""Many processes at once on one spool."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from queuectl.config.settings import Settings
from queuectl.errors import Busy, Conflict, InvalidData, NotFound
from queuectl.job.job import DONE, PENDING, PROCESSING
from queuectl.spool.claim import Claim
from queuectl.spool.layout import Layout
from queuectl.spool.recovery import recover
from queuectl.spool.spool import Spool
from tests.support import audit

PROCESSES = 16
FAILED = "failed:"


@pytest.fixture
def spool() -> Iterator[Spool]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield open_spool(path)


def open_spool(path: str) -> Spool:
    layout = Layout(path)
    layout.ensure()
    return Spool(layout, Settings.from_dict({"durability": "relaxed"}), announce=False)


def at_once(spool: Spool, body: Callable[[Spool, int], str], count: int = PROCESSES) -> list[str]:
    """Run `body` in many processes that all begin at the same moment; return what each has to say."""
    gate_read, gate_write = os.pipe()
    pids, reports = [], []
    for number in range(count):
        report_read, report_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(gate_write)
                os.close(report_read)
                os.read(gate_read, 1)  # until the gate opens
                said = body(open_spool(spool.layout.home), number)
            except BaseException:
                said = f"{FAILED} {traceback.format_exc()}"
            with os.fdopen(report_write, "w") as report:
                report.write(said)
            os._exit(0)
        os.close(report_write)
        pids.append(pid)
        reports.append(report_read)
    os.close(gate_read)
    os.close(gate_write)
    heard = []
    for report_read in reports:
        with os.fdopen(report_read) as report:
            heard.append(report.read())
    for pid in pids:
        os.waitpid(pid, 0)
    failed = [each for each in heard if each.startswith(FAILED)]
    assert not failed, "\n".join(failed)
    return heard


def test_no_job_is_claimed_twice_and_none_is_left_out(spool: Spool) -> None:
    """16 processes, 1,000 jobs, all in the same order. Proves G4."""
    ids = [spool.enqueue({"command": "true"}) for _ in range(1000)]

    def work(mine: Spool, number: int) -> str:
        done = []
        for job_id in ids:
            claim = mine.claim(job_id, f"worker-{number}")
            if isinstance(claim, Claim):
                claim.finish({"exit_code": 0})
                claim.close()
                done.append(job_id)
        return " ".join(done)

    claimed = Counter(job_id for said in at_once(spool, work) for job_id in said.split())
    for job_id in ids:  # a job that was locked when somebody came by was his who had it locked, or nobody's
        claim = spool.claim(job_id, "last")
        if isinstance(claim, Claim):
            claimed[job_id] += 1
            claim.finish({})
            claim.close()
    assert claimed == Counter(ids)
    assert sorted(spool.ids(DONE)) == sorted(ids)
    assert all(len(spool.read(job_id).history) == 2 for job_id in ids)


def test_of_all_who_enqueue_one_id_one_succeeds(spool: Spool) -> None:
    """32 processes, again and again, while the winner's job is claimed, finished, revived and deleted."""

    def enqueue(mine: Spool, number: int) -> str:
        won = []
        for round_ in range(20):
            try:
                won.append(mine.enqueue({"command": f"echo {number}", "id": f"same-{round_}"}))
            except Conflict:
                continue
        return " ".join(won)

    won = Counter(job_id for said in at_once(spool, enqueue, 32) for job_id in said.split())
    assert won == Counter(f"same-{round_}" for round_ in range(20))
    assert sorted(spool.ids(PENDING)) == sorted(won)
    assert os.listdir(spool.layout.tmp) == []


def settle(claim: Claim, kind: int) -> None:
    if kind == 0:
        claim.finish({})
    elif kind == 1:
        claim.move_to_dead("x", {})
    else:
        claim.reschedule("failed", 0, {"error": "e" * 500})


def change(claim: Claim, kind: int) -> int:
    """Do something to a job that does not run; return how many jobs were deleted."""
    if claim.directory == PROCESSING:
        return 0
    if kind == 1:
        claim.delete()
        return 1
    if kind == 0:
        claim.cancel()
    elif claim.directory == PENDING and kind in (2, 3):
        claim.release() if claim.job.is_held else claim.hold()
    elif claim.directory == PENDING:
        claim.edit({"priority": kind})
    else:
        claim.revive()
    return 0


def step(spool: Spool, job_id: str, parent: str, verb: int, kind: int) -> tuple[int, int]:
    """Do one thing to one job; return how many were made and deleted."""
    if verb == 0:
        parents = {"after": [parent], "after_policy": "any"} if kind > 2 else {}
        spool.enqueue({"command": "true", "id": job_id, "lock": f"db:{kind + 1}", **parents})
        return 1, 0
    if verb in (1, 2):
        answer = spool.claim(job_id, "w")
        if isinstance(answer, Claim):
            with answer:
                settle(answer, kind)
    elif verb == 3:
        with spool.take(job_id) as claim:
            return 0, change(claim, kind)
    elif kind == 0:
        list(recover(spool, lambda job: False))
    else:
        spool.read(job_id)
    return 0, 0


def test_every_verb_at_once_leaves_every_job_in_one_place(spool: Spool) -> None:
    """Enqueue, claim, settle, cancel, hold, release, revive, edit, delete and recover on the same few ids, with locks and
    parents, and nothing is lost.

    Proves G2, G9.
    """
    ids = [f"job-{number}" for number in range(6)]

    def meddle(mine: Spool, number: int) -> str:
        mine.patience = 2
        dice = Random(number)
        made = deleted = 0
        for _ in range(600):
            try:
                more, less = step(mine, dice.choice(ids), dice.choice(ids), dice.randrange(5), dice.randrange(6))
            except (Conflict, NotFound, Busy, InvalidData):
                continue
            made, deleted = made + more, deleted + less
        return f"{made} {deleted}"

    said = [tuple(map(int, each.split())) for each in at_once(spool, meddle, 8)]
    audit.mend(spool)
    jobs = audit.check_mended(spool)
    made, deleted = sum(each[0] for each in said), sum(each[1] for each in said)
    print(made, "made,", deleted, "deleted,", len(jobs), "left")
    assert made - deleted == len(jobs)
    assert made > 50
    assert os.listdir(spool.layout.tmp) == []
    assert os.listdir(spool.layout.rejected) == []


def test_readers_never_see_half_a_job(spool: Spool) -> None:
    """Proves G3."""
    ids = [spool.enqueue({"command": "true", "pad": "x" * 5000}) for _ in range(4)]

    def write_or_read(mine: Spool, number: int) -> str:
        seen = 0
        if number < len(ids):
            for _ in range(40):
                claim = mine.claim(ids[number], "w")
                assert isinstance(claim, Claim)
                claim.reschedule("failed", 0, {"error": "y" * 300})
                claim.close()
            return "0"
        for _ in range(60):
            for job_id in ids:
                job = mine.read(job_id)
                seen = max(seen, job.attempts)
                assert len(job.fields["pad"]) == 5000
        return str(seen)

    at_once(spool, write_or_read, 8)
    assert [spool.read(job_id).attempts for job_id in ids] == [40] * 4


def test_strangers_who_move_files_over_each_other_never_make_two_runs_of_one(spool: Spool) -> None:
    """`mv` overwrites a waiting job of its name, as documented; what is claimed is whole and claimed once."""

    def play(mine: Spool, number: int) -> str:
        claimed = []
        for step in range(300):
            if step % 8 == number:
                source = Path(mine.layout.tmp) / f"{number}.{step}"
                source.write_text(f'{{"command":"echo {number}.{step}"}}')
                source.chmod(0o600)
                os.rename(source, mine.layout.job(PENDING, "same"))
            names = os.listdir(mine.layout.directory(PENDING))
            answer = mine.claim(names[0].removesuffix(".json"), "w") if names else None
            if isinstance(answer, Claim):
                with answer:
                    claimed.append(answer.job.command.removeprefix("echo "))
                    answer.finish({})
        return " ".join(claimed)

    ran = Counter(name for said in at_once(spool, play, 8) for name in said.split())
    print(len(ran), "ran")
    assert len(ran) > 50
    assert set(ran.values()) == {1}
    assert os.listdir(spool.layout.directory(PROCESSING)) == []
