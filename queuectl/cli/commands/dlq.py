"""dlq: the dead letter queue: jobs that failed permanently."""

from __future__ import annotations

from queuectl.cli.commands.change import Retries
from queuectl.cli.home import queue_to_change, queue_to_read
from queuectl.cli.options import CHOSEN, CONSENT, FILTER_OPTIONS, IDS, NAMED, command, flag
from queuectl.cli.selection import Verb, act_on
from queuectl.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.selection import Check
    from queuectl.cli.terminal import Screen
    from queuectl.job.job import Job

DEAD = ("dead",)
GROUP_FIELDS = ("fingerprint", "count", "first_at", "last_at", "id", "command", "last_error", "dead_reason")


@command(
    "dlq list",
    *FILTER_OPTIONS,
    flag("--group", help="group equal errors into one row, with their number and an example"),
    examples=("queuectl dlq list", "queuectl dlq list --group", "queuectl dlq list --since 24h --json"),
)
def run_list(args: Arguments, screen: Screen) -> int:
    """Show dead jobs, or with --group their errors."""
    if args.group:
        return _show_groups(args, screen)
    from queuectl.cli.commands.list import show_jobs

    return show_jobs(
        args, screen, DEAD, "Equal errors together: queuectl dlq list --group     One job: queuectl dlq show ID"
    )


def _show_groups(args: Arguments, screen: Screen) -> int:
    """Show what the errors of dead jobs have in common, the most frequent first, each with its newest job."""
    from queuectl.cli.commands.list import filters_of, limit_for, query_of, why
    from queuectl.cli.progress import open_index
    from queuectl.cli.table import Column, emit
    from queuectl.cli.times import short
    from queuectl.cli.unknown_names import warn_of_filters
    from queuectl.client.filters import FILTERS
    from queuectl.client.job_view import group_as_dict

    queue = queue_to_read(args, screen)
    now = queue.spool.clock.now()
    limit = limit_for(args, screen)
    given = filters_of(args, (name for name in FILTERS if name not in ("state", "limit", "sort")))
    query = query_of({**given, "state": DEAD}, now)
    with open_index(queue, screen) as reader:
        groups, total = reader.failures_of(query, limit)
        is_warned = not total and warn_of_filters(queue, screen, reader, given)
    rows = groups if screen.is_table else map(group_as_dict, groups)
    columns = [
        Column("JOBS", lambda row: f"{row['count']:,}", right=True),
        Column("LAST", lambda row: short(row["last_at"], now), leave_out=2),
        Column("EXAMPLE", lambda row: row["newest"]["id"]),
        Column("COMMAND", lambda row: row["newest"]["command"], least=8, leave_out=1),
        Column("ERROR", lambda row: why(row["newest"]), least=30),
    ]
    shown = emit(screen, rows, columns, GROUP_FIELDS)
    if shown < total:
        screen.message(
            f"({shown:,} of {total:,} errors shown{', --all for the rest' if screen.is_interactive else ''})"
        )
    none = "" if is_warned else "No job matches"
    screen.hint("To try those with one error again: queuectl dlq retry --error TEXT" if shown else none)
    return 0


@command(
    "dlq show",
    IDS,
    examples=("queuectl dlq show 01JDFQ8Z4T", "queuectl dlq show 01JDFQ8Z4T --json"),
)
def run_show(args: Arguments, screen: Screen) -> int:
    """Tell all about dead jobs."""
    from queuectl.cli.commands.show import show_each

    return show_each(queue_to_read(args, screen), screen, args.ids, _check)


@command(
    "dlq retry",
    NAMED,
    *CHOSEN,
    *CONSENT,
    examples=("queuectl dlq retry 01JDFQ8Z4T", "queuectl dlq retry --all --yes"),
)
def run_retry(args: Arguments, screen: Screen) -> int:
    """Put dead jobs back with a fresh retry budget."""
    retries = Retries(queue_to_change(args, screen))

    def revive(job_id: str, check: Check | None) -> str:
        return retries.retry(job_id, check or (lambda job: _check(job, f"to run it now: queuectl retry {job_id}")))

    return act_on(args, screen, retries.queue, Verb("dlq retry", "retry", "put back", states=DEAD), revive, retries)


@command(
    "dlq delete",
    NAMED,
    *CHOSEN,
    *CONSENT,
    examples=("queuectl dlq delete 01JDFQ8Z4T", "queuectl dlq delete --error 'No such file' --yes"),
)
def run_delete(args: Arguments, screen: Screen) -> int:
    """Remove dead jobs and what they wrote."""
    queue = queue_to_change(args, screen)

    def remove(job_id: str, check: Check | None) -> None:
        hint = f"to delete it all the same: queuectl delete {job_id}"
        queue.delete(job_id, check or (lambda job: _check(job, hint)))

    verb = Verb("dlq delete", "delete", "deleted", lambda _ids: " and their output, permanently", DEAD)
    return act_on(args, screen, queue, verb, remove)


def _check(job: Job, hint: str | None = None) -> None:
    if job.state != "dead":
        raise Conflict(f"job {job.id} is not dead: it is {job.state}", hint)
