"""client: Queue, the public Python API, through which the command line and the page act as well.

Owns:       no state; it reads the index and acts through the spool's verbs and the supervisor's socket.
Guarantees: read your writes: what this process enqueued is in its next `list`, with or without a supervisor.
Fails with: the exceptions of queuectl.errors.
"""

from __future__ import annotations

import os

from queuectl.client.actions import JobActions
from queuectl.config import config_file
from queuectl.config.settings import Settings
from queuectl.errors import Busy, Conflict, InvalidData, NotFound, TimedOut, UsageError
from queuectl.job.fields import is_generated, is_id, refuse_expired, validate
from queuectl.spool.awaited import AwaitedJobs
from queuectl.spool.layout import REASON, SUFFIX, Layout, default_home
from queuectl.spool.spool import Spool
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from datetime import timedelta
    from typing import Any

    from typing_extensions import Unpack

    from queuectl.client.events import Event
    from queuectl.client.filters import Choice, Filters, States, When
    from queuectl.client.job_spec import Job as NewJob
    from queuectl.client.job_spec import JobFields
    from queuectl.client.job_view import Job
    from queuectl.index.reader import Reader
    from queuectl.job.job import Job as StoredJob
    from queuectl.spool.purge import Removed

ENDED = ("completed", "cancelled", "dead")
PURGE_PAGE = 500
POLL_S = 0.25  # between two looks at a job when no supervisor tells of events


class Queue(JobActions):
    """The jobs of one home directory.

    Args:
        home: the queue's directory; default `$QUEUECTL_HOME`, else `~/.queuectl`. The first job creates it; until then
            it reads as an empty queue.
        settings: instead of those read from the environment and config.yaml.
        warn: told of a broken configuration, and the default settings are used; without it that is an error.

    Raises:
        NotAllowed: the home belongs to somebody else, or others can write to it.

    Example:
        >>> queue = Queue()
        >>> job_id = queue.enqueue("gzip -k data.csv", priority=5, timeout="10m")
        >>> queue.wait([job_id])[job_id].state
        'completed'
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        self.layout = own_layout(home)
        self.settings = settings or _load(self.layout.home, warn)
        self.spool = Spool(self.layout, self.settings)

    # --- putting in

    def enqueue(self, job: NewJob | None = None, *, check: bool = True, **fields: Unpack[JobFields]) -> str:
        """Put one job into the queue and return its id once it is durable.

        The job runs in the current directory, with the PATH of this process, unless `cwd` and `env` say otherwise.

        Args:
            job: a shell command; a list of arguments that is run without a shell; or a mapping of fields, among which
                there may be fields of your own.
            check: refuse a directory that is not there.
            fields: of the job (FORMAT.md § Fields): priority=5, max_retries=0, cwd="/srv", env={"A": "b"} ... Also
                delay, at and expires as on the command line. Durations are seconds, text ("10m") or timedelta;
                instants are text, datetime (without a zone: local time), timedelta (from now) or seconds since 1970.

        Raises:
            UnknownField (a misspelt name), InvalidField (a value that the field cannot have), Conflict (the id or
            unique_key is taken), Busy (too little disk space), NotAllowed.
        """
        from queuectl.client.job_spec import Template

        return self.submit(Template(fields, self.spool.clock.now(), check=check).job(job))

    def enqueue_many(
        self, jobs: Iterable[NewJob], *, check: bool = True, **fields: Unpack[JobFields]
    ) -> builtins.list[str | InvalidData | Conflict]:
        """Put many jobs in, in groups that are synced together.

        Args:
            jobs: each as the job of `enqueue`.
            check: refuse directories that are not there.
            fields: of all jobs.

        Returns:
            For each job, in order: its id, or the error for which it was refused.

        Raises:
            UnknownField, InvalidField (one of `fields`); Busy: the disk is full; `results` of the error are those of the
            jobs before.
        """
        from queuectl.client.job_spec import Template

        if isinstance(jobs, str) or hasattr(jobs, "keys"):
            raise UsageError("enqueue_many takes a list of jobs, not one job", "for one job: enqueue")
        template = Template(fields, self.spool.clock.now(), check=check)

        def wanted() -> Iterator[Mapping[str, Any] | InvalidData]:
            for job in jobs:
                try:
                    yield template.job(job)
                except InvalidData as error:
                    yield error

        results: builtins.list[str | InvalidData | Conflict] = []
        try:
            results.extend(self.submit_many(wanted()))
        except Busy as error:
            error.results = results
            raise
        return results

    def submit(self, fields: Mapping[str, Any]) -> str:
        """Put one job in exactly as `fields` say, without a directory or PATH of this process; return its id.

        Raises:
            InvalidData, Conflict (the id or unique_key is taken), Busy (too little disk space), NotAllowed.
        """
        if "expires_at" in fields:
            refuse_expired(fields, self.spool.clock.now())
        if "unique_key" in fields:
            return self._enqueue_unique(fields)
        return self.spool.enqueue(fields)

    def submit_many(
        self, jobs: Iterable[Mapping[str, Any] | InvalidData | None]
    ) -> Iterator[str | InvalidData | Conflict]:
        """Put many jobs in as they come, while the result is iterated.

        Args:
            jobs: the fields of each; an error is yielded as it is; None ends a group that is synced together.

        Yields:
            For each job, in order: its id, once it is durable, or the error for which it was refused.
        """
        from itertools import groupby

        def is_unique(fields: Mapping[str, Any] | InvalidData | None) -> bool:
            return fields is not None and not isinstance(fields, InvalidData) and "unique_key" in fields

        for has_key, group in groupby(map(self._wanted, jobs), key=is_unique):
            if has_key:
                yield from map(self._enqueue_unique_or_say_why, group)
            else:
                yield from self.spool.enqueue_many(group)

    def _wanted(self, fields: Mapping[str, Any] | InvalidData | None) -> Mapping[str, Any] | InvalidData | None:
        """Return the fields of one of many jobs, or why it is refused."""
        if fields is not None and not isinstance(fields, InvalidData) and "expires_at" in fields:
            try:
                refuse_expired(fields, self.spool.clock.now())
            except InvalidData as error:
                return error
        return fields

    def _enqueue_unique_or_say_why(self, fields: Any) -> str | InvalidData | Conflict:
        try:
            return self._enqueue_unique(fields)
        except (InvalidData, Conflict) as error:
            return error

    def _enqueue_unique(self, fields: Mapping[str, Any]) -> str:
        from hashlib import sha256

        from filelock import FileLock

        validate(fields)
        self.layout.ensure()
        digest = sha256(str(fields["unique_key"]).encode()).hexdigest()[:32]
        with FileLock(f"{self.layout.run}/unique.{digest}", mode=0o600), self.reader() as reader:
            holder = reader.unique_holder(str(fields["unique_key"]))
            if holder is not None:
                raise Conflict(f'unique_key "{fields["unique_key"]}" is held by job {holder}, which has not ended')
            return self.spool.enqueue(fields)

    # --- looking

    def get(self, job_id: str) -> Job:
        """Return a job as its file has it now.

        Raises:
            NotFound, InvalidData (its file is damaged).
        """
        return self._job(self.spool.read(job_id))

    def _job(self, stored: StoredJob) -> Job:
        from queuectl.client.job_view import Job

        return Job(stored, self.layout, self.settings)

    def resolve(self, text: str, *, is_whole: bool = False, to_change: bool = False) -> str:
        """Return the id that `text` names: an id, or a unique prefix of one.

        Args:
            is_whole: accept no prefix.
            to_change: accept a prefix of a generated id only: once job-1 is deleted, "job-1" must not name job-10.

        Raises:
            NotFound, with the ids that were perhaps meant; Conflict when several begin so.
        """
        if is_id(text) and self.spool.find(text) is not None:
            return text
        if not text:
            raise NotFound('no job ""', "the id is empty: is a variable empty?")
        with self.reader() as reader:
            asked = text.encode(errors="replace").decode()  # what was typed may hold any bytes
            begun = reader.ids_with_prefix(asked, 4) if asked and not is_whole else []
            begun = [] if to_change and not all(map(is_generated, begun)) else begun
            if len(begun) == 1:
                return begun[0]
            if begun:
                raise Conflict(f'"{text}" is a prefix of several ids: {", ".join(begun[:3])} ...')
            near = [f"{found} ({state})" for found, state in reader.near(asked)]
        meant = f". Did you mean {' or '.join(near)}?" if near else ""
        hint = None
        if is_id(text) and self.spool.files.exists(f"{self.layout.rejected}/{text}{SUFFIX}{REASON}"):
            hint = f"a file of this name was rejected; the reason: {self.layout.rejected}/{text}{SUFFIX}{REASON}"
        raise NotFound(f'no job "{text}"{meant}', hint)

    def list(self, state: States = None, **filters: Unpack[Filters]) -> list[dict[str, Any]]:
        """Return all jobs that match, as dictionaries, the last changed first.

        Args:
            state: one of job.STATES, a comma list, or several; `pending` includes held jobs. None for all.
            filters: queue, tag, batch, search (text in id, name or command), error (text in the last error), since and
                until ("2h" ago, RFC 3339, datetime, timedelta, seconds since 1970), sort, limit.

        Raises:
            InvalidFilter: there is no such filter, state or order; or a value that the filter cannot have.
        """
        from queuectl.client.filters import query_of
        from queuectl.client.job_view import row_as_dict

        query, most = query_of({"limit": None, "state": state, **filters}, self.spool.clock.now()), self.settings
        with self.reader() as reader:
            return [row_as_dict(row, most.max_retries_default) for row in reader.page(query).rows]

    def events(self, since: When = None, kinds: str | Iterable[str] = (), *, follow: bool = False) -> Iterator[Event]:
        """Iterate over what happened to jobs, oldest first, and with `follow` over what happens, without end.

        Args:
            since: from then on: "2h" ago, RFC 3339, datetime, timedelta, seconds since 1970. Default: the last hour;
                with `follow`, now.
            kinds: only these: "failed,died" or several.

        Raises:
            InvalidFilter: `since` is no time. UsageError: there is no such kind.
        """
        from queuectl.client.events import Event, EventStream, kinds_of
        from queuectl.client.filters import instant

        now, wanted = self.spool.clock.now(), kinds_of(kinds)
        start = instant("since", since, now) if since is not None else now if follow else now - 3600
        stream = EventStream(self.spool, self.reader, wanted)
        found: Iterable[dict[str, Any] | None] = stream.follow(start) if follow else stream.past(start)
        return (Event.of(happened) for happened in found if happened is not None)

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        with self.reader() as reader:
            return reader.counts()

    def reader(self, warn: Callable[[str], None] | None = None, on_step: Callable[[str], None] | None = None) -> Reader:
        """Open the index once it shows everything that has happened until now; see current_index."""
        from queuectl.client import current_index

        return current_index.open_reader(self.spool, warn, on_step)

    def catch_up(self, on_step: Callable[[str], None] | None = None) -> None:
        """Bring the index up to date: the supervisor does it when one runs, else this process."""
        from queuectl.client import current_index

        current_index.catch_up(self.spool, on_step=on_step)

    def purge(
        self,
        state: States = ("completed", "cancelled"),
        *,
        older_than: When = None,
        output_only: bool = False,
        **filters: Unpack[Choice],
    ) -> Removed:
        """Remove many jobs and what they wrote, for good. A job that changes meanwhile stays.

        Args:
            state: of the jobs; running ones are never among them.
            older_than: only jobs that have not changed for so long: "30d", a timedelta, seconds; or since: a datetime.
            output_only: remove only what they wrote.
            filters: queue, tag, batch, search, error, since as those of `list`.

        Raises:
            InvalidFilter.
        """
        from queuectl.client.filters import CHOICE, InvalidFilter, check_names, query_of, states_of
        from queuectl.index.rows import DIRECTORY_OF
        from queuectl.spool.purge import Chosen, Removed, purge

        states, now, removed = states_of(state), self.spool.clock.now(), Removed()
        if isinstance(older_than, (int, float)):
            from datetime import timedelta

            older_than = timedelta(seconds=older_than)
        if not states or "processing" in states:
            raise InvalidFilter("state", "running jobs are not purged: cancel them first")
        check_names(filters, known=CHOICE)
        given = {**filters, "state": states, "until": older_than}
        query = query_of(given, now, sort="-updated", limit=PURGE_PAGE, is_counted=False)
        query.until = now if query.until is None else min(query.until, now)
        with self.reader() as reader:
            rows = reader.rows(query)
            chosen = (Chosen(row["id"], DIRECTORY_OF[row["state"]], row["updated_at"]) for row in rows)
            for group in purge(self.spool, chosen, output_only=output_only):
                removed.add(group)
        return removed

    def output(self, job_id: str, attempt: int | None = None) -> str:
        """Return the path of what an attempt (default: the newest) wrote to stdout and stderr.

        Raises:
            NotFound: no such job, or it never ran.
        """
        return self.get(job_id).output_path(attempt)

    def wait(
        self,
        job_ids: str | Iterable[str],
        timeout_s: float | timedelta | None = None,
        on_end: Callable[[Job], None] | None = None,
        on_look: Callable[[], None] | None = None,
        on_left: Callable[[Sequence[Job]], None] | None = None,
    ) -> dict[str, Job]:
        """Wait until every job is completed, cancelled or dead, and return them by id.

        Args:
            job_ids: of several jobs, or of one.
            on_end: called with each job as it ends.
            on_look: called whenever the jobs have been looked at, at least every few seconds.
            on_left: called as often, with those that have not ended, unless the time is over.

        Raises:
            NotFound: one of them does not exist.
            Conflict: one of them is the job inside which this process runs, so that it would wait for itself.
            JobFailed: one was removed before it had ended.
            TimedOut: some had not ended after `timeout_s` seconds.
        """
        from datetime import timedelta

        if isinstance(timeout_s, timedelta):
            timeout_s = timeout_s.total_seconds()
        left: dict[str, Job | None] = dict.fromkeys([job_ids] if isinstance(job_ids, str) else job_ids)
        awaited = AwaitedJobs(self.spool)
        self.refuse_own_job(left)
        ended: dict[str, Job] = {}
        deadline = None if timeout_s is None else self.spool.clock.monotonic() + timeout_s
        for is_last in self._looks(deadline):
            for job_id in [*left]:
                job = left[job_id] = self._job(awaited.read(job_id))
                if job.state in ENDED:
                    del left[job_id]
                    ended[job_id] = job
                    if on_end is not None:
                        on_end(job)
            if not left:
                return ended
            if on_look is not None:
                on_look()
            if on_left is not None and not is_last:
                on_left([job for job in left.values() if job is not None])
        raise TimedOut(f"{len(left)} of {plural(len(left) + len(ended), 'job')} had not ended after {timeout_s:g}s")

    def refuse_own_job(self, job_ids: Container[str]) -> None:
        """Raise Conflict when one of these is the job inside which this process runs: it would wait for itself."""
        from queuectl.executor.environment import calling_job

        job = calling_job(self.spool, os.environ)
        if job is not None and job.id in job_ids:
            raise Conflict(
                f"this command runs in job {job.id}: it would wait for itself",
                "exclude this job; its id is in $QUEUECTL_JOB_ID",
            )

    def _looks(self, deadline: float | None) -> Iterator[bool]:
        """Yield False whenever something may have changed, and True once the deadline has passed."""
        from queuectl.control_client import Watch

        clock = self.spool.clock
        watch = Watch(self.layout)
        try:
            soon_until = clock.monotonic() + POLL_S * 4
            while deadline is None or clock.monotonic() < deadline:
                yield False
                left = POLL_S * 4 if watch.is_open and clock.monotonic() > soon_until else POLL_S
                watch.wait(left if deadline is None else max(0.0, min(left, deadline - clock.monotonic())))
        finally:
            watch.close()
        yield True


def _load(home: str, warn: Callable[[str], None] | None) -> Settings:
    try:
        return config_file.load(home, os.environ)
    except InvalidData as error:
        if warn is None:
            raise
        warn(f"{error}; shown with the default settings")
        return Settings()


def own_layout(home: str | os.PathLike[str] | None = None) -> Layout:
    """Return the layout of a home, by default that of the user; what root wrote there, its owner could not use.

    Raises:
        NotAllowed: the home belongs to somebody else, or others can write to it.
    """
    layout = Layout(os.fspath(home) if home else default_home())
    try:
        layout.check()
    except FileNotFoundError:
        pass  # it is created when first needed
    return layout
