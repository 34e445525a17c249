"""Refreshing takes nothing away from who is reading, and a lost connection is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.support.supervised import Supervised

SELECTED = "String(getSelection())"


def test_selection_ticks_focus_and_scroll_outlive_refreshes(person: Person, jobs: Jobs) -> None:
    for number in range(60):
        jobs.pending(f"j{number:02}", f"echo command {number}")
    page = person.sign_in("jobs?sort=-created")
    for job_id in ("j01", "j02"):
        page.get_by_label(f"Select {job_id}").check()
    page.evaluate("scrollTo(0, 400)")
    page.locator("tr[data-id=j07] .cmd").first.evaluate("node => getSelection().selectAllChildren(node)")
    page.locator("tr[data-id=j09] a.title").focus()
    page.locator("tr[data-id=j07] .cmd").first.evaluate("node => getSelection().selectAllChildren(node)")
    before = page.evaluate("[scrollY, document.activeElement.textContent]")
    for number in (1, 7, 8):  # they change meanwhile
        jobs.queue.cancel(f"j{number:02}")
        jobs.dead(f"new{number}")
        person.refreshes(2)
    person.see("tr[data-id=j07] .state", "Cancelled")
    person.see("tr[data-id=j01] .state", "Cancelled")
    assert page.evaluate(SELECTED) == "echo command 7"
    assert page.locator("tbody input:checked").count() == 2
    assert page.evaluate("[scrollY, document.activeElement.textContent]") == before


def test_new_jobs_wait_to_be_asked_for(person: Person, jobs: Jobs) -> None:
    jobs.pending("old")
    page = person.sign_in("jobs")
    person.see("tr[data-id=old]")
    person.refreshes(1)
    for number in range(5):
        jobs.pending(f"n{number}")
    person.see("#fresh", "5 new jobs")
    assert page.locator("tr[data-id]").count() == 1
    page.click("#fresh")
    person.see("tr[data-id=n4]")
    assert page.locator("tr[data-id]").count() == 6
    person.miss("#fresh")


def test_an_open_dialog_outlives_refreshes(person: Person, jobs: Jobs, supervised: Callable[..., Supervised]) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "make all")
    page.evaluate("document.querySelector('#f-command').setSelectionRange(2, 5)")
    supervised().start(1)
    for number in range(3):
        jobs.pending(f"j{number}", "true")
        person.refreshes(1)
    assert page.input_value("#f-command") == "make all"
    assert page.evaluate("[document.activeElement.id, document.activeElement.selectionStart]") == ["f-command", 2]
    page.keyboard.press("Escape")
    person.miss("dialog")
    page.keyboard.press("n")  # what was typed is not lost
    assert page.input_value("#f-command") == "make all"


def test_refreshing_can_be_stopped_and_stops_when_nobody_looks(person: Person, jobs: Jobs) -> None:
    page = person.sign_in()
    asked: list[str] = []
    person.refreshes(1)
    page.keyboard.press("p")
    person.see(".toast", "Refreshing is off")
    page.wait_for_timeout(300)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1200)
    assert asked == []
    page.keyboard.press("p")
    person.refreshes(1)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true}); document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(300)
    asked.clear()
    page.wait_for_timeout(1200)
    assert asked == []


def test_a_lost_connection_is_said_and_mended(person: Person, jobs: Jobs) -> None:
    jobs.pending("seen")
    page = person.sign_in("jobs")
    person.see("tr[data-id=seen]")
    page.route("**/api/**", lambda route: route.abort())
    person.see(".banner.error", "Connection lost")
    assert page.title().startswith("⚠")
    assert page.locator("tr[data-id=seen]").count() == 1
    page.unroute("**/api/**")
    person.press("Try now")
    person.miss(".banner", "Connection lost")
    assert not page.title().startswith("⚠")


def test_an_error_that_the_server_reports_is_no_lost_connection(person: Person) -> None:
    page = person.sign_in("jobs")
    body = '{"detail": "there is no index"}'
    page.route("**/api/v1/jobs?*", lambda route: route.fulfill(status=503, body=body))
    page.route("**/api/v1/snapshot", lambda route: route.fulfill(status=503, body=body))
    person.see(".banner.error", "The server reports an error: there is no index")
    person.miss(".banner", "Connection lost")
