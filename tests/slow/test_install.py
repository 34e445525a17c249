"""What is built and how it installs: sdist and wheel hold what they must and nothing else; the wheel works without the rest."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.version import __version__

ROOT = Path(__file__).parents[2]
DATA = f"queuectl-{__version__}.data/data"
EPOCH = "1700000000"
ONLY_OF_THE_REPOSITORY = (".ci/", ".gitignore")
DEVELOPMENT = {"argparse-manpage", "hypothesis", "mypy", "pytest", "ruff", "setuptools"}
SHARED = {
    "share/man/man1/queuectl.1",
    "share/man/man5/queuectl-spool.5",
    "share/bash-completion/completions/queuectl",
    "share/zsh/site-functions/_queuectl",
    "share/fish/vendor_completions.d/queuectl.fish",
}
Queuectl = Callable[..., str]


def run(*words: str | Path, **more: str) -> str:
    """Run a program without anything of ours in its environment; return what it writes."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "QUEUECTL"))}
    done = subprocess.run(
        words,
        env={**environ, "SOURCE_DATE_EPOCH": EPOCH, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, (words, done.stdout[-4000:], done.stderr[-4000:])
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this checkout, as they are now, as a repository of one commit."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if files.returncode:
        pytest.skip("not a git checkout")
    copy = tmp_path_factory.mktemp("source")
    for name in files.stdout.decode().split("\0"):
        if name and (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
            (copy / name).chmod((ROOT / name).stat().st_mode)
    git = ("git", "-C", copy, "-c", "user.name=t", "-c", "user.email=t@example.org")
    run("git", "init", "-q", copy)
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "all")
    return copy


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that can build and install."""
    made = tmp_path_factory.mktemp("builder")
    venv.create(made, with_pip=True)
    run(made / "bin/python", "-m", "pip", "install", "-q", "build", "pipx")
    return made / "bin"


@pytest.fixture(scope="module")
def built(source: Path, builder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that was built from it."""
    made = tmp_path_factory.mktemp("dist")
    run(builder / "python", "-m", "build", "-o", made, source)
    [sdist], [wheel] = made.glob("*.tar.gz"), made.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment into which only the wheel was installed."""
    made = tmp_path_factory.mktemp("installed")
    venv.create(made, with_pip=True)
    run(made / "bin/python", "-m", "pip", "install", "-q", built[1])
    return made


def names_in_git(source: Path) -> set[str]:
    return {name for name in run("git", "-C", source, "ls-files", "-z").split("\0") if name}


def commit_of(source: Path) -> str:
    return run("git", "-C", source, "rev-parse", "--short=12", "HEAD").strip()


def test_the_sdist_is_the_checkout(source: Path, built: tuple[Path, Path]) -> None:
    """All of it but what only its own repository needs, and the commit."""
    with tarfile.open(built[0]) as archive:
        found = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {"PKG-INFO", "queuectl/COMMIT", *(name for name in found if name.startswith("queuectl.egg-info/"))}
    expected = {name for name in names_in_git(source) if not name.startswith(ONLY_OF_THE_REPOSITORY)}
    assert found - made == expected


def test_the_wheel_is_the_package_with_its_pages(source: Path, built: tuple[Path, Path]) -> None:
    """The package as it is in git, man pages, completions, the commit, and what makes it a wheel."""
    with zipfile.ZipFile(built[1]) as archive:
        found = {*archive.namelist()}
        page = archive.read(f"{DATA}/share/man/man1/queuectl.1").decode()
        commit = archive.read("queuectl/COMMIT").decode().strip()
    made = {name for name in found if ".dist-info/" in name}
    package = {name for name in names_in_git(source) if name.startswith("queuectl/")}
    assert found - made == package | {"queuectl/COMMIT"} | {f"{DATA}/{name}" for name in SHARED}
    assert commit == commit_of(source)
    assert page.startswith(f'.TH QUEUECTL "1" "2023\\-11\\-14" "queuectl {__version__}"')
    assert "\x1b" not in page
    assert run("git", "-C", source, "status", "--porcelain") == "", "building leaves nothing behind"


def test_the_wheel_works_in_an_empty_environment(source: Path, installed: Path, tmp_path: Path) -> None:
    """With its three dependencies it queues and runs a job; no development package is there."""
    packages = json.loads(run(installed / "bin/python", "-m", "pip", "list", "--format", "json"))
    assert not DEVELOPMENT & {package["name"].lower() for package in packages} - {"setuptools"}
    own = {"QUEUECTL_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}

    def queuectl(*words: str) -> str:
        return run(installed / "bin/queuectl", *words, **own)

    first, second = queuectl("--version").splitlines()
    assert first == f"queuectl {__version__}"
    assert second.endswith(f"spool format 1, commit {commit_of(source)}")
    queuectl("worker", "start", "--count", "1")
    try:
        queuectl("enqueue", "--id", "first", "--command", "echo installed", "--wait")
        assert queuectl("logs", "first") == "installed\n"
    finally:
        queuectl("worker", "stop", "--wait")
    assert queuectl("help", "spool-format").startswith("# The spool, format 1\n")
    assert json.loads(queuectl("schema", "openapi"))["openapi"]
    assert f"ExecStart={installed}/bin/queuectl worker start" in queuectl("service", "print", "--user")
    assert not [name for name in SHARED if not (installed / name).is_file()]
    script = (installed / "share/bash-completion/completions/queuectl").read_text(encoding="utf-8")
    assert script == queuectl("completion", "bash")


def test_pipx_installs_it_with_its_man_page(builder: Path, built: tuple[Path, Path], tmp_path: Path) -> None:
    """In an environment of its own; the command and both pages are linked to where the user's are."""
    places = {
        "PIPX_HOME": "pipx",
        "PIPX_BIN_DIR": "bin",
        "PIPX_MAN_DIR": "man",
        "HOME": "user",
        "QUEUECTL_HOME": "home",
    }
    own = {name: str(tmp_path / place) for name, place in places.items()}
    run(builder / "python", "-m", "pipx", "install", built[1], **own)
    assert run(tmp_path / "bin/queuectl", "--version", **own).startswith(f"queuectl {__version__}\n")
    assert run(tmp_path / "bin/queuectl", "enqueue", "--id", "a", "--command", "true", **own) == "a\n"
    assert f"ExecStart={tmp_path}/bin/queuectl " in run(tmp_path / "bin/queuectl", "service", "print", "--user", **own)
    assert (tmp_path / "man/man1/queuectl.1").is_file()
    assert (tmp_path / "man/man5/queuectl-spool.5").is_file()
