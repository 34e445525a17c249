"""Paths that are not UTF-8: a terminal gets the bytes, JSON an escape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.cli.text import safe, spell_character
from queuectl.spool.layout import Layout

ROOT = Path(__file__).parents[2]


def run(home: bytes, *argv: str) -> tuple[int, bytes, bytes]:
    command = [os.fsencode(sys.executable), os.fsencode(ROOT / "queuectl"), b"--home", home, *map(os.fsencode, argv)]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def odd(tmp_path: Path) -> bytes:
    home = os.fsencode(tmp_path) + b"/caf\xe9\x9b1m"
    Layout(os.fsdecode(home)).ensure()
    return home


def test_a_home_that_is_not_utf_8_is_shown_so_that_it_can_be_typed_again(odd: bytes) -> None:
    """But for bytes that would command an old terminal."""
    shown = odd.replace(b"\x9b", b"\\x9b")
    code, out, err = run(odd, "status")
    assert (code, err) == (0, b"")
    assert shown in out
    os.chmod(odd, 0o777)
    code, out, err = run(odd, "enqueue", "--command", "true")
    assert (code, out) == (8, b"")
    assert err.startswith(b"queuectl: " + shown + b" is writable by other users")
    assert b"chmod 700 " + shown in err


def test_json_escapes_it(odd: bytes) -> None:
    code, out, _ = run(odd, "status", "--json")
    assert code == 0
    assert out.isascii()
    assert os.fsencode(json.loads(out)["home"]) == odd


def test_what_is_neither_text_nor_a_byte_is_escaped() -> None:
    assert safe("a\udcff\udc9b\ud800\x1b") == "a\udcff\\x9b\\ud800\\x1b"
    assert spell_character("\udc80") == "\\x80"
