"""map: one job per item of the input, whatever characters an item has."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli.items import Csv, read_items
from queuectl.cli.job_input import CHUNK_BYTES
from queuectl.cli.replacement import Replacement, parts_of
from queuectl.errors import InvalidData, UsageError
from queuectl.job.job_file import MAX_BYTES
from tests.cli.support import Jobs, Run, refused, stored
from tests.support.supervised import Supervised

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "a b",
    "it's",
    'q"q',
    "-rf",
    "$(touch x)",
    "`id`",
    "n\nl",
    "ü€",
    "{}",
    "{.}",
    "*",
    "\\",
    "a;b",
    " ",
    "#c",
    "\t",
    "~",
)


def argvs(home: Path, out: str) -> list[list[str]]:
    return [stored(home, job_id)["argv"] for job_id in out.split()]


def test_find_print0_over_names_with_any_character(
    supervised: Callable[..., Supervised], environ: dict[str, str], tmp_path: Path
) -> None:
    """Each file is copied by a job: with `argv`, and by a shell command."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(name)
    supervised(poll_interval=0.05).start(2)
    for number, command in enumerate(
        ("-- cp -- {} ../out0/", '-- sh -c \'cat < "$1" > "../out1/$1"\' sh {}', "'cat < {} > ../out2/{/}'")
    ):
        out = tmp_path / f"out{number}"
        out.mkdir()
        line = f"find . -type f -print0 | queuectl map -0 --wait -q --max-retries 0 {command}"
        done = subprocess.run(
            ["sh", "-c", line], cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done
        assert {path.name: path.read_text() for path in out.iterdir()} == {name: name for name in NAMES}
    assert not list(tmp_path.rglob("x")), "a name was executed"


PATHS = {
    "d/a.tar.gz": ("d/a.tar", "a.tar.gz", "d", "a.tar"),
    "a.b": ("a", "a.b", ".", "a"),
    "d.x/a": ("d.x/a", "a", "d.x", "a"),
    ".bashrc": (".bashrc", ".bashrc", ".", ".bashrc"),
    "d/.bashrc": ("d/.bashrc", ".bashrc", "d", ".bashrc"),
    "d/": ("d", "d", ".", "d"),
    "/a": ("/a", "a", "/", "a"),
    "/": ("/", "/", "/", "/"),
    "a.": ("a", "a.", ".", "a"),
    "..": ("..", "..", ".", ".."),
}


@pytest.mark.parametrize(("item", "parts"), PATHS.items())
def test_the_parts_of_an_item(item: str, parts: tuple[str, ...]) -> None:
    found = parts_of(item)
    assert tuple(found[name] for name in ("{.}", "{/}", "{//}", "{/.}")) == parts


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["cat"], ["cat", "d/a.b"]),
        (["cat", "x{}y", "{}{}"], ["cat", "xd/a.by", "d/a.bd/a.b"]),
        (["echo", "{#}"], ["echo", "7"]),
        (["echo", "{name}", "{ }", "${}", "{/}"], ["echo", "{name}", "{ }", "$d/a.b", "a.b"]),
    ],
)
def test_replacement_in_arguments(words: list[str], argv: list[str]) -> None:
    assert Replacement(words, None).fields(7, "d/a.b") == {"argv": argv}


def test_the_number_is_a_number_anywhere_in_a_shell_command() -> None:
    shell = 'echo "{#}" $(( {#} * 2 )) {}'
    assert Replacement(None, shell).fields(7, "a b") == {"command": "echo \"7\" $(( 7 * 2 )) 'a b'"}


def test_what_an_item_contains_is_not_replaced_again() -> None:
    assert Replacement(["a", "{} {#}"], None).fields(1, "{#}{.}") == {"argv": ["a", "{#}{.} 1"]}


SHELL = (
    *("printf '%s\\0'", "printf '%s\\0' {}", 'printf "%s\\\\0" {}', ": 'it'; printf '%s\\0' {} # end"),
    *("x=$(printf '%s.' {}); printf '%s\\0' \"${x%.}\"", "(printf '%s\\0' {})", "true && printf '%s\\0' {} || false"),
)


@pytest.mark.parametrize("shell", SHELL)
def test_a_shell_command_gets_each_item_as_one_word(shell: str) -> None:
    """The shell reads back exactly the item, for items of all characters that are special to it."""
    replacement = Replacement(None, shell)
    items = [*NAMES, "".join(map(chr, range(1, 128))), "'; exit 1 #", "\n\n", "a'\"'\"'b"]
    script = "\n".join(replacement.fields(1, item)["command"] for item in items)
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == items


@pytest.mark.parametrize(
    "shell",
    [
        *('echo "{}"', "echo '{}'", "echo \\{}", "echo $'{}'", "cat <<E\n{}\nE", "echo `cat {}`", "true # {}"),
        *(
            'echo "$(cat {})"',
            "echo $(( {} + 1 ))",
            "echo $'{/}'",
            "true # no place",
            "echo 'open",
            "cat <<E\nx\nE",
            "echo ${}",
        ),
    ],
)
def test_a_place_where_a_quoted_item_is_not_one_word_is_refused(shell: str) -> None:
    with pytest.raises(UsageError):
        Replacement(None, shell)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)), st.booleans())
def test_items_are_read_as_they_were_written(items: list[str], is_ended: bool) -> None:
    data = "\0".join(items).encode() + (b"\0" if is_ended and items else b"")
    read = [found for found in read_items(io.BytesIO(data), end=b"\0") if found is not None]
    assert read == list(enumerate(items, 1))


@given(
    st.lists(st.sampled_from(["a", "b c", "ü"]), min_size=2, max_size=2, unique=True),
    st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")), min_size=2, max_size=2)),
)
def test_csv_is_read_as_it_was_written(columns: list[str], rows: list[list[str]]) -> None:
    import csv

    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([columns, *rows])
    made = Csv(io.BytesIO(b"\xef\xbb\xbf" + text.getvalue().encode()))
    assert made.columns == columns
    assert [found[1] for found in made.rows() if found] == [dict(zip(columns, row, strict=True)) for row in rows]


def test_lines_keep_their_spaces_and_empty_ones_are_skipped(cli: Run, home: Path) -> None:
    ran = cli("map", "-q", "--", "echo", "{}", "{#}", stdin=b"\xef\xbb\xbf a \n\n#b\n\nlast")
    assert argvs(home, ran.out) == [["echo", " a ", "1"], ["echo", "#b", "2"], ["echo", "last", "3"]]


def test_input_from_a_file_and_fields_for_every_job(cli: Run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\nb\n")
    ran = cli("map", "-q", "-f", "list", "--batch", "night", "--priority", "-5", "--env", "A=b", "--", "echo")
    assert [stored(home, job_id)["argv"][-1] for job_id in ran.out.split()] == ["a", "b"]
    job = stored(home, ran.out.split()[0])
    assert (job["batch"], job["priority"], job["env"]["A"], job["cwd"]) == ("night", -5, "b", str(tmp_path))
    refused(cli("map", "-f", "none", "--", "echo"), 3, "queuectl: no file none")


def test_the_options_of_a_job_may_have_the_item_too(cli: Run, home: Path, tmp_path: Path) -> None:
    """As it is, for no shell reads it."""
    (tmp_path / "it's").mkdir()
    words = ("--name", "no. {#}: {/}", "--cwd", "{//}", "--env", "STEM={/.}", "--env", "MODE=fast")
    ran = cli("map", "-q", *words, "--", "cat", "{}", stdin=f"{tmp_path}/it's/a b.txt\n".encode())
    job = stored(home, ran.out.strip())
    assert (job["name"], job["cwd"]) == ("no. 1: a b.txt", f"{tmp_path}/it's")
    assert (job["env"]["STEM"], job["env"]["MODE"]) == ("a b", "fast")
    ran = cli("map", "-q", "--csv", "--name", "{who}", "--", "echo", "{who}", stdin=b"who\nx\n")
    assert stored(home, ran.out.strip())["name"] == "x"
    assert cli("map", "--cwd", "{//}", "--", "cat", stdin=b"/nowhere/a\n").code != 0


def test_an_empty_input_makes_no_job(cli: Run) -> None:
    ran = cli("map", "--wait", "--", "echo")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("Queued 0 jobs")


def test_csv_columns_by_name(cli: Run, home: Path) -> None:
    data = b'in,level\r\na.mov,9\r\n"x ""y""\nz",8\r\n'
    ran = cli("map", "--csv", "-q", "--", "gzip", "-{level}", "{in}", "{#}", stdin=data)
    assert argvs(home, ran.out) == [["gzip", "-9", "a.mov", "1"], ["gzip", "-8", 'x "y"\nz', "2"]]
    ran = cli("map", "--csv", "-q", "gzip -{level} {in}", stdin=data)
    assert [stored(home, job_id)["command"] for job_id in ran.out.split()][1] == "gzip -8 'x \"y\"\nz'"


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (b"", 2, "the CSV input is empty; its first line must name the columns"),
        (b"in,in\n", 2, 'the first line of the CSV input names "in" twice'),
        (b"in,\n", 2, "the first line of the CSV input has a column without a name"),
        (b"inn,x\n", 2, 'there is no column "in"; did you mean {inn}?'),
        (b"file\n", 2, "the command uses no column of the input; write one as {file}"),
        (b"in,x\na\n", 6, "line 2: it has 1 column; the first line has 2"),
        (b'in,x\na,b"c\n', 6, 'line 2: a value that begins with " has no closing "'),
        (b'in,x\n\n"a"b,c\n', 6, "line 3: not valid CSV: ',' expected after '\"'"),
    ],
)
def test_csv_that_is_refused(cli: Run, data: bytes, code: int, message: str) -> None:
    ran = cli("map", "--csv", "--", "cat", "{in}", stdin=data)
    refused(ran, code, f"queuectl: {message}")


def test_csv_has_rows_and_no_items(cli: Run) -> None:
    line = "queuectl: with --csv an item is a row; write its columns as {in}, {x}"
    refused(cli("map", "--csv", "--", "cat", "{}", stdin=b"in,x\na,b\n"), 2, line)


def test_an_item_that_is_refused_is_named_and_keeps_no_other_out(cli: Run, home: Path) -> None:
    ran = cli("map", "--", "echo", "{}", stdin=b"a\n\n\xffb\nc\0d\ne\n")
    assert ran.code == 7
    assert [argv[1] for argv in argvs(home, ran.out)] == ["a", "e"]
    assert 'queuectl: line 3: byte 0xff of "\\xffb" is not UTF-8' in ran.err
    assert "queuectl: line 4: it contains a NUL character" in ran.err
    ran = cli("map", "-0", "--", "echo", "{}", stdin=b"a\0\xff\0")
    assert 'queuectl: item 2: byte 0xff of "\\xff" is not UTF-8' in ran.err
    assert json.loads(cli("map", "-0", "--json", "--", "echo", stdin=b"a\0\xff\0").out)["refused"][0]["item"] == 2


def test_an_item_too_long_for_a_program_is_refused(cli: Run) -> None:
    ran = cli("map", "-q", "--", "echo", stdin=b"x" * 131_072 + b"\nb\n")
    assert (ran.code, len(ran.out.split())) == (7, 1)
    assert "line 1: " in ran.err


def test_memory_is_bounded_and_what_has_come_is_handed_on() -> None:
    """A line without an end is not held, and the reader stops for more only where it says so."""
    found = [*read_items(io.BytesIO(b"x" * (MAX_BYTES + 3 * CHUNK_BYTES) + b"\nb"))]
    assert isinstance(found[0], tuple)
    assert isinstance(found[0][1], InvalidData)
    assert found[1:] == [(2, "b")]
    ours, theirs = os.pipe()
    with open(ours, "rb") as file:
        items = read_items(file)
        os.write(theirs, b"a\nb")
        assert next(items) == (1, "a") or next(items) == (1, "a")
        assert next(items) is None
        os.close(theirs)
        assert [found for found in items if found] == [(2, "b")]


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        ([], ["queuectl: no command: write it after --, or a shell command as one word"]),
        (["--"], ["queuectl: no command: write it after --, or a shell command as one word"]),
        (["cat {}", "--", "cat"], ["queuectl: a shell command and -- PROGRAM cannot be used together"]),
        (["-0", "--csv", "--", "cat"], ["queuectl: -0 and --csv cannot be used together"]),
        (["cat", "{}"], ["queuectl: write the command to run after --", "          hint: queuectl map -- cat '{}'"]),
        (["gzip", "-9"], ["queuectl: write the command to run after --", "          hint: queuectl map -- gzip -9"]),
        (["--after", "-", "--", "cat"], ["queuectl: standard input cannot hold both the jobs and the ids of --after"]),
        (["--follow", "--", "cat"], ["queuectl: unknown option --follow"]),
        (
            ['echo "{}"'],
            ["queuectl: the shell command has {} inside quotes, where a quoted item is not one word"],
        ),
    ],
)
def test_what_it_does_not_take(cli: Run, jobs: Jobs, line: list[str], messages: list[str]) -> None:
    refused(cli("map", *line, stdin=b"a\n"), 2, *messages)
    assert not jobs.queue.list()


def test_dry_run_prints_the_first_commands_and_the_count(cli: Run, jobs: Jobs) -> None:
    data = "".join(f"a {number}\n" for number in range(1, 13)).encode()
    ran = cli("map", "--dry-run", "--", "cat", stdin=data)
    assert ran.out.splitlines() == [f"cat 'a {number}'" for number in range(1, 11)]
    assert ran.err.splitlines() == ["... 2 more", "12 valid jobs; nothing was added to the queue"]
    ran = cli("map", "--dry-run", "--json", "cat", stdin=data)
    assert [job["command"] for job in json.loads(ran.out)["jobs"]] == [f"cat 'a {n}'" for n in range(1, 13)]
    assert not jobs.queue.list()


def test_progress_on_a_terminal_names_where_items_come_from(terminal: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\n")
    shown = terminal("map", "-f", "list", "--", "echo").out
    assert "Queued 1 job" in shown
    assert "Reading items" not in shown


def test_collect_prints_the_outputs_in_the_order_of_the_input(
    queuectl: Run, supervised: Callable[..., Supervised]
) -> None:
    """The first job ends last: it waits for the file that the last one makes."""
    supervised().start(3)
    script = 'if [ "$1" = 1 ]; then until [ -e made ]; do sleep 0.01; done; fi; [ "$1" = 3 ] && touch made; echo "$1"'
    ran = queuectl("map", "--collect", "--", "sh", "-c", f"{script}", "sh", "{}", stdin=b"1\n2\n3\n")
    assert (ran.code, ran.out) == (0, "1\n2\n3\n"), ran


def test_collect_exits_with_10_if_one_failed(queuectl: Run, supervised: Callable[..., Supervised]) -> None:
    supervised().start(2)
    line = ("map", "--collect", "--max-retries", "0", "echo {}; test {} != b")
    ran = queuectl(*line, stdin=b"a\nb\nc\n")
    assert (ran.code, ran.out) == (10, "a\nb\nc\n"), ran
    assert "queuectl: 1 of 3 jobs did not succeed" in ran.err


def test_collect_as_json_has_the_results(queuectl: Run, supervised: Callable[..., Supervised]) -> None:
    supervised().start(2)
    ran = queuectl("map", "--collect", "-o", "jsonl", 'echo {} > "$QUEUECTL_RESULT"', stdin=b"1\n2\n3\n")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert [(row["state"], row["exit_code"], row["result"]) for row in rows] == [("completed", 0, n) for n in (1, 2, 3)]


def test_resume_runs_only_what_is_missing_and_collects_all(
    queuectl: Run, supervised: Callable[..., Supervised], jobs: Jobs
) -> None:
    supervised().start(2)
    line = ("map", "--resume", "sizes", "--collect", "echo {} $$")
    first = queuectl(*line, stdin=b"a\nb\n")
    second = queuectl(*line, stdin=b"c\na\nb\n")
    assert (first.code, second.code, len(jobs.queue.list())) == (0, 0, 3)
    assert second.out.splitlines()[1:] == first.out.splitlines()


def test_who_stops_waiting_can_find_the_jobs(queuectl: Run, jobs: Jobs) -> None:
    ran = queuectl("map", "--collect", "--wait-timeout", "0", "--", "echo", stdin=b"a\n")
    [job] = jobs.queue.list()
    assert (ran.code, ran.out) == (124, "")
    assert f"queuectl logs --batch {job['batch']}" in ran.err


def test_a_hundred_thousand_lines_take_no_more_memory_than_a_hundred(home: Path) -> None:
    """Nothing is enqueued: with --dry-run every line is read, made into a job and checked."""
    script = (
        "import resource, sys; from queuectl.cli.main import main; code = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
    )

    def kib(count: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", script, "map", "--dry-run", "-q", "--", "true"],
            input="".join(f"name {number}\n" for number in range(count)).encode(),
            capture_output=True,
            check=True,
            cwd=ROOT,
        )
        return int(done.stderr.split()[-1])

    assert kib(100_000) < kib(100) + 4096
