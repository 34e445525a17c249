"""temp_files: removes temporary files that a crash has left.

Guarantees: removes only files in tmp/ and files with names that this program creates; nothing in rejected/. Keeps files
            that may be in use: locked, or changed within LEFT_S.
Source:     maildir(5): files in tmp/ may be removed after 36 hours.
"""

from __future__ import annotations

import re

from queuectl.maintenance.context import Report
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.maintenance.context import TaskContext
    from queuectl.spool.fs import Files
    from queuectl.spool.layout import Layout

LEFT_S = 36 * 3600.0
UNIQUE_S = 3600.0
HALF_WRITTEN = re.compile(r"(config\.yaml|web\.token|config\.json)\.\d+\.tmp|index\.sqlite3\.new(-wal|-shm|-journal)?")
ANY = re.compile(r"(?s:.*)")
UNIQUE = re.compile(r"unique\.[0-9a-f]{32}")  # the lock of a `unique_key` while it is being looked up


def run_once(context: TaskContext) -> Report:
    """Remove them."""
    removed = locks = 0
    for path in left(context.layout, context.spool.files):
        age = context.age(path)
        removed += age is not None and age > LEFT_S and context.remove_under_lock(path)
    for name in [*context.spool.files.names(context.layout.run)]:
        path = f"{context.layout.run}/{name}"
        age = context.age(path) if UNIQUE.fullmatch(name) else None
        locks += age is not None and age > UNIQUE_S and context.remove_under_lock(path)
    parts = []
    if removed:
        parts.append(f"{plural(removed, 'file')} left by a crash")
    if locks:
        parts.append(f"{plural(locks, 'lock')} that no process holds")
    return Report(f"{context.removed} {' and '.join(parts)}" if parts else "", files=removed, locks=locks)


def left(layout: Layout, files: Files) -> Iterator[str]:
    """Yield the paths of unfinished files."""
    for directory, name in ((layout.tmp, ANY), (layout.home, HALF_WRITTEN), (layout.run, HALF_WRITTEN)):
        try:
            yield from (f"{directory}/{found}" for found in [*files.names(directory)] if name.fullmatch(found))
        except (FileNotFoundError, NotADirectoryError):
            continue
