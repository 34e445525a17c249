"""Every verb in every format when nothing matched, one job did, or many: what is written is what a program expects."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import Jobs, Run

ACTIONS = ("cancel", "retry", "delete", "hold", "release", "edit --set priority=1", "purge", "dlq retry", "dlq delete")
STATE = {"cancel": "pending", "hold": "pending", "release": "held", "edit": "held", "delete": "completed"}
STATE |= {"wait": "completed", "logs": "completed", "purge": "completed", "retry": "dead", "list": "pending"}


def some(jobs: Jobs, verb: str, count: int) -> list[str]:
    state = "dead" if verb.startswith("dlq") else STATE.get(verb.split(maxsplit=1)[0], "completed")
    for number in range(count):
        getattr(jobs, state)(f"job{number}", queue="q")
    return [f"job{number}" for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("verb", ["list", "dlq list", "wait", "logs"])
def test_a_list_is_an_array_lines_or_names(cli: Run, jobs: Jobs, verb: str, count: int) -> None:
    ids = some(jobs, verb, count)
    line = [*verb.split(), *(["--queue", "q"] if count else ["--search", "nothing"])]
    assert sorted(row["id"] for row in json.loads(cli(*line, "--json").out)) == ids
    assert sorted(json.loads(text)["id"] for text in cli(*line, "-o", "jsonl").out.splitlines()) == ids
    assert sorted(cli(*line, "-o", "name").out.split()) == ids
    names, *rows = cli(*line, "-o", "tsv").out.splitlines()
    assert names.split("\t")[0] == "id"
    assert sorted(row.split("\t")[0] for row in rows) == ids


@pytest.mark.parametrize("line", ["dlq list --group", "events", "worker list", "show nosuch", "wait nosuch"])
def test_an_empty_list_is_an_empty_array_and_in_tsv_its_header(cli: Run, home: str, line: str) -> None:
    assert home
    assert json.loads(cli(*line.split(), "--json").out) == []
    assert len(cli(*line.split(), "-o", "tsv").out.splitlines()) == 1
    assert cli(*line.split(), "-o", "name").out == ""


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("verb", ACTIONS)
def test_an_action_is_one_object_with_arrays(cli: Run, jobs: Jobs, verb: str, count: int) -> None:
    """Nothing to do is no error, with --yes and without."""
    ids = some(jobs, verb, count)
    line = [*verb.split(), "--queue", "q"]
    trial = json.loads(cli(*line, "--dry-run", "--json").out)
    assert (trial["dry_run"], trial["matched"]) == (True, count)
    assert cli(*line, "--json").code == (2 if count else 0)
    ran = cli(*line, "--yes", "--json")
    made = json.loads(ran.out)
    assert (ran.code, made["matched"], sorted(made["ids"])) == (0, count, ids)
    assert (made["unchanged"], made["failed"]) == ([], [])


@pytest.mark.parametrize("verb", ACTIONS)
def test_an_action_without_jobs_says_so_in_every_format(cli: Run, jobs: Jobs, verb: str) -> None:
    jobs.pending("other", queue="other")
    for flags in ([], ["--yes"], ["--dry-run"]):
        for form in ("table", "tsv", "name"):
            ran = cli(*verb.split(), "--queue", "nobody", *flags, "-o", form)
            assert (ran.code, ran.out, ran.err) == (0, "", 'No job matches: no job has the queue "nobody"\n')
