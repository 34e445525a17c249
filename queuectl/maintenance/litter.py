"""litter: files that a crash has left and that nobody will look for again.

Guarantees: goes by what FORMAT.md says of tmp/ and by the names that this program gives; anything else stays, and nothing
            in rejected/ is ever touched. What might still be in use (changed within LEFT_S, locked) stays as well.
Source:     maildir(5): what has lain in tmp/ for 36 hours is litter.
"""

from __future__ import annotations

import re

from queuectl.maintenance.work import Report
from queuectl.spool.files import READ
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.maintenance.work import Work

LEFT_S = 36 * 3600.0
UNIQUE_S = 3600.0
HALF_WRITTEN = re.compile(r"(config\.yaml|web\.token|config\.json)\.\d+\.tmp|index\.sqlite3\.new(-wal|-shm|-journal)?")
UNIQUE = re.compile(r"unique\.[0-9a-f]{32}")  # the lock of a `unique_key` while it is being looked up


def run_once(work: Work) -> Report:
    """Remove them."""
    removed = locks = 0
    for path in _left(work):
        age = work.age(path)
        removed += age is not None and age > LEFT_S and _remove(work, path)
    for name in [*work.spool.files.names(work.layout.run)]:
        path = f"{work.layout.run}/{name}"
        age = work.age(path) if UNIQUE.fullmatch(name) else None
        locks += age is not None and age > UNIQUE_S and _remove(work, path)
    parts = []
    if removed:
        parts.append(f"{plural(removed, 'file')} that a crash had left")
    if locks:
        parts.append(f"{plural(locks, 'lock')} that nobody holds")
    will = "would remove" if work.dry_run else "removed"
    return Report(f"{will} {' and '.join(parts)}" if parts else "", files=removed, locks=locks)


def _left(work: Work) -> Iterator[str]:
    layout, files = work.layout, work.spool.files
    for name in [*files.names(layout.tmp)]:
        yield f"{layout.tmp}/{name}"
    for directory in (layout.home, layout.run):
        for name in [*files.names(directory)]:
            if HALF_WRITTEN.fullmatch(name):
                yield f"{directory}/{name}"


def _remove(work: Work, path: str) -> bool:
    """Remove a file under its lock, so that whoever has just taken it keeps it; False when it stays."""
    files = work.spool.files
    if work.dry_run:
        return True
    try:
        fd = files.open(path, READ)
    except FileNotFoundError:
        return False
    try:
        if not files.try_lock(fd):
            return False
        files.unlink(path)
    except FileNotFoundError:
        return False
    finally:
        files.close(fd)
    return True
