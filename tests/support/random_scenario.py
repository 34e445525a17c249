"""Several jobs that live through all verbs at once, at random but foretold: a scenario whose script a seed decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from queuectl.errors import Busy
from queuectl.job.job import PENDING
from queuectl.spool.claim import Claim
from tests.support.clock import NOON
from tests.support.scenarios import Acknowledgements, Scenario, nothing

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.support.spools import Home

RUNNING = "running"
# From each state: what may be done, and the state it leads to.
DEEDS: dict[str, dict[str, str]] = {
    "gone": {"enqueue": "pending"},
    "pending": {"claim": RUNNING, "hold": "held", "cancel": "cancelled", "edit": "pending/mail", "delete": "gone"},
    "failed": {"claim": RUNNING, "hold": "held", "cancel": "cancelled", "run_now": "pending", "delete": "gone"},
    "held": {"release": "pending", "cancel": "cancelled", "edit_much": "held/mail", "delete": "gone"},
    RUNNING: {"finish": "completed", "fail": "failed", "bury": "dead", "cancel_run": "cancelled", "give_up": "pending"},
    "completed": {"revive": "pending", "delete": "gone"},
    "cancelled": {"revive": "pending", "delete": "gone"},
    "dead": {"revive": "pending", "delete": "gone"},
}
DEEDS["pending/mail"] = DEEDS["pending"]


class _Stall:
    """One job of the random_scenario, and the claim of whoever runs it."""

    def __init__(self, spool: Home, job_id: str, words: str) -> None:
        self.spool = spool
        self.id = job_id
        self.details = {"exit_code": 1, "error": words}
        self.claim: Claim | None = None

    def do(self, deed: str, note: str) -> None:
        if deed == "enqueue":
            self.spool.enqueue({"id": self.id, "command": "true", "note": note})
        elif deed == "claim":
            found = self.spool.claim(self.id, "w")
            if not isinstance(found, Claim):
                raise Busy(f"not now: {found}")
            self.claim = found
        elif self.claim is not None:
            self.settle(self.claim, deed)
            self.claim.close()
            self.claim = None
        else:
            with self.spool.take(self.id) as claim:
                self.change(claim, deed)

    def settle(self, claim: Claim, deed: str) -> None:
        verbs: dict[str, Callable[[], object]] = {
            "finish": lambda: claim.finish({**self.details, "exit_code": 0}),
            "fail": lambda: claim.reschedule("failed", NOON, self.details),
            "bury": lambda: claim.move_to_dead("retries_exhausted", self.details),
            "cancel_run": lambda: claim.cancel(self.details),
            "give_up": lambda: claim.reschedule("requeued", NOON, {"reason": "worker stopped"}),
        }
        verbs[deed]()

    def change(self, claim: Claim, deed: str) -> None:
        changes: dict[str, dict[str, Any]] = {
            "edit": {"queue": "mail"},
            "edit_much": {"queue": "mail", "env": {"A": "x" * 3000}},
        }
        if deed in changes:
            claim.edit(changes[deed])
        else:
            getattr(claim, deed)()


def random_scenario(chance: random.Random, *, jobs: int = 3, deeds: int = 24) -> Scenario:
    """Write a script: who does what, and which states each job goes through by that."""
    state = dict.fromkeys([f"j{number}" for number in range(jobs)], "gone")
    life = dict.fromkeys(state, 0)
    fates: dict[str, list[str]] = {}
    script: list[tuple[str, str, str, int, str]] = []
    for _ in range(deeds):
        job_id = chance.choice(list(state))
        deed, after = chance.choice(list(DEEDS[state[job_id]].items()))
        if deed == "enqueue":
            life[job_id] += 1
        note = f"{job_id}.{life[job_id]}"
        states = fates.setdefault(note, ["gone"])
        # A claim promises nothing: after a cut the job waits as before, or was interrupted.
        states.append(f"{state[job_id]}|{PENDING}" if after == RUNNING else after)
        script.append((job_id, deed, note, len(states) - 1, "x" * chance.choice((3, 400, 1500))))
        state[job_id] = after

    def verb(spool: Home, book: Acknowledgements) -> None:
        stalls = {job_id: _Stall(spool, job_id, "") for job_id in state}
        try:
            for job_id, deed, note, step, words in script:
                stalls[job_id].details["error"] = words
                stalls[job_id].do(deed, note)
                book.note(note, step)
        finally:
            for stall in stalls.values():
                if stall.claim is not None:
                    stall.claim.close()

    return Scenario(nothing, verb, **{note: tuple(states) for note, states in fates.items()})
