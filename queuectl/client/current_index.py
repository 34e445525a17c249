"""current_index: the index, once it shows everything that has happened until now.

Owns:       nothing; it has the supervisor bring the index up to date when one runs, and else does it here.
Guarantees: changes nothing but the index. Where there is no queue yet the index is empty. Where the index cannot be
            written, or belongs to a supervisor of another version, an index of the job files is made that nobody else sees.
Fails with: IndexUnavailable, Busy.
"""

from __future__ import annotations

import time
from functools import partial

from queuectl.errors import NoSupervisor
from queuectl.job.history import DIRECTORIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from queuectl.index.reader import Reader
    from queuectl.spool.spool import Spool

    Tell = Callable[[str], None]


REBUILD_S = 60.0  # that is waited for a supervisor which rebuilds the index; then the job files are read here
LOOK_AGAIN_S = 0.1


def open_reader(spool: Spool, warn: Tell | None = None, on_step: Tell | None = None) -> Reader:
    """Open the index once it is up to date.

    Args:
        warn: told in words when the index cannot be up to date yet (it is being rebuilt), or the home is read-only.
        on_step: told in words, now and then, how far this process has brought it up to date.
    """
    from queuectl.index.database import AnotherVersion, IndexUnavailable
    from queuectl.index.reader import Reader

    layout, step = spool.layout, on_step or (lambda _words: None)
    refused = layout.refuse_writing("", "run")
    if refused is not None and warn is not None:
        warn(f"{refused}: jobs can be read but not changed")
    if not layout.has_spool or (refused is not None and not _is_kept_up_to_date(spool, warn)):
        return _build_temporary(spool, step)
    if refused is None:
        catch_up(spool, warn, on_step)
    try:
        return Reader(layout.index)
    except IndexUnavailable:
        if refused is not None:
            return _build_temporary(spool, step)
        catch_up(spool, warn, on_step, doubt=True)
    try:
        return Reader(layout.index)
    except AnotherVersion:  # and a supervisor keeps it so
        if warn is not None:
            warn("the supervisor runs another version of QueueCTL, all job files are read: queuectl worker restart")
        return _build_temporary(spool, step)


def open_complete_reader(spool: Spool, warn: Tell | None = None, on_step: Tell | None = None) -> Reader:
    """Open an index that shows every job: a rebuild is waited for; where that does not help the job files are read.

    For what must not miss a job: actions on many jobs, unique keys, figures without a warning.
    """
    from queuectl import control_client
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader

    layout, step = spool.layout, on_step or (lambda _words: None)
    give_up_at = spool.clock.monotonic() + REBUILD_S
    if not layout.has_spool or layout.refuse_writing("", "run") is not None:
        return open_reader(spool, warn, on_step)
    try:
        while (answer := control_client.ask(layout, {"do": "flush"})).get("syncing"):
            if answer.get("degraded") or spool.clock.monotonic() > give_up_at:
                break
            step(str(answer["syncing"]))
            time.sleep(LOOK_AGAIN_S)
    except NoSupervisor:
        return open_reader(spool, warn, on_step)
    if answer.get("degraded") or answer.get("syncing"):
        return _build_temporary(spool, step)
    try:
        return Reader(layout.index)
    except IndexUnavailable:
        return open_reader(spool, warn, on_step)


def ids_with_prefix(spool: Spool, prefix: str, limit: int) -> list[str]:
    """Return the first ids that begin so, by the names of the files: for an index that may not show every job."""
    from heapq import nsmallest

    return nsmallest(limit, {found for name in DIRECTORIES for found in spool.ids(name) if found.startswith(prefix)})


def catch_up(spool: Spool, warn: Tell | None = None, on_step: Tell | None = None, *, doubt: bool = False) -> None:
    """Bring the index up to date: the supervisor does it when one runs, else this process.

    Args:
        warn, on_step: see `open_reader`.
        doubt: it could not be read, so the supervisor is to check whether it is still an index.
    """
    try:
        _ask_to_flush(spool, warn, doubt=doubt)
    except NoSupervisor:
        if not _is_current(spool):
            _sync(spool, on_step or (lambda _words: None))


def _build_temporary(spool: Spool, on_step: Tell) -> Reader:
    from queuectl.index.rebuild import build_temporary

    return build_temporary(spool, on_step)


def _is_kept_up_to_date(spool: Spool, warn: Tell | None) -> bool:
    """Tell whether the index shows the spool although this process cannot write it."""
    try:
        _ask_to_flush(spool, warn)
    except NoSupervisor:
        return _is_current(spool)
    return True


def _ask_to_flush(spool: Spool, warn: Tell | None, *, doubt: bool = False) -> None:
    from queuectl import control_client

    answer = control_client.ask(spool.layout, {"do": "flush", "doubt": doubt})
    why = answer.get("degraded") or answer.get("syncing")
    if why and warn is not None:
        warn(f"the index is not up to date yet ({why}); some jobs may be missing or shown in an old state")


def _is_current(spool: Spool) -> bool:
    from queuectl.index.clean_shutdown import is_current
    from queuectl.index.database import IndexUnavailable
    from queuectl.index.reader import Reader

    try:
        with Reader(spool.layout.index) as reader:
            return is_current(spool, reader)
    except IndexUnavailable:
        return False


def _sync(spool: Spool, on_step: Tell) -> None:
    from queuectl.index.lock import IndexLock
    from queuectl.index.rebuild import build_or_catch_up
    from queuectl.supervisor.rebuild_readers import read_rows

    spool.layout.ensure_run()
    with IndexLock(spool.layout):
        for progress in build_or_catch_up(spool, partial(read_rows, spool)):
            on_step(str(progress))
