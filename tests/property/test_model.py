"""The spool and its index against a plain model: every verb in any order, strangers, crashes, and a clock that jumps.

Each verb is done by a process of its own, which may die before any of its operations, die in the midst of a write, or
get an error there. Whoever mends what it left may die too. Then each job has to be as before the verb or as after it,
and the model goes on with what was found.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from queuectl.clock import spell
from queuectl.errors import Busy, Conflict, InvalidData
from queuectl.executor.local import Ended
from queuectl.job.outcome import Exited
from queuectl.scheduling.dependencies import POLICIES
from queuectl.spool import claim as claim_module
from queuectl.spool import rejected
from queuectl.spool.claim import Claim
from queuectl.spool.intake import ClaimRefused
from queuectl.worker.settle import settle
from tests.support.choices import BIG_EDIT, CERTAIN, EDITS, ENDINGS, ENDS, FIELDS, FITTING, LIKELY, OPERATIONS
from tests.support.foreign_writers import ForeignWriters
from tests.support.gates import Gates
from tests.support.reference_model import ENDED, WAITING, Died, Expected, Fault
from tests.support.scenarios import of_size
from tests.support.state_machine import FAULT, FAULTS, NAMES, TALLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.spools import Home

SEED = int(os.environ.get("QUEUECTL_SEED") or 20261124)
MANY = 7  # jobs; then others have to go first


class Model(ForeignWriters, Gates):
    """What may happen."""

    # --- verbs

    @precondition(lambda self: len(self.jobs) < MANY)
    @rule(job_id=st.none() | NAMES, said=FIELDS, fault=FAULT)
    def enqueue(self, job_id: str | None, said: dict[str, Any], fault: Fault | None) -> None:
        note = self.fresh()
        fields, expected = self.newborn(note, job_id or "", said)
        if job_id is not None:
            fields["id"] = job_id
        is_taken = job_id is not None and self.is_taken(job_id)
        answer, struck = self.attempt("enqueue", fault, lambda process: process.enqueue(fields))
        if struck and fault is not None and not isinstance(answer, str):
            self.perhaps_taken = {job_id}
            self.mend(fault)
            self.resolve(note, "enqueue", {"before": None, **({} if is_taken else {"after": self.named(expected)})})
        elif is_taken:
            assert isinstance(answer, Conflict), answer
            TALLY["enqueue: conflict"] += 1
        else:
            assert isinstance(answer, str), answer
            self.jobs[note] = self.named(expected, answer)
            TALLY["enqueue: acknowledged"] += 1

    @precondition(lambda self: len(self.jobs) < MANY)
    @rule(wanted=st.lists(st.tuples(st.none() | NAMES, FIELDS), min_size=2, max_size=3), fault=FAULT)
    def enqueue_many(self, wanted: list[tuple[str | None, dict[str, Any]]], fault: Fault | None) -> None:
        batch: list[tuple[dict[str, Any], Expected | None]] = []
        given: set[str | None] = set()
        for job_id, said in wanted:
            note = self.fresh()
            fields, expected = self.newborn(note, job_id or "", said)
            is_taken = job_id is not None and (job_id in given or self.is_taken(job_id))
            given |= {job_id}
            batch.append(({**fields, **({"id": job_id} if job_id else {})}, None if is_taken else expected))
        batch.append(({"command": ""}, None))
        answers, struck = self.attempt(
            "enqueue_many", fault, lambda process: list(process.enqueue_many(fields for fields, _ in batch))
        )
        if struck and fault is not None and not isinstance(answers, list):
            self.perhaps_taken = given
            self.mend(fault)
            for fields, expected in batch[:-1]:
                after = {} if expected is None else {"after": self.named(expected)}
                self.resolve(fields["note"], "enqueue_many", {"before": None, **after})
            return
        assert isinstance(answers, list), answers
        assert isinstance(answers.pop(), InvalidData)
        for (fields, expected), answer in zip(batch, answers, strict=False):
            if expected is None:
                assert isinstance(answer, Conflict), answer
            else:
                self.jobs[fields["note"]] = self.named(expected, answer)
        TALLY["enqueue_many: acknowledged"] += 1

    @rule(data=st.data(), is_patient=st.booleans(), fault=FAULT)
    def claim(self, data: st.DataObject, is_patient: bool, fault: Fault | None) -> None:
        job = self.some(data, *WAITING)
        if job is None:
            self.enqueue(None, {}, None)
            return
        if is_patient:
            self.clock.advance(max(0.0, min(job.run_at - self.clock.now(), 6000.0)))
        self.start(job, fault)

    def start(self, job: Expected, fault: Fault | None) -> None:
        now, worker = self.clock.now(), f"worker-{self.made}"
        refused, moved = self.refusal(job, now)
        after = moved if refused == "moved" else job.started(now, worker)
        keeper: list[Home] = []

        def do(process: Home) -> Claim | ClaimRefused:
            keeper.append(process)
            return process.claim(job.id, worker)

        answer, struck = self.attempt("claim", fault, do)
        if struck and fault is not None:
            self.mend(fault)
            end = after if refused == "moved" else after.interrupted(now)
            legal = {"after": end} if isinstance(answer, Claim) else {"before": job, "after": end}
            if refused == "moved" and fault.how == "ENOSPC":
                legal["details lost"] = replace(job, state="dead")
            self.resolve(job.note, "claim", {"before": job} if refused not in (None, "moved") else legal)
            return
        reason = answer.reason if isinstance(answer, ClaimRefused) else "started"
        TALLY[f"claim: {'waits for a parent' if reason == 'after' else reason}"] += 1
        if refused is None:
            assert isinstance(answer, Claim), f"{answer}, for {job}"
            self.claims[job.note] = (keeper[0], answer)
        else:
            assert isinstance(answer, ClaimRefused), f"{job} was started in spite of {refused}"
            assert answer.reason == refused
        if refused in (None, "moved"):
            self.jobs[job.note] = after

    @rule(data=st.data(), ends=st.lists(ENDS, min_size=1, max_size=3), fault=FAULT)
    def work(self, data: st.DataObject, ends: list[int | str], fault: Fault | None) -> None:
        """A worker goes on for a while; the last of its attempts may meet a fault."""
        for number, end in enumerate(ends, 1):
            self.claim(data=data, is_patient=True, fault=None)
            if self.claims:
                self.settle(data=data, end=end, fault=fault if number == len(ends) else None)
                self.everything_is_as_the_model_says()

    @rule(data=st.data(), edits=st.lists(EDITS, min_size=1, max_size=3))
    def edit_again_and_again(self, data: st.DataObject, edits: list[dict[str, Any]]) -> None:
        for edit in edits:
            self.change(data=data, verb="edit", edit=edit, fault=None)
            self.everything_is_as_the_model_says()

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=ENDS, fault=FAULT)
    def settle(self, data: st.DataObject, end: int | str, fault: Fault | None) -> None:
        self.end(data.draw(st.sampled_from(list(self.claims))), end, fault)

    def end(self, note: str, end: int | str, fault: Fault | None) -> None:
        process, claim = self.claims.pop(note)
        job, now = self.jobs[note], self.clock.now()
        after, bare = job.settled(now, end), job.bare(end, now)
        outcome, cause = (Exited(143), end) if isinstance(end, str) else (Exited(end), None)
        if not (self.is_old and self.loose):
            process.files.arm(fault)
        answer: object = None
        for _ in range(2):
            try:
                answer = settle(process, claim, Ended(outcome, None), cause)
                claim.close()
            except (Busy, OSError, Died) as error:
                answer = error
            if fault is None or not fault.again or not isinstance(answer, (Busy, OSError)):
                break
        if process.files.struck:
            self.count_strike("settle", process.files, answer)
        process.files.move_to_dead()
        if process.files.struck and fault is not None:
            self.mend(fault)
            lost = {"details lost": bare} if claim.details_lost else {}
            acknowledged = isinstance(answer, str)
            self.resolve(
                note, "settle", {"after": after, **lost, **({} if acknowledged else {"before": job.interrupted(now)})}
            )
            TALLY["settle: called again"] += acknowledged and fault.again
            return
        assert answer == after.events[-1], answer
        self.jobs[note] = after
        self.loose_are_judged(may_stay=True)  # who has its name in pending/ makes way
        TALLY[f"settle: {answer}"] += 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), run_lives=st.booleans())
    def worker_dies(self, data: st.DataObject, run_lives: bool) -> None:
        note = data.draw(st.sampled_from(list(self.claims)))
        process, _ = self.claims.pop(note)
        process.files.move_to_dead()
        if run_lives:
            job = self.jobs[note]
            fd = os.open(self.spool.layout.output_of(job.id, job.attempts), os.O_RDWR | os.O_CREAT, 0o600)
            assert self.spool.files.try_lock(fd)
            self.runs[note] = fd
        TALLY["a worker died"] += 1

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def run_ends(self, data: st.DataObject) -> None:
        os.close(self.runs.pop(data.draw(st.sampled_from(list(self.runs)))))

    @rule(data=st.data(), verb=st.sampled_from(list(FITTING)), edit=EDITS, fault=FAULT)
    def change(self, data: st.DataObject, verb: str, edit: dict[str, Any], fault: Fault | None) -> None:
        job = self.some(data, *FITTING[verb])
        if job is not None:
            self.alter(job, verb, edit, fault)
        elif not self.jobs and not self.loose:
            self.verb(verb, fault or Fault(99))

    @rule(data=st.data(), verb=st.sampled_from(list(FITTING)), edit=EDITS)
    def change_what_does_not_fit(self, data: st.DataObject, verb: str, edit: dict[str, Any]) -> None:
        job = self.some(data, *WAITING, *ENDED)
        if job is not None:
            self.alter(job, verb, edit, None)

    def alter(self, job: Expected, verb: str, edit: dict[str, Any], fault: Fault | None) -> None:
        now = self.clock.now()
        edit = self.with_parents(job.id, edit)
        changes, known = dict(edit), dict(edit)
        if "run_in" in edit:
            known["run_at"] = now + changes.pop("run_in")
            known.pop("run_in")
            changes["run_at"] = spell(known["run_at"])
        after = None if verb == "delete" else job.changed(now, verb, known)

        def do(process: Home) -> None:
            with process.take(job.id) as claim:
                claim.edit(changes) if verb == "edit" else getattr(claim, verb)()

        answer, struck = self.attempt(verb, fault, do)
        if struck and fault is not None and answer is not None:
            self.mend(fault)
            legal = {"before": job} if after is None and verb != "delete" else {"before": job, "after": after}
            self.resolve(job.note, verb, legal)
        elif after is None and verb != "delete":
            assert isinstance(answer, InvalidData if verb == "edit" and job.state in WAITING else Conflict), answer
            TALLY[f"{verb}: refused"] += 1
        else:
            assert answer is None, answer
            TALLY[f"{verb}: acknowledged"] += 1
            self.forget_strangers(job.note)
            if after is None:
                del self.jobs[job.note]
            else:
                self.jobs[job.note] = after

    # --- one thing for certain

    def one(self, state: str) -> Expected:
        """Return a new job in a state."""
        self.enqueue("a", {}, None)
        (job,) = self.jobs.values()
        if state != "pending":
            self.alter(job, {"held": "hold", "cancelled": "cancel"}[state], {}, None)
        return next(iter(self.jobs.values()))

    def verb(self, verb: str, fault: Fault) -> None:
        state = {"release": "held", "revive": "cancelled"}.get(verb, "pending")
        self.alter(self.one(state), verb, {"priority": 7} if fault.number % 2 else BIG_EDIT, fault)

    def attempt_ends(self, end: int | str, fault: Fault) -> None:
        self.start(self.one("pending"), None)
        self.end(next(iter(self.claims)), end, fault)

    def parent_fails(self, fault: Fault, *, is_revived: bool) -> None:
        """A child dies, or is revived, with its parent."""
        self.enqueue("a", {}, None)
        self.enqueue("b", {"after_nth": [0]}, None)
        for verb in ("cancel", "revive") if is_revived else ("cancel",):
            self.alter(next(job for job in self.jobs.values() if job.id == "a"), verb, {}, None)
            if is_revived and verb == "cancel":
                self.supervise(None)
        self.decide("revival" if is_revived else "death", fault)

    @precondition(lambda self: len(self.jobs) < MANY)
    @rule(data=st.data(), policy=st.sampled_from(POLICIES), is_revived=st.booleans(), fault=FAULT)
    def a_parent_ends(self, data: st.DataObject, policy: str, is_revived: bool, fault: Fault | None) -> None:
        """It is cancelled, or completes; what comes after it follows, also when it is revived."""
        parent = self.some(data, *WAITING)
        if parent is None:
            return
        place = sorted({job.id for job in self.jobs.values()} | {loose.name for loose in self.loose.values()})
        self.enqueue(None, {"after_nth": [place.index(parent.id)], "after_policy": policy}, None)
        if data.draw(st.booleans()):
            self.alter(parent, "cancel", {}, None)
        else:
            self.start(parent, None)
            if parent.note in self.claims:
                self.end(parent.note, 0, None)
        self.supervise(fault)
        self.everything_is_as_the_model_says()
        now = self.jobs.get(parent.note)
        if is_revived and now is not None and now.state in ENDED and now in self.free(*ENDED):
            self.alter(now, "revive", {}, None)
            self.supervise(fault)

    @precondition(lambda self: len(self.jobs) < MANY and any(self.jobs[note].lock for note in self.claims))
    @rule(data=st.data(), fault=FAULT)
    def another_wants_its_lock(self, data: st.DataObject, fault: Fault | None) -> None:
        note = data.draw(st.sampled_from([note for note in self.claims if self.jobs[note].lock]))
        known = set(self.jobs)
        self.enqueue(None, {"lock": self.jobs[note].lock}, None)
        for made in set(self.jobs) - known:
            self.start(self.jobs[made], fault)

    @rule(data=st.data(), verb=st.sampled_from(["hold", "release", "edit", "run_now"]), edit=EDITS)
    def change_between_two_looks(self, data: st.DataObject, verb: str, edit: dict[str, Any]) -> None:
        """No directory shows it, so the index would believe that nothing has changed."""
        self.index("catch up", "none", None)
        self.change(data=data, verb=verb, edit=edit, fault=None)
        self.everything_is_as_the_model_says()
        self.index("catch up", "none", None)

    @precondition(lambda self: any(job.state == "processing" for job in self.jobs.values()))
    @rule(data=st.data())
    def nobody_else_gets_what_runs(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from([job for note, job in self.jobs.items() if note in self.claims] or [None]))
        if job is None or job.id in {loose.name for loose in self.loose.values()}:
            return
        process = self.process(None)
        answer = process.claim(job.id, "thief")
        assert isinstance(answer, ClaimRefused)
        with pytest.raises(Conflict):
            process.take(job.id)
        with pytest.raises(Conflict):
            process.enqueue({"id": job.id, "command": "false"})
        TALLY["a thief"] += 1

    @rule(fault=FAULTS)
    def start_anew(self, fault: Fault) -> None:
        """A supervisor starts: what the dead have left is mended; what lives stays."""
        alive = set(self.claims) | set(self.runs)
        self.mend(fault)
        assert all(self.jobs[note].state == "processing" for note in alive)
        TALLY["recovered beside the living"] += bool(alive)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejected, "NAP_S", 0.0)
    monkeypatch.setattr(claim_module, "COMPACT_AT_BYTES", 1200)  # so that it happens
    TALLY.clear()


def test_each_verb_may_be_cut_off_at_each_operation() -> None:
    """Where each is sure to be cut off early and late: as before it and as after it, both are found."""
    scenes: dict[str, Callable[[Model, Fault], None]] = {
        "enqueue": lambda model, fault: model.enqueue("a", {}, fault),
        "enqueue_many": lambda model, fault: model.enqueue_many([(None, {}), ("a", {}), ("a", {})], fault),
        "claim": lambda model, fault: model.start(model.one("pending"), fault),
        **{verb: lambda model, fault, verb=verb: model.verb(verb, fault) for verb in FITTING},
        "death": lambda model, fault: model.parent_fails(fault, is_revived=False),
        "revival": lambda model, fault: model.parent_fails(fault, is_revived=True),
        "pause": lambda model, fault: model.toggle_pause("_all", fault),
        "resume": lambda model, fault: (model.toggle_pause("_all", None), model.toggle_pause("_all", fault)),
        **{f"settle {end}": lambda model, fault, end=end: model.attempt_ends(end, fault) for end in set(ENDINGS)},
    }
    for name, scene in scenes.items():
        for number in range(1, 40):
            for how in ("die", "tear", "EIO", "ENOSPC"):
                model = Model()
                model.begin(durable=number % 2 == 0, is_old=number % 4 == 1)
                scene(model, Fault(number, how, again=number % 3 == 0, mending=(number, 3)[: number % 3]))
                model.everything_is_as_the_model_says()
                model.teardown()
        for end in ("before", "after"):
            assert TALLY[f"{name.split()[0]}: {end}"], f"{name}: {end}"
    what_is_no_matter_of_faults()
    print_tally()
    assert_happened(CERTAIN)
    assert {method for method in OPERATIONS if TALLY[f"struck at {method}"]} == OPERATIONS


def test_every_history_is_one_the_model_allows() -> None:
    run_state_machine_as_test(
        seed(SEED)(Model),
        settings=settings(
            max_examples=of_size(150, 5000),
            phases=(Phase.explicit, Phase.generate) if os.environ.get("QUEUECTL_CI") else tuple(Phase),
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(f"seed {SEED}")
    print_tally()
    assert_happened(LIKELY)
    crashes = sum(count for what, count in TALLY.items() if what.startswith("struck at"))
    assert crashes > 500, crashes


def what_is_no_matter_of_faults() -> None:
    model = Model()
    model.begin(durable=True, is_old=False)
    ended = model.one("cancelled")
    for verb in ("hold", "edit", "run_now"):
        model.alter(ended, verb, {"priority": 1}, None)
    model.drop("a", None, "good", is_still=True, keeps_link=False, after=[])  # the name of a job that has ended
    model.mend(Fault(1))
    waiting = next(job for job in model.jobs.values() if job.state == "pending")
    for verb in ("release", "revive"):
        model.alter(waiting, verb, {}, None)
    model.the_clock_is_set(3)
    model.drop("b", None, "good", is_still=True, keeps_link=True, after=[])
    model.admit_plain()
    model.start(next(job for job in model.jobs.values() if job.id == "b"), None)
    model.everything_is_as_the_model_says()
    for job_id, fields in {"c": {"needs": {"gpu": 2}}, "d": {"needs": {"gpu": 1}}}.items():
        model.enqueue(job_id, fields, None)
        model.start(next(job for job in model.jobs.values() if job.id == job_id), None)
    model.everything_is_as_the_model_says()
    model.teardown()


def assert_happened(wanted: tuple[str, ...]) -> None:
    never = [what for what in wanted if not TALLY[what]]
    assert not never, f"this never happened: {never}"


def print_tally() -> None:
    for what, count in sorted(TALLY.items()):
        print(f"{count:7} {what}")
