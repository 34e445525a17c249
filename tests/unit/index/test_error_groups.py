"""Errors that differ in names and numbers only have one fingerprint."""

from __future__ import annotations

from queuectl.index.error_groups import fingerprint


def test_what_varies_from_job_to_job_does_not_count() -> None:
    same = [
        "cannot open '/data/1.csv': No such file",
        'Traceback ...\n  x\n\x1b[31mcannot open "/tmp/x y/2.csv": No such file\x1b[0m\n\n',
        "cannot open `b`: no such file",
    ]
    assert len({fingerprint("exited 1", f"/usr/bin/load {n}", text) for n, text in enumerate(same)}) == 1
    lines = [f"error {n} at 0x{n:08x} in {n:032x} after {n}.5s in /tmp/{n}/x.py" for n in range(10, 50)]
    assert len({fingerprint("exited 1", "load", line) for line in lines}) == 1


def test_how_it_ended_program_and_last_words_count() -> None:
    found = {
        fingerprint(how, command, error)
        for how, command, error in [
            ("exited 1", "load a", "no such file"),
            ("exited 2", "load a", "no such file"),
            ("exited 1", "save a", "no such file"),
            ("exited 1", "load a", "out of memory"),
            ("exited 1", "load a", None),
        ]
    }
    assert len(found) == 5


def test_any_text_has_one() -> None:
    for text in ("", "\n\n", "\ud800", "\0" * 1000, "'" * 100_000, "a/" * 100_000):
        assert len(fingerprint("x", text, text)) == 8
