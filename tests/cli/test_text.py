"""Text on a terminal: nothing a job wrote can command it; widths; figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli.text import cut, pad, safe, safe_output, width
from queuectl.units import plural


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\tand a tab", "two\\nlines\\tand a tab"),
        ("abc\u202etxt.exe", "abc\\u202etxt.exe"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        ("a\x9b2J", "a\\x9b2J"),
        ("日本語", "日本語"),
        ("\ud800", "\\ud800"),
        ("\udc9b2J", "\\x9b2J"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_what_could_command_a_terminal_is_shown_instead(text: str, shown: str) -> None:
    """Proves G18."""
    assert safe(text) == shown


@given(st.text())
def test_nothing_but_printable_characters_is_left(text: str) -> None:
    assert safe(text).isprintable()
    assert safe(safe(text)) == safe(text)
    assert all(c in "\n\t" or c.isprintable() for c in safe_output(text))


def test_output_keeps_lines_and_loses_colours() -> None:
    assert safe_output("\x1b[1;31mred\x1b[0m\r\nnext\tcell\x1b[2J\r") == "red\nnext\tcell\\x1b[2J\\r"


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0), ("ｗ", 2), ("→", 1)])
def test_width_counts_columns_not_characters(text: str, columns: int) -> None:
    assert width(text) == columns


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.integers(0, 20))
def test_what_is_cut_fits(text: str, columns: int) -> None:
    shown = cut(text, columns)
    assert width(shown) <= columns
    assert shown == text or shown.endswith("…") or columns == 0
    assert width(pad(shown, 20)) == 20
    assert pad(shown, 20, right=True).endswith(shown)


def test_cutting_wide_characters_never_halves_one() -> None:
    assert cut("日本語", 5) == "日本…"
    assert cut("日本語", 4) == "日…"
    assert cut("日本語", 1) == "…"


def test_plural() -> None:
    assert [plural(n, "job") for n in (0, 1, 1284)] == ["0 jobs", "1 job", "1,284 jobs"]
