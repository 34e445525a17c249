"""The stage of the model: the real spool, the processes that act on it, and what has to be true after each of them.

tests/property/test_model.py says what may happen; here is how it is done, mended and compared.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from queuectl.clock import spell
from queuectl.errors import QueueError
from queuectl.index.reader import Reader
from queuectl.index.rebuild import rebuild, verify
from queuectl.index.rows import AT
from queuectl.index.writer import Writer
from queuectl.job.job import DIRECTORIES, PENDING, PROCESSING, STATES
from queuectl.spool.claim import Claim
from tests.support.clock import NOON, FakeClock
from tests.support.faulty_fs import make_old
from tests.support.reference_model import (
    GRACE_S,
    IN_ROWS,
    SETTINGS,
    WAITING,
    Died,
    Expected,
    Fault,
    Loose,
    Mortal,
    Place,
    known_of,
    mend,
    places,
)
from tests.support.spools import Home, compare_and_reject, folded

if TYPE_CHECKING:
    from collections.abc import Callable

TALLY: Counter[str] = Counter()  # how often what happened, over all examples


NAMES = st.sampled_from(["a", "b", "c", "d"])
FAULTS = st.builds(
    Fault,
    number=st.integers(1, 20),
    how=st.sampled_from(["die", "die", "die", "tear", "EIO", "ENOSPC"]),
    again=st.booleans(),
    mending=st.lists(st.integers(1, 25), max_size=2).map(tuple),
)
FAULT = st.booleans().flatmap(lambda strikes: FAULTS if strikes else st.none())
YEAR_S = 365 * 86400.0


def is_torn(path: str) -> bool:
    """Tell whether a crash has left half an entry in a file of ours."""
    try:
        json.loads(Path(path).read_bytes())
    except ValueError:
        return True
    return False


class SpoolStateMachine(RuleBasedStateMachine):
    """Jobs by their notes, which each of them carries from its birth to its end."""

    @initialize(durable=st.booleans(), is_old=st.integers(0, 4).map(lambda number: number == 0))
    def begin(self, durable: bool, is_old: bool) -> None:
        self.root = tempfile.mkdtemp(prefix="model-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.durability = "full" if durable else "relaxed"
        self.is_old = is_old
        self.clock = FakeClock()
        self.spool = self.process(None)  # looks only
        self.jobs: dict[str, Expected] = {}
        self.claims: dict[str, tuple[Home, Claim]] = {}
        self.runs: dict[str, int] = {}  # outputs that a run without a worker holds
        self.writers: dict[str, int] = {}  # strangers who have a job's file open
        self.loose: dict[str, Loose] = {}
        self.rejected: set[str] = set()
        self.unexplained: set[str] = set()
        self.paused: set[str] = set()
        self.perhaps_taken: set[str | None] = set()  # by an enqueue that died, before it is looked for
        self.made = self.age = 0
        self.ages: dict[str, float] = {}  # of directories
        self.has_crashed = self.is_struck = False  # ever; in this step

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        for process, _ in self.claims.values():
            process.files.move_to_dead()
        writers = [loose.writer for loose in self.loose.values() if loose.writer is not None]
        for fd in (*self.runs.values(), *self.writers.values(), *writers):
            os.close(fd)
        shutil.rmtree(self.root)

    # --- processes

    def process(self, fault: Fault | None) -> Home:
        files = Mortal()
        if self.is_old:
            make_old(files)
        made = Home(Path(self.root) / "home", files=files, announce=True, durability=self.durability, **SETTINGS)
        made.clock, made.patience = self.clock, 2
        files.arm(fault)
        return made

    def attempt(self, verb: str, fault: Fault | None, do: Callable[[Home], Any]) -> tuple[Any, str]:
        """Let a process do something and end.

        Returns:
            What it returned or raised, and the operation at which the fault struck it, if any.
        """
        process = self.process(None if self.is_old and self.loose else fault)
        try:
            answer = do(process)
        except (QueueError, OSError, Died) as error:
            answer = error
        struck = process.files.struck
        if struck:
            self.count_strike(verb, process.files, answer)
        else:
            assert not isinstance(answer, (OSError, Died)), answer
            assert isinstance(answer, Claim) or not process.files.open_fds, f"{verb} left descriptors open"
        process.files.arm(None)
        if struck or not isinstance(answer, Claim):
            process.files.move_to_dead()
        return answer, struck

    def count_strike(self, verb: str, files: Mortal, answer: object) -> None:
        assert files.fault is not None
        self.has_crashed = self.is_struck = True
        TALLY[f"{files.fault.how} in {verb}"] += 1
        TALLY[f"struck at {files.struck}"] += 1

    def mend(self, fault: Fault) -> None:
        """Start anew after a crash, as often as it takes."""
        for number in fault.mending:
            _, struck = self.attempt("mend", Fault(number), mend)
            TALLY["mending died"] += bool(struck)
        before = self.clock.now()
        process = self.process(None)
        mend(process)
        if any(p.directory == PENDING and p.job is None for found in places(self.spool).values() for p in found):
            self.clock.advance(2 * GRACE_S)
            mend(process)  # what was torn has been still for long enough
        assert not process.files.open_fds
        self.orphans_are_interrupted(before)
        self.loose_are_judged()

    def orphans(self) -> list[str]:
        """Jobs whose worker died and of which nothing runs any more."""
        return [
            note
            for note, job in self.jobs.items()
            if job.state == "processing" and note not in self.claims and note not in self.runs
        ]

    def orphans_are_interrupted(self, now: float) -> None:
        for note in self.orphans():
            self.jobs[note] = self.jobs[note].interrupted(now)
            TALLY[f"orphan {self.jobs[note].events[-1]}"] += 1

    def resolve(self, note: str, verb: str, options: dict[str, Expected | None]) -> None:
        """After a crash, go on with that of the legal results which was found."""
        found = places(self.spool).get(note, [])
        assert len(found) <= 1, f"{note} is there several times: {found}"
        self.forget_strangers(note)
        for name, expected in options.items():
            if expected is None and not found:
                self.jobs.pop(note, None)
            elif expected is not None and found and self.is_like(expected, found[0]):
                self.jobs[note] = expected
            else:
                continue
            TALLY[f"{verb}: {name}"] += 1
            return
        job = found[0].job if found else None
        wrong = [(name, job and expected and expected.differences(job)) for name, expected in options.items()]
        raise AssertionError(f"after {verb}, {note} is {found} {job and folded(job)}; {wrong}")

    def is_like(self, expected: Expected, place: Place) -> bool:
        return place.job is not None and not expected.differences(place.job)

    def forget_strangers(self, note: str) -> None:
        """Who writes to a file, or has linked it, lets go of it: a crash may have put another in its place."""
        if note in self.writers:
            os.close(self.writers.pop(note))

    # --- what tests.support.gates knows

    def state_of(self, job_id: str) -> str | None:
        raise NotImplementedError

    def gate(self, job: Expected, now: float) -> tuple[str | None, Expected]:
        raise NotImplementedError

    def check_units(self) -> None:
        raise NotImplementedError

    # --- what tests.support.foreign_writers knows

    def admit_plain(self) -> None:
        raise NotImplementedError

    def loose_are_judged(self, *, may_stay: bool = False) -> None:
        raise NotImplementedError

    # --- choosing

    def some(self, data: st.DataObject, *states: str) -> Expected | None:
        fitting = self.free(*states)
        return data.draw(st.sampled_from(fitting)) if fitting else None

    def free(self, *states: str) -> list[Expected]:
        """Return the jobs in some states whose name no file of another program has."""
        shadows = {loose.name for loose in self.loose.values()}
        return [job for job in self.jobs.values() if job.state in states and job.id not in shadows]

    def fresh(self) -> str:
        self.made += 1
        return f"n{self.made:04}"

    def by_id(self, job_id: str) -> Expected | None:
        return next((job for job in self.jobs.values() if job.id == job_id), None)

    def is_taken(self, job_id: str) -> bool:
        return self.by_id(job_id) is not None or any(loose.name == job_id for loose in self.loose.values())

    def newborn(self, note: str, job_id: str, said: dict[str, Any]) -> tuple[dict[str, Any], Expected]:
        """Return what an author writes, and the job that it has to become."""
        now = self.clock.now()
        fields = {key: value for key, value in self.with_parents(job_id, said).items() if not key.endswith("_in")}
        known = known_of(fields)
        if "run_in" in said:
            fields["run_at"] = spell(now + said["run_in"])
            known.update(run_at=now + said["run_in"], waits="author")
        if "expires_in" in said:
            fields["expires_at"] = spell(now + said["expires_in"])
            known["expires_at"] = now + said["expires_in"]
        expected = Expected(note, job_id, now, **{"run_at": now, **known}, buries="on_interrupt" in said)
        return {"command": "true", "note": note, **fields}, expected

    def with_parents(self, job_id: str, said: dict[str, Any]) -> dict[str, Any]:
        """Replace `after_nth` by the ids of existing jobs that do not come after this one."""
        if "after_nth" not in said:
            return said
        made = {key: value for key, value in said.items() if key != "after_nth"}
        after = self.possible_parents(job_id, said["after_nth"])
        return {**made, "after": after} if after else made

    def possible_parents(self, job_id: str, places: list[int]) -> list[str]:
        known = sorted({job.id for job in self.jobs.values()} | {loose.name for loose in self.loose.values()})
        chosen = [known[place] for place in places if place < len(known)]
        return [parent for parent in dict.fromkeys(chosen) if job_id not in self.ancestors(parent)]

    def ancestors(self, job_id: str) -> set[str]:
        """Return a job, the jobs that it comes after, and those that these come after, whether they exist or not."""
        found, left = set[str](), [job_id]
        while left:
            each = left.pop()
            if each not in found:
                found.add(each)
                for job in self.jobs.values():
                    left += job.after if job.id == each else ()
                for loose in self.loose.values():
                    left += loose.after if each in (loose.name, loose.promise) else ()
        return found

    def named(self, expected: Expected, job_id: str = "") -> Expected:
        """Fill in an id that was made up; a process that died took the knowledge of it with it."""
        if not expected.id and not job_id:
            for place in places(self.spool).get(expected.note, []):
                job_id = place.name.removesuffix(".json")
        return Expected(**{**vars(expected), "id": expected.id or job_id})

    # --- why a job is not started

    def pending(self, name: str) -> str:
        return f"{self.spool.layout.directory(PENDING)}/{name}.json"

    def refusal(self, job: Expected, now: float) -> tuple[str | None, Expected]:
        """Return why a claim is refused, and what the job is after it."""
        if job.note in self.writers and not job.events:
            return "being written", job
        if self.is_waited_for(job, now):
            return "being written", job
        status = os.stat(self.pending(job.id))
        if status.st_nlink > 1 and now - status.st_ctime < GRACE_S:
            return "linked", job
        refused = job.refusal(now)
        if refused is None:
            return self.gate(job, now)
        return refused, job.expired(now) if refused == "moved" else job

    def is_waited_for(self, job: Expected, now: float) -> bool:
        """Half an entry that a crash has left could be half of what a stranger writes."""
        path = self.pending(job.id)
        return (
            job.state in WAITING and os.path.exists(path) and is_torn(path) and now - os.stat(path).st_mtime < GRACE_S
        )

    # --- what must hold

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        if not hasattr(self, "root"):
            return
        TALLY["steps"] += 1
        self.admit_plain()
        found = places(self.spool)
        unknown = found.keys() - self.jobs.keys() - self.loose.keys() - self.rejected
        assert not unknown, {note: found[note] for note in unknown}
        for note, job in self.jobs.items():
            here = found.get(note, [])
            assert len(here) == 1, f"{job} is {here}"
            assert here[0].job is not None, f"{job} is {here}"
            wrong = job.differences(here[0].job)
            assert not wrong, f"{note}: {wrong}"
            if job.is_dropped and not job.events:  # its mtime tells; from its first event on it is written
                self.jobs[note] = replace(job, created_at=here[0].job.created_at, run_at=here[0].job.created_at)
        for note, loose in self.loose.items():
            assert [(p.directory, p.name) for p in found.get(note, [])] == [(PENDING, f"{loose.name}.json")], loose
        ids = [job.id for job in self.jobs.values()]
        assert len(ids) == len(set(ids)), f"an id stands for two jobs: {ids}"
        self.rejected_have_reasons(found)
        for note in self.claims:
            assert self.spool.take_in(PROCESSING, self.jobs[note].id) is None, f"{note} could be taken from its worker"
        self.check_units()
        litter = [name for name in os.listdir(self.spool.layout.tmp) if not name.startswith("n")]
        assert not litter or self.has_crashed, litter
        self.is_struck, self.perhaps_taken = False, set()

    def rejected_have_reasons(self, found: dict[str, list[Place]]) -> None:
        for note in self.rejected:
            assert [place.directory for place in found.get(note, [])] == ["rejected"], f"{note} is {found.get(note)}"
            path = Path(self.spool.layout.rejected, f"{found[note][0].name}.reason")
            is_explained = path.exists() and path.read_text("utf-8").strip() != ""
            if not is_explained and self.is_struck:  # a crash leaves it moved without a reason
                self.unexplained.add(note)
                TALLY["a rejection without its reason"] += 1
            assert is_explained or note in self.unexplained, f"{note} has no reason"

    def index_is_the_spool(self, due: list[str]) -> None:
        """Right after a sync: the rows are the jobs, and those that may start are in order."""
        now, by_id = self.clock.now(), {job.id: job for job in self.jobs.values()}
        with Reader(self.spool.layout.index) as reader:
            rows, counts = {row[0]: row for row in reader.all_rows()}, reader.counts()
            wrong = [str(difference) for difference in verify(self.spool, reader) if difference is not None]
        assert not wrong, wrong
        assert rows.keys() == by_id.keys(), f"only in the index or in the spool: {rows.keys() ^ by_id.keys()}"
        for job_id, job in by_id.items():
            told = {name: rows[job_id][AT[name]] for name in IN_ROWS}
            unlike = {name: value for name, value in told.items() if not job.is_same(name, value)}
            assert not unlike, f"{job} is {unlike} in the index"
        assert counts == {state: sum(job.state == state for job in by_id.values()) for state in STATES}
        ripe = [job for job in by_id.values() if job.state in ("pending", "failed") and job.run_at <= now]
        known = {job.id for job in ripe if (job.events or not job.is_dropped) and not job.after}
        wanted = sorted((-job.priority, job.run_at, job.id) for job in ripe if job.id in known)
        assert [job_id for job_id in due if job_id in known] == [job_id for _, _, job_id in wanted]

    # --- index and clock

    @rule(
        how=st.sampled_from(["catch up", "catch up", "compare all", "rebuild"]),
        damage=st.sampled_from(["none", "none", "deleted", "garbage"]),
        fault=FAULT,
    )
    def index(self, how: str, damage: str, fault: Fault | None) -> None:
        path = Path(self.spool.layout.index)
        if damage == "deleted":
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        elif damage == "garbage" and path.exists():
            path.write_bytes(b"\xa5" * 5000)
        self.let_directories_rest()
        answer, struck = self.attempt("index", fault, lambda process: self.bring_up_to_date(process, how))
        if struck:
            self.loose_are_judged(may_stay=True)
            answer = self.attempt("index", None, lambda process: self.bring_up_to_date(process, "compare all"))[0]
        self.loose_are_judged()
        assert isinstance(answer, list), answer
        self.index_is_the_spool(answer)
        TALLY[f"index: {how}, {damage}"] += 1

    def let_directories_rest(self) -> None:
        """What has changed looks as if that were long ago; from here on, what does not change is believed."""
        for directory in DIRECTORIES:
            path = self.spool.layout.directory(directory)
            if os.stat(path).st_mtime != self.ages.get(directory):
                self.age += 1
                self.ages[directory] = 1e9 + self.age
                os.utime(path, (self.ages[directory], self.ages[directory]))

    def bring_up_to_date(self, process: Home, how: str) -> list[str]:
        if how == "rebuild":
            for _ in rebuild(process, process.layout.index):
                continue
        writer = Writer(process.layout.index, process.clock)
        try:
            compare_and_reject(process, writer, full=how == "compare all")
            if any(self.is_waited_for(job, process.clock.now()) for job in self.jobs.values()):
                process.clock.advance(2 * GRACE_S)
                compare_and_reject(process, writer)
                TALLY["index: torn, looked at again"] += 1
            due = [job.id for job in writer.due(process.clock.now(), 100)]
        except BaseException:
            writer._database.close()
            raise
        writer.close()
        return due

    @rule(seconds=st.sampled_from([1.0, 6.0, 70.0, 6000.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(years=st.sampled_from([-3, -1, 1, 3]))
    def the_clock_is_set(self, years: int) -> None:
        if abs(self.clock.now() - years * YEAR_S - NOON) < 20 * YEAR_S:
            self.clock.set_back(years * YEAR_S)
            TALLY["clock set back" if years > 0 else "clock set forward"] += 1
