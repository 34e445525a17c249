"""purge: many jobs removed at once, chosen by what they are.

Guarantees: the jobs are counted first, and only what had not changed until then is removed; nothing is without somebody
            having agreed.
"""

from __future__ import annotations

import sys

from queuectl.cli.commands.list import PAGE, filters_of, query_of
from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Failures, expand
from queuectl.cli.progress import Progress, open_index
from queuectl.cli.screen import is_terminal
from queuectl.cli.times import instant
from queuectl.errors import Conflict, QueueError, UsageError
from queuectl.filters import states_of
from queuectl.index.rows import DIRECTORY_OF
from queuectl.job import STATES, STATES_OF
from queuectl.maintenance.work import Work
from queuectl.spool.purge import Chosen, purge
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.screen import Screen
    from queuectl.client import Queue
    from queuectl.index.reader import Reader
    from queuectl.job import Job

FILTERS = ("queue", "tag", "batch", "error", "search")
DEFAULT = STATES_OF["done"]
NOT_CONFIRMED = 1


def run(args: Arguments, screen: Screen) -> int:
    """Count, ask, remove; naming ids is consent."""
    if args.ids:
        return _purge_named(args, screen)
    states = _states(args)
    queue = queue_to_change(args, screen)
    now = queue.spool.clock.now()
    until = now if args.older_than is None else min(now, instant("--older-than", args.older_than, now, past=True))
    filters = {**filters_of(args, FILTERS), "until": until}
    query_of(filters, now)  # a wrong one shows before anything is done
    work = Work(queue)
    may_change = queue.layout.has_spool and not args.dry_run
    try:
        with (may_change and work.reader_on_full_disk()) or open_index(queue, screen) as reader:
            return _purge(args, screen, queue, reader, states, filters)
    finally:
        if work.gave_up_ballast:
            queue.spool.keep_ballast()


def _purge(
    args: Arguments, screen: Screen, queue: Queue, reader: Reader, states: Sequence[str], filters: dict[str, Any]
) -> int:
    counts = _counts(reader, states, filters)
    total = sum(counts.values())
    if args.dry_run:
        screen.result({"action": "purge", "dry_run": True, "matched": total, "by_state": counts})
        screen.say(f"Would remove {_what(args, counts)}; nothing was removed")
        return 0
    if not args.yes and not _agrees(args, counts):
        screen.say("Nothing was removed")
        return NOT_CONFIRMED
    return _remove(args, screen, queue, _chosen(reader, states, filters), total)


def _purge_named(args: Arguments, screen: Screen) -> int:
    """Remove the jobs that are named, or what they wrote; without the index, which a full disk may keep from being read."""
    given = [f"--{name.replace('_', '-')}" for name in ("state", "older_than", *FILTERS) if getattr(args, name, None)]
    if given:
        raise UsageError(f"name jobs, or choose them by {given[0]}, not both")
    queue = queue_to_change(args, screen)
    failures = Failures(screen)
    found: list[Job] = []
    for text in expand(args.ids):
        try:
            job = queue.get(queue.resolve(text))
            if job.state == "processing":
                raise Conflict(f"job {job.id} is running", f"cancel it first: queuectl cancel {job.id}")
            found.append(job)
        except QueueError as error:
            failures.add("id", text, error)
    if args.dry_run:
        counts = {state: count for state in STATES if (count := sum(job.state == state for job in found))}
        screen.result({"action": "purge", "dry_run": True, "matched": len(found), "by_state": counts})
        screen.say(f"Would remove {_what(args, counts)}; nothing was removed")
        failures.finish(len(found) + len(failures), "would not be removed")
        return 0
    chosen = (Chosen(job.id, job.directory, job.updated_at) for job in found)
    return _remove(args, screen, queue, chosen, len(found) + len(failures), failures)


def _states(args: Arguments) -> tuple[str, ...]:
    states = states_of(args.state, "--state") if args.state else DEFAULT
    if not states or "processing" in states:
        hint = "queuectl list --state processing -o name | queuectl cancel -"
        raise UsageError("running jobs are not purged: cancel them first", hint)
    return states


def _counts(reader: Reader, states: Sequence[str], filters: dict[str, Any]) -> dict[str, int]:
    """Return how many match in each state, by going through them: beyond some thousand a page only says "more than"."""
    counts = dict.fromkeys(states, 0)
    for row in _rows(reader, states, filters):
        counts[row["state"]] += 1
    return counts


def _rows(reader: Reader, states: Sequence[str], filters: dict[str, Any]) -> Iterator[dict[str, Any]]:
    query = query_of({**filters, "state": states}, filters["until"], sort="-updated", limit=PAGE, is_counted=False)
    return reader.rows(query)


def _chosen(reader: Reader, states: Sequence[str], filters: dict[str, Any]) -> Iterator[Chosen]:
    for row in _rows(reader, states, filters):
        yield Chosen(row["id"], DIRECTORY_OF[row["state"]], row["updated_at"])


def _what(args: Arguments, counts: dict[str, int]) -> str:
    found = [f"{count:,} {state}" for state, count in counts.items() if count]
    jobs = plural(sum(counts.values()), "job")
    shares = f" ({', '.join(found)})" if len(found) > 1 else f" ({found[0].split()[-1]})" if found else ""
    return f"what {jobs}{shares} wrote" if args.output_only else f"{jobs}{shares} and what they wrote"


def _agrees(args: Arguments, counts: dict[str, int]) -> bool:
    """Ask, where somebody can answer.

    Raises:
        UsageError: nobody can.
    """
    if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        raise UsageError(f"this would remove {_what(args, counts)}, for good: it needs --yes", "look first: --dry-run")
    if not sum(counts.values()):
        return True
    sys.stderr.write(f"Remove {_what(args, counts)}, for good? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _remove(
    args: Arguments,
    screen: Screen,
    queue: Queue,
    chosen: Iterator[Chosen],
    total: int,
    failures: Failures | None = None,
) -> int:
    removed = changed = size = 0
    failures = Failures(screen) if failures is None else failures
    word = "emptied" if args.output_only else "removed"
    with Progress(screen, "Removing", total) as progress:
        try:
            for group in purge(queue.spool, chosen, output_only=args.output_only):
                removed += len(group.ids)
                changed += len(group.changed)
                size += group.output_bytes
                for job_id, error in group.failed:
                    progress.clear()
                    failures.add("id", job_id, error)
                if screen.format == "name":
                    screen.write("".join(f"{job_id}\n" for job_id in group.ids))
                progress.step(len(group.ids) + len(group.changed) + len(group.failed))
        except KeyboardInterrupt:
            progress.clear()
            screen.say(f"{word.capitalize()} {plural(removed, 'job')}; the rest were left alone")
            raise
    if screen.format in ("json", "jsonl"):
        made = {"action": "purge", "matched": total, "removed": removed, "changed": changed, "output_bytes": size}
        screen.json({**made, "output_only": args.output_only, "failed": failures.as_dicts()})
    left = f"; {plural(changed, 'job')} had changed meanwhile and stayed" if changed else ""
    if args.output_only:
        screen.say(f"Removed what {plural(removed, 'job')} wrote, {spell_size(size)}{left}")
    else:
        screen.say(f"Removed {plural(removed, 'job')}, {spell_size(size)} of output{left}")
    failures.finish(total, f"could not be {word}", is_listed=True)
    return 0
