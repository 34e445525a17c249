"""What keeps jobs from starting in the model: parents, limits and pauses; and the supervisor that decides about them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis.stateful import rule

from queuectl.errors import QueueError
from queuectl.job.job import PROCESSING
from queuectl.log import Log
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool import pauses
from queuectl.supervisor.dependents import AGAIN_S
from queuectl.supervisor.dispatcher import Dispatcher
from queuectl.timers import NEVER
from tests.support.choices import PAUSES
from tests.support.reference_model import BACKOFF_MAX_S, GRACE_S, WAITING, Expected, Fault, places
from tests.support.state_machine import FAULT, TALLY, SpoolStateMachine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.spools import Home

STEPS = 500  # of a supervisor; then it does not come to rest
LOOKS = 3  # a second apart, at what was not as the index has it
MOST_TURNS = 2  # a job may die and be revived, because a parent of its parent was decided about later


class Gates(SpoolStateMachine):
    """Pauses, and the supervisor."""

    # --- pauses

    @rule(name=PAUSES, fault=FAULT)
    def toggle_pause(self, name: str, fault: Fault | None) -> None:
        was_paused = name in self.paused
        verb = "resume" if was_paused else "pause"
        do = pauses.resume if was_paused else pauses.pause
        answer, struck = self.attempt(verb, fault, lambda process: do(process, name))
        is_paused = os.path.lexists(f"{self.spool.layout.paused}/{name}")
        if struck and fault is not None and answer is not True:
            TALLY[f"{verb}: {'before' if is_paused == was_paused else 'after'}"] += 1
            self.mend(fault)
        else:
            assert answer is True
            assert is_paused != was_paused
        self.paused = self.paused | {name} if is_paused else self.paused - {name}

    # --- the supervisor

    @rule(fault=FAULT)
    def supervise(self, fault: Fault | None) -> None:
        self.decide("decide", fault)

    def decide(self, verb: str, fault: Fault | None) -> None:
        """A supervisor compares the index with the spool, decides about jobs with parents, and says what may start."""
        self.let_directories_rest()
        if fault is not None and not (self.is_old and self.loose):
            began = self.clock.now()
            wanted = self.settled_by_parents()
            _, struck = self.attempt("supervise", fault, self.look_and_decide)
            if struck:
                self.mend(fault)
                self.resolve_decisions(verb, wanted, began, was_cut_off=True)
        began = self.clock.now()
        started, _ = self.attempt("supervise", None, self.look_and_decide)
        assert isinstance(started, list), started
        self.loose_are_judged(may_stay=True)
        self.resolve_decisions(verb, self.settled_by_parents(), began, was_cut_off=False)
        self.check_order(started)

    def look_and_decide(self, process: Home) -> list[str]:
        """Run a supervisor's dispatcher until it rests; return the jobs that it would start at once, in order."""
        fault, process.files.fault = process.files.fault, None  # the comparison with the index is a rule of its own
        made = Dispatcher(process, Log(f"{self.root}/log", "supervisor"), lambda _: None, lambda _: None)
        try:
            for job in self.jobs.values():
                if job.state == "processing":
                    made.order.assign(job.id)
            made.begin_sync(watched=False)
            while made.is_comparing:
                made.step(process.clock.monotonic())
            process.files.arm(fault)
            self.rest(process, made)
            if any(self.is_waited_for(job, process.clock.now()) for job in self.jobs.values()):
                process.clock.advance(2 * GRACE_S)
                self.rest(process, made)
            for _ in range(LOOKS):
                if made._dependents.next_step == NEVER:
                    break
                process.clock.advance(AGAIN_S)
                self.rest(process, made)
            started = []
            while (job_id := made.next()) is not None:
                started.append(job_id)
        except BaseException:
            made._writer._database.close()
            raise
        made.close()
        return started

    def rest(self, process: Home, made: Dispatcher) -> None:
        for _ in range(STEPS):
            now = process.clock.monotonic()
            if made.next_step(now) <= now:
                made.step(now)
                continue
            if made._commit_at == NEVER:
                return
            made.commit()
        raise AssertionError("the supervisor does not come to rest")

    def state_of(self, job_id: str) -> str | None:
        """Return the state of a parent; a file in pending/ of which it is not known what it will be has not ended."""
        if any(loose.name == job_id for loose in self.loose.values()):
            return "pending"
        job = self.by_id(job_id)
        return None if job is None else job.state

    def settled_by_parents(self) -> dict[str, Expected]:
        """Return what the jobs are once nothing is left to be decided."""
        jobs, now = dict(self.jobs), self.clock.now()
        by_id = {job.id: note for note, job in jobs.items()}

        def state_of(job_id: str) -> str | None:
            found = self.state_of(job_id)
            is_known = job_id in by_id and found == self.jobs[by_id[job_id]].state
            return jobs[by_id[job_id]].state if is_known else found

        has_changed = True
        while has_changed:
            has_changed = False
            for note, job in jobs.items():
                if job.parents:
                    jobs[note] = job.decided(now, job.verdict(state_of))
                    has_changed |= jobs[note] is not job
                    TALLY["a parent is missing"] += any(state_of(parent) is None for parent in job.parents)
        return jobs

    def resolve_decisions(self, verb: str, wanted: dict[str, Expected], began: float, *, was_cut_off: bool) -> None:
        """Go on with what was found, which has to be what was wanted; where a supervisor was cut off, or as it was."""
        found = places(self.spool)
        # The index knows the job, the disk a file with its name that will be another job or none.
        is_partial = was_cut_off or any(self.by_id(loose.name) for loose in self.loose.values())
        for note, job in list(self.jobs.items()):
            if not job.parents:
                continue
            end = wanted.get(note, job)
            options = {f"after {n}": each for n, each in enumerate(self.ways(job, end, began, is_whole=not is_partial))}
            if is_partial:
                options["before"] = job
                if job.state in WAITING and end.state == "dead":
                    options["after, details lost"] = replace(job, state="dead")
            here = found.get(note, [])
            fitting = [(name, each) for name, each in options.items() if here and self.is_like(each, here[0])]
            if not fitting:
                self.resolve(note, verb, options)
                continue
            name, self.jobs[note] = fitting[0]
            if end is not job:
                TALLY[f"{verb}: {name[:6].strip()}"] += 1
                if name.startswith("after"):
                    TALLY[
                        {"dead": "a child died", "cancelled": "a child is not needed"}.get(
                            end.state, "a child was revived"
                        )
                    ] += 1

    def ways(self, job: Expected, end: Expected, began: float, *, is_whole: bool) -> Iterable[Expected]:
        """Give the ways by which a job may have come to an end that its parents want; where not whole, also a part of it."""
        times = sorted({at + n for at in (began, self.clock.now() - LOOKS * AGAIN_S) for n in range(LOOKS + 1)})
        for at in times:
            yield job if end is job else self.once_more(job, end, at)
            turned = job
            for _ in range(MOST_TURNS):
                for to in self.turn(turned.state, end.state):
                    turned = turned.decided(at, to)
                    if turned is not job and (turned.state == end.state or not is_whole):
                        yield turned

    def once_more(self, job: Expected, end: Expected, at: float) -> Expected:
        verdict = {"dead": "fail", "cancelled": "skip"}.get(end.state, "start")
        return job.decided(at, verdict)

    def turn(self, state: str, end: str) -> tuple[str, ...]:
        """Say by which verdicts a job comes back to its state, or goes to `end` by a detour."""
        if state in WAITING:
            back = ("fail", "start")
            return back if end in WAITING else (*back, {"dead": "fail", "cancelled": "skip"}.get(end, "start"))
        return ("start", "fail") if end == "dead" else ("start", "fail", "start")

    # --- what may start

    def check_order(self, started: list[str]) -> None:
        """What a supervisor would start is what a person would, who looks at every job each time."""
        now = self.clock.now()
        taken: dict[str, int] = {}
        for job in self.jobs.values():
            if job.state == "processing":
                self.take(job, taken)
        before = dict(taken)
        for job_id in started:
            job = self.by_id(job_id)
            if job is None:
                assert any(loose.name == job_id for loose in self.loose.values()), job_id
                continue
            assert job.state in WAITING, job
            family = [(self.by_id(parent), self.state_of(parent)) for parent in job.after]
            assert self.may_seem_startable(job), f"{job} was started before its parents had ended: {family}"
            assert not self.is_paused(job), f"{job} was started although its queue is paused"
            assert self.is_never_enough(job) or self.has_room(job, taken), f"{job} was started over a limit"
            self.take(job, taken)
        waiting = [job for job in self.jobs.values() if job.state in ("pending", "failed")]
        if self.loose or self.writers or any(self.is_uncertain(job, now) for job in waiting):
            return
        taken, wanted = before, []
        for job in sorted(waiting, key=lambda job: (-job.priority, job.run_at, job.id)):
            if not job.is_due(now) or job.verdict(self.state_of) != "start" or self.is_paused(job):
                continue
            if self.is_never_enough(job) or self.has_room(job, taken):
                self.take(job, taken)
                wanted.append(job.id)
        assert started == wanted
        TALLY["an order was compared"] += len(wanted) > 1

    def may_seem_startable(self, job: Expected) -> bool:
        """A parent has ended; a file that has just taken its name in pending/ is seen by the claim."""
        states = {job.id: job.state for job in self.jobs.values()}
        return "start" in (job.verdict(self.state_of), job.verdict(states.get))

    def is_uncertain(self, job: Expected, now: float) -> bool:
        """Its place in the order depends on an mtime, on a clock that was set, or on half an entry that a crash has left."""
        is_from_future = job.run_at > now and (job.waits == "nobody" or job.run_at - now > BACKOFF_MAX_S)
        return (job.is_dropped and not job.events) or is_from_future or self.is_waited_for(job, now)

    def take(self, job: Expected, taken: dict[str, int]) -> None:
        for limit, (units, _) in job.demands().items():
            taken[limit] = taken.get(limit, 0) + units

    def has_room(self, job: Expected, taken: dict[str, int], kinds: tuple[str, ...] = ("",)) -> bool:
        demands = job.demands().items()
        return all(
            most is None or taken.get(limit, 0) + units <= most
            for limit, (units, most) in demands
            if limit.startswith(kinds)
        )

    def is_never_enough(self, job: Expected) -> bool:
        return any(most is not None and units > most for units, most in job.demands().values())

    def is_paused(self, job: Expected) -> bool:
        return bool(self.paused & {ALL_PAUSED, job.queue})

    def gate(self, job: Expected, now: float) -> tuple[str | None, Expected]:
        """Say why a claim of a job that is due is refused, and what the job is after it."""
        verdict = job.verdict(self.state_of)
        if verdict == "wait":
            return "after", job
        if verdict in ("fail", "skip"):
            return "moved", job.decided(now, verdict)
        if self.is_paused(job):
            return "paused", job
        if self.is_never_enough(job):
            TALLY["never enough"] += 1
            return "moved", job.never_enough(now)
        taken: dict[str, int] = {}
        for other in self.jobs.values():
            if other.state == "processing":
                self.take(other, taken)
        return (None if self.has_room(job, taken, ("lock/", "resource/")) else "limit"), job

    # --- what must hold

    def check_units(self) -> None:
        """No two jobs that run have the same unit of a resource."""
        given = set[tuple[str, int]]()
        for job_id in self.spool.ids(PROCESSING):
            job = None
            with suppress(QueueError):
                job = self.spool.read_in(PROCESSING, job_id)
            units = {(name, unit) for name, numbers in (job.units if job else {}).items() for unit in numbers}
            assert not given & units, f"{given & units} is given twice"
            given |= units
