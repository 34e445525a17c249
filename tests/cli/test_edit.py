"""edit: fields of waiting jobs, as they are typed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run, refused


@pytest.mark.parametrize(
    ("typed", "field", "value"),
    [
        ("priority=5", "priority", 5),
        ("max_retries=0", "max_retries", 0),
        ("timeout=10m", "timeout", 600.0),
        ("timeout=90", "timeout", 90.0),
        ("backoff_base=1.5", "backoff_base", 1.5),
        ("queue=night", "queue", "night"),
        ("name=nightly encode", "name", "nightly encode"),
        ("command=echo a=b", "command", "echo a=b"),
        ("command=7", "command", "7"),
        ("tags=a,b", "tags", ["a", "b"]),
        ('tags=["a b"]', "tags", ["a b"]),
        ('env={"A": "b"}', "env", {"A": "b"}),
        ("run_at=2027-01-01T00:00:00Z", "run_at", "2027-01-01T00:00:00Z"),
    ],
)
def test_a_field_is_set(cli: Run, jobs: Jobs, typed: str, field: str, value: object) -> None:
    jobs.pending("a")
    ran = cli("edit", "a", "--set", typed)
    assert (ran.code, ran.out, ran.err) == (0, "", "Edited a\n")
    assert jobs.queue.get("a").fields[field] == value


def test_times_are_read_as_the_options_of_enqueue_read_them(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a")
    assert cli("edit", "a", "--set", "delay=2h", "--set", "expires=3d").code == 0
    job = jobs.queue.get("a")
    assert job.run_at == pytest.approx(time.time() + 7200, abs=60)
    assert job.expires_at == pytest.approx(time.time() + 3 * 86400, abs=60)


def test_a_field_is_removed(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", priority=7, timeout=5)
    assert cli("edit", "a", "--unset", "priority", "--set", "max_retries=1").code == 0
    assert {name: jobs.queue.get("a").fields.get(name) for name in ("priority", "timeout", "max_retries")} == {
        "priority": None,
        "timeout": 5,
        "max_retries": 1,
    }


@pytest.mark.parametrize(
    ("line", "code", "lines"),
    [
        (
            [],
            2,
            [
                "queuectl: nothing to change",
                "          hint: queuectl edit ID --set priority=5 --unset timeout; queuectl edit ID opens one job in $EDITOR",
            ],
        ),
        (
            ["--set", "priority"],
            2,
            ['queuectl: --set must be FIELD=VALUE, not "priority"', "          hint: to remove a field: --unset FIELD"],
        ),
        (["--set", "prio=5"], 6, ['queuectl: unknown field "prio"; did you mean "priority"?']),
        (
            ["--set", "colour=red"],
            6,
            [
                'queuectl: unknown field "colour"',
                "          hint: a member of your own can only be given in a mapping or a JSON object",
            ],
        ),
        (["--set", "id=b"], 6, ['queuectl: "id" cannot be changed']),
        (["--set", "state=dead"], 6, ['queuectl: "state" is set by QueueCTL and cannot be given here']),
        (["--set", "priority=1", "--unset", "priority"], 2, ['queuectl: "priority" is changed twice']),
        (
            ["--set", "priority=high"],
            6,
            ['queuectl: "priority" must be an integer from -1000 to 1000, not "high"'],
        ),
        (
            ["--set", "env={"],
            2,
            ['queuectl: --set env= must be JSON, not "{"', """          hint: --set 'env={"LANG": "C"}'"""],
        ),
        (
            ["--priority", "5"],
            2,
            ["queuectl: unknown option --priority", "          hint: to change a field: --set priority=VALUE"],
        ),
    ],
)
def test_what_cannot_be_changed_so_is_said_before_anything_is(
    cli: Run, jobs: Jobs, line: list[str], code: int, lines: list[str]
) -> None:
    for job_id in ("a", "b"):
        jobs.pending(job_id)
    refused(cli("edit", "a", "b", *line), code, *lines)
    assert [jobs.queue.get(job_id).fields.get("priority") for job_id in ("a", "b")] == [None, None]


def test_selectors_choose_waiting_jobs(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", queue="night")
    jobs.held("h", queue="night")
    jobs.dead("d", queue="night")
    assert cli("edit", "--queue", "night", "--set", "priority=5").code == 2
    made = json.loads(cli("edit", "--queue", "night", "--set", "priority=5", "--yes", "--json").out)
    assert (made["action"], made["matched"], sorted(made["ids"])) == ("edit", 2, ["a", "h"])
    assert [jobs.queue.get(job_id).fields.get("priority") for job_id in ("a", "h", "d")] == [5, 5, None]


def test_a_job_that_has_ended_is_a_conflict(cli: Run, jobs: Jobs) -> None:
    jobs.dead("a")
    ran = cli("edit", "a", "--set", "priority=5")
    assert (ran.code, "dead" in ran.err) == (4, True)


def test_a_new_directory_must_exist_and_a_start_in_the_past_is_a_warning(cli: Run, jobs: Jobs) -> None:
    jobs.pending("a", run_at="2099-01-01T00:00:00Z")
    ran = cli("edit", "a", "--set", "cwd=/nowhere")
    refused(ran, 6, "queuectl: there is no directory /nowhere")
    assert ran.err.splitlines()[1].endswith("hint: to skip this check: --no-check")
    assert jobs.queue.get("a").fields.get("cwd") != "/nowhere"
    assert cli("edit", "a", "--set", "cwd=/nowhere", "--no-check").code == 0
    assert cli("edit", "a", "--unset", "cwd").code == 0
    ran = cli("edit", "a", "--set", "at=yesterday")
    assert (ran.code, "ago): the job runs at once" in ran.err) == (0, True)
    ran = cli("edit", "--all", "--set", "cwd=/nowhere", "--no-check")
    assert "queuectl edit --all --set cwd=/nowhere --no-check --yes" in ran.err


# --- in an editor


def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *rounds: str) -> Path:
    """Have `edit` run these shell commands one after the other, each with the file as $1; the file that counts them."""
    count = tmp_path / "rounds"
    script = tmp_path / "my editor"
    cases = "\n".join(f"{number}) {each};;" for number, each in enumerate(rounds))
    script.write_text(
        f'#!/bin/sh\nn=$(cat {count} 2>/dev/null || echo 0); echo $((n+1)) > {count}; cp "$1" {tmp_path}/seen-$n\n'
        f"case $n in\n{cases}\n*) exit 9;; esac\n"
    )
    script.chmod(0o700)
    monkeypatch.setenv("EDITOR", f"'{script}'")
    monkeypatch.delenv("VISUAL", raising=False)
    return count


def test_without_changes_the_job_is_opened_in_the_editor(
    cli: Run, jobs: Jobs, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.pending("a", 'echo "ü"', priority=7, env={"A": "b"})
    editor(monkeypatch, tmp_path, """sed -i 's/"priority": 7/"timeout": "10m"/; s/"b"/"c"/' "$1" """)
    ran = cli("edit", "a")
    assert (ran.code, ran.out, ran.err) == (0, "", "Edited a\n")
    job = jobs.queue.get("a")
    assert (job.fields["timeout"], job.fields["env"], job.priority) == (600, {"A": "c"}, 0)
    assert job.command == 'echo "ü"'
    seen = (tmp_path / "seen-0").read_text()
    assert json.loads("".join(line for line in seen.splitlines() if line[:1] != "#")).keys() >= {"command", "env"}
    assert '"id"' not in seen
    assert list((home / "spool/tmp").iterdir()) == []


def test_an_error_is_shown_and_the_editor_opens_again(
    cli: Run, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs.pending("a")
    count = editor(
        monkeypatch,
        tmp_path,
        """sed -i 's/true/true, "/' "$1" """,
        """sed -i 's/true, "/true","priority":5000,"x":"/' "$1" """,
        """sed -i 's/5000/5/' "$1" """,
    )
    ran = cli("edit", "a")
    assert (ran.code, count.read_text()) == (0, "3\n")
    assert jobs.queue.get("a").priority == 5
    assert "must be an integer from -1000 to 1000, not 5000" in ran.err
    assert "# " in (tmp_path / "seen-1").read_text()
    assert "not 5000" in (tmp_path / "seen-2").read_text()


@pytest.mark.parametrize(
    ("rounds", "code", "line"),
    [
        (["true"], 0, "a has been left as it was: it is pending"),
        (["echo '# nothing' > \"$1\""], 0, "a has been left as it was: it is pending"),
        (["exit 3"], 1, "ended with exit code 3; the job is as it was"),
        (["kill -9 $$"], 1, "was killed by signal 9; the job is as it was"),
        (['rm "$1"'], 3, "has removed the file"),
        (['echo "{" > "$1"', "true"], 6, "line "),
        (['echo "[1]" > "$1"', "true"], 6, "expected an object"),
        (["""sed -i 's/"command"/"comand"/' "$1" """, "true"], 6, "comand"),
        (["""printf '{"command": "\\377"}' > "$1" """], 6, "not UTF-8"),
    ],
)
def test_a_job_that_is_not_changed_is_as_it_was(
    cli: Run, jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: list[str], code: int, line: str
) -> None:
    jobs.pending("a")
    before = jobs.spool.layout.job("pending", "a")
    text = Path(before).read_bytes()
    editor(monkeypatch, tmp_path, *rounds)
    ran = cli("edit", "a")
    assert ran.code == code, ran
    assert line in ran.err
    assert Path(before).read_bytes() == text


def test_an_editor_needs_exactly_one_waiting_job(cli: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "false")
    jobs.pending("a")
    jobs.dead("b")
    refused(cli("edit", "b"), 4, "queuectl: job b is dead; only waiting jobs can be edited")
    for typed in (["a", "b"], ["--all"], ["a", "--dry-run"], ["-"]):
        assert cli("edit", *typed).code == 2
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    ran = cli("edit", "a")
    assert ran.code == 1
    assert 'the editor "/no/such/editor" cannot be started: No such file or directory' in ran.err
