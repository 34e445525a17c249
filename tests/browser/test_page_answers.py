"""What the page says is so: lists, totals, errors, addresses, forms, and the command that it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.support import Jobs
    from tests.support.browser import Person

RED = "\x1b[31merror:\x1b[0m disk\r\x1b]0;title\x07disk 7 is full"


def _console(person: Person) -> list[str]:
    told: list[str] = []
    person.page.on("console", lambda message: told.append(message.text))
    return told


# --- lists


def test_deleted_jobs_leave_the_list_and_the_selection(person: Person, jobs: Jobs) -> None:
    for number in range(60):
        jobs.pending(f"j{number:02}")
    page, told = person.sign_in("jobs?sort=-created"), _console(person)
    for job_id in ("j00", "j45"):
        page.get_by_label(f"Select {job_id}").check()
    person.see("p", "1–50 of 60")
    for number in range(40):  # many more than a page could look up one by one
        jobs.queue.delete(f"j{number:02}")
    person.see("p", "1–20 of 20")
    assert page.locator("tr[data-id]").evaluate_all("rows => rows.map((row) => row.dataset.id)") == [
        f"j{number}" for number in range(40, 60)
    ]
    person.see(".bulk", "1 selected")
    for number in range(40, 60):
        jobs.queue.delete(f"j{number:02}")
    person.see(".empty", "No jobs yet")
    person.see("p", "0 of 0")
    assert not page.locator(".bulk").count()
    assert told == []


def test_jobs_that_no_longer_match_are_not_counted(person: Person, jobs: Jobs) -> None:
    for number in range(12):
        jobs.dead(f"d{number:02}")
    page = person.sign_in("jobs?state=dead")
    person.see("p", "1–12 of 12")
    for number in range(11):
        jobs.queue.retry(f"d{number:02}")
    person.see("p", "1–1 of 1")
    assert page.locator("tr[data-id]").count() == 12
    page.get_by_role("button", name="11 jobs no longer match: update the list").click()
    person.miss("tr[data-id=d00]")
    person.see("p", "1–1 of 1")
    assert page.locator("tr[data-id]").count() == 1


def test_a_page_whose_jobs_were_deleted_leads_back(person: Person, jobs: Jobs) -> None:
    for number in range(9):
        jobs.pending(f"j{number}")
    page = person.sign_in("jobs?sort=id&limit=3")
    page.get_by_role("button", name="Next").evaluate(  # the second click comes before the second page
        "node => { addEventListener('hashchange', () => node.click(), { once: true }); node.click(); }"
    )
    person.see("p", "4–6 of 9")
    person.see("tr[data-id=j3]")
    person.press("Next")
    person.see("p", "7–9 of 9")
    jobs.queue.delete("j0")
    person.see("p", "6–8 of 8")
    for number in (6, 7, 8):
        jobs.queue.delete(f"j{number}")
    person.see(".empty", "No job is left on this page")
    person.press("First page")
    person.see("p", "1–3 of 5")
    assert page.locator("tr[data-id]").count() == 3


def test_the_number_of_attempts_counts_those_of_a_retry(person: Person, jobs: Jobs) -> None:
    jobs.dead("again", max_retries=0)
    jobs.queue.retry("again")
    jobs.failed("fails", max_retries=2)
    jobs.pending("new", max_retries=1)
    with jobs.running("runs", max_retries=1):
        page = person.sign_in("jobs")
        person.see("tr[data-id=runs] .state", "Processing")
        for job_id, shown in (("again", "1 of 2"), ("fails", "1 of 3"), ("new", "0 of 2"), ("runs", "1 of 2")):
            assert page.locator(f"tr[data-id={job_id}] [data-label=Tries]").inner_text() == shown, job_id


# --- errors


def test_errors_are_shown_in_words_and_a_cut_list_says_so(person: Person, jobs: Jobs) -> None:
    for number, name in enumerate(("ash", "bay", "elm", "fir", "oak", "yew")):
        jobs.dead(f"d{number}", {"error": f"no {name}"})
    for number in range(3):
        jobs.dead(f"red{number}", {"error": RED}, command="red")
    page = person.sign_in("overview")
    person.see(".groups td", "disk 7 is full")
    person.see("section", "The 5 most frequent of 7 errors.")
    assert page.locator(".groups tbody tr").count() == 5
    page.get_by_role("link", name="All jobs").click()
    person.see("p", "1–9 of 9")
    person.go("jobs/red0")
    person.see("dd", "retries exhausted")
    person.see(".attempts", "retries exhausted: disk 7 is full")
    page.locator(".why").get_by_role("link", name="jobs with this error").click()
    person.see(".chip", "Error: “disk 7 is full”")
    person.see("tr[data-id=red0] .bad", "disk 7 is full")
    page.get_by_label("Select all on this page").check()
    person.with_state("S.all = true")
    person.press("Cancel")
    person.see(".toast", "Nothing to cancel. Not included: 3 dead.")
    person.press("Delete")
    person.see("dialog", "3 jobs that match state failed,dead, error “disk 7 is full” and their output are deleted")
    page.keyboard.press("Escape")
    for view in ("overview", "jobs", "dead", "jobs/red0"):
        person.go(view)
        shown = page.locator("#view").inner_text()
        assert "disk 7 is full" in shown, view
        assert "␛" not in shown, view
        assert "retries_exhausted" not in shown, view
    page.keyboard.press("e")
    person.see("dialog code", "disk 7 is full")


# --- addresses and dialogs


def test_a_dialog_closes_when_its_page_is_left(person: Person, jobs: Jobs) -> None:
    jobs.dead("d")
    page = person.sign_in("jobs")
    person.go("jobs/d")
    page.keyboard.press("e")
    person.see("dialog", "Edit and retry")
    page.go_back()
    person.miss("dialog")
    person.see("tr[data-id=d]")
    page.keyboard.press("n")
    page.fill("#f-command", "kept")
    page.evaluate("location.hash = '#/health'")
    person.miss("dialog")
    person.see("h1", "Health")
    page.keyboard.press("n")
    assert page.input_value("#f-command") == "kept"


def test_what_fails_after_its_dialog_was_closed_is_said(person: Person, jobs: Jobs) -> None:
    jobs.dead("d")
    page = person.sign_in("jobs/d")
    with page.expect_request("**/retry") as held:
        page.route("**/retry", lambda route: None)  # the answer takes its time
        page.keyboard.press("e")
        person.press("Retry with these")
    route = held.value
    assert route.method == "POST"
    page.keyboard.press("Escape")
    person.miss("dialog")
    page.context.set_offline(True)
    page.unroute_all(behavior="ignoreErrors")
    person.see(".toast.error", "The server does not answer")
    page.context.set_offline(False)


@pytest.mark.parametrize("address", ["#/nosuch", "#/health/x", "#/jobs/d/x", "#jobs", "#/constructor"])
def test_an_address_without_a_page_says_so(person: Person, address: str) -> None:
    page = person.sign_in()
    page.evaluate("address => { location.hash = address; }", address)
    person.see(".empty", f"There is no page {address}")
    assert page.title() == "No such page · QueueCTL"
    page.locator(".empty").get_by_role("link", name="Overview").click()
    person.see(".flow")


def test_a_filter_that_does_not_exist_is_said(person: Person, jobs: Jobs) -> None:
    jobs.pending("j")
    person.sign_in("jobs?stat=dead")
    person.see(".banner", "The address has the unknown filter stat: it has no effect.")
    person.see("tr[data-id=j]")


# --- nothing to show


def test_an_empty_output_and_a_job_that_never_started_say_so(person: Person, jobs: Jobs) -> None:
    jobs.completed("silent")
    jobs.cancelled("never")
    jobs.pending("later")
    person.sign_in("jobs/silent")
    person.see("p", "This attempt wrote no output.")
    person.go("jobs/never")
    person.see("p", "None: it never started.")
    person.see("p", "It never started.")
    person.miss("p", "Not started yet")
    person.go("jobs/later")
    person.see("p", "Its output appears here when it runs.")


def test_the_share_of_dead_jobs_does_not_count_a_retried_job_as_two(person: Person, jobs: Jobs) -> None:
    jobs.dead("a")
    jobs.queue.retry("a")
    with jobs.start("a", b"") as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 1})
    person.sign_in("overview")
    person.see(".flow", "1 today, 100 % in 1 h")


def test_a_list_of_pending_jobs_has_no_held_ones(person: Person, jobs: Jobs) -> None:
    jobs.pending("p")
    jobs.held("h")
    person.sign_in("jobs?state=pending")
    person.see("p", "1–1 of 1")
    person.go("jobs?state=pending,held")
    person.see("p", "1–2 of 2")


def test_the_buttons_of_a_group_are_busy_until_it_is_retried(person: Person, jobs: Jobs) -> None:
    jobs.dead("a")
    jobs.dead("b")
    page = person.sign_in("dead")
    asked: list[Any] = []
    page.route("**/bulk", lambda route: asked.append(route), times=1)  # noqa: PLW0108 - the driver marks its handler
    person.press("Retry 1")
    person.see("button[aria-disabled=true]", "Retry all 2")
    asked[0].continue_()
    person.see("h2", "1 job retried")
    person.miss("section button[aria-disabled=true]")
