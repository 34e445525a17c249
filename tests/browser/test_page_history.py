"""Back, forward and a reload lead to where somebody was: the page of the list, the place on it, the focus, what was selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.support import Jobs
    from tests.support.browser import Person


FOCUSED = "document.activeElement.closest('tr').dataset.id"


@pytest.fixture
def many(jobs: Jobs) -> Jobs:
    for result in jobs.queue.enqueue_many({"command": f"echo {n:03}", "id": f"j{n:03}"} for n in range(180)):
        assert isinstance(result, str)
    return jobs


def test_previous_is_there_after_back_a_reload_and_in_another_tab(person: Person, many: Jobs) -> None:
    page = person.sign_in("jobs?sort=id")
    for shown in ("51–100", "101–150"):
        person.press("Next")
        person.see("p", f"{shown} of 180")
    page.go_back()
    person.see("p", "51–100 of 180")
    page.go_forward()
    person.see("p", "101–150 of 180")
    page.reload()
    person.see("p", "101–150 of 180")
    person.press("Previous")
    person.see("p", "51–100 of 180")
    first = page.locator("tr[data-id]").first.get_attribute("data-id")
    person.press("Previous")
    person.see("p", "1–50 of 180")
    page.go_back()
    person.see("p", "51–100 of 180")
    other = person.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Next").click()
    other.locator("p", has_text="101–150 of 180").wait_for()
    other.reload()
    other.goto(other.url)
    other.get_by_role("button", name="Previous").click()
    other.locator("p", has_text="51–100 of 180").wait_for()
    assert other.locator("tr[data-id]").first.get_attribute("data-id") == first


def test_a_page_that_is_typed_is_that_page(person: Person, many: Jobs) -> None:
    page = person.sign_in("jobs?sort=id&page=3")
    person.see("p", "101–150 of 180")
    shown = page.locator("tr[data-id]").first.get_attribute("data-id")
    assert shown == "j100"
    person.press("Previous")
    person.see("p", "51–100 of 180")
    person.press("Next")
    person.see("p", "101–150 of 180")
    assert page.locator("tr[data-id]").first.get_attribute("data-id") == shown
    person.go("jobs?page=9")
    person.see(".empty", "No job is left on this page")
    for wrong in ("0", "-2", "many"):
        person.go(f"jobs?page={wrong}")
        person.see("p", "1–50 of 180")


def test_place_focus_and_ticks_are_those_of_the_entry(person: Person, many: Jobs) -> None:
    page = person.sign_in("jobs?sort=id")
    page.get_by_label("Select j010").check()
    row = page.locator("tr[data-id=j040] a.title")
    row.scroll_into_view_if_needed()
    y = page.evaluate("scrollY")
    assert y > 300
    row.click()
    person.see("h1", "j040")
    assert page.evaluate("scrollY") == 0
    page.go_back()
    person.see("tr[data-id=j040]")
    assert page.evaluate(f"[scrollY, {FOCUSED}]") == [y, "j040"]
    assert page.locator("tbody input:checked").count() == 1
    person.refreshes(2)
    page.reload()
    person.see(".bulk", "1 selected")
    page.wait_for_function("y => scrollY === y", arg=y)
    assert page.evaluate(FOCUSED) == "j040"
    person.press("Next")
    person.see("p", "51–100 of 180")
    assert page.evaluate("scrollY") == 0
    assert page.locator("tbody input:checked").count() == 0


def test_a_job_leads_to_those_beside_it_in_its_list(person: Person, many: Jobs) -> None:
    page = person.sign_in("jobs?sort=id&q=echo+17")
    person.see("tr[data-id=j170]")
    ids = [row.get_attribute("data-id") for row in page.locator("tr[data-id]").all()]
    page.locator(f"tr[data-id={ids[0]}] a.title").click()
    person.see("h1", str(ids[0]))
    assert page.get_by_label("Previous job").count() == 0
    page.get_by_label("Next job").click()
    person.see("h1", str(ids[1]))
    page.keyboard.press("j")
    person.see("h1", str(ids[2]))
    page.keyboard.press("k")
    person.see("h1", str(ids[1]))
    page.locator("#view").get_by_role("link", name="Jobs", exact=True).click()
    person.see(f"tr[data-id={ids[0]}]")
    assert "q=echo" in page.url
