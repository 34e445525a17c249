"""logs: removes old rotated logs, and logs of workers that no longer exist.

Each process rotates its own log (log.py) but does not remove old parts.

Guarantees: keeps every file that a running process may still write to.
"""

from __future__ import annotations

import re

from queuectl.maintenance.context import Report
from queuectl.units import plural, spell_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.maintenance.context import TaskContext

KEPT_S = 30 * 86400.0
NAME = re.compile(r"(supervisor|maintenance|hooks|web|worker-\d+)\.log(\.\d+)?")


def run_once(context: TaskContext) -> Report:
    """Remove those that have not changed for KEPT_S."""
    files, folder = context.spool.files, context.layout.logs
    removed = freed = 0
    for name in [*files.names(folder)]:
        found, path = NAME.fullmatch(name), f"{folder}/{name}"
        if found is None or not (found[2] or (found[1].startswith("worker-") and not context.is_supervised)):
            continue
        status = files.lstat(path)
        if status is None or context.now - status.st_mtime <= KEPT_S:
            continue
        if not context.dry_run:
            files.unlink(path)
        removed += 1
        freed += status.st_size
    words = f"{context.removed} {plural(removed, 'old log')}, {spell_size(freed)}" if removed else ""
    return Report(words, files=removed, bytes=freed)
