"""The table of commands: every help text, both ways of reading a command line, mistakes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.cli.aliases import ALIASES, MEANT, MEANT_OPTIONS
from queuectl.cli.commandline import Arguments, command_words, parse, read_plainly, read_with_argparse
from queuectl.cli.options import COMMON, Misuse
from queuectl.cli.parser import build_parser
from queuectl.cli.verbs import GROUPS, VERBS, help_of, load, load_all
from tests.cli.support import Run

ALL = [name.split() for name in VERBS]
words = st.sampled_from(ALL)
# Without "--": some versions of argparse make an empty list of --command=--.
values = st.sampled_from(["x", "3", "json", "auto", "end", "-", "a=b", "-x", "-1", "", "two words", "-q", "ä"])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Command lines that are right more often than not."""
    chosen = draw(words)
    options = [*load(" ".join(chosen)).options, *COMMON]
    tokens = [] if draw(st.booleans()) else [draw(st.sampled_from(["--json", "-q", "--debug"]))]
    tokens += chosen
    for names, more in draw(st.lists(st.sampled_from(options), max_size=6)):
        value = draw(values)
        if names[0][0] != "-":
            tokens.append(value)
        elif more.get("action") in ("store_true", "store_const"):
            tokens.append(draw(st.sampled_from(names)))
        elif draw(st.booleans()):
            tokens.append(f"{draw(st.sampled_from(names))}={value}")
        else:
            tokens += [draw(st.sampled_from(names)), value]
    return tokens


@given(command_lines())
@settings(max_examples=400, deadline=None)
def test_a_command_line_read_without_argparse_means_what_it_means_with_it(tokens: list[str]) -> None:
    chosen = command_words(tokens)
    plain = read_plainly(tokens, chosen)
    if plain is not None:
        assert vars(plain) == vars(read_with_argparse(tokens, chosen))


def test_most_command_lines_need_no_argparse() -> None:
    for line in (
        ["enqueue", '{"command": "echo hi"}'],
        ["enqueue", "--command", "echo hi", "--id=a", "--max-retries", "3"],
        ["--json", "list", "--state", "dead,failed", "-n", "5", "-q"],
        ["worker", "stop", "--wait", "--timeout", "10"],
    ):
        assert read_plainly(line, command_words(line)) is not None, line


@pytest.mark.parametrize(
    "tokens",
    [
        ["--json", "list", "-q", "--home", "/x"],
        ["list", "--json", "-q", "--home", "/x"],
        ["--home=/x", "-q", "list", "-o", "json"],
        ["--home", "/x", "list", "--json", "--quiet"],
    ],
)
@pytest.mark.parametrize("read", [read_plainly, read_with_argparse])
def test_common_options_work_before_and_after_the_command(
    tokens: list[str], read: Callable[[list[str], list[str]], Arguments]
) -> None:
    args = read(tokens, ["list"])
    assert (args.output, args.quiet, args.home, args.limit) == ("json", True, "/x", None)


def test_common_options_work_between_the_words_of_a_command() -> None:
    for read in (read_plainly, read_with_argparse):
        args = read(["--json", "worker", "-q", "list", "--home", "/x"], ["worker", "list"])
        assert args is not None
        assert (args.output, args.quiet, args.home) == ("json", True, "/x")


def test_a_list_of_ids_may_be_interrupted_by_options() -> None:
    for read in (read_plainly, read_with_argparse):
        args = read(["show", "a", "-q", "b"], ["show"])
        assert args is not None
        assert args.ids == ["a", "b"]


def test_what_follows_two_dashes_is_the_program_whatever_it_looks_like() -> None:
    args = parse(["enqueue", "-q", "--", "ls", "--json", "--", "-x"])
    assert args.argv == ["ls", "--json", "--", "-x"]
    assert args.output == "table"


@pytest.mark.parametrize("name", ["show", "config set"])
def test_the_hint_of_a_mistake_can_be_typed(name: str) -> None:
    """It names the command as it was typed."""
    with pytest.raises(Misuse) as caught:
        parse(name.split())
    assert caught.value.hint == f"queuectl {name} --help"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("enqeue", 'unknown command "enqeue"; did you mean "enqueue"?'),
        ("xyzzy", 'unknown command "xyzzy"'),
        ("enq", 'unknown command "enq"; did you mean "enqueue"?'),
        ("worker", '"queuectl worker" needs a command: start, stop, list, scale, restart, logs'),
        ("worker sart", 'unknown command "worker sart"; did you mean "worker start"?'),
        ("list --limt 5", 'unknown option --limt; did you mean "--limit"?'),
        ("list --lim 5", 'unknown option --lim; did you mean "--limit"?'),
        ("list --limit five", '--limit must be an integer, not "five"'),
        ("list --limit", '--limit needs a value; write a value that begins with "-" as --limit=VALUE'),
        ("enqueue --kil-after 3 --command true", 'unknown option --kil-after; did you mean "--kill-after"?'),
        ("list --status dead", 'unknown option --status; did you mean "--state"?'),
        ("show", "the following arguments are required: ID"),
        ("--jsn list", 'unknown option --jsn; did you mean "--json"?'),
        ("config set timeout", "the following arguments are required: VALUE"),
        ("cancel --tag a --tag b", '--tag takes one value, not two: "a" and "b"'),
        ("list --since=1h --queue q --since 2h", '--since takes one value, not two: "1h" and "2h"'),
        ("enqueue --command a --command b", '--command takes one value, not two: "a" and "b"'),
        ("enqueue -f a.jsonl --file b.jsonl", '--file takes one value, not two: "a.jsonl" and "b.jsonl"'),
    ],
)
def test_a_mistake_is_told_with_what_was_perhaps_meant(line: str, message: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(line.split())
    assert str(caught.value) == message
    assert "queuectl " in caught.value.hint
    assert caught.value.hint.endswith("--help")


def test_a_job_or_a_state_behind_list_is_told_how_to_see_it() -> None:
    for word, hint in ("pending", "queuectl list --state pending"), ("job-1", "queuectl show job-1"):
        with pytest.raises(Misuse) as caught:
            parse(["list", word])
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    "line",
    ["list --tag a --tag a", "list --state dead --state failed", "enqueue --priority 1 --priority 2 --command a"],
)
def test_an_option_may_be_repeated_where_no_job_is_lost_or_added_by_it(line: str) -> None:
    assert vars(parse(line.split()))["priority" if "--priority" in line else "all"] in (2, False)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        *[("stop", "worker stop"), ("start", "worker start"), ("restart", "worker restart"), ("rerun a", "retry")],
        *[("jobs", "list"), ("logs", ""), ("worker status", "worker list"), ("dlq purge", "dlq delete")],
    ],
)
def test_words_of_other_programs_lead_to_the_command(line: str, meant: str) -> None:
    if not meant:
        assert command_words(line.split()) == line.split()
        return
    with pytest.raises(Misuse) as caught:
        command_words(line.split())
    typed = line.removesuffix(" a")
    assert str(caught.value) == f'unknown command "{typed}"; did you mean "{meant}"?'
    assert caught.value.hint == f"queuectl {meant} --help"


def test_what_is_suggested_exists() -> None:
    for typed, meant in (*ALIASES.items(), *MEANT.items()):
        assert typed not in (*VERBS, *GROUPS), typed
        assert meant.startswith("--") or command_words(meant.split()), meant
    for (command, option), meant in MEANT_OPTIONS.items():
        known = {name for each in VERBS for names, _ in load(each).options for name in names if command in ("", each)}
        known |= {name for names, _ in COMMON for name in names}
        assert meant in known, option
        assert not command or option not in known, option


@pytest.mark.parametrize(("alias", "command"), ALIASES.items())
def test_an_alias_is_the_command_and_help_tells_of_it(alias: str, command: str, cli: Run) -> None:
    typed = ["-q", *alias.split()]
    assert command_words(typed) == command.split()
    needs = ["x"] if command.rsplit(maxsplit=1)[-1] in ("cancel", "delete") else []
    assert vars(parse([*typed, *needs])) == vars(parse(["-q", *command.split(), *needs]))
    assert f"(also: {alias.rsplit(maxsplit=1)[-1]})" in " ".join(cli(*alias.split(), "--help").out.split())


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("enqueue echo hi", "queuectl enqueue -- echo hi"),
        ("add echo hi", "queuectl enqueue -- echo hi"),
        ("enqueue ls -la /", "queuectl enqueue -- ls -la /"),
        ("--json enqueue --queue q echo 'a b' --x", "queuectl --json enqueue --queue q -- echo 'a b' --x"),
        ("run make all", "queuectl run -- make all"),
    ],
)
def test_a_command_typed_as_to_a_shell_is_told_where_it_goes(line: str, hint: str) -> None:
    with pytest.raises(Misuse) as caught:
        parse(shlex.split(line))
    assert (str(caught.value), caught.value.hint) == ("write the command to run after --", hint)


def test_nothing_but_the_standard_library_is_imported() -> None:
    """The man page is built before psutil, filelock and yaml are there."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "from queuectl.cli import parser, topics\n"
        "parser.build_parser(), [topics.text_of(topic) for topic in topics.TOPICS]\n"
        "print(*{name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == ["__main__", "queuectl"]


def test_no_line_of_help_is_taken_for_a_macro_of_the_man_page() -> None:
    texts = [*GROUPS.values()]
    for name, command in load_all().items():
        texts += [help_of(name), *command.examples, *(more.get("help", "") for _, more in command.options)]
    assert all(line[:1] not in (".", "'") for text in texts for line in text.splitlines())
    assert all(more.get("help") for command in load_all().values() for _, more in command.options)


@pytest.mark.parametrize("name", VERBS)
def test_every_command_has_a_handler_and_two_to_four_examples_that_can_be_read(name: str) -> None:
    assert callable(load(name).handler)
    assert 2 <= len(load(name).examples) <= 4
    for example in load(name).examples:
        for part in example.replace("$(", "| ").replace(")", "").split("|"):
            tokens = shlex.split(part.strip())
            if tokens[0] == "queuectl":
                assert parse(tokens[1:]).handler, example


@pytest.mark.parametrize("name", [*VERBS, *GROUPS, ""])
def test_every_help_can_be_shown_and_fits_eighty_columns(name: str, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = cli(*name.split(), "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert shown.out.startswith(f"usage: queuectl {name}".rstrip())
    assert max(map(len, shown.out.splitlines())) <= 80
    if name:
        assert cli("help", *name.split()).out == shown.out


def test_the_parsers_of_all_commands_and_of_one_are_the_same() -> None:
    whole, branch = build_parser(), build_parser({"worker stop": load("worker stop")})
    line = ["--json", "worker", "stop", "--id", "x"]
    assert whole.parse_args(line) == branch.parse_args(line)
