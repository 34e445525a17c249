"""Death and failure at every file operation of every verb.

Each scenario is played as often as its verb has operations. At one of them the process dies (nothing tidies up), or
the operation fails with each error the kernel may give; then the spool has to pass the audit, and the jobs have to be
as before the verb or as after it.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.clock import spell
from queuectl.errors import QueueError
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.job.job_file import parse
from queuectl.spool.claim import Claim
from queuectl.spool.intake import ClaimRefused
from queuectl.spool.purge import Chosen, purge
from queuectl.spool.recovery import recover
from tests.support import audit
from tests.support.clock import NOON
from tests.support.faulty_fs import DIED, REFUSABLE, Faulty, Point, make_old
from tests.support.spools import Home

Verb = Callable[[Home], object]


class Scenario:
    """A verb, and what must have become of the jobs.

    Args:
        prepare: brings a fresh home into the state before.
        verb: what is interrupted.
        states: the states each job may be in afterwards; "gone" for a job that may not exist.
        retry: whether the verb, called again after an error, has to come to its end: the last of `states`.
    """

    def __init__(self, prepare: Verb, verb: Verb, retry: bool = False, **states: tuple[str, ...]) -> None:
        self.prepare = prepare
        self.verb = verb
        self.retry = retry
        self.states = states


def put(state: str, **fields: Any) -> Verb:
    return lambda spool: spool.put(state, id="a", note="kept", **fields)


def drop(text: str = '{"command":"true","note":"kept"}', name: str = "a.json") -> Verb:
    return lambda spool: spool.drop(name, text)


def started(spool: Home) -> None:
    spool.put("pending", id="a", note="kept")
    spool.start("a").close()


def then(*steps: Verb) -> Verb:
    def run(spool: Home) -> None:
        for step in steps:
            step(spool)

    return run


def link(source: str, target: str) -> Verb:
    return lambda spool: os.link(spool.path(source, "a"), spool.path(target, "a"))


def taking(verb: Callable[[Claim], object], directory: str | None = None) -> Verb:
    def run(spool: Home) -> None:
        claim = spool.take("a") if directory is None else spool.take_in(directory, "a")
        if claim is not None:
            with claim:
                verb(claim)

    return run


def running(verb: Callable[[Claim], object]) -> Verb:
    """Settle what a worker has started: a claim in processing/ is all that he has."""
    return taking(verb, PROCESSING)


def claiming(spool: Home) -> None:
    answer = spool.claim("a", "w")
    if isinstance(answer, ClaimRefused):
        return
    answer.close()


def put_three(spool: Home) -> None:
    for job_id, state in (("a", "completed"), ("b", "dead"), ("c", "pending")):
        spool.put(state, id=job_id, note="kept")


def purging(spool: Home, *job_ids: str) -> None:
    """Remove jobs as somebody does who has just seen them; what failed is an error, as it is with other verbs."""
    found = [(job_id, spool.find(job_id)) for job_id in job_ids]
    chosen = [Chosen(job_id, where, spool.read(job_id).updated_at) for job_id, where in found if where]
    for group in purge(spool, chosen):
        for _, error in group.failed:
            raise error


def recovering(spool: Home) -> None:
    for found in recover(spool, lambda job: False):
        assert found.claim is None


def long_history(spool: Home) -> None:
    """A job whose next growth compacts it."""
    spool.put("pending", id="a", note="kept")
    path = spool.path(PENDING, "a")
    record = parse(path.read_bytes())
    for number in range(1, 35):
        for entry in (
            {"event": "started", "attempt": number, "at": spell(NOON)},
            {"event": "failed", "at": spell(NOON), "run_at": spell(NOON), "error": "x" * 1900},
        ):
            record = record.grown(entry, record.growth(entry))
    path.write_bytes(record.body + record.tail)
    spool.start("a").close()


def remove_and_finish(claim: Claim) -> None:
    if os.path.exists(claim._file.path):
        os.unlink(claim._file.path)
    claim.finish({})


def in_the_way(directory: str) -> Verb:
    return lambda spool: spool.path(directory, "a").write_text('{"command":"other"}')


def torn(spool: Home) -> None:
    path = spool.path(PROCESSING, "a")
    path.write_bytes(path.read_bytes()[:-3] + b',{"event":"completed","at":"20\0\0')


def rename(source: str, target: str) -> Verb:
    return lambda spool: os.rename(spool.path(source, "a"), spool.path(target, "a"))


FAILED = {"exit_code": 1, "error": "no"}
LONG_AGO = "2026-01-01T00:00:00Z"
PENDINGS = ("pending",)
SCENARIOS = {
    "enqueue": Scenario(lambda s: None, lambda s: s.enqueue({"command": "true", "note": "kept"})),
    "enqueue with an id": Scenario(
        lambda s: None, lambda s: s.enqueue({"command": "true", "id": "a", "note": "kept"}), a=("gone", "pending")
    ),
    "enqueue what exists": Scenario(
        put("completed"), lambda s: s.enqueue({"command": "false", "id": "a"}), a=("completed",)
    ),
    "enqueue many": Scenario(lambda s: None, lambda s: list(s.enqueue_many([{"command": "true", "note": "kept"}] * 3))),
    "claim": Scenario(put("pending"), claiming, a=PENDINGS),
    "claim a dropped file": Scenario(drop(), claiming, a=PENDINGS),
    "claim a dropped file in a sector's way": Scenario(
        drop('{"command":"true","note":"kept","pad":"' + "x" * 465 + '"}'), claiming, a=PENDINGS
    ),
    "claim a linked file": Scenario(
        then(drop(), lambda s: os.link(s.path(PENDING, "a"), f"{s.layout.home}/link")), claiming, a=PENDINGS
    ),
    "claim a promise under another name": Scenario(
        drop('{"id":"b","command":"true","note":"kept"}'), claiming, a=("pending", "gone"), b=("gone", "pending")
    ),
    "claim what has ended": Scenario(then(put("completed"), rename(DONE, PENDING)), claiming, a=("completed",)),
    "claim what has expired": Scenario(put("pending", expires_at=LONG_AGO), claiming, a=("pending", "dead")),
    "claim a lost start": Scenario(then(started, rename(PROCESSING, PENDING)), claiming, a=PENDINGS),
    "claim one of two names": Scenario(then(put("completed"), link(DONE, PENDING)), claiming, a=("completed",)),
    "finish": Scenario(started, running(lambda c: c.finish({"exit_code": 0})), True, a=("pending", "completed")),
    "reschedule": Scenario(
        started, running(lambda c: c.reschedule("failed", NOON, FAILED)), True, a=("pending", "failed")
    ),
    "bury": Scenario(started, running(lambda c: c.move_to_dead("x", FAILED)), True, a=("pending", "dead")),
    "cancel while running": Scenario(
        started, running(lambda c: c.cancel({"exit_code": 143})), True, a=("pending", "cancelled")
    ),
    "interrupt": Scenario(started, running(lambda c: c.interrupt("gone")), True, a=PENDINGS),
    "put back": Scenario(
        then(put("pending"), rename(PENDING, PROCESSING)), running(lambda c: c.put_back()), True, a=PENDINGS
    ),
    "finish with somebody in the way": Scenario(
        then(started, in_the_way(DONE)), running(lambda c: c.finish({})), True, a=("completed", "pending", "completed")
    ),
    "reschedule with somebody in the way": Scenario(
        then(started, in_the_way(PENDING)),
        running(lambda c: c.reschedule("failed", NOON, {})),
        True,
        a=("pending", "failed"),
    ),
    "finish after compacting": Scenario(
        long_history, running(lambda c: c.finish({"exit_code": 0})), True, a=("pending", "completed")
    ),
    "finish what was torn": Scenario(
        then(started, torn), running(lambda c: c.finish({})), True, a=("pending", "completed")
    ),
    "finish what was removed": Scenario(
        started,
        running(remove_and_finish),
        a=("gone", "pending", "completed"),
    ),
    "cancel": Scenario(put("pending"), taking(lambda c: c.cancel()), True, a=("pending", "cancelled")),
    "cancel a dropped file": Scenario(drop(), taking(lambda c: c.cancel()), True, a=("pending", "cancelled")),
    "hold": Scenario(put("failed"), taking(lambda c: c.hold()), True, a=("failed", "held")),
    "hold a dropped file": Scenario(drop(), taking(lambda c: c.hold()), True, a=("pending", "held")),
    "release": Scenario(put("held"), taking(lambda c: c.release()), a=("held", "pending")),
    "edit": Scenario(put("pending"), taking(lambda c: c.edit({"queue": "q"})), True, a=PENDINGS),
    "edit much": Scenario(put("held"), taking(lambda c: c.edit({"command": "x" * 3000})), True, a=("held", "held")),
    "run now": Scenario(put("failed"), taking(lambda c: c.run_now()), True, a=("failed", "pending")),
    "revive the dead": Scenario(put("dead"), taking(lambda c: c.revive()), a=("dead", "pending")),
    "revive the completed": Scenario(put("completed"), taking(lambda c: c.revive()), a=("completed", "pending")),
    "revive what has expired": Scenario(
        then(put("pending", expires_at=LONG_AGO), claiming), taking(lambda c: c.revive()), a=("dead", "pending")
    ),
    "release what has expired": Scenario(
        then(put("pending", expires_at=LONG_AGO), taking(lambda c: c.hold())),
        taking(lambda c: c.release()),
        a=("held", "pending", "dead"),
    ),
    "revive with somebody in the way": Scenario(
        then(put("dead"), in_the_way(PENDING)),
        taking(lambda c: c.revive(), DEAD),
        a=("dead", "pending"),
    ),
    "delete what waits": Scenario(put("pending"), taking(lambda c: c.delete()), a=("pending", "gone")),
    "delete what has ended": Scenario(
        then(put("completed"), lambda s: Path(s.layout.output_of("a", 1)).touch()),
        taking(lambda c: c.delete()),
        a=("completed", "gone"),
    ),
    "purge": Scenario(
        then(put_three, lambda s: Path(s.layout.output_of("a", 1)).touch()),
        lambda s: purging(s, "a", "b", "c"),
        True,
        a=("completed", "gone"),
        b=("dead", "gone"),
        c=("pending", "gone"),
    ),
    "purge what was revived": Scenario(
        then(put("completed"), taking(lambda c: c.revive())),
        lambda s: [*purge(s, [Chosen("a", DONE, s.clock.now())])],
        True,
        a=PENDINGS,
    ),
    "take one of two names": Scenario(then(put("dead"), link(DEAD, PENDING)), taking(lambda c: None), a=("dead",)),
    "recover a start": Scenario(started, recovering, a=PENDINGS),
    "recover a claim": Scenario(then(put("pending"), rename(PENDING, PROCESSING)), recovering, a=PENDINGS),
    "recover a verdict": Scenario(then(put("completed"), rename(DONE, PROCESSING)), recovering, a=("completed",)),
    "recover a torn verdict": Scenario(then(started, torn), recovering, a=PENDINGS),
    "recover a torn dropped file": Scenario(
        lambda s: (s.drop("a.json", b'{"command":"true","note":"kept"}\0\0'), rename(PENDING, PROCESSING)(s)),
        recovering,
        a=PENDINGS,
    ),
    "recover two names": Scenario(then(put("completed"), link(DONE, PROCESSING)), recovering, a=("completed",)),
    "recover too many interruptions": Scenario(
        then(started, recovering, claiming, recovering, claiming), recovering, a=("dead",)
    ),
    "recover garbage": Scenario(then(drop("garbage"), rename(PENDING, PROCESSING)), recovering, a=("gone",)),
    "set garbage aside": Scenario(drop("garbage"), lambda s: s.examine("a.json"), a=("gone",)),
    "set a bad name aside": Scenario(drop("x", "a b.json"), lambda s: s.examine("a b.json")),
}


class SpoolStateMachine:
    """Plays scenarios, each in a home of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0

    def home(self, scenario: Scenario) -> Home:
        self._number += 1
        spool = Home(self._path / str(self._number))
        scenario.prepare(spool)
        # Links older than drop_grace, and files that have been still.
        spool.clock.advance(max(0.0, os.stat(spool.layout.home).st_ctime + 3600 - spool.clock.now()))
        return spool

    def copy(self, spool: Home) -> Home:
        """Return a copy, in which two names of one inode are that as well."""
        self._number += 1
        copied = Path(self._path / str(self._number))
        first: dict[int, Path] = {}
        for path in sorted(Path(spool.layout.home).rglob("*")):
            target = copied / path.relative_to(spool.layout.home)
            if path.is_dir():
                target.mkdir(mode=0o700, parents=True)
            elif path.stat().st_ino in first:
                os.link(first[path.stat().st_ino], target)
            else:
                shutil.copy2(path, target)
                first[path.stat().st_ino] = target
        made = Home(copied)
        made.clock = spool.clock
        return made

    def leave(self, spool: Home) -> None:
        shutil.rmtree(spool.layout.home)


@pytest.fixture
def stage() -> Iterator[SpoolStateMachine]:
    """In memory where there is such a place: what is played here is the death of processes, not of disks."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield SpoolStateMachine(Path(path))


def armed(spool: Home, point: Point | None, *, is_old: bool = False) -> Home:
    """Return the same spool as a process sees it that will meet `point`, syncing everything."""
    files = Faulty(point)
    if is_old:
        make_old(files)
    made = Home(Path(spool.layout.home), files=files, durability="full")
    made.clock = spool.clock
    made.patience = 1
    return made


def trace_of(stage: SpoolStateMachine, scenario: Scenario, *, is_old: bool = False) -> list[str]:
    spool = stage.home(scenario)
    inside = armed(spool, None, is_old=is_old)
    try:
        scenario.verb(inside)
    except QueueError:
        pass
    assert isinstance(inside.files, Faulty)
    judge(spool, scenario, "without a fault")
    stage.leave(spool)
    return inside.files.trace


def judge(spool: Home, scenario: Scenario, where: str, *, must_end: bool = False) -> dict[str, Job]:
    try:
        audit.mend(spool)
        jobs = audit.check_mended(spool)
        for job_id, states in scenario.states.items():
            state = jobs[job_id].state if job_id in jobs else "gone"
            assert state in (states[-1:] if must_end else states), f"{job_id} is {state}"
        for job in jobs.values():
            if job.command == "true":
                assert job.fields.get("note", "kept") == "kept"
                assert "note" in job.fields or job.id not in scenario.states
        known = sum("gone" not in states for states in scenario.states.values())
        assert len([job_id for job_id in scenario.states if job_id in jobs]) >= known
    except AssertionError as error:
        raise AssertionError(f"{where}: {error}\n{tree(spool)}") from None
    return jobs


def tree(spool: Home) -> str:
    lines = []
    for path in sorted(Path(spool.layout.spool).rglob("*")):
        if path.is_file():
            lines.append(f"{path.relative_to(spool.layout.spool)}: {path.read_bytes()[-200:]!r}")
    return "\n".join(lines)


def die(spool: Home, scenario: Scenario, point: Point, *, is_old: bool) -> None:
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            scenario.verb(armed(spool, point, is_old=is_old))
        except QueueError:
            pass
        except BaseException:
            code = 1
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == DIED, f"did not die at {point.number}"


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_process_may_die_at_any_operation(stage: SpoolStateMachine, name: str, is_old: bool) -> None:
    """Nothing is lost, doubled or left in processing/; also where the system has no renameat2 and no unnamed files.

    Proves G1, G2.
    """
    scenario = SCENARIOS[name]
    trace = trace_of(stage, scenario, is_old=is_old)
    for number, method in enumerate(trace, 1):
        for short in (None, 20, 60) if method == "write" else (None,):
            spool = stage.home(scenario)
            die(spool, scenario, Point(number, short=short), is_old=is_old)
            judge(spool, scenario, f"died at {number} ({method}, {short})")
            stage.leave(spool)
    print(len(trace), "points")
    assert trace


def faults(trace: list[str]) -> Iterator[tuple[int, str, int, int | None]]:
    for number, method in enumerate(trace, 1):
        for error in REFUSABLE.get(method, ()):
            is_full = method == "write" and error == errno.ENOSPC
            for short in (None, 0, 20, 60) if is_full else (None,):
                yield number, method, error, short


@pytest.mark.parametrize("name", SCENARIOS)
def test_any_operation_may_fail(stage: SpoolStateMachine, name: str) -> None:
    """With every error: no descriptor and no lock is kept, and what can be tried again comes to its end."""
    scenario = SCENARIOS[name]
    trace = trace_of(stage, scenario)
    tried = 0
    for number, method, error, short in faults(trace):
        tried += 1
        where = f"{errno.errorcode[error]} at {number} ({method}, {short})"
        spool = stage.home(scenario)
        point = Point(number, error, short=short)
        before = audit.open_descriptors()
        did_fail = play(armed(spool, point), scenario.verb, where)
        assert point.happened, where
        assert audit.open_descriptors() <= before, where
        if did_fail and scenario.retry:
            play(spool, scenario.verb, f"again after {where}")
            judge(spool, scenario, f"again after {where}", must_end=True)
        else:
            judge(spool, scenario, where)
        stage.leave(spool)
    print(tried, "faults at", len(trace), "operations")
    assert tried


def play(spool: Home, verb: Verb, where: str) -> bool:
    try:
        verb(spool)
    except (QueueError, OSError):
        return True
    except Exception as error:
        raise AssertionError(f"{where}: {error!r}") from error
    return False


@pytest.mark.parametrize("name", ["finish", "reschedule", "claim a dropped file", "revive the dead"])
def test_recovery_may_die_too(stage: SpoolStateMachine, name: str) -> None:
    """Wherever the verb was cut off, whoever mends it may be cut off as well, anywhere."""
    scenario = SCENARIOS[name]
    mending = Scenario(scenario.prepare, audit.mend)
    tried = 0
    for number in range(1, len(trace_of(stage, scenario)) + 1):
        cut_off = stage.home(scenario)
        die(cut_off, scenario, Point(number), is_old=False)
        spool = stage.copy(cut_off)
        inside = armed(spool, None)
        audit.mend(inside)
        stage.leave(spool)
        assert isinstance(inside.files, Faulty)
        for length in range(1, len(inside.files.trace) + 1):
            tried += 1
            spool = stage.copy(cut_off)
            die(spool, mending, Point(length), is_old=False)
            judge(spool, scenario, f"died at {number}, recovery at {length}")
            stage.leave(spool)
        stage.leave(cut_off)
    print(tried, "points of recovery")
    assert tried > 20


def test_the_sweep_notices_a_broken_protocol(stage: SpoolStateMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move before the verdict loses it: the audit has to see that, or it sees nothing."""

    def move_first(claim: Claim) -> None:
        claim._file.move(DONE)
        claim._file.move(PROCESSING)
        os.unlink(claim._file.path)
        claim._spool.files.exists(claim._file.path)
        Path(claim._file.path).write_text(json.dumps({"command": "true"}))

    scenario = Scenario(started, running(move_first), a=("pending", "completed"))
    spool = stage.home(scenario)
    trace = armed(spool, None)
    scenario.verb(trace)
    assert isinstance(trace.files, Faulty)
    number = len(trace.files.trace) - 1
    assert trace.files.trace[number - 1] == "exists"
    stage.leave(spool)
    spool = stage.home(scenario)
    die(spool, scenario, Point(number), is_old=False)
    with pytest.raises(AssertionError, match="a is gone"):
        judge(spool, scenario, "broken")
