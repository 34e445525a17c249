"""job_view: a job as programs get it: the one shape of a job in JSON, and Job, which Python callers get.

Owns:       ROW and DETAIL, the members of a job in JSON. A list has rows; whatever is about one job has the detail.
Guarantees: every member is always there, null where it has no value; a member of a row has the same name, type and
            value in the detail, except that a row holds the first 500 characters of a command and 1,000 of an error.
Source:     docs/reference/job.md, which is written from web/answers.json; a test compares all three.
"""

from __future__ import annotations

import os

from queuectl.client.job_output import progress_of, result_of
from queuectl.clock import parse_instant, spell
from queuectl.errors import NotFound, UsageError, from_os_error
from queuectl.index.rows import START, fingerprint_of
from queuectl.job.attempts import attempts_of, max_retries_of
from queuectl.job.fields import FIELDS, unknown
from queuectl.job.job import Job as StoredJob
from queuectl.scheduling.waits_for import GOING
from queuectl.units import plural, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from queuectl.config.settings import Settings
    from queuectl.scheduling.waits_for import Supervision
    from queuectl.spool.layout import Layout
    from queuectl.spool.spool import Spool

ROW = (
    *("id", "state", "queue", "name", "priority", "command", "tags", "batch", "unique_key"),
    *("run_at", "created_at", "updated_at", "started_at", "finished_at"),
    *("attempts", "failures", "max_retries", "exit_code", "outcome", "last_error", "dead_reason", "worker"),
    *("cpu_s", "max_rss_bytes", "fingerprint"),
)
AUTHORS = tuple(name for name in FIELDS if name not in ROW)  # null where the author said nothing
DETAIL = (
    *ROW,
    *AUTHORS,
    "directory",
    "result",
    "result_error",
    "progress",
    "schedule",
    "waits_for",
    "unknown_fields",
    "attempt_list",
    "history",
)
FLAGS_OF_AN_END = ("timed_out", "output_limit", "memory_limit", "cpu_limit", "failed_to_start")
DETAILS_OF_AN_END = ("exit_code", "signal", "error", "reason", "cpu_s", "max_rss_bytes", "leftovers")


def row_as_dict(row: Mapping[str, Any], max_retries: int) -> dict[str, Any]:
    """Return a row of the index as JSON has it; `max_retries` is that of the configuration."""
    made = {
        name: spell(value) if name.endswith("_at") and value is not None else value
        for name, value in row.items()
        if name not in START
    }
    made["max_retries"] = max_retries_of(row, max_retries)
    return made


def group_as_dict(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group of failures (Reader.failures) as JSON has it."""
    newest = group["newest"]
    members = ("id", "command", "last_error", "exit_code", "outcome", "dead_reason")
    return {
        "fingerprint": group["fingerprint"],
        "count": group["count"],
        "first_at": spell(group["first_at"]),
        "last_at": spell(group["last_at"]),
        **{name: newest[name] for name in members},
    }


def details(jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Return jobs of one home as `show --json` has them; the supervisor is asked once."""
    from queuectl.client.why import read_supervision

    given, supervision = [*jobs], None
    going = next((job for job in given if job.state in GOING), None)
    if len(given) > 1 and going is not None:
        supervision = read_supervision(going.spool)
    return [job.as_dict(supervision) for job in given]


class Job(StoredJob):
    """One job as its file was when it was asked for.

    Attributes:
        state: pending, held, failed (waits for its next try), processing, completed, cancelled or dead.
        fields: what its author wrote, as later edits left it.
        attempts, failures: how often it was started, ever; failed attempts since it was last retried by hand.
        created_at, updated_at, run_at, started_at, finished_at: seconds since 1970; None where it has not happened.
        exit_code, outcome, last_error, dead_reason: how the newest attempt ended, and why the job is dead.
        history: every event, oldest first (FORMAT.md § History).
    """

    __slots__ = ("_layout", "_settings")

    def __init__(self, stored: StoredJob, layout: Layout, settings: Settings) -> None:
        for name in StoredJob.__slots__:
            setattr(self, name, getattr(stored, name))
        self._layout = layout
        self._settings = settings

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state}: {self.command[:60]}>"

    @property
    def result(self) -> Any:
        """What the newest attempt wrote to $QUEUECTL_RESULT, as JSON; None when that is nothing, or not valid."""
        return result_of(self._layout, self).value

    @property
    def result_error(self) -> str | None:
        """What is wrong with what the newest attempt wrote to $QUEUECTL_RESULT; None when nothing is."""
        return result_of(self._layout, self).error

    @property
    def progress(self) -> str | None:
        """What a running job last wrote to $QUEUECTL_PROGRESS: "40% converting"."""
        return progress_of(self._layout, self) or None

    @property
    def spool(self) -> Spool:
        """The spool that it was read from."""
        from queuectl.spool.spool import Spool

        return Spool(self._layout, self._settings)

    @property
    def waits_for(self) -> list[dict[str, Any]]:
        """Why it does not run now, as far as is known at this moment; empty when it runs, has ended, or starts at once.

        Each reason has `reason` (held, after, paused, limit, no_supervisor ...), `text`, `until` (an instant, where the
        reason ends by itself), `jobs` (the ids of parents, or of holders of what is taken), `limit` (such as lock/db or load)
        and `hint` (what to type).
        """
        return self._waits_for(None)

    def _waits_for(self, supervision: Supervision | None) -> list[dict[str, Any]]:
        from queuectl.client.why import reasons_of

        reasons = reasons_of(self.spool, self, supervision)
        return [reason.as_dict(self.id) for reason in reasons]

    def output_path(self, attempt: int | None = None) -> str:
        """Return the path of what an attempt (default: the newest) wrote to stdout and stderr.

        Raises:
            NotFound: it never ran, or not so often.
        """
        number = self.attempts if attempt is None else attempt
        if not isinstance(number, int) or isinstance(number, bool):
            raise UsageError(f'"attempt" must be the number of an attempt, not {quote(number)}')
        if not 1 <= number <= self.attempts:
            raise NotFound(
                f"job {self.id} has no attempt {number}: it has {plural(self.attempts, 'attempt')}"
                if self.attempts
                else f"job {self.id} has not run yet"
            )
        return self._layout.output_of(self.id, number)

    def output_text(self, attempt: int | None = None) -> str:
        r"""Return what an attempt (default: the newest) wrote; bytes that are not UTF-8 as `\x9b`.

        Raises:
            NotFound: it never ran, or what it wrote was removed.
        """
        path = self.output_path(attempt)
        try:
            with open(path, "rb") as file:
                return file.read().decode("utf-8", "backslashreplace")
        except FileNotFoundError:
            number = self.attempts if attempt is None else attempt
            raise NotFound(f"the output of job {self.id}, attempt {number}, has been removed") from None
        except OSError as error:
            raise from_os_error(error, f"cannot use {path}") from error

    def as_dict(self, supervision: Supervision | None = None) -> dict[str, Any]:
        """Return the job as `show --json` has it: the members DETAIL, and what else the author wrote.

        Args:
            supervision: read before, for one of several jobs.
        """
        from queuectl.scheduling.schedules import schedule_of

        fields, expires_at, result = self.fields, self.expires_at, result_of(self._layout, self)
        made = {
            "id": self.id,
            "state": self.state,
            "queue": self.queue,
            "name": fields.get("name"),
            "priority": self.priority,
            "command": self.command,
            "tags": [*fields.get("tags", ())],
            "batch": fields.get("batch"),
            "unique_key": fields.get("unique_key"),
            "run_at": spell(self.run_at),
            "created_at": spell(self.created_at),
            "updated_at": spell(self.updated_at),
            "started_at": _spelled(self.started_at),
            "finished_at": _spelled(self.finished_at),
            "attempts": self.attempts,
            "failures": self.failures,
            "max_retries": fields.get("max_retries"),
            "exit_code": self.exit_code,
            "outcome": self.outcome,
            "last_error": self.last_error,
            "dead_reason": self.dead_reason,
            "worker": self.worker,
            "cpu_s": self.cpu_s,
            "max_rss_bytes": self.max_rss_bytes,
            "fingerprint": fingerprint_of(self),
        }
        made["max_retries"] = max_retries_of(made, self._settings.max_retries_default)
        made.update((name, fields.get(name)) for name in AUTHORS)
        made.update(
            expires_at=_spelled(expires_at),
            directory=self.directory,
            result=result.value,
            result_error=result.error,
            progress=self.progress,
            schedule=schedule_of(self.id, fields.get("tags")),
            waits_for=self._waits_for(supervision),
            unknown_fields=unknown(fields),
            attempt_list=self._attempt_list(),
            history=self.history,
        )
        return {**made, **{name: value for name, value in fields.items() if name not in made}}

    def _attempt_list(self) -> list[dict[str, Any]]:
        """Return what is known of each attempt, the newest first."""
        rows = attempts_of(self.history, self.first_ready_at)
        return [self._attempt(row) for row in reversed(rows)]

    def _attempt(self, row: Mapping[str, Any]) -> dict[str, Any]:
        retry = row.get("run_at")
        return {
            "attempt": row["attempt"],
            "started_at": spell(row["started_at"]),
            "ready_at": spell(row["ready_at"]),
            "ended_at": _spelled(row.get("ended_at")),
            "worker": row["worker"],
            "units": row.get("units") or {},
            "event": row.get("event"),
            **{name: row.get(name) for name in DETAILS_OF_AN_END},
            **{name: bool(row.get(name)) for name in FLAGS_OF_AN_END},
            "retry_at": None if retry is None else spell(parse_instant(retry)),
            "output_bytes": _size(self._layout.output_of(self.id, row["attempt"])),
        }


def _spelled(instant: float | None) -> str | None:
    return None if instant is None else spell(instant)


def _size(path: str) -> int | None:
    try:
        return os.lstat(path).st_size
    except OSError:
        return None
