"""resume: the ids of jobs read from a file with `--resume NAME`, by which a line whose job exists is recognised.

Guarantees: an id depends on what a line says, not on where it stands: NAME-HASH, for the second of two equal lines
            NAME-HASH-2. A file that was interrupted, edited and read again puts in what is missing and nothing twice, as
            long as its jobs have not been deleted. A job that exists but was enqueued with other fields is a conflict.
            Jobs named NAME-LINE, as earlier versions named them, are recognised by what they hold.
Cost:       memory of one number for each different line; one listing of the spool's directories.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256

from queuectl.errors import Conflict, InvalidData, NotFound
from queuectl.job.fields import spell_value
from queuectl.job.history import DEAD, DONE, PENDING, PROCESSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from queuectl.cli.commandline import Arguments
    from queuectl.client.queue import Queue
    from queuectl.job.job import Job

    Fields = dict[str, Any]

HASH_DIGITS = 12
NOT_COMPARED = {"id", "state", "attempts", "created_at", "updated_at"}


class Resumed:
    """The lines of one file, and the jobs that earlier readings of it have made."""

    def __init__(self, queue: Queue, name: str, args: Arguments) -> None:
        self._queue = queue
        self._name = name
        self._seen: dict[int, int] = {}  # how often a line with this hash has been read
        self._not_compared = set(NOT_COMPARED)
        if args.delay is not None or args.at is not None:
            self._not_compared.add("run_at")  # "10m" is another instant each time
        if args.expires is not None:
            self._not_compared.add("expires_at")
        self._passed = {"PATH", *(args.pass_env or ())}  # of the shell, which may be another one
        self._numbered: dict[str, list[Job]] | None = None

    def id_of(self, line: Fields, job: Fields) -> str:
        """Return the id of the job that a line describes; `line` is what it says, `job` the same with all flags."""
        numbered = self._by_command().get(_command_of(job))
        if numbered:
            same = next((old for old in numbered if not self._differing(old, job)), None)
            if same is None:
                return numbered[0].id  # a conflict, and not a second job, if only the flags are others
            numbered.remove(same)
            return same.id
        digest = sha256(_canonical(line)).hexdigest()[:HASH_DIGITS]
        nth = self._seen[int(digest, 16)] = self._seen.get(int(digest, 16), 0) + 1
        return f"{self._name}-{digest}" + (f"-{nth}" if nth > 1 else "")

    def conflict(self, job_id: str, job: Fields, error: Conflict) -> Conflict | None:
        """Return why a job was not put in; None when it exists, as the line and the flags describe it."""
        try:
            stored = self._queue.get(job_id)
        except NotFound:  # something else is in its way: a unique key
            return error
        except InvalidData as damaged:
            return Conflict(f"job {job_id} exists already, and its file cannot be read: {damaged}", damaged.hint)
        differing = self._differing(stored, job)
        if not differing:
            return None
        name = differing[0]
        there, here = (spell_value(fields[name]) if name in fields else "none" for fields in (stored.fields, job))
        values = f": {there}, not {here}" if name != "env" else ""
        message = f'job {job_id} exists already, with another "{name}"{values}'
        return Conflict(message, "to enqueue it as well, choose another name for --resume")

    def _differing(self, stored: Job, job: Fields) -> list[str]:
        """Return the fields in which a stored job was enqueued otherwise; what was edited since is not compared."""
        edited = {name for entry in stored.history if entry["event"] == "edited" for name in entry.get("set", ())}
        names = {*stored.fields, *job} - self._not_compared - edited
        return sorted(name for name in names if self._value(stored.fields, name) != self._value(job, name))

    def _value(self, fields: Fields, name: str) -> object:
        value = fields.get(name)
        if name == "env" and isinstance(value, dict):
            return {key: text for key, text in value.items() if key not in self._passed}
        return value

    def _by_command(self) -> dict[str, list[Job]]:
        """Return the jobs with ids NAME-1, NAME-2 ... by their commands, in order."""
        if self._numbered is None:
            self._numbered = {}
            for job_id in sorted(self._numbered_ids(), key=lambda found: int(found.rpartition("-")[2])):
                try:
                    job = self._queue.get(job_id)
                except (NotFound, InvalidData):
                    continue
                self._numbered.setdefault(_command_of(job.fields), []).append(job)
        return self._numbered

    def _numbered_ids(self) -> set[str]:
        pattern = re.compile(re.escape(self._name) + r"-[1-9][0-9]{0,9}\.json")
        found: set[str] = set()
        layout = self._queue.layout
        for directory in (PENDING, PROCESSING, DONE, DEAD):
            try:
                names = self._queue.spool.files.names(layout.directory(directory))
                found.update(name.removesuffix(".json") for name in names if pattern.fullmatch(name))
            except FileNotFoundError:
                pass
        return found


def _command_of(job: Fields) -> str:
    return repr(job.get("command") or job.get("argv"))


def _canonical(line: Fields) -> bytes:
    return json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
