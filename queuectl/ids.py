"""ids: the grammar of the ids of jobs, which names of queues, batches, locks and resources share, and new ids."""

from __future__ import annotations

import os
from _thread import allocate_lock

ID_START = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
ID_CHARS = ID_START | frozenset("._-@")
ID_MAX = 128
ID_GRAMMAR = "letters, digits, '.', '_', '-' and '@', starting with a letter or digit, at most 128 characters"

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
GENERATED_CHARS = 16
GENERATED = frozenset(CROCKFORD)
PAIRS = [first + second for first in CROCKFORD for second in CROCKFORD]


def is_id(text: object) -> bool:
    """Tell whether `text` may name a job, queue or batch; the only place that decides it."""
    return isinstance(text, str) and 0 < len(text) <= ID_MAX and text[0] in ID_START and ID_CHARS.issuperset(text)


def is_generated(job_id: str) -> bool:
    """Tell whether an id has the form of those that `new_id` makes."""
    return len(job_id) == GENERATED_CHARS and GENERATED.issuperset(job_id)


class _Ids:
    """Time-ordered ids: 9 characters of milliseconds, 7 that begin at random and count up within one millisecond."""

    __slots__ = ("last_ms", "lock", "low")

    def __init__(self) -> None:
        self.last_ms = -1
        self.low = 0
        self.lock = allocate_lock()

    def next(self, now: float) -> str:
        with self.lock:
            ms = int(now * 1000)
            if ms > self.last_ms:
                # The top bit stays free, so that counting up never carries into the milliseconds.
                self.last_ms, self.low = ms, int.from_bytes(os.urandom(5), "big") >> 6
            else:
                self.low += 1
            value = (self.last_ms << 35) + self.low
        return "".join([PAIRS[value >> shift & 1023] for shift in range(70, -1, -10)])


_ids = _Ids()
if hasattr(os, "register_at_fork"):  # a forked child must not repeat its parent's sequence
    os.register_at_fork(after_in_child=_ids.__init__)  # type: ignore[misc]


def new_id(now: float) -> str:
    """Return a fresh id of 16 characters; ids made by one process sort by creation, even if the clock goes back."""
    return _ids.next(now)
