"""ids: the jobs that a command was told to act on, one after the other.

Guarantees: one that cannot be done does not keep the others from being done; all are told.
Fails with: the error itself when it was the only job, the same kind when all jobs failed in this way, else PartlyFailed.
"""

from __future__ import annotations

import sys
from collections import Counter

from queuectl.cli.error_output import describe, problem
from queuectl.cli.terminal import write_stderr
from queuectl.errors import PartlyFailed, QueueError, UsageError
from queuectl.units import plural, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Protocol, TypeVar

    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue

    Named = TypeVar("Named", bound=tuple[Any, ...])

    class Notes(Protocol):
        """What a verb did to some of the jobs beside what was asked for."""

        def words(self) -> str:
            """Return it as the end of a sentence; empty when there is nothing."""

        def as_dict(self) -> dict[str, Any]:
            """Return it as members of the JSON object."""


def expand(texts: Iterable[str]) -> list[tuple[str, bool]]:
    """Return each id once, in order, and whether it is a whole one, as those on standard input are.

    `-` stands for standard input. It is read to its end first, so that a line that is refused stops the command before
    anything is done. A program that wrote an id there meant that job, and not another whose id begins so.

    Raises:
        UsageError: a line of standard input is not an id.
    """
    found: dict[str, bool] = {}
    for text in texts:
        for job_id in read_ids(sys.stdin) if text == "-" else (text,):
            found.setdefault(job_id, text == "-")
    return [*found.items()]


def read_ids(lines: Iterable[str]) -> Iterator[str]:
    """Yield the ids of an input: one a line; or jobs as JSON, an object a line; or TSV whose first line names a column `id`.

    Raises:
        UsageError: a line is something else; which words of it would be ids is not guessed.
    """
    column = None
    is_first = True
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        names = line.rstrip("\r\n").split("\t")
        if is_first and "id" in names and len(names) > 1:
            column = names.index("id")
        elif column is not None:
            job_id = names[column] if column < len(names) else ""
            if not job_id or job_id.split() != [job_id]:
                raise _not_an_id(number, text)
            yield job_id
        elif text[0] in "{[":
            yield _id_of_json(number, text)
        elif len(text.split()) > 1:
            raise _not_an_id(number, text)
        else:
            yield text
        is_first = False


def _id_of_json(number: int, text: str) -> str:
    import json

    try:
        job_id = json.loads(text).get("id")
    except (ValueError, AttributeError, RecursionError):
        job_id = None
    if not isinstance(job_id, str) or not job_id:
        raise _not_an_id(number, text)
    return job_id


def _not_an_id(number: int, text: str) -> UsageError:
    shown = quote(text)
    return UsageError(
        f"line {number} of standard input is not one id: {shown}; nothing was done",
        "write one id a line: queuectl list -o name",
    )


class Unchanged(Exception):
    """The job is such that the verb has nothing to do: it was left as it is.

    Args:
        job_id, state: as it is.
        why: what many of them have in common: "had ended already".
    """

    def __init__(self, job_id: str, state: str, why: str) -> None:
        words = why.replace("had", "has", 1)
        super().__init__(f"{job_id} {words}" if state in words else f"{job_id} {words}: it is {state}")
        self.id = job_id
        self.state = state
        self.why = why

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return {"id": self.id, "state": self.state}


MOST_REPORTED = 10  # failures in full
SPANS = 10


def spans(numbers: Sequence[int]) -> str:
    """Return "3, 7-9, 12" for rising numbers; of many such spans the first ten."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found[:SPANS])
    return shown + (" ..." if len(found) > SPANS else "")


class Failures:
    """What could not be done, told as it happens; the first not before there is a second, for it may be the only one.

    Ten are told, and of how many more there are. A hint that several share is told once.
    """

    def __init__(self, screen: Screen) -> None:
        self._is_text = screen.format not in ("json", "jsonl")
        self._found: list[tuple[str, object, QueueError]] = []
        self._hints: set[str | None] = set()
        self._is_announced = False

    def __len__(self) -> int:
        return len(self._found)

    def add(self, kind: str, key: object, error: QueueError) -> None:
        """Note what failed: `kind` is id, line or item, `key` which one."""
        self._found.append((kind, key, error))
        if len(self._found) == 2:
            self.announce()
        if 1 < len(self._found) <= MOST_REPORTED:
            self._report(self._found[-1])

    def announce(self) -> None:
        """Tell of the first, which has not been told yet."""
        if self._found and not self._is_announced:
            self._is_announced = True
            self._report(self._found[0])

    def _report(self, failure: tuple[str, object, QueueError]) -> None:
        kind, key, error = failure
        if self._is_text:
            prefix = f"queuectl: {kind} {key}: " if kind != "id" and key else "queuectl: "
            write_stderr(describe(error, prefix, with_hint=error.hint not in self._hints))
            self._hints.add(error.hint)

    def _report_rest(self) -> None:
        rest = self._found[MOST_REPORTED:]
        if rest and self._is_text:
            kind = rest[0][0]
            places = spans([key for kind, key, _ in rest if kind != "id" and isinstance(key, int)])
            write_stderr(
                f"queuectl: {len(rest):,} more{f': {kind}s {places}' if places else ''} (--json shows them all)"
            )

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return them as problem objects."""
        return [{kind: key, **problem(error)} for kind, key, error in self._found]

    def finish(self, total: int, done: str, *, is_listed: bool = False) -> None:
        """Raise what the failures amount to.

        Args:
            done: goes on after "1 of 3 jobs ": "could not be cancelled".
            is_listed: what was written as JSON names every failure, so that the error need not.
        """
        if not self._found:
            return
        if len(self._found) == 1 == total:
            kind, key, error = self._found[0]
            if kind != "id" and key:
                found = _kind_of(error)(f"{kind} {key}: {error}", error.hint, error.excerpt)
                found.more = error.more
                raise found
            raise error
        self.announce()
        self._report_rest()
        kinds = {_kind_of(error) for _, _, error in self._found}
        made = kinds.pop() if len(self._found) == total and len(kinds) == 1 else PartlyFailed
        failure = made(f"{len(self._found):,} of {plural(total, 'job')} {done}")
        failure.errors = [] if self._is_text or is_listed else self.as_dicts()
        raise failure


def _kind_of(error: QueueError) -> type[QueueError]:
    """Return the class of an error that has its exit code and takes a message."""
    return next(kind for kind in type(error).__mro__ if kind in (*QueueError.__subclasses__(), QueueError))


def bulk_result(
    action: str, matched: int, ids: Sequence[str], unchanged: Sequence[Mapping[str, Any]], failures: Failures
) -> dict[str, Any]:
    """Return what was done to jobs as JSON has it, the same for every command.

    Args:
        matched: how many jobs were named or chosen.
        ids: of the jobs that it was done to.
        unchanged: id and state of the jobs that were left as they are.
    """
    return {
        **{"action": action, "matched": matched, "ids": ids},
        **{"unchanged": unchanged, "failed": failures.as_dicts()},
    }


def act_on_named(
    screen: Screen,
    queue: Queue,
    texts: Iterable[str],
    do: Callable[[str], str | None],
    action: str,
    done: str,
    notes: Notes | None = None,
) -> int:
    """Do `act` to jobs that are named by ids, their beginnings, or `-`."""

    def do_to(named: tuple[str, bool]) -> tuple[str, str | None]:
        text, is_whole = named
        job_id = queue.resolve(text, is_whole=is_whole, to_change=True)
        return job_id, do(job_id)

    named = expand(texts)
    return act(screen, named, do_to, action, done, notes, total=len(named))


def act(
    screen: Screen,
    jobs: Iterable[Named | None],
    do: Callable[[Named], tuple[str, str | None]],
    action: str,
    done: str,
    notes: Notes | None = None,
    *,
    total: int,
    none: str = "",
) -> int:
    """Do something to each job, to many of them at once, and tell of it.

    Args:
        jobs: each begins with what names it; None waits for the end of those before.
        do: returns the whole id, and perhaps what to say instead of "Cancelled 01J..."; may raise Unchanged.
        action, done: "cancel", "cancelled".
        notes: asked at the end what else was done to the jobs.
        total: how many jobs there are.
        none: what to say when there was no job at all.
    """
    from queuectl.cli.progress import Progress
    from queuectl.client.in_threads import InThreads

    ids: list[str] = []
    words: list[str | None] = []
    unchanged: list[Unchanged] = []
    failures = Failures(screen)
    work = InThreads(do, jobs)
    with Progress(screen, action.capitalize(), total) as progress:

        def tally(text: str, outcome: Callable[[], tuple[str, str | None]]) -> None:
            try:
                job_id, word = outcome()
            except Unchanged as same:
                unchanged.append(same)
            except QueueError as error:
                progress.clear()
                failures.add("id", text, error)
            else:
                ids.append(job_id)
                words.append(word)
            progress.step()

        try:
            for job, outcome in work:
                tally(job[0], outcome)
        except KeyboardInterrupt:
            for job, outcome in work.stop():
                tally(job[0], outcome)
            progress.clear()
            screen.message(f"{done.capitalize()} {plural(len(ids), 'job')}; the others were not changed")
            raise
    seen = len(ids) + len(unchanged) + len(failures)
    if screen.format in ("json", "jsonl") and (ids or unchanged or seen != 1):
        left = [each.as_dict() for each in unchanged]
        more = notes.as_dict() if notes is not None else {}
        screen.json({**bulk_result(action, total, ids, left, failures), **more})
    elif screen.format == "name":
        screen.write("".join(f"{job_id}\n" for job_id in ids))
    if len(ids) == 1 and not unchanged:
        screen.message(words[0] or f"{done.capitalize()} {ids[0]}")
    elif len(unchanged) == 1 and not ids:
        screen.message(str(unchanged[0]))
    elif seen == 0 and none:
        screen.message(none)
    elif ids or unchanged or seen == 0:
        note = notes.words() if notes is not None else ""
        screen.message(f"{done.capitalize()} {plural(len(ids), 'job')}{note}{_left(unchanged)}")
    failures.finish(seen, f"could not be {done}", is_listed=True)
    return 0


def _left(unchanged: Sequence[Unchanged]) -> str:
    """Say how many jobs were left as they are, why, and in which states they are."""
    told = ""
    for why in dict.fromkeys(each.why for each in unchanged):
        states = Counter(each.state for each in unchanged if each.why == why)
        shares = ", ".join(f"{count:,} {state}" for state, count in states.items())
        told += f"; {sum(states.values()):,} {why} ({shares})"
    return told
