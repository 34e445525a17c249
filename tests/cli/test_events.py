"""events: what happened, told from the histories; following it is in tests/lifecycle/test_following.py."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from queuectl.client.events import KINDS
from queuectl.job.events import SENTENCES, STATE_AFTER, events_of
from queuectl.job.history import EVENTS, LEADS_TO
from tests.cli.support import Jobs, Run

Golden = Callable[[str, str], None]
Passes = Callable[[float], None]


def some(jobs: Jobs, now: Passes) -> None:
    jobs.completed("a")
    now(60)
    jobs.failed("f", output=b"no such file \x1b[31m\n")
    now(1)
    jobs.dead("d")
    now(1)
    jobs.held("h")
    jobs.queue.retry("d")
    jobs.spool.note_change("d")


def kinds(out: str) -> list[tuple[str, str]]:
    return [(each["id"], each["event"]) for each in map(json.loads, out.splitlines())]


def test_the_lines(cli: Run, jobs: Jobs, now: Passes, golden: Golden) -> None:
    some(jobs, now)
    ran = cli("events")
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    golden("events", ran.out)


def test_they_fit_the_width(cli: Run, jobs: Jobs, now: Passes, monkeypatch: pytest.MonkeyPatch) -> None:
    some(jobs, now)
    for columns in (60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert max(map(len, cli("events").out.splitlines())) <= columns


def test_json_is_one_array_and_jsonl_an_object_a_line(cli: Run, jobs: Jobs) -> None:
    assert cli("events", "--json").out == "[]\n"
    jobs.completed("c")
    jobs.held("h")
    lines = [json.loads(line) for line in cli("events", "-o", "jsonl").out.splitlines()]
    assert json.loads(cli("events", "--json").out) == lines
    assert len(lines) == 5
    assert json.loads(cli("events", "--json", "--type", "held").out) == lines[-1:]


def test_jsonl_is_an_object_a_line_oldest_first(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)
    ran = cli("events", "-o", "jsonl")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["at"] for each in told] == sorted(each["at"] for each in told)
    assert {
        **{"at": "2026-11-24T14:02:58.000000Z", "event": "failed", "id": "f", "state": "failed"},
        **{"attempt": 1, "worker": "worker-1", "exit_code": 1, "cpu_s": 3.2},
        **{"run_at": "2026-11-24T14:03:36.000000Z", "error": "no such file \x1b[31m"},
    } in told
    assert ("d", "revived") in kinds(ran.out)
    assert ("h", "held") in kinds(ran.out)


def test_since_type_and_limit(cli: Run, jobs: Jobs, now: Passes) -> None:
    some(jobs, now)
    assert {job_id for job_id, _ in kinds(cli("events", "-o", "jsonl", "--since", "30s").out)} == {"f", "d", "h"}
    assert kinds(cli("events", "-o", "jsonl", "--type", "died, failed").out) == [("f", "failed"), ("d", "died")]
    assert kinds(cli("events", "-o", "jsonl", "--type", "died", "--type", "held").out) == [("d", "died"), ("h", "held")]
    ran = cli("events", "-o", "jsonl", "--limit", "2")
    assert kinds(ran.out) == kinds(cli("events", "-o", "jsonl").out)[-2:]
    assert ran.err == "(the newest 2; --limit for more)\n"


def test_what_programs_read_is_complete_in_order_and_sorted_on_disk_when_there_is_much_of_it(
    cli: Run, jobs: Jobs, now: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queuectl.index.database.SORTED_IN_MEMORY", 7)
    monkeypatch.setattr("queuectl.cli.commands.events.LINES", 5)
    some(jobs, now)
    ran = cli("events", "-o", "jsonl")
    assert (kinds(ran.out), ran.err) == (kinds(cli("events", "-o", "jsonl", "--limit", "1000").out), "")
    assert len(kinds(ran.out)) == 12
    assert len(cli("events", "-o", "name").out.splitlines()) == 12
    assert cli("events").err == "(the newest 5; --limit for more)\n"
    assert cli("events", "-o", "jsonl", "--limit", "3").err == "(the newest 3; --limit for more)\n"


def test_the_newest_are_found_among_many_without_reading_them_all(
    cli: Run, jobs: Jobs, now: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        jobs.pending(f"p{number:02}")
        now(1)
    read = []
    get = type(jobs.queue).get
    monkeypatch.setattr(type(jobs.queue), "get", lambda self, job_id: read.append(job_id) or get(self, job_id))
    out = cli("events", "-o", "jsonl", "-n", "3").out
    assert [job_id for job_id, _ in kinds(out)] == ["p37", "p38", "p39"]
    assert len(read) <= 5


def test_what_only_a_supervisor_tells_is_said_so(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    ran = cli("events", "--type", "rejected,enqueued", "-o", "jsonl")
    assert kinds(ran.out) == [("a", "enqueued")]
    assert ran.err == "(rejected: shown only as it happens, with -f)\n"


def test_other_formats(cli: Run, jobs: Jobs, now: Passes) -> None:
    jobs.completed("a")
    lines = cli("events", "-o", "tsv").out.splitlines()
    assert lines[0] == "at\tevent\tid\tstate\tattempt\tworker\texit_code"
    assert lines[-1].split("\t")[1:] == ["completed", "a", "completed", "1", "worker-1", "0"]
    assert cli("events", "-o", "name").out == "a\na\na\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--type", "complete"], 'there is no event "complete"; did you mean "completed"?'),
        (["--type", "xyzzy"], "hint: there are enqueued, started"),
        (["--since", "soon"], "--since must be a time"),
        (["--limit", "0"], "--limit must be 1 or more"),
    ],
)
def test_mistakes_are_told(cli: Run, words: list[str], says: str) -> None:
    ran = cli("events", *words)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_every_event_of_a_history_is_told_with_the_state_it_leads_to(jobs: Jobs) -> None:
    assert set(EVENTS) - {"compacted"} <= set(KINDS)
    assert set(SENTENCES) <= set(KINDS)
    assert set(STATE_AFTER) == {"started", "signalled", *LEADS_TO}
    jobs.held("h")
    with jobs.spool.take("h") as claim:
        claim.edit({"priority": 5})
    assert [(event.kind, event.state) for event in events_of(jobs.queue.get("h"))][-1] == ("edited", "held")
