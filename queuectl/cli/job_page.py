"""job_page: one job on one screen: how things stand, what was asked for, each attempt, and what to type next."""

from __future__ import annotations

from queuectl.cli.attempts import COLOURS, spell_exit, took
from queuectl.cli.table import Column, emit
from queuectl.cli.terminal import shorten, to_json
from queuectl.cli.text import safe
from queuectl.cli.times import ago, full, short
from queuectl.client.filters import ENDED
from queuectl.client.job_output import lines_of, progress_of, result_of
from queuectl.client.why import reasons_of
from queuectl.job.attempts import attempts_of, tries
from queuectl.job.fields import HOOKS, command_line, describe_misspelt, misspelt
from queuectl.job.outcome import describe_leftovers
from queuectl.scheduling.schedules import schedule_of
from queuectl.scheduling.waits_for import WAITING, Why
from queuectl.spool import hooks
from queuectl.spool.parents import states_of
from queuectl.units import spell_duration, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.cli.terminal import Screen
    from queuectl.client.queue import Queue
    from queuectl.job.job import Job
    from queuectl.scheduling.waits_for import Reason

MOST_NAMED = 5
BLOCKED = {Why.AFTER: "waits for other jobs", Why.PAUSED: "paused", Why.LIMIT: "waits for a limit"}
NOT_RUN = (126, 127)  # what shells exit with when a command cannot be run


def show_job(queue: Queue, screen: Screen, job: Job) -> None:
    """Write all there is to tell about a job, for a person."""
    now = queue.spool.clock.now()
    reasons = reasons_of(queue.spool, job)
    state = screen.paint(job.state, COLOURS.get(job.state))
    screen.line(f"{screen.paint(job.id, 'bold')}  {state}  {safe(_situation(queue, job, now, reasons))}".rstrip())
    waiting = _waiting(job, now, reasons) if job.state in WAITING else ""
    if waiting:
        screen.line(f"{'waits for':<10} {screen.paint(safe(waiting), 'yellow')}")
    for label, text in _facts(queue, job, now):
        screen.line(f"{label:<10} {safe(text)}")
    rows = attempts_of(job.history, job.first_ready_at)
    if rows:
        screen.line()
        emit(screen, [{**row, "lines": lines_of(queue.layout, job, row["attempt"])} for row in rows], _columns(now), ())
    for row in rows:
        if row.get("leftovers"):
            screen.line(
                safe(
                    f"Attempt {row['attempt']} left processes running, which were ended: {describe_leftovers(row['leftovers'])}"
                )
            )
            if row.get("event") == "completed":
                screen.line("To keep such processes: queuectl enqueue --leftovers leave ...")
    for line in (job.last_error or "").splitlines():
        screen.line(f"  {safe(line)}")
    _hint(queue, screen, job)


def _situation(queue: Queue, job: Job, now: float, reasons: list[Reason]) -> str:
    """Say in a few words how things stand."""
    most = int(job.fields.get("max_retries", queue.settings.max_retries_default))
    number, limit = tries(job.state, job.attempts, job.failures, most)
    when = f"{ago(job.run_at, now)} ({short(job.run_at, now)})" if job.run_at > now else "now"
    if job.state == "processing":
        running = f"attempt {number} of {limit}, running for {spell_duration(now - (job.started_at or now))}"
        stop = next((reason for reason in reasons if reason.why is Why.STOPPED), None)
        if stop is not None:
            since = "" if job.stopped_at is None else f" {ago(job.stopped_at, now)}"
            running += f", stopped ({stop.detail}){since}"
        progress = progress_of(queue.layout, job)
        return f"{running} on {job.worker}" + (f", {progress}" if progress else "")
    if job.state == "failed":
        return f"attempt {number} of {limit} failed, next {when}"
    if job.state == "pending":
        blocked = next((BLOCKED[reason.why] for reason in reasons if reason.why in BLOCKED), "ready to run")
        return f"runs {when}" if job.run_at > now else blocked
    if job.state == "dead":
        reason = (job.dead_reason or "unknown").replace("_", " ")
        return f"{reason}, {ago(job.finished_at, now)}" if job.finished_at else reason
    if job.finished_at is not None:
        return ago(job.finished_at, now)
    return ""


def _waiting(job: Job, now: float, reasons: list[Reason]) -> str:
    """Say what else than its own time a job waits for; empty when it does not."""
    said = [reason for reason in reasons if reason.until is None]
    return "; ".join(
        reason.words(now) + (f" ({reason.hint.format(id=job.id)})" if reason.hint else "") for reason in said
    )


def _facts(queue: Queue, job: Job, now: float) -> Iterator[tuple[str, str]]:
    fields, settings = job.fields, queue.settings
    yield "command", command_line(fields)
    if "name" in fields:
        yield "name", fields["name"]
    yield "cwd", fields.get("cwd", "(the home directory of the queue's owner)")
    about = [job.queue, f"priority {job.priority}"]
    timeout = float(fields.get("timeout", settings.timeout))
    about.append(f"timeout {spell_duration(timeout)}" if timeout else "no timeout")
    if "max_retries" in fields or job.state not in ENDED:
        about.append(f"retries {fields.get('max_retries', settings.max_retries_default)}")
    yield "queue", "   ".join(about)
    made_by = schedule_of(job.id, fields.get("tags"))
    if made_by is not None:
        yield "schedule", f"{made_by['name']}   {'slot ' + made_by['slot'] if made_by['slot'] else 'run by hand'}"
    for label in ("tags", "batch", "unique_key", "expires_at"):
        if label in fields:
            yield label.partition("_")[0], ", ".join(fields[label]) if label == "tags" else str(fields[label])
    yield from _surroundings(queue, job)
    yield from _demands(queue, job)
    named = [name for name in fields.get("env", {}) if name != "PATH"]
    if named:
        yield "env", ", ".join(named)  # names only: values are often secrets
    for field, meant in misspelt(fields).items():
        yield "note", describe_misspelt(field, meant)
    yield "enqueued", f"{full(job.created_at)} ({ago(job.created_at, now)})"
    yield "file", shorten(queue.layout.job(job.directory, job.id))
    result = result_of(queue.layout, job)
    if result.error is not None:
        yield "result", f"not valid: {result.error} ({shorten(queue.layout.output_of(job.id, job.attempts, 'result'))})"
    elif result.value is not None:
        yield "result", to_json(result.value)


def _surroundings(queue: Queue, job: Job) -> Iterator[tuple[str, str]]:
    """Yield what its command is run by and reads, and its limits."""
    fields = job.fields
    if "stdin" in fields:
        is_kept = fields["stdin"] == "input"
        yield "stdin", shorten(queue.layout.input_of(job.id)) if is_kept else fields["stdin"]
    for name in ("shell", "nice", "ionice"):
        if name in fields:
            yield name, str(fields[name])
    if "memory" in fields:
        yield "memory", f"at most {spell_size(fields['memory'])}"
    if "cpu_time" in fields:
        yield "cpu time", f"at most {spell_duration(fields['cpu_time'])}"


def _demands(queue: Queue, job: Job) -> Iterator[tuple[str, str]]:
    """Yield what a job comes after, what it takes while it runs, and what comes after it."""
    fields = job.fields
    if "after" in fields:
        states = states_of(queue.spool, fields["after"][:MOST_NAMED])
        named = ", ".join(f"{parent} ({state or 'does not exist'})" for parent, state in states.items())
        yield "after", named + _more(len(fields["after"])) + f"   policy {job.after_policy}"
    if "lock" in fields:
        yield "lock", fields["lock"]
    if "needs" in fields:
        yield "needs", ", ".join(f"{name} {units}" for name, units in fields["needs"].items())
    if "weight" in fields:
        yield "weight", str(fields["weight"])
    for hook in (*HOOKS, "on_batch_done"):
        if hook in fields:
            yield hook, fields[hook]
    waiting = [report.hook for report in hooks.reports(queue.spool) if report.job_id == job.id]
    if waiting:
        yield (
            "hooks",
            f"{', '.join(waiting)} to be run; those that were run are in {shorten(queue.layout.log('hooks'))}",
        )
    count, children = children_of(queue, job.id)
    if children:
        yield "dependents", ", ".join(children) + _more(count)


def _more(count: int) -> str:
    return f" and {count - MOST_NAMED:,} more" if count > MOST_NAMED else ""


def children_of(queue: Queue, job_id: str) -> tuple[int, list[str]]:
    """Return how many jobs come after this one, and the first, as far as the index shows them; none without an index."""
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader

    try:
        with Reader(queue.layout.index) as reader:
            return reader.children(job_id, MOST_NAMED)
    except (IndexUnavailable, OSError):
        return 0, []


def _columns(now: float) -> list[Column]:
    return [
        Column("ATTEMPT", lambda row: row["attempt"], right=True),
        Column("STARTED", lambda row: short(row["started_at"], now)),
        Column("WAIT", lambda row: spell_duration(max(0.0, row["started_at"] - row["ready_at"])), leave_out=2),
        Column("RUN", lambda row: took(row, now)),
        Column("WORKER", lambda row: row["worker"], leave_out=1),
        Column("UNITS", lambda row: _units(row.get("units", {})), is_optional=True),
        Column("EXIT", spell_exit),
        Column("CPU", lambda row: spell_duration(row["cpu_s"]) if "cpu_s" in row else None, leave_out=3),
        Column("MAX RSS", lambda row: _size(row.get("max_rss_bytes")), leave_out=4),
        Column("OUTPUT", lambda row: row["lines"]),
    ]


def _units(units: dict[str, list[int]]) -> str:
    return "  ".join(f"{name} {','.join(map(str, numbers))}" for name, numbers in units.items())


def _size(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else spell_size(size_bytes)


def _hint(queue: Queue, screen: Screen, job: Job) -> None:
    if job.exit_code in NOT_RUN or job.outcome == "failed_to_start":
        path = job.fields.get("env", {}).get("PATH", "(the supervisor has)")
        shell = "no shell" if "argv" in job.fields else f"shell {job.fields.get('shell', '/bin/sh')}"
        screen.line()
        screen.line(safe(f"It ran in {job.fields.get('cwd', '~')} with {shell} and PATH={path}"))
        screen.line("To change that: queuectl enqueue --cwd DIR --env PATH=... (or a full path in the command)")
    has_output = job.attempts and lines_of(queue.layout, job, job.attempts) not in ("none", "removed")
    hints = [f"Full output: queuectl logs {job.id}"] if has_output else []
    if job.state in ("failed", "dead"):
        hints.append(f"Try now:     queuectl retry {job.id}")
    screen.hint("\n" + "\n".join(hints) if hints else "")
