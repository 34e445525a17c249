"""scan: reads every job file once, and each suspect file a second time.

Guarantees: changes nothing. A suspect file is reported only if it was the same and unlocked at two moments: a job that a
            working queue moves has another ctime, or is locked. Memory is bounded.
Cost:       some 100 µs a job.
Source:     spool/FORMAT.md § Recovery, § Two names, § Foreign files.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from queuectl.doctor.comparison import Comparison
from queuectl.doctor.home import ExaminedHome, is_kept
from queuectl.doctor.result import few
from queuectl.errors import InvalidData
from queuectl.job.fields import misspelt
from queuectl.job.job import DEAD, DIRECTORIES, DONE, PENDING, PROCESSING, Job, leads_to
from queuectl.job.job_file import MAX_FILE_BYTES
from queuectl.spool.fs import READ
from queuectl.spool.inputs import KEPT
from queuectl.spool.layout import BAD_NAME, SUFFIX, is_ignored, job_id_of, shown
from queuectl.spool.reading import read_record, wrong_with_inode

if TYPE_CHECKING:
    import os

    Mark = tuple[int, ...]
    Kinds = dict[str, str]  # what is wrong, and a detail

LIMIT = 10_000  # of each kind that are kept; --fix may be repeated
MOST_WITH_PARENTS = 200_000
FORGOTTEN_S = 3600.0
FUTURE_S = 60.0
FAR_S = 366 * 86400.0
LATER = {PENDING: (PROCESSING, DONE, DEAD), PROCESSING: (DONE, DEAD), DONE: (DEAD,), DEAD: ()}
PASSING = (
    "torn",
    "unfiled",
    "twice",
    "stranger",
    "linked",
    "shared",
)  # a process that holds the lock passes through these states


class SuspectEntry:
    """One entry of a directory that looked wrong.

    Attributes:
        kind: stranger, foreign, mode, kept, unreadable, torn, unfiled, stranded, twice, linked, shared or ignored.
        detail: the reason, or the other directory.
    """

    __slots__ = ("detail", "directory", "kind", "mark", "name", "path")

    def __init__(self, directory: str, name: str, path: str, kind: str, detail: str, mark: Mark) -> None:
        self.directory = directory
        self.name = name
        self.path = path
        self.kind = kind
        self.detail = detail
        self.mark = mark

    def __str__(self) -> str:
        return f"spool/{self.directory}/{shown(self.name)}"

    @property
    def job_id(self) -> str:
        """The id in its name; empty if there is none."""
        return job_id_of(self.name) or ""


class EntryState:
    """The result of reading an entry once.

    Attributes:
        mark: changes whenever the entry changes; empty when there is none.
        kinds: what is wrong with it.
        age_s: since it was written.
    """

    __slots__ = ("age_s", "job", "kinds", "mark")

    def __init__(self, mark: Mark = (), kinds: Kinds | None = None, age_s: float = 0.0) -> None:
        self.mark = mark
        self.kinds = kinds or {}
        self.age_s = age_s
        self.job: Job | None = None


class Scan:
    """The job files at one moment.

    Attributes:
        jobs: how many files are jobs.
        due: how many of them might run now.
        far: how many wait for a time more than a year away.
        first_far: one of those, with its time.
        misspelt: how many have a field that looks misspelt; `misspelt_to_run` of them have not ended for good.
        first_misspelt: one of those, with the field and what was probably meant.
        without_input: how many wait whose input is missing; first_without_input: one of those.
        after: of jobs that wait for others, at most MOST_WITH_PARENTS, these.
        ahead: files whose mtime lies in the future; by how many seconds at most.
    """

    def __init__(self, home: ExaminedHome, comparison: Comparison) -> None:
        self._home = home
        self._comparison = comparison
        self._found: dict[str, list[SuspectEntry]] = {}
        self.jobs = self.due = self.ahead = self.far = 0
        self.ahead_s = 0.0
        self.first_far: tuple[str, float] | None = None
        self.misspelt = self.misspelt_to_run = 0
        self.first_misspelt: tuple[str, str, str] | None = None
        self.without_input = 0
        self.first_without_input: str | None = None
        self.after: dict[str, list[str]] = {}
        self._cut: set[str] = set()  # kinds of which there are more than are kept
        for directory in DIRECTORIES:
            for number, name in enumerate(home.each_name(f"spool/{directory}"), 1):
                self._add(directory, name)
                if number % 500 == 0:
                    home.on_step(500)
        self._found = {kind: self._confirmed(found) for kind, found in self._found.items()}

    def of(self, kind: str, *directories: str) -> list[SuspectEntry]:
        """Return what was found of a kind, in these directories or in all."""
        return [seen for seen in self._found.get(kind, ()) if not directories or seen.directory in directories]

    def described(self, kind: str, *directories: str) -> str:
        """Name what was found of a kind, the first few, and say how many more there are, or at least are."""
        return few([str(seen) for seen in self.of(kind, *directories)], is_cut=kind in self._cut)

    def _add(self, directory: str, name: str) -> None:
        state = self._entry_state(directory, name)
        if state.job is not None:
            self._count(state.job)
        if state.age_s < -FUTURE_S:
            self.ahead, self.ahead_s = self.ahead + 1, max(self.ahead_s, -state.age_s)
        path = f"{self._home.layout.directory(directory)}/{name}"
        for kind, detail in state.kinds.items():
            found = self._found.setdefault(kind, [])
            if len(found) < LIMIT:
                found.append(SuspectEntry(directory, name, path, kind, detail, state.mark))
            else:
                self._cut.add(kind)

    def _count(self, job: Job) -> None:
        home = self._home
        self.jobs += 1
        self._comparison.compare_job(job)
        for field, meant in misspelt(job.fields).items():
            self.misspelt += 1
            self.misspelt_to_run += job.directory != DONE
            self.first_misspelt = self.first_misspelt or (job.id, field, meant)
            break
        if job.directory != PENDING:
            return
        if job.parents and len(self.after) < MOST_WITH_PARENTS:
            self.after[job.id] = job.parents
        if job.fields.get("stdin") == KEPT and not home.spool.files.exists(home.layout.input_of(job.id)):
            self.without_input += 1
            self.first_without_input = self.first_without_input or job.id
        if job.is_held:
            return
        due_at = job.due_at(home.now, home.settings.backoff_max)
        self.due += due_at <= home.now
        if due_at - home.now > FAR_S:
            self.far += 1
            self.first_far = self.first_far or (job.id, due_at)

    # --- one entry

    def _entry_state(self, directory: str, name: str) -> EntryState:
        home, path = self._home, f"{self._home.layout.directory(directory)}/{name}"
        status = home.lstat(path)
        if status is None:
            return EntryState()
        state = EntryState((status.st_ino, status.st_size, status.st_ctime_ns), age_s=home.now - status.st_mtime)
        if directory == PENDING and is_ignored(name):
            state.kinds = {"ignored": ""} if home.age_s(status) > FORGOTTEN_S else {}
            return state
        state.kinds = _wrong_with_entry(directory, name, status)
        if state.kinds.keys() - {"mode"}:
            return state
        try:
            state.job = self._read(directory, name, state.kinds)
            self._check_job(state.job, status, state.kinds)
        except FileNotFoundError:
            return EntryState()
        except InvalidData as error:
            if directory != PENDING or state.age_s >= home.settings.drop_grace:
                state.kinds["stranger"] = str(error)
        except OSError as error:
            if "mode" not in state.kinds:
                state.kinds["unreadable"] = error.strerror or str(error)
        return state

    def _read(self, directory: str, name: str, kinds: Kinds) -> Job:
        files, layout = self._home.files, self._home.layout
        fd = files.open(f"{layout.directory(directory)}/{name}", READ)
        try:
            record = read_record(files.read(fd, MAX_FILE_BYTES), directory, files.fstat(fd).st_mode)
            if directory == PROCESSING and not files.is_locked(fd):
                kinds["stranded"] = ""
            if is_kept(fd):
                kinds["kept"] = ""
            return Job(name[: -len(SUFFIX)], record, directory, files.fstat(fd).st_mtime)
        finally:
            files.close(fd)

    def _check_job(self, job: Job, status: os.stat_result, kinds: Kinds) -> None:
        """Add what is wrong with a file that is a job."""
        home = self._home
        if job.is_torn:
            kinds["torn"] = ""
        if job.directory == PENDING and leads_to(job.history) in (DONE, DEAD):
            kinds["unfiled"] = job.last_event
        for directory in LATER[job.directory]:
            other = home.lstat(home.layout.job(directory, job.id))
            if other is not None:
                kinds["linked" if other.st_ino == status.st_ino else "twice"] = directory
        if (
            status.st_nlink > 1
            and job.directory != PROCESSING
            and home.now - status.st_ctime > home.settings.drop_grace
        ):
            places = (home.lstat(home.layout.job(directory, job.id)) for directory in DIRECTORIES)
            if status.st_nlink > sum(place is not None and place.st_ino == status.st_ino for place in places):
                kinds["shared"] = ""

    # --- the second reading

    def _confirmed(self, found: list[SuspectEntry]) -> list[SuspectEntry]:
        """Keep the entries that are unchanged and still wrong."""
        if found:
            self._home.wait()
        return [seen for seen in found if self._is_still_wrong(seen)]

    def _is_still_wrong(self, seen: SuspectEntry) -> bool:
        state = self._entry_state(seen.directory, seen.name)
        if state.mark != seen.mark or seen.kind not in state.kinds:
            return False
        return seen.kind not in PASSING or not self._is_locked(seen.path)

    def _is_locked(self, path: str) -> bool:
        files = self._home.files
        try:
            fd = files.open(path, READ)
        except OSError:
            return False
        try:
            return files.is_locked(fd)
        except OSError:
            return False
        finally:
            files.close(fd)


def _wrong_with_entry(directory: str, name: str, status: os.stat_result) -> Kinds:
    """Return what is wrong with an entry before it is opened."""
    if job_id_of(name) is None:
        return {"stranger": BAD_NAME}
    mode = stat.S_IMODE(status.st_mode)
    needed, forbidden = (0o400, 0) if directory == PENDING else (0o600, 0o022)
    kinds = {"mode": f"{mode:04o}"} if needed & ~mode or forbidden & mode else {}
    wrong = wrong_with_inode(status)
    if wrong is None or not stat.S_ISREG(status.st_mode):
        return kinds if wrong is None else {"stranger": wrong}
    if wrong.startswith("belongs"):
        kinds = {"foreign": wrong}
    elif not (kinds and mode & stat.S_IWOTH):
        kinds["stranger"] = wrong
    return kinds


class Context(ExaminedHome):
    """The examined home with its job files and its index."""

    def refresh(self) -> None:
        """Forget what was read, after a repair."""
        super().refresh()
        self._scan: Scan | None = None
        self._comparison: Comparison | None = None

    @property
    def scan(self) -> Scan:
        """The state of the job files."""
        if self._scan is None:
            self._scan = Scan(self, self.comparison)
        return self._scan

    @property
    def comparison(self) -> Comparison:
        """The index, open for comparing, or why it is not."""
        if self._comparison is None:
            self._comparison = Comparison(self)
        return self._comparison
