"""purge: many jobs removed at once, chosen by what they are.

Guarantees: the jobs are counted and listed first; only these are removed, and only if they have not changed since;
            nothing is removed without consent.
"""

from __future__ import annotations

from collections import Counter

from queuectl.cli.commands.list import query_of
from queuectl.cli.home import queue_to_change
from queuectl.cli.ids import Failures, bulk_result, expand
from queuectl.cli.options import ABOUT, CONSENT, command, flag, number, option
from queuectl.cli.progress import Progress, open_index
from queuectl.cli.selection import NOT_CONFIRMED, choose, describe, given, is_agreed, none_of, show_trial, unknown_name
from queuectl.cli.times import instant, refuse_bare_number
from queuectl.client.dependents import Dependents
from queuectl.client.filters import states_of
from queuectl.errors import Conflict, NotFound, QueueError, UsageError
from queuectl.index.rows import DIRECTORY_OF
from queuectl.job.job import STATES_OF
from queuectl.maintenance.context import TaskContext
from queuectl.spool.purge import Chosen, purge
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.client.job_view import Job
    from queuectl.client.queue import Queue
    from queuectl.index.selection import Selection

FILTERS = ("queue", "tag", "batch", "error", "search", "since")
DEFAULT = STATES_OF["done"]


@command(
    "purge",
    option(
        "ids", metavar="ID", nargs="*", help="delete these jobs instead of those that match; - reads ids from stdin"
    ),
    option(
        "--state",
        metavar="STATE",
        action="append",
        help="only jobs in this state (default: completed,cancelled); comma-separated, may be repeated",
    ),
    option(
        "--older-than",
        metavar="TIME",
        help="only jobs that have not changed for this long, or since this time: 30d, 2026-11-01",
    ),
    *(row for row in ABOUT if row[0] != ("--until",)),
    number("--limit", help="only the N jobs that have not changed for longest"),
    flag("--output-only", help="delete only their output and keep the jobs"),
    *CONSENT,
    examples=(
        "queuectl purge --older-than 30d --dry-run",
        "queuectl purge --state dead --queue default --yes",
        "queuectl purge --output-only --older-than 7d --yes",
        "queuectl purge --output-only 01JDFQ8Z4T",
    ),
)
def run(args: Arguments, screen: Screen) -> int:
    """Count, ask, remove; naming ids is consent."""
    if args.ids:
        return _purge_named(args, screen)
    states = _states(args)
    queue = queue_to_change(args, screen)
    now = queue.spool.clock.now()
    for name in ("older_than", "since"):
        if getattr(args, name) is not None:
            refuse_bare_number(f"--{name.replace('_', '-')}", getattr(args, name))
    until = now if args.older_than is None else min(now, instant("--older-than", args.older_than, now, past=True))
    wanted = {**given(args, (*FILTERS, "limit")), "until": until, "sort": "-updated"}
    query_of(wanted, now)  # a wrong one shows before anything is done
    context = TaskContext(queue)
    may_change = queue.layout.has_spool and not args.dry_run
    try:
        with (may_change and context.reader_on_full_disk()) or open_index(queue, screen, is_complete=True) as reader:
            chosen = choose(reader, wanted, states, now)
            unknown = unknown_name(queue, reader, wanted, chosen)
        return _purge(args, screen, queue, chosen, none_of(states, chosen.left_out, unknown))
    finally:
        if context.gave_up_ballast:
            queue.spool.keep_ballast()


def _purge(args: Arguments, screen: Screen, queue: Queue, chosen: Selection, none: str) -> int:
    sentence = _sentence(args, chosen.by_state)
    if args.dry_run:
        return show_trial(screen, "purge", sentence, chosen.by_state, (job.id for job in chosen), none)
    if not is_agreed(args, "purge", f"{sentence}, permanently", len(chosen)):
        return NOT_CONFIRMED
    rows = (Chosen(job.id, DIRECTORY_OF[job.state], job.updated_at) for job in chosen)
    return _remove(args, screen, queue, rows, len(chosen), none=none)


def _sentence(args: Arguments, by_state: Mapping[str, int]) -> str:
    jobs = describe(by_state)
    return f"remove the output of {jobs}" if args.output_only else f"remove {jobs} and their output"


def _purge_named(args: Arguments, screen: Screen) -> int:
    """Remove the jobs that are named, or what they wrote; without the index, which a full disk may keep from being read."""
    if selectors := given(args, ("state", "older_than", *FILTERS, "limit")):
        name = next(iter(selectors)).replace("_", "-")
        raise UsageError(f"give ids or --{name}, not both")
    queue = queue_to_change(args, screen)
    failures = Failures(screen)
    found: list[Job] = []
    for text, is_whole in expand(args.ids):
        try:
            job = queue.get(queue.resolve(text, is_whole=is_whole, to_change=True))
            if job.state == "processing":
                raise Conflict(f"job {job.id} is running", f"cancel it first: queuectl cancel {job.id}")
            found.append(job)
        except QueueError as error:
            failures.add("id", text, error)
    if args.dry_run:
        counts = Counter(job.state for job in found)
        show_trial(screen, "purge", _sentence(args, counts), counts, (job.id for job in found))
        failures.finish(len(found) + len(failures), "would not be removed")
        return 0
    chosen = (Chosen(job.id, job.directory, job.updated_at) for job in found)
    return _remove(args, screen, queue, chosen, len(found) + len(failures), failures)


def _states(args: Arguments) -> tuple[str, ...]:
    states = states_of(args.state, "--state") if args.state else DEFAULT
    if not states or "processing" in states:
        raise UsageError("running jobs are not purged: cancel them first", "queuectl cancel --state processing")
    return states


def _remove(
    args: Arguments,
    screen: Screen,
    queue: Queue,
    chosen: Iterator[Chosen],
    total: int,
    failures: Failures | None = None,
    none: str = "",
) -> int:
    removed = size = kept = unreported = 0
    awaited = Dependents(queue.spool)
    ids: list[str] = []  # only where JSON names them
    unchanged: list[dict[str, str]] = []
    failures = Failures(screen) if failures is None else failures
    is_json = screen.format in ("json", "jsonl")
    word = "emptied" if args.output_only else "removed"
    with Progress(screen, "Removing", total) as progress:
        try:
            for group in purge(queue.spool, chosen, awaited=awaited.of, output_only=args.output_only):
                removed += len(group.ids)
                unchanged += (
                    _as_it_is(queue, job_id) for job_id in (*group.changed, *group.parents, *group.unreported)
                )
                kept += len(group.parents)
                unreported += len(group.unreported)
                size += group.output_bytes
                for job_id, error in group.failed:
                    progress.clear()
                    failures.add("id", job_id, error)
                if is_json:
                    ids += group.ids
                elif screen.format == "name":
                    screen.write("".join(f"{job_id}\n" for job_id in group.ids))
                stayed = len(group.changed) + len(group.parents) + len(group.unreported)
                progress.step(len(group.ids) + stayed + len(group.failed))
        except KeyboardInterrupt:
            progress.clear()
            screen.message(f"{word.capitalize()} {plural(removed, 'job')}; the rest were not changed")
            raise
    is_single_error = len(failures) == 1 == total  # then the error says it all
    if is_json and not is_single_error:
        made = bulk_result("purge", total, ids, unchanged, failures)
        screen.json({**made, "output_bytes": size, "output_only": args.output_only})
    changed = len(unchanged) - kept - unreported
    left = f"; {plural(changed, 'job')} had changed in the meantime and were kept" if changed else ""
    left += f"; {_kept(kept)}" if kept else ""
    left += f"; {plural(unreported, 'job')} kept until the completion job of the batch was added" if unreported else ""
    if not total and none:
        screen.message(none)
    elif is_single_error:
        pass
    elif args.output_only:
        screen.message(f"Removed what {plural(removed, 'job')} wrote, {spell_size(size)}{left}")
    else:
        screen.message(f"Removed {plural(removed, 'job')}, {spell_size(size)} of output{left}")
    failures.finish(total, f"could not be {word}", is_listed=True)
    return 0


def _as_it_is(queue: Queue, job_id: str) -> dict[str, str]:
    """Return id and state of a job that was left as it is."""
    try:
        return {"id": job_id, "state": queue.get(job_id).state}
    except NotFound:
        return {"id": job_id, "state": "deleted"}


def _kept(count: int) -> str:
    what = "1 job was kept, because jobs that come after it wait"
    return what if count == 1 else f"{count:,} jobs were kept, because jobs that come after them wait"
