"""The output of a job on the page: colours, lines written over, scrolling to the first byte, searching, links to lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.support import Jobs
    from tests.support.browser import Person
    from tests.support.supervised import Supervised

LINES = 60_000
SHOWN = "[...document.querySelectorAll('.ln')].map((line) => +line.dataset.n)"


def long_output(lines: int = LINES) -> bytes:
    return b"".join(b"line %d of the output\n" % n for n in range(1, lines + 1))


def test_colours_are_classes_and_lines_are_written_over(person: Person, jobs: Jobs) -> None:
    text = (
        "plain \x1b[31mred\x1b[1;44m bold on blue\x1b[0m end\n"
        "10%\r50%\r100% done\n"
        "abc\x1b[2D\x1b[32mX\x1b[0m\n"
        "one\ntwo\n\x1b[2A\x1b[2Kfirst\n\x1b[Bthree\n"
        "\x1b[38;5;196mbright\x1b[38;2;0;200;0mgreen\x1b[m\x1b]0;title\x07\x1b(B.\n"
        "\x07bell <b>no markup</b> \u202eabc\n"
    )
    jobs.completed("j", text.encode())
    page = person.sign_in("jobs/j")
    person.see(".out", "no markup")
    found = [line.rstrip("\n") for line in page.locator(".ln").evaluate_all("nodes => nodes.map((n) => n.textContent)")]
    assert found[:5] == ["plain red bold on blue end", "100% done", "aXc", "first", "two"]
    assert found[5:7] == ["three", "brightgreen."]
    assert found[7] == "\u2407bell <b>no markup</b> \u2039U+202E\u203aabc"
    numbers = page.locator(".ln").evaluate_all("nodes => nodes.map((n) => +n.dataset.n)")
    assert numbers == [1, 2, 3, 4, 5, 6, 8, 9]  # as lines of the file: one line break came after the cursor had gone up
    looks = page.locator(".ln span").evaluate_all("nodes => nodes.map((n) => [n.textContent, n.className])")
    assert looks == [["red", "f1"], [" bold on blue", "bold f1 b4"], ["X", "f2"], ["bright", "f9"], ["green", "f10"]]
    colours = page.locator(".ln span.f1").first.evaluate("node => getComputedStyle(node).color")
    assert re.fullmatch(r"rgb\(255, \d+, \d+\)", colours)


def test_it_is_scrolled_back_to_the_first_line(person: Person, jobs: Jobs) -> None:
    jobs.completed("j", long_output())
    page = person.sign_in("jobs/j")
    person.see(".out", f"line {LINES} of the output")
    assert page.evaluate(SHOWN) == [*range(LINES - 199, LINES + 1)]
    for _ in range(100):
        first = page.evaluate(f"{SHOWN}[0]")
        if first == 1:
            break
        page.evaluate("document.querySelector('.out').scrollTop = 0")
        page.wait_for_function(f"first => {SHOWN}[0] < first", arg=first)
    shown = page.evaluate(SHOWN)
    assert shown == [*range(1, shown[-1] + 1)]
    assert len(shown) <= 5000
    for _ in range(10):
        last = page.evaluate(f"{SHOWN}.at(-1)")
        page.evaluate("document.querySelector('.out').scrollTop = 1e9")
        page.wait_for_function(f"last => {SHOWN}.at(-1) > last", arg=last)
    shown = page.evaluate(SHOWN)
    assert shown == [*range(shown[0], shown[-1] + 1)]
    texts = page.locator(".ln").evaluate_all("nodes => nodes.map((n) => n.textContent)")
    assert texts == [f"line {number} of the output\n" for number in shown]
    person.press("To the end")
    person.see(".out", f"line {LINES} of the output")


def test_a_text_is_searched_in_all_of_it(person: Person, jobs: Jobs) -> None:
    jobs.completed(
        "j", long_output().replace(b"line 30 of", b"LINE 30 ERROR of").replace(b"line 59000 of", b"error: 59000 of")
    )
    page = person.sign_in("jobs/j")
    person.see(".out", f"line {LINES} of the output")
    page.fill(".find", "error")
    page.keyboard.press("Enter")
    person.see(".ln.here", "LINE 30 ERROR of the output")
    person.see("[role=status]", "1 of 2")
    page.get_by_role("button", name="Next match").click()
    person.see(".ln.here", "error: 59000 of the output")
    person.see("[role=status]", "2 of 2")
    page.fill(".find", ":12345")
    page.keyboard.press("Enter")
    person.see(".ln.here", "line 12345 of the output")
    page.fill(".find", ":999999")
    page.keyboard.press("Enter")
    person.see(".out", f"line {LINES} of the output")
    page.fill(".find", "nowhere")
    page.keyboard.press("Enter")
    person.see("[role=status]", "not found")


def test_a_line_has_an_address(person: Person, jobs: Jobs) -> None:
    jobs.completed("j", long_output())
    page = person.sign_in("jobs/j?attempt=1&line=4321")
    person.see(".ln.here", "line 4321 of the output")
    page.locator(".ln[data-n='4325']").click(position={"x": 10, "y": 5})
    person.see(".ln.here", "line 4325 of the output")
    assert page.url.endswith("#/jobs/j?attempt=1&line=4325")
    page.reload()
    person.see(".ln.here", "line 4325 of the output")


def test_what_is_added_follows_and_raw_is_whole(person: Person, jobs: Jobs) -> None:
    with jobs.running("j", output=long_output(20_000)) as claim:
        path = Path(jobs.queue.layout.output_of("j", 1))
        page = person.sign_in("jobs/j")
        person.see(".out", "line 20000 of the output")
        with path.open("ab") as file:
            file.write(b"\x1b[33m10%\r")
            file.flush()
            person.see(".ln .f3", "10%")
            file.write(b"100%\x1b[0m\nlast\n")
        person.see(".out", "last")
        assert page.locator(".ln").last.get_attribute("data-n") == "20002"
        claim.finish({"exit_code": 0})
    person.miss(".live:has-text('live')")
    raw = page.get_by_role("link", name="Raw").get_attribute("href")
    assert len(page.evaluate("async (path) => (await fetch(path)).text()", raw).splitlines()) >= 20_002


def test_the_attempts_are_shown_on_one_axis(person: Person, supervised: Callable[..., Supervised], jobs: Jobs) -> None:
    """Two runs of 0.1 s and the time between them, each with its share; the history is a list."""
    s = supervised()
    s.start(1)
    jobs.queue.enqueue("sleep 0.1; exit 3", id="fails", max_retries=1, backoff_base=0.2)
    s.wait_for("fails", "dead")
    page = person.sign_in("jobs/fails")
    label = person.see(".timeline").get_attribute("aria-label") or ""
    assert re.search(r"ran 0\.\d s, waited to retry ", label), label
    assert page.locator(".timeline rect.f-run").count() == 2
    assert page.locator(".timeline rect.f-backoff").count() == 1
    page.locator("summary:has-text('History')").click()
    assert page.locator("details ol li b").all_inner_texts() == ["died", "started", "failed", "started"]
