"""The overview and the list of jobs: what is asked first is answered first, and jobs are found, sorted, ticked, taken away."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.support import Jobs
    from tests.support.browser import Person

ROWS = "[...document.querySelectorAll('tr[data-id]')].map((row) => row.dataset.id)"


# --- overview


def test_one_line_says_that_all_is_well(person: Person, jobs: Jobs) -> None:
    jobs.completed("c")
    person.sign_in()
    person.see(".banner.ok", "All is well: no job waits")
    jobs.dead("d")
    person.see(".banner.warn", "1 dead job")
    person.miss(".banner.ok")


def test_what_died_is_named_with_its_error_and_tried_again_from_there(person: Person, jobs: Jobs) -> None:
    for number in range(3):
        jobs.dead(f"d{number}", {"error": f"curl: (7) no route to host {number}"})
    jobs.dead("other", {"error": "no space left"})
    page = person.sign_in()
    person.see(".banner", "4 dead jobs, 4 new today. The most frequent error: curl: (7) no route to host")
    page.locator(".banner").get_by_role("button", name="Retry 1", exact=True).click()
    person.see(".toast", "1 job queued again")
    assert jobs.queue.counts() == {**jobs.queue.counts(), "dead": 3, "pending": 1}
    page.locator("section", has_text="Failures").get_by_role("button", name="Retry all 2").click()
    person.see("dialog", "Retry 2 jobs?")
    person.press("Retry 2 jobs")
    person.see(".flow a:has-text('Dead')", "1")
    assert jobs.queue.counts()["pending"] == 3


def test_eight_running_jobs_are_shown_and_all_are_linked(person: Person, jobs: Jobs) -> None:
    with ExitStack() as stack:
        claims = [stack.enter_context(jobs.running(f"r{number}", name=f"job {number}")) for number in range(10)]
        page = person.sign_in()
        person.see("section.run", "job 7")
        assert page.locator("section.run tbody tr").count() == 8
        page.locator("section.run").get_by_role("link", name="All 10").click()
        person.see("p", "1–10 of 10")
        for claim in claims:
            claim.finish({"exit_code": 0})


def test_a_bar_of_the_chart_leads_to_its_jobs(person: Person, jobs: Jobs) -> None:
    jobs.completed("c")
    jobs.pending("p")
    page = person.sign_in()
    person.see("section", "Completed in the last hour: 1.")
    page.locator(".chart").first.locator(".hit").last.click()
    person.see("tr[data-id=c]")
    assert page.evaluate(ROWS) == ["c"]
    assert "since=" in page.url
    assert "until=" in page.url


# --- jobs


def test_a_job_is_called_by_its_name_or_its_command_and_its_id_is_copied(person: Person, jobs: Jobs) -> None:
    jobs.pending("named", name="nightly encode")
    jobs.pending("plain", command="ffmpeg -i a.mov -vf scale=1:2 b.mp4")
    page = person.sign_in("jobs")
    assert page.inner_text("tr[data-id=named] a.title") == "nightly encode"
    assert page.inner_text("tr[data-id=plain] a.title") == "ffmpeg -i a.mov"
    page.get_by_label("Copy the id plain").click()
    person.see(".toast", "Copied")
    height = page.evaluate("document.querySelector('tr[data-id=plain]').getBoundingClientRect().height")
    assert height <= 46
    person.press("Compact")
    assert page.evaluate("document.querySelector('tr[data-id=plain]').getBoundingClientRect().height") < height
    page.reload()
    person.see("button[aria-pressed=true]", "Compact")
    assert person.axe() == []


def test_headings_sort(person: Person, jobs: Jobs) -> None:
    for job_id, queue in (("b", "x"), ("a", "z"), ("c", "y")):
        jobs.pending(job_id, queue=queue)
    jobs.failed("d", queue="a")
    page = person.sign_in("jobs")
    for head, expected in (("Queue", "dbca"), ("Job", "abcd"), ("Job", "dcba"), ("State", "dcab")):
        page.locator("thead").get_by_role("button", name=head, exact=True).click()
        page.wait_for_function(f"wanted => {ROWS}.join('') === wanted", arg=expected)
        assert page.locator("th[aria-sort]").count() == 1
    page.locator("thead").get_by_role("button", name="Tries", exact=True).click()
    person.see("th.c6[aria-sort=descending]")
    page.wait_for_function(f"() => {ROWS}[0] === 'd'")


def test_words_are_found_in_any_order_in_tags_and_errors_too(person: Person, jobs: Jobs) -> None:
    jobs.pending("tagged", tags=["größe", "weekly"])
    jobs.dead("failed", {"error": "curl: could not resolve host"}, command="curl x")
    jobs.pending("plain", command="echo one two")
    page = person.sign_in("jobs")
    for text, expected in (
        ("weekly", "tagged"),
        ("größe true", "tagged"),
        ("host RESOLVE", "failed"),
        ("two one", "plain"),
    ):
        page.fill("#search", text)
        page.wait_for_function(f"wanted => {ROWS}.join() === wanted", arg=expected)


def test_shift_ticks_all_jobs_between(person: Person, jobs: Jobs) -> None:
    for number in range(6):
        jobs.pending(f"j{number}")
    page = person.sign_in("jobs?sort=id")
    page.get_by_label("Select j1").click()
    page.get_by_label("Select j4").click(modifiers=["Shift"])
    person.see(".bulk", "4 selected")
    page.get_by_label("Select j3").click(modifiers=["Shift"])
    person.see(".bulk", "2 selected")


def test_what_is_listed_is_taken_away_as_a_file(person: Person, jobs: Jobs) -> None:
    jobs.pending("p", tags=["t"])
    jobs.pending("other")
    page = person.sign_in("jobs?tag=t")
    person.see("tr[data-id=p]")
    with page.expect_download() as download:
        page.get_by_label("Download these jobs as CSV").click()
    assert download.value.suggested_filename == "jobs.csv"
    assert Path(download.value.path()).read_text().splitlines()[1].startswith("p,pending,default")


# --- why, on the page of a job


def test_a_band_says_why_a_job_failed_and_how_many_did(person: Person, jobs: Jobs) -> None:
    for number in range(3):
        jobs.dead(f"d{number}", {"exit_code": 7, "error": f"first line\ncurl: (7) no route to host {number}"})
    jobs.failed("again", b"no such file\n", delay_s=600)
    page = person.sign_in("jobs/d1")
    band = person.see(".why", "curl: (7) no route to host 1")
    assert "first line" not in band.inner_text()
    for words in ("exit code 7", "retries exhausted", "no attempt follows after 1 attempt", "3 jobs with this error"):
        assert words in band.inner_text(), words
    assert person.axe() == []
    page.locator(".why").get_by_role("link").click()
    person.see("p", "1–3 of 3")
    person.go("jobs/again")
    person.see(".why", "attempt 1 failed")
    jobs.completed("fine")
    person.go("jobs/fine")
    person.see("h1", "fine")
    assert not page.locator(".why").count()
