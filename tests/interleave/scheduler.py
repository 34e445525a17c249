"""A scheduler for actors that share one home: it decides before each file operation which of them goes on.

Every actor is a thread with a Spool of its own whose `Files` stop before each operation that another process could
notice. Exactly one thread runs at any time, so a run is decided by its *switches* alone: `{12: 1}` means that before
operation 12 actor 1 goes on instead of the one whose turn it was. Without a switch an actor runs until it ends, waits for
a lock, or pauses before it tries one again; then the next one goes on.
"""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

from queuectl.job.history import PROCESSING
from queuectl.spool.claim import Claim
from queuectl.spool.fs import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from queuectl.spool.spool import Spool

    # What an actor does: `do(label, call)` makes one step and returns its result.
    Do = Callable[[str, Callable[[], object]], Any]
    Program = Callable[[Spool, Do], object]

LONGEST = 3000  # operations of one run: more means that it never ends
PATIENCE_S = 60.0


class Killed(BaseException):
    """The actor was killed: whatever it still does on its way out has no effect."""


class Deadlock(AssertionError):
    """Every actor that has not ended waits for a lock."""


class Operation:
    """One operation of a run.

    Attributes:
        actor: the number of the actor that did it.
        reads, writes: what it depends on and what it changes: a name, the entries of a directory, an inode, a lock.
        able: the actors that could have gone on instead.
    """

    __slots__ = ("able", "actor", "method", "reads", "subject", "writes")

    def __init__(
        self,
        actor: int,
        method: str,
        subject: str,
        reads: frozenset[str],
        writes: frozenset[str],
        able: set[int],
    ) -> None:
        self.able = able
        self.actor = actor
        self.method = method
        self.subject = subject
        self.reads = reads
        self.writes = writes

    def __repr__(self) -> str:
        return f"{'ABC'[self.actor]}: {self.method} {self.subject}"

    def conflicts_with(self, other: Operation) -> bool:
        """Tell whether the order of the two can matter."""
        return bool(self.writes & (other.reads | other.writes) or other.writes & self.reads)


class Scheduler:
    """Runs actors one at a time.

    Args:
        switches: which actor goes on before the operation of that number.
        first: the actor that begins.
        death: kill the actor whose turn it is before the operation of this number.
        whole_steps: a step is one operation: for the results that the actors have one after the other.

    Attributes:
        operations: what was done, in order.
        natural: the numbers of the operations before which the running actor changed without a switch.
        results: of each actor: the label and the result of each step.
        inodes: a word for each inode that is the same in every run: the name it had at first, or who created it.
    """

    def __init__(
        self, switches: Mapping[int, int], *, first: int = 0, death: int | None = None, whole_steps: bool = False
    ) -> None:
        self.switches = switches
        self.first = first
        self.death = death
        self.whole_steps = whole_steps
        self.operations: list[Operation] = []
        self.natural: set[int] = set()
        self.results: list[list[tuple[str, object]]] = []
        self.skipped: frozenset[tuple[int, int]] = frozenset()
        self.killed: set[int] = set()
        self.inodes: dict[int, str] = {}
        self._claims: list[Claim] = []
        self._turns: list[threading.Lock] = []
        self._switched: set[int] = set()
        self._waiting: set[int] = set()
        self._ended: set[int] = set()
        self._failures: list[BaseException] = []
        self._over = threading.Lock()
        self._is_over = False

    def run(self, actors: list[tuple[Spool, Program]]) -> None:
        """Run all actors to their ends, and raise the first error that is not a result."""
        self._over.acquire()
        threads = []
        for number, (home, program) in enumerate(actors):
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
            self.results.append([])
            threads.append(
                threading.Thread(target=self._act, name=str(number), args=(number, home, program), daemon=True)
            )
        for thread in threads:
            thread.start()
        self._turns[self.first].release()
        finished = self._over.acquire(timeout=PATIENCE_S)
        self._is_over = True
        if finished:
            for thread in threads:
                thread.join(PATIENCE_S)
        assert finished, "an actor waits outside the scheduler"
        if self._failures:
            raise self._failures[0]

    def _act(self, number: int, home: Spool, program: Program) -> None:
        self._turns[number].acquire()
        try:
            if not self._is_over:
                program(home, lambda label, call: self._step(number, label, call))
        except Killed:
            self.killed.add(number)
        except BaseException as error:  # it is raised in the main thread
            self._failures.append(error)
            self._stop()
            return
        finally:
            if isinstance(home.files, Scheduled):
                home.files.close_all()
        self._ended.add(number)
        self._waiting.clear()
        try:
            following = self._next_after(number)
        except Deadlock as error:
            self._failures.append(error)
            self._stop()
            return
        if following is None:
            self._over.release()
        else:
            self.natural.add(len(self.operations))
            self._turns[following].release()

    def _stop(self) -> None:
        """End the run after an error: everybody else is woken, and does nothing more."""
        if not self._is_over:
            self._is_over = True
            self._ended.update(range(len(self._turns)))
            for turn in self._turns:
                if turn.locked():
                    turn.release()
            self._over.release()

    def _step(self, number: int, label: str, call: Callable[[], object]) -> object:
        log = self.results[number]
        if (number, len(log)) in self.skipped:
            log.append((label, SKIPPED))
            return SKIPPED
        if self.whole_steps:
            self.before(number, "step", label, frozenset(), frozenset({"everything"}))
        place = len(log)
        log.append((label, UNFINISHED))
        try:
            result = call()
        except Exception as error:  # an error is a result
            result = error
        log[place] = (label, result)
        if isinstance(result, Claim):
            self._refuse_overlap(result)
        return result

    def _refuse_overlap(self, claim: Claim) -> None:
        """Raise AssertionError when a job is claimed that another actor runs, or one whose lock or units it has."""
        self._claims.append(claim)
        running = [each.job for each in self._claims if each.directory == PROCESSING and each.fileno() >= 0]
        taken = [job.id for job in running]
        taken += [f"lock {job.fields['lock']}" for job in running if "lock" in job.fields]
        taken += [f"{name} {unit}" for job in running for name, units in job.units.items() for unit in units]
        if len(taken) != len(set(taken)):
            raise AssertionError(f"two actors have the same at once: {taken}")

    # --- called by the actor whose turn it is

    def before(self, number: int, method: str, subject: str, reads: frozenset[str], writes: frozenset[str]) -> None:
        """Stop before an operation; returns when it may be done."""
        if number in self.killed or self._is_over:
            raise Killed
        while True:
            place = len(self.operations)
            if place > LONGEST:
                raise AssertionError(f"the run never ends; the last operations:\n{self.tail()}")
            wanted = self.switches.get(place, number)
            if wanted == number or place in self._switched or wanted in self._ended | self._waiting:
                break
            self._switched.add(place)
            self._give(number, wanted)
        if place == self.death:
            self.killed.add(number)
            raise Killed
        able = {*range(len(self._turns))} - self._ended - self._waiting
        self.operations.append(Operation(number, method, subject, reads, writes, able))

    def waits(self, number: int) -> None:
        """The actor cannot go on before another one has done something: let the next one go on."""
        if number in self.killed or self._is_over:
            raise Killed
        self._waiting.add(number)
        following = self._next_after(number)
        assert following is not None
        self.natural.add(len(self.operations))
        self._give(number, following)

    def pauses(self, number: int) -> None:
        """The actor sleeps before it tries again: the others go on if there are any."""
        if number in self.killed or self._is_over:
            raise Killed
        if self.whole_steps:
            return
        others = [
            each for each in self._order_after(number) if each not in self._ended | self._waiting and each != number
        ]
        if others:
            self.natural.add(len(self.operations))
            self._give(number, others[0])

    def released(self) -> None:
        """A lock was released: whoever waits for one tries again."""
        self._waiting.clear()

    def _give(self, number: int, to: int) -> None:
        self._turns[to].release()
        self._turns[number].acquire()
        if self._is_over:
            raise Killed

    def _order_after(self, number: int) -> list[int]:
        count = len(self._turns)
        return [(number + step) % count for step in range(1, count + 1)]

    def _next_after(self, number: int) -> int | None:
        left = [each for each in self._order_after(number) if each not in self._ended]
        able = [each for each in left if each not in self._waiting]
        if left and not able:
            raise Deadlock(f"{['ABC'[each] for each in left]} wait for locks; the last operations:\n{self.tail()}")
        return able[0] if able else None

    def tail(self, count: int = 40) -> str:
        """Return the last operations, one on a line."""
        return "\n".join(repr(each) for each in self.operations[-count:])

    def schedule(self) -> str:
        """Return the run as who did how many operations: "A12 B3 A40"."""
        parts: list[tuple[int, int]] = []
        for operation in self.operations:
            if parts and parts[-1][0] == operation.actor:
                parts[-1] = (operation.actor, parts[-1][1] + 1)
            else:
                parts.append((operation.actor, 1))
        return " ".join(f"{'ABC'[actor]}{count}" for actor, count in parts)


UNFINISHED = "unfinished"
SKIPPED = "skipped"


class Scheduled(Files):
    """The operations of one actor: each that another process could notice waits for its turn.

    Not visible to others, and therefore no place to stop: syncs, how much space is free, and the making of a file
    without a name.
    """

    __slots__ = ("_created", "_fds", "_number", "_scheduler")

    def __init__(self, scheduler: Scheduler, number: int) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._number = number
        self._fds: dict[int, str] = {}
        self._created = 0

    def _before(self, method: str, subject: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> None:
        if not self._scheduler.whole_steps:
            self._scheduler.before(self._number, method, subject, frozenset(reads), frozenset(writes))

    def close_all(self) -> None:
        """Close what a killed actor left open, as the kernel does."""
        for fd in [*self._fds]:
            os.close(fd)
        self._fds.clear()
        self._scheduler.released()

    # --- looking

    def open(self, path: str, flags: int) -> int:
        if flags & os.O_CREAT:
            self._before("create", path, (), (name_of(path), entries_of(path)))
        elif flags & os.O_ACCMODE == os.O_RDONLY:
            self._before("open", path, (name_of(path),), ())
        else:
            self._before("open to write", path, (name_of(path),), (f"writers {self._inode(path)}",))
        return self._keep(super().open(path, flags))

    def _keep(self, fd: int) -> int:
        self._fds[fd] = self._word(os.fstat(fd).st_ino)
        return fd

    def _word(self, inode: int) -> str:
        words = self._scheduler.inodes
        if inode not in words:
            self._created += 1
            words[inode] = f"{'ABC'[self._number]}'s file {self._created}"
        return words[inode]

    def _inode(self, path: str) -> str:
        """Return the word for the inode that a name has now."""
        try:
            return self._word(os.lstat(path).st_ino)
        except FileNotFoundError:
            return "none"

    def close(self, fd: int) -> None:
        inode = self._fds[fd]
        if self._number not in self._scheduler.killed:
            self._before("close", inode, (), (f"lock {inode}", f"writers {inode}"))
        if fd in self._fds:
            del self._fds[fd]
            super().close(fd)
            self._scheduler.released()

    def fstat(self, fd: int) -> os.stat_result:
        self._before("fstat", self._fds[fd], (f"inode {self._fds[fd]}",), ())
        return super().fstat(fd)

    def lstat(self, path: str) -> os.stat_result | None:
        self._before("lstat", path, (name_of(path), f"inode {self._inode(path)}"), ())
        return super().lstat(path)

    def exists(self, path: str) -> bool:
        self._before("exists", path, (name_of(path),), ())
        return super().exists(path)

    def names(self, directory: str) -> Iterator[str]:
        self._before("names", directory, (f"entries {directory}",), ())
        return iter([*super().names(directory)])

    def entries(self, directory: str) -> Iterator[tuple[str, int]]:
        self._before("entries", directory, (f"entries {directory}",), ())
        return iter([*super().entries(directory)])

    def read(self, fd: int, limit: int) -> bytes:
        self._before("read", self._fds[fd], (f"inode {self._fds[fd]}",), ())
        return super().read(fd, limit)

    def read_at(self, fd: int, size: int, offset: int) -> bytes:
        self._before("read", self._fds[fd], (f"inode {self._fds[fd]}",), ())
        return super().read_at(fd, size, offset)

    def has_writer(self, path: str) -> bool:
        self._before("has_writer", path, (name_of(path), f"writers {self._inode(path)}"), ())
        return super().has_writer(path)

    # --- the bytes of a file

    def write(self, fd: int, data: bytes, offset: int) -> None:
        self._before("write", self._fds[fd], (), (f"inode {self._fds[fd]}",))
        super().write(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        self._before("truncate", self._fds[fd], (), (f"inode {self._fds[fd]}",))
        super().truncate(fd, size)

    def chmod(self, fd: int, mode: int) -> None:
        self._before("chmod", self._fds[fd], (), (f"inode {self._fds[fd]}",))
        super().chmod(fd, mode)

    def touch(self, path: str) -> None:
        self._before("touch", path, (name_of(path),), (f"inode {self._inode(path)}",))
        super().touch(path)

    # --- locks

    def try_lock(self, fd: int) -> bool:
        self._before("try_lock", self._fds[fd], (), (f"lock {self._fds[fd]}",))
        return super().try_lock(fd)

    def is_locked(self, fd: int) -> bool:
        self._before("is_locked", self._fds[fd], (), (f"lock {self._fds[fd]}",))
        return super().is_locked(fd)

    def lock(self, fd: int) -> None:
        self._wait_for(fd, fcntl.LOCK_EX)

    def share(self, fd: int) -> None:
        self._wait_for(fd, fcntl.LOCK_SH)

    def _wait_for(self, fd: int, kind: int) -> None:
        while True:
            self._before("lock", self._fds[fd], (), (f"lock {self._fds[fd]}",))
            if self._flock(fd, kind):
                return
            self._scheduler.waits(self._number)

    # --- names

    def create(self, directory: str) -> tuple[int, str | None]:
        fd, name = super().create(directory)
        return self._keep(fd), name

    def publish(self, fd: int, path: str | None, target: str) -> None:
        self._before("publish", target, (), (name_of(target), entries_of(target), f"inode {self._fds[fd]}"))
        super().publish(fd, path, target)

    def link(self, source: str, target: str) -> None:
        inode = f"inode {self._inode(source)}"
        self._before("link", target, (name_of(source),), (name_of(target), entries_of(target), inode))
        super().link(source, target)

    def unlink(self, path: str) -> None:
        inode = f"inode {self._inode(path)}"
        self._before("unlink", path, (), (name_of(path), entries_of(path), inode))
        super().unlink(path)

    def move(self, source: str, target: str, *, is_fresh: bool = False) -> None:
        names = (name_of(source), entries_of(source), name_of(target), entries_of(target))
        self._before("move", f"{source} to {target}", (), (*names, f"inode {self._inode(source)}"))
        super().move(source, target, is_fresh=is_fresh)

    def exchange(self, one: str, other: str) -> bool:
        inodes = (f"inode {self._inode(one)}", f"inode {self._inode(other)}")
        names = (name_of(one), entries_of(one), name_of(other), entries_of(other))
        self._before("exchange", f"{one} and {other}", (), (*names, *inodes))
        return super().exchange(one, other)

    # --- run/changes: each of these holds the file's lock inside

    def append(self, path: str, data: bytes) -> None:
        self._before("append", path, (), (name_of(path), f"inode {self._inode(path)}"))
        super().append(path, data)

    def take(self, path: str, limit: int = 1 << 40) -> bytes:
        self._before("take", path, (name_of(path), f"inode {self._inode(path)}"), ())
        return super().take(path, limit)

    def forget(self, path: str, size: int) -> None:
        self._before("forget", path, (), (name_of(path), f"inode {self._inode(path)}"))
        super().forget(path, size)


def name_of(path: str) -> str:
    return f"name {path}"


def entries_of(path: str) -> str:
    return f"entries {os.path.dirname(path)}"
