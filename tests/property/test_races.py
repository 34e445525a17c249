"""Many processes at once on one spool."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queuectl.errors import Busy, Conflict, NotFound
from queuectl.job import DEAD, DONE, PENDING, PROCESSING
from queuectl.settings import Settings
from queuectl.spool.claim import Claim
from queuectl.spool.layout import Layout
from queuectl.spool.recovery import recover
from queuectl.spool.spool import Spool
from tests.support import audit

PROCESSES = 16


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
            code = 1
            try:
                os.close(gate_write)
                os.close(report_read)
                os.read(gate_read, 1)  # until the gate opens
                said = body(open_spool(spool.layout.home), number)
                with os.fdopen(report_write, "w") as report:
                    report.write(said)
                code = 0
            finally:
                os._exit(code)
        os.close(report_write)
        pids.append(pid)
        reports.append(report_read)
    os.close(gate_read)
    os.close(gate_write)
    said = []
    for report_read in reports:
        with os.fdopen(report_read) as report:
            said.append(report.read())
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * count
    return said


def test_no_job_is_claimed_twice_and_none_is_left_out(spool: Spool) -> None:
    """16 processes, 1,000 jobs, all in the same order."""
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


def test_every_verb_at_once_leaves_every_job_in_one_place(spool: Spool) -> None:
    """Enqueue, claim, settle, cancel, revive, hold, delete and recover on the same few ids, and nothing is lost."""
    ids = [f"job-{number}" for number in range(6)]

    def meddle(mine: Spool, number: int) -> str:
        mine.patience = 2
        deleted = made = 0
        for step in range(150):
            job_id = ids[(step * 7 + number) % len(ids)]
            try:
                kind = (step + number * 3) % 8
                if kind == 0:
                    mine.enqueue({"command": "true", "id": job_id})
                    made += 1
                elif kind in (1, 2, 3):
                    claim = mine.claim(job_id, "w")
                    if isinstance(claim, Claim):
                        with claim:
                            if kind == 1:
                                claim.finish({})
                            elif kind == 2:
                                claim.reschedule("failed", 0, {})
                            else:
                                claim.bury("x", {})
                elif kind == 7:
                    list(recover(mine, lambda job: False))
                else:
                    with mine.take(job_id) as claim:
                        if claim.directory == PROCESSING:
                            continue
                        if kind == 4:
                            claim.cancel()
                        elif kind == 5 and claim.directory in (DONE, DEAD):
                            claim.revive()
                        elif kind == 6 and step % 16 == 6:
                            claim.delete()
                            deleted += 1
                        elif claim.directory == PENDING:
                            claim.edit({"priority": step % 100})
            except (Conflict, NotFound, Busy):
                continue
        return f"{made} {deleted}"

    said = [tuple(map(int, each.split())) for each in at_once(spool, meddle, 8)]
    audit.mend(spool)
    jobs = audit.check_mended(spool)
    made, deleted = sum(each[0] for each in said), sum(each[1] for each in said)
    print(made, "made,", deleted, "deleted,", len(jobs), "left")
    assert made - deleted == len(jobs)
    assert made > len(ids)
    assert os.listdir(spool.layout.tmp) == []
    assert os.listdir(spool.layout.rejected) == []


def test_readers_never_see_half_a_job(spool: Spool) -> None:
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
        for step in range(100):
            if number % 2:
                source = Path(mine.layout.tmp) / f"{number}.{step}"
                source.write_text(f'{{"command":"echo {number}.{step}"}}')
                source.chmod(0o600)
                os.rename(source, mine.layout.job(PENDING, "same"))
            else:
                claim = mine.claim("same", "w")
                if isinstance(claim, Claim):
                    with claim:
                        claimed.append(claim.job.command.removeprefix("echo "))
                        claim.finish({})
                elif claim.job_id is not None:
                    again = mine.claim(claim.job_id, "w")
                    if isinstance(again, Claim):
                        with again:
                            claimed.append(again.job.command.removeprefix("echo "))
                            again.finish({})
        return " ".join(claimed)

    ran = Counter(name for said in at_once(spool, play, 8) for name in said.split())
    print(len(ran), "ran")
    assert ran
    assert set(ran.values()) == {1}
    assert os.listdir(spool.layout.directory(PROCESSING)) == []
