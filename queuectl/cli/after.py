"""after: the jobs that a new job comes after, as they are typed behind --after.

Fails with: NotFound, Conflict, UsageError.
"""

from __future__ import annotations

import sys

from queuectl.cli.ids import read_ids
from queuectl.errors import NotFound, UsageError
from queuectl.job.checks import MOST_PARENTS
from queuectl.scheduling.dependencies import Verdict, decide
from queuectl.spool.parents import describe_all, states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from queuectl.client.queue import Queue

GROUPS = ("batch", "tag")


def parents_of(queue: Queue, texts: Iterable[str]) -> list[str]:
    """Return the id of each job that is meant, once, in the order in which they are named.

    Args:
        texts: ids or beginnings of generated ones; several in one text are separated by commas or spaces, as
            "$(queuectl enqueue ...)" gives them; "batch:NAME" and "tag:NAME"; "-" for ids on standard input.

    Raises:
        NotFound: no such job, or a batch or tag that no job has. Conflict: a beginning of several ids. UsageError: too many.
    """
    found: dict[str, None] = {}
    for text in texts:
        words = text.replace(",", " ").split()
        if not words:
            raise UsageError("--after needs the id of a job, not an empty text", "is a variable empty?")
        for word in words:
            found.update(dict.fromkeys(_meant_by(queue, word)))
    if len(found) > MOST_PARENTS:
        raise UsageError(
            f"--after names more than {MOST_PARENTS:,} jobs, which is the most that a job can come after",
            "wait for them instead: queuectl wait --batch NAME && queuectl enqueue ...",
        )
    return [*found]


def never_starts(queue: Queue, parents: list[str], policy: str) -> str | None:
    """Return a warning when a parent has ended already in a way that keeps the job from starting; else None."""
    decision = decide(policy, states_of(queue.spool, parents))
    if decision.verdict is Verdict.FAIL:
        return f"{describe_all(decision.parents)}: the job becomes dead at once, and waits again once that is retried"
    if decision.verdict is Verdict.SKIP:
        return "the jobs of --after have completed: with --after-policy failure the job is cancelled at once"
    return None


def _meant_by(queue: Queue, word: str) -> Iterator[str]:
    if word == "-":
        for text in read_ids(sys.stdin):
            yield queue.resolve(text, is_whole=True)
        return
    kind, colon, name = word.partition(":")
    if not colon:
        yield queue.resolve(word, to_change=True)
        return
    if kind not in GROUPS:
        raise UsageError(f'--after "{word}" is not an id, batch:NAME or tag:NAME')
    jobs = queue.list(
        batch=name if kind == "batch" else None, tag=name if kind == "tag" else None, limit=MOST_PARENTS + 1
    )
    if not jobs:
        raise NotFound(
            f'--after {word}: no job has the {kind} "{name}"', "queuectl batch list" if kind == "batch" else None
        )
    yield from reversed([job["id"] for job in jobs])
