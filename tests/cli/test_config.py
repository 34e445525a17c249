"""config: list, get, set, unset, path, check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Jobs, Run


@pytest.fixture
def file(home: Path) -> Path:
    return home / "config.yaml"


def test_every_setting_is_listed(cli: Run, golden: Callable[[str, str], None]) -> None:
    golden("config-list", cli("config", "list").out)


def test_a_listed_setting_says_where_it_comes_from(cli: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("# mine\ntimeout: 2h\n")
    monkeypatch.setenv("QUEUECTL_BACKOFF_BASE", "3")
    rows = {row["name"]: row for row in json.loads(cli("config", "list", "--json").out)}
    assert (rows["timeout"]["value"], rows["timeout"]["origin"]) == (7200, "config.yaml:2")
    assert (rows["backoff_base"]["value"], rows["backoff_base"]["origin"]) == (3, "environment QUEUECTL_BACKOFF_BASE")
    assert rows["poll_interval"]["origin"] == "default"
    assert cli("config", "list", "-o", "name").out.splitlines() == [*rows]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_retries_default", "3"),
        ("max-retries-default", "3"),
        ("max-retries", "3"),
        ("max_retries", "3"),
        ("backoff_base", "2"),
        ("backoff-base", "2"),
        ("poll_interval", "2.0"),
        ("permanent_exit_codes", "[]"),
    ],
)
def test_get_prints_the_value_and_nothing_else(cli: Run, key: str, value: str) -> None:
    ran = cli("config", "get", key)
    assert (ran.code, ran.out, ran.err) == (0, f"{value}\n", "")


def test_get_as_json(cli: Run) -> None:
    got = json.loads(cli("config", "get", "timeout", "--json").out)
    assert (got["name"], got["value"], got["origin"]) == ("timeout", 3600, "default")


def test_set_changes_the_file_and_tells_old_and_new(cli: Run, file: Path) -> None:
    file.write_text("# keep me\nmax_retries_default: 4 # and me\n")
    ran = cli("config", "set", "max-retries", "5")
    assert (ran.code, ran.out, ran.err) == (0, "", "max_retries_default: 4 → 5\n")
    assert file.read_text() == "# keep me\nmax_retries_default: 5 # and me\n"
    assert cli("config", "get", "max_retries").out == "5\n"


def test_set_says_when_something_overrides_it(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUEUECTL_TIMEOUT", "5")
    ran = cli("config", "set", "timeout", "2h")
    assert ran.code == 0
    assert ran.err.splitlines()[-1] == (
        "queuectl: environment QUEUECTL_TIMEOUT overrides this; timeout stays 5 where that is set"
    )


def test_set_and_unset_as_json(cli: Run) -> None:
    assert json.loads(cli("config", "set", "timeout", "90s", "--json").out) == {
        **{"action": "set", "name": "timeout", "old": 3600, "new": 90, "overridden_by": None}
    }
    ran = cli("config", "unset", "timeout", "--json")
    assert json.loads(ran.out)["new"] == 3600
    assert ran.err == "timeout: 90 → 3600 (the default)\n"


def test_an_unknown_setting_is_not_found_and_the_right_one_named(cli: Run) -> None:
    for line in (["get", "backof_base"], ["set", "backof_base", "2"], ["unset", "backof_base"]):
        ran = cli("config", *line)
        assert (ran.code, ran.out) == (3, "")
        assert ran.err == (
            'queuectl: unknown setting "backof_base"; did you mean "backoff_base"?\n'
            "          hint: queuectl config list shows all settings\n"
        )


def test_a_value_that_is_not_accepted_changes_nothing(cli: Run, home: Path) -> None:
    ran = cli("config", "set", "max_retries_default", "four")
    assert (ran.code, ran.err) == (
        *(6, 'queuectl: max_retries_default must be an integer from 0 to 1000, not "four"\n'),
    )
    assert not (home / "config.yaml").exists()


def test_path_says_where_the_file_is_or_would_be(cli: Run, home: Path) -> None:
    assert cli("config", "path").out == f"{home}/config.yaml\n"
    assert json.loads(cli("config", "path", "--json").out) == {"path": f"{home}/config.yaml", "exists": False}
    assert cli("config", "path", "--home", "/x").out == "/x/config.yaml\n"


def test_check_of_a_good_file(cli: Run, file: Path) -> None:
    ran = cli("config", "check")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"{file} does not exist; every setting has its default\n"
    file.write_text("timeout: 5\n")
    assert cli("config", "check").err == f"{file} is valid\n"
    assert json.loads(cli("config", "check", "--json").out) == {
        "valid": True,
        "path": str(file),
        "changed": ["timeout"],
    }


def test_check_of_a_broken_file_names_the_line(cli: Run, file: Path) -> None:
    file.write_text("# one\n\ntimeout: 5\nmax_retries_default: four\n")
    ran = cli("config", "check")
    assert (ran.code, ran.err) == (
        *(6, f'queuectl: {file}:4: max_retries_default must be an integer from 0 to 1000, not "four"\n'),
    )
    assert cli("cancel", "x").code == 6


def test_the_home_is_written_as_its_owner_types_it(cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home.parent))
    (home / "config.yaml").write_text("\n\n\n\n\n\nmax_retries_default: four\n")
    assert cli("config", "check").err.startswith("queuectl: ~/home/config.yaml:7: max_retries_default must be")


def test_a_member_of_a_setting_has_a_dotted_name(cli: Run, home: Path) -> None:
    ran = cli("config", "set", "resources.gpu", "2")
    assert (ran.code, ran.err) == (0, "resources.gpu: none → 2\n")
    assert (home / "config.yaml").read_text().splitlines()[1:] == ["resources:", "  gpu: 2"]
    assert cli("config", "get", "resources.gpu").out == "2\n"
    assert cli("config", "get", "resources").out == '{"gpu": 2}\n'
    assert json.loads(cli("config", "get", "queues.encode.concurrency", "--json").out)["value"] is None
    cli("config", "set", "queues.encode.concurrency", "1")
    assert cli("config", "get", "queues.encode").out == '{"concurrency": 1}\n'
    made = json.loads(cli("config", "unset", "queues.encode.concurrency", "--json").out)
    assert (made["name"], made["old"], made["new"]) == ("queues.encode.concurrency", 1, None)
    assert cli("config", "unset", "resources.gpu").err == "resources.gpu: 2 → none\n"
    assert (home / "config.yaml").read_text().splitlines()[1:] == []


@pytest.mark.parametrize(
    ("typed", "code", "line"),
    [
        (["get", "queues.encode.concurency"], 3, '; did you mean "queues.encode.concurrency"?'),
        (
            ["set", "resources.gpu", "two"],
            6,
            'resources has "gpu", which must be an integer from 0 to 1,000,000, not "two"',
        ),
        (
            ["set", "queues.encode.concurrency", "0"],
            6,
            'queues has "encode.concurrency", which must be an integer from 1',
        ),
        (["unset", "resources.a b"], 3, '"a b" cannot be a name'),
    ],
)
def test_a_wrong_member_is_refused(cli: Run, home: Path, typed: list[str], code: int, line: str) -> None:
    ran = cli("config", *typed)
    assert (ran.code, ran.out) == (code, "")
    assert line in ran.err
    assert not (home / "config.yaml").exists()


def test_a_lower_limit_warns_of_jobs_that_can_never_start(cli: Run, jobs: Jobs) -> None:
    cli("config", "set", "resources.gpu", "2")
    jobs.pending("two", needs={"gpu": 2})
    jobs.pending("heavy", weight=3)
    assert cli("config", "set", "resources.gpu", "3").err == "resources.gpu: 2 → 3\n"
    ran = cli("config", "unset", "resources.gpu")
    assert "1 waiting job (two) can never start, because resources.gpu is lower than what it needs" in ran.err
    assert ran.err.endswith("queuectl dlq retry --error resources.gpu\n")
    assert "can never start" not in cli("config", "set", "resources.gpu", "1").err  # nor could it before
    assert "1 waiting job (heavy) can never start" in cli("queue", "set", "default", "--concurrency", "2").err


def test_check_names_every_schedule_that_is_not_valid(cli: Run, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text('schedules:\n  a: {cron: "x", job: {command: a}}\n  b: {every: 5, job: {comand: a}}\n')
    ran = cli("config", "check")
    assert ran.code == 6
    assert [line for line in ran.err.splitlines() if "schedule a: cron" in line or "schedule b: job" in line] != []
    assert ran.err.count("config.yaml:") == 2
    [other] = json.loads(cli("config", "check", "--json").err)["errors"]
    assert "schedule b" in other["detail"]


def test_check_names_all_errors(cli: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of settings, of variables, of schedules and of their jobs; a command that needs the settings names the first three."""
    job = "{command: a, on_batch_done: b, batch: c, nice: 77, timeout: 10m}"
    text = (
        f"timeout: soon\nfoo: 1\nschedules:\n  a: {{every: 0, job: {{command: x}}}}\n  b: {{every: 5m, job: {job}}}\n"
    )
    (home / "config.yaml").write_text(text)
    monkeypatch.setenv("QUEUECTL_MAX_LOAD", "abc")
    said = cli("config", "check")
    assert said.code == 6
    places = [line.removeprefix("queuectl: ").split(" must")[0] for line in said.err.splitlines() if "hint" not in line]
    of_settings = [
        f'{home}/config.yaml:2: unknown setting "foo"',
        f"{home}/config.yaml:1: timeout",
        "QUEUECTL_MAX_LOAD",
    ]
    assert places[:3] == of_settings
    assert [place.split(":")[1] for place in places[3:]] == ["4", "5", "5", "5"]
    assert ['"on_batch_done"' in places[4], '"nice"' in places[5], '"timeout"' in places[6]] == [True] * 3
