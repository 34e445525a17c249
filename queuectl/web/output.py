"""output: what a job wrote: a piece, the end, some lines, all of it, or as it comes; and where a text is in it.

Guarantees: a file is opened relative to its directory, never through a link, and only if it is a file; whatever bytes
            are in it, the browser takes them for plain text.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from queuectl.errors import NotFound
from queuectl.growing_file import GrowingFile, last_lines, open_regular
from queuectl.web.response import TEXT, Response, ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from queuectl.client.queue import Queue
    from queuectl.web.app import Request

MOST_BYTES = 256 << 10
PIECE_BYTES = 64 << 10
SCAN_BYTES = 1 << 20
LOOK_S = 0.25
MOST_MATCHES, MATCH_CHARS = 1000, 200
ESCAPES = re.compile(rb"\x1b(\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(\x07|\x1b\\)?|[()][0-9A-Z]|.)")
BINARY = "application/octet-stream"


def output(request: Request) -> Response:
    """Return what an attempt wrote."""
    params, queue, job_id = request.params, request.queue, request.params["id"]
    number = params.get("attempt") or queue.get(job_id).attempts
    path = queue.output(job_id, number)
    fd = open_regular(path, f"the output of job {job_id}, attempt {number}, has been removed")
    try:
        is_over = _is_over(queue, job_id, number)
        size = os.fstat(fd).st_size
        start, data = min(params.get("from", 0), size), None
        if "lines" in params:
            start, data = last_lines(fd, params["lines"], MOST_BYTES, start)
        elif "line" in params:
            start = _offset_of(fd, params["line"])
            if "end_line" in params:
                end = max(start, _offset_of(fd, params["end_line"]))
                begin = max(start, end - MOST_BYTES)
                data = os.pread(fd, end - begin, begin)
                cut = data.find(b"\n") + 1 if begin > start else 0  # whole lines only
                start, data = begin + cut, data[cut:]
        headers = {
            "X-QueueCTL-Attempt": str(number),
            "X-QueueCTL-From": str(start),
            "X-QueueCTL-Size": str(size),
            "X-QueueCTL-Ended": "true" if is_over else "false",
        }
        if params.get("numbered"):
            headers["X-QueueCTL-Line"] = str(1 + sum(piece.count(b"\n") for piece in _pieces(fd, start)))
        if not (params.get("download") or params.get("follow")):
            data = os.pread(fd, params.get("limit", MOST_BYTES), start) if data is None else data
            return Response(200, data[: params.get("limit", MOST_BYTES)], TEXT, headers)
        taken, fd = fd, -1  # closed by the stream
        if params.get("follow"):
            file = _Followed(path, taken, start)
            stream = request.app.streams.start(file.added(queue, job_id, number), file.close)
            return Response(200, b"", TEXT, headers, stream)
        name = f'attachment; filename="{job_id}.{number}.log"'
        headers |= {"X-QueueCTL-From": "0", "Content-Disposition": name, "Content-Length": str(size)}
        stream = request.app.streams.start(_whole(taken, size), lambda: os.close(taken))
        return Response(200, b"", BINARY, headers, stream)
    finally:
        if fd >= 0:
            os.close(fd)


def search(request: Request) -> Response:
    """Return the lines of an attempt's output that contain a text, without regard to case."""
    params, queue, job_id = request.params, request.queue, request.params["id"]
    number = params.get("attempt") or queue.get(job_id).attempts
    path = queue.output(job_id, number)
    fd = open_regular(path, f"the output of job {job_id}, attempt {number}, has been removed")
    wanted = params["q"].encode("utf-8", "replace").lower()
    matches: list[dict[str, Any]] = []
    total = 0
    try:
        for line, text in _lines_with(fd, wanted):
            total += 1
            if len(matches) < MOST_MATCHES:
                matches.append({"line": line, "text": text.decode("utf-8", "replace").strip()[:MATCH_CHARS]})
    finally:
        os.close(fd)
    return ok({"attempt": number, "total": total, "matches": matches})


def _pieces(fd: int, end: int | None = None) -> Iterator[bytes]:
    """Yield a file in pieces, as far as `end`."""
    at = 0
    while data := os.pread(fd, SCAN_BYTES if end is None else min(SCAN_BYTES, end - at), at):
        yield data
        at += len(data)


def _offset_of(fd: int, line: int) -> int:
    """Return where a line begins, counted from 1; the end of the file if it has fewer. Cost: what is before it is read."""
    left, at = line - 1, 0
    for piece in _pieces(fd) if left > 0 else ():
        count = piece.count(b"\n")
        if count < left:
            left, at = left - count, at + len(piece)
            continue
        found = -1
        for _ in range(left):
            found = piece.index(b"\n", found + 1)
        return at + found + 1
    return at


def _lines_with(fd: int, wanted: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that contain a text in small letters, each with its number. A line of more than 1 MiB is searched in parts."""
    number, rest = 1, b""
    for piece in _pieces(fd):
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if not newline and len(rest) > SCAN_BYTES:
            whole, rest = rest, b""
        text = ESCAPES.sub(b"", whole) if b"\x1b" in whole else whole
        if wanted in text.lower():
            yield from ((number + at, line) for at, line in enumerate(text.split(b"\n")) if wanted in line.lower())
        number += whole.count(b"\n") + len(newline)
    text = ESCAPES.sub(b"", rest)
    if wanted in text.lower():
        yield number, text


def _is_over(queue: Queue, job_id: str, number: int) -> bool:
    try:
        job = queue.get(job_id)
    except NotFound:
        return True
    return job.attempts > number or job.state != "processing"


def _whole(fd: int, size: int) -> Iterator[bytes]:
    """Yield exactly so many bytes, whatever becomes of the file."""
    at = 0
    while at < size:
        wanted = min(PIECE_BYTES, size - at)
        data = os.pread(fd, wanted, at) or bytes(wanted)
        yield data
        at += len(data)


class _Followed:
    """The output of an attempt that is followed.

    Args:
        fd: of the file, open; it is closed here.
        start: where to begin.
    """

    def __init__(self, path: str, fd: int, start: int) -> None:
        self._fd = fd
        self._words = ""
        self._file = GrowingFile(path, self._restarted, open_file=self._open)
        self._file.skip_to(start)
        self.close = self._file.close

    def _open(self, path: str) -> int:
        """Return the descriptor that is open already, and later that of the file which has taken its place."""
        fd, self._fd = self._fd, -1
        return fd if fd >= 0 else open_regular(path, "it has been removed")

    def _restarted(self, words: str) -> None:
        self._words = f"\n--- the output {words}: showing it from its new start ---\n"

    def added(self, queue: Queue, job_id: str, number: int) -> Iterator[bytes]:
        """Yield what is added until the attempt has ended, and a line where the file was begun anew."""
        while True:
            is_over = _is_over(queue, job_id, number)  # before its output: what is read after the end is complete
            while data := self._file.read():
                if self._words:
                    yield self._words.encode()
                    self._words = ""
                yield data
            if is_over:
                return
            yield b""
            time.sleep(LOOK_S)
