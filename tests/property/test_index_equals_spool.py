"""Whatever happens to spool and index, after a sync the index is what the spool says, row for row.

A session is what a supervisor is: it keeps the index open, hears of some events and misses others, and is closed or
killed. Between sessions commands catch up by themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from queuectl.config.settings import Settings
from queuectl.errors import QueueError
from queuectl.index import sync as sync_module
from queuectl.index.reader import Reader
from queuectl.index.rebuild import rebuild, verify
from queuectl.index.rows import AT, COLUMNS, WIDTH, row_of
from queuectl.index.sync import catch_up, refresh, sync
from queuectl.index.writer import Writer
from queuectl.job.job import DIRECTORIES, PENDING, STATES, Job
from queuectl.spool.claim import Claim
from queuectl.spool.layout import Layout
from queuectl.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = st.sampled_from(["a", "b", "c"])
IN_PLACE = st.sampled_from(["edit", "hold", "release", "run_now"])
QUEUES = st.sampled_from(["default", "mail"])
SUFFIXES = ("", "-wal", "-shm")


class SpoolAndIndex(RuleBasedStateMachine):
    @initialize(comes_to_rest=st.booleans())
    def begin(self, comes_to_rest: bool) -> None:
        sync_module.STEP, self.step = 1, sync_module.STEP  # many small pieces, so that a kill finds more moments
        self.root = tempfile.mkdtemp(prefix="index-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        self.layout = Layout(f"{self.root}/home")
        self.layout.ensure()
        self.spool = Spool(self.layout, Settings({"durability": "relaxed"}))
        self.session: Writer | None = None
        self.age = 0
        self.length = 0
        self.comes_to_rest = comes_to_rest
        self.unseen = 0

    def teardown(self) -> None:
        if hasattr(self, "root"):
            if self.session is not None:
                self.session._database.close()
            shutil.rmtree(self.root)
            sync_module.STEP = self.step

    # --- what happens to the spool

    def happens(self, job_id: str, *, heard: bool) -> None:
        """Something happened to a job that its directory shows; a session may hear of it at once."""
        if self.session is not None and heard:
            refresh(self.spool, self.session, job_id)

    def text(self, **fields: Any) -> str:
        """A job of a length that no other has, so that no two versions of a file look alike within one clock tick."""
        self.length += 1
        return json.dumps({"command": "true " + "x" * self.length, **fields})

    def have(self, job_id: str) -> None:
        """Let there be such a job, and the index know it."""
        if self.spool.find(job_id) is None:
            self.enqueue(job_id, "default", 0, later=False, heard=True)
            self.look()

    @rule(job_id=NAMES, queue=QUEUES, priority=st.integers(-1, 1), later=st.booleans(), heard=st.booleans())
    def enqueue(self, job_id: str, queue: str, priority: int, later: bool, heard: bool) -> None:
        fields: dict[str, Any] = {"queue": queue, "priority": priority, "unique_key": "k", "tags": ["t"]}
        if later:
            fields["run_at"] = "2199-01-01T00:00:00Z"
        self.length += 1
        try:
            self.spool.enqueue({"id": job_id, "command": "true " + "x" * self.length, **fields})
        except QueueError:
            return
        self.happens(job_id, heard=heard)

    @rule(job_id=NAMES, inner=NAMES, says_id=st.booleans(), is_job=st.booleans(), is_quiet=st.booleans())
    def drop(self, job_id: str, inner: str, says_id: bool, is_job: bool, is_quiet: bool) -> None:
        """A stranger puts a file into pending/, over whatever has that name."""
        text = self.text(**({"id": inner} if says_id else {}))
        self.write(PENDING, job_id, text if is_job else text[:-1], is_quiet=is_quiet)

    @rule(job_id=NAMES, directory=st.sampled_from(DIRECTORIES[1:]), is_job=st.booleans())
    def meddle(self, job_id: str, directory: str, is_job: bool) -> None:
        """A stranger puts a file where no stranger should."""
        text = self.text()
        self.write(directory, job_id, text if is_job else text[:-1], is_quiet=True)

    def write(self, directory: str, job_id: str, text: str, *, is_quiet: bool) -> None:
        self.length += 1
        temporary = f"{self.layout.tmp}/{self.length}"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        if is_quiet:
            os.utime(temporary, (1e9, 1e9))
        os.replace(temporary, self.layout.job(directory, job_id))

    @rule(name=st.sampled_from(["bad name.json", ".hidden", "note.txt", "x.json.tmp"]))
    def drop_what_is_no_job(self, name: str) -> None:
        with open(f"{self.layout.directory(PENDING)}/{name}", "w", encoding="utf-8") as file:
            file.write("?")

    @rule(job_id=NAMES, source=st.sampled_from(DIRECTORIES), goal=st.sampled_from(DIRECTORIES), copies=st.booleans())
    def move_by_hand(self, job_id: str, source: str, goal: str, copies: bool) -> None:
        path = self.layout.job(source, job_id)
        if source == goal or not os.path.exists(path):
            return
        if copies:
            self.length += 1
            shutil.copy(path, f"{self.layout.tmp}/{self.length}")
            os.replace(f"{self.layout.tmp}/{self.length}", self.layout.job(goal, job_id))
        else:
            os.replace(path, self.layout.job(goal, job_id))

    @rule(job_id=NAMES, directory=st.sampled_from(DIRECTORIES))
    def delete_by_hand(self, job_id: str, directory: str) -> None:
        if os.path.exists(self.layout.job(directory, job_id)):
            os.unlink(self.layout.job(directory, job_id))

    @rule(
        job_id=NAMES,
        end=st.sampled_from(["finish", "fail", "snooze", "bury", "cancel", "interrupt", "put_back", "leave", "tear"]),
        heard=st.booleans(),
    )
    def run(self, job_id: str, end: str, heard: bool) -> None:
        self.have(job_id)
        claim = self.spool.claim(job_id, "worker-1")
        if not isinstance(claim, Claim):  # it may have been interrupted or renamed on the way: who claims tells
            self.spool.note_change(job_id)
            return
        with claim:
            end_of(claim, end)
        if end == "tear":
            path = self.layout.job("processing", job_id)
            os.truncate(path, os.path.getsize(path) - 7)
        self.happens(job_id, heard=heard)

    @rule(job_id=NAMES, verb=IN_PLACE, by_session=st.booleans())
    def change_in_place(self, job_id: str, verb: str, by_session: bool) -> None:
        """No directory shows it: a command notes it in run/changes, a session puts it into the index itself."""

        def change(claim: Claim) -> None:
            if verb == "edit":
                self.length += 1
                claim.edit({"priority": self.length % 3, "queue": "edited"})
            else:
                getattr(claim, verb)()

        self.have(job_id)
        self.spool.announce = self.session is None or not by_session
        if self.with_claim(job_id, change):
            self.happens(job_id, heard=by_session)
        self.spool.announce = True

    @rule(job_id=NAMES, verb=st.sampled_from(["cancel", "revive", "delete"]), heard=st.booleans())
    def change_and_move(self, job_id: str, verb: str, heard: bool) -> None:
        self.have(job_id)
        if self.with_claim(job_id, lambda claim: getattr(claim, verb)()):
            self.happens(job_id, heard=heard)

    def with_claim(self, job_id: str, do: Callable[[Claim], Any]) -> bool:
        try:
            claim = self.spool.take_in(self.spool.find(job_id) or PENDING, job_id)
        except (QueueError, OSError):
            return False
        if claim is None:
            return False
        with claim:
            try:
                do(claim)
            except QueueError:
                return False
        return True

    # --- what happens to the index

    @rule(changes=st.integers(1, 4))
    def nobody_looks(self, changes: int) -> None:
        """Several things happen before the next comparison."""
        self.unseen = changes

    @precondition(lambda self: self.session is None)
    @rule(stops_after=st.integers(0, 8), full=st.booleans())
    def a_command_is_killed_while_it_catches_up(self, stops_after: int, full: bool) -> None:
        index = Writer(self.layout.index)
        for number, _ in enumerate(sync(self.spool, index, full=full)):
            if number == stops_after:
                break
        index._database.close()

    @precondition(lambda self: self.session is None)
    @rule()
    def begin_session(self) -> None:
        self.session = Writer(self.layout.index)

    @precondition(lambda self: self.session is not None)
    @rule(is_clean=st.booleans(), is_killed=st.booleans())
    def end_session(self, is_clean: bool, is_killed: bool) -> None:
        assert self.session is not None
        if is_killed:
            self.session._database.close()
        else:
            self.session.close(clean=is_clean)
        self.session = None

    @precondition(lambda self: self.session is None)
    @rule(how=st.sampled_from(["unlink", "truncate", "garbage", "unlink main only"]), at=st.floats(0, 1))
    def damage(self, how: str, at: float) -> None:
        path = self.layout.index
        if not os.path.exists(path):
            return
        if how == "truncate":
            os.truncate(path, int(os.path.getsize(path) * at))
        elif how == "garbage":
            with open(path, "r+b") as file:
                file.write(b"\xa5" * 5000)
        else:
            for suffix in SUFFIXES if how == "unlink" else SUFFIXES[:1]:
                if os.path.exists(path + suffix):
                    os.unlink(path + suffix)

    @precondition(lambda self: self.session is None)
    @rule()
    def copy(self) -> None:
        for suffix in SUFFIXES:
            if os.path.exists(self.layout.index + suffix):
                shutil.copy(self.layout.index + suffix, f"{self.root}/copy{suffix}")
            elif os.path.exists(f"{self.root}/copy{suffix}"):
                os.unlink(f"{self.root}/copy{suffix}")

    @precondition(lambda self: self.session is None)
    @rule()
    def roll_back(self) -> None:
        """Somebody restores the index from an older copy."""
        if not os.path.exists(f"{self.root}/copy"):
            return
        for suffix in SUFFIXES:
            if os.path.exists(self.layout.index + suffix):
                os.unlink(self.layout.index + suffix)
            if os.path.exists(f"{self.root}/copy{suffix}"):
                shutil.copy(f"{self.root}/copy{suffix}", self.layout.index + suffix)

    @precondition(lambda self: self.session is None)
    @rule(job_id=NAMES, verb=IN_PLACE)
    def roll_back_behind_a_change_in_place(self, job_id: str, verb: str) -> None:
        self.have(job_id)
        self.copy()
        self.change_in_place(job_id, verb, by_session=False)
        self.catch_up()
        self.roll_back()

    @precondition(lambda self: self.session is None)
    @rule(job_id=NAMES, verb=IN_PLACE, rolls_back=st.booleans(), pieces=st.integers(0, 3))
    def a_session_is_killed_before_it_writes(self, job_id: str, verb: str, rolls_back: bool, pieces: int) -> None:
        self.have(job_id)
        self.copy()
        self.session = Writer(self.layout.index)
        for number, _ in enumerate(sync(self.spool, self.session)):
            if number == pieces:
                break
        self.change_in_place(job_id, verb, by_session=True)
        self.session._database.close()
        self.session = None
        if rolls_back:
            self.roll_back()

    @precondition(lambda self: self.session is None)
    @rule()
    def rebuild(self) -> None:
        for _ in rebuild(self.spool, self.layout.index):
            continue

    def catch_up(self) -> None:
        """Compare, as a session does or as a command does by itself."""
        for _ in catch_up(self.spool) if self.session is None else sync(self.spool, self.session):
            continue

    def time_passes(self) -> None:
        """Directories look as if they had not changed for long, each time another time."""
        self.age += 1
        for directory in DIRECTORIES:
            os.utime(self.layout.directory(directory), (1e9 + self.age, 1e9 + self.age))

    # --- what must hold

    @invariant()
    def after_a_sync_the_index_is_what_the_spool_says(self) -> None:
        if not hasattr(self, "root"):
            return
        if self.unseen > 0:
            self.unseen -= 1
            return
        self.look()

    def look(self) -> None:
        """Catch up and check."""
        self.catch_up()
        self.check()
        if self.comes_to_rest:  # then the next comparison believes what has not changed from here on
            self.time_passes()
            self.catch_up()

    def check(self) -> None:
        with Reader(self.layout.index) as reader:
            rows = {row[0]: list(row) for row in reader.all_rows()}
            jobs = self.jobs(rows)
            counts, by_queue = reader.counts(), reader.by_queue()
            holder = reader.unique_holder("k")
            assert [found for found in verify(self.spool, reader) if found is not None] == []
        assert {job_id: comparable(row) for job_id, row in rows.items()} == {
            job_id: comparable(self.row(job), rows.get(job_id)) for job_id, job in jobs.items()
        }
        assert counts == {state: sum(job.state == state for job in jobs.values()) for state in STATES}
        for queue in {job.queue for job in jobs.values()} | by_queue.keys():
            for state in STATES:
                really = sum(job.state == state and job.queue == queue for job in jobs.values())
                assert by_queue.get(queue, {}).get(state, 0) == really
        holders = {
            job.id
            for job in jobs.values()
            if job.fields.get("unique_key") == "k" and job.state in ("pending", "held", "failed", "processing")
        }
        assert (holder in holders) if holders else (holder is None)
        if self.session is not None:
            due = [found.id for found in self.session.due(time.time(), 100)]
            may_start = [
                job for job in jobs.values() if job.state in ("pending", "failed") and job.run_at <= time.time()
            ]
            wanted = [job.id for job in sorted(may_start, key=lambda job: (-job.priority, job.run_at, job.id))]
            assert due == wanted

    def jobs(self, rows: dict[str, list[Any]]) -> dict[str, Job]:
        """Read them all, each from the first directory that has it.

        In pending/ a torn file could be half of what a stranger writes: it is no job for the time of `drop_grace`.
        """
        found: dict[str, Job] = {}
        for directory in DIRECTORIES:
            for job_id in self.spool.ids(directory):
                try:
                    job = self.spool.read_in(directory, job_id)
                except (QueueError, OSError):
                    continue
                shown = rows.get(job_id, [None] * 2)[1]
                if job is not None and not (job.is_torn and directory == PENDING and shown != job.state):
                    found.setdefault(job_id, job)
        return found

    def row(self, job: Job) -> list[Any]:
        return row_of(job, os.lstat(self.layout.job(job.directory, job.id)))[:WIDTH]


def end_of(claim: Claim, end: str) -> None:
    """End an attempt, or leave it as a crash does."""
    if end == "finish":
        claim.finish({"exit_code": 0, "cpu_s": 1, "max_rss_bytes": 1 << 20})
    elif end in ("fail", "snooze"):
        event = {"fail": "failed", "snooze": "snoozed"}[end]
        claim.reschedule(event, time.time() + 1000, {"exit_code": 1, "error": "no"})
    elif end == "bury":
        claim.move_to_dead("retries_exhausted", {"exit_code": 2})
    elif end == "cancel":
        claim.cancel({"exit_code": 143, "signal": "SIGTERM"})
    elif end == "interrupt":
        claim.interrupt("its worker died")
    elif end == "put_back":
        claim.put_back()


def comparable(row: list[Any], known: list[Any] | None = None) -> list[Any]:
    """Whether a job may start yet depends on the time; a report without a witness makes none up."""
    made = list(row)
    made[AT["ready"]] = None if made[AT["ready"]] is None else 0
    for column in ("inode", "size", "ctime_ns"):
        if known is not None and known[AT[column]] is None:
            made[AT[column]] = None
    assert len(made) == len(COLUMNS)
    return made


TestIndexEqualsSpool = SpoolAndIndex.TestCase
TestIndexEqualsSpool.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
