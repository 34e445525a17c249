"""rows: a job as a row of the index: a list of plain values in the order of COLUMNS.

Owns:       COLUMNS, and how a job becomes a row. Workers use it too and send rows as JSON, so nothing here imports
            sqlite3.
Guarantees: pure; every value is None, a number or text that both JSON and SQLite take, whatever a file says; a row is
            at most some 4 KB.
Source:     schema.sql, which says what each column means.
"""

from __future__ import annotations

import json

from queuectl.job.job import DEAD, DEPENDENCY_FAILED, DIRECTORIES, DONE, PENDING, PROCESSING, SETTLING, STATES_OF

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any

    from queuectl.job.job import Job

    Row = list[Any]

COLUMNS = (
    *("id", "state", "queue", "name", "priority", "command", "tags", "batch", "unique_key"),
    *("run_at", "created_at", "updated_at", "started_at", "finished_at"),
    *("attempts", "failures", "max_retries", "exit_code", "outcome", "last_error", "dead_reason", "worker"),
    *("cpu_s", "max_rss_bytes", "fingerprint", "ready_at", "wait_s", "run_s", "ready", "lane", "after", "after_policy"),
    *("inode", "size", "ctime_ns"),
)
START = ("ready", "lane", "after")  # when a job may start: for tables, not in JSON
INTERNAL = (  # of no interest to people
    *("ready_at", "wait_s", "run_s", "after_policy", "inode", "size", "ctime_ns"),
)
AT = {column: number for number, column in enumerate(COLUMNS)}
WIDTH = len(COLUMNS)  # what a row has beyond it are the ends of earlier attempts
ID, QUEUE, READY, RUN_AT, LANE = AT["id"], AT["queue"], AT["ready"], AT["run_at"], AT["lane"]

AFTER_PARENTS, AFTER_PARENTS_AND_TIME = 2, 3  # in `ready`
COMMAND_CHARS = 500
ERROR_CHARS = 1000  # what a worker writes is shorter: runner.TAIL_CHARS and a sentence
TAGS_CHARS = 1000
LABEL_CHARS = 256
BIGGEST = (1 << 63) - 1  # SQLite's integers

TEXTS = (
    (AT["command"], COMMAND_CHARS),
    (AT["last_error"], ERROR_CHARS),
    *((AT[column], LABEL_CHARS) for column in ("unique_key", "outcome", "dead_reason", "worker")),
)
INTEGERS = tuple(AT[column] for column in ("attempts", "failures", "exit_code", "max_rss_bytes"))
REALS = tuple(
    AT[column]
    for column in ("run_at", "updated_at", "started_at", "finished_at", "cpu_s", "ready_at", "wait_s", "run_s")
)
NEVER_NULL = (
    *((AT["attempts"], 0), (AT["failures"], 0)),
    *((AT[column], None) for column in ("run_at", "updated_at", "ready_at")),
)

STATES_IN = {
    PENDING: STATES_OF[PENDING],
    PROCESSING: ("processing",),
    DONE: STATES_OF[DONE],
    DEAD: ("dead",),
}
DIRECTORY_OF = {state: directory for directory in DIRECTORIES for state in STATES_IN[directory]}


def row_of(job: Job, status: os.stat_result | None = None) -> Row:
    """Return the row of a job.

    Args:
        status: the file's, taken no later than its content was read, or under the lock that still protects the
            content. Without it the next comparison with the spool reads the file once more.
    """
    from queuectl.scheduling.limits import lane_of  # not needed by what only reads rows

    fields = job.fields
    parents = _parents(job)
    row = [
        job.id,
        job.state,
        job.queue,
        fields.get("name"),
        job.priority,
        job.command,
        _tags(fields.get("tags")),
        fields.get("batch"),
        fields.get("unique_key"),
        job.run_at,
        job.created_at,
        job.updated_at,
        job.started_at,
        job.finished_at,
        job.attempts,
        job.failures,
        fields.get("max_retries"),
        job.exit_code,
        job.outcome,
        job.last_error,
        job.dead_reason,
        job.worker,
        job.cpu_s,
        job.max_rss_bytes,
        fingerprint_of(job),
        _ready_at(job, status),
        job.wait_s,
        job.run_s,
        _ready(job),
        lane_of(fields),
        None if parents is None else json.dumps(parents, separators=(",", ":")),
        None if parents is None else job.after_policy,
        *((None, None, None) if status is None else (status.st_ino, status.st_size, status.st_ctime_ns)),
    ]
    # Another program may have written the history, and a compacted one is not checked member by member.
    for at, limit in TEXTS:
        value = row[at]
        if value is not None and not (type(value) is str and len(value) <= limit and value.isascii()):
            row[at] = _text(value, limit)
    for at in INTEGERS:
        value = row[at]
        if value is not None and not (type(value) is int and -BIGGEST <= value <= BIGGEST):
            row[at] = _integer(value)
    for at in REALS:
        value = row[at]
        if value is not None and type(value) is not float:
            row[at] = _real(value)
    for at, stand_in in NEVER_NULL:
        if row[at] is None:
            row[at] = job.created_at if stand_in is None else stand_in
    earlier = _earlier(job) if job.earlier or job.ended is not None else None
    if earlier:
        row.append(earlier)
    return row


def _earlier(job: Job) -> list[tuple[Any, ...]]:
    """Return what the row does not say of attempts: number, start, wait, how it ended, when, and how long it ran.

    The statistics count those that the index has not seen. Of the newest attempt there is only an end that the state of
    the job does not show any more: it was retried by hand, held or cancelled since.
    """
    found = [
        (number, started_at, wait_s, *(ended or (None, None, None)))
        for number, started_at, wait_s, ended in job.earlier
    ]
    if job.ended is not None and job.run_s is None:
        found.append((job.attempts, None, None, *job.ended))
    return found


def earlier_of(row: Row) -> list[list[Any]]:
    """Return the parameters with which the statistics count the earlier attempts of a row."""
    return [[row[ID], row[QUEUE], *attempt] for attempt in row[WIDTH]] if len(row) > WIDTH else []


def witness(status: os.stat_result) -> str:
    """Return what changes whenever a job's file changes, spelled as queries.sql spells it."""
    return f"{status.st_ino} {status.st_size} {status.st_ctime_ns}"


def fingerprint_of(job: Job) -> str | None:
    """Return what the error of a failed or dead job has in common with others; None for other jobs."""
    if job.state not in ("failed", "dead"):
        return None
    from queuectl.index.error_groups import fingerprint  # imports re, which most commands do without

    how = f"{job.outcome} {job.exit_code}" if job.outcome else str(job.dead_reason)
    error = job.last_error
    return fingerprint(how, job.command[:COMMAND_CHARS], error if isinstance(error, str) else None)


def _ready_at(job: Job, status: os.stat_result | None) -> float:
    if status is None or job.directory != PENDING or job.last_event not in SETTLING:
        return job.ready_at
    return max(job.ready_at, status.st_ctime_ns / 1e9)  # it was moved for a retry, whose entry is not written yet


def _ready(job: Job) -> int | None:
    if job.directory != PENDING or job.is_held:
        return None
    is_due = job.waits == "nobody"  # as soon as possible, also when the clock was set back since: see Job.due_at
    if job.parents:
        return AFTER_PARENTS if is_due else AFTER_PARENTS_AND_TIME
    return 1 if is_due else 0


def _parents(job: Job) -> list[str] | None:
    """Return the jobs that a job waits for, or because of which it is dead; None when there are none."""
    is_waiting = job.directory == PENDING or job.dead_reason == DEPENDENCY_FAILED
    return job.parents or None if is_waiting else None


def as_dict(row: tuple[Any, ...] | Row) -> dict[str, Any]:
    """Return a row by column, tags as a list, without what only the index itself needs."""
    made = dict(zip(COLUMNS, row, strict=True))
    for column in INTERNAL:
        del made[column]
    made["tags"] = json.loads(made["tags"]) if made["tags"] else []
    return made


def tag_pattern(tag: str) -> str:
    """Return what the text of column `tags`, its brackets replaced by commas, holds when one of the tags is `tag`."""
    return f",{json.dumps(tag)},"


def _text(value: object, limit: int) -> str | None:
    return value[:limit].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _integer(value: object) -> int | None:
    return max(-BIGGEST, min(int(value), BIGGEST)) if isinstance(value, int) else None


def _real(value: object) -> float | None:
    return float(max(-BIGGEST, min(value, BIGGEST))) if isinstance(value, (int, float)) else None


def _tags(value: object) -> str | None:
    if not isinstance(value, list) or not value:
        return None
    text = json.dumps(value, separators=(",", ":"))
    kept = len(value)
    while len(text) > TAGS_CHARS and kept:
        kept //= 2
        text = json.dumps(value[:kept], separators=(",", ":"))
    return text if kept else None
