"""build: what belongs into a distribution and is no file of the checkout: man pages, completions, the commit.

The commands of setuptools; pyproject.toml names them. Everything is made under build/, and dated by SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from time import time

from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from man import markdown, roff
from queuectl.cli import topics
from queuectl.cli.completion import bash, fish, zsh
from queuectl.version import __version__

MADE = ROOT / "build" / "made"
COMMIT = "COMMIT"
FILES = """\
.TP
.I ~/.queuectl
Home of the queue; $QUEUECTL_HOME overrides it. Its files:
.BR queuectl\\-spool (5).
.TP
.I ~/.queuectl/config.yaml
Settings; see
.B queuectl config list
and
.BR "queuectl schema config" .
"""
SEE_ALSO = """\
.BR queuectl\\-spool (5),
.BR crontab (5),
.BR systemd.service (5)
"""


class BuildPy(build_py):
    """Makes what is made, and puts the commit beside the modules."""

    def run(self) -> None:
        """Build; the page does not depend on the terminal, into which newer versions of argparse put colours too."""
        os.environ.update(NO_COLOR="1", COLUMNS="80")
        make_all()
        self.run_command("build_manpages")
        super().run()
        if commit() and not self.editable_mode:
            (Path(self.build_lib) / "queuectl" / COMMIT).write_text(commit(), encoding="ascii")


class SDist(sdist):
    """Keeps the commit, which a wheel built from it could not find out."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Lay out the files."""
        super().make_release_tree(base_dir, files)
        if commit():
            (Path(base_dir) / "queuectl" / COMMIT).write_text(commit(), encoding="ascii")


def make_all() -> None:
    """Make the sections of queuectl(1) that its parser does not tell, queuectl-spool(5) and the completions."""
    made = {
        "sections.h2m": sections(),
        "queuectl-spool.5": spool_page(),
        "completion/bash/queuectl": bash.script(),
        "completion/zsh/_queuectl": zsh.script(),
        "completion/fish/queuectl.fish": fish.script(),
    }
    for name, text in made.items():
        path = MADE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def sections() -> str:
    """Return what argparse-manpage puts behind the commands."""
    parts = {
        "exit status": roff.literal(topics.text_of("exit-codes")),
        "environment": roff.literal(topics.text_of("environment")),
        "states": roff.literal(topics.text_of("states")),
        "time formats": roff.literal(topics.text_of("time-formats")),
        "files": FILES,
        "examples": roff.literal(topics.text_of("examples")),
        "see also": SEE_ALSO,
    }
    # A line that begins with a bracket or a slash would begin another section.
    return "".join(
        f"[{name}]\n{re.sub('^(?=[[/])', lambda _: chr(92) + '&', text, flags=re.M)}" for name, text in parts.items()
    )


def spool_page() -> str:
    """Return queuectl-spool(5)."""
    day = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", time())), timezone.utc).strftime(
        "%Y\\-%m\\-%d"
    )
    head = f'.TH QUEUECTL\\-SPOOL "5" "{day}" "queuectl {__version__}" "QueueCTL Manual"'
    return markdown.page(
        topics.text_of("spool-format"),
        head,
        "queuectl-spool - file format of the queuectl spool",
        ".BR queuectl (1)\n",
    )


def commit() -> str:
    """Return the commit that is built, with a + behind it where files differ from it; empty when nobody knows."""
    if not (ROOT / ".git").exists():
        return ""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    found = git("rev-parse", "--short=12", "HEAD")
    return found and found + ("+" if git("status", "--porcelain", "--untracked-files=no") else "") + "\n"
