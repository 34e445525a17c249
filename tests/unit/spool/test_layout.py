"""Names and paths, and homes that are refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.errors import InvalidData, NotAllowed, NotFound
from queuectl.spool.layout import FOLDERS, FORMAT, Layout, default_home, is_ignored, job_id_of, shown

HOSTILE = ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\n", "-x", ".x", "é", "x" * 129, " a"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_path_is_built_from_what_is_no_id(name: str) -> None:
    """Proves G18."""
    layout = Layout("/home")
    builders: list[Callable[[], str]] = [
        lambda: layout.job("pending", name),
        lambda: layout.output_of(name, 1),
        lambda: layout.input_of(name),
        lambda: layout.log(name),
    ]
    for build in builders:
        with pytest.raises(NotFound):
            build()


def test_where_things_lie() -> None:
    layout = Layout("/q/./home/")
    assert layout.home == "/q/home"
    assert layout.job("pending", "a-1") == "/q/home/spool/pending/a-1.json"
    assert layout.output_of("a-1", 2) == "/q/home/output/a-1.2.log"
    assert layout.output_of("a-1", 2, "result") == "/q/home/output/a-1.2.result"
    assert layout.input_of("a-1") == "/q/home/input/a-1"
    assert layout.log("worker-1") == "/q/home/logs/worker-1.log"
    assert (layout.index, layout.changes) == ("/q/home/index.sqlite3", "/q/home/run/changes")


def test_the_home_is_that_of_the_environment_else_in_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setenv("QUEUECTL_HOME", "/srv/q/../r")
    assert default_home() == "/srv/r"
    monkeypatch.setenv("QUEUECTL_HOME", "")
    assert default_home() == "/home/u/.queuectl"


@pytest.mark.parametrize(
    ("name", "job_id"),
    [
        ("a.json", "a"),
        ("A.b_c-1.json", "A.b_c-1"),
        ("a.json.json", "a.json"),
        ("a.JSON", None),
        ("a", None),
        (".json", None),
        (".a.json", None),
        ("a b.json", None),
        ("a\n.json", None),
        ("\udcff.json", None),
        ("x" * 128 + ".json", "x" * 128),
        ("x" * 129 + ".json", None),
    ],
)
def test_which_names_are_jobs(name: str, job_id: str | None) -> None:
    assert job_id_of(name) == job_id


def test_which_names_in_pending_are_none_of_our_business_yet() -> None:
    assert all(is_ignored(name) for name in (".a.json", "a.json.tmp", "a.part", "a.json~", "a.txt", "a", "a.json.swp"))
    assert not any(is_ignored(name) for name in ("a.json", "a b.json", "\udcff.json"))


@pytest.mark.parametrize(
    ("name", "printed"),
    [("a.json", "a.json"), ("é", "é"), ("a\nb\x1b[0m", "a\\nb\\x1b[0m"), ("a\udcff", "a\\xff"), ("\u202e", "\\u202e")],
)
def test_a_name_is_shown_on_one_line_without_control_characters(name: str, printed: str) -> None:
    assert shown(name) == printed


def test_a_new_home_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """Proves G17."""
    before = os.umask(0)
    try:
        Layout(str(tmp_path / "a" / "b")).ensure()
    finally:
        os.umask(before)
    home = tmp_path / "a" / "b"
    for path in (home, *(home / folder for folder in FOLDERS)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_making_a_home_again_changes_nothing_and_mends_what_is_missing(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    Path(layout.job("done", "a")).write_text("x")
    Path(layout.tmp).rmdir()
    layout.ensure()
    assert Path(layout.job("done", "a")).read_text() == "x"
    assert Path(layout.tmp).is_dir()


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_a_home_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Proves G17."""
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    os.chmod(layout.home, mode)
    with pytest.raises(NotAllowed, match="is writable by other users") as caught:
        layout.ensure()
    assert caught.value.hint == f"chmod 700 {layout.home}"
    os.chmod(layout.home, 0o755)
    layout.ensure()
    os.chmod(layout.directory("pending"), mode)
    with pytest.raises(NotAllowed, match="pending is writable by other users"):
        layout.ensure()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_home_of_another_user_is_refused(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    os.chown(layout.home, 12345, -1)
    with pytest.raises(NotAllowed, match="belongs to user 12345"):
        layout.ensure()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("x")
    with pytest.raises(NotAllowed, match="is not a directory"):
        Layout(str(tmp_path / "home")).ensure()


def test_the_spool_itself_may_not_lead_elsewhere_but_output_may(tmp_path: Path) -> None:
    """Moves have to stay on one file system; output may be large."""
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    Path(layout.output).rmdir()
    (tmp_path / "big").mkdir(mode=0o700)
    Path(layout.output).symlink_to(tmp_path / "big")
    layout.ensure()
    Path(layout.directory("done")).rmdir()
    Path(layout.directory("done")).symlink_to(tmp_path / "big")
    with pytest.raises(NotAllowed, match="done is not a directory"):
        layout.ensure()


def test_the_directories_of_jobs_lie_on_one_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(str(tmp_path / "home"))
    layout.ensure()
    real = os.lstat

    def elsewhere(path: str) -> os.stat_result:
        status = real(path)
        return os.stat_result([*status[:2], status.st_dev + 1, *status[3:]]) if path.endswith("/dead") else status

    monkeypatch.setattr(os, "lstat", elsewhere)
    with pytest.raises(NotAllowed, match="dead is on another file system"):
        layout.ensure()


@pytest.mark.parametrize("said", ["2", "2\n", "10", "", "one", "\x1b[31m", "\udc80"])
def test_a_home_of_a_later_format_is_refused_untouched(tmp_path: Path, said: str) -> None:
    """The message names both formats; what the file says never reaches the terminal as a command."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "format").write_bytes(said.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidData, match=f"has spool format .+; queuectl .+ knows format {FORMAT}$") as caught:
        Layout(str(home)).ensure()
    assert "\x1b" not in str(caught.value)
    assert [*home.iterdir()] == [home / "format"]


def test_a_home_that_says_it_is_of_this_format_is_taken(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "format").write_text(f"{FORMAT}\n")
    Layout(str(home)).ensure()
