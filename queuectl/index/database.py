"""database: opens, checks, queries and discards the index file.

Owns:       every use of sqlite3; schema.sql and queries.sql.
Guarantees: every SQLite error is raised as IndexUnavailable; the file is 0600 and has exactly this schema.
            No handle crosses a fork: close it before, or open it after. (A child that only closes the descriptors it
            inherited and never touches the Python object does no harm.)
Fails with: IndexUnavailable.
Source:     sqlite.org: wal.html, howtocorrupt.html § 2.6 (fork), § 1.4 (a stray -wal).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import zlib

from queuectl.atomic_file import open_private
from queuectl.errors import Busy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE_S = 2.0  # only another program, such as the sqlite3 shell, can hold the lock for longer
CACHE_KIB = 4000
SORTED_IN_MEMORY = 10_000
NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM)
PASSING = ("locked", "full", "unable to open", "interrupted", "readonly")
PROBES = (
    "SELECT * FROM jobs LIMIT 1",
    "SELECT * FROM meta LIMIT 1",
    "SELECT * FROM counts LIMIT 1",
    "SELECT * FROM minutes LIMIT 1",
    "SELECT 1 FROM jobs INDEXED BY jobs_due WHERE ready = 1 LIMIT 1",
    "SELECT 1 FROM jobs INDEXED BY jobs_lanes WHERE ready = 1 AND lane <> queue LIMIT 1",
    "SELECT 1 FROM dependencies LIMIT 1",
    "SELECT 1 FROM undecided LIMIT 1",
    "SELECT 1 FROM jobs INDEXED BY jobs_waits WHERE ready = 0 LIMIT 1",
    "SELECT 1 FROM jobs INDEXED BY jobs_by_state WHERE state = '' LIMIT 1",
    "SELECT 1 FROM jobs INDEXED BY jobs_failures WHERE fingerprint IS NOT NULL LIMIT 1",
)


FULL = "database or disk is full"
TEMPORARY = ""  # SQLite's name for a database that no other process sees and that is gone when it is closed


class IndexUnavailable(Busy):
    """The index cannot be read or written; the queue works without it.

    Attributes:
        is_lost: the file itself is damaged, so only building it anew helps.
        is_passing: the same call may succeed later: the disk is full, or another process has it locked.
    """

    title = "index unavailable"

    def __init__(self, message: str, *, is_lost: bool = False, is_passing: bool = False) -> None:
        hint = "it is derived from the job files; to rebuild it: queuectl index rebuild"
        if message.endswith(FULL):
            hint = "free some disk space; to remove finished jobs: queuectl purge"
        super().__init__(message, hint)
        self.is_lost = is_lost
        self.is_passing = is_passing


class AnotherVersion(IndexUnavailable):
    """The tables of the index are those of another version of QueueCTL."""


def _read(name: str) -> str:
    with open(f"{HERE}/{name}", encoding="utf-8") as file:
        return file.read()


def _load_queries(text: str) -> dict[str, str]:
    queries = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        queries[name.strip()] = body.partition(";")[0].strip()
    return queries


QUERIES = _load_queries(_read("queries.sql"))
SCHEMA = _read(
    "schema.sql"
)  # here: an upgrade replaces the file below a supervisor whose code goes with the former one
VERSION = zlib.crc32(SCHEMA.encode()) & 0x7FFFFFFF


class Database:
    """One connection to the index.

    Args:
        path: of the file, or TEMPORARY.
        for_writing: create what is missing; else the file is opened read-only and must exist.

    Attributes:
        was_created: there was none before.
        inode: of the file; 0 for a temporary one.
        is_lost: the file turned out to be damaged; `discard` it.
    """

    def __init__(self, path: str, *, for_writing: bool) -> None:
        self.path = path
        self.was_created = self.is_lost = False
        self._is_closed = False
        try:
            self.inode = 0 if path == TEMPORARY else _inode_of(path, for_writing=for_writing)
            self._connection = _connect(path, "rw" if for_writing else "ro")
        except FileNotFoundError:
            raise IndexUnavailable(f"there is no index at {path} yet", is_lost=True) from None
        except OSError as error:
            is_lost = error.errno in NO_FILE
            raise IndexUnavailable(f"{path} cannot be opened: {error.strerror}", is_lost=is_lost) from None
        except sqlite3.Error as error:
            raise self._unavailable(error) from None
        try:
            self._check(for_writing=for_writing)
        except IndexUnavailable:
            self.close()
            raise

    def _check(self, *, for_writing: bool) -> None:
        try:
            self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            if for_writing:
                self.was_created = self._is_empty()
                if self.was_created:  # what a power cut ruins now is made again
                    self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute("PRAGMA journal_mode = WAL")
                if self.was_created:
                    self._connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
                self._connection.execute("PRAGMA synchronous = NORMAL")
            if (found := self.one("PRAGMA user_version")) == (0,):
                raise IndexUnavailable(f"{self.path} is not a complete index", is_lost=True)
            if found != (VERSION,):
                raise AnotherVersion(f"{self.path} was made by another version of QueueCTL", is_lost=True)
            if self._is_cut_short():
                raise IndexUnavailable(f"{self.path} is truncated", is_lost=True)
            for probe in PROBES:
                self._connection.execute(probe).fetchall()
            self._beside = _inodes_beside(self.path) if for_writing and self.path != TEMPORARY else None
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    def _is_empty(self) -> bool:
        return self.one("SELECT count(*) FROM sqlite_master") == (0,) and self.one("PRAGMA user_version") == (0,)

    def _is_cut_short(self) -> bool:
        """Tell whether pages are missing; what is still in the -wal cannot be judged."""
        if self.path == TEMPORARY or _size_of(self.path + "-wal") > 0:
            return False
        pages, size = self.one("PRAGMA page_count"), self.one("PRAGMA page_size")
        return pages is not None and size is not None and os.path.getsize(self.path) < pages[0] * size[0]

    def _unavailable(self, error: sqlite3.Error) -> IndexUnavailable:
        """Say in words what SQLite says, and whether only beginning anew can help."""
        text = str(error)
        if type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError):  # malformed, or no database at all
            self.is_lost = True
        elif type(error) is sqlite3.OperationalError and not any(word in text for word in PASSING):
            self.is_lost = self.is_lost or not self._is_closed
        is_passing = self._is_closed or (type(error) is sqlite3.OperationalError and not self.is_lost)
        return IndexUnavailable(
            f"the index {self.path} cannot be used: {text}", is_lost=self.is_lost, is_passing=is_passing
        )

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        self._is_closed = True
        try:
            self._connection.close()
        except sqlite3.Error:
            return  # a full disk keeps it from tidying its -wal; the next opening does that

    @property
    def is_open(self) -> bool:
        """It has not been closed."""
        return not self._is_closed

    @property
    def is_in_place(self) -> bool:
        """Tell whether the path still names the file that is open here and, for a writer, what belongs to it.

        What one connection still has and the next finds anew, they would not agree about: such a file is lost.
        """
        if self.path == TEMPORARY:
            return not self._is_closed
        try:
            if os.stat(self.path).st_ino != self.inode:
                return False
        except OSError:
            return False
        if not self._is_closed and self._beside is not None and self._beside != _inodes_beside(self.path):
            self.is_lost = True
        return not self.is_lost

    # --- asking

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows; `sql` is the name of a query in queries.sql, or SQL."""
        try:
            return self._execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row or None."""
        for row in self.each(sql, values):
            return row
        return None

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield rows as they are found; do not change the index meanwhile."""
        try:
            cursor = self._execute(sql, values)
            try:
                yield from cursor
            finally:
                cursor.close()
        except sqlite3.Error as error:
            raise self._unavailable(error) from None

    def _execute(self, sql: str, values: Sequence[Any]) -> sqlite3.Cursor:
        sql = QUERIES.get(sql, sql)
        try:
            return self._connection.execute(sql, values)
        except UnicodeEncodeError:  # the caller asked for invalid text; it is nowhere in the index
            cleaned = [v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for v in values]
            return self._connection.execute(sql, cleaned)

    def change(self, *steps: tuple[str, Iterable[Sequence[Any]]]) -> int:
        """Do all steps in one transaction, each a query with one list of values for each time it is run.

        Returns:
            How many rows the last step changed.
        """
        connection, changed = self._connection, 0
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for name, values in steps:
                    changed = connection.executemany(QUERIES[name], values).rowcount
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite may have rolled back already
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._unavailable(error) from None
        return changed

    def optimise(self) -> None:
        """Give SQLite the figures by which it plans, and put into the file what waits beside it. Cost: milliseconds."""
        try:
            for pragma in ("analysis_limit = 200", "optimize", "wal_checkpoint(PASSIVE)"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            unavailable = self._unavailable(error)
            if not unavailable.is_passing:
                raise unavailable from None

    # --- rebuilding, when no other process has the file open

    def begin_bulk(self) -> list[str]:
        """Make loading fast: no index but the ids, no syncs; returns what `end_bulk` needs. A crash ruins the file."""
        try:
            found = self.all(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'jobs' AND sql IS NOT NULL"
            )
            for name, _ in found:
                self._connection.execute(f"DROP INDEX {name}")
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB * 4}"):
                self._connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise self._unavailable(error) from None
        return [sql for _, sql in found]

    def end_bulk(self, indexes: list[str]) -> Iterator[None]:
        """Make the indexes, yielding after each, and have everything on the disk."""
        try:
            for sql in indexes:
                self._connection.execute(sql)
                yield
            for pragma in ("synchronous = FULL", "journal_mode = WAL", "user_version", "wal_checkpoint(TRUNCATE)"):
                self._connection.execute(f"PRAGMA {pragma}").fetchall()
        except sqlite3.Error as error:
            raise self._unavailable(error) from None


class Sorter:
    """Takes lines in any order and yields them sorted by their bytes, with bounded memory.

    Beyond SORTED_IN_MEMORY lines SQLite sorts them, in a file without a name in $TMPDIR.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []
        self._connection: sqlite3.Connection | None = None

    def add(self, line: str) -> None:
        """Take one line."""
        self._lines.append(line)
        self.count += 1
        if len(self._lines) >= SORTED_IN_MEMORY:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(TEMPORARY, isolation_level=None)
                self._connection.executescript("PRAGMA journal_mode = OFF; CREATE TABLE lines (line TEXT); BEGIN")
            self._connection.executemany("INSERT INTO lines VALUES (?)", ((line,) for line in self._lines))
        except sqlite3.Error as error:
            raise IndexUnavailable(f"a temporary file for sorting cannot be used: {error}", is_passing=True) from None
        self._lines = []

    def __iter__(self) -> Iterator[str]:
        if self._connection is None:
            yield from sorted(self._lines)
            return
        self._spill()
        try:
            for (line,) in self._connection.execute("SELECT line FROM lines ORDER BY line"):
                yield line
        except sqlite3.Error as error:
            raise IndexUnavailable(f"a temporary file for sorting cannot be used: {error}", is_passing=True) from None

    def close(self) -> None:
        """Remove the temporary file."""
        if self._connection is not None:
            self._connection.close()


def _create(path: str) -> None:
    if not os.path.lexists(path):
        discard(path)  # a -wal that lost its file would be read as part of the new one
    fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise IndexUnavailable(f"{path} is not a file", is_lost=True)
    finally:
        os.close(fd)


def _inode_of(path: str, *, for_writing: bool) -> int:
    """Return the inode of the file, which is created for a writer; raises FileNotFoundError."""
    if for_writing:
        _create(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):  # on a FIFO SQLite would wait for a writer
        raise IndexUnavailable(f"{path} is not a file", is_lost=True)
    return status.st_ino


def _size_of(path: str) -> int:
    """Return the size of a file; 0 where there is none."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def _inodes_beside(path: str) -> list[int]:
    found = []
    for suffix in ("-wal", "-shm"):
        try:
            found.append(os.stat(path + suffix).st_ino)
        except OSError:
            found.append(0)
    return found


def _connect(path: str, mode: str) -> sqlite3.Connection:
    if path == TEMPORARY:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    uri = f"file:{quoted}?mode={mode}"
    if mode == "ro" and not os.access(os.path.dirname(path), os.W_OK) and not _size_of(path + "-wal"):
        uri += "&immutable=1"  # SQLite cannot create the files that readers share there, and no process can write
    # A reader may go from thread to thread, one at a time.
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE_S, isolation_level=None, check_same_thread=mode != "ro")


def discard(path: str) -> None:
    """Delete an index with everything that belongs to it, the main file first.

    A -wal left beside a newer file of the same name would be read as part of it, so the caller puts a new file there
    only after this. Crash: no index, or only strays that the next `discard` deletes.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            os.unlink(path + suffix)
        except FileNotFoundError:
            continue
        except OSError as error:
            if not _move_directory(path + suffix):
                raise IndexUnavailable(f"{path}{suffix} cannot be deleted: {error.strerror}") from None


def _move_directory(path: str) -> bool:
    """Give a directory that lies where a file of the index has to another name; False when it is none, or stays."""
    number = 1
    while os.path.lexists(f"{path}.{number}"):
        number += 1
    try:
        if os.path.isdir(path):
            os.rename(path, f"{path}.{number}")
            return True
    except OSError:
        pass
    return False
