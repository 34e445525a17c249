"""pauses: queues that start no jobs, or all of them, until they are resumed or for a time.

Owns:       state/paused/, with a file for each pause. Any program may create or remove one.
Guarantees: a pause survives every restart; once `pause` has returned, no job of the queue is claimed until it ends. What is
            in the file can only make it end by itself, or stop what runs too; a file that cannot be read lasts for ever.
Fails with: OSError.
Source:     spool/FORMAT.md § Pauses.
"""

from __future__ import annotations

from queuectl.clock import parse_instant, spell
from queuectl.errors import Conflict
from queuectl.ids import is_id
from queuectl.job.value import Value
from queuectl.scheduling.limits import ALL_PAUSED
from queuectl.spool.fs import IN_PLACE, READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.spool.context import SpoolContext

LONGEST_BYTES = 1024


class Pause(Value):
    """One pause.

    Attributes:
        since: seconds since 1970.
        until: when it ends by itself; None: when it is resumed.
        stops_running: what runs is stopped (SIGSTOP) until then.
    """

    __slots__ = ("since", "stops_running", "until")

    def __init__(self, since: float, until: float | None = None, *, stops_running: bool = False) -> None:
        self.since = since
        self.until = until
        self.stops_running = stops_running


def read(spool: SpoolContext, mark: str = "") -> dict[str, Pause]:
    """Return the pauses that have not ended, by the name of the queue; ALL_PAUSED is that of everything.

    Args:
        mark: "@" for the pauses of schedules, whose names begin so.
    """
    names = [
        name
        for name in spool.names_in(spool.layout.paused)
        if name.startswith(mark) and (is_id(name[len(mark) :]) or name == ALL_PAUSED)
    ]
    found = {name: _read(spool, name) for name in names}
    return {name: pause for name, pause in found.items() if pause is not None}


def paused(spool: SpoolContext) -> frozenset[str]:
    """Return the names of the paused queues, ALL_PAUSED among them when everything is paused."""
    return frozenset(read(spool))


def stopping(pauses: dict[str, Pause]) -> frozenset[str]:
    """Return the names of those that stop what runs."""
    return frozenset(name for name, pause in pauses.items() if pause.stops_running)


def is_paused(spool: SpoolContext, queue: str) -> str | None:
    """Return the pause that keeps the jobs of a queue from starting: its name or ALL_PAUSED; None when none does."""
    for name in (ALL_PAUSED, queue):
        if _read(spool, name) is not None:
            return name
    return None


def _read(spool: SpoolContext, name: str) -> Pause | None:
    """Return a pause; None when there is none, or it has ended. An error is not the absence of a pause."""
    path = f"{spool.layout.paused}/{name}"
    status = spool.files.lstat(path)
    if status is None or not status.st_size:
        return None if status is None else Pause(status.st_mtime)
    try:
        fd = spool.files.open(path, READ)
    except FileNotFoundError:
        return None
    except OSError:
        return Pause(status.st_mtime)
    try:
        text = spool.files.read(fd, LONGEST_BYTES)
    except OSError:  # a directory
        text = b""
    finally:
        spool.files.close(fd)
    pause = _parse(text, status.st_mtime)
    return None if pause.until is not None and pause.until <= spool.clock.now() else pause


def _parse(text: bytes, since: float) -> Pause:
    """Read the first line of a file; what it does not say validly, it does not say."""
    import json

    try:
        said = json.loads(text.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return Pause(since)
    if not isinstance(said, dict):
        return Pause(since)
    try:
        until = parse_instant(said["until"])
    except (KeyError, TypeError, ValueError, AttributeError):
        until = None
    return Pause(since, until, stops_running=said.get("running") is True)


def pause(spool: SpoolContext, name: str, until: float | None = None, *, stops_running: bool = False) -> bool:
    """Pause a queue, or with ALL_PAUSED everything; False when it was paused like this already.

    Args:
        until: when it ends by itself, in seconds since 1970; None: it lasts until it is resumed.
        stops_running: stop what runs too; a pause that does so already continues to.

    Crash: paused as before or as wanted, or until it is resumed.
    """
    import json

    before = _read(spool, name)
    stops_running = stops_running or (before is not None and before.stops_running)
    if before is not None and (before.until, before.stops_running) == (until, stops_running):
        return False
    said = {**({} if until is None else {"until": spell(until)}), **({"running": True} if stops_running else {})}
    data = json.dumps(said).encode() + b"\n" if said else b""
    path = f"{spool.layout.paused}/{name}"
    fd = spool.open_state(path, IN_PLACE)
    try:
        if data:
            spool.files.write(fd, data, 0)
        if spool.files.fstat(fd).st_size != len(data):
            spool.files.truncate(fd, len(data))
        if spool.is_durable:
            spool.files.sync(fd)
    finally:
        spool.files.close(fd)
    _sync(spool)
    return True


def resume(spool: SpoolContext, name: str) -> bool:
    """Let jobs start again; False when it was not paused. Crash: paused or not."""
    path = f"{spool.layout.paused}/{name}"
    has_ended = spool.files.exists(path) and _read(spool, name) is None
    try:
        spool.files.unlink(path)
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        _remove_directory(spool, path)
    _sync(spool)
    return not has_ended


def _remove_directory(spool: SpoolContext, path: str) -> None:
    """Remove a directory that somebody made where the file of a pause would be; it pauses like the file."""
    try:
        spool.files.rmdir(path)
    except OSError as error:
        raise Conflict(f"{path} is a directory and cannot be removed: {error.strerror}", f"rm -r {path}") from None


def _sync(spool: SpoolContext) -> None:
    if spool.is_durable:
        spool.files.sync_directory(spool.layout.paused)
