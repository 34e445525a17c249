"""What keeps jobs from starting, as the page shows it: the jobs they come after, pauses, limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.support import Jobs
    from tests.support.browser import Person


def test_a_job_shows_what_it_waits_for_with_a_link_to_each_job(person: Person, jobs: Jobs) -> None:
    """Also where an id is a part of the words around it."""
    parents = ["a", "after", "pending", "more"]
    for parent in parents:
        jobs.pending(parent)
    jobs.pending("j", after=parents, lock="db", weight=2)
    page = person.sign_in("jobs/j")
    person.see("dd", "it comes after a (pending), after (pending), pending (pending) and 1 more")
    person.see("dd", "no supervisor is running")
    waits = page.locator("dt", has_text="Waits for").locator("xpath=following-sibling::dd[1]")
    assert waits.locator("a").all_inner_texts() == parents[:3]
    waits.get_by_role("link", name="after").click()
    person.see("h1.id", "after")
