"""service: what it writes, where, and that systemd's commands do with it what they should."""

from __future__ import annotations

import json
import os
import plistlib
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl.cli.commands.service import PACKAGE
from queuectl.cli.service_units import Service, unit, web_unit
from queuectl.client.queue import Queue
from tests.cli.support import Run

ODD_PROGRAM = "a b%n$HOME;e #g"
ODD = f"{ODD_PROGRAM}'\"\\n"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own directory, so that nothing is written to that of who runs the tests."""
    made = tmp_path / "user"
    made.mkdir()
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("QUEUECTL_HOME")
    return made


def _values(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def _words(line: str) -> list[str]:
    """Read a command line as systemd.service(5) says."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line.removeprefix("-"))]


def _odd_service(folder: Path, user: str = "") -> Service:
    program = folder / ODD_PROGRAM / "queuectl"
    program.parent.mkdir()
    (folder / ODD).mkdir()
    shutil.copy("/bin/true", program)
    return Service([str(program)], str(folder / ODD), f"/{ODD}:/bin", is_home_known=False, user=user, workers=3)


def test_the_unit_starts_this_installation_in_this_home(cli: Run, user: Path) -> None:
    """Absolute paths only; the home is named when it is not the one that the program takes by itself."""
    text = cli("service", "print", "--user", "--workers", "4").out
    assert _words(_values(text, "ExecStart")[0]) == [
        *(sys.executable, PACKAGE, "worker", "start", "--foreground", "--count", "4")
    ]
    assert not [line for line in _values(text, "Environment") if "QUEUECTL_HOME" in line]
    text = cli("--home", f"{user}/q", "service", "print", "--user").out
    assert f"QUEUECTL_HOME={user}/q" in _values(text, "Environment")
    told = {"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "OOMPolicy": "continue", "UMask": "0077"}
    assert {name: _values(text, name) for name in told} == {name: [value] for name, value in told.items()}


def test_a_service_of_the_system_runs_as_the_owner_of_the_home(cli: Run, user: Path) -> None:
    text = cli("service", "print", "--system").out
    assert _values(text, "User") == [(user.owner())]
    assert f"QUEUECTL_HOME={user}/.queuectl" in _values(text, "Environment")
    assert _values(text, "WantedBy") == ["multi-user.target"]


def test_odd_characters_reach_the_program_as_they_are(tmp_path: Path) -> None:
    """Blanks, quotes, backslashes, specifiers and variables mean nothing in a path."""
    service = _odd_service(tmp_path)
    text = unit(service)
    assert _words(_values(text, "ExecStart")[0]) == [*service.start()]
    assert [word for line in _values(text, "Environment") for word in shlex.split(line.replace("%%", "%"))] == [
        f"PATH={service.path}",
        f"QUEUECTL_HOME={service.home}",
    ]


@pytest.mark.parametrize("kind", ["user", "system"])
def test_systemd_finds_nothing_wrong(tmp_path: Path, kind: str) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    service = _odd_service(tmp_path, "root" if kind == "system" else "")
    paths = [tmp_path / "queuectl.service", tmp_path / "queuectl-web.service"]
    for path, text in zip(paths, (unit(service), web_unit(service)), strict=True):
        path.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", f"--{kind}", "verify", "--man=no", *map(str, paths)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if "queuectl" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_launchd_gets_absolute_words_and_a_path(cli: Run, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What of $PATH depends on the current directory stays behind."""
    monkeypatch.setenv("PATH", "/usr/bin:.::venv/bin:/bin:/usr/bin")
    agent = plistlib.loads(cli("--home", f"{user}/q", "service", "print", "--launchd").out.encode())
    assert agent["ProgramArguments"][:3] == [sys.executable, PACKAGE, "worker"]
    assert agent["EnvironmentVariables"] == {"PATH": "/usr/bin:/bin", "QUEUECTL_HOME": f"{user}/q"}
    assert agent["KeepAlive"] == {"SuccessfulExit": False}


def test_install_writes_once_and_replaces_only_when_told(cli: Run, user: Path) -> None:
    """All files or none; what is the same stays; each step says what to type next."""
    folder = user / ".config/systemd/user"
    planned = cli("service", "install", "--user", "--web", "--dry-run")
    assert (planned.code, folder.exists()) == (0, False)
    assert "Would be written: ~/.config/systemd/user/queuectl.service" in planned.err
    ran = cli("service", "install", "--user")
    assert (ran.code, ran.out) == (0, f"{folder}/queuectl.service\n")
    assert "  systemctl --user enable --now queuectl.service\n" in ran.err
    assert "loginctl enable-linger" in ran.err
    assert "unchanged" in cli("service", "install", "--user").err
    (folder / "queuectl.service").write_text("mine\n")
    ran = cli("service", "install", "--user", "--web")
    assert (ran.code, [path.name for path in folder.iterdir()]) == (4, ["queuectl.service"])
    assert "exists with other content; nothing was written" in ran.err
    ran = cli("service", "install", "--user", "--web", "--force", "--json")
    assert [*json.loads(ran.out)["files"].values()] == ["replaced", "written"]
    assert (folder / "queuectl.service").read_text() == cli("service", "print", "--user").out


def test_what_cannot_be_is_refused(cli: Run, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--user and --system cannot be used together" in cli("service", "print", "--user", "--system").err
    assert "--workers must be an integer from 1 to 1024, not 0" in cli("service", "print", "--workers", "0").err
    monkeypatch.setattr(sys, "executable", "/it's/python")
    assert "systemd cannot start a program whose path contains quotes" in cli("service", "print", "--user").err
    assert cli("service", "print", "--launchd").code == 0
    (user / ".config").write_text("in the way")
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(user))
    ran = cli("service", "install", "--user")
    assert (ran.code, ran.err.splitlines()[0].startswith("queuectl: cannot write ")) == (1, True)


def test_what_systemd_does_at_start_and_stop_works(cli: Run, user: Path, tmp_path: Path) -> None:
    """Its ExecStart is ready, works and reads SIGHUP; its ExecStop puts back a job that takes too long, uncounted."""
    home = user / ".queuectl"
    text = cli("service", "print", "--user", "--workers", "2").out.replace("--timeout 60", "--timeout 0.1")
    environ = {"HOME": str(user), "LANG": "C.UTF-8", "NOTIFY_SOCKET": str(tmp_path / "notify")}
    environ.update(word.split("=", 1) for line in _values(text, "Environment") for word in _words(line))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(environ["NOTIFY_SOCKET"])
        end.settimeout(60)
        service = subprocess.Popen(_words(_values(text, "ExecStart")[0]), env=environ, stderr=subprocess.DEVNULL)
        try:
            while "READY=1" not in end.recv(4096).decode().split("\n"):
                pass
            queue = Queue(home)
            assert queue.wait([queue.enqueue("true")], timeout_s=60)
            service.send_signal(signal.SIGHUP)
            job_id = queue.enqueue("sleep 600", kill_after=0.1)
            while "STATUS=1 of 2 workers busy" not in end.recv(4096).decode().split("\n"):
                pass
            for line in _values(text, "ExecStop"):
                assert subprocess.run(_words(line), env=environ, capture_output=True, check=False).returncode in (
                    0,
                    124,
                )
            assert service.wait(60) == 0
            job = queue.get(job_id)
            assert (job.state, job.attempts, job.interruptions, job.failures) == ("pending", 1, 0, 0)
        finally:
            service.kill()
            service.wait()
