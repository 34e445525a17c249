"""The verbs as actors, all on job "a" unless they say otherwise."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from queuectl.errors import NotFound
from queuectl.index.sync import catch_up
from queuectl.job.history import DEAD, DONE, PENDING
from queuectl.spool import parents, pauses
from queuectl.spool.claim import Claim
from queuectl.spool.purge import Chosen, purge
from queuectl.spool.recovery import reclaim
from tests.interleave.explore import LOCKED

if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.spool.spool import Spool
    from tests.interleave.scheduler import Do, Program
    from tests.support.spools import Home

DROPPED = "dropped"
FAILED = {"exit_code": 1, "error": "no"}


def one(label: str, call: Callable[[Spool], object]) -> Program:
    """An actor with one step."""
    return lambda spool, do: do(label, lambda: call(spool))


def claiming(
    job_id: str = "a", end: Callable[[Claim], object] = lambda claim: claim.finish({"exit_code": 0})
) -> Program:
    """What a worker does: claim, then settle."""

    def program(spool: Spool, do: Do) -> None:
        claim = do("claim", lambda: spool.claim(job_id, "w"))
        if isinstance(claim, Claim):
            do("settle", lambda: _settle(claim, end))

    return program


def _settle(claim: Claim, end: Callable[[Claim], object]) -> object:
    with claim:
        claim.finish_start()
        return end(claim)


def taking(label: str, change: Callable[[Claim], object], job_id: str = "a") -> Program:
    """Lock a job and change it."""

    def call(spool: Spool) -> object:
        with spool.take(job_id) as claim:
            return change(claim)

    return one(label, call)


def enqueuing(**fields: Any) -> Program:
    return one("enqueue", lambda spool: spool.enqueue({"command": "true", **fields}))


def enqueuing_many(*jobs: dict[str, Any]) -> Program:
    def call(spool: Spool) -> object:
        return [
            answer if isinstance(answer, str) else type(answer).__name__
            for answer in spool.enqueue_many({"command": "true", **fields} for fields in jobs)
        ]

    return one("enqueue many", call)


def dropping_by_link(text: str = '{"command":"true"}', name: str = "a.json") -> Program:
    """What another program does: writes a file elsewhere and links it into pending/."""

    def call(spool: Spool, files: Any) -> None:
        source = f"{spool.layout.tmp}/dropped-{threading.current_thread().name}"
        fd = files.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        files.write(fd, text.encode(), 0)
        files.close(fd)
        files.link(source, f"{spool.layout.directory(PENDING)}/{name}")
        files.unlink(source)

    return one("drop by link", lambda spool: _tolerant(lambda: call(spool, spool.files)))


def dropping_by_rename(text: str = '{"command":"true"}', name: str = "a.json") -> Program:
    """The same with rename(2) without overwriting, as mv -n does."""

    def call(spool: Spool, files: Any) -> None:
        source = f"{spool.layout.tmp}/dropped-{threading.current_thread().name}"
        fd = files.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        files.write(fd, text.encode(), 0)
        files.close(fd)
        files.move(source, f"{spool.layout.directory(PENDING)}/{name}")

    return one("drop by rename", lambda spool: _tolerant(lambda: call(spool, spool.files)))


def dropping_in_place(text: str = '{"command":"true"}', name: str = "a.json") -> Program:
    """What cp does: creates the name, then writes in parts; others may see each part."""

    def program(spool: Spool, do: Do) -> None:
        files, half, opened = spool.files, len(text) // 2, []

        def create() -> None:
            path = f"{spool.layout.directory(PENDING)}/{name}"
            opened.append(files.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

        if do("create", lambda: _tolerant(create)) == DROPPED:
            do("write a half", lambda: files.write(opened[0], text[:half].encode(), 0))
            do("write the rest", lambda: files.write(opened[0], text[half:].encode(), half))
            do("close", lambda: files.close(opened[0]))

    return program


def _tolerant(call: Callable[[], object]) -> str:
    try:
        call()
    except FileExistsError:
        return "name is taken"
    return DROPPED


def recovering(job_id: str = "a") -> Program:
    """What the supervisor does when a worker has died; no run is alive."""
    return one("recover", lambda spool: reclaim(spool, job_id, lambda job: False))


def examining(name: str = "a.json") -> Program:
    def call(spool: Spool) -> object:
        found = spool.examine(name)
        return "a job" if not hasattr(found, "reason") else found

    return one("examine", call)


def purging(*chosen: tuple[str, str]) -> Program:
    """Purge jobs as they were when they were chosen: (directory, id)."""

    def call(spool: Spool) -> object:
        seen = [Chosen(job_id, directory, spool.clock.now() - 3600) for directory, job_id in chosen]
        removed = next(iter(purge(spool, seen, awaited=lambda ids: _parents(spool) & {*ids})))
        return sorted(removed.ids) or LOCKED

    return one("purge", call)


def _parents(spool: Spool) -> set[str]:
    """Return the jobs that waiting jobs come after."""
    found: set[str] = set()
    for job_id in spool.ids(PENDING):
        with suppress(NotFound):
            found.update(spool.read(job_id).parents)
    return found


def indexing(spool: Spool, do: Do) -> None:
    """What a reader does first."""
    do("index", lambda: [*catch_up(spool)] and None)


def _pause(spool: Spool) -> None:
    pauses.pause(spool, "default")  # of two at once, both may return that they did it


def pausing(spool: Spool, do: Do) -> None:
    do("pause", lambda: _pause(spool))


def resuming(spool: Spool, do: Do) -> None:
    do("resume", lambda: pauses.resume(spool, "default"))


def settling_by_parents(job_id: str = "a") -> Program:
    """What the supervisor does with a job whose parents have changed."""

    def call(spool: Spool) -> object:
        claim = spool.take_in(PENDING, job_id)
        if claim is None:
            return "not there"
        with claim:
            if not claim.job.parents:
                return "no parents"
            decision = parents.decide_by_files(spool, claim.job)
            parents.settle(claim, decision)
            return str(decision.verdict)

    return one("settle by parents", call)


FINISH = claiming()
FAIL = claiming(end=lambda claim: claim.reschedule("failed", 1_800_010_000.0, FAILED))
BURY = claiming(end=lambda claim: claim.move_to_dead("retries_exhausted", FAILED))
CANCEL = taking("cancel", lambda claim: claim.cancel())
HOLD = taking("hold", lambda claim: claim.hold())
RELEASE = taking("release", lambda claim: claim.release())
EDIT = taking("edit", lambda claim: claim.edit({"queue": "mail"}))
EDIT_PRIORITY = taking("edit priority", lambda claim: claim.edit({"priority": 5}))
RUN_NOW = taking("run now", lambda claim: claim.run_now())
REVIVE = taking("revive", lambda claim: claim.revive())
DELETE = taking("delete", lambda claim: claim.delete())
VERBS: dict[str, Program] = {
    "finish": FINISH,
    "fail": FAIL,
    "bury": BURY,
    "cancel": CANCEL,
    "hold": HOLD,
    "release": RELEASE,
    "edit": EDIT,
    "edit priority": EDIT_PRIORITY,
    "run now": RUN_NOW,
    "revive": REVIVE,
    "delete": DELETE,
    "enqueue": enqueuing(id="a"),
    "enqueue many": enqueuing_many({"id": "a"}, {"id": "b"}),
    "drop by link": dropping_by_link(),
    "drop by rename": dropping_by_rename(),
    "drop in place": dropping_in_place(),
    "recover": recovering(),
    "examine": examining(),
    "purge done": purging((DONE, "a")),
    "purge dead": purging((DEAD, "a")),
    "purge pending": purging((PENDING, "a")),
    "pause": pausing,
    "resume": resuming,
}
STATES = ("pending", "held", "failed", "completed", "dead")
# While a job returns to pending/, another program takes its name there: the other file gets a new id (FORMAT.md
# § Moving), which it would have after neither order. That both are there in the end is checked all the same.
DISPLACED = frozenset(("revive", "drop by link", "drop by rename", "drop in place"))


def put(state: str, **fields: Any) -> Callable[[Home], object]:
    """A home with one job."""
    return lambda home: home.put(state, **{"id": "a", **fields})


def two(**fields: Any) -> Callable[[Home], object]:
    """A home with two waiting jobs alike."""
    return lambda home: [home.put("pending", id=job_id, **fields) for job_id in "ab"]


def family(state: str = "pending", **fields: Any) -> Callable[[Home], object]:
    """A parent "p" in some state, and its child "a"."""
    return lambda home: (home.put(state, id="p"), home.put("pending", id="a", after=["p"], **fields))


class Contention:
    """Actors that want the same thing.

    Args:
        is_linear: as of Exploration.
    """

    def __init__(
        self, prepare: Callable[[Home], object], *actors: Program, is_linear: bool = True, **settings: Any
    ) -> None:
        self.prepare = prepare
        self.is_linear = is_linear
        self.actors = actors
        self.settings = settings


def nothing(home: Home) -> None:
    return


def with_notes(home: Home) -> None:
    """An index that is current, and after it a change in place."""
    for job_id in "ab":
        home.put("pending", id=job_id)
    for _ in catch_up(home):
        continue
    with home.take("b") as claim:
        claim.hold()


DROP_NAMED = dropping_by_link('{"command":"true","id":"a"}', "x.json")
CONTENTIONS: dict[str, Contention] = {
    "one id, two enqueues": Contention(nothing, enqueuing(id="a"), enqueuing(id="a")),
    "one id, enqueue and a dropped file that claims it": Contention(nothing, enqueuing(id="a"), DROP_NAMED),
    # The second file may get the name while the first one ends: it is rejected when it is looked at again.
    "one id, claims of two files": Contention(
        lambda home: (home.drop("x.json", '{"command":"true","id":"a"}'), home.put("pending", id="a")),
        claiming("x"),
        claiming("a"),
        is_linear=False,
    ),
    "one lock": Contention(two(lock="db"), claiming("a"), claiming("b")),
    "one unit": Contention(two(needs={"gpu": 1}), claiming("a"), claiming("b"), resources={"gpu": 1}),
    "two units": Contention(two(needs={"gpu": 1}), claiming("a"), claiming("b"), resources={"gpu": 2}),
    "a lock and a cancel": Contention(two(lock="db"), claiming("a"), taking("cancel", lambda c: c.cancel(), "b")),
    "a parent that completes": Contention(family(), claiming("p"), claiming("a")),
    "a parent that dies": Contention(
        family(), claiming("p", lambda claim: claim.move_to_dead("retries_exhausted", FAILED)), settling_by_parents()
    ),
    "a dead parent that is revived": Contention(
        family("dead"), taking("revive", lambda claim: claim.revive(), "p"), settling_by_parents()
    ),
    "a parent that is deleted": Contention(
        family("completed"), taking("delete", lambda claim: claim.delete(), "p"), claiming("a")
    ),
    "a parent that is purged, and a new child": Contention(
        lambda home: home.put("completed", id="p"), purging((DONE, "p")), enqueuing(id="a", after=["p"])
    ),
    "a pause and a claim": Contention(put("pending"), pausing, FINISH),
    "a pause that ends and a claim": Contention(
        lambda home: (home.put("pending", id="a"), pauses.pause(home, "default")), resuming, FINISH
    ),
    "an index and a hold": Contention(lambda home: (home.put("pending", id="a"), [*catch_up(home)]), indexing, HOLD),
    "an index that reads notes, and an edit": Contention(
        with_notes, indexing, taking("edit", lambda claim: claim.edit({"queue": "mail"}))
    ),
    "an index and a claim": Contention(lambda home: (home.put("pending", id="a"), [*catch_up(home)]), indexing, FINISH),
    "an index and a delete": Contention(
        lambda home: (home.put("pending", id="a"), [*catch_up(home)]), indexing, DELETE
    ),
    "bulk enqueue and a claim": Contention(nothing, enqueuing_many({"id": "a"}, {"id": "b"}), claiming("b")),
    # Each job is enqueued on its own: both may get one of the two names.
    "two bulk enqueues": Contention(
        nothing,
        enqueuing_many({"id": "a"}, {"id": "b"}),
        enqueuing_many({"id": "b"}, {"id": "a"}),
        is_linear=False,
    ),
}
TRIPLES: dict[str, Contention] = {
    "claim, cancel, recover": Contention(put("pending"), FINISH, CANCEL, recovering()),
    "revive, claim, delete": Contention(put("dead"), REVIVE, FINISH, DELETE),
    "two claims and a drop": Contention(nothing, FINISH, FINISH, dropping_by_link()),
    "drop in place, claim, recover": Contention(nothing, dropping_in_place(), FINISH, recovering()),
    "hold, release, claim": Contention(put("pending"), HOLD, RELEASE, FINISH),
    "edit, hold, claim": Contention(put("pending"), EDIT, HOLD, FINISH),
    "edit, edit, claim": Contention(put("pending"), EDIT, EDIT_PRIORITY, FINISH),
    "enqueue, claim, delete": Contention(nothing, enqueuing(id="a"), FINISH, DELETE),
    "enqueue, enqueue, claim": Contention(nothing, enqueuing(id="a"), enqueuing(id="a"), FINISH),
    "revive, revive, claim": Contention(put("completed"), REVIVE, REVIVE, FINISH),
    "revive, purge, claim": Contention(put("completed"), REVIVE, purging((DONE, "a")), FINISH),
    "cancel, delete, claim": Contention(put("pending"), CANCEL, DELETE, FINISH),
    "fail, run now, cancel": Contention(put("failed"), FAIL, RUN_NOW, CANCEL),
    "examine, claim, drop in place": Contention(nothing, examining(), FINISH, dropping_in_place()),
    "three for one lock": Contention(
        lambda home: [home.put("pending", id=job_id, lock="db") for job_id in "abc"],
        claiming("a"),
        claiming("b"),
        claiming("c"),
    ),
    "a parent dies and is revived while its child is settled": Contention(
        family(),
        claiming("p", lambda claim: claim.move_to_dead("retries_exhausted", FAILED)),
        taking("revive", lambda claim: claim.revive(), "p"),
        settling_by_parents(),
    ),
}
