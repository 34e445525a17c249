"""client: Queue, the public Python API, through which the command line and the page act as well.

Owns:       no state; it reads the index and acts through the spool's verbs and the supervisor's socket.
Guarantees: read your writes: what this process enqueued is in its next `list`, with or without a supervisor.
Fails with: the exceptions of queuectl.errors.
"""

from __future__ import annotations

import os
from functools import partial

from queuectl.client.actions import JobActions, free_key, raises_queue_errors, refuse_held
from queuectl.client.arguments import id_of, path_of
from queuectl.client.queues import Queues
from queuectl.client.schedules import Schedules
from queuectl.client.waiting import ENDED as ENDED
from queuectl.client.waiting import Waiting
from queuectl.config import config_file
from queuectl.config.settings import Settings
from queuectl.errors import Busy, Conflict, InvalidData, NotFound, UsageError, from_os_error
from queuectl.ids import is_generated, is_id
from queuectl.job.fields import refuse_in_new, refuse_together, validate
from queuectl.spool.layout import REASON, SUFFIX, Layout, default_home
from queuectl.spool.spool import Spool
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping
    from typing import Any, BinaryIO

    from typing_extensions import Self, Unpack

    from queuectl.client.arguments import JobOrId
    from queuectl.client.events import Event
    from queuectl.client.filters import Choice, Filters, States, When
    from queuectl.client.job_spec import Job as NewJob
    from queuectl.client.job_spec import JobFields
    from queuectl.client.job_view import Job
    from queuectl.index.reader import Reader
    from queuectl.job.job import Job as StoredJob
    from queuectl.spool.purge import Removed

PURGE_PAGE = 500


@raises_queue_errors
class Queue(JobActions, Queues, Schedules, Waiting):
    """The jobs of one home directory.

    A Queue keeps no file open: it does not have to be closed, and threads and forked processes may share one.

    Args:
        home: the queue's directory; default `$QUEUECTL_HOME`, else `~/.queuectl`. The first job creates it; until then
            it reads as an empty queue.
        settings: instead of those read from the environment and config.yaml.
        warn: told of a broken configuration, and the default settings are used; without it that is an error.

    Raises:
        NotAllowed: the home belongs to somebody else, or others can write to it. InvalidData: config.yaml is not valid.

    Example:
        >>> queue = Queue()
        >>> job_id = queue.enqueue("gzip -k data.csv", priority=5, timeout="10m")
        >>> queue.wait(job_id)[job_id].state
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
        self.settings = _load(self.layout.home, warn) if settings is None else settings
        self.spool = Spool(self.layout, self.settings)

    def __repr__(self) -> str:
        return f"<Queue {self.layout.home}>"

    def __reduce__(self) -> tuple[object, ...]:
        return _opened, (self.layout.home, self.settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Do nothing: no file is open between two calls."""

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
                instants are text ("tomorrow 02:00"), datetime (without a zone: local time), timedelta (from now) or
                seconds since 1970. A start in the past is a UserWarning: the job runs at once. So is a full disk, on which no
                job starts. stdin, which the command reads, is copied: bytes, the path of a file or an open binary file.

        Raises:
            UnknownField (a misspelt name), InvalidField (a value that the field cannot have), Conflict (the id or
            unique_key is taken), Busy (too little disk space), NotAllowed.

        Crash: the job is there whole, or not at all.
        """
        from queuectl.client.job_spec import Template, opened, warn

        template = Template(fields, self.spool.clock.now(), check=check)
        made = template.job(job)
        for words in template.warnings:
            warn(words)
        with opened(made.pop("stdin", None)) as source:
            job_id = self.submit(made, source)
        self._warn_of_full_disk()
        return job_id

    def _warn_of_full_disk(self) -> None:
        from queuectl.client.job_spec import warn
        from queuectl.disk_space import warning

        words = warning(self.spool)
        if words is not None:
            warn(words)

    def enqueue_many(
        self, jobs: Iterable[NewJob], *, check: bool = True, **fields: Unpack[JobFields]
    ) -> builtins.list[str | InvalidData | Conflict]:
        """Put many jobs in, in groups that are synced together.

        Args:
            jobs: each as the job of `enqueue`; read while they are written, so that a generator may be endless.
            check: refuse directories that are not there.
            fields: of all jobs; as those of `enqueue`.

        Returns:
            For each job, in order: its id, or the error for which it was refused.

        Raises:
            UnknownField, InvalidField (one of `fields`): nothing is enqueued. Busy: the disk is full; `results` of the
            error are those of the jobs before.

        Crash: each job is there whole, or not at all; those of a group may be there only in part.
        """
        from queuectl.client.job_spec import Template, warn

        if isinstance(jobs, (str, bytes)) or hasattr(jobs, "keys"):
            raise UsageError("enqueue_many takes a list of jobs, not one job", "for one job: enqueue")
        if not hasattr(jobs, "__iter__"):
            raise UsageError(f"enqueue_many takes a list of jobs, not {quote(jobs)}", "for one job: enqueue")
        template = Template(fields, self.spool.clock.now(), check=check)
        template.check_common()
        warned = [*template.warnings]
        for words in warned:
            warn(words)

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
        for words in template.warnings[len(warned) :]:
            warn(words)
        if results:
            self._warn_of_full_disk()
        return results

    def submit(self, fields: Mapping[str, Any], source: BinaryIO | None = None) -> str:
        """Put one job in exactly as `fields` say, without a directory or PATH of this process; return its id.

        Args:
            fields: those of a job file (FORMAT.md § Fields): durations are seconds, instants RFC 3339 text.
            source: what the command reads, copied to its end.

        Raises:
            InvalidData, Conflict (the id or unique_key is taken), Busy (too little disk space), NotAllowed.
        """
        self._refuse(fields, has_input=source is not None)
        put = self._enqueue_unique if "unique_key" in fields else self.spool.enqueue
        return put(fields, source)

    def check(self, fields: Mapping[str, Any], known: Container[str] = ()) -> None:
        """Refuse what `submit` would refuse, apart from an id or unique_key that is taken (refuse_taken) and a full disk.

        Args:
            known: ids that are enqueued before, so that the job may come after them.

        Raises:
            InvalidData.
        """
        from queuectl.spool.enqueue import refuse_parents

        _refuse_no_mapping(fields)
        validate(fields)
        new = [parent for parent in fields.get("after", ()) if parent == fields.get("id") or parent not in known]
        parents = partial(refuse_parents, self.spool, str(fields.get("id", "")), new)
        refuse_together([partial(self._refuse, fields), parents])

    def refuse_taken(self, fields: Mapping[str, Any], ids: Container[str] = (), keys: Container[str] = ()) -> None:
        """Raise Conflict as `submit` would now, when another job has the id or unique_key.

        Args:
            ids, keys: of jobs that are enqueued before.
        """
        from queuectl.spool.enqueue import refuse_known

        for field, before in ("id", ids), ("unique_key", keys):
            if field in fields and fields[field] in before:
                raise Conflict(f'a job before it has the {field} "{fields[field]}"')
        if "id" in fields:
            refuse_known(fields["id"], self.spool.find(fields["id"]))
        if "unique_key" in fields:
            with self.complete_reader() as reader:
                refuse_held(reader, fields["unique_key"])

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

        from queuectl.spool.batches import Adding

        def is_unique(fields: Mapping[str, Any] | InvalidData | None) -> bool:
            return fields is not None and not isinstance(fields, InvalidData) and "unique_key" in fields

        with Adding(self.spool) as adding:
            for has_key, group in groupby(map(self._wanted, jobs), key=is_unique):
                put = map(self._enqueue_unique_or_say_why, group) if has_key else self.spool.enqueue_many(group, adding)  # noqa: B031 - either
                yield from put

    def _wanted(self, fields: Mapping[str, Any] | InvalidData | None) -> Mapping[str, Any] | InvalidData | None:
        """Return the fields of one of many jobs, or why it is refused."""
        if fields is not None and not isinstance(fields, InvalidData):
            _refuse_no_mapping(fields)
            try:
                self._refuse(fields)
            except InvalidData as error:
                return error
        return fields

    def _refuse(self, fields: Mapping[str, Any], *, has_input: bool = False) -> None:
        """Refuse what a dropped file may say, but nobody who enqueues a job can mean."""
        _refuse_no_mapping(fields)
        checks = [partial(refuse_in_new, fields, self.spool.clock.now(), has_input=has_input)]
        if "weight" in fields or "needs" in fields:
            checks.append(partial(self._refuse_never_enough, fields))
        refuse_together(checks)

    def _enqueue_unique_or_say_why(self, fields: Any) -> str | InvalidData | Conflict:
        try:
            return self._enqueue_unique(fields)
        except (InvalidData, Conflict) as error:
            return error

    def _enqueue_unique(self, fields: Mapping[str, Any], source: BinaryIO | None = None) -> str:
        validate(fields)
        self.layout.ensure()
        with free_key(self.spool, fields["unique_key"]):
            return self.spool.enqueue(fields, source)

    # --- looking

    def get(self, job: JobOrId) -> Job:
        """Return a job as its file has it now; of a Job, what has become of it since.

        Raises:
            NotFound, InvalidData (its file is damaged).
        """
        return self._job(self.spool.read(id_of(job)))

    def _job(self, stored: StoredJob) -> Job:
        from queuectl.client.job_view import Job

        return Job(stored, self.layout, self.settings)

    def resolve(self, text: JobOrId, *, is_whole: bool = False, to_change: bool = False) -> str:
        """Return the id that `text` names: an id, or a unique prefix of one.

        Args:
            is_whole: accept no prefix.
            to_change: accept a prefix of a generated id only: once job-1 is deleted, "job-1" must not name job-10.

        Raises:
            NotFound, with the ids that were perhaps meant; Conflict when several begin so.
        """
        text = id_of(text)
        if is_id(text) and self.spool.find(text) is not None:
            return text
        if not text:
            raise NotFound('no job ""', "the id is empty: is a variable empty?")
        from queuectl.client.current_index import ids_with_prefix

        behind: builtins.list[str] = []  # why the index may not show every job
        with self.reader(behind.append) as reader:
            asked = text.encode(errors="replace").decode()  # what was typed may hold any bytes
            begun = reader.ids_with_prefix(asked, 4) if asked and not is_whole else []
            if behind and asked and not is_whole:
                begun = ids_with_prefix(self.spool, asked, 4)
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
            state: one of job.STATES, a comma list, or several. None for all.
            filters: queue, tag, batch, search (words in name, tags, command or last error, or part of an id), error (text in the last error), since and
                until (changed in this time: "2h" ago, RFC 3339, datetime, timedelta ago, seconds since 1970), sort,
                limit.

        Raises:
            InvalidFilter: there is no such filter, state or order; or a value that the filter cannot have.
        """
        from queuectl.client.filters import query_of
        from queuectl.client.job_view import row_as_dict

        query, most = query_of({"limit": None, "state": state, **filters}, self.spool.clock.now()), self.settings
        with self.complete_reader() as reader:
            return [row_as_dict(row, most.max_retries_default) for row in reader.page(query).rows]

    def events(
        self, since: When = None, kinds: str | Iterable[str] | None = None, *, follow: bool = False
    ) -> Iterator[Event]:
        """Iterate over what happened to jobs, oldest first, and with `follow` over what happens, without end.

        Args:
            since: from then on: "2h" ago, RFC 3339, datetime, timedelta ago, seconds since 1970. Default: the last
                hour; with `follow`, now.
            kinds: only these: "failed,died" or several; None for all.

        Raises:
            InvalidFilter: `since` is no time. UsageError: there is no such kind.
        """
        from queuectl.client.events import Event, EventStream, kinds_of
        from queuectl.client.filters import instant

        now, wanted = self.spool.clock.now(), kinds_of(kinds)
        start = instant("since", since, now) if since is not None else now if follow else now - 3600
        stream = EventStream(self.spool, self.complete_reader, wanted)
        found: Iterable[dict[str, Any] | None] = stream.follow(start) if follow else stream.past(start)
        return (Event.of(happened) for happened in found if happened is not None)

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are in each state."""
        with self.complete_reader() as reader:
            return reader.counts()

    def reader(self, warn: Callable[[str], None] | None = None, on_step: Callable[[str], None] | None = None) -> Reader:
        """Open the index once it shows everything that has happened until now; see current_index."""
        from queuectl.client import current_index

        return current_index.open_reader(self.spool, warn, on_step)

    def complete_reader(
        self, warn: Callable[[str], None] | None = None, on_step: Callable[[str], None] | None = None
    ) -> Reader:
        """Open an index that shows every job, also while the supervisor rebuilds its own or cannot write it."""
        from queuectl.client import current_index

        return current_index.open_complete_reader(self.spool, warn, on_step)

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

        Returns:
            The ids of what was removed (`ids`), of jobs that had changed meanwhile (`changed`) or that others
            wait for (`parents`), of jobs whose batch waits for its completion job (`unreported`), what could not be removed (`failed`), and the size of the removed output in bytes (`output_bytes`).

        Raises:
            InvalidFilter.

        Crash: some are removed, the others are as they were; output without a job is removed by maintenance.
        """
        from queuectl.client.dependents import Dependents
        from queuectl.client.filters import CHOICE, InvalidFilter, age, check_names, query_of, states_of
        from queuectl.index.rows import DIRECTORY_OF
        from queuectl.spool.purge import Chosen, Removed, purge

        states, now, removed = states_of(state), self.spool.clock.now(), Removed()
        if not states or "processing" in states:
            hint = "name states, as: completed,cancelled,dead"
            raise InvalidFilter("state", "running jobs are not purged: cancel them first", hint)
        check_names(filters, known=(*CHOICE, "older_than", "output_only"))
        given = {
            **filters,
            "state": states,
            "until": None if older_than is None else age("older_than", older_than, now),
        }
        query = query_of(given, now, label=_label_of_purge, sort="-updated", limit=PURGE_PAGE, is_counted=False)
        query.until = now if query.until is None else query.until
        with self.complete_reader() as reader:
            rows = reader.rows(query)
            chosen = (Chosen(row["id"], DIRECTORY_OF[row["state"]], row["updated_at"]) for row in rows)
            for group in purge(self.spool, chosen, awaited=Dependents(self.spool).of, output_only=output_only):
                removed.add(group)
        return removed

    def output(self, job: JobOrId, attempt: int | None = None) -> str:
        """Return the path of what an attempt (default: the newest) wrote to stdout and stderr.

        Raises:
            NotFound: no such job, or it never ran.
        """
        return self.get(job).output_path(attempt)


def _load(home: str, warn: Callable[[str], None] | None) -> Settings:
    try:
        return config_file.load(home, os.environ)
    except InvalidData as error:
        if warn is None:
            raise
        warn(f"{error}; shown with the default settings")
        return Settings()


def _opened(home: str, settings: Settings) -> Queue:
    return Queue(home, settings=settings)


def _refuse_no_mapping(fields: object) -> None:
    if not hasattr(fields, "keys"):
        hint = "a shell command or a list of arguments: enqueue, enqueue_many"
        raise UsageError(f"the fields of a job must be a mapping, not {quote(fields)}", hint)


def _label_of_purge(name: str) -> str:
    return quote("older_than" if name == "until" else name)


def own_layout(home: str | os.PathLike[str] | None = None) -> Layout:
    """Return the layout of a home, by default that of the user; what root wrote there, its owner could not use.

    Raises:
        NotAllowed: the home belongs to somebody else, or others can write to it. UsageError: it cannot be a path.
    """
    layout = Layout(default_home() if home in (None, "") else path_of(home))
    try:
        layout.check()
    except FileNotFoundError:
        pass  # it is created when first needed
    except OSError as error:
        raise from_os_error(error, f"cannot use {layout.home}") from error
    return layout
