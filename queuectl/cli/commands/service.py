"""service: the files by which systemd or launchd runs the queue."""

from __future__ import annotations

import os
import sys

from queuectl.cli import service_units
from queuectl.cli.options import command, flag, number
from queuectl.cli.terminal import shorten
from queuectl.errors import Conflict, NoSupervisor, NotAllowed, UsageError, from_os_error
from queuectl.spool.layout import Layout, default_home
from queuectl.version import PACKAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

KINDS = ("user", "system", "launchd")
WHAT = (
    number("--workers", default=1, help="number of workers to start (default: 1)"),
    flag("--user", help="for systemd, started at login (default, except for root)"),
    flag("--system", help="for systemd, started at boot; runs as the owner of the home"),
    flag("--launchd", help="for launchd (default on macOS)"),
    flag("--web", help="also install the status page, as a separate service"),
)


class File:
    """A file of a service: where it belongs and what it says."""

    __slots__ = ("path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text

    @property
    def present(self) -> str | None:
        """What is there now; None when nothing is."""
        try:
            with open(self.path, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self) -> None:
        """Write it, with the directories it lies in."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(self.text)


@command(
    "service print",
    *WHAT,
    examples=(
        "queuectl service print --workers 4",
        "queuectl service print --system --web",
        "queuectl service print --launchd",
    ),
)
def run_print(args: Arguments, screen: Screen) -> int:
    """Show the files."""
    files = _files(args)
    if screen.format in ("json", "jsonl"):
        screen.json([{"path": file.path, "text": file.text} for file in files])
        return 0
    for file in files:
        if len(files) > 1:
            screen.line(f"# {file.path}")
        screen.write(file.text)
    screen.hint("To install it: queuectl service install")
    return 0


@command(
    "service install",
    *WHAT,
    flag("--dry-run", help="report what would be written, but write nothing"),
    flag("--force", help="replace files that have other content"),
    examples=(
        "queuectl service install --user --workers 4 --dry-run",
        "queuectl service install --user --workers 2 --web --force",
    ),
)
def run_install(args: Arguments, screen: Screen) -> int:
    """Write the files, all or none of them."""
    kind, files = _kind(args), _files(args)
    try:
        before = {file.path: file.present for file in files}
        differing = [file.path for file in files if before[file.path] not in (None, file.text)]
        if differing and not (args.force or args.dry_run):
            raise Conflict(
                f"{shorten(differing[0])} exists with other content; nothing was written",
                "--force replaces it; queuectl service print shows the new content",
            )
        states = {file.path: _state(before[file.path], file.text) for file in files}
        for file in files:
            if states[file.path] != "unchanged" and not args.dry_run:
                file.write()
    except OSError as error:
        known = from_os_error(error, f"cannot write {error.filename}")
        if isinstance(known, NotAllowed) and kind == "system":
            known.hint = "system services are written by root; for a user service: --user"
        raise known from None
    screen.result({"action": "install", "dry_run": args.dry_run, "files": states}, states)
    for path, state in states.items():
        screen.message(f"{'Would be ' if args.dry_run else ''}{state}: {shorten(path)}")
    if not args.dry_run:
        _write_next_steps(screen, kind, files, args)
    return 0


def _state(before: str | None, text: str) -> str:
    if before is None:
        return "written"
    return "unchanged" if before == text else "replaced"


def _write_next_steps(screen: Screen, kind: str, files: list[File], args: Arguments) -> None:
    """Name the commands that start it."""
    from queuectl import control_client

    screen.message("Nothing was started. To start it now and at each login or boot:")
    try:
        control_client.ask(_layout(args), {"do": "hello"})
        screen.message("  queuectl worker stop --wait    # the supervisor that runs now owns the queue")
    except NoSupervisor:
        pass
    if kind == "launchd":
        for file in files:
            screen.message(f"  launchctl bootstrap gui/{os.geteuid()} {shorten(file.path)}")
        return
    systemctl = "systemctl --user" if kind == "user" else "systemctl"
    screen.message(f"  {systemctl} daemon-reload")
    screen.message(f"  {systemctl} enable --now {' '.join(os.path.basename(file.path) for file in files)}")
    if kind == "user":
        screen.message("  loginctl enable-linger         # so that it runs while you are not logged in")


def _kind(args: Arguments) -> str:
    chosen = [kind for kind in KINDS if getattr(args, kind)]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} cannot be used together")
    if chosen:
        return chosen[0]
    if sys.platform == "darwin":
        return "launchd"
    return "system" if os.geteuid() == 0 else "user"


def _files(args: Arguments) -> list[File]:
    from queuectl.control_client import check_count

    kind = _kind(args)
    check_count(args.workers, 1, "--workers")
    words = program()
    if kind != "launchd" and not service_units.UNSAFE.isdisjoint(words[0]):
        raise UsageError(f"systemd cannot start a program whose path contains quotes or backslashes: {words[0]}")
    about = service_units.Service(
        words,
        _layout(args).home,
        _search_path(),
        is_home_known=kind != "system" and _layout(args).home == os.path.join(os.path.expanduser("~"), ".queuectl"),
        user=_owner(_layout(args).home) if kind == "system" else "",
        workers=args.workers,
    )
    folder = {
        "user": os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "systemd/user"),
        "system": "/etc/systemd/system",
        "launchd": os.path.expanduser("~/Library/LaunchAgents"),
    }[kind]
    if kind == "launchd":
        made = [
            (f"{service_units.LABEL}.plist", service_units.plist),
            (f"{service_units.LABEL}.web.plist", service_units.web_plist),
        ]
    else:
        made = [("queuectl.service", service_units.unit), ("queuectl-web.service", service_units.web_unit)]
    return [File(f"{folder}/{name}", text(about)) for name, text in made[: 2 if args.web else 1]]


def _layout(args: Arguments) -> Layout:
    return Layout(args.home or default_home())


def program() -> tuple[str, ...]:
    """Return the words that start this installation from anywhere."""
    typed = os.path.abspath(sys.argv[0])
    if os.path.basename(typed) == "queuectl" and os.path.isfile(typed) and os.access(typed, os.X_OK):
        return (typed,)
    return (sys.executable, PACKAGE)


def _search_path() -> str:
    """Return $PATH without what depends on the current directory."""
    from queuectl.executor.environment import DEFAULT_PATH

    folders = [folder for folder in os.environ.get("PATH", "").split(":") if folder.startswith("/")]
    return ":".join(dict.fromkeys(folders)) or DEFAULT_PATH


def _owner(home: str) -> str:
    """Return who owns a home, or would if it were made now."""
    import pwd

    try:
        uid = os.stat(home).st_uid
    except OSError:
        uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
