"""top without a terminal: what each key does, and what is shown on terminals of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queuectl.cli.commandline import parse
from queuectl.cli.live import pieces, shown_width
from queuectl.cli.terminal import Screen
from queuectl.cli.text import width
from queuectl.cli.top.state import ORDERS, State
from queuectl.cli.top.view import Snapshot, frame, log_frame
from queuectl.status import Overview
from tests.cli.support import NOW

Golden = Callable[[str, str], None]


def press(state: State, *keys: str) -> str:
    done = ""
    for key in keys:
        done = state.press(key)
    return done


def chosen(*ids: str) -> State:
    state = State()
    state.show(ids)
    return state


# --- keys


def test_the_selection_moves_and_stays_within_the_list() -> None:
    state = chosen("a", "b", "c")
    for keys, expected in (
        (("j",), "b"),
        (("down", "down"), "c"),
        (("k", "up", "up"), "a"),
        (("G",), "c"),
        (("g",), "a"),
    ):
        press(state, *keys)
        assert state.selected == expected


def test_the_selected_job_stays_selected_while_others_come_and_go() -> None:
    state = chosen("a", "b", "c")
    press(state, "j")
    state.show(("x", "y", "b"))
    assert state.selected == "b"
    state.show(("x", "y"))  # it has gone: the one in its place
    assert state.selected == "y"
    state.show(())
    assert state.selected is None
    assert press(state, "c", "y") == ""


def test_cancelling_asks_first() -> None:
    state = chosen("a")
    assert press(state, "c") == ""
    assert state.mode == "ask"
    assert press(state, "n") == ""
    assert press(state, "c", "y") == "cancel"
    assert state.mode == "jobs"


def test_a_filter_is_typed_and_kept_or_given_up() -> None:
    state = chosen("a")
    assert press(state, "/", "q", "x", "backspace", "u", "enter") == "look"
    assert (state.search, state.mode) == ("qu", "jobs")
    press(state, "/", "z", "esc")
    assert state.search == "qu"


def test_the_other_keys() -> None:
    state = chosen("a")
    assert [press(state, key) for key in ("r", "l", "enter", "q", "", "\x1b[", "ü")] == [
        "retry",
        "log",
        "log",
        "quit",
    ] + [""] * 3
    assert [press(state, "t") and state.order for _ in ORDERS] == [*list(ORDERS)[1:], "auto"]
    press(state, "?")
    assert state.mode == "help"
    assert press(state, "q") == ""
    assert state.mode == "jobs"


# --- what is shown


def screen_of(*words: str) -> Screen:
    return Screen(parse(["top", *words]))


def snapshot(jobs: int = 30, workers: int = 2) -> Snapshot:
    overview = Overview("/srv/queue", NOW)
    overview.supervisor = {"pid": 4121, "started_at": NOW - 3600, "draining": False, "version": "1.0.0"}
    overview.counts = {"pending": max(0, jobs - 1), "processing": min(1, jobs), "dead": 7, "completed": 18_204}
    overview.free_bytes, overview.disk_bytes = 81 << 30, 100 << 30
    overview.oldest_waiting = NOW - 42
    overview.workers = [worker(number) for number in range(1, workers + 1)]
    return Snapshot(overview, [job(number) for number in range(jobs)], jobs, "priority", is_exact=True)


def worker(number: int) -> dict[str, Any]:
    is_busy = number == 2
    return {
        **{"name": f"worker-{number}", "state": "busy" if is_busy else "idle", "started_at": NOW - 3600, "done": 12},
        **{"failed_attempts": 0, "cpu_percent": 96.0, "rss_bytes": 212 << 20, "job_id": "job-00" if is_busy else None},
        **{"job_since": NOW - 62, "command": "ffmpeg -i a.mov \x1b[31m" if is_busy else None},
    }


def job(number: int) -> dict[str, Any]:
    return {
        **{"id": f"job-{number:02}", "state": "pending" if number else "processing", "attempts": 1, "failures": 0},
        **{"max_retries": 3, "run_at": NOW - 5, "started_at": NOW - 62, "finished_at": None, "updated_at": NOW - 62},
        **{
            "exit_code": None,
            "outcome": None,
            "queue": "default",
            "command": f"echo {number} \x1b]0;title\x07 \u202e end",
        },
    }


def shown(size: tuple[int, int], state: State | None = None, made: Snapshot | None = None) -> list[str]:
    made = made or snapshot()
    state = state or State()
    state.show([each["id"] for each in made.jobs])
    return [line for line, _ in frame(screen_of("--color", "never"), made, state, size)]


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)])
def test_the_screen(golden: Golden, size: tuple[int, int]) -> None:
    golden(f"top-{size[0]}", "".join(f"{line}\n" for line in shown(size)))


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
@pytest.mark.parametrize("rows", [1, 2, 5, 8, 12, 24, 50])
@pytest.mark.parametrize("jobs", [0, 1, 30])
@pytest.mark.parametrize("workers", [0, 2, 40])
def test_it_is_as_high_as_the_terminal_and_jobs_and_keys_are_seen(
    columns: int, rows: int, jobs: int, workers: int
) -> None:
    lines = shown((columns, rows), made=snapshot(jobs, workers))
    assert len(lines) == rows
    assert "q quit" in lines[-1]
    if rows >= 12 and jobs:
        assert any("job-00" in line and ("processing" in line or columns == 20) for line in lines)
    assert all(line.isprintable() for line in lines)


def test_the_selected_job_is_in_sight_and_marked() -> None:
    made, state = snapshot(), State()
    state.show([each["id"] for each in made.jobs])
    for keys, expected in ((("G",), "job-29"), (("k",), "job-28"), (("g",), "job-00"), (("pgdn",), "job-10")):
        press(state, *keys)
        lines = frame(screen_of("--color", "never"), made, state, (80, 20))
        [selected] = [line for line, is_selected in lines if is_selected]
        assert selected.startswith(expected)


def test_what_is_asked_typed_and_told_is_on_the_last_line() -> None:
    state = chosen("job-00")
    press(state, "c")
    assert shown((80, 24), state)[-1] == "Cancel job-00? y or n"
    press(state, "n", "/", "x")
    assert shown((80, 24), state)[-1].startswith("/x_")
    press(state, "enter")
    state.message = "job-00 runs again\x1b[2J"
    assert shown((80, 24), state)[-1] == "job-00 runs again\\x1b[2J"
    assert any('30 with "x"' in line for line in shown((80, 24), state))


def test_help_fits_and_names_every_key() -> None:
    state = State()
    press(state, "?")
    lines = shown((80, 24), state)
    assert max(map(width, lines)) <= 80
    assert all(f"  {key}" in "\n".join(lines) for key in ("c ", "r ", "l,", "t ", "/ ", "q,", "up,", "down,"))


def test_colours_are_painted_and_take_no_room() -> None:
    made, state = snapshot(), State()
    for line, _ in frame(screen_of("--color", "always"), made, state, (80, 24)):
        assert {code for _, code in pieces(line)} <= {"", "1", "2", "31", "32", "33", "36"}
    assert any(
        shown_width(line) != width(line) for line, _ in frame(screen_of("--color", "always"), made, state, (80, 24))
    )


def test_a_log_follows_its_end_until_it_is_scrolled() -> None:
    state, lines = State(), [f"line {number}" for number in range(100)]

    def seen() -> list[str]:
        return [line for line, _ in log_frame(screen_of("--color", "never"), "job", lines, state, (40, 10))]

    state.mode = "log"
    assert (seen()[0], seen()[-2], seen()[-1][:7]) == ("job", "line 99", "follows")
    press(state, "k", "k")
    assert (seen()[-2], seen()[-1][:13]) == ("line 97", "2 lines below")
    press(state, "g")
    assert seen()[1] == "line 0"
    press(state, "G")
    assert seen()[-2] == "line 99"
    press(state, "q")
    assert state.mode == "jobs"
