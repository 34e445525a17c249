"""How the page looks and behaves: small, in the dark, by keyboard, with much output, and while things go wrong."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from queuectl.index.rebuild import rebuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.support.supervised import Supervised
    from tests.web.support import Served

VIEWS = (
    "overview",
    "jobs",
    "jobs?state=dead&q=long&tag=x",
    "dead",
    "workers",
    "config",
    "health",
    "jobs/dead",
    "jobs/runs",
    "jobs/none",
)
LONG = "a" * 300


def _everything(jobs: Jobs) -> None:
    jobs.pending("waits", command=f"echo {LONG}", tags=[LONG, "x"], queue="q" * 100)
    jobs.held("held")
    jobs.completed("done", b"fine\n")
    jobs.failed("fails", output=LONG.encode(), delay_s=600)
    jobs.dead("dead", {"error": LONG}, command=f"false {LONG} long", name="n" * 100, env={"PATH": "x"})
    jobs.cancelled("cancelled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_fits_and_axe_finds_nothing_serious(
    meet: Callable[..., Person], jobs: Jobs, supervised: Callable[..., Supervised], scheme: str
) -> None:
    _everything(jobs)
    jobs.start("waits").close()
    with jobs.running("runs", b"line\n" * 300, command="sleep 9"):
        supervised().start(0)
        person = meet(color_scheme=scheme)
        person.sign_in()
        found = []
        for view in VIEWS:
            page = person.go(view)
            person.refreshes(1)
            for width, height in (
                *((wide, 900) for wide in (1440, 1280, 1024, 900, 800)),
                (390, 800),
                (320, 256),
                (768, 900),
            ):
                page.set_viewport_size({"width": width, "height": height})
                assert person.overflow() <= 0, (view, width)
                assert person.outside() == [], (view, width)
                if width == 1280 or (width == 320 and scheme == "light"):
                    found += [(view, width, fault) for fault in person.axe()]
        page.set_viewport_size({"width": 320, "height": 256})
        page.keyboard.press("n")
        page.fill("#f-command", "x")
        person.see("dialog pre", "queuectl enqueue")
        page.locator("dialog summary").click()
        assert page.evaluate("(d => d.scrollWidth - d.clientWidth)(document.querySelector('dialog'))") <= 0
        found += [("enqueue", 320, fault) for fault in person.axe()]
        assert found == []


def test_keyboard_alone_is_enough(person: Person, jobs: Jobs, web: Served) -> None:
    for number in range(3):
        jobs.dead(f"d{number}")
    jobs.pending("waits")
    page = person.sign_in()
    press = page.keyboard.press

    def tab_to(name: str) -> None:
        for _ in range(60):
            press("Tab")
            if page.evaluate(
                "(e => e.getAttribute('aria-label') || e.innerText.trim())(document.activeElement)"
            ).startswith(name):
                ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", name
                return
        raise AssertionError(f"Tab never came to {name}")

    page.reload()
    person.see(".flow")
    press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("Jobs")
    press("Enter")
    person.see("tr[data-id=d0]")
    tab_to("Select waits")
    press("Space")
    person.see(".bulk", "1 selected")
    tab_to("Retry")
    tab_to("Priority")
    press("Enter")
    person.see("#f-priority:focus")
    page.keyboard.type("0")
    press("Escape")
    person.miss("dialog")
    press("/")
    person.see("#search:focus")
    page.keyboard.type("d1")
    person.see("p", "1–1 of 1")
    page.evaluate("document.activeElement.blur()")
    press("j")
    assert page.evaluate("document.activeElement.closest('tr').dataset.id") == "d1"
    press("r")
    person.see(".toast", "d1 is queued again")
    press("Enter")
    person.see("h1", "d1")
    press("g")
    press("o")
    person.see(".flow")
    press("n")
    page.keyboard.type("echo by keyboard")
    tab_to("Enqueue")
    press("Enter")
    person.miss("dialog")
    person.see(".toast", "Queued")
    press("?")
    person.see("dialog", "Keys")
    page.select_option("#f-keys", "off")
    tab_to("Save")
    press("Enter")
    page.wait_for_function("!document.querySelector('dialog')")  # a closed one is removed a moment later
    press("n")
    assert not page.locator("dialog").count()
    assert web.get("/api/v1/jobs?q=keyboard")["total"] == 1


def test_words_are_read_out_for_what_a_person_does_and_nothing_else(person: Person, jobs: Jobs) -> None:
    jobs.dead("d")
    page = person.sign_in("jobs")
    assert page.locator("[aria-live], [role=status], [role=alert], [role=log]").count() == 1
    person.refreshes(2)
    assert page.inner_text("#say") == ""
    person.press("retry d")
    person.see("#say", "d is queued again")


def test_motion_is_left_out_where_it_is_not_wanted(meet: Callable[..., Person]) -> None:
    for motion, name in (("reduce", "none"), ("no-preference", "breathe")):
        person = meet(reduced_motion=motion)
        page = person.sign_in()
        assert page.evaluate("getComputedStyle(document.querySelector('.dot')).animationName") == name


def test_a_hundred_thousand_lines_do_not_freeze_the_page(
    person: Person, supervised: Callable[..., Supervised], jobs: Jobs, home: Path
) -> None:
    jobs.completed("old", b"".join(b"line %d\n" % number for number in range(100_000)))
    supervised().start(1)
    command = (
        f"until [ -e {home}/go ]; do sleep 0.05; done; seq 1 100000; printf 'a\\rb\\r\\033[1mlast\\033[0m'; sleep 60"
    )
    jobs.pending("much", command=command)
    page = person.sign_in("jobs/much")
    person.see(".live", "live")
    (home / "go").touch()
    person.see(".out", "100000\nlast")
    nodes = page.evaluate("document.querySelectorAll('.out > *').length")
    lines = page.evaluate("document.querySelector('.out').textContent.split('\\n').length")
    assert lines <= 5001, lines
    assert nodes <= 21, nodes
    person.see("p", "shown from line 95,")
    page.evaluate("document.querySelector('.out').scrollTop = 0")  # scrolling up stops following
    person.see(".live", "scrolled back")
    person.press("To the end")
    person.see(".live", "live")
    person.press("Cancel")
    person.press("Cancel the job")
    person.see("h1 ~ .state", "Cancelled")
    person.miss(".live:has-text('live')")
    person.go("jobs/old")
    person.see(".out", "line 99999")
    assert page.evaluate("document.querySelector('.out').textContent.split('\\n').length") == 201


@pytest.mark.parametrize("how", ["a stream", "polling"])
def test_output_that_is_truncated_goes_on_from_its_new_beginning(person: Person, jobs: Jobs, how: str) -> None:
    with jobs.running("j", output=b"old and longer\n") as claim:
        path = Path(jobs.queue.layout.output_of("j", 1))
        if how == "polling":
            person.page.route("**/output?*follow=true*", lambda route: route.fulfill(status=503, body="{}"))
        person.sign_in("jobs/j")
        person.see("pre.out", "old and longer")
        path.write_bytes(b"new\n")
        person.see("pre.out", "--- the output was truncated: showing it from its new start ---\nnew")
        claim.finish({"exit_code": 0})


def test_output_goes_on_where_it_was_after_a_cut(
    person: Person, supervised: Callable[..., Supervised], jobs: Jobs, home: Path
) -> None:
    supervised().start(1)
    jobs.pending("cut", command=f"for n in 1 2 3; do echo part $n; until [ -e {home}/$n ]; do sleep 0.05; done; done")
    page = person.sign_in("jobs/cut")
    person.see(".out", "part 1")
    person.with_state("S.tail.stop()")  # as when the tab is hidden
    (home / "1").touch()
    page.wait_for_timeout(500)
    assert "part 2" not in page.inner_text(".out")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    person.see(".out", "part 2")
    page.route("**/output?*follow=true*", lambda route: route.fulfill(status=503, body="{}"))  # too many streams
    person.with_state("void S.tail.stream()")
    (home / "2").touch()
    person.see(".out", "part 3")
    (home / "3").touch()
    person.see("h1 ~ .state", "Completed")
    assert page.inner_text(".out").split() == ["part", "1", "part", "2", "part", "3"]


def test_the_page_stays_right_while_things_go_wrong(
    person: Person, supervised: Callable[..., Supervised], jobs: Jobs, home: Path
) -> None:
    page = person.sign_in()
    person.see("h2", "Three steps to the first job")
    jobs.completed("a")
    jobs.pending("b")
    person.see(".banner", "1 job is waiting, but no workers are running")
    assert page.get_by_role("button", name="Start 2 workers").count() == 1
    watched = supervised()
    for _ in range(2):
        process = watched.start(1)
        person.miss(".banner", "no workers are running")
        person.see(".flow", "of 1 worker")
        watched.wait_for("b", "completed")
        process.kill()
        process.wait()
        person.see(".flow", "no supervisor")
        watched.wait_until(lambda: not watched.survivors(), "the worker has gone too")
    process = watched.start(1)
    process.send_signal(signal.SIGSTOP)
    try:
        person.see(".banner", "does not answer")
        person.see(".flow", "does not answer")
        person.go("workers")
        person.see(".empty", f"The supervisor (pid {process.pid}) does not answer")
        person.go("overview")
    finally:
        process.send_signal(signal.SIGCONT)
    person.miss(".banner", "does not answer")
    process.kill()
    process.wait()
    watched.wait_until(lambda: not watched.survivors(), "the worker has gone too")
    person.see(".flow a:has-text('Completed')", "2")
    for _ in rebuild(jobs.spool, jobs.queue.layout.index):
        pass
    jobs.dead("c")
    person.see(".flow a:has-text('Dead')", "1")
    (home / "index.sqlite3").unlink()
    jobs.dead("d")
    person.see(".flow a:has-text('Dead')", "2")
    person.go("jobs")
    person.see("tr[data-id=d]")
    assert page.locator("tr[data-id]").count() == 4
    assert not page.locator(".toast").count()
    jobs.queue.delete("a")
    person.go("jobs/a")
    person.see(".empty", "It was deleted, or it never existed")
