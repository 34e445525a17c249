"""list: states, filters, order, formats, and what a table of jobs looks like."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import NOW, Jobs, Ran, Run

Golden = Callable[[str, str], None]
Passes = Callable[[float], None]


@pytest.fixture
def every(jobs: Jobs, now: Passes) -> Jobs:
    """One job in each state, each changed some time after the one before."""
    jobs.pending("ready", "ffmpeg -i a.mov -c:v libx265 a.mp4", tags=["video"])
    now(10)
    jobs.pending("later", "echo \x1b[31m日本語", queue="net", run_at="2026-11-25T02:00:00Z", priority=7)
    now(10)
    jobs.held("held")
    now(10)
    jobs.dead("dead", command="python train.py --fold 9")
    now(10)
    jobs.completed("done", command="rsync -a /data/ nas:/backup/")
    now(10)
    jobs.cancelled("cancelled")
    now(10)
    jobs.failed("failed", delay_s=338, max_retries=1)
    with jobs.running("late", timeout=5, max_retries=0) as claim:
        claim.move_to_dead("retries_exhausted", {"exit_code": 124, "timed_out": True})
    return jobs


def ids(ran: Ran) -> list[str]:
    assert ran.code == 0, ran
    return ran.out.split()


def test_the_table(cli: Run, every: Jobs, now: Passes, golden: Golden) -> None:
    with every.running("busy", command="sleep 1000"):
        now(62)
        golden("list", cli("list").out)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_table_on_a_narrow_terminal(
    cli: Run, every: Jobs, golden: Golden, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    golden(f"list-{columns}", cli("list").out)


@pytest.mark.parametrize("columns", [30, 40, 60])
def test_rows_with_ids_of_any_length_fit(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """An id of sixteen characters is whole on forty columns; a longer one is cut when nothing else can be left out."""
    long = "chosen-by-somebody-who-likes-long-names"
    jobs.dead("1M8PM8DQM5YN5NVJ", command="python train.py --fold 9")
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in (("list",), ("dlq", "list")):
        out = cli(*command).out
        assert max(map(len, out.splitlines())) <= columns
        assert "1M8PM8DQM5YN5NVJ" in out or columns < 40
    jobs.dead(long)
    out = cli("list").out
    assert max(map(len, out.splitlines())) <= columns
    assert f"{long[:10]}" in out


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("pending", "later ready"),
        ("held", "held"),
        ("failed", "failed"),
        ("dead", "late dead"),
        ("completed", "done"),
        ("cancelled", "cancelled"),
        ("processing", ""),
        ("dead,completed", "late dead done"),
        ("all", "late failed cancelled done dead held later ready"),
        ("DEAD", "late dead"),
    ],
)
def test_states_as_the_users_of_the_original_type_them(cli: Run, every: Jobs, state: str, found: str) -> None:
    assert sorted(ids(cli("list", "--state", state, "-o", "name"))) == sorted(found.split())


def test_states_may_be_repeated(cli: Run, every: Jobs) -> None:
    assert ids(cli("list", "--state", "held", "--state", "completed", "-o", "name")) == ["done", "held"]


def test_a_state_that_does_not_exist(cli: Run) -> None:
    ran = cli("list", "--state", "running")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[1] == (
        "          hint: states are pending, held, failed, processing, completed, cancelled, dead"
    )
    assert cli("list", "--state", "compleated").err.startswith(
        'queuectl: no state "compleated"; did you mean "completed"?'
    )


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--queue net", "later"),
        ("--queue nowhere", ""),
        ("--tag video", "ready"),
        ("--search MPEG", "ready"),
        ("--search dea", "dead"),
        ("--since 5s", "failed late"),
        ("--until 14:02:00", "ready"),
        ("--since 14:02:01 --until 14:02:20", "later held"),
        ("--queue default --state pending", "ready"),
    ],
)
def test_filters(cli: Run, every: Jobs, line: str, found: str) -> None:
    assert sorted(ids(cli("list", *line.split(), "-o", "name"))) == sorted(found.split())


@pytest.mark.parametrize(
    ("order", "first"),
    [("updated", "failed"), ("-updated", "ready"), ("created", "failed"), ("priority", "later"), ("id", "cancelled")],
)
def test_order(cli: Run, every: Jobs, order: str, first: str) -> None:
    every.queue.delete("late")
    assert ids(cli("list", f"--sort={order}", "-o", "name"))[0] == first


@pytest.mark.parametrize("order", ["created", "-priority", "updated"])
def test_a_long_list_is_complete_in_every_order(cli: Run, jobs: Jobs, order: str) -> None:
    """More jobs than are fetched at a time, with a limit and without."""
    [*jobs.queue.enqueue_many({"command": "true", "priority": number % 3} for number in range(2100))]
    every = ids(cli("list", f"--sort={order}", "-o", "name"))
    assert len(every) == len(set(every)) == 2100
    ran = cli("list", f"--sort={order}", "-o", "name", "--limit", "2050")
    assert (ids(ran), ran.err) == (every[:2050], "(2,050 of 2,100 shown)\n")


def test_an_order_that_does_not_exist(cli: Run) -> None:
    ran = cli("list", "--sort", "colour")
    assert (ran.code, ran.err.splitlines()[0]) == (2, 'queuectl: cannot sort by "colour"')


def test_what_was_cut_is_said(cli: Run, jobs: Jobs) -> None:
    [*jobs.queue.enqueue_many(["true"] * 1284)]
    ran = cli("list")
    assert (len(ran.out.splitlines()), ran.err) == (51, "(50 of 1,284 shown)\n")
    assert cli("list", "-n", "7").err == "(7 of 1,284 shown)\n"
    ran = cli("list", "--all", "-o", "name")
    assert (len(set(ran.out.split())), ran.err) == (1284, "")
    assert len(json.loads(cli("list", "--all", "--json").out)) == 1284
    assert cli("list", "--limit", "0").code == 2


@pytest.mark.parametrize("words", [["list", "--queue", "many"], ["dlq", "list"]])
def test_what_programs_read_is_complete_unless_a_limit_was_asked_for(cli: Run, jobs: Jobs, words: list[str]) -> None:
    for number in range(60):
        jobs.dead(f"m-{number:03}", queue="many")
    for form, lines in (("name", 60), ("jsonl", 60), ("tsv", 61)):
        ran = cli(*words, "-o", form)
        assert (len(ran.out.splitlines()), ran.err) == (lines, "")
    assert len(json.loads(cli(*words, "--json").out)) == 60
    ran = cli(*words, "-o", "name", "--limit", "7")
    assert (len(ran.out.splitlines()), ran.err) == (7, "(7 of 60 shown)\n")
    ran = cli(*words, "--json", "--limit", "7", "--all")
    assert (len(json.loads(ran.out)), ran.err) == (7, "(7 of 60 shown)\n")
    assert cli(*words, "-o", "name", "--limit", "60").err == ""


def test_a_list_piped_into_a_verb_acts_on_all(cli: Run, jobs: Jobs) -> None:
    [*jobs.queue.enqueue_many({"command": "true", "queue": "many"} for _ in range(120))]
    names = cli("list", "--queue", "many", "-o", "name").out
    ran = cli("cancel", "-", stdin=names.encode())
    assert (ran.code, ran.err) == (0, "Cancelled 120 jobs\n")
    assert jobs.queue.counts()["cancelled"] == 120


def test_an_empty_queue(cli: Run) -> None:
    for line, out in (([], ""), (["--json"], "[]\n"), (["-o", "jsonl"], ""), (["-o", "name"], "")):
        ran = cli("list", *line)
        assert (ran.code, ran.out, ran.err) == (0, out, "")


def test_json_has_instants_that_say_so_and_what_the_configuration_gives(cli: Run, every: Jobs) -> None:
    rows = {row["id"]: row for row in json.loads(cli("list", "--json").out)}
    assert rows["later"]["run_at"] == "2026-11-25T02:00:00.000000Z"
    assert (rows["ready"]["max_retries"], rows["failed"]["max_retries"]) == (3, 1)
    assert rows["ready"]["tags"] == ["video"]
    assert [json.loads(line) for line in cli("list", "-o", "jsonl").out.splitlines()] == [*rows.values()]


def test_json_cannot_command_a_terminal(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", "echo \x9b2J \u202e \U000e0001 日本語 \x1b")
    for line in (["list", "--json"], ["show", "a", "--json"]):
        ran = cli(*line)
        assert all(c.isprintable() or c == "\n" for c in ran.out)
        assert "日本語" in ran.out
        found = json.loads(ran.out)
        assert (found if isinstance(found, dict) else found[0])[
            "command"
        ] == "echo \x9b2J \u202e \U000e0001 日本語 \x1b"


def test_tsv_is_for_awk(cli: Run, every: Jobs) -> None:
    lines = cli("list", "-o", "tsv", "--state", "dead").out.splitlines()
    assert lines[0].split("\t")[:3] == ["id", "state", "attempts"]
    assert len({line.count("\t") for line in lines}) == 1


def test_why_a_job_failed_is_there_whole_for_programs_and_cut_in_a_table(
    cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = "line 1\n" + "x" * 560 + "\nrsync: connection unexpectedly closed"
    jobs.dead("d", {"error": error})
    for words in (["list"], ["dlq", "list"]):
        head, row = (line.split("\t") for line in cli(*words, "-o", "tsv").out.splitlines())
        assert dict(zip(head, row, strict=True))["last_error"] == error.replace("\n", "\\n")
        assert json.loads(cli(*words, "--json").out)[0]["last_error"] == error
        monkeypatch.setenv("COLUMNS", "70")
        lines = cli(*words).out.splitlines()
        assert lines[0].endswith("ERROR")
        assert lines[1].rpartition("  ")[2].startswith("rsync: con")
        assert len(lines[1]) <= 70
        monkeypatch.delenv("COLUMNS")
        assert cli(*words).out.splitlines()[1].endswith("  rsync: connection unexpectedly closed")


def test_without_a_failed_job_there_is_no_column_for_errors(cli: Run, jobs: Jobs) -> None:
    jobs.completed("c")
    assert cli("list").out.splitlines()[0].endswith("COMMAND")


@pytest.mark.parametrize(
    ("text", "found"), [("SPACE left", "full"), ("50%", ""), ("retries exhausted", "killed"), ("o_s", "")]
)
def test_a_filter_by_error(cli: Run, jobs: Jobs, text: str, found: str) -> None:
    jobs.dead("full", {"error": "No space left on device"})
    jobs.dead("killed")
    jobs.completed("c")
    assert cli("list", "--error", text, "-o", "name").out.split() == found.split()
    assert cli("dlq", "list", "--error", text, "-o", "name").out.split() == found.split()


def test_a_filter_by_batch(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", batch="nightly")
    jobs.pending("b")
    assert cli("list", "--batch", "nightly", "-o", "name").out == "a\n"


def test_a_job_that_was_just_dropped_is_there(cli: Run, jobs: Jobs) -> None:
    jobs.pending("first")
    assert ids(cli("list", "-o", "name")) == ["first"]
    path = f"{jobs.queue.layout.directory('pending')}/dropped.json"
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"command": "true"}')
    assert sorted(ids(cli("list", "-o", "name"))) == ["dropped", "first"]


def test_a_terminal_gets_colour_and_a_pipe_does_not(
    terminal: Callable[..., Ran], queuectl: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.dead("d")
    assert "\x1b[31mdead \x1b[0m" in terminal("list").out
    assert "\x1b" not in queuectl("list").out
    assert "\x1b[31mdead \x1b[0m" in queuectl("list", "--color", "always").out
    assert "\x1b" not in terminal("list", "--color", "never").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in terminal("list").out
    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b" in terminal("list").out
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in terminal("list").out


def test_a_terminal_sets_the_width(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.pending("a", "x" * 300)
    for columns in (40, 60, 100):
        lines = terminal("list", "--color=never", columns=columns).out.splitlines()
        assert len(lines[1]) == columns
        assert lines[1].endswith("…")
    assert "x" * 300 in terminal("list", "-o", "wide", columns=60).out


assert NOW  # where `now` begins


def test_a_history_made_by_hand_that_tells_of_no_start_costs_no_try(cli: Run, jobs: Jobs) -> None:
    """Four tries are what it may have; that one failed without a start does not make them three."""
    path = Path(jobs.queue.layout.job("pending", "a"))
    jobs.queue.layout.ensure()
    path.write_text('{"command":"true","history":[{"event":"failed","at":"2026-11-24T14:01:58Z","exit_code":1}]}')
    assert cli("list", "--all").out.splitlines()[1].split()[:3] == ["a", "failed", "0/4"]


def test_a_job_that_has_ended_shows_no_limit_that_was_configured_later(cli: Run, jobs: Jobs) -> None:
    jobs.dead("d")
    jobs.completed("c")
    cli("config", "set", "max_retries_default", "9")
    tries = {line.split()[0]: line.split()[2] for line in cli("list", "--all").out.splitlines()[1:]}
    assert tries == {"d": "1", "c": "1"}
    assert [row["max_retries"] for row in json.loads(cli("list", "--state", "dead", "--json").out)] == [0]
    assert [job["max_retries"] for job in json.loads(cli("show", "d", "--json").out)] == [0]
    assert "retries 9" not in cli("show", "d").out + cli("show", "c").out
