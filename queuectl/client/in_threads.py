"""in_threads: the same action on many jobs, on several at once.

Guarantees: results come in the order of the jobs. A few jobs are acted on one after the other, without a thread. Each job
            is changed under its lock as by a single action; what a crash leaves is the same.
Source:     of the time of a change most is spent in syncs; those of several threads share a commit of the file system.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from itertools import chain, islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from typing import Any

    Outcome = Callable[[], Any]

THREADS = 8
FEW = 16  # for so many jobs no thread is started
AHEAD = 4 * THREADS


class InThreads:
    """An action on jobs; iterate for each with a function that returns or raises what the action does.

    Args:
        do: called in several threads at once.
        items: what it is called with; read in the thread that iterates. None waits for the end of those before.
    """

    def __init__(self, do: Callable[[Any], Any], items: Iterable[Any]) -> None:
        self._do = do
        self._items = items
        self._begun: deque[tuple[Any, Future[Any]]] = deque()

    def __iter__(self) -> Iterator[tuple[Any, Outcome]]:
        rest = iter(self._items)
        first = [*islice(rest, FEW + 1)]
        if len(first) <= FEW:
            for item in first:
                if item is not None:
                    yield item, partial(self._do, item)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for item in chain(first, rest, (None,)):
                    if item is not None:
                        self._begun.append((item, pool.submit(self._do, item)))
                    while len(self._begun) > (AHEAD if item is not None else 0):
                        yield self._next()
            finally:
                for _, future in self._begun:
                    future.cancel()

    def _next(self) -> tuple[Any, Outcome]:
        item, future = self._begun[0]
        future.exception()  # waits; an interruption leaves it among those that `stop` returns
        self._begun.popleft()
        return item, future.result

    def stop(self) -> Iterator[tuple[Any, Outcome]]:
        """Begin no more, and yield those that were under way, once they have ended."""
        for _, future in self._begun:
            future.cancel()
        for item, future in self._begun:
            if not future.cancelled():
                future.exception()
                yield item, future.result
