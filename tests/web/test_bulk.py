"""Bulk actions: exactly the jobs that were confirmed, whatever happens meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from queuectl.client.queue import Queue
from queuectl.index import query
from queuectl.spool.claim import Claim
from queuectl.web import bulk, selections
from tests.web.test_bulk_tasks import ended

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.support import Jobs
    from tests.web.support import Served

PATH = "/api/v1/bulk"


def add(jobs: Jobs, count: int, prefix: str = "j", **fields: Any) -> list[str]:
    wanted = [{"command": "true", "id": f"{prefix}{number:05}", **fields} for number in range(count)]
    return [str(job_id) for job_id in jobs.queue.enqueue_many(wanted)]


def carry_out(web: Served, target: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """Ask until nothing is left, as the page does."""
    answers = [web.post(PATH, {**target, **more})]
    while answers[-1]["left"]:
        answers.append(web.post(PATH, {"action": target["action"], "selection": answers[-1]["selection"]}))
    return answers


# --- counting


def test_what_is_confirmed_is_counted_exactly(home: Path, serve: Callable[..., Served]) -> None:
    """12,500 jobs match: a list counts them up to 10,000, a bulk action all of them."""
    (home / "config.yaml").write_text("durability: relaxed\n")
    web = serve()
    wanted = [{"command": "true", "queue": "q"}] * 12_500
    assert len([*Queue(home).enqueue_many(wanted)]) == 12_500
    web.queue.catch_up()
    shown = web.get("/api/v1/jobs?queue=q&q=true&limit=1")
    assert (shown["total"], shown["total_is_exact"]) == (10_000, False)
    target = {"action": "delete", "filter": {"queue": "q", "q": "true"}}
    counted = web.post(PATH, {**target, "dry_run": True})
    assert (counted["matched"], counted["by_state"]) == (12_500, {"pending": 12_500})
    refused = web.ask("POST", PATH, {**target, "expected": 10_000})
    assert (refused.status, refused.json["matched"]) == (409, 12_500)
    assert web.queue.counts()["pending"] == 12_500


def test_nothing_beyond_what_was_confirmed_is_deleted(web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MANY", 10)
    monkeypatch.setattr(bulk, "MOST", 10)
    add(jobs, 25, queue="q")
    counted = web.post(PATH, {"action": "delete", "filter": {"q": "true"}, "dry_run": True})
    add(jobs, 3, "late", queue="q")
    selected = {"action": "delete", "selection": counted["selection"]}
    first = web.post(PATH, {**selected, "limit": 7})
    assert (len(first["ids"]), first["left"]) == (7, 18)
    assert sum(len(answer["ids"]) for answer in carry_out(web, selected)) == 18
    assert sorted(row["id"] for row in web.queue.list()) == ["late00000", "late00001", "late00002"]


def test_an_expected_number_is_compared_with_the_exact_one(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "MANY", 10)
    add(jobs, 25, tags=["t"])
    target = {"action": "cancel", "filter": {"tag": "t"}}
    assert web.get("/api/v1/jobs?tag=t")["total"] == 10
    for wrong in (0, 10, 11, 24, 26):
        refused = web.ask("POST", PATH, {**target, "expected": wrong})
        assert (refused.status, refused.json["matched"]) == (409, 25)
    assert web.queue.counts()["pending"] == 25
    done = web.post(PATH, {**target, "expected": 25})
    assert (len(done["ids"]), done["matched"], done["left"], "selection" in done) == (25, 25, 0, False)


def test_an_expected_number_is_compared_with_the_number_of_named_jobs(web: Served, jobs: Jobs) -> None:
    for name in "ab":
        jobs.dead(name)
    named = {"action": "retry", "ids": ["a", "b", "a"]}
    refused = web.ask("POST", PATH, {**named, "expected": 3})
    assert (refused.status, refused.json["matched"], refused.json["detail"]) == (409, 2, "2 jobs are named, not 3")
    assert {web.get(f"/api/v1/jobs/{name}")["state"] for name in "ab"} == {"dead"}
    assert web.post(PATH, {**named, "expected": 2})["ids"] == ["a", "b"]


def test_new_jobs_are_not_drawn_in_between_two_requests(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The filter form goes on with the selection of its answer; the filter again is another decision."""
    monkeypatch.setattr(bulk, "MOST", 10)
    ids = add(jobs, 25, queue="q")
    target = {"action": "hold", "filter": {"queue": "q"}}
    first = web.post(PATH, {**target, "expected": 25})
    assert (len(first["ids"]), first["left"]) == (10, 15)
    late = add(jobs, 2, "late", queue="q")
    assert web.ask("POST", PATH, {**target, "expected": 15}).status == 409
    answers = carry_out(web, {"action": "hold", "selection": first["selection"]})
    assert [len(answer["ids"]) for answer in answers] == [10, 5]
    assert all(web.queue.get(job_id).state == "held" for job_id in ids)
    assert all(web.queue.get(job_id).state == "pending" for job_id in late)


def test_what_takes_long_is_left_for_another_request(web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "ENOUGH_S", -1.0)
    monkeypatch.setattr(bulk, "TOGETHER", 1)
    ids = add(jobs, 3)
    answers = carry_out(web, {"action": "cancel", "ids": ids})
    assert [(answer["ids"], answer["left"]) for answer in answers] == [([ids[0]], 2), ([ids[1]], 1), ([ids[2]], 0)]


# --- selections


def test_a_selection_is_for_one_action_and_for_some_time(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(jobs, 2)
    counted = web.post(PATH, {"action": "cancel", "filter": {"state": "pending"}, "dry_run": True})
    selected = {"selection": counted["selection"]}
    assert web.ask("POST", PATH, {"action": "delete", **selected}).status == 409
    assert web.post(PATH, {"action": "cancel", "dry_run": True, **selected})["left"] == 2
    monkeypatch.setattr(selections, "KEPT_S", 0.0)
    gone = web.ask("POST", PATH, {"action": "cancel", **selected})
    assert (gone.status, gone.json["title"], "dry_run" in gone.json["hint"]) == (410, "selection gone", True)
    assert web.ask("POST", PATH, {"action": "cancel", "selection": "0" * 16}).status == 410
    assert web.queue.counts()["pending"] == 2


def test_the_selection_that_was_used_least_recently_is_dropped_first(
    web: Served, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selections, "KEPT", 2)
    add(jobs, 1)
    count = {"action": "delete", "filter": {"state": "pending"}, "dry_run": True}
    first, second = (web.post(PATH, count)["selection"] for _ in range(2))
    web.post(PATH, {"action": "delete", "selection": first, "dry_run": True})
    web.post(PATH, count)
    assert web.ask("POST", PATH, {"action": "delete", "selection": second}).status == 410
    monkeypatch.setattr(selections, "KEPT_BYTES", 1)
    refused = web.ask("POST", PATH, count)
    assert (refused.status, refused.json["matched"]) == (413, 1)
    monkeypatch.undo()
    assert len(web.post(PATH, {"action": "delete", "selection": first})["ids"]) == 1


def test_a_selection_is_carried_out_by_one_request_at_a_time(web: Served, jobs: Jobs) -> None:
    add(jobs, 1)
    counted = web.post(PATH, {"action": "delete", "filter": {"state": "pending"}, "dry_run": True})
    with web.server.app.selections.using(counted["selection"], "delete"):
        busy = web.ask("POST", PATH, {"action": "delete", "selection": counted["selection"]})
    assert (busy.status, busy.json["title"]) == (409, "selection in use")
    assert web.queue.counts()["pending"] == 1


# --- what has changed since


def test_a_job_that_changed_since_it_was_selected_is_left_alone(web: Served, jobs: Jobs) -> None:
    for job_id in ("same", "revived", "again"):
        jobs.dead(job_id)
    counted = web.post(PATH, {"action": "delete", "filter": {"state": "dead"}, "dry_run": True})
    for job_id in ("revived", "again"):
        web.queue.retry(job_id)
    with jobs.start("again") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    done = web.post(PATH, {"action": "delete", "selection": counted["selection"]})
    left = {each["id"]: each["state"] for each in done["unchanged"]}
    assert (done["ids"], left) == (["same"], {"revived": "pending", "again": "dead"})


@pytest.mark.parametrize("target", [{"filter": {"queue": "default"}}, {"ids": ["f"]}])
def test_a_job_that_has_completed_since_it_was_selected_is_not_run_again(
    web: Served, jobs: Jobs, target: dict[str, Any]
) -> None:
    jobs.failed("f")
    counted = web.post(PATH, {"action": "retry", **target, "dry_run": True})
    assert counted["by_state"] == {"failed": 1}
    with jobs.start("f") as claim:
        claim.finish({"exit_code": 0})
    done = web.post(PATH, {"action": "retry", "selection": counted["selection"]})
    assert (done["ids"], done["unchanged"]) == ([], [{"id": "f", "state": "completed"}])
    assert web.queue.get("f").state == "completed"


def test_only_waiting_jobs_are_cancelled_when_only_those_were_confirmed(web: Served, jobs: Jobs) -> None:
    jobs.pending("p")
    counted = web.post(PATH, {"action": "cancel", "filter": {"state": "pending"}, "dry_run": True})
    claim = jobs.spool.claim("p", "worker-1")
    assert isinstance(claim, Claim)
    with claim:
        done = web.post(PATH, {"action": "cancel", "selection": counted["selection"]})
        assert (done["ids"], done["unchanged"]) == ([], [{"id": "p", "state": "processing"}])
        claim.finish({"exit_code": 0})


# --- which states an action is for


@pytest.fixture
def every_state(jobs: Jobs) -> Jobs:
    for state in ("pending", "held", "failed", "completed", "cancelled", "dead"):
        getattr(jobs, state)(state, batch="b" if state in ("pending", "completed") else "other")
    return jobs


@pytest.mark.parametrize(
    ("action", "wanted", "selected"),
    [
        ("retry", {"queue": "default"}, {"failed", "dead"}),
        ("retry", {"state": "all"}, {"failed", "dead"}),
        ("retry", {"state": "completed,dead"}, {"completed", "dead"}),
        ("retry", {"state": "cancelled"}, {"cancelled"}),
        ("cancel", {"batch": "b"}, {"pending"}),
        ("cancel", {"queue": "default"}, {"pending", "held", "failed"}),
        ("cancel", {"state": "dead,completed"}, set()),
        ("cancel", {"state": "dead,failed"}, {"failed"}),
        ("hold", {"queue": "default"}, {"pending", "failed"}),
        ("release", {"queue": "default"}, {"held"}),
        ("delete", {"queue": "default"}, {"pending", "held", "failed", "completed", "cancelled", "dead"}),
    ],
)
def test_a_filter_selects_the_states_that_an_action_is_for(
    web: Served, every_state: Jobs, action: str, wanted: dict[str, str], selected: set[str]
) -> None:
    before = {row["id"]: row["updated_at"] for row in web.queue.list()}
    counted = web.post(PATH, {"action": action, "filter": wanted, "dry_run": True})
    matches = {"pending", "completed"} if "batch" in wanted else {*before}
    if wanted.get("state", "all") != "all":
        matches = {*wanted["state"].split(",")}
    assert {*counted["by_state"]} == selected
    assert {*counted["left_out"]} == matches - selected
    done = web.post(PATH, {"action": action, "filter": wanted, "expected": counted["matched"]})
    assert {*done["ids"]} == selected
    after = {row["id"]: row["updated_at"] for row in web.queue.list()}
    assert {job_id for job_id in before if after.get(job_id) != before[job_id]} == selected


def test_the_dead_of_one_error_are_selected_by_it(web: Served, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.dead(job_id, {"error": "no space", "exit_code": 1})
    jobs.dead("other", {"error": "no route", "exit_code": 2}, command="false")
    error = next(group["fingerprint"] for group in web.get("/api/v1/dead/groups")["groups"] if group["count"] == 2)
    for wanted in ({"error": error}, {"error": error, "state": "dead"}):
        counted = web.post(PATH, {"action": "retry", "filter": wanted, "dry_run": True})
        assert (counted["by_state"], counted["left_out"]) == ({"dead": 2}, {})


def test_cancelling_dead_jobs_leaves_them_in_the_dead_letter_queue(web: Served, jobs: Jobs) -> None:
    jobs.dead("d")
    jobs.completed("c")
    jobs.pending("p")
    done = web.post(PATH, {"action": "cancel", "ids": ["d", "c", "p"]})
    assert (done["ids"], done["left"]) == (["p"], 0)
    assert done["unchanged"] == [{"id": "d", "state": "dead"}, {"id": "c", "state": "completed"}]
    assert (web.queue.counts()["dead"], web.queue.counts()["completed"]) == (1, 1)
    counted = web.post(PATH, {"action": "cancel", "ids": ["d", "c", "gone"], "dry_run": True})
    assert (counted["matched"], counted["left_out"]) == (0, {"dead": 1, "completed": 1})
    assert [each["id"] for each in counted["failed"]] == ["gone"]


def test_expired_jobs_run_again_together(web: Served, jobs: Jobs) -> None:
    for job_id in ("a", "b"):
        jobs.spool.enqueue({"id": job_id, "command": "true", "expires_at": "2026-01-01T00:00:00Z"})
        assert not isinstance(jobs.spool.claim(job_id, "w"), Claim)
    jobs.dead("d")
    done = web.post(PATH, {"action": "retry", "filter": {"state": "dead"}, "expected": 3})
    assert (len(done["ids"]), {each["id"] for each in done["expiry_removed"]}) == (3, {"a", "b"})
    assert all(web.queue.get(job_id).expires_at is None for job_id in ("a", "b"))


# --- the rest


def test_the_same_for_many(web: Served, jobs: Jobs) -> None:
    for number in range(5):
        jobs.dead(f"d{number}", {"error": "no", "exit_code": 1})
    jobs.pending("p")
    only = {"action": "retry", "filter": {"state": "dead"}}
    changed = web.ask("POST", PATH, {**only, "expected": 4})
    assert (changed.status, changed.json["matched"]) == (409, 5)
    assert web.post(PATH, {**only, "dry_run": True})["matched"] == 5
    one = web.post(PATH, {**only, "expected": 5, "limit": 1})
    assert (len(one["ids"]), one["matched"], one["left"]) == (1, 5, 4)
    rest = web.post(PATH, {**only, "expected": 4})
    assert (len(rest["ids"]), rest["left"]) == (4, 0)
    assert web.queue.counts()["dead"] == 0
    some = web.post(PATH, {"action": "edit", "ids": ["p", "nobody", "p"], "set": {"priority": 7}})
    assert (some["ids"], some["failed"][0]["id"], some["left"]) == (["p"], "nobody", 0)
    assert web.queue.get("p").priority == 7
    gone = web.post(PATH, {"action": "delete", "filter": {"q": "true"}, "expected": 6})
    assert (len(gone["ids"]), web.queue.list()) == (6, [])


@pytest.mark.parametrize(
    "body",
    [
        {"action": "retry"},
        {"action": "retry", "ids": []},
        {"action": "retry", "ids": ["a"], "filter": {"state": "dead"}},
        {"action": "retry", "ids": ["a"], "selection": "0" * 16},
        {"action": "retry", "selection": "a"},
        {"action": "retry", "filter": {"state": "dead"}},
        {"action": "retry", "filter": {}, "expected": 0},
        {"action": "retry", "filter": {"stat": "dead"}, "expected": 0},
        {"action": "explode", "ids": ["a"]},
        {"action": "edit", "ids": ["a"]},
        {"action": "hold", "ids": ["a"], "set": {"priority": 1}},
        {"action": "retry", "ids": ["../a"]},
        {"action": "retry", "ids": ["a"], "limit": 0},
        {"action": "retry", "ids": ["a"], "expected": -1},
    ],
)
def test_a_bulk_action_that_says_too_little_or_too_much_is_refused(web: Served, body: dict[str, Any]) -> None:
    assert web.ask("POST", PATH, body).status == 422


# --- what only some actions have


def test_a_deletion_counts_and_takes_the_jobs_that_wait(web: Served, jobs: Jobs) -> None:
    jobs.queue.enqueue("true", id="top", tags=["t"])
    jobs.queue.enqueue("true", id="left", after=["top"])
    jobs.queue.enqueue("true", id="last", after=["left"])
    target = {"action": "delete", "filter": {"tag": "t"}}
    assert web.post(PATH, {**target, "expected": 1})["failed"][0]["title"] == "conflict"
    counted = web.post(PATH, {**target, "with_dependents": True, "dry_run": True})
    assert (counted["matched"], counted["dependents"]) == (1, 2)
    done = web.post(PATH, {"action": "delete", "selection": counted["selection"], "with_dependents": True})
    assert (done["ids"], web.queue.counts()["pending"]) == (["top"], 0)


def test_a_deletion_takes_no_waiting_job_that_was_not_counted(web: Served, jobs: Jobs) -> None:
    jobs.queue.enqueue("true", id="top", tags=["t"])
    jobs.queue.enqueue("true", id="left", after=["top"])
    target = {"action": "delete", "with_dependents": True}
    counted = web.post(PATH, {**target, "filter": {"tag": "t"}, "dry_run": True})
    jobs.queue.enqueue("true", id="late", after=["left"])
    refused = web.post(PATH, {**target, "selection": counted["selection"]})
    assert [(each["id"], each["title"]) for each in refused["failed"]] == [("top", "conflict")]
    assert "late" in refused["failed"][0]["detail"]
    assert web.queue.counts()["pending"] == 3


def test_a_deletion_that_counted_no_waiting_jobs_takes_none(web: Served, jobs: Jobs) -> None:
    jobs.queue.enqueue("true", id="top", tags=["t"])
    jobs.queue.enqueue("true", id="left", after=["top"])
    counted = web.post(PATH, {"action": "delete", "filter": {"tag": "t"}, "dry_run": True})
    body = {"action": "delete", "selection": counted["selection"], "with_dependents": True}
    task = web.post(f"{PATH}/tasks", body)
    assert ended(web, task["id"])["failed"] == 1
    assert web.queue.counts()["pending"] == 2


def test_jobs_that_wait_for_others_of_the_selection_are_deleted_with_them(web: Served, jobs: Jobs) -> None:
    jobs.queue.enqueue("true", id="top", tags=["t"])
    jobs.queue.enqueue("true", id="left", tags=["t"], after=["top"])
    target = {"action": "delete", "with_dependents": True}
    counted = web.post(PATH, {**target, "filter": {"tag": "t"}, "dry_run": True})
    assert (counted["matched"], counted["dependents"]) == (2, 0)
    done = web.post(PATH, {**target, "selection": counted["selection"]})
    assert (sorted(done["ids"]), done["failed"]) == (["left", "top"], [])


def test_one_job_is_deleted_with_those_that_wait(web: Served, jobs: Jobs) -> None:
    jobs.queue.enqueue("true", id="top")
    jobs.queue.enqueue("true", id="left", after=["top"])
    assert web.ask("DELETE", "/api/v1/jobs/top").status == 409
    assert web.ask("DELETE", "/api/v1/jobs/top?with_dependents=true").json["ids"] == ["top"]
    assert web.queue.counts()["pending"] == 0


def test_an_expected_number_holds_for_a_selection_too(web: Served, jobs: Jobs) -> None:
    add(jobs, 3)
    chosen = web.post(PATH, {"action": "hold", "filter": {"state": "pending"}, "dry_run": True})
    target = {"action": "hold", "selection": chosen["selection"]}
    refused = web.ask("POST", PATH, {**target, "expected": 2})
    assert (refused.status, refused.json["matched"]) == (409, 3)
    assert web.queue.counts()["held"] == 0
    assert len(web.post(PATH, {**target, "expected": 3})["ids"]) == 3


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "cancel", "with_dependents": True}, "/with_dependents"),
        ({"action": "cancel", "signal": "HUP"}, "/signal"),
        ({"action": "cancel", "set": {"priority": 1}}, "/set"),
        (
            {"action": "delete", "with_dependents": True, "filter": {"state": "pending"}, "expected": 1},
            "/with_dependents",
        ),
        ({"action": "edit"}, "/set"),
        ({"action": "signal"}, "/signal"),
        ({"action": "signal", "signal": "USER1"}, "/signal"),
    ],
)
def test_members_of_other_actions_are_refused(web: Served, jobs: Jobs, body: dict[str, Any], pointer: str) -> None:
    add(jobs, 1)
    target = {} if "filter" in body else {"ids": ["j00000"]}
    refused = web.ask("POST", PATH, {**body, **target})
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, pointer)
    assert web.queue.counts()["pending"] == 1


def test_a_signal_is_sent_to_what_runs(web: Served, jobs: Jobs) -> None:
    add(jobs, 1)
    with jobs.running("runs"):
        counted = web.post(PATH, {"action": "signal", "filter": {"state": "pending,processing"}, "dry_run": True})
        assert counted["by_state"] == {"processing": 1}
        done = web.post(PATH, {"action": "signal", "signal": "HUP", "selection": counted["selection"]})
        assert [each["title"] for each in done["failed"]] == ["no supervisor"]
