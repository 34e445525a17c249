"""What keeps jobs from starting, as the page shows it: the jobs they come after, pauses, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.web.support import Served


def test_a_job_shows_what_it_waits_for_with_a_link_to_each_job(person: Person, jobs: Jobs) -> None:
    """Also where an id is a part of the words around it."""
    parents = ["a", "after", "pending", "more"]
    for parent in parents:
        jobs.pending(parent)
    jobs.pending("j", after=parents, lock="db", weight=2)
    page = person.sign_in("jobs/j")
    person.see(".why", "it comes after a (pending), after (pending), pending (pending) and 1 more")
    person.see(".why", "no supervisor is running")
    waits = page.locator(".why")
    assert waits.locator("a").all_inner_texts() == parents[:3]
    waits.get_by_role("link", name="after").click()
    person.see("h1.id", "after")


def test_queues_are_paused_and_resumed_on_the_page(person: Person, jobs: Jobs) -> None:
    jobs.pending("a", queue="encode")
    jobs.pending("b")
    page, queue = person.sign_in(), jobs.queue
    row = page.locator(".queues tr", has_text="encode")
    row.get_by_role("button", name="Pause queue encode").click()
    person.see(".toast", "No job of queue encode is started")
    row.get_by_text("paused", exact=True).wait_for()
    assert [*queue.paused()] == ["encode"]
    person.see(".banner.warn", "Queue encode has been paused since")
    page.get_by_role("button", name="Pause all queues").click()
    person.see(".banner.warn", "All queues have been paused since")
    person.go("jobs/b")
    person.see(".why", "all queues are paused")
    person.go("overview")
    page.get_by_role("button", name="Resume all queues").click()
    row.get_by_role("button", name="Resume queue encode").click()
    row.get_by_role("button", name="Pause queue encode").wait_for()
    assert queue.paused() == {}


def test_a_page_that_changes_nothing_has_no_button_for_a_pause(
    serve: Callable[..., Served], meet: Callable[..., Person], jobs: Jobs
) -> None:
    jobs.pending("a", queue="encode")
    jobs.queue.pause("encode")
    person = meet(web=serve(read_only=True))
    page = person.sign_in()
    row = page.locator(".queues tr", has_text="encode")
    row.get_by_text("paused", exact=True).wait_for()
    assert page.locator(".queues button").count() == 0


def test_unfinished_batches_have_a_bar(person: Person, jobs: Jobs) -> None:
    jobs.completed("a", batch="movies")
    jobs.pending("b", batch="movies")
    jobs.completed("c", batch="over")
    page = person.sign_in()
    row = page.locator(".batches tr", has_text="movies")
    row.get_by_text("1 of 2").wait_for()
    assert row.locator(".meter span").get_attribute("style") == "width: 50%;"
    assert page.locator(".batches tr", has_text="over").count() == 0
    row.get_by_role("link", name="movies").click()
    person.see("td, th", "b")


def test_schedules_are_run_paused_and_resumed_on_the_page(person: Person, jobs: Jobs) -> None:
    jobs.queue.add_schedule("nightly", "echo hi", cron="30 2 * * *", timezone="Europe/Berlin")
    jobs.queue.add_schedule("often", "true", every="15m")
    page, queue = person.sign_in(), jobs.queue
    row = page.locator(".schedules tr", has_text="nightly")
    row.get_by_text("30 2 * * *").wait_for()
    person.see("p", "Next 24 hours:")
    person.see(".banner.warn", "2 schedules add no jobs, because no supervisor is running")
    row.get_by_role("button", name="Run now schedule nightly").click()
    person.see(".toast", "The job of nightly was added")
    [made] = queue.list(tag="schedule:nightly")
    row.get_by_role("button", name="Pause schedule nightly").click()
    row.get_by_text("paused", exact=True).wait_for()
    row.get_by_role("button", name="Resume schedule nightly").click()
    row.get_by_role("button", name="Pause schedule nightly").wait_for()
    row.get_by_role("link", name="nightly").click()
    person.see(".id", made["id"])
