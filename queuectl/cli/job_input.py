"""job_input: jobs read from a file, one a line.

Guarantees: memory is bounded whatever the file holds; what has come is handed on before more is waited for.
"""

from __future__ import annotations

from queuectl.cli.job_options import read
from queuectl.errors import InvalidData
from queuectl.job.job_file import MAX_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

    Fields = dict[str, Any]
    Found = tuple[int, Fields | InvalidData]

CHUNK_BYTES = 1 << 16
ARRAY_HINT = "jq -c '.[]' FILE | queuectl enqueue -"
LINES_HINT = "if the lines are shell commands and not JSON objects, add --lines"


def read_lines(file: BinaryIO, *, commands: bool) -> Iterator[Found | None]:
    """Yield the jobs of a file with their line numbers: JSON objects, or shell commands, one a line.

    Blank lines are skipped. A file that is one JSON object over several lines is one job, with the number 0. A file that is
    a JSON array is refused as a whole: one that is spread over lines would have some that are jobs. None is yielded where
    reading on would wait for somebody to write.
    """
    number = 0
    lines = read_pieces(file)
    if commands:
        lines = without_mark(lines)
    if not commands:
        begun = _begin(lines)
        if isinstance(begun, tuple):
            yield begun
            return
        array_at = next((at for at, line in enumerate(begun, 1) if line.strip()), 0)
        if array_at and begun[array_at - 1].lstrip()[:1] == b"[":
            yield array_at, InvalidData("a JSON array; expected one object a line", ARRAY_HINT)
            return
        for number, first in enumerate(begun, 1):
            yield from _job(number, first)
    for line in lines:
        if line is None:
            yield None
            continue
        number += 1
        yield from _command(number, line) if commands else _job(number, line)


class Overlong(bytes):
    """The beginning of a line that is too long for a job, and how many bytes the whole line has."""

    size = 0

    def refusal(self) -> InvalidData:
        """Return why it is no job."""
        return InvalidData(f"the line has {self.size:,} bytes; at most {MAX_BYTES:,} are accepted")


def read_pieces(file: BinaryIO, end: bytes = b"\n") -> Iterator[bytes | None]:
    """Yield the lines, or what ends with another byte, without holding the whole of one that is too long for a job."""
    rest, dropped = b"", 0
    while True:
        if _must_wait(file):
            yield None
        chunk = file.read1(CHUNK_BYTES)  # type: ignore[attr-defined]
        if not chunk:
            break
        *whole, rest = (rest + chunk).split(end)
        for line in whole:
            yield _measured(line, dropped)
            dropped = 0
        if len(rest) > MAX_BYTES + 1:
            dropped += len(rest) - MAX_BYTES - 1
            rest = rest[: MAX_BYTES + 1]
    if rest:
        yield _measured(rest, dropped)


def _measured(line: bytes, dropped: int) -> bytes:
    if len(line) <= MAX_BYTES:
        return line
    made = Overlong(line[: MAX_BYTES + 1])
    made.size = len(line) + dropped
    return made


def without_mark(lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """Take away the byte order mark that some editors write before the first line; a shell would take it for a word."""
    for line in lines:
        yield line.removeprefix(b"\xef\xbb\xbf") if type(line) is bytes else line
        if line is not None:
            break
    yield from lines


def _must_wait(file: BinaryIO) -> bool:
    """Tell whether nothing has come to read yet, nor the end."""
    from select import select

    try:
        return not select([file.fileno()], [], [], 0)[0]
    except (OSError, ValueError):  # no descriptor, or one that nobody can ask
        return False


def _begin(lines: Iterator[bytes | None]) -> Found | list[bytes]:
    """Return the one job that the whole file is, or else the lines read to find out."""
    begun: list[bytes] = []
    size = written = 0
    for line in lines:
        if line is None:
            continue
        begun.append(line)
        if isinstance(line, Overlong):
            return begun
        size += len(line) + 1
        written += bool(line.strip())
        if line.strip() and written == 1 and (line.lstrip()[:1] != b"{" or _is_whole(line)):
            return begun
        if size > MAX_BYTES:
            break
    found = _read(b"\n".join(begun))
    if begun and not (isinstance(found, InvalidData) and _begins_every_line(begun)):
        return 0, found
    return begun


def _is_whole(line: bytes) -> bool:
    """Tell whether a line is a JSON object, also one that is no valid job."""
    if not isinstance(_read(line), InvalidData):
        return True
    import json

    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _begins_every_line(lines: list[bytes]) -> bool:
    """Tell whether the lines look like one object each, so that errors belong to lines."""
    written = [line.strip() for line in lines if line.strip()]
    return all(line.startswith(b"{") for line in written) and written != [b"{"]


def _read(data: bytes) -> Fields | InvalidData:
    try:
        return read(data)
    except InvalidData as error:
        return error


def _job(number: int, line: bytes) -> Iterator[Found]:
    if isinstance(line, Overlong):
        yield number, line.refusal()
    elif line.strip():
        found = _read(line)
        if isinstance(found, InvalidData):
            found = found.reworded("the job is not valid: line 1, ", "")
            if line.lstrip()[:1] not in b'{}[]",':
                found.hint = LINES_HINT
        yield number, found


def _command(number: int, line: bytes) -> Iterator[Found]:
    if isinstance(line, Overlong):
        yield number, line.refusal()
        return
    try:
        text = line.decode().strip()
    except UnicodeDecodeError as error:
        yield number, InvalidData(f"byte 0x{line[error.start]:02x} is not UTF-8")
        return
    if "\0" in text:
        yield number, InvalidData("the line contains a NUL character")
    elif text and not text.startswith("#"):
        yield number, {"command": text}
