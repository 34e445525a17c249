"""What a person does with the page, done in a real browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.browser import Person
from tests.web.support import Served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.cli.support import Jobs
    from tests.support.supervised import Supervised

VIEWS = ("overview", "jobs", "dead", "workers", "config", "health")


# --- coming in


def test_the_printed_address_signs_in_and_hides_the_token(chromium: Browser, web: Served, home: Path) -> None:
    command = [sys.executable, "-m", "queuectl", "web", "--port", "0"]
    errors = home / "errors"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=dict(os.environ)) as process,
    ):
        assert process.stdout is not None
        printed = process.stdout.readline().decode().strip()
        assert printed, f"it has ended with {process.wait()}: {errors.read_text()}"
        person = Person(chromium, web)
        try:
            person.page.goto(printed)
            person.see(".flow")
            assert "token" not in person.page.url
            assert web.token not in person.page.content()
            person.page.reload()
            person.see(".flow")
            person.press("+ Enqueue")  # and writing goes on working
            person.page.fill("#f-command", "true")
            person.see("pre", "queuectl enqueue '--cwd=~' --command true")
        finally:
            person.close()
            process.terminate()


def test_without_a_token_the_page_asks_for_it(person: Person, web: Served) -> None:
    page = person.page
    page.goto(person.url)
    person.see("dialog h2", "Sign in")
    page.keyboard.press("Escape")
    page.fill("#f-token", "wrong")
    person.press("Sign in")
    person.see("#f-token-told", "the token is wrong")
    page.fill("#f-token", f"http://127.0.0.1:5000/#token={web.token}")
    page.keyboard.press("Enter")
    person.see(".flow")


def test_a_new_token_asks_once_more(person: Person, web: Served) -> None:
    from queuectl.web import tokens

    person.sign_in()
    tokens.make(str(web.home / "web.token"))
    person.see("dialog h2", "Sign in")
    person.page.fill("#f-token", web.token)
    person.press("Sign in")
    person.miss("dialog")
    person.refreshes()
    assert not person.page.locator("dialog, .banner").count()


def test_read_only_offers_nothing_to_press(
    meet: Callable[..., Person], serve: Callable[..., Served], jobs: Jobs
) -> None:
    jobs.dead("d")
    person = meet(web=serve(read_only=True, auth="none"))
    person.page.goto(person.url)
    for view in (*VIEWS, "jobs/d"):
        person.go(view)
        person.refreshes(1)
        words = " ".join(person.page.locator("button").all_inner_texts())
        assert not re.search(r"\b(Retry|Delete|Cancel|Enqueue|Start|Stop|Edit|Priority)\b", words), words
        assert (
            not person.page.locator("input[type=checkbox]:not(.out *)").filter(visible=True).count() or view == "jobs/d"
        )


# --- the life of a job


def test_enqueue_by_the_form_and_watch_it_run(
    person: Person, supervised: Callable[..., Supervised], home: Path
) -> None:
    supervised().start(1)
    page = person.sign_in()
    person.press("+ Enqueue")
    page.fill("#f-command", f"echo one; until [ -e {home}/go ]; do sleep 0.1; done; echo two")
    page.fill("#f-priority", "many")
    wrong = person.see("#f-priority[aria-invalid=true]")
    told = page.locator(f"#{wrong.get_attribute('aria-describedby')}").inner_text()
    assert "must be an integer" in told
    page.keyboard.press("Enter")  # it is refused, and nothing is lost
    person.see("#f-priority[aria-invalid=true]:focus")
    page.fill("#f-priority", "7")
    page.fill("#f-name", "twice")
    person.see("dialog pre", "queuectl enqueue --name=twice --priority=7")
    page.locator("dialog button.main").click()
    person.miss("dialog")
    person.see(".toast", "Queued").get_by_role("link").click()
    person.see(".state", "Processing")
    person.see(".out", "one")
    assert "two" not in page.inner_text(".out")
    (home / "go").touch()
    person.see(".out", "two")
    person.see("h1 ~ .state", "Completed")
    person.see(".attempts", "Attempt 1: exit code 0")


def test_a_memory_limit_is_typed_with_its_unit(person: Person, web: Served) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "true")
    page.click("dialog summary")
    page.fill("#f-memory", "lots")
    person.see("#f-memory[aria-invalid=true]")
    page.fill("#f-memory", "0.5 GiB")
    person.see("dialog pre", "--memory=536870912")
    page.locator("dialog button.main").click()
    person.miss("dialog")
    person.see(".toast", "Queued").get_by_role("link").click()
    person.see("main", "Memory limit")
    person.see("main", "512 MiB")


def test_each_line_can_be_a_job_of_its_own(person: Person, web: Served) -> None:
    page = person.sign_in("jobs")
    page.keyboard.press("n")
    page.fill("#f-command", "true 1\ntrue 2\n\ntrue 3")
    page.check("#f-each")
    person.see("dialog pre", "3 jobs")
    page.locator("dialog button.main").click()
    person.see(".toast", "Queued 3 jobs")
    person.see("tr[data-id]", "true 3")
    assert web.get("/api/v1/jobs")["total"] == 3


def test_fail_retry_die_and_be_revived(
    person: Person, web: Served, supervised: Callable[..., Supervised], home: Path
) -> None:
    watched = supervised()
    watched.start(1)
    page = person.sign_in()
    fields = {"max_retries": 1, "backoff_base": 1.5, "id": "lame"}
    web.post("/api/v1/jobs", {"command": f"test -e {home}/leg || {{ echo no leg; exit 3; }}", **fields})
    person.go("jobs/lame")
    person.see("h1 ~ .state", "Retrying")
    person.see(".attempts", "Attempt 1: exit code 3")
    person.see("h1 ~ .state", "Dead")
    person.see(".attempts li:first-child", "Attempt 2: exit code 3")
    person.see(".out", "no leg")
    person.go("dead")
    person.see("section.card h2", "no leg")
    (home / "leg").touch()
    person.press("Retry")
    person.see("section.card", "1 job retried")
    person.see("section.card .state", "Completed")
    person.see(".empty", "No dead jobs")
    watched.wait_for("lame", "completed")
    assert page.title() == "Dead letters · QueueCTL"


def test_dead_letters_one_then_ten_then_all(person: Person, jobs: Jobs) -> None:
    for number in range(15):
        jobs.dead(f"d{number:02}", {"error": f"no space left on /dev/sd{number}"})
    page = person.sign_in("dead")
    person.see("section.card", "15 jobs")
    person.press("Retry 1")
    person.see("section.card", "1 job retried")
    person.see("section.card", "14 jobs")
    person.press("Retry 10 more")
    person.see("section.card", "10 jobs retried")
    person.press("Retry the other 4")
    person.see(".empty", "No dead jobs")
    assert {jobs.queue.get(f"d{number:02}").state for number in range(15)} == {"pending"}
    assert not page.locator(".toast.error").count()


def test_edit_and_retry(person: Person, jobs: Jobs) -> None:
    jobs.dead("typo", command="flase || exit 1", timeout=5)
    page = person.sign_in("dead")
    person.press("Edit and retry")
    assert page.input_value("#f-command") == "flase || exit 1"
    page.fill("#f-command", "false || exit 0")
    page.fill("#f-timeout", "2m")
    page.fill("#f-priority", "9999")
    person.press("Retry with these")
    person.see("#f-priority[aria-invalid=true]")
    assert jobs.queue.get("typo").state == "dead"
    page.fill("#f-priority", "9")
    person.press("Retry with these")
    person.see(".toast", "typo is queued again")
    job = jobs.queue.get("typo")
    assert (job.state, job.fields["command"], job.fields["timeout"]) == ("pending", "false || exit 0", 120)


def test_cancel_hold_and_release(person: Person, jobs: Jobs, supervised: Callable[..., Supervised]) -> None:
    watched = supervised()
    jobs.pending("wait")
    page = person.sign_in("jobs/wait")
    assert page.locator("dt", has_text="Tags").count() == 0  # it has none
    person.press("Hold")
    person.see("h1 ~ .state", "Held")
    person.press("Release")
    person.see("h1 ~ .state", "Pending")
    person.press("Cancel")
    person.see("h1 ~ .state", "Cancelled")
    watched.start(1)
    jobs.pending("runs", command="sleep 60")
    watched.wait_for("runs", "processing")
    person.go("jobs")
    page.get_by_role("button", name="cancel runs").click()
    person.see("dialog", "Cancel a running job?")
    person.press("Cancel the job")
    person.see("tr[data-id=runs] .state", "Cancelled")


# --- workers, settings, health


def test_start_restart_and_stop_workers(person: Person, supervised: Callable[..., Supervised]) -> None:
    watched = supervised()
    page = person.sign_in("workers")
    person.see(".empty", "No worker runs")
    watched.start(1)
    person.see("article", "worker-1")
    person.press("Start a worker")
    person.see("article", "worker-2")
    pid = watched.status()["workers"][1]["pid"]
    person.press("Restart worker-2")
    watched.wait_until(lambda: watched.status()["workers"][1]["pid"] != pid, "it is another process")
    person.press("Stop worker-2")
    person.miss("article:has-text('worker-2')")
    person.press("Stop now")
    person.see("dialog", "No command runs now.")
    person.press("Back")
    person.miss("dialog")
    person.press("Stop all")
    page.locator("dialog button.main").click()
    person.see(".empty", "No worker runs")


def test_change_a_setting_and_take_it_back(person: Person, web: Served) -> None:
    page = person.sign_in("config")
    person.press("Edit max_retries_default")
    page.fill("#f-value", "lots")
    person.press("Save")
    person.see("#f-value[aria-invalid=true]")
    assert "must be an integer" in page.inner_text("#f-value-told")
    page.fill("#f-value", "5")
    person.press("Save")
    row = "tr:has-text('max_retries_default')"
    person.see(row, "config.yaml:")
    assert web.get("/api/config")["max_retries_default"] == 5
    person.press("Reset max_retries_default")
    page.get_by_role("button", name="Reset max_retries_default").wait_for(state="hidden")
    assert web.get("/api/config")["max_retries_default"] == 3
    person.press("Edit durability")
    page.select_option("#f-value", "relaxed")
    person.press("Save")
    person.see("tr:has-text('durability')", "relaxed")


# --- finding jobs


def test_filter_page_and_share_the_address(person: Person, jobs: Jobs) -> None:
    jobs.queue.spool.layout.ensure()
    for result in jobs.queue.enqueue_many(
        {"command": f"echo {n:03}", "tags": ["odd"] if n % 2 else []} for n in range(120)
    ):
        assert isinstance(result, str)
    jobs.dead("d", tags=["odd"])
    page = person.sign_in("jobs")
    person.see("p", "1–50 of 121")
    person.press("Next")
    person.see("p", "51–100 of 121")
    page.reload()
    person.see("p", "51–100 of 121")
    person.press("Next")
    person.see("p", "101–121 of 121")
    person.press("Previous")
    person.see("p", "51–100 of 121")
    page.select_option("select[name=what]", "tag")
    page.fill("input[name=text]", "odd")
    person.press("Add filter")
    person.see("p", "1–50 of 61")
    page.locator(".toggle", has_text="Dead").click()
    person.see("p", "1–1 of 1")
    assert "state=dead" in page.url
    other = person.new_page()
    other.goto(page.url)  # an address is all that is needed
    other.locator("tr[data-id=d]").wait_for()
    assert other.locator("tr[data-id]").count() == 1
    person.press("Remove the filter state")
    person.press("Remove the filter tag")
    page.fill("#search", "echo 01")
    person.see("p", "1–12 of 12")
    page.fill("#search", "nothing like it")
    person.see(".empty", "No job matches")
    page.get_by_role("link", name="Clear all filters").click()
    person.see("p", "1–50 of 121")
    person.go("jobs?state=nonsense")
    person.see(".empty", 'no state "nonsense"')
