"""help: topics say what is so, misspelt ones are recognised, long ones are paged on a terminal."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest

from queuectl import errors
from queuectl.cli import main, topics
from queuectl.cli.commandline import parse
from queuectl.cli.options import HIDDEN, Command
from queuectl.cli.times import duration, instant
from queuectl.cli.topics import TOPICS
from queuectl.cli.verbs import VERBS, load, load_all
from queuectl.executor.environment import PASSED, command_environment
from queuectl.job.job import STATES
from tests.cli.support import NOW, Jobs, Run

WIDEST = 80


def _hidden(command: Command) -> list[str]:
    return [name for names, more in command.options if more["help"] == HIDDEN for name in names]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_told(cli: Run, topic: str) -> None:
    """As text that fits a terminal, and as JSON."""
    ran = cli("help", topic)
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) > 10
    wide = [line for line in ran.out.splitlines() if len(line) > WIDEST and "queuectl " not in line]
    assert topic == "spool-format" or wide == []
    told = json.loads(cli("help", topic, "--json").out)
    assert told == {"topic": topic, "summary": TOPICS[topic], "text": ran.out}


def test_alone_it_lists_commands_and_topics(cli: Run) -> None:
    out = cli("help").out
    assert not [name for name in (*VERBS, *TOPICS) if not re.search(rf"^ +{name.split()[0]} ", out, re.MULTILINE)]
    assert cli("--help").out == out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("exit-code", "exit-codes"), ("enviroment", "environment"), ("enqeue", "enqueue"), ("cro", "cron")],
)
def test_a_misspelt_one_is_recognised(cli: Run, typed: str, meant: str) -> None:
    ran = cli("help", typed)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f'queuectl: no help on "{typed}"; did you mean "{meant}"?\n          hint: queuectl help\n'


@pytest.mark.parametrize("command", [name for name, row in load_all().items() if _hidden(row)])
def test_a_hidden_option_is_not_told_of(cli: Run, command: str) -> None:
    out = cli(*command.split(), "--help").out
    assert "examples:" in out
    assert not [word for word in (*_hidden(load(command)), "SUPPRESS", HIDDEN) if word in out]


def test_a_topic_has_no_commands(cli: Run) -> None:
    assert cli("help", "cron", "start").code == 2


def test_every_exit_code_is_told() -> None:
    """Those of the exceptions, and those that have none."""
    told = [int(code) for code in re.findall(r"^ +(\d+)  ", topics.text_of("exit-codes"), re.MULTILINE)]
    known = {kind.exit_code for kind in (errors.QueueError, *errors.QueueError.__subclasses__())}
    assert told == sorted({0, main.BUG, main.INTERRUPTED, main.CLOSED_PIPE, *known})


def test_every_state_is_told() -> None:
    """In the words and the order of the program."""
    assert tuple(re.findall(r"^  (\w+) {2,}\w", topics.text_of("states"), re.MULTILINE)) == STATES


def test_every_form_of_a_time_is_read() -> None:
    durations, points, *_ = topics.text_of("time-formats").split("\n\n")
    for form in ("90", "0.5", "10m", "2h30m", "3d 4h", "1h30", "500ms", "5min", "5 minutes", "2 hours 30 minutes"):
        assert form in durations
        assert duration("--delay", form) > 0
    forms = ["10m", "now + 10m", "in 10m", "14:30", "2am", "2:30pm", "noon", "midnight", "monday 9:00"]
    forms += ["tomorrow 02:00", "today 18:00", "yesterday", "Nov 24 14:30", "T14:30Z", "14:30 +0100", "@1800000000"]
    forms += [*re.findall(r"2026-[^,\n]+", points), "Tue Nov 24 14:30:15 UTC 2026"]
    assert len(forms) == 23
    for form in forms:
        assert form in points
        assert instant("--at", form, NOW)
    for form in ("-10m", "10m ago"):
        assert form in points
        assert instant("--since", form, NOW, past=True) == NOW - 600


def test_every_variable_of_a_command_is_told(jobs: Jobs) -> None:
    job = jobs.queue.get(jobs.pending("a"))
    told = set(
        re.findall(r"\b([A-Z]+(?:_[A-Z]+)*)\b", topics.text_of("environment").partition("A command starts with")[2])
    )
    assert {*command_environment({}, job, 1, jobs.queue.layout), *PASSED} <= told


def test_the_lines_for_cron_are_command_lines() -> None:
    lines = re.findall(r"^  [0-9*].*?  (queuectl .*)$", topics.text_of("cron"), re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        args = parse(shlex.split(line.removesuffix(">/dev/null"))[1:])
        assert args.quiet or args.handler is load("maintenance").handler


def test_the_format_is_the_document_itself(cli: Run) -> None:
    assert cli("help", "spool-format").out == Path(topics.FORMAT).read_text(encoding="utf-8")
    assert os.path.basename(topics.FORMAT) == "FORMAT.md"
