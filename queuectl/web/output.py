"""output: what a job wrote: a piece, the end, all of it, or as it comes.

Guarantees: a file is opened relative to its directory, never through a link, and only if it is a file; whatever bytes
            are in it, the browser takes them for plain text.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from queuectl.errors import NotFound
from queuectl.growing_file import GrowingFile, last_lines, open_regular
from queuectl.web.response import TEXT, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.client.queue import Queue
    from queuectl.web.app import Request

MOST_BYTES = 256 << 10
PIECE_BYTES = 64 << 10
LOOK_S = 0.25
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
        headers = {
            "X-QueueCTL-Attempt": str(number),
            "X-QueueCTL-From": str(start),
            "X-QueueCTL-Size": str(size),
            "X-QueueCTL-Ended": "true" if is_over else "false",
        }
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
