"""The pages about cron and systemd timers: what they tell people to install is installed, and does what they say."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl import control_client
from queuectl.client.queue import Queue
from queuectl.config.settings import SETTINGS
from queuectl.maintenance.runner import TASKS

ROOT = Path(__file__).parents[2]
HOWTO = ROOT / "docs" / "howto"
CRON = (HOWTO / "cron.md").read_text()
TIMER = (HOWTO / "systemd-timer.md").read_text()
MINUTE_AND_MORE_S = 130.0  # cron looks once a minute
IN_CI = bool(os.environ.get("QUEUECTL_CI"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def refuse(why: str) -> None:
    """Fail where everything has to be there, skip elsewhere."""
    if IN_CI:
        pytest.fail(f"CI must have it: {why}")
    pytest.skip(why)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """`queuectl` in a directory of its own."""
    path = tmp_path / "bin" / "queuectl"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {sys.executable} -m queuectl "$@"\n')
    path.chmod(0o755)
    return path


# --- cron


@pytest.fixture
def cron(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start cron daemons that know one file only, in a mount namespace of their own; they are ended."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a cron of one's own takes root")
    if shutil.which("cron") is None or shutil.which("unshare") is None:
        refuse("cron and unshare are not installed")
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    if probe.returncode:
        refuse(f"nothing can be mounted here: {probe.stderr.decode().strip()}")
    started: list[subprocess.Popen[bytes]] = []
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
            process.wait()


ALONE = """
set -e
mkdir -p /var/spool/cron/crontabs
for place in /etc/cron.d /var/spool/cron /run; do mount -t tmpfs -o mode=755 none $place; done
mkdir -m 1730 /var/spool/cron/crontabs
mount --bind /dev/null /etc/crontab
cp "$1" /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
exec cron -f
"""
# Instead of /bin/sh; keeps what cron would mail.
TELLTALE = """\
#!/bin/sh
made=$(mktemp -d {told}/XXXXXX)
/bin/sh "$@" > "$made/out" 2> "$made/err"
echo "$?" > "$made/code"
echo "$2" > "$made/command"
mv "$made" "$made.done"
"""


def test_the_crontab_brings_workers_and_maintenance_in_silence(
    home: Path, tmp_path: Path, program: Path, cron: list[subprocess.Popen[bytes]]
) -> None:
    """Every line of the page, run by Debian's cron each minute instead of at its hour.

    Workers run, an old job has gone, a waiting one has run, and there was nothing to mail.
    """
    queue = Queue(home)
    old, waiting = queue.enqueue("true"), queue.enqueue("true")
    queue.cancel(old)
    told, shell, table = tmp_path / "told", tmp_path / "shell", tmp_path / "crontab"
    told.mkdir()
    shell.write_text(TELLTALE.format(told=told))
    shell.chmod(0o755)
    [text] = blocks(CRON, "cron")
    text, count = re.subn(r"^([\d*/]+ +){2}\* \* \* ", "* * * * * ", text, flags=re.M)
    assert count == 2
    text = text.replace("PATH=", f"PATH={program.parent}:")
    own = {"SHELL": str(shell), "QUEUECTL_HOME": str(home), "QUEUECTL_RETENTION_DONE": "0.001"}
    table.write_text("".join(f"{name}={value}\n" for name, value in own.items()) + text)
    # Away from the root of this namespace: cron and its jobs see other mounts than we do, but the same home.
    cron.append(subprocess.Popen(["unshare", "-m", "sh", "-c", ALONE, "sh", str(table)]))
    deadline = time.monotonic() + MINUTE_AND_MORE_S
    try:
        while len({(made / "command").read_text() for made in told.glob("*.done")}) < 2:
            assert cron[0].poll() is None, "cron has ended"
            assert time.monotonic() < deadline, "cron has not run both lines"
            time.sleep(0.2)
        runs = [*told.glob("*.done")]
        for made in runs:
            assert [(made / name).read_text() for name in ("code", "out", "err")] == ["0\n", "", ""], made
        assert {
            (made / "command").read_text() for made in runs
        } == {  # each perhaps twice, when a minute ends meanwhile
            "queuectl maintenance\n",
            "queuectl maintenance reclaim --ensure-workers 2\n",
        }
        assert len(control_client.ask(queue.layout, {"do": "status"})["workers"]) == 2
        assert queue.wait([waiting], timeout_s=60)[waiting].state == "completed"
        assert queue.spool.find(old) is None
    finally:
        cron[0].terminate()
        cron[0].wait()
        stop = [program, "--home", str(home), "worker", "stop", "--now", "--wait"]
        assert subprocess.run(stop, check=False).returncode == 0


# --- systemd


def units() -> dict[str, configparser.ConfigParser]:
    """Return the units of the page by name."""
    names = re.findall(r"^`~/\.config/systemd/user/([\w.-]+)`:$", TIMER, re.M)
    made = {}
    for name, text in zip(names, blocks(TIMER, "ini"), strict=True):
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        made[name] = parser
    return made


def test_the_units_belong_together_and_start_a_command_that_exists() -> None:
    found = units()
    assert [*found] == ["queuectl-maintenance.service", "queuectl-maintenance.timer"]
    service, timer = found.values()
    words = service["Service"]["ExecStart"].split()
    assert words == ["%h/.local/bin/queuectl", "maintenance", "--verbose"]
    assert timer["Timer"]["OnCalendar"]
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, program: Path) -> None:
    """Its own checker reads them; only the program's place differs."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed; the units are read by the test above")
    paths = []
    for name, parser in units().items():
        path = tmp_path / name
        with path.open("w") as file:
            parser.write(file, space_around_delimiters=False)
        path.write_text(path.read_text().replace("%h/.local/bin/queuectl", str(program)))
        paths.append(path)
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *paths], capture_output=True, text=True, env=environ, check=False
    )
    wrong = [line for line in done.stderr.splitlines() if "queuectl" in line]
    assert (done.returncode, wrong) == (0, []), done


# --- the pages


def test_the_page_lists_the_tasks_that_there_are() -> None:
    assert re.findall(r"^\| `(\w+)` \|", CRON, re.M) == [*TASKS]


def test_the_settings_that_the_page_names_exist() -> None:
    named = set(re.findall(r"(?:retention|maintenance)_\w+", CRON))
    assert named <= {setting.name for setting in SETTINGS}
    assert len(named) == 5


def test_the_commands_of_the_page_work(home: Path, program: Path) -> None:
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    lines = [line.partition("  #")[0] for block in blocks(CRON, "sh") for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        done = subprocess.run(["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stderr)
