"""Depth first over the schedules of some actors, with a bound on the switches, and what has to be true after each.

A switch before an operation is tried only if that operation conflicts with what the other actor does in the switch;
otherwise the switch after the operation leads to the same, and `Exploration.pruned` counts it.

After a schedule the home has to be what it is after some order of the steps one after the other, with the same results.
A step that was refused for now, because another process had the job locked, must have changed nothing.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from queuectl.errors import Busy, Conflict
from queuectl.spool import rejected
from queuectl.spool.claim import Claim
from queuectl.spool.intake import ClaimRefused, RefusalReason
from queuectl.spool.layout import Layout
from queuectl.spool.recovery import Recovered, RecoveryResult
from queuectl.spool.spool import Spool
from tests.interleave.scheduler import SKIPPED, UNFINISHED, Operation, Scheduled, Scheduler
from tests.support import audit
from tests.support.spools import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.interleave.scheduler import Program

    Prepare = Callable[[Home], object]
    Results = list[list[tuple[str, str]]]

# A step with such a result has changed nothing: another process had the job locked, or was about to change it.
REFUSED_FOR_NOW = {RefusalReason.BUSY, RefusalReason.BEING_WRITTEN, RefusalReason.LINKED}
LOCKED = "locked"  # what an actor returns for a verb that says in another way that it has changed nothing for now
GENERATED = re.compile(r"[0-9A-HJKMNP-TV-Z]{16}")
REAL_TIME = re.compile(
    r"20(?!27-01-15)\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"
)  # of a dropped file: the clock stands in 2027
TEMPORARY = re.compile(r"\d+\.\d+\.[0-9a-f]{12}")


class Exploration:
    """All schedules of some actors with at most `bound` switches.

    Args:
        prepare: brings a fresh home into the state before; the clock is then advanced by an hour.
        actors: what each does.
        audit: is called once for each different end, with the home.
        prune: leave out schedules that lead to the same as another one.
        is_linear: compare each end with those of the steps in some order.

    Attributes:
        schedules: how many were run.
        pruned: how many were not, because they lead to the same as one that was.
        judged: the different ends that were seen: results, state, who was killed.
    """

    def __init__(
        self,
        folder: Path,
        prepare: Prepare,
        *actors: Program,
        bound: int,
        audit: Callable[[Home], object] | None = None,
        is_linear: bool = True,
        prune: bool = True,
        **settings: Any,
    ) -> None:
        self.schedules = self.pruned = 0
        self._actors = actors
        self._bound = bound
        self._audit = audit or check
        self._is_linear = is_linear
        self._prune = prune
        self._template, self._path, self._order_path = folder / "template", folder / "home", folder / "order"
        home = Home(self._template, announce=True, **settings)
        prepare(home)
        home.clock.advance(3600)
        self._clock, self._settings = home.clock, home.settings
        self._tree = [*_entries(self._template)]
        self._linear: dict[tuple[frozenset[tuple[int, int]], frozenset[int]], set[str]] = {}
        self.judged: set[str] = set()

    def __str__(self) -> str:
        return f"{self.schedules} schedules, {self.pruned} left out, {self.ends} ends"

    @property
    def ends(self) -> int:
        return len(self.judged)

    def explore(self) -> None:
        """Run every schedule and judge its end.

        Raises:
            AssertionError: with the schedule, which `replay` repeats.
        """
        for first in range(len(self._actors)):
            self._visit({}, first, 0, self._bound)

    def explore_deaths(self, *, is_linear: bool = True) -> None:
        """Kill each actor before each operation that follows a change of its own, in all schedules with one switch.

        Args:
            is_linear: whoever was killed has made the step it was in, or not.
        """
        self._is_linear = self._is_linear and is_linear
        for first in range(len(self._actors)):
            self._visit({}, first, 0, min(self._bound, 1), deaths=True)

    def replay(self, schedule: str) -> Scheduler:
        """Run one schedule, as "A12 B3 A40", and judge its end."""
        switches, place = {}, 0
        parts = [("ABC".index(part[0]), int(part[1:])) for part in schedule.split()]
        for actor, count in parts:
            switches[place] = actor
            place += count
        return self._run(switches, parts[0][0])

    # --- the search

    def _visit(
        self, switches: dict[int, int], first: int, start: int, budget: int, *, deaths: bool = False
    ) -> list[Operation]:
        operations, natural = self._look(switches, first)
        if deaths:
            self._kill_in(switches, first, start, operations)
        slices: dict[int, list[Operation] | None] = {}
        for place in range(len(operations) - 1, start - 1, -1):
            operation = operations[place]
            if place + 1 == len(operations) or operations[place + 1].actor != operation.actor:
                slices = {}
                if place + 1 < len(operations):
                    other = operations[place + 1].actor
                    slices[other] = _slice(operations, place + 1, other)
            if place == 0:
                continue
            for other in sorted(operation.able - {operation.actor}):
                # whoever did not wait or end here goes on instead of the actor whose turn it was
                is_free = place in natural and other != operations[place - 1].actor
                if budget == 0 and not is_free:
                    continue
                known = slices.get(other)
                if self._prune and known is not None and not is_free and not _conflict(operation, known):
                    self.pruned += 1
                    continue
                seen = self._visit({**switches, place: other}, first, place + 1, budget - (not is_free), deaths=deaths)
                slices[other] = _slice(seen, place, other)
        return operations

    def _look(self, switches: dict[int, int], first: int) -> tuple[list[Operation], set[int]]:
        scheduler = self._run(switches, first)
        return scheduler.operations, scheduler.natural

    def _kill_in(self, switches: dict[int, int], first: int, start: int, operations: list[Operation]) -> None:
        for place in range(max(1, start), len(operations)):
            actor = operations[place].actor
            before = operations[place - 1]
            if before.actor == actor and not before.writes:
                continue
            self._run(switches, first, death=place)

    def _run(self, switches: Mapping[int, int], first: int, death: int | None = None) -> Scheduler:
        self.schedules += 1
        scheduler = Scheduler(switches, first=first, death=death)
        try:
            self._play(scheduler, self._path)
            self._judge(scheduler)
        except AssertionError as error:
            killed = "" if death is None else f", {'ABC'[scheduler.operations[-1].actor]} or the next killed at {death}"
            told = [[f"{label}: {spelled(result)}" for label, result in log] for log in scheduler.results]
            raise AssertionError(
                f"schedule {scheduler.schedule()}{killed}\nresults {told}\n{error}\n{scheduler.tail(200)}"
            ) from error
        return scheduler

    def _play(self, scheduler: Scheduler, path: Path) -> None:
        scheduler.inodes.update(_copy(self._tree, path))
        spools = [self._spool(path, Scheduled(scheduler, number)) for number in range(len(self._actors))]

        def pause() -> None:
            scheduler.pauses(int(threading.current_thread().name))

        with mock.patch.object(rejected, "pause_for_lock", pause):
            scheduler.run([*zip(spools, self._actors, strict=True)])

    def _spool(self, path: Path, files: Scheduled) -> Spool:
        spool = Spool(Layout(str(path)), self._settings, files=files, clock=self._clock)
        spool.patience = 3
        return spool

    def _home(self, path: Path) -> Home:
        home = Home(path, announce=True)
        home.settings, home.clock = self._settings, self._clock
        return home

    # --- what has to be true

    def _judge(self, scheduler: Scheduler) -> None:
        end = json.dumps([_spelled(scheduler), state_of(self._path), sorted(scheduler.killed)])
        if end in self.judged:
            return
        home = self._home(self._path)
        if not scheduler.killed:
            if self._is_linear:
                self._compare(scheduler, state_of(self._path))
            self._audit(home)
        else:
            self._audit(home)
            if self._is_linear:
                self._compare(scheduler, jobs_of(home), frozenset(scheduler.killed))
        self.judged.add(end)

    def _compare(self, scheduler: Scheduler, found: object, killed: frozenset[int] = frozenset()) -> None:
        """Raise AssertionError unless some order of the steps has these results and this state.

        Args:
            killed: after its death, an actor has made the step it was in, or not.
        """
        results = _spelled(scheduler, killed)
        if json.dumps([results, found]) in self._ends_in_order(frozenset(), killed):
            return
        refused = frozenset(
            (actor, number)
            for actor, log in enumerate(scheduler.results)
            for number, (_, result) in enumerate(log)
            if actor not in killed and is_refused_for_now(result)
        )
        for actor, number in refused:
            results[actor][number] = (results[actor][number][0], SKIPPED)
        expected = self._ends_in_order(refused, killed)
        assert json.dumps([results, found]) in expected, (
            f"no order of the steps has these results and this state:\n{json.dumps([results, found])}\n"
            "one of these was expected:\n" + "\n".join(sorted(expected))
        )

    def _ends_in_order(self, skipped: frozenset[tuple[int, int]], killed: frozenset[int]) -> set[str]:
        """Return the (results, state) of every order of the steps, one after the other; `killed` ends after any of its own."""
        key = (skipped, killed)
        if key not in self._linear:
            self._linear[key] = set()
            for first in range(len(self._actors)):
                self._order({}, first, 0, skipped, killed, self._linear[key])
        return self._linear[key]

    def _order(
        self,
        switches: dict[int, int],
        first: int,
        start: int,
        skipped: frozenset[tuple[int, int]],
        killed: frozenset[int],
        found: set[str],
    ) -> None:
        operations = self._note_order(switches, first, skipped, killed, None, found)
        for place in range(start, len(operations)):
            if operations[place].actor in killed:
                self._note_order(switches, first, skipped, killed, place, found)
            for other in operations[place].able - {operations[place].actor} if place else ():
                self._order({**switches, place: other}, first, place + 1, skipped, killed, found)

    def _note_order(
        self,
        switches: dict[int, int],
        first: int,
        skipped: frozenset[tuple[int, int]],
        killed: frozenset[int],
        death: int | None,
        found: set[str],
    ) -> list[Operation]:
        scheduler = Scheduler(switches, first=first, death=death, whole_steps=True)
        scheduler.skipped = skipped
        self._play(scheduler, self._order_path)  # beside the home that is being judged
        state: object = state_of(self._order_path)
        if killed:
            home = self._home(self._order_path)
            audit.mend(home)
            state = jobs_of(home)
        found.add(json.dumps([_spelled(scheduler, killed), state]))
        return scheduler.operations


def _spelled(scheduler: Scheduler, killed: frozenset[int] = frozenset()) -> Results:
    """Return the results of the actors; of a killed one nobody knows them."""
    return [
        [] if actor in killed else [(label, spelled(result)) for label, result in log]
        for actor, log in enumerate(scheduler.results)
    ]


def jobs_of(home: Home) -> dict[str, object]:
    """Return what lies where after recovery, job by job, and what was rejected."""
    found: dict[str, object] = {}
    for job_id in audit.names(home):
        job = home.read(job_id)
        fields = {name: value for name, value in job.fields.items() if name != "created_at"}
        found[GENERATED.sub("ULID", job_id)] = [job.directory, [entry["event"] for entry in job.history], fields]
    for name in os.listdir(home.layout.rejected):
        if not name.endswith(".reason"):
            found[GENERATED.sub("ULID", f"rejected {name}")] = True
    for name in os.listdir(f"{home.layout.home}/state/paused"):
        found[f"paused {name}"] = True
    return dict(sorted(found.items()))


def check(home: Home) -> None:
    """No job is lost or there twice, each history is a legal one, and an index made now is equal to the spool."""
    from tests.support.scenarios import check_index

    audit.mend(home)
    audit.check_mended(home)
    check_index(home)


def _conflict(operation: Operation, others: list[Operation]) -> bool:
    return any(operation.conflicts_with(each) for each in others)


def _slice(operations: list[Operation], place: int, actor: int) -> list[Operation] | None:
    found = []
    for operation in operations[place:]:
        if operation.actor != actor:
            break
        found.append(operation)
    return found or None


def is_refused_for_now(result: object) -> bool:
    if isinstance(result, ClaimRefused):
        return result.reason in REFUSED_FOR_NOW
    if isinstance(result, Recovered):
        return result.result is RecoveryResult.OWNED
    return (
        result is LOCKED or isinstance(result, Busy) or (isinstance(result, Conflict) and "is running" in str(result))
    )


def spelled(result: object) -> str:
    """Return a result in a form that is the same for the same result."""
    if isinstance(result, Claim):
        return "claimed"
    if isinstance(result, ClaimRefused):
        return str(result.reason)
    if isinstance(result, Recovered):
        return str(result.result)
    if isinstance(result, Exception):
        return type(result).__name__
    if result in (UNFINISHED, SKIPPED):
        return str(result)
    return GENERATED.sub("ULID", repr(result))


def state_of(home: Path) -> dict[str, list[object]]:
    """Return what the files of a home say, without what differs from run to run."""
    found: dict[str, list[object]] = {}
    for folder in ("spool", "input", "output", "state/paused"):
        for directory, _, names in os.walk(home / folder):
            for name in names:
                path = os.path.join(directory, name)
                key = GENERATED.sub("ULID", TEMPORARY.sub("TMP", os.path.relpath(path, home)))
                found.setdefault(key, []).append(_content(path))
    for contents in found.values():
        contents.sort(key=repr)
    return dict(sorted(found.items()))


def _content(path: str) -> object:
    with open(path, "rb") as file:
        text = GENERATED.sub("ULID", file.read().decode("utf-8", "backslashreplace"))
    text = REAL_TIME.sub("NOW", text)
    links = os.stat(path).st_nlink
    if path.endswith(".json"):
        try:
            return [links, json.loads(text)]
        except ValueError:
            pass
    return [links, text]


def _entries(home: Path) -> Iterator[tuple[str, bytes | None, int, tuple[int, int]]]:
    """Yield what a home consists of: path, content (None: a directory), mode, times."""
    for directory, folders, names in os.walk(home):
        for name in folders:
            path = os.path.join(directory, name)
            yield os.path.relpath(path, home), None, os.stat(path).st_mode & 0o7777, (0, 0)
        for name in names:
            path = os.path.join(directory, name)
            status = os.stat(path)
            with open(path, "rb") as file:
                yield (
                    os.path.relpath(path, home),
                    file.read(),
                    status.st_mode & 0o7777,
                    (
                        status.st_atime_ns,
                        status.st_mtime_ns,
                    ),
                )


def _copy(tree: list[tuple[str, bytes | None, int, tuple[int, int]]], home: Path) -> dict[int, str]:
    """Make the same home again; returns the name of each inode."""
    inodes = {}
    shutil.rmtree(home, ignore_errors=True)
    os.mkdir(home, 0o700)
    for name, content, mode, times in tree:
        path = f"{home}/{name}"
        if content is None:
            os.mkdir(path, 0o700)
        else:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, content)
            os.fchmod(fd, mode)
            inodes[os.fstat(fd).st_ino] = name
            os.close(fd)
            os.utime(path, ns=times)
    return inodes
