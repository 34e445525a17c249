"""results: how jobs ended and what they left as their result, for programs."""

from __future__ import annotations

from queuectl.cli.home import queue_to_read
from queuectl.cli.ids import Failures
from queuectl.cli.options import CHOSEN, NAMED, STATE, command
from queuectl.cli.selection import ids_of, is_bulk
from queuectl.cli.table import emit
from queuectl.errors import QueueError
from queuectl.job.job import STATES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue

FIELDS = ("id", "state", "exit_code", "result", "result_error")
OLDEST_FIRST = "-created"


@command(
    "results",
    NAMED,
    STATE,
    *CHOSEN,
    examples=("queuectl results 01JDFQ8Z4T", "queuectl results --batch movies -o tsv"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Print the results of jobs in the order in which they are named, or were created."""
    queue = queue_to_read(args, screen)
    failures = Failures(screen)
    chooses = is_bulk(args, "results")
    if chooses and args.sort is None:
        args.sort = OLDEST_FIRST
    ids = ids_of(args, screen, queue, failures, "results", STATES)
    shown = _emit(screen, queue, ids, failures, is_named=not chooses)
    if chooses and not ids:
        screen.message("No job matches")
    failures.finish(shown + len(failures), "could not be shown")
    return 0


def _emit(screen: Screen, queue: Queue, ids: Sequence[str], failures: Failures, *, is_named: bool) -> int:
    def rows() -> Iterator[dict[str, Any]]:
        for job_id in ids:
            try:
                job = queue.get(job_id)
            except QueueError as error:
                if is_named:
                    failures.add("id", job_id, error)
                continue
            yield {**{name: getattr(job, name) for name in ("id", "state", "exit_code")}, **_result(job)}

    if screen.is_table:
        screen.format = "jsonl"
    return emit(screen, rows(), (), FIELDS)


def _result(job: Any) -> dict[str, Any]:
    return {"result": job.result, "result_error": job.result_error}


def collect(screen: Screen, queue: Queue, ids: Sequence[str]) -> None:
    """Print the output of jobs, one after the other, as they wrote it; in a format for programs, their results."""
    from queuectl.cli.tail import show
    from queuectl.growing_file import GrowingFile

    if not screen.is_table:
        _emit(screen, queue, ids, Failures(screen), is_named=False)
        return
    for job_id in ids:
        try:
            path = queue.output(job_id)
        except QueueError:  # it has not run
            continue
        with GrowingFile(path) as source:
            show(screen, source)
