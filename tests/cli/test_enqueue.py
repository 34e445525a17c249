"""enqueue: one job, what is stored, what is refused and how that is told."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.client.queue import Queue
from queuectl.job.fields import UnknownField
from tests.cli.support import NOW, Jobs, Ran, Run, refused, stored

ROOT = Path(__file__).resolve().parents[2]

Until = Callable[[Callable[[], bool]], None]


# --- what is stored


def test_json_as_the_users_of_the_original_type_it(cli: Run, home: Path) -> None:
    ran = cli("enqueue", '{"id":"job1","command":"echo hello","max_retries":2}')
    assert (ran.code, ran.out, ran.err) == (0, "job1\n", "")
    job = stored(home, "job1")
    assert (job["command"], job["max_retries"], job["history"]) == ("echo hello", 2, [])


def test_flags_as_the_users_of_the_original_type_them(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "--command", "echo hello", "--id", "job2", "--max-retries", "5")
    assert ran.out == "job2\n"
    assert (stored(home, "job2")["command"], stored(home, "job2")["max_retries"]) == ("echo hello", 5)


def test_a_fresh_id_is_printed_and_nothing_else(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "--command", "true")
    assert ran.err == ""
    assert stored(home, ran.out)["id"] == ran.out.strip()


def test_arguments_after_two_dashes_are_stored_as_they_are(cli: Run, home: Path) -> None:
    ran = cli("enqueue", "--", "printf", "%s\\n", "two words", "--json", "$HOME")
    job = stored(home, ran.out)
    assert job["argv"] == ["printf", "%s\\n", "two words", "--json", "$HOME"]
    assert "command" not in job


def test_the_place_where_it_was_typed_is_stored(
    cli: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/some/bin")
    monkeypatch.setenv("SECRET", "not asked for")
    job = stored(home, cli("enqueue", "--command", "true").out)
    assert (job["cwd"], job["env"]) == (str(tmp_path), {"PATH": "/some/bin"})


@pytest.mark.parametrize(
    ("pwd", "kept"),
    [
        ("{tmp}/current", "{tmp}/current"),
        ("{tmp}/release", "{tmp}/release"),
        ("{tmp}/elsewhere", "{tmp}/release"),
        ("{tmp}/../{name}/current", "{tmp}/release"),
        ("current", "{tmp}/release"),
        ("", "{tmp}/release"),
        (None, "{tmp}/release"),
    ],
)
def test_a_place_behind_a_symbolic_link_is_stored_as_it_was_typed(
    cli: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pwd: str | None, kept: str
) -> None:
    """The job runs in the release that is current when it starts. What $PWD says counts where it names this directory."""
    (tmp_path / "release/sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "current").symlink_to("release")
    monkeypatch.chdir(tmp_path / "release")
    if pwd is None:
        monkeypatch.delenv("PWD", raising=False)
    else:
        monkeypatch.setenv("PWD", pwd.format(tmp=tmp_path, name=tmp_path.name))
    kept = kept.format(tmp=tmp_path)
    assert stored(home, cli("enqueue", "--command", "true").out)["cwd"] == kept
    for typed, place in (
        ("sub", f"{kept}/sub"),
        ("./sub/.", f"{kept}/sub"),
        (".", kept),
        ("../release", f"{kept}/../release"),
    ):
        assert stored(home, cli("enqueue", "--command", "true", "--cwd", typed).out)["cwd"] == place
    link = f"{tmp_path}/current"
    assert stored(home, cli("enqueue", "--command", "true", "--cwd", link).out)["cwd"] == link


def test_a_tilde_that_no_shell_has_expanded_is_the_home_directory(
    cli: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x").mkdir()
    assert stored(home, cli("enqueue", "--command", "true", "--cwd", "~/x").out)["cwd"] == f"{tmp_path}/x"
    refused(
        cli("enqueue", "--command", "true", "--cwd", "~nobody-at-all/x"),
        6,
        'queuectl: "~nobody-at-all/x": no such user exists',
    )


@pytest.mark.parametrize(
    ("cwd", "message"),
    [
        ("nosuch", "there is no directory {tmp}/nosuch"),
        ("~/nosuch", "there is no directory {tmp}/nosuch"),
        ("plain", "{tmp}/plain is not a directory"),
        ("plain/x", "cannot use directory {tmp}/plain/x: Not a directory"),
        ("loop", "cannot use directory {tmp}/loop: Too many levels of symbolic links"),
    ],
)
def test_a_directory_that_cannot_be_used_is_said_when_the_job_is_enqueued(
    cli: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cwd: str, message: str
) -> None:
    """Also one that is named in JSON, or in a line of a file. What will be there later is accepted on demand."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "plain").touch()
    (tmp_path / "loop").symlink_to("loop")
    message = message.format(tmp=tmp_path)
    refused(cli("enqueue", "--command", "true", "--cwd", cwd), 6, f"queuectl: {message}")
    text = json.dumps({"command": "true", "cwd": str(tmp_path / cwd.removeprefix("~/"))})
    refused(cli("enqueue", text), 6, f"queuectl: {message}")
    (tmp_path / "jobs").write_text(f'{text}\n{{"command": "true"}}\n')
    ran = cli("enqueue", "--file", "jobs")
    assert (ran.code, len(ran.out.split())) == (7, 1)
    assert f"line 1: {message}" in ran.err
    assert cli("enqueue", "--command", "true", "--cwd", cwd, "--no-check").code == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["echo hi"],
            "there is no program \"echo hi\" in PATH; did you mean -- echo hi, or --command 'echo hi'?",
        ),
        (["echo hi", "a b"], "did you mean -- echo hi 'a b', or --command 'echo hi '\"'\"'a b'\"'\"''?"),
        (["cd", "/"], "there is no program \"cd\" in PATH; if it is a command of the shell: --command 'cd /'"),
        (["./run.sh"], "there is no program {tmp}/run.sh; if it is a command of the shell: --command ./run.sh"),
        (["./plain"], "{tmp}/plain is not executable: chmod +x {tmp}/plain"),
        (["/usr"], "/usr is a directory, not a program"),
    ],
)
def test_a_program_that_is_not_there_is_said_when_the_job_is_enqueued(
    cli: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], message: str
) -> None:
    """It may be there when the job starts, so it is a warning; in a file of jobs once, with its line."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "plain").touch()
    message = message.format(tmp=tmp_path)
    text = json.dumps({"argv": argv})
    for line in (["--", *argv], [text]):
        ran = cli("enqueue", *line)
        assert stored(home, ran.out)["argv"] == argv
        assert ran.err.startswith("queuectl: ")
        assert message in ran.err
    assert cli("enqueue", "--no-check", "--", *argv).err == ""
    (tmp_path / "jobs").write_text(f'{{"command": "true"}}\n{text}\n{text}\n')
    ran = cli("enqueue", "--file", "jobs")
    assert (ran.code, len(ran.out.split())) == (0, 3)
    assert [line.split(": ")[1] for line in ran.err.splitlines() if message in line] == ["line 2"]


def test_a_program_is_looked_for_where_the_job_will_look_for_it(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the job's own PATH, relative to its directory."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (tmp_path / "work/bin").mkdir(parents=True)
    (tmp_path / "work/bin/tool").touch(mode=0o755)
    assert 'no program "tool" in PATH' in cli("enqueue", "--", "tool").err
    assert cli("enqueue", "--env", f"PATH={tmp_path}/work/bin", "--", "tool").err == ""
    assert cli("enqueue", "--env", "PATH=bin", "--cwd", "work", "--", "tool").err == ""
    assert cli("enqueue", "--cwd", "work", "--", "bin/tool").err == ""
    assert 'no program "ls" in PATH' in cli("enqueue", "--env", "PATH=/nowhere", "--", "ls").err


def test_entries_of_path_that_are_not_utf_8_are_left_out_and_said(
    queuectl: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was asked for, by --env or --pass-env, is refused for it."""
    monkeypatch.setenv("PATH", "/caf\udce9/bin:/usr/bin:/bin:\udcff")
    monkeypatch.setenv("OTHER", "\udcff")
    ran = queuectl("enqueue", "--command", "true")
    assert (ran.code, stored(home, ran.out)["env"]) == (0, {"PATH": "/usr/bin:/bin"})
    assert (
        ran.err == "queuectl: PATH is kept without /caf\\xe9/bin:\\xff, which is not UTF-8: a job file cannot hold it\n"
    )
    refused(
        queuectl("enqueue", "--command", "true", "--pass-env", "OTHER"),
        6,
        'queuectl: "env" contains bytes that are not UTF-8; a job file cannot hold them',
    )
    monkeypatch.setenv("PATH", "\udcff")
    assert stored(home, queuectl("enqueue", "--command", "true").out)["env"] == {}


def test_a_job_that_names_its_place_keeps_it(cli: Run, home: Path) -> None:
    job = stored(home, cli("enqueue", '{"command":"true","cwd":"/srv","env":{"PATH":"/x","A":"1"}}').out)
    assert (job["cwd"], job["env"]) == ("/srv", {"PATH": "/x", "A": "1"})


def test_variables_are_named_or_passed_on(cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("TOKEN", "t")
    ran = cli("enqueue", '{"command":"true","env":{"A":"0"}}', "--env", "A=1", "--env", "B=x=y", "--pass-env", "TOKEN")
    assert stored(home, ran.out)["env"] == {"PATH": "/bin", "A": "1", "B": "x=y", "TOKEN": "t"}


def test_flags_win_over_the_json(cli: Run, home: Path) -> None:
    ran = cli("enqueue", '{"argv":["true"],"queue":"a","priority":1}', "--command", "false", "--queue", "b")
    job = stored(home, ran.out)
    assert (job["command"], job["queue"], job["priority"]) == ("false", "b", 1)
    assert "argv" not in job


def test_every_flag_reaches_the_job(cli: Run, home: Path, tmp_path: Path, now: Callable[[float], None]) -> None:
    (tmp_path / "sub").mkdir()
    line = (
        "--command true --id all --name N --queue q --priority -5 --tag a --tag b --batch B --delay 10m"
        " --expires 2h --timeout 90 --kill-after 5s --max-retries 0 --backoff-base 1.5 --cwd sub"
        " --leftovers leave --unique key"
    )
    assert cli("enqueue", *line.split()).code == 0
    job = stored(home, "all")
    del job["env"], job["created_at"], job["history"]
    assert job == {
        **{"command": "true", "id": "all", "name": "N", "queue": "q", "priority": -5, "tags": ["a", "b"]},
        **{"batch": "B", "run_at": "2026-11-24T14:11:58.000000Z", "expires_at": "2026-11-24T16:01:58.000000Z"},
        **{"timeout": 90.0, "kill_after": 5.0, "max_retries": 0, "backoff_base": 1.5, "cwd": f"{tmp_path}/sub"},
        **{"leftovers": "leave", "unique_key": "key"},
    }


@pytest.mark.parametrize(
    ("text", "run_at"),
    [("14:30", "2026-11-24T14:30:00"), ("02:00", "2026-11-25T02:00:00"), ("tomorrow 08:00", "2026-11-25T08:00:00")],
)
def test_at_is_a_time_of_day_or_an_instant(
    cli: Run, home: Path, now: Callable[[float], None], text: str, run_at: str
) -> None:
    assert stored(home, cli("enqueue", "--command", "true", "--at", text).out)["run_at"] == f"{run_at}.000000Z"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("2026-11-24 14:00", '--at "2026-11-24 14:00" is in the past (1m 58s ago): the job runs at once'),
        ("today", '--at "today" is in the past (14h 01m ago): the job runs at once'),
        ("1400", '--at "1400" is a number of seconds; the time of day is "14:00"'),
        ("now", None),
        ("3600", None),
        ("14:30", None),
    ],
)
def test_what_is_perhaps_not_meant_by_at_is_said(
    cli: Run, home: Path, now: Callable[[float], None], text: str, warning: str | None
) -> None:
    for more, stdin in (["--command", "true"], b""), (["--lines"], b"true\nfalse\n"):
        ran = cli("enqueue", "--at", text, *more, stdin=stdin)
        assert ran.code == 0
        assert [line for line in ran.err.splitlines() if "Queued" not in line] == (
            [f"queuectl: {warning}"] if warning else []
        )


@pytest.mark.parametrize(
    ("typed", "kept"), [("nightly encode", "nightly encode"), ("Ju\u0308rgen", "J\u00fcrgen"), ("夜間", "夜間")]
)
def test_a_name_is_any_text_of_one_line(cli: Run, home: Path, typed: str, kept: str) -> None:
    """Kept in the form NFC; shown, and found, as it was typed."""
    job_id = cli("enqueue", "--command", "true", "--name", typed).out.strip()
    assert stored(home, job_id)["name"] == kept
    assert f"name       {kept}\n" in cli("show", job_id).out
    assert cli("list", "--search", kept, "-o", "name").out == f"{job_id}\n"
    ran = cli("enqueue", "--command", "true", "--name", "a\x1b[2J")
    words = "text of one line, at most 200 characters, without control characters"
    refused(ran, 6, f'queuectl: "name" must be {words}, not "a\\u001b[2J"')


def test_dry_run_shows_the_job_and_stores_nothing(cli: Run, home: Path) -> None:
    ran = cli("enqueue", '{"command":"true"}', "--priority", "3", "--dry-run")
    assert (ran.code, json.loads(ran.out)["priority"]) == (0, 3)
    assert "nothing was added to the queue" in ran.err
    assert not list(home.glob("spool/pending/*"))


def test_json_output_says_what_was_done(cli: Run) -> None:
    ran = cli("--json", "enqueue", "--command", "true", "--id", "a")
    assert json.loads(ran.out) == {"action": "enqueue", "id": "a", "ids": ["a"], "queued": 1, "known": 0, "refused": []}


# --- what is refused


def test_quotes_that_the_shell_ate_are_shown_with_a_caret_and_a_way_out(cli: Run) -> None:
    ran = cli("enqueue", '{"command": "echo "hi""}')
    assert ran.code == 6
    assert ran.err == (
        "queuectl: the job is not valid JSON: line 1, column 20: expected ',' or '}'\n"
        '            {"command": "echo "hi""}\n'
        "                               ^\n"
        "          hint: did the shell remove the quotes? queuectl enqueue --command 'echo \"hi\"'\n"
    )


def test_a_bare_command_is_told_where_it_goes(cli: Run) -> None:
    ran = cli("enqueue", "echo it's me")
    hint = """to give a shell command, use --command: queuectl enqueue --command 'echo it'"'"'s me'"""
    refused(ran, 6, f"          hint: {hint}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"command":"x","max_retries":"three"}',
            'line 1, column 16: "max_retries" must be an integer from 0 to 1000, not "three"',
        ),
        ('{"command":"x","command":"y"}', 'line 1, column 16: the key "command" occurs twice in one object'),
        ('{"command":"x","history":[]}', 'a new job has no "history"'),
        ('["x"]', 'line 1, column 1: expected an object, as {"command": "..."}'),
        ('{"id":"../x","command":"x"}', 'line 1, column 2: "id" must be letters, digits, '),
        ('{"queue":"q"}', 'line 1, column 1: a job has either "command" or "argv"; this one has neither'),
        ('{"command":"x","cwd":"here"}', 'line 1, column 16: "cwd" must be an absolute path, not "here"'),
        ('{"command":"a\\u0000b"}', "line 1, column 12: this string contains the character NUL"),
    ],
)
def test_a_field_that_does_not_hold_is_named_with_its_place(cli: Run, text: str, message: str) -> None:
    ran = cli("enqueue", text)
    assert ran.code == 6
    assert f"queuectl: the job is not valid: {message}" in ran.err


def test_a_taken_id_is_a_conflict(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    refused(
        cli("enqueue", "--command", "true", "--id", "a"),
        4,
        "queuectl: job a exists already, in done/",
        "          hint: omit the id to have one generated",
    )


@pytest.mark.parametrize(
    ("job", "member", "meant"),
    [
        ('{"command":"x","at":"23:00"}', "at", "run_at"),
        ('{"command":"x","delay":60}', "delay", "run_at"),
        ('{"command":"x","expires":"1h"}', "expires", "expires_at"),
        ('{"command":"x","prio":3}', "prio", "priority"),
        ('{"command":"x","max_retry":3}', "max_retry", "max_retries"),
        ('{"command":"x","working_dir":"/"}', "working_dir", "cwd"),
        ('{"comand":"x"}', "comand", "command"),
        ('{"cmd":"x"}', "cmd", "command"),
    ],
)
def test_a_field_that_looks_misspelt_is_refused_on_every_way_in(
    cli: Run, home: Path, tmp_path: Path, job: str, member: str, meant: str
) -> None:
    """The job would run at once, or otherwise than was meant, without a word."""
    words = f'unknown field "{member}"; did you mean "{meant}"?'
    file = tmp_path / "jobs"
    file.write_text(f"{job}\n")
    for ran in (cli("enqueue", job), cli("enqueue", "-", stdin=job.encode()), cli("enqueue", "--file", str(file))):
        assert ran.code == 6
        assert words in ran.err
    assert words in cli("enqueue", job, "--dry-run").err
    assert words in cli("enqueue", "-", "--dry-run", stdin=job.encode()).err
    with pytest.raises(UnknownField, match=re.escape(words)):
        Queue(home).submit(json.loads(job))
    [refused] = Queue(home).submit_many([json.loads(job)])
    assert words in str(refused)
    assert not list(home.glob("spool/pending/*"))


def test_a_time_as_a_member_is_refused_with_how_to_write_it(cli: Run) -> None:
    assert "hint: run_at is an instant" in cli("enqueue", '{"command":"x","at":"23:00"}').err
    assert "hint: run_at is an instant" in cli("enqueue", "-", stdin=b'{"command":"x","at":"23:00"}').err


def test_members_of_ones_own_are_kept(cli: Run, home: Path) -> None:
    ran = cli("enqueue", '{"command":"x","pid":3,"ticket":"T-7"}')
    assert (ran.code, ran.err) == (0, "")
    assert stored(home, ran.out)["pid"] == 3


def test_bytes_that_are_no_text_are_refused_not_changed(queuectl: Run, home: Path) -> None:
    for line in (["--command", "echo \udcff"], ["--", "ls", "\udcff"], ["--command", "true", "--env", "A=\udcff"]):
        ran = queuectl("enqueue", *[os.fsencode(word) for word in line])  # type: ignore[arg-type]
        assert ran.code == 6
        assert "contains bytes that are not UTF-8" in ran.err
    assert not list(home.glob("spool/pending/*"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            ["--command", "x", "--delay", "soon"],
            '--delay must be a duration: seconds, or as "90s", "10m", "2h30m", "3d", not "soon"',
        ),
        (
            ["--command", "x", "--at", "25:00"],
            '--at must be a time of day that exists (there is no 25:00), not "25:00"',
        ),
        (["--command", "x", "--delay", "1m", "--at", "2m"], "--delay and --at cannot be used together"),
        (
            ["--command", "x", "--delay", "2h", "--expires", "1h"],
            '--expires "1h" is not after --delay "2h": the job could never start',
        ),
        (
            ["--command", "x", "--at", "tomorrow", "--expires", "2m"],
            '--expires "2m" is not after --at "tomorrow": the job could never start',
        ),
        (
            ["--command", "x", "--expires", "2020-01-01"],
            '--expires "2020-01-01" is not after now (2519d 14h ago): the job could never start',
        ),
        (["--command", "x", "--", "y"], "--command and -- PROGRAM cannot be used together"),
        (["--command", "x", "--env", "A"], '--env must be NAME=VALUE, not "A"'),
        (
            ["--command", "x", "--env", "export Z=2"],
            '--env has the name "export Z": the name of a variable must not contain spaces or control characters',
        ),
        (
            ["--command", "x", "--pass-env", "NOT_THERE"],
            "--pass-env NOT_THERE: this variable is not set in your environment",
        ),
        (["--command", "x", "--backoff-base", "two"], '--backoff-base must be a number, not "two"'),
        (["-", "--command", "x"], "jobs are read from a file; JSON, --command and -- PROGRAM cannot be used with it"),
        (["-", "--id", "x"], "--id and --unique apply to one job; in a file each job has its own"),
        (["-", "--follow"], "--follow shows the output of one job; for several use --wait"),
        ([], "nothing to enqueue: give a JSON object, -, --command, --file or -- PROGRAM"),
        (["--after", "a", "echo hi"], 'nothing to enqueue: --after takes ids, and "echo hi" is none'),
    ],
)
def test_flags_that_make_no_sense_are_a_usage_error(
    cli: Run, now: Callable[[float], None], line: list[str], message: str
) -> None:
    refused(cli("enqueue", *line), 2, f"queuectl: {message}")


def test_errors_are_problem_objects_with_json(cli: Run) -> None:
    ran = cli("enqueue", "--json", '{"command": "echo "hi""}')
    problem = json.loads(ran.err)
    assert (ran.code, ran.out) == (6, "")
    assert problem["type"] == "urn:queuectl:problem:invalid-data"
    assert problem["title"] == "invalid data"
    assert problem["exit_code"] == 6
    assert problem["detail"].startswith("the job is not valid JSON: line 1")
    assert problem["excerpt"].endswith("^")


def test_without_arguments_on_a_terminal_the_help_is_shown(terminal: Callable[..., Ran]) -> None:
    ran = terminal("enqueue")
    assert ran.code == 0
    assert ran.out.startswith("usage: queuectl enqueue")


TOO_LATE = [
    ('be in the future, not "2026-11-24T14:01:58Z"', {}),
    (
        'be after "run_at" ("2026-11-25T00:00:00Z"), not "2026-11-24T20:00:00Z"',
        {"expires_at": "2026-11-24T20:00:00Z", "run_at": "2026-11-25T00:00:00Z"},
    ),
]


@pytest.mark.parametrize(("expected", "fields"), TOO_LATE)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_job_that_would_expire_before_it_can_start_is_refused(
    cli: Run, home: Path, now: Callable[[float], None], expected: str, fields: dict[str, str], more: list[str]
) -> None:
    """Alone and in a file; a file that is dropped may say so, and is dead at once."""
    text = json.dumps({"command": "true", "expires_at": "2026-11-24T14:01:58Z", **fields})
    message = f'"expires_at" must {expected}: the job could never start'
    refused(cli("enqueue", text, *more), 6, f"queuectl: {message}")
    refused(cli("enqueue", "-", *more, stdin=text.encode()), 6, f"queuectl: line 1: {message}")
    assert not list(home.glob("spool/pending/*"))


# --- unique


def test_a_unique_key_that_is_taken_is_refused_or_skipped(cli: Run) -> None:
    first = cli("enqueue", "--command", "true", "--unique", "nightly").out
    again = cli("enqueue", "--command", "true", "--unique", "nightly")
    assert again.code == 4
    assert f"held by job {first.strip()}" in again.err
    skipped = cli("enqueue", "--command", "true", "--unique", "nightly", "--on-conflict", "skip")
    assert (skipped.code, skipped.out) == (0, first)
    said = cli("enqueue", "--command", "true", "--unique", "nightly", "--on-conflict", "skip", "--json")
    job_id = first.strip()
    counts = {"queued": 0, "known": 1, "refused": []}
    assert json.loads(said.out) == {"action": "enqueue", "id": job_id, "ids": [job_id], **counts}


def test_skipping_does_not_hide_a_taken_id(cli: Run, jobs: Jobs) -> None:
    jobs.completed("a")
    line = ["--command", "true", "--id", "a", "--unique", "k", "--on-conflict", "skip"]
    assert cli("enqueue", *line).code == 4


# --- what it costs, and what a person sees


def test_a_terminal_is_told_how_many_wait_and_that_nobody_works(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.pending("a")
    ran = terminal("enqueue", "--command", "true", "--id", "b")
    assert ran.out == "b\nQueued b (1 ahead), but no worker is running\nStart some: queuectl worker start --count 2\n"
    assert terminal("enqueue", "--command", "true", "--id", "c", "-q").out == "c\n"
    later = terminal("enqueue", "--command", "true", "--id", "d", "--delay", "10m")
    assert "Queued d, runs in 10m 00s, but" in later.out


def test_jobs_ahead_are_counted_up_to_a_number_and_a_plus_says_so(terminal: Callable[..., Ran], jobs: Jobs) -> None:
    jobs.pending("a")
    pending = Path(jobs.queue.layout.directory("pending"))
    for number in range(9_998):
        (pending / f"{number}.json").touch()
    assert "(9,999 ahead)" in terminal("enqueue", "--command", "true", "--id", "b").out
    assert "(10,000+ ahead)" in terminal("enqueue", "--command", "true", "--id", "c").out


assert NOW  # the clock that `now` holds still


def test_a_flag_that_does_not_hold_is_told_with_the_only_line(cli: Run) -> None:
    ran = cli("enqueue", "-", "--priority", "5000", stdin=b'{"command":"a"}\n')
    refused(ran, 6, 'queuectl: line 1: "priority" must be an integer from -1000 to 1000, not 5000')


@pytest.mark.parametrize("option", ["--delay", "--timeout", "--kill-after", "--at", "--expires"])
def test_a_time_that_is_too_far_away_is_refused_as_typed(cli: Run, option: str) -> None:
    ran = cli("enqueue", "--command", "true", option, "99999999999d")
    assert (ran.code, ran.out) == (2, "")
    assert f"{option} must " in ran.err
    assert '99999999999d"' in ran.err


@pytest.mark.parametrize("text", ["{command: oops}", '{"command": "a', "'{}'", "", '{"command": "a",}'])
def test_a_mistake_in_the_json_is_explained_in_a_process_of_its_own(queuectl: Run, cli: Run, text: str) -> None:
    """Where nothing else has imported what the explanation needs."""
    alone, here = queuectl("enqueue", text), cli("enqueue", text)
    assert (alone.code, alone.err) == (here.code, here.err)
    assert alone.code == 6
