"""selections: which jobs a bulk action was confirmed for, kept between the requests that carry it out.

Owns:       the selections of this process, each for one action, and how far each has been carried out.
Guarantees: a job is given out once, and only if it was in the selection when it was confirmed. Memory is bounded: the
            selection that was used least recently is dropped first. A restart forgets all of them.
Fails with: Problem 410 (there is no such selection), 409 (another action, or another request is carrying it out),
            413 (too many jobs for one selection).
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from queuectl.units import spell_duration
from queuectl.web.response import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from queuectl.clock import Clock
    from queuectl.index.selection import Selected, Selection

KEPT_S = 1800.0  # since it was last used
KEPT = 32
KEPT_BYTES = 64 << 20
ID_BYTES = 128  # of an id in a set


class KeptSelection:
    """One selection and how far it has been carried out.

    Attributes:
        action: what was confirmed.
        states: a job in another state by now is left alone.
        jobs: as they were selected; of one that was named without a count, the state is empty.
        given_out: how many of its jobs a request has taken.
        removable: the jobs that a deletion may remove with those that they wait for, as counted; None: all.
    """

    def __init__(self, action: str, jobs: Selection, states: tuple[str, ...]) -> None:
        self.id = secrets.token_hex(8)
        self.action = action
        self.jobs = jobs
        self.states = states
        self.given_out = 0
        self.removable: frozenset[str] | None = None
        self.used_at = 0.0
        self.lock = Lock()

    @property
    def size_bytes(self) -> int:
        """The memory that it takes, about."""
        return self.jobs.size_bytes + ID_BYTES * len(self.removable or ())

    @property
    def left(self) -> int:
        """How many jobs no request has taken yet."""
        return len(self.jobs) - self.given_out

    def take(self) -> Iterator[Selected]:
        """Yield the jobs that are left; each counts as given out once it is yielded. Use inside Selections.using."""
        for job in self.jobs.after(self.given_out):
            self.given_out += 1
            yield job


class Selections:
    """The selections of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[str, KeptSelection] = {}  # the one that was used least recently first

    def keep(self, kept: KeptSelection) -> None:
        """Keep a selection until it has not been used for KEPT_S, or others need the room."""
        if kept.size_bytes > KEPT_BYTES:
            words = f"{len(kept.jobs):,} jobs match, more than one selection can hold"
            raise Problem(413, words, "narrow the filter", title="too many jobs", matched=len(kept.jobs))
        with self._lock:
            self._use(kept)
            while len(self._kept) > KEPT or sum(each.size_bytes for each in self._kept.values()) > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]

    def _use(self, kept: KeptSelection) -> None:
        kept.used_at = self._clock.monotonic()
        self._kept.pop(kept.id, None)
        self._kept[kept.id] = kept

    @contextmanager
    def using(self, selection_id: str, action: str) -> Iterator[KeptSelection]:
        """Lend a selection to one request; what it yields is the caller's alone until then.

        Raises:
            Problem.
        """
        with self._lock:
            now = self._clock.monotonic()
            self._kept = {key: each for key, each in self._kept.items() if now - each.used_at <= KEPT_S}
            kept = self._kept.get(selection_id)
            if kept is None:
                words = "there is no such selection; a selection is deleted when it has not been used for "
                hint = 'count again with "dry_run", and confirm the new number'
                words += f"{spell_duration(KEPT_S)}, or until the server restarts"
                raise Problem(410, words, hint, title="selection gone")
            if kept.action != action:
                words = f'this selection was made for "{kept.action}", not for "{action}"'
                raise Problem(409, words, "count again for this action", title="other action")
            if not kept.lock.acquire(blocking=False):
                hint = "wait until that request has ended, then continue"
                raise Problem(409, "another request is carrying out this selection", hint, title="selection in use")
            self._use(kept)
        try:
            yield kept
        finally:
            kept.lock.release()

    def hand_over(self, selection_id: str, action: str) -> KeptSelection:
        """Give a selection away: from now on the caller alone carries it out, and may keep it again.

        Raises:
            Problem.
        """
        with self.using(selection_id, action) as kept, self._lock:
            self._kept.pop(selection_id, None)
            return kept
