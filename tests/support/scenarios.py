"""The verbs of the spool as short scenarios, each with what may have become of its jobs whenever it is cut off.

A scenario says, job by job, which states follow each other: `a=("pending", "completed")`. While it is played, a book kept
where no fault reaches notes how far each job was acknowledged. Whatever then happens to process or disk, each job has to
be found in the state that was acknowledged, or in the one that was being made.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from queuectl.clock import spell
from queuectl.config.settings import Settings
from queuectl.errors import Busy
from queuectl.job.fields import HOOKS as HOOK_NAMES
from queuectl.job.job import DEAD, DONE, PENDING, PROCESSING, Job
from queuectl.job.job_file import parse
from queuectl.scheduling.schedules import check
from queuectl.spool import batches, inputs, parents, pauses
from queuectl.spool.claim import Claim, SpoolFull
from queuectl.spool.group_commit import commit_group
from queuectl.spool.intake import ClaimRefused
from queuectl.spool.purge import Chosen, purge
from queuectl.spool.recovery import recover
from queuectl.spool.schedules import begin, tick
from tests.support import audit
from tests.support.clock import NOON
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from queuectl.spool.fs import Files

    Step = Callable[[Home], object]
    Verb = Callable[["Home", "Acknowledgements"], object]

IS_FULL = os.environ.get("QUEUECTL_SWEEP") == "full"
CROWD = "c."  # begins the notes of those who are busy meanwhile, of whom nobody knows how far they got
CROWDED = ("gone", "pending", "pending|failed", "completed", "gone")
ENDED = ("completed", "dead", "cancelled")
GARBAGE = "this was never a job"
INPUT = b"what the command reads\n" * 100
LONG = 10_000.0


def of_size(ci: int, full: int) -> int:
    """Return how many points to try."""
    return full if IS_FULL else ci


class Acknowledgements:
    """How far each job was acknowledged. The number of a step is that of a state in the fate of the job."""

    def __init__(self, fd: int | None = None) -> None:
        self.reached: dict[str, int] = {}
        self.listener: Callable[[str, int], None] | None = None
        self._fd = fd

    def note(self, note: str, step: int = 1) -> None:
        self.reached[note] = max(step, self.reached.get(note, 0))
        if self._fd is not None:
            os.write(self._fd, f"{note} {step}\n".encode())
        if self.listener is not None:
            self.listener(note, step)

    def read(self, path: Path) -> Acknowledgements:
        """Take in what others wrote down, each line by one write."""
        for line in path.read_text().splitlines():
            note, step = line.split()
            self.reached[note] = max(int(step), self.reached.get(note, 0))
        return self


class Scenario:
    """A verb and the fates of the jobs it touches, by the `note` that each of them carries.

    Args:
        prepare: brings a fresh home into the state before.
        verb: what is cut off; notes in the book what it has acknowledged.
        keeps: words that must stay in some file of the spool whatever happens.
        is_messy: files that are no jobs, or two files of one id, lie there from the beginning.
        fates: for each job the states it goes through, the first before the verb; "pending#2" bounds the number of
            attempts from below, "pending/mail" names the queue.
    """

    def __init__(
        self,
        prepare: Step,
        verb: Verb,
        *,
        keeps: tuple[str, ...] = (),
        is_messy: bool = False,
        **fates: tuple[str, ...],
    ) -> None:
        self.prepare = prepare
        self.verb = verb
        self.keeps = keeps
        self.is_messy = is_messy
        self.is_foreign = getattr(prepare, "is_foreign", False)  # others wrote something there, which nobody has synced
        self.fates: dict[str, tuple[str, ...]] = {**fates, "bystander": ("pending",), "past": ("completed",)}


# --- steps


def foreign(step: Step) -> Step:
    """Mark a step that does not go through the verbs of the spool."""
    step.is_foreign = True  # type: ignore[attr-defined]
    return step


def nothing(spool: Home) -> None:
    return


def put(state: str, **fields: Any) -> Step:
    return lambda spool: spool.put(state, **{"id": "a", "note": "a", **fields})


def drop(text: str | None = None, name: str = "a.json") -> Step:
    return foreign(lambda spool: spool.drop(name, text or '{"command":"true","note":"a"}'))


def dropped_text(length: int) -> str:
    """Return a job of so many bytes, the last of which is a line feed."""
    text = '{"command":"true","note":"a","pad":""}\n'
    return text.replace('""', f'"{"x" * (length - len(text))}"')


def expire(spool: Home) -> None:
    """Let whoever claims the job find that its time has passed."""
    assert isinstance(spool.claim("a", "w"), ClaimRefused)


def then(*steps: Step) -> Step:
    def run(spool: Home) -> None:
        for step in steps:
            step(spool)

    return foreign(run) if any(getattr(step, "is_foreign", False) for step in steps) else run


def started(spool: Home) -> None:
    spool.put("pending", id="a", note="a")
    spool.start("a").close()


def renamed(source: str, target: str) -> Step:
    return foreign(lambda spool: os.rename(spool.path(source, "a"), spool.path(target, "a")))


def linked(source: str, target: str) -> Step:
    return foreign(lambda spool: os.link(spool.path(source, "a"), spool.path(target, "a")))


def in_the_way(directory: str) -> Step:
    return foreign(lambda spool: spool.path(directory, "a").write_text('{"command":"true","note":"other"}'))


def three_started(spool: Home) -> None:
    for job_id in ("a", "b", "c"):
        spool.put("pending", id=job_id, note=job_id)
        spool.start(job_id).close()


HOOKS = dict.fromkeys(HOOK_NAMES, "true")


def with_hooks(spool: Home) -> None:
    spool.put("pending", id="a", note="a", **HOOKS)
    spool.start("a").close()


def three_with_hooks(spool: Home) -> None:
    for job_id in ("a", "b", "c"):
        spool.put("pending", id=job_id, note=job_id, **HOOKS)
        spool.start(job_id).close()


@foreign
def without_reports(spool: Home) -> None:
    """What a crash leaves between a verdict and its reports."""
    for name in os.listdir(spool.layout.hooks):
        os.unlink(f"{spool.layout.hooks}/{name}")


@foreign
def torn(spool: Home) -> None:
    path = spool.path(PROCESSING, "a")
    path.write_bytes(path.read_bytes()[:-3] + b',{"event":"completed","at":"20\0\0')


def with_belongings(spool: Home) -> None:
    for path in (spool.layout.output_of("a", 1), spool.layout.output_of("a", 1, "result"), spool.layout.input_of("a")):
        Path(path).write_text("x" * 2000)


def with_input(state: str) -> Step:
    """A job that has an input."""

    def run(spool: Home) -> None:
        spool.enqueue({"id": "a", "note": "a", "command": "cat"}, io.BytesIO(INPUT))
        if state == "completed":
            with spool.start("a") as claim:
                claim.finish({"exit_code": 0})

    return run


@foreign
def orphaned_input(spool: Home) -> None:
    """What a killed enqueue leaves."""
    Path(spool.layout.input_of("a")).write_bytes(b"half")


def long_history(directory: str) -> Step:
    """A job whose next growth compacts it."""

    def run(spool: Home) -> None:
        spool.put("pending", id="a", note="a")
        path = spool.path(PENDING, "a")
        record = parse(path.read_bytes())
        for number in range(1, 36):
            for entry in (
                {"event": "started", "attempt": number, "at": spell(NOON)},
                {"event": "failed", "at": spell(NOON), "run_at": spell(NOON), "error": "x" * 1900},
            ):
                if number < 35 or (directory == PROCESSING and entry["event"] == "started"):
                    record = record.grown(entry, record.growth(entry))
        path.write_bytes(record.body + record.tail)
        os.rename(path, spool.path(directory, "a"))

    return foreign(run)


# --- verbs


def enqueuing(*jobs: dict[str, Any]) -> Verb:
    def verb(spool: Home, book: Acknowledgements) -> None:
        for fields in jobs:
            spool.enqueue({"command": "true", **fields})
            book.note(fields["note"])

    return verb


def enqueuing_with_input(job: dict[str, Any]) -> Verb:
    def verb(spool: Home, book: Acknowledgements) -> None:
        spool.enqueue({"command": "cat", **job}, io.BytesIO(INPUT))
        book.note(job["note"])

    return verb


def enqueuing_many(*jobs: dict[str, Any]) -> Verb:
    def verb(spool: Home, book: Acknowledgements) -> None:
        for _ in spool.enqueue_many({"command": "true", **fields} for fields in jobs):
            continue
        for fields in jobs:
            book.note(fields["note"])

    return verb


def claiming(spool: Home, book: Acknowledgements) -> None:
    answer = spool.claim("a", "w")
    if isinstance(answer, Claim):
        answer.close()


def claiming_units(spool: Home, book: Acknowledgements) -> None:
    spool.settings = Settings.from_dict({**spool.settings.as_dict(), "resources": {"gpu": 2}})
    claiming(spool, book)


def settling_dependents(spool: Home, book: Acknowledgements) -> None:
    """What the supervisor does with jobs whose parent has failed."""
    with ExitStack() as stack:
        claims = []
        for job_id in ("a", "c"):
            claim = spool.take_in(PENDING, job_id)
            if claim is not None:
                stack.enter_context(claim)
                parents.settle(claim, parents.decide_by_files(spool, claim.job), commit=False)
                claims.append(claim)
        failed = commit_group(spool, claims)
        for claim in claims:
            if claim not in failed:
                book.note(claim.job.id)
        for error in failed.values():
            raise error


SCHEDULE = check("s", {"every": "1h", "job": {"command": "true", "note": "a"}})


def with_schedule(spool: Home) -> None:
    begin(spool, SCHEDULE, spool.clock.now())


def with_lost_marker(spool: Home) -> None:
    spool.put("completed", id="s@20270115T080000Z", note="b")


def ticking(spool: Home, book: Acknowledgements) -> None:
    """Add the job of a slot, as the supervisor does."""
    for ticked in tick(spool, {"s": SCHEDULE}, {}, spool.clock.now()):
        if ticked.error is not None:
            raise ticked.error
        if ticked.made:
            book.note("a")


def paused(spool: Home) -> None:
    pauses.pause(spool, "default")


def pausing(spool: Home, book: Acknowledgements) -> None:
    """Once a pause is acknowledged, nothing starts."""
    pauses.pause(spool, "default")
    assert isinstance(spool.claim("a", "w"), ClaimRefused)


def pausing_for_a_time(spool: Home, book: Acknowledgements) -> None:
    """A pause that is changed stops the starts all the time; a torn one lasts until it is resumed."""
    pauses.pause(spool, "default", spool.clock.now() + 60)
    assert isinstance(spool.claim("a", "w"), ClaimRefused)
    pauses.pause(spool, "default", spool.clock.now() + 3600, stops_running=True)
    assert isinstance(spool.claim("a", "w"), ClaimRefused)


def signalling(spool: Home, book: Acknowledgements) -> None:
    """What a worker writes when a pause stops its job, and when it is continued."""
    claim = spool.take_in(PROCESSING, "a")
    if claim is not None:
        with claim:
            claim.note_signal("SIGSTOP", "pause")
            claim.note_signal("SIGCONT", "pause")


def resuming(spool: Home, book: Acknowledgements) -> None:
    assert isinstance(spool.claim("a", "w"), ClaimRefused)
    pauses.resume(spool, "default")
    claiming(spool, book)


def running(spool: Home, book: Acknowledgements) -> None:
    """What a worker does with a job that completes."""
    answer = spool.claim("a", "w")
    if isinstance(answer, Claim):
        with answer:
            answer.finish_start()
            answer.finish({"exit_code": 0})
            book.note("a")


def claiming_durably(spool: Home, book: Acknowledgements) -> None:
    answer = spool.claim("a", "w")
    if isinstance(answer, Claim):
        with answer:
            spool.sync_started("a")
            book.note("a")


def taking(change: Callable[[Claim], object], directory: str | None = None) -> Verb:
    """Lock, change, acknowledge."""

    def verb(spool: Home, book: Acknowledgements) -> None:
        claim = spool.take("a") if directory is None else spool.take_in(directory, "a")
        if claim is not None:
            with claim:
                change(claim)
                book.note("a")

    return verb


def settling(change: Callable[[Claim], object]) -> Verb:
    """Settle what was started, as a worker does: he keeps the job and calls again as long as the disk refuses."""

    def verb(spool: Home, book: Acknowledgements) -> None:
        claim = spool.take_in(PROCESSING, "a")
        if claim is None:
            return
        with claim:
            for patience in (2, 1, 0):
                try:
                    change(claim)
                    break
                except (SpoolFull, OSError):
                    if patience == 0:
                        raise
            book.note("a")

    return verb


def settling_many(spool: Home, book: Acknowledgements) -> None:
    """Settle three jobs together, as a worker does; what the disk refuses is tried again."""
    verdicts = {
        "a": lambda claim: claim.finish({}, commit=False),
        "b": lambda claim: claim.reschedule("failed", NOON, FAILED, commit=False),
        "c": lambda claim: claim.move_to_dead("x", FAILED, commit=False),
    }
    with ExitStack() as stack:
        claims = []
        for job_id in verdicts:
            claim = spool.take_in(PROCESSING, job_id)
            if claim is not None:
                claims.append(stack.enter_context(claim))
        for _ in range(3):
            refused: dict[Claim, Exception] = {}
            for claim in claims:
                try:
                    verdicts[claim.job.id](claim)
                except (SpoolFull, OSError) as error:
                    refused[claim] = error
            refused |= commit_group(spool, [claim for claim in claims if claim not in refused])
            for claim in claims:
                if claim not in refused:
                    book.note(claim.job.id)
            claims = [*refused]
        for error in refused.values():
            raise error


def completing(spool: Home, book: Acknowledgements) -> None:
    """What maintenance does with a batch of which all jobs have ended."""
    fd = batches.take(spool, "b")
    assert fd is not None
    try:
        note = batches.note_of(spool, "b")
        if note is None:
            batches.complete(spool, "b", {"command": "true", "note": "done"}, {"completed": 1})
        else:
            batches.publish(spool, "b", note["job"])
        book.note("done")
    finally:
        spool.files.close(fd)


def recovering(spool: Home, book: Acknowledgements) -> None:
    left = [found for found in recover(spool, lambda job: False) if found.result == "owned"]
    if not left:
        book.note("a")


def examining(name: str) -> Verb:
    return lambda spool, book: spool.examine(name)


def begun(spool: Home) -> Claim:
    answer = spool.claim("a", "w")
    if not isinstance(answer, Claim):
        raise Busy(f"not now: {answer}")
    return answer


def living(spool: Home, book: Acknowledgements) -> None:
    """From the cradle to the grave: 1 pending, 2 started, 3 failed, 4 held, 5 released, 6 dead, 7 revived, 8 completed, 9 gone."""
    spool.enqueue({"id": "a", "command": "true", "note": "a"})
    book.note("a", 1)
    with begun(spool) as claim:
        spool.sync_started("a")
        book.note("a", 2)
        claim.reschedule("failed", NOON, FAILED)
        book.note("a", 3)
    with spool.take("a") as claim:
        claim.hold()
        book.note("a", 4)
        claim.release()
        book.note("a", 5)
    with begun(spool) as claim:
        claim.move_to_dead("retries_exhausted", FAILED)
        book.note("a", 6)
    with spool.take("a") as claim:
        claim.revive()
        book.note("a", 7)
    with begun(spool) as claim:
        claim.finish({"exit_code": 0})
        book.note("a", 8)
    with spool.take("a") as claim:
        claim.delete()
        book.note("a", 9)


def purging(spool: Home, book: Acknowledgements) -> None:
    found = [(job_id, spool.find(job_id)) for job_id in ("a", "b", "c")]
    chosen = [Chosen(job_id, where, spool.read(job_id).updated_at) for job_id, where in found if where]
    for group in purge(spool, chosen):
        for job_id in group.ids:
            book.note(job_id)
        for _, error in group.failed:
            raise error


def indexing(*, full: bool = False) -> Verb:
    def verb(spool: Home, book: Acknowledgements) -> None:
        from queuectl.index.sync import catch_up

        for _ in catch_up(spool, full=full):
            continue

    return verb


@foreign
def with_changes_to_index(spool: Home) -> None:
    """An index that is current, and then changes in place and in directories."""
    spool.announce = True
    spool.put("pending", id="a", note="a")
    spool.put("failed", id="b", note="b")
    indexing()(spool, Acknowledgements())
    with spool.take("b") as claim:
        claim.hold()
    with spool.take("a") as claim:
        claim.edit({"queue": "mail"})
    spool.put("completed", id="c", note="c")
    spool.drop("d.json", '{"command":"true","note":"d"}')


LONG_AGO = "2026-01-01T00:00:00Z"
FAILED = {"exit_code": 1, "error": "no"}
JOBS = tuple({"note": f"n{number}"} for number in range(4))
NAMED_JOBS = ({"note": "n0", "id": "a"}, {"note": "n1", "id": "b"})

SCENARIOS: dict[str, Scenario] = {
    "enqueue": Scenario(nothing, enqueuing({"note": "a"}), a=("gone", "pending")),
    "enqueue with an id": Scenario(nothing, enqueuing({"note": "a", "id": "a"}), a=("gone", "pending")),
    "enqueue what exists": Scenario(
        put("completed"), enqueuing({"note": "z", "id": "a"}), a=("completed",), z=("gone",)
    ),
    "enqueue with input": Scenario(nothing, enqueuing_with_input({"note": "a"}), a=("gone", "pending")),
    "enqueue with input and an id": Scenario(
        nothing, enqueuing_with_input({"note": "a", "id": "a"}), a=("gone", "pending")
    ),
    "enqueue with an input that is there": Scenario(
        orphaned_input, enqueuing_with_input({"note": "a", "id": "a"}), a=("gone", "pending")
    ),
    "enqueue with input what exists": Scenario(
        with_input("completed"), enqueuing_with_input({"note": "z", "id": "a"}), a=("completed",), z=("gone",)
    ),
    "enqueue many": Scenario(nothing, enqueuing_many(*JOBS), **{job["note"]: ("gone", "pending") for job in JOBS}),
    "enqueue many with ids": Scenario(
        nothing, enqueuing_many(*NAMED_JOBS), **{job["note"]: ("gone", "pending") for job in NAMED_JOBS}
    ),
    "claim": Scenario(put("pending"), claiming, a=("pending",)),
    "claim and sync the start": Scenario(put("pending"), claiming_durably, a=("pending", "pending#1")),
    "claim a retry": Scenario(put("failed"), claiming, a=("failed|pending",)),
    "claim a dropped file": Scenario(drop(), claiming, a=("pending",)),
    "claim a dropped file in a sector's way": Scenario(
        drop('{"command":"true","note":"a","pad":"' + "x" * 468 + '"}'), claiming, a=("pending",)
    ),
    "claim a linked file": Scenario(
        then(drop(), lambda spool: os.link(spool.path(PENDING, "a"), f"{spool.layout.home}/link")),
        claiming,
        a=("pending",),
    ),
    "claim a promise under another name": Scenario(
        drop('{"id":"b","command":"true","note":"a"}'), claiming, a=("pending",)
    ),
    "claim what has ended": Scenario(then(put("completed"), renamed(DONE, PENDING)), claiming, a=("completed",)),
    "claim what has expired": Scenario(put("pending", expires_at=LONG_AGO), claiming, a=("pending|dead",)),
    **{
        f"run a dropped file, {length} bytes": Scenario(drop(dropped_text(length)), running, a=("pending", "completed"))
        for length in (60, 505, 511, 512, 513)
    },
    "claim a lost start": Scenario(then(started, renamed(PROCESSING, PENDING)), claiming, a=("pending",)),
    "claim one of two names": Scenario(then(put("completed"), linked(DONE, PENDING)), claiming, a=("completed",)),
    "claim with a lock and units": Scenario(
        put("pending", lock="db", needs={"gpu": 2}), claiming_units, a=("pending",)
    ),
    "claim what comes after": Scenario(put("pending", after=["past"]), claiming, a=("pending",)),
    "claim what comes after a failure": Scenario(
        then(put("dead", id="b", note="b"), put("pending", after=["b"])), claiming, a=("pending|dead",), b=("dead",)
    ),
    "claim what is not needed": Scenario(
        put("pending", after=["past"], after_policy="failure"), claiming, a=("pending|cancelled",)
    ),
    "settle dependents": Scenario(
        then(put("dead", id="b", note="b"), *(put("pending", id=each, note=each, after=["b"]) for each in "ac")),
        settling_dependents,
        a=("pending", "dead"),
        b=("dead",),
        c=("pending", "dead"),
    ),
    "enqueue what comes after": Scenario(nothing, enqueuing({"note": "a", "after": ["past"]}), a=("gone", "pending")),
    "pause": Scenario(put("pending"), pausing, a=("pending",)),
    "pause for a time": Scenario(put("pending"), pausing_for_a_time, a=("pending",)),
    "signal": Scenario(started, signalling, a=("pending",)),
    "resume": Scenario(then(put("pending"), paused), resuming, a=("pending",)),
    "finish": Scenario(started, settling(lambda c: c.finish({"exit_code": 0})), a=("pending", "completed")),
    "reschedule": Scenario(started, settling(lambda c: c.reschedule("failed", NOON, FAILED)), a=("pending", "failed")),
    "snooze": Scenario(started, settling(lambda c: c.reschedule("snoozed", NOON, {})), a=("pending", "pending#1")),
    "bury": Scenario(started, settling(lambda c: c.move_to_dead("x", FAILED)), a=("pending", "dead")),
    "cancel what runs": Scenario(started, settling(lambda c: c.cancel({"exit_code": 143})), a=("pending", "cancelled")),
    "interrupt": Scenario(started, settling(lambda c: c.interrupt("gone")), a=("pending", "pending#1")),
    "finish many": Scenario(
        three_started, settling_many, a=("pending", "completed"), b=("pending", "failed"), c=("pending", "dead")
    ),
    "finish with a hook": Scenario(
        with_hooks, settling(lambda c: c.finish({"exit_code": 0})), a=("pending", "completed")
    ),
    "bury with hooks": Scenario(with_hooks, settling(lambda c: c.move_to_dead("x", FAILED)), a=("pending", "dead")),
    "reschedule with a hook": Scenario(
        with_hooks, settling(lambda c: c.reschedule("failed", NOON, FAILED)), a=("pending", "failed")
    ),
    "cancel with a hook": Scenario(put("pending", **HOOKS), taking(lambda c: c.cancel()), a=("pending", "cancelled")),
    "claim what has expired, with a hook": Scenario(
        put("pending", expires_at=LONG_AGO, **HOOKS), claiming, a=("pending|dead",)
    ),
    "finish many with hooks": Scenario(
        three_with_hooks, settling_many, a=("pending", "completed"), b=("pending", "failed"), c=("pending", "dead")
    ),
    "enqueue into a batch": Scenario(
        nothing, enqueuing({"note": "a", "batch": "b", "on_batch_done": "true"}), a=("gone", "pending")
    ),
    "finish a dropped file of a batch": Scenario(
        then(
            drop('{"command":"true","note":"a","batch":"b","on_batch_done":"true"}'),
            lambda spool: spool.start("a").close(),
        ),
        settling(lambda c: c.finish({"exit_code": 0})),
        a=("pending", "completed"),
    ),
    "complete a batch": Scenario(
        put("completed", batch="b", on_batch_done="true"), completing, a=("completed",), done=("gone", "pending")
    ),
    "recover a verdict that calls a hook": Scenario(
        then(put("completed", **HOOKS), without_reports, renamed(DONE, PROCESSING)), recovering, a=("completed",)
    ),
    "put back": Scenario(
        then(put("pending"), renamed(PENDING, PROCESSING)), settling(lambda c: c.put_back()), a=("pending",)
    ),
    "finish with somebody in the way": Scenario(
        then(started, in_the_way(DONE)),
        settling(lambda c: c.finish({"exit_code": 0})),
        is_messy=True,
        keeps=('"note":"other"', '"note":"a"'),
        a=("pending|gone", "completed"),  # once it waits again, whoever lies in done/ is the earlier job of its name
        other=("completed|gone",),
    ),
    "reschedule with somebody in the way": Scenario(
        then(started, in_the_way(PENDING)),
        settling(lambda c: c.reschedule("failed", NOON, FAILED)),
        is_messy=True,
        a=("pending", "failed"),
        other=("pending|gone",),
        keeps=('"note":"other"',),
    ),
    "compact at a finish": Scenario(
        long_history(PROCESSING), settling(lambda c: c.finish({"exit_code": 0})), a=("pending", "completed")
    ),
    "compact at a claim": Scenario(long_history(PENDING), claiming, a=("failed|pending",)),
    "compact at a hold": Scenario(long_history(PENDING), taking(lambda c: c.hold()), a=("failed", "held")),
    "finish what was torn": Scenario(
        then(started, torn), settling(lambda c: c.finish({"exit_code": 0})), a=("pending", "completed")
    ),
    "cancel": Scenario(put("pending"), taking(lambda c: c.cancel()), a=("pending", "cancelled")),
    "cancel a dropped file": Scenario(drop(), taking(lambda c: c.cancel()), a=("pending", "cancelled")),
    "hold": Scenario(put("failed"), taking(lambda c: c.hold()), a=("failed", "held")),
    "hold a dropped file": Scenario(drop(), taking(lambda c: c.hold()), a=("pending", "held")),
    "release": Scenario(put("held"), taking(lambda c: c.release()), a=("held", "pending")),
    "edit": Scenario(put("pending"), taking(lambda c: c.edit({"queue": "mail"})), a=("pending", "pending/mail")),
    "edit much": Scenario(
        put("held"),
        taking(lambda c: c.edit({"queue": "mail", "env": {"A": "x" * 3000}})),
        a=("held", "held/mail"),
    ),
    "run now": Scenario(put("failed"), taking(lambda c: c.run_now()), a=("failed", "pending")),
    "revive the dead": Scenario(put("dead"), taking(lambda c: c.revive()), a=("dead", "pending")),
    "revive the completed": Scenario(put("completed"), taking(lambda c: c.revive()), a=("completed", "pending")),
    "revive what has expired": Scenario(
        then(put("pending", expires_at=LONG_AGO), expire), taking(lambda c: c.revive()), a=("dead", "pending")
    ),
    "revive with somebody in the way": Scenario(
        then(put("dead"), in_the_way(PENDING)),
        taking(lambda c: c.revive(), DEAD),
        is_messy=True,
        a=("dead", "pending"),
        other=("pending|gone",),
        keeps=('"note":"other"',),
    ),
    "delete what waits": Scenario(put("pending"), taking(lambda c: c.delete()), a=("pending", "gone")),
    "delete what has ended": Scenario(
        then(put("completed"), with_belongings), taking(lambda c: c.delete()), a=("completed", "gone")
    ),
    "delete what waits with its input": Scenario(
        with_input("pending"), taking(lambda c: c.delete()), a=("pending", "gone")
    ),
    "purge with an input": Scenario(
        then(with_input("completed"), lambda spool: spool.put("dead", id="b", note="b")),
        purging,
        a=("completed", "gone"),
        b=("dead", "gone"),
    ),
    "purge": Scenario(
        then(
            put("completed"),
            with_belongings,
            lambda spool: (spool.put("dead", id="b", note="b"), spool.put("pending", id="c", note="c")),
        ),
        purging,
        a=("completed", "gone"),
        b=("dead", "gone"),
        c=("pending", "gone"),
    ),
    "recover a start": Scenario(started, recovering, a=("pending", "pending#1")),
    "recover a claim": Scenario(then(put("pending"), renamed(PENDING, PROCESSING)), recovering, a=("pending",)),
    "recover a verdict": Scenario(then(put("completed"), renamed(DONE, PROCESSING)), recovering, a=("completed",)),
    "recover a torn verdict": Scenario(then(started, torn), recovering, a=("pending", "pending#1")),
    "recover two names": Scenario(then(put("completed"), linked(DONE, PROCESSING)), recovering, a=("completed",)),
    "recover garbage": Scenario(
        then(drop(GARBAGE), renamed(PENDING, PROCESSING)), recovering, is_messy=True, keeps=(GARBAGE,), a=("gone",)
    ),
    "set garbage aside": Scenario(drop(GARBAGE), examining("a.json"), is_messy=True, keeps=(GARBAGE,), a=("gone",)),
    "set a bad name aside": Scenario(
        drop(GARBAGE, "a b.json"), examining("a b.json"), is_messy=True, keeps=(GARBAGE,), a=("gone",)
    ),
    "index anew": Scenario(
        then(put("dead"), lambda spool: spool.put("held", id="b", note="b")), indexing(), a=("dead",), b=("held",)
    ),
    "index what changed": Scenario(
        with_changes_to_index,
        indexing(),
        a=("pending/mail",),
        b=("held",),
        c=("completed",),
        d=("pending",),
    ),
    "add the job of a slot": Scenario(with_schedule, ticking, a=("gone", "pending")),
    "add the job of a slot after a lost marker": Scenario(
        with_lost_marker, ticking, a=("gone", "pending"), b=("completed",)
    ),
    "a whole life": Scenario(
        nothing,
        living,
        a=(
            *("gone", "pending", "pending#1", "failed", "held", "pending#1"),
            *("dead", "pending#2", "completed", "gone"),
        ),
    ),
}


# --- playing


def set_up_scenario(path: Path, scenario: Scenario, settled: Callable[[], object] = bool) -> Home:
    """Return a home in the state before the verb, everything acknowledged; `settled` is called while it is empty."""
    spool = Home(path, durability="full")
    settled()
    spool.put("pending", id="bystander", note="bystander")
    spool.put("completed", id="past", note="past")
    scenario.prepare(spool)
    spool.clock.advance(3600)  # retries are due, and files are still
    return spool


def seen_by(spool: Home, files: Files | None = None, **settings: Any) -> Home:
    """Return the same spool as another process sees it."""
    made = Home(Path(spool.layout.home), files=files, announce=True, **{"durability": "full", **settings})
    made.clock = spool.clock
    made.patience = 1
    return made


def judge(
    spool: Home,
    scenario: Scenario,
    reached: Mapping[str, int],
    *,
    may_lose_details: bool = False,
    index: bool = False,
) -> None:
    """Recover, audit, let everything run to its end, audit again.

    Args:
        may_lose_details: the disk was full, so a verdict may have moved the file without being written.
    """
    audit.mend(spool)
    jobs = by_note(spool)
    crowd = {note: CROWDED for note in {*jobs, *reached} if note.startswith(CROWD)}
    for note, states in {**scenario.fates, **crowd}.items():
        step = min(reached.get(note, 0), len(states) - 1)
        job = jobs.get(note)
        allowed = states[step:] if note in crowd else states[step : step + 2]
        assert any(matches(job, word) for state in allowed for word in state.split("|")), (
            f"{note} is {described(job)}; {step} steps were acknowledged of {states}\n{tree(spool)}"
        )
        if job is not None and job.state == "completed" and not may_lose_details and not scenario.is_messy:
            events = {entry["event"] for entry in job.history}
            assert events & {"completed", "compacted"}, f"{note} has lost its verdict\n{tree(spool)}"
    check_inputs(spool, jobs)
    unknown = set(jobs) - set(scenario.fates) - set(crowd)
    assert not unknown, f"nobody knows {unknown}\n{tree(spool)}"
    for words in scenario.keeps:
        assert words in tree(spool, 1 << 20), f"{words} was thrown away\n{tree(spool)}"
    if index:
        check_index(spool)
    ended = {note for note, job in jobs.items() if job.directory in (DONE, DEAD)}
    run_on(spool)
    after = by_note(spool)
    for note, job in jobs.items():
        if note in ended:
            assert described(after.get(note)) == described(job), f"{note} went on after its end\n{tree(spool)}"
        elif note != "other":
            assert described(after.get(note)).startswith(ENDED), f"{note} never ended\n{tree(spool)}"


def check_inputs(spool: Home, jobs: Mapping[str, Job]) -> None:
    """Every job has its input, whole; what maintenance would leave belongs to a job."""
    for job in jobs.values():
        if job.fields.get("stdin") == "input":
            path = Path(spool.layout.input_of(job.id))
            assert path.exists(), f"{job.id} has lost its input\n{tree(spool)}"
            assert path.read_bytes() == INPUT, f"{job.id} has another input\n{tree(spool)}"
    for name in os.listdir(spool.layout.input):
        inputs.remove_orphan(spool, name)
    alone = set(os.listdir(spool.layout.input)) - {job.id for job in jobs.values()}
    assert not alone, f"input without a job: {alone}"


def by_note(spool: Home) -> dict[str, Job]:
    """Return the jobs by their notes; no two have the same."""
    found: dict[str, Job] = {}
    for job in audit.check_mended(spool).values():
        note = str(job.fields.get("note"))
        assert note not in found, f"{note} is there twice: {found[note].id}, {job.id}\n{tree(spool)}"
        found[note] = job
    return found


def matches(job: Job | None, word: str) -> bool:
    if job is None:
        return word == "gone"
    state, _, attempts = word.partition("#")
    state, _, queue = state.partition("/")
    return job.state == state and job.attempts >= int(attempts or 0) and job.queue == (queue or job.queue)


def described(job: Job | None) -> str:
    return "gone" if job is None else f"{job.state}#{job.attempts}/{job.queue} after {job.last_event or 'nothing'}"


def run_on(spool: Home) -> None:
    """Let everything that waits run to its end."""
    for name in pauses.paused(spool):
        pauses.resume(spool, name)
    for _ in range(10):
        waiting = list(spool.ids(PENDING))
        if not waiting:
            return
        for job_id in waiting:
            answer = spool.claim(job_id, "w")
            if isinstance(answer, Claim):
                with answer:
                    answer.finish({"exit_code": 0})
            elif answer.reason == "held":
                with spool.take(job_id) as claim:
                    claim.release()
        spool.clock.advance(LONG)
    raise AssertionError(f"{waiting} never end\n{tree(spool)}")


def check_index(spool: Home) -> None:
    """The index, brought up to date, is what the spool says, row for row."""
    from queuectl.index.reader import Reader
    from queuectl.index.rebuild import verify
    from queuectl.index.sync import catch_up

    for _ in catch_up(spool):
        continue
    with Reader(spool.layout.index) as reader:
        wrong = [str(difference) for difference in verify(spool, reader) if difference is not None]
    assert not wrong, wrong


def tree(spool: Home, width: int = 300) -> str:
    lines = []
    for path in sorted(Path(spool.layout.spool).rglob("*")):
        if path.is_file() and not path.name.startswith(CROWD):
            text = path.read_bytes()[-width:].decode("utf-8", "backslashreplace")
            lines.append(f"{path.relative_to(spool.layout.spool)}: {json.dumps(text) if width < 1000 else text}")
    return "\n".join(lines)
