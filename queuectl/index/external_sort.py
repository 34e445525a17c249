"""external_sort: sorts any number of ids, or other lines of ASCII, with bounded memory.

The index is compared and loaded in the order of ids: neighbours on disk are touched together (seven times faster at a
million jobs than in the order in which a directory lists them), and removed jobs are found by the merge.

Source: external merge sort; Knuth, TAOCP vol. 3, § 5.4.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

RUN_IDS = 10_000  # sorted at once: some 1 MB, 10 ms
READ_BYTES = 8 << 10


class Sorter:
    """Takes ids, then yields them in order.

    Args:
        scratch: a directory for an unnamed file, used beyond RUN_IDS ids; None for that of temporary files.
    """

    def __init__(self, scratch: str | None) -> None:
        self._scratch = scratch
        self._ids: list[str] = []
        self._file: IO[bytes] | None = None
        self._runs: list[tuple[int, int]] = []
        self.count = 0

    def add(self, job_id: str) -> None:
        """Take one id."""
        self._ids.append(job_id)
        self.count += 1
        if len(self._ids) >= RUN_IDS:
            self._spill()

    def _spill(self) -> None:
        if self._file is None:
            from tempfile import TemporaryFile

            self._file = TemporaryFile(dir=self._scratch)  # noqa: SIM115 - lives as long as the sorter
        self._ids.sort()
        start = self._runs[-1][1] if self._runs else 0
        data = "".join(f"{job_id}\n" for job_id in self._ids).encode("ascii")
        self._file.write(data)
        self._runs.append((start, start + len(data)))
        self._ids = []

    def __iter__(self) -> Iterator[str]:
        if self._file is None:
            self._ids.sort()
            return iter(self._ids)
        from heapq import merge

        if self._ids:
            self._spill()
        self._file.flush()
        return merge(*(_read_run(self._file.fileno(), start, end) for start, end in self._runs))

    def close(self) -> None:
        """Give the file up."""
        self._ids = []
        if self._file is not None:
            self._file.close()


def _read_run(fd: int, at: int, end: int) -> Iterator[str]:
    rest = ""
    while at < end:
        data = os.pread(fd, min(READ_BYTES, end - at), at)
        at += len(data)
        *ids, rest = (rest + data.decode("ascii")).split("\n")
        yield from ids
