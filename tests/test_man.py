"""The man pages are made of what the program says, and of FORMAT.md whole; man has nothing to say against them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from man import build, markdown, roff
from queuectl.cli import topics
from queuectl.cli.options import HIDDEN
from queuectl.cli.verbs import load_all

ROOT = Path(__file__).parents[1]
NAMED = {"\\-": "-", "\\e": "\\", "\\(aq": "'", "\\(ga": "`", "\\(ha": "^", "\\(ti": "~", "\\(en": "–", "\\(->": "→"}
NAMED |= {"\\(sc": "§", "\\&": "", "\\(dq": '"', "\\(bu": "•", "\\fB": "", "\\fR": "", "\\fI": "", "\\,": "", "\\/": ""}
EPOCH = "1700000000"


def read(page: str) -> str:
    """Return what a page says, without the language it is written in."""
    return re.sub(r"\\(?:\(..|f.|.)", lambda found: NAMED[found[0]], page)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both pages, as a build makes them."""
    made = tmp_path_factory.mktemp("made")
    script = (
        "import sys; from pathlib import Path; from man import build; build.MADE = Path(sys.argv[1]); build.make_all()\n"
        "from argparse_manpage.manpage import Manpage; from man.parser import page\n"
        "from build_manpages.build_manpages import parse_manpages_spec; import configparser\n"
        "config = configparser.ConfigParser(); config.read('setup.cfg')\n"
        "[data] = parse_manpages_spec(config['build_manpages']['manpages']).values()\n"
        "data['include'] = sys.argv[1] + '/sections.h2m'\n"
        "page = Manpage(page(), _data=data, format=data['format'])\n"
        "Path(sys.argv[1], 'queuectl.1').write_text(str(page), encoding='utf-8')\n"
    )
    environ = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(made)], check=True, cwd=ROOT, env=environ)
    return {name: made / name for name in ("queuectl.1", "queuectl-spool.5")}


def test_every_command_option_and_example_is_in_the_page(pages: dict[str, Path]) -> None:
    said = read(pages["queuectl.1"].read_text(encoding="utf-8"))
    for name, command in load_all().items():
        assert f"queuectl {name}" in said
        assert not [example for example in command.examples if example not in said]
        options = [n for names, more in command.options if more["help"] != HIDDEN for n in names if n[0] == "-"]
        assert not [option for option in options if option not in said]
    assert "ready-fd" not in said
    for topic in ("exit-codes", "environment", "states", "time-formats"):
        assert topics.text_of(topic).rstrip("\n") in said


def test_every_word_of_the_format_is_in_its_page(pages: dict[str, Path]) -> None:
    """In its order: nothing is lost where Markdown becomes roff. Rows of three columns repeat their titles."""
    said = iter(re.findall(r"\w+", read(pages["queuectl-spool.5"].read_text(encoding="utf-8")).replace("...", "…")))
    text = Path(topics.FORMAT).read_text(encoding="utf-8").partition("\n")[2]
    text = re.sub(r"^```\w*$|^\|[-| ]+\|$", "", text, flags=re.MULTILINE).replace("−", "-")
    lost = [word for word in re.findall(r"\w+", _without_titles(text)) if word not in said]
    assert lost == []


def _without_titles(text: str) -> str:
    """Return the document without the first rows of its tables, which name the columns."""
    return re.sub(r"(^|\n\n)\|[^\n]*\|(?=\n)", r"\1", text)


@pytest.mark.parametrize("name", ["queuectl.1", "queuectl-spool.5"])
def test_man_finds_nothing_wrong(pages: dict[str, Path], name: str) -> None:
    """And there is a NAME that whatis understands, a date that can be repeated, and no colour."""
    page = pages[name].read_text(encoding="utf-8")
    assert page.startswith(f".TH {name.partition('.')[0].upper().replace('-', chr(92) + '-')} ")
    assert "2023\\-11\\-14" in page.split("\n", 1)[0]
    assert re.search(r"^\.SH NAME\nqueuectl(\\-spool)? \\?- \w", page, re.MULTILINE)
    assert "\x1b" not in page
    if shutil.which("man") is None or shutil.which("groff") is None:
        if os.environ.get("QUEUECTL_CI"):
            pytest.fail("CI must have man and groff")
        pytest.skip("man is not installed")
    for width in ("60", "80", "120"):
        environ = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": width}
        done = subprocess.run(
            ["man", "--warnings", "-l", str(pages[name])], env=environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), width
        assert len(done.stdout) > 5000


def test_text_stays_text() -> None:
    """Nothing in it is taken for a request, an escape or another character."""
    for text in (".SH no", "'no", "a\\b", "-x", "it's ~ ^ `", "\\fBno"):
        assert read(roff.line(text)) == text
        assert roff.line(text)[0] not in ".'"


def test_markdown_is_read_as_it_is_written() -> None:
    text = "# Title\n\nOne `a-b`\nline.\n\n* first\n  more\n* **second**\n\n## Part\n\n| a | b |\n|---|---|\n| x | y |\n\n```sh\n.x\n```\n"
    assert markdown.page(text, ".TH T", "t - is", ".BR u (1)\n").split("\n") == [
        *(".TH T", ".SH NAME", "t \\- is", ".SH DESCRIPTION", ".PP", "One \\fBa\\-b\\fR line."),
        *(".IP \\(bu 2", "first more", ".IP \\(bu 2", "\\fBsecond\\fR", '.SH "Part"', ".TP", "x", "y"),
        *(".PP", ".nf", "\\&.x", ".fi", '.SH "SEE ALSO"', ".BR u (1)", ""),
    ]


def test_a_checkout_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    assert build.commit() == ""
