"""What a person does to several jobs at once, and what is deleted; done in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.web.test_bulk_tasks import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.web.support import Served


def _end_delays(web: Served) -> None:
    """Let eight seconds pass for the deletions that wait, and carry them out."""
    for task in [*web.server.app.tasks._tasks.values()]:
        task.wake.set()
        task.join(20)


def test_a_deletion_can_be_undone_and_else_happens(person: Person, jobs: Jobs, web: Served) -> None:
    jobs.dead("keep")
    jobs.dead("lose")
    page = person.sign_in("jobs/keep")
    person.press("Delete")
    person.see(".toast", "1 job will be deleted in")
    person.press("Undo")
    person.see(".toast", "Stopped: no job was deleted")
    person.go("jobs/lose")
    person.press("Delete")
    person.see("b", "will be deleted")
    assert web.get("/api/v1/jobs")["total"] == 2
    _end_delays(web)
    person.see(".toast", "1 job deleted")
    person.see("tr[data-id=keep]")
    assert [job["id"] for job in web.get("/api/v1/jobs")["jobs"]] == ["keep"]
    page.locator("tr[data-id=keep] a.title").focus()
    page.keyboard.press("Delete")
    person.see("tr.going")
    page.goto("about:blank")  # who leaves the page has decided
    _end_delays(web)
    assert web.get("/api/v1/jobs")["jobs"] == []


def test_a_job_that_starts_before_it_is_deleted_is_left(person: Person, jobs: Jobs, web: Served) -> None:
    jobs.pending("p")
    page = person.sign_in("jobs/p")
    page.keyboard.press("Delete")
    person.see(".toast", "1 job will be deleted in")
    with jobs.start("p") as claim:
        _end_delays(web)
        person.see(".toast.error", "0 jobs deleted; skipped 1 job that had changed or started meanwhile")
        claim.finish({"exit_code": 0})
    person.see("h1 ~ .state", "Completed")
    page.reload()
    person.see(".toast.error", "skipped 1 job")
    person.press("Close")
    person.miss(".toast")


def test_a_few_that_are_selected_run_again_without_a_question(person: Person, jobs: Jobs) -> None:
    for number in range(3):
        jobs.dead(f"d{number}")
    page = person.sign_in("jobs?state=dead")
    page.get_by_label("Select all on this page").check()
    person.see(".bulk", "3 selected")
    person.press("Retry")
    person.see(".toast", "3 jobs queued again")
    assert {jobs.queue.get(f"d{number}").state for number in range(3)} == {"pending"}


def test_all_that_match_are_selected_retried_and_changed(person: Person, jobs: Jobs, web: Served) -> None:
    for number in range(56):
        jobs.dead(f"d{number:02}")
    jobs.pending("other")
    page = person.sign_in("jobs?state=dead")
    page.get_by_label("Select all on this page").check()
    person.see(".bulk", "50 selected")
    person.press("Select all 56 that match")
    jobs.completed("fine")  # matches no more than before
    person.press("Retry")
    person.see("dialog", "Retry 56 jobs?")
    person.see("dialog", "56 dead.")
    person.press("Retry 56 jobs")
    person.see(".toast", "56 jobs queued again")
    person.see(".empty", "No job matches")
    assert web.get("/api/v1/jobs?state=pending")["total"] == 57
    person.go("jobs?state=pending&q=d1")
    for job_id in ("d10", "d11"):
        page.get_by_label(f"Select {job_id}").check()
    person.press("Priority")
    page.fill("#f-priority", "5")
    person.press("Set priority")
    person.see(".toast", "2 jobs changed")
    person.see("tr[data-id=d10]", "priority 5")
    page.get_by_label("Select all on this page").check()
    person.press("Cancel")
    person.press("Cancel 10 jobs")
    person.see(".toast", "10 jobs cancelled")
    assert web.get("/api/v1/jobs?state=cancelled")["total"] == 10


def test_what_has_completed_runs_again_only_after_a_question(person: Person, jobs: Jobs) -> None:
    jobs.completed("c")
    jobs.dead("d")
    page = person.sign_in("jobs/c")
    person.see("h1", "c")
    page.keyboard.press("r")
    person.see("dialog", "Run a completed job again?")
    person.press("Back")
    page.keyboard.press("c")
    person.see(".toast", "c has ended already: it is completed")
    assert jobs.queue.get("c").state == "completed"
    person.go("jobs")
    for job_id in ("c", "d"):
        page.get_by_label(f"Select {job_id}").check()
    person.press("Cancel")
    person.see(".toast", "Nothing to cancel. Not included: 1 completed, 1 dead.")
    person.press("Retry")
    person.see("dialog", "Of these, 1 job completed already.")
    person.press("Back")
    assert (jobs.queue.get("c").state, jobs.queue.get("d").state) == ("completed", "dead")
    person.go("jobs/c")
    page.keyboard.press("r")
    person.press("Run it again")
    person.see(".toast", "c is queued again")
    assert jobs.queue.get("c").state == "pending"


def test_a_job_that_completes_while_it_is_looked_at_does_not_run_again(person: Person, jobs: Jobs) -> None:
    jobs.failed("f")
    page = person.sign_in("jobs/f")
    person.see("h1", "f")
    person.with_state("S.every = 'off'")
    with jobs.start("f") as claim:
        claim.finish({"exit_code": 0})
    page.keyboard.press("r")
    person.see("dialog", "Run a completed job again?")
    assert jobs.queue.get("f").state == "completed"


def test_a_server_that_was_restarted_counts_again_and_asks_again(person: Person, jobs: Jobs, web: Served) -> None:
    for number in range(3):
        jobs.dead(f"d{number}")
    page = person.sign_in("jobs?state=dead")
    page.get_by_label("Select all on this page").check()
    jobs.pending("p")
    person.press("Cancel")
    person.see(".toast", "Nothing to cancel")
    person.with_state("S.all = true")
    person.press("Retry")
    person.see("dialog", "Retry 3 jobs?")
    web.server.app.selections._kept.clear()
    jobs.dead("d3")
    person.press("Retry 3 jobs")
    person.see("dialog", "Retry 4 jobs?")
    person.see("dialog", "counted the jobs again")
    assert jobs.queue.counts()["dead"] == 4
    person.press("Retry 4 jobs")
    person.see(".toast", "4 jobs queued again")


def test_an_expired_job_is_retried_on_the_page(person: Person, jobs: Jobs) -> None:
    jobs.spool.enqueue({"id": "e", "command": "true", "expires_at": "2026-01-01T00:00:00Z"})
    assert jobs.spool.claim("e", "w").__class__.__name__ == "ClaimRefused"
    page = person.sign_in("jobs/e")
    person.see("dd", "expired")
    page.keyboard.press("r")
    person.see(".toast", "e is queued again; its expiry,")
    assert jobs.queue.get("e").expires_at is None


def test_a_deletion_that_ends_a_command_asks_and_says_so(person: Person, jobs: Jobs) -> None:
    with jobs.running("runs"):
        page = person.sign_in("jobs/runs")
        person.press("Delete")
        person.see("dialog", "Its command and all processes that it started are terminated")
        person.press("Back")
        person.miss("dialog")
        assert not page.locator(".toast").count()
        person.press("Delete")
        person.press("Delete the job")
        person.see(".toast", "1 job will be deleted in")
        person.press("Undo")
        person.see(".toast", "Stopped: no job was deleted")
        jobs.pending("waits")
        person.go("jobs")
        page.get_by_label("Select all on this page").check()
        person.press("Delete")
        person.see("dialog", "Running commands are terminated")
        person.see("dialog", "1 pending, 1 processing")


def test_a_large_deletion_asks_for_the_number(person: Person, jobs: Jobs, web: Served) -> None:
    list(jobs.queue.enqueue_many({"command": "true"} for _ in range(130)))
    page = person.sign_in("jobs")
    page.get_by_label("Select all on this page").check()
    person.press("Select all 130 that match")
    person.press("Delete")
    page.fill("#f-count", "13")
    person.press("Delete 130 jobs")
    person.see("#f-count[aria-invalid=true]")
    page.fill("#f-count", "130")
    person.press("Delete 130 jobs")
    person.see(".toast", "130 jobs will be deleted")
    jobs.pending("later")  # was not meant
    _end_delays(web)
    person.see(".toast", "130 jobs deleted")
    person.see("tr[data-id=later]")
    assert web.get("/api/v1/jobs")["total"] == 1


def test_a_large_action_is_the_servers_and_is_seen_and_stopped_by_any_page(
    meet: Callable[..., Person], jobs: Jobs, web: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page that began it is closed; another shows how far it is, stops it, and has its result after a reload."""
    list(jobs.queue.enqueue_many({"command": "true"} for _ in range(130)))
    for number in range(3):  # cannot be deleted
        jobs.pending(f"parent{number}")
        jobs.pending(f"child{number}", after=[f"parent{number}"], queue="other")
    gate = Gate(monkeypatch, 131)
    first, second = meet(), meet()
    page = first.sign_in("jobs?queue=default")
    page.get_by_label("Select all on this page").check()
    first.press("Select all 133 that match")
    first.press("Delete")
    page.fill("#f-count", "133")
    first.press("Delete 133 jobs")
    first.see(".toast", "133 jobs will be deleted in")
    page.close()
    for task in web.server.app.tasks._tasks.values():
        task.wake.set()
    assert gate.reached.wait(20)
    page = second.sign_in("jobs")
    second.see(".toast", "Deleting 133 jobs: ")
    second.press("Stop")
    second.see(".toast", "Stopping …")
    gate.opened.set()
    shown = second.see(".toast.error", "Stopped: ").inner_text()
    page.reload()
    assert second.see(".toast.error", "Stopped: ").inner_text() == shown
    page.locator(".toast summary").click()
    second.see(".toast li", "3 × ")
    assert second.overflow() <= 0
    assert second.axe() == []
    second.press("Close")
    second.miss(".toast")


def test_a_server_that_was_restarted_during_a_large_action_is_said(person: Person, jobs: Jobs, web: Served) -> None:
    jobs.pending("p")
    person.sign_in("jobs/p")
    person.press("Delete")
    person.see(".toast", "1 job will be deleted in")
    tasks = web.server.app.tasks
    tasks.stop_all()
    tasks._tasks.clear()
    person.see(".toast.error", "The server no longer has this bulk action")
    assert jobs.queue.get("p").state == "pending"
