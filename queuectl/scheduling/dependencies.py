"""dependencies: whether the jobs that a job comes after have ended as it wants.

Guarantees: pure; it depends only on the parents' states and the policy, not on the order in which they are given.
"""

from __future__ import annotations

from enum import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

POLICIES = ("success", "any", "failure")
SUCCEEDED, FAILED = ("completed",), ("dead", "cancelled")
MISSING = None  # the state of a parent that does not exist


class Verdict(Enum):
    """What becomes of a job with dependencies."""

    WAIT = "wait"
    START = "start"
    FAIL = "fail"  # a parent ended in a way that the policy excludes: the job is moved to dead/
    SKIP = "skip"  # `failure`, and nothing failed: the job is not needed, and is cancelled


class Decision:
    """The verdict, and the parents it is due to.

    Attributes:
        parents: with WAIT those that have not ended; with FAIL those that exclude a start, each with its state.
    """

    __slots__ = ("parents", "verdict")

    def __init__(self, verdict: Verdict, parents: Mapping[str, str | None]) -> None:
        self.verdict = verdict
        self.parents = dict(parents)

    def __repr__(self) -> str:
        return f"Decision({self.verdict}, {self.parents})"


def decide(policy: str, parents: Mapping[str, str | None]) -> Decision:
    """Decide about a job.

    Args:
        policy: one of POLICIES.
        parents: the state of each parent (job.STATES), MISSING for one that does not exist.
    """
    failed = {job_id: state for job_id, state in parents.items() if state is MISSING or state in FAILED}
    waiting = {job_id: state for job_id, state in parents.items() if job_id not in failed and state not in SUCCEEDED}
    missing = {job_id: state for job_id, state in failed.items() if state is MISSING}
    excluded = failed if policy == "success" else missing
    if excluded:
        return Decision(Verdict.FAIL, excluded)
    if waiting:
        return Decision(Verdict.WAIT, waiting)
    if policy == "failure" and not failed:
        return Decision(Verdict.SKIP, parents)
    return Decision(Verdict.START, {})


def describe(job_id: str, state: str | None) -> str:
    """Say how a parent ended: "extract-3 is dead"."""
    return f"{job_id} does not exist" if state is MISSING else f"{job_id} is {state}"


def find_cycle(after: Mapping[str, Collection[str]]) -> list[str]:
    """Return jobs of which each comes after the next, and the last after the first; empty when there are none.

    Args:
        after: for each job that waits, its parents.
    """
    children: dict[str, list[str]] = {}
    counts = dict.fromkeys(after, 0)
    for child, parents in after.items():
        for parent in parents:
            if parent in after:
                children.setdefault(parent, []).append(child)
                counts[child] += 1
    free = [job_id for job_id, count in counts.items() if not count]
    for job_id in free:  # which grows meanwhile
        del counts[job_id]
        for child in children.get(job_id, ()):
            counts[child] -= 1
            if not counts[child]:
                free.append(child)
    places: dict[str, int] = {}
    job_id = min(counts, default="")  # each that is left comes after another that is
    while counts and job_id not in places:
        places[job_id] = len(places)
        job_id = next(parent for parent in after[job_id] if parent in counts)
    return [*places][places[job_id] :] if places else []
