"""Tables and the other formats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from queuectl.cli.commandline import Arguments
from queuectl.cli.table import Column, emit
from queuectl.cli.terminal import Screen
from queuectl.cli.text import width

ROWS = [
    {"id": "a", "state": "dead", "n": 1, "command": "echo one"},
    {"id": "bbb", "state": "processing", "n": 1234, "command": "echo \x1b[31m日本語 and a good deal more of text"},
    {"id": "c", "state": None, "n": None, "command": ""},
]
COLUMNS = (
    Column("ID", lambda row: row["id"]),
    Column("STATE", lambda row: row["state"], colour=lambda row: "red" if row["state"] == "dead" else None),
    Column("N", lambda row: row["n"], right=True, leave_out=1),
    Column("COMMAND", lambda row: row["command"]),
)


def screen(format: str = "table", **more: Any) -> Screen:
    args = Arguments()
    args.output, args.quiet, args.color = format, False, more.get("color", "auto")
    return Screen(args)


def shown(capsys: pytest.CaptureFixture[str], on: Screen, rows: Any = ROWS) -> str:
    emit(on, iter(rows), COLUMNS, ("id", "n", "command"))
    return capsys.readouterr().out


def test_a_table_has_capitals_gutters_and_no_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, screen()) == (
        "ID   STATE          N  COMMAND\n"
        "a    dead           1  echo one\n"
        "bbb  processing  1234  echo \\x1b[31m日本語 and a good deal more of text\n"
        "c    -              -  -\n"
    )


@pytest.mark.parametrize("columns", range(18, 90))
def test_a_table_fits_by_shortening_the_last_column_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(capsys, screen()).splitlines()
    assert max(map(width, lines)) <= columns
    if columns >= 36:
        assert lines[0].startswith("ID   STATE          N  COMMAND")
    if columns < 70:
        assert lines[2].endswith("…")


def test_nothing_is_cut_where_it_is_not_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert "more of text" in shown(capsys, screen("wide"))


def test_an_empty_list_prints_nothing_or_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, screen(), []) == ""
    assert shown(capsys, screen("json"), []) == "[]\n"
    assert shown(capsys, screen("jsonl"), []) == ""
    assert shown(capsys, screen("name"), []) == ""
    assert shown(capsys, screen("tsv"), []) == "id\tn\tcommand\n"


def test_json_is_an_array_and_jsonl_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, screen("json"))) == ROWS
    assert [json.loads(line) for line in shown(capsys, screen("jsonl")).splitlines()] == ROWS


def test_tsv_is_one_line_a_row_whatever_the_fields_hold(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"id": "a", "n": 0.5, "command": "one\ttwo\nthree\\"}, {"id": "b", "n": None, "command": None}]
    assert shown(capsys, screen("tsv"), rows) == "id\tn\tcommand\na\t0.5\tone\\ttwo\\nthree\\\\\nb\t\t\n"


def test_names_are_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, screen("name")) == "a\nbbb\nc\n"


def test_colour_is_on_when_asked_for_and_does_not_move_a_column(capsys: pytest.CaptureFixture[str]) -> None:
    plain = shown(capsys, screen())
    coloured = shown(capsys, screen(color="always"))
    assert "\x1b[31mdead      \x1b[0m" in coloured
    import re

    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_a_pipe_gets_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in shown(capsys, screen("table"))
    assert "\x1b" not in shown(capsys, screen("table", color="never"))


def test_rows_beyond_those_measured_are_streamed(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[dict[str, object]]:
        for n in range(3000):
            yield {"id": f"job{n}", "state": "dead", "n": n, "command": "x"}

    assert emit(screen(), rows(), COLUMNS, ()) == 3000
    assert len(capsys.readouterr().out.splitlines()) == 3001
