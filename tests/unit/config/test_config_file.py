"""config: precedence, the parsed copy, edits of the file on disk, and what importing it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from queuectl.clock import Clock
from queuectl.config import config_file, yaml_text
from queuectl.config.config_file import load, render_example, set_value, unset_value
from queuectl.config.settings import SETTINGS, Settings, find
from queuectl.errors import Busy, InvalidData, NotAllowed, NotFound, QueueError

ROOT = Path(__file__).resolve().parents[3]
LONG_AGO_NS = 1_700_000_000 * 10**9


class Home:
    """A queue's home directory in a user's home directory."""

    def __init__(self, user: Path) -> None:
        self.path = user / ".queuectl"
        self.file = self.path / "config.yaml"
        self.copy = self.path / "run" / "config.json"
        self.environ = {"HOME": str(user)}

    def write(self, text: str | bytes) -> None:
        """Write config.yaml with an old mtime, so that it counts as settled."""
        (self.path / "run").mkdir(parents=True, exist_ok=True)
        self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        os.utime(self.file, ns=(LONG_AGO_NS, LONG_AGO_NS))

    def load(self, **environ: str) -> Settings:
        return load(str(self.path), {**self.environ, **environ})

    def set(self, name: str, text: str, **environ: str) -> tuple[object, object, str | None]:
        return set_value(str(self.path), name, text, {**self.environ, **environ})

    def unset(self, name: str, **environ: str) -> tuple[object, object, str | None]:
        return unset_value(str(self.path), name, {**self.environ, **environ})

    def names(self) -> list[str]:
        return sorted(
            str(p.relative_to(self.path)) for p in self.path.rglob("*") if p.is_file() and p.suffix != ".lock"
        )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were handed to the YAML parser."""
    texts: list[str] = []
    original = yaml_text.parse

    def parse(text: str, place: str, wrong: list[InvalidData] | None = None) -> yaml_text.Found:
        texts.append(text)
        return original(text, place, wrong)

    monkeypatch.setattr(yaml_text, "parse", parse)
    return texts


# --- precedence


def test_without_a_file_and_variables_all_is_default_and_nothing_is_written(home: Home) -> None:
    assert home.load() == Settings()
    assert not home.path.exists()


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(home: Home) -> None:
    home.write("# mine\ntimeout: 10m\nkill_after: 20\n")
    settings = home.load(QUEUECTL_TIMEOUT="5m", QUEUECTL_MIN_FREE="1GiB")
    assert (settings.timeout, settings.kill_after, settings.min_free, settings.drop_grace) == (300, 20, 1 << 30, 5)
    assert settings.origin("timeout") == "environment QUEUECTL_TIMEOUT"
    assert settings.origin("kill_after") == "config.yaml:3"
    assert settings.origin("drop_grace") == "default"
    assert settings.replace("timeout", "1m").timeout == 60


def test_the_alias_works_as_a_variable_but_the_full_name_wins(home: Home) -> None:
    settings = home.load(QUEUECTL_MAX_RETRIES="7")
    assert settings.max_retries_default == 7
    assert settings.origin("max_retries") == "environment QUEUECTL_MAX_RETRIES"
    assert home.load(QUEUECTL_MAX_RETRIES="7", QUEUECTL_MAX_RETRIES_DEFAULT="8").max_retries_default == 8


def test_variables_that_are_no_settings_and_empty_ones_are_ignored(home: Home) -> None:
    environ = {"QUEUECTL_HOME": "/x", "QUEUECTL_JOB_ID": "a", "QUEUECTL_ATTEMPT": "1", "QUEUECTL_RESULT": "/y"}
    assert home.load(**environ, QUEUECTL_NO_SUCH_THING="1", QUEUECTL_TIMEOUT="") == Settings()


def test_a_bad_variable_is_named(home: Home) -> None:
    with pytest.raises(InvalidData, match=r'^QUEUECTL_POLL_INTERVAL must be a duration .*, not "often"$'):
        home.load(QUEUECTL_POLL_INTERVAL="often")


# --- a file that cannot be used


def test_a_bad_value_is_named_with_file_and_line(home: Home) -> None:
    home.write("\n" * 6 + "max_retries_default: four\n")
    with pytest.raises(InvalidData) as raised:
        home.load()
    expected = '~/.queuectl/config.yaml:7: max_retries_default must be an integer from 0 to 1000, not "four"'
    assert str(raised.value) == expected


def test_a_home_outside_the_users_home_is_shown_in_full(home: Home) -> None:
    home.write("timeout: soon\n")
    with pytest.raises(InvalidData, match=f"^{home.file}:1: timeout must be"):
        load(str(home.path), {})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: 1\n\xe9\n", r"config\.yaml:2: not UTF-8 \(byte 0xe9\)$"),
        (b"# " + b"x" * (1 << 20), r"config\.yaml is longer than 1 MiB$"),
        (b"- 1\n", r'config\.yaml:1: must hold lines "name: value", not a list$'),
        (b"timeout: [\n", r"config\.yaml:1:11: not valid YAML: "),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(home: Home, data: bytes, message: str) -> None:
    home.write(data)
    with pytest.raises(InvalidData, match=message):
        home.load()
    with pytest.raises(InvalidData, match=message):
        home.set("timeout", "1")
    assert home.file.read_bytes() == data
    assert home.names() == ["config.yaml"]


def test_a_directory_or_a_fifo_of_that_name_is_refused_without_waiting(home: Home) -> None:
    home.file.mkdir(parents=True)
    with pytest.raises(InvalidData, match="is not a regular file"):
        home.load()
    home.file.rmdir()
    os.mkfifo(home.file)
    with pytest.raises(InvalidData, match="is not a regular file"):
        home.load()


@pytest.mark.parametrize("failing", ["stat", "open"])
def test_an_unreadable_file_is_an_error_and_not_a_default(
    home: Home, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    home.write("timeout: 1\n")

    def refuse(path: str, *_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, refuse)
        with pytest.raises(NotAllowed, match=r"^cannot read ~/\.queuectl/config\.yaml: Permission denied$"):
            home.load()


# --- the parsed copy


def test_an_unchanged_file_is_parsed_once_and_read_from_the_copy_after_that(home: Home, parses: list[str]) -> None:
    home.write("\ntimeout: 10m\npermanent_exit_codes: [3]\nsnooze_exit_code: none\n")
    first, second = home.load(), home.load()
    assert first == second == Settings({"timeout": 600, "permanent_exit_codes": (3,)})
    assert second.origin("permanent_exit_codes") == "config.yaml:3"
    assert len(parses) == 1
    assert home.copy.stat().st_mode & 0o777 == 0o600
    assert home.names() == ["config.yaml", "run/config.json"]


@pytest.mark.parametrize("change", ["mtime", "size", "inode", "ctime"])
def test_any_change_of_the_file_retires_the_copy(home: Home, parses: list[str], change: str) -> None:
    home.write("timeout: 10m\n")
    home.load()
    if change == "mtime":
        os.utime(home.file, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    elif change == "size":
        home.write("timeout: 100m\n")
    elif change == "inode":
        home.file.rename(home.path / "old")
        home.write("timeout: 20m\n")
    else:
        before = home.file.stat().st_ctime_ns
        while home.file.stat().st_ctime_ns == before:  # the file system's clock may tick coarsely
            home.write("timeout: 30m\n")
    home.load()
    assert len(parses) == 2
    assert home.load().timeout == yaml_text.parse(home.file.read_text(), "")["timeout"][0]


def test_a_file_that_changed_just_now_is_not_copied(home: Home, parses: list[str]) -> None:
    """A second change within the same tick of the file system's clock would go unseen."""
    home.write("timeout: 10m\n")
    os.utime(home.file, (Clock().now() + 3600,) * 2)
    home.load()
    assert not home.copy.exists()
    assert home.load().timeout == 600
    assert len(parses) == 2


def test_the_environment_never_gets_into_the_copy(home: Home) -> None:
    home.write("timeout: 10m\n")
    assert home.load(QUEUECTL_TIMEOUT="1").timeout == 1
    assert home.load().timeout == 600


@pytest.mark.parametrize(
    "edit",
    [
        lambda good: "",
        lambda good: "{",
        lambda good: "[1]",
        lambda good: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        lambda good: "[" * 100_000,
        lambda good: json.dumps({**good, "found": None}),
        lambda good: json.dumps({**good, "found": {"timeout": 5}}),
        lambda good: json.dumps({**good, "found": {"timeout": [True, 1]}}),
        lambda good: json.dumps({**good, "found": {"timeout": [5, float("inf")]}}),
        lambda good: json.dumps({**good, "found": {"timeout": [10**9, 1]}}),
        lambda good: json.dumps({**good, "found": {"no_longer_a_setting": [1, 1]}}),
        lambda good: json.dumps({"found": good["found"]}),
    ],
)
def test_a_corrupt_copy_is_ignored_and_replaced(home: Home, parses: list[str], edit: object) -> None:
    assert callable(edit)
    home.write("timeout: 10m\n")
    home.load()
    good = json.loads(home.copy.read_text())
    home.copy.write_text(edit(good))
    assert home.load().timeout == 600
    assert json.loads(home.copy.read_text()) == good
    assert len(parses) == 2


def test_a_copy_that_cannot_be_written_is_no_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write("timeout: 10m\n")

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert home.load().timeout == 600
    assert home.names() == ["config.yaml"]
    (home.path / "run").rmdir()
    assert home.load().timeout == 600
    assert home.names() == ["config.yaml"]


def test_a_valid_copy_spares_the_yaml_parser(home: Home) -> None:
    home.write("timeout: 10m\n")
    home.load()
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]; from queuectl.config.config_file import load; "
        f"print(load({str(home.path)!r}, {{}}).timeout, 'yaml' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["600", "False"]


# --- editing


def test_set_makes_home_and_file_when_they_are_missing_and_keeps_them_private(home: Home) -> None:
    assert home.set("max-retries", "5") == (3, 5, None)
    assert home.file.read_text() == config_file.HEADER + "max_retries_default: 5\n"
    assert home.file.stat().st_mode & 0o777 == 0o600
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert (home.path / "run").stat().st_mode & 0o777 == 0o700
    assert home.load().max_retries_default == 5


def test_set_changes_one_line_and_reports_what_was_in_force(home: Home) -> None:
    home.write("# a\ntimeout: 10m  # long enough\n\nkill_after: 5\n")
    assert home.set("timeout", " 2h30m ") == (600, 9000, None)
    assert home.file.read_text() == "# a\ntimeout: 2h30m  # long enough\n\nkill_after: 5\n"
    assert home.set("permanent_exit_codes", "1,2") == ((), (1, 2), None)
    assert home.file.read_text().endswith("kill_after: 5\npermanent_exit_codes: [1, 2]\n")
    assert home.load().permanent_exit_codes == (1, 2)


def test_unset_gives_the_default_back_and_a_missing_setting_is_no_error(home: Home) -> None:
    assert home.unset("timeout") == (3600, 3600, None)
    assert not home.file.exists()
    home.write("# a\ntimeout: 10m\nkill_after: 5\n")
    assert home.unset("timeout") == (600, 3600, None)
    assert home.unset("timeout") == (3600, 3600, None)
    assert home.file.read_text() == "# a\nkill_after: 5\n"


def test_an_edit_says_what_overrides_it(home: Home) -> None:
    home.write("timeout: 10m\n")
    overridden = "environment QUEUECTL_TIMEOUT"
    assert home.set("timeout", "20m", QUEUECTL_TIMEOUT="5") == (5, 1200, overridden)
    assert home.unset("timeout", QUEUECTL_TIMEOUT="5") == (5, 3600, overridden)
    assert home.set("kill_after", "1", QUEUECTL_TIMEOUT="5")[2] is None


def test_a_value_or_name_that_is_not_accepted_changes_nothing(home: Home) -> None:
    home.write("timeout: 10m\n")
    with pytest.raises(InvalidData, match=r'^timeout must be a duration .*, not "soon"$'):
        home.set("timeout", "soon")
    with pytest.raises(NotFound, match='did you mean "timeout"'):
        home.set("timeuot", "1")
    with pytest.raises(NotFound):
        home.unset("timeuot")
    with pytest.raises(InvalidData, match=r"^QUEUECTL_TIMEOUT must be"):
        home.set("timeout", "1", QUEUECTL_TIMEOUT="soon")
    assert home.file.read_text() == "timeout: 10m\n"


def test_a_broken_file_is_refused_and_left_as_it_is(home: Home) -> None:
    home.write("timeout: soon\n")
    message = r"^~/\.queuectl/config\.yaml:1: timeout must be"
    with pytest.raises(InvalidData, match=message):
        home.set("kill_after", "5")
    with pytest.raises(InvalidData, match=message):
        home.unset("timeout")
    assert home.file.read_text() == "timeout: soon\n"


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_stays_one_and_its_target_is_edited(home: Home, dangling: bool) -> None:
    dotfiles = home.path.parent / "dotfiles"
    dotfiles.mkdir()
    if not dangling:
        (dotfiles / "queue.yaml").write_text("timeout: 1\n")
    home.path.mkdir()
    home.file.symlink_to("../dotfiles/queue.yaml")
    home.set("timeout", "2")
    assert home.file.is_symlink()
    assert (dotfiles / "queue.yaml").read_text().endswith("timeout: 2\n")
    assert [p.name for p in dotfiles.iterdir()] == ["queue.yaml"]


def test_an_edit_that_changes_nothing_does_not_touch_the_file(home: Home) -> None:
    home.write("timeout: 10m\n")
    before = config_file._key(home.file.stat())
    assert home.set("timeout", "10m") == (600, 600, None)
    assert home.unset("kill_after") == (10, 10, None)
    assert config_file._key(home.file.stat()) == before


def test_an_edit_waits_for_another_and_gives_up_in_the_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write("timeout: 10m\n")
    monkeypatch.setattr(config_file, "LOCK_PATIENCE_S", 0)
    with filelock.FileLock(home.path / "run" / "config.lock"), pytest.raises(Busy, match="another process"):
        home.set("timeout", "1")
    assert home.set("timeout", "1") == (600, 1, None)


@pytest.mark.parametrize("failing", ["open", "fchmod", "fsync", "replace"])
def test_an_edit_that_fails_leaves_the_old_file_and_no_litter(
    home: Home, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    home.write("timeout: 10m\n")
    original = getattr(os, failing)

    def full(target: object, *args: object) -> object:
        if failing == "open" and not str(target).endswith(".tmp"):
            return original(target, *args)
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(QueueError, match=r"^cannot \w+ ~/\.queuectl/config\.yaml: No space left on device$"):
        home.set("timeout", "1")
    monkeypatch.undo()
    assert home.file.read_text() == "timeout: 10m\n"
    assert home.names() == ["config.yaml"]


def test_litter_of_an_edit_that_was_killed_does_not_stop_the_next(home: Home) -> None:
    home.write("timeout: 10m\n")
    (home.path / f"config.yaml.{os.getpid()}.tmp").write_text("half a fi")
    home.set("timeout", "1")
    assert home.load().timeout == 1
    assert home.names() == ["config.yaml"]


def test_a_home_that_cannot_be_made_is_an_error_of_the_environment(home: Home) -> None:
    home.path.write_text("a file")
    with pytest.raises(QueueError, match=r"^cannot change ~/\.queuectl/config\.yaml: "):
        home.set("timeout", "1")
    with pytest.raises(QueueError, match=r"^cannot read ~/\.queuectl/config\.yaml: "):
        home.load()


# --- the example and the cost


def test_the_example_in_the_repository_is_what_the_table_says() -> None:
    assert (ROOT / "config.example.yaml").read_text(encoding="utf-8") == render_example()


@pytest.mark.parametrize("name", ["queues", "resources", "schedules"])
def test_the_example_shows_a_whole_value_of_a_mapping(name: str) -> None:
    before = render_example().partition(f"# {name}: ")[0].splitlines()[-1]
    value = yaml_text.parse(f"{name}: {before.partition(', for example ')[2]}\n", "config.example.yaml")[name][0]
    assert find(name).check(value) == value != {}


def test_the_example_with_every_setting_taken_in_means_the_defaults() -> None:
    names = tuple(f"# {setting.name}:" for setting in SETTINGS)
    lines = [line[2:] if line.startswith(names) else line for line in render_example().splitlines()]
    found = yaml_text.parse("\n".join(lines), "config.example.yaml")
    assert {name: value for name, (value, _) in found.items()} == {s.name: s.default for s in SETTINGS}
    assert yaml_text.parse(render_example(), "config.example.yaml") == {}


def test_importing_the_configuration_imports_nothing_heavy() -> None:
    """`enqueue` reads settings: -I and -S keep `site` from importing these for its own purposes."""
    heavy = ["yaml", "re", "json", "dataclasses", "typing", "enum", "pathlib", "datetime", "filelock"]
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}]; import queuectl.config.config_file, queuectl.config.settings; "
        f"queuectl.config.config_file.load('/nonexistent', {{'QUEUECTL_TIMEOUT': '2h'}}); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
