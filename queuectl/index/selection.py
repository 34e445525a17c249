"""selection: the jobs that matched a query at one moment, as a list that does not change.

Guarantees: complete and exact; what matches later is not in it. Compressed: some 20 bytes a job.
"""

from __future__ import annotations

import json
import zlib
from itertools import islice
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK = 1000  # jobs that are compressed together


class Selected(NamedTuple):
    """A job as it was when it was selected."""

    id: str
    state: str
    updated_at: float
    attempts: int


class Selection:
    """Selected jobs, in their order.

    Attributes:
        by_state: how many there are in each state that occurs.
        left_out: how many matched in each state that was not wanted.
        size_bytes: the memory that the jobs take.
    """

    def __init__(self, jobs: Iterable[tuple[str, str, float, int]]) -> None:
        self._chunks: list[bytes] = []
        self.by_state: dict[str, int] = {}
        self.left_out: dict[str, int] = {}
        self.size_bytes = 0
        left = iter(jobs)
        while chunk := [*islice(left, CHUNK)]:
            for _, state, _, _ in chunk:
                self.by_state[state] = self.by_state.get(state, 0) + 1
            packed = zlib.compress(json.dumps(chunk).encode(), 1)
            self._chunks.append(packed)
            self.size_bytes += len(packed)

    def __len__(self) -> int:
        return sum(self.by_state.values())

    def __iter__(self) -> Iterator[Selected]:
        return self.after(0)

    def after(self, count: int) -> Iterator[Selected]:
        """Yield the jobs that follow the first `count`."""
        first, skipped = divmod(count, CHUNK)
        for number, packed in enumerate(self._chunks[first:]):
            for job in json.loads(zlib.decompress(packed))[0 if number else skipped :]:
                yield Selected(*job)
