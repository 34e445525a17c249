"""Jobs that come after other jobs: order, failure, revival, and crashes of the supervisor in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from queuectl.errors import InvalidData

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]


def states(s: Supervised, *ids: str) -> list[str]:
    return [s.state(job_id) for job_id in ids]


def enqueue(s: Supervised, job_id: str, *after: str, command: str = "true", **fields: Any) -> str:
    more = {"after": [*after]} if after else {}
    return s.queue.enqueue(command, id=job_id, max_retries=0, **more, **fields)


def test_a_job_starts_once_its_parents_have_succeeded(supervised: Make) -> None:
    """Guarantee G19. The order is that of the dependencies, whatever the priorities say."""
    s = supervised()
    enqueue(s, "a", command=f"sleep 0.2; echo a >> {s.home}/order")
    enqueue(s, "b", command=f"echo b >> {s.home}/order")
    enqueue(s, "c", "a", "b", command=f"echo c $QUEUECTL_AFTER >> {s.home}/order", priority=1000)
    enqueue(s, "d", "c", command=f"echo d >> {s.home}/order", priority=500)
    s.start(4)
    s.wait_for("d", "completed")
    order = (s.home / "order").read_text().splitlines()
    assert sorted(order[:2]) == ["a", "b"]
    assert order[2:] == ["c a b", "d"]


def test_a_diamond_of_which_one_arm_dies_follows_when_it_is_revived(supervised: Make) -> None:
    """Guarantee G19. What died because of a parent is revived with it, and its own dependents too."""
    s = supervised()
    enqueue(s, "top")
    enqueue(s, "left", "top", command=f"test -e {s.home}/mended")
    enqueue(s, "right", "top")
    enqueue(s, "bottom", "left", "right")
    enqueue(s, "last", "bottom")
    s.start(2)
    s.wait_for("last", "dead")
    assert states(s, "top", "left", "right", "bottom", "last") == ["completed", "dead", "completed", "dead", "dead"]
    assert s.queue.get("bottom").dead_reason == s.queue.get("last").dead_reason == "dependency_failed"
    assert s.queue.get("bottom").last_error == "after: left is dead"
    (s.home / "mended").touch()
    s.queue.retry("left")
    s.wait_for("last", "completed")
    assert states(s, "left", "bottom") == ["completed", "completed"]


@pytest.mark.parametrize("step", range(5))
def test_a_diamond_survives_kills_of_the_supervisor(supervised: Make, step: int) -> None:
    """Guarantee G19. It is killed after each of the steps of the diamond's life."""
    s = supervised()
    supervisor = s.start(2)

    def kill_at(at: int) -> None:
        nonlocal supervisor
        if step == at:
            supervisor.kill()
            supervisor.wait()
            supervisor = s.start(2)

    enqueue(s, "top")
    kill_at(0)
    enqueue(s, "left", "top", command=f"test -e {s.home}/mended")
    enqueue(s, "right", "top")
    enqueue(s, "bottom", "left", "right")
    kill_at(1)
    s.wait_for("left", "dead")
    kill_at(2)
    s.wait_for("bottom", "dead")
    kill_at(3)
    (s.home / "mended").touch()
    s.queue.retry("left")
    kill_at(4)
    s.wait_for("bottom", "completed")
    assert s.queue.get("bottom").attempts == s.queue.get("right").attempts == 1


@pytest.mark.parametrize(
    ("policy", "command", "state", "reason"),
    [
        ("success", "true", "completed", None),
        ("success", "false", "dead", "dependency_failed"),
        ("any", "true", "completed", None),
        ("any", "false", "completed", None),
        ("failure", "false", "completed", None),
        ("failure", "true", "cancelled", None),
    ],
)
def test_every_policy(supervised: Make, policy: str, command: str, state: str, reason: str | None) -> None:
    s = supervised()
    enqueue(s, "parent", command=command)
    enqueue(s, "child", "parent", after_policy=policy)
    s.start(1)
    s.wait_for("child", state)
    assert s.queue.get("child").dead_reason == reason


def test_a_cancelled_parent_has_failed_and_one_that_was_deleted_does_not_exist(supervised: Make) -> None:
    s = supervised()
    enqueue(s, "held")
    s.queue.hold("held")
    enqueue(s, "gone")
    s.queue.hold("gone")
    enqueue(s, "one", "held")
    enqueue(s, "two", "gone")
    s.start(1)
    s.queue.cancel("held")
    os.unlink(s.queue.layout.job("pending", "gone"))
    s.wait_for("one", "dead")
    s.wait_for("two", "dead")
    assert s.queue.get("one").last_error == "after: held is cancelled"
    assert s.queue.get("two").last_error == "after: gone does not exist"


def test_a_dropped_job_whose_parent_comes_later_runs_after_it(supervised: Make) -> None:
    s = supervised()
    s.start(1)
    text = '{"command": "true", "after": ["parent"]}'
    (s.home / "spool/pending/child.json").write_text(text)
    s.wait_for("child", "dead")
    enqueue(s, "parent")
    s.wait_for("child", "completed")


def test_a_parent_that_does_not_exist_is_refused_and_so_is_the_job_itself(supervised: Make) -> None:
    s = supervised()
    with pytest.raises(InvalidData, match='comes after "nowhere", which does not exist'):
        enqueue(s, "child", "nowhere")
    with pytest.raises(InvalidData, match="cannot come after itself"):
        enqueue(s, "child", "child")
    assert [*s.queue.list()] == []


def test_a_thousand_children_of_one_parent_run(supervised: Make) -> None:
    s = supervised(durability="relaxed")
    enqueue(s, "parent", command=f"until test -e {s.home}/go; do sleep 0.05; done")
    children = [*s.queue.enqueue_many(["true"] * 1000, after=["parent"])]
    s.start(2)
    s.wait_for("parent", "processing")
    (s.home / "go").touch()
    s.wait_until(lambda: s.queue.counts()["completed"] == len(children) + 1, "all have run")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (["c"], 'job "a" cannot come after "b", which comes after "a"'),
        (["b"], 'job "a" cannot come after "b", which comes after "a"'),
        (["a"], 'job "a" cannot come after itself'),
        (["nope"], 'the job comes after "nope", which does not exist'),
    ],
)
def test_an_edit_makes_no_cycle(supervised: Make, after: list[str], words: str) -> None:
    s = supervised()
    enqueue(s, "a")
    enqueue(s, "b", "a")
    enqueue(s, "c", "b")
    enqueue(s, "other")
    with pytest.raises(InvalidData) as caught:
        s.queue.edit("a", after=after)
    assert str(caught.value) == words
    assert s.queue.edit("a", after="other").parents == ["other"]


def test_a_job_says_what_it_waits_for(supervised: Make) -> None:
    """The same in Python and in JSON."""
    s = supervised()
    enqueue(s, "a")
    enqueue(s, "b", "a")
    s.queue.hold("b")
    waits = s.queue.get("b").waits_for
    assert [(each["reason"], each["jobs"]) for each in waits] == [("held", []), ("after", ["a"]), ("no_supervisor", [])]
    assert s.queue.get("b").as_dict()["waits_for"] == waits
    s.start(1)
    s.wait_for("a", "completed")
    assert [each["reason"] for each in s.queue.get("b").waits_for] == ["held"]
    assert s.queue.get("a").waits_for == []
