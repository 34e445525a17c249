"""editor: a job's fields in the editor of the person who typed `edit`, again and again until they are valid.

Owns:       the file that is edited, in spool/tmp, which maintenance clears if this process is killed.
Guarantees: the job is locked meanwhile, so it does not start. Whoever is killed, editor or this process, the job is as it was.
Fails with: QueueError: the editor cannot be started or fails; InvalidData: the text was left as it is although it is not valid.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from queuectl.atomic_file import open_private
from queuectl.cli.terminal import write_stderr
from queuectl.errors import InvalidData, NotFound, QueueError
from queuectl.job.strict_json import read_object
from queuectl.units import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from queuectl.client.queue import Queue

DEFAULT = "vi"
HEAD = """\
# Job {id}. It does not start while this file is open. Lines that begin with # are ignored.
# Save and leave to change the job; leave without a change, or empty the file, to keep it as it is.
"""


class Editing:
    """The file of one edit; `ask` is what `Queue.rewrite` calls."""

    def __init__(self, queue: Queue, job_id: str) -> None:
        self._head = HEAD.format(id=job_id)
        self._path = Path(queue.layout.tmp, f"edit-{job_id}-{os.getpid()}.json")
        self._text = ""

    def __enter__(self) -> Editing:
        return self

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)

    def ask(self, fields: Mapping[str, Any], error: InvalidData | None) -> dict[str, Any] | None:
        """Return the fields as the person leaves them; None to keep the job as it is.

        Args:
            error: why those that were returned before cannot be.
        """
        text = self._text or json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
        while True:
            saved = self._edit(text, error)
            if not saved.strip():
                return None
            if error is not None and saved.split() == text.split():
                raise error
            self._text = text = saved
            try:
                return read_object(saved.encode())[1]
            except InvalidData as wrong:
                error = wrong

    def _edit(self, text: str, error: InvalidData | None) -> str:
        """Have a text edited, below the error, and return what was saved, without comments."""
        said = f"{error}\n{error.excerpt or ''}\n{error.hint or ''}".strip().splitlines() if error is not None else []
        if said:
            write_stderr("queuectl: " + "\n".join(said) + "\n")
        with os.fdopen(
            open_private(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w", encoding="utf-8"
        ) as file:
            file.write(self._head + "".join(f"# {line}\n" for line in said) + text)
        run_editor(str(self._path))
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        except UnicodeDecodeError:
            raise InvalidData("what was saved is not UTF-8; the job is as it was") from None
        except FileNotFoundError:
            raise NotFound("the editor has removed the file that was edited; the job is as it was") from None
        return "".join(line for line in lines if not line.startswith("#"))


def run_editor(path: str) -> None:
    """Have a file edited with $VISUAL, $EDITOR or vi.

    Raises:
        QueueError: it cannot be started, or did not end with 0.
    """
    import shlex
    import subprocess

    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or DEFAULT
    try:
        words = shlex.split(command)
        process = subprocess.Popen([*words, path])
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise QueueError(f"the editor {quote(command)} cannot be started: {why}", "set EDITOR to another one") from None
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt:  # it is for the editor, which decides what it means
            continue
    if code:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise QueueError(f"the editor {quote(command)} {how}; the job is as it was")
