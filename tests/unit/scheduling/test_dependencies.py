"""Dependencies: what becomes of a job, by its policy and the states of its parents."""

from __future__ import annotations

import itertools

import pytest

from queuectl.scheduling.dependencies import MISSING, POLICIES, Verdict, decide, find_cycle

WAIT, START, FAIL, SKIP = Verdict.WAIT, Verdict.START, Verdict.FAIL, Verdict.SKIP


@pytest.mark.parametrize(
    ("states", "success", "any_", "failure"),
    [
        (["completed"], START, START, SKIP),
        (["dead"], FAIL, START, START),
        (["cancelled"], FAIL, START, START),
        ([MISSING], FAIL, FAIL, FAIL),
        (["pending"], WAIT, WAIT, WAIT),
        (["processing"], WAIT, WAIT, WAIT),
        (["failed"], WAIT, WAIT, WAIT),
        (["held"], WAIT, WAIT, WAIT),
        (["completed", "completed"], START, START, SKIP),
        (["completed", "pending"], WAIT, WAIT, WAIT),
        (["dead", "pending"], FAIL, WAIT, WAIT),
        (["dead", "completed"], FAIL, START, START),
        ([MISSING, "pending"], FAIL, FAIL, FAIL),
    ],
)
def test_what_becomes_of_a_job(states, success, any_, failure):
    for order in itertools.permutations(states):
        parents = {f"p{number}": state for number, state in enumerate(order)}
        assert tuple(decide(policy, parents).verdict for policy in POLICIES) == (success, any_, failure)


def test_the_decision_names_the_parents_that_it_is_due_to():
    parents = {"a": "completed", "b": "dead", "c": "pending"}
    assert decide("success", parents).parents == {"b": "dead"}
    assert decide("any", parents).parents == {"c": "pending"}


@pytest.mark.parametrize(
    ("after", "cycle"),
    [
        ({}, ""),
        ({"a": "b", "b": "x"}, ""),
        ({"a": "bc", "b": "c", "c": ""}, ""),
        ({"a": "a"}, "a"),
        ({"a": "b", "b": "a"}, "ab"),
        ({"a": "b", "b": "xc", "c": "b", "d": "a"}, "bc"),
        ({"a": "bx", "b": "c", "c": "a", "e": "f", "f": "e"}, "abc"),
    ],
)
def test_a_cycle_is_found_among_jobs_that_wait(after: dict[str, str], cycle: str) -> None:
    assert "".join(find_cycle(after)) == cycle


def test_a_long_chain_has_no_cycle() -> None:
    chain = {str(n): [str(n + 1)] for n in range(50_000)}
    assert find_cycle(chain) == []
    assert len(find_cycle({**chain, "50000": ["0"]})) == 50_001
