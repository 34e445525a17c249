"""The commands in README and docs/ work as written."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.supervised import Supervised

    Make = Callable[..., Supervised]

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FINE = {"queuectl wait doomed --timeout 60": 10}  # the README says so beside it


def _block(after: str, language: str) -> str:
    """Return the first code block of a language behind a heading."""
    found = re.search(rf"```{language}\n(.*?)```", README[README.index(after) :], re.DOTALL)
    assert found, f"no {language} block after {after!r}"
    return found[1]


@pytest.fixture
def shell(home: Path, tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a line as its reader would, `queuectl` being on the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "queuectl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m queuectl "$@"\n')
    (programs / "queuectl").chmod(0o755)
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    environ.pop("QUEUECTL_HOME")
    (tmp_path / ".queuectl").symlink_to(home)

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line], env=environ, capture_output=True, text=True, timeout=90, check=False, cwd=tmp_path
        )

    return run


def test_the_first_steps_work_line_by_line(
    shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make
) -> None:
    """Every line of the section, in order, ends as the README says."""
    watched = supervised()  # makes sure that nothing is left running
    lines = [line.partition(" # ")[0].strip() for line in _block("## First steps", "sh").splitlines()]
    assert len(lines) > 10
    for line in lines:
        done = shell(line)
        assert done.returncode == FINE.get(line, 0), (line, done.stdout, done.stderr)
    watched.wait_until(lambda: not watched.has_supervisor(), "it has stopped")


def test_the_common_tasks_work_line_by_line(
    shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make, tmp_path: Path
) -> None:
    """Every line of the section succeeds, and the files and the sweep are what it says."""
    s = supervised()
    s.start(2)
    (tmp_path / "raw").mkdir()
    for name in ("a b", "it's", "c"):
        (tmp_path / "raw" / name).write_text(name)
    lines = [line.partition("  # ")[0].strip() for line in _block("## Common tasks", "sh").splitlines()]
    assert len(lines) == 8
    outputs = []
    for line in lines:
        done = shell(line)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        outputs.append(done.stdout)
    assert outputs[2] == "1 1\n2 4\n3 9\n"
    s.wait_for(outputs[1].strip(), "completed")
    listed = shell("tar tf all.tar").stdout
    assert {"raw/a b.gz", "raw/it's.gz", "raw/c.gz"} == set(listed.splitlines())


CRONTAB = """#!/bin/sh
# what crontab does, for this test alone
case $1 in -l) cat "$HOME/crontab" ;; -) cat > "$HOME/crontab" ;; *) exit 2 ;; esac
"""


def test_the_section_keep_it_running_works_by_copy_and_paste(
    shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make, tmp_path: Path
) -> None:
    """The section of the README, as one script; then the line that it has put into the crontab, as cron runs it."""
    s = supervised()
    (tmp_path / "bin/crontab").write_text(CRONTAB)
    (tmp_path / "bin/crontab").chmod(0o755)
    (tmp_path / "crontab").touch()  # `crontab -l` without one fails, and `set -e` would end the script there
    start = README.index("## Keep it running")
    section = README[start : README.index("\n## ", start + 1)]
    blocks = _blocks(section, "sh")
    assert len(blocks) == 3
    done = shell("\n".join(["set -eu", *blocks]))
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert list(tmp_path.rglob("queuectl.service")), done.stdout
    [line] = (tmp_path / "crontab").read_text().splitlines()
    assert line.startswith("*/5 * * * * /")
    try:
        asked = shell(line.split(" ", 5)[5])
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")
        assert len(s.status()["workers"]) == 2
    finally:
        shell("queuectl worker stop --now --wait")


def _blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language, but for those behind `<!-- not run: why -->`."""
    found = re.findall(rf"(<!-- not run: [^\n]+ -->\n)?```{language}\n(.*?)```", text, re.DOTALL)
    return [block for skipped, block in found if not skipped]


MESSENGERS = ("curl", "mail", "notify-send")  # in their places are scripts that note what is sent


def sent_by(path: Path) -> list[str]:
    """Return the first word of each message."""
    words = [line.split(" ")[0] for line in path.read_text().splitlines()] if path.exists() else []
    return [word for word in words if word in MESSENGERS]


def check_sent(text: str) -> None:
    """What the guide on notifications has sent."""
    assert "mail -s job report is dead" in text
    assert "no data for today\n" in text
    assert '{"text": "Job report is dead: no data for today"}' in text
    assert "-d a has completed https://ntfy.sh/your-topic" in text
    assert "notify-send All jobs are done" in text


GUIDES = sorted(
    d for d in (ROOT / "docs").rglob("*.md") if d.parent.name != "reference" and _blocks(d.read_text(), "sh")
)


@pytest.mark.parametrize("guide", GUIDES, ids=[d.stem for d in GUIDES])
def test_a_guide_works_from_top_to_end(
    guide: Path, shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make, tmp_path: Path
) -> None:
    """All shell blocks of a page, as one script that ends at the first failure, in a directory of its own."""
    s = supervised()
    for name in MESSENGERS:
        (tmp_path / "bin" / name).write_text(
            f'#!/bin/sh\nsaid=$(echo {name} "$@"; cat)\nprintf "%s\\n" "$said" >> {tmp_path}/sent\n'
        )
        (tmp_path / "bin" / name).chmod(0o755)
    script = "\n".join(
        ["set -eu", 'queuectl delete -q "$(queuectl enqueue --command true)"', *_blocks(guide.read_text(), "sh")]
    )
    try:
        done = shell(script)
        assert done.returncode == 0, (done.stdout, done.stderr)
        if guide.stem == "notifications":
            s.wait_until(lambda: len(sent_by(tmp_path / "sent")) == 4, "all messages are sent")
            check_sent((tmp_path / "sent").read_text())
    finally:
        for home in {path.parents[1] for path in tmp_path.rglob("run/supervisor.json")}:
            shell(f"queuectl --home '{home}' worker stop --now --wait")


LANGUAGES = {
    "sh": "sh",
    "python": sys.executable,
    "js": "node",
    "perl": "perl",
    "ruby": "ruby",
    "php": "php",
}
DROPS = [(ROOT / "README.md", language) for language in ("sh", "js", "perl")]
DROPS += [(ROOT / "docs/howto/drop-files.md", language) for language in LANGUAGES]


@pytest.mark.parametrize(("document", "language"), DROPS, ids=[f"{d.stem}-{language}" for d, language in DROPS])
def test_the_recipes_for_dropping_a_file_make_jobs(
    shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make, document: Path, language: str
) -> None:
    """The recipe of each language makes one job that runs, and leaves nothing in tmp/."""
    program = LANGUAGES[language]
    if shutil.which(program) is None:
        if os.environ.get("QUEUECTL_CI"):
            pytest.fail(f"CI must have {program}")
        pytest.skip(f"{program} is not installed")
    s = supervised()
    s.start(1)
    [recipe] = (
        [_block("## Drop a file", language)]
        if document.name == "README.md"
        else _blocks(document.read_text(), language)
    )
    if language == "perl":
        recipe = "use strict;" + recipe
    script = s.home.parent / f"recipe.{language}"
    script.write_text(recipe)
    done = shell(f"{program} {script}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    s.wait_until(lambda: s.queue.counts()["completed"] == 1, "the job has run")
    [job] = s.queue.list()
    assert s.output(job["id"]) == b"hi\n"
    assert not any((s.home / "spool/tmp").iterdir())


def test_the_reference_is_what_the_program_says() -> None:
    """Each page of docs/reference is what its generator writes today."""
    generator = runpy.run_path(str(ROOT / "docs/reference/generate.py"))
    pages = generator["pages"]()
    written = {page.name for page in (ROOT / "docs/reference").glob("*.md") if generator["WRITTEN"] in page.read_text()}
    assert written == set(pages)
    for name, text in pages.items():
        assert (ROOT / "docs/reference" / name).read_text() == text, "run: python docs/reference/generate.py"


def test_queuectl_drop_speaks_the_same_protocol(
    shell: Callable[[str], subprocess.CompletedProcess[str]], supervised: Make
) -> None:
    """Quotes, backslashes, newlines and control characters arrive; a taken id is refused with 4; usage is 2."""
    s = supervised()
    s.start(1)
    drop = ROOT / "bin/queuectl-drop"
    command = "printf '%s' 'a\\b \"c\"\n\td ü \x1b[1m'"
    done = subprocess.run([drop, command, "odd"], env=s.environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "odd\n"), done.stderr
    s.wait_for("odd", "completed")
    assert s.queue.get("odd").fields["command"] == command
    assert s.output("odd") == 'a\\b "c"\n\td ü \x1b[1m'.encode()
    again = subprocess.run([drop, "true", "odd"], env=s.environ, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (4, "queuectl-drop: job odd exists already\n")
    for wrong in ([], ["true", "../x"], ["true", ".x"], [""]):
        assert subprocess.run([drop, *wrong], env=s.environ, capture_output=True, check=False).returncode == 2
    assert not any((s.home / "spool/tmp").iterdir())


def test_every_setting_and_field_of_the_readme_exists() -> None:
    """The list of fields names known ones only, and all of them but the customary and refused ones."""
    from queuectl.job.fields import FIELDS

    told = set(re.findall(r"`([a-z_]+)`", README[README.index("## Fields of a job") : README.index("## Assumptions")]))
    customary = {"state", "attempts", "created_at", "updated_at"}
    assert set(FIELDS) - customary <= told


def test_the_guide_to_cron_lists_every_task_in_the_order_of_a_run() -> None:
    from queuectl.maintenance.runner import TASKS

    rows = (
        (ROOT / "docs/howto/cron.md")
        .read_text(encoding="utf-8")
        .partition("## Tasks")[2]
        .partition("Without arguments")[0]
    )
    assert re.findall(r"(?m)^\| `(\w+)` \|", rows) == list(TASKS)


def test_the_documents_that_are_linked_exist() -> None:
    """No link of README or docs/ points to a file that is not there."""
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), (document.name, target)


@pytest.mark.parametrize("name", ["ARCHITECTURE.md"])
def test_every_module_has_its_place_in_the_architecture(name: str) -> None:
    """A module that the page does not name is one a newcomer does not find."""
    text = (ROOT / "docs" / name).read_text()
    package = ROOT / "queuectl"
    folders = ("", "client", "config", "executor", "index", "job", "scheduling", "spool", "supervisor", "worker")
    modules = [p.stem for folder in folders for p in (package / folder).glob("*.py")]
    missing = [m for m in modules if not m.startswith("__") and f"`{m}`" not in text]
    assert missing == []


def _anchors(document: Path) -> set[str]:
    """Return the anchors of a page, as GitHub makes them of its headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


COMPARISON = (ROOT / "docs/COMPARISON.md").read_text()


def test_every_yes_of_the_comparison_has_its_documentation_and_a_test_that_exists() -> None:
    rows = [line.strip("|").split("|") for line in COMPARISON.splitlines() if re.match(r"\| \d+ \|", line)]
    features = {int(row[0]): row[2].strip() for row in rows if len(row) == 11}
    evidence = {int(row[0]): row[1:] for row in rows if len(row) == 3}
    assert sorted(features) == list(range(1, 61))
    assert set(features.values()) <= {"yes", "partly", "–"}
    assert sorted(evidence) == [number for number, value in features.items() if value != "–"]
    for number, (documentation, test) in evidence.items():
        [(target, anchor)] = re.findall(r"\]\(([^)#]+)#?([^)]*)\)", documentation)
        page = (ROOT / "docs" / target).resolve()
        assert not anchor or anchor in _anchors(page), (number, anchor)
        [(name, path)] = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", test)
        assert re.search(rf"^def {name}\(", (ROOT / "docs" / path).read_text(), re.MULTILINE), (number, name)


def test_the_sums_of_the_comparison_are_those_of_its_rows() -> None:
    """What is not there says why."""
    rows = [line.strip("|").split("|") for line in COMPARISON.splitlines() if re.match(r"\| \d+ \|", line)]
    columns = [*zip(*[[cell.strip() for cell in row[2:]] for row in rows if len(row) == 11], strict=True)]
    sums = [sum({"yes": 1.0, "partly": 0.5, "–": 0.0}[cell] for cell in column) for column in columns]
    [written] = re.findall(r"^\| \| \*\*sum\*\*[^|]*\|(.+)\|$", COMPARISON, re.MULTILINE)
    assert [float(cell.strip(" *")) for cell in written.split("|")] == sums
    missing = [row[0].strip() for row in rows if len(row) == 11 and row[2].strip() == "–"]
    assert re.findall(r"^\* \*\*(\d+),", COMPARISON, re.MULTILINE) == missing
