"""installing: the commands that fit the program into a system, and that explain it."""

from __future__ import annotations

from queuectl.cli.grammar import Command, choice, flag, number, option

WHAT = (
    number("--workers", default=1, help="how many workers it starts (default: 1)"),
    flag("--user", help="for systemd, started when you log in (default, except for root)"),
    flag("--system", help="for systemd, started with the machine; runs as the owner of the home"),
    flag("--launchd", help="for launchd (default on macOS)"),
    flag("--web", help="the status page too, as a service of its own"),
)

INSTALLING: dict[str, Command] = {
    "service print": Command(
        "show the files by which systemd or launchd runs the queue",
        *WHAT,
        examples=(
            "queuectl service print --workers 4",
            "queuectl service print --system --web",
            "queuectl service print --launchd",
        ),
    ),
    "service install": Command(
        "write the files by which systemd or launchd runs the queue; start nothing",
        *WHAT,
        flag("--dry-run", help="say what would be written, but write nothing"),
        flag("--force", help="replace files that say something else"),
        examples=(
            "queuectl service install --user --workers 4 --dry-run",
            "queuectl service install --user --workers 2 --web --force",
        ),
    ),
    "completion": Command(
        "print the script by which a shell completes command lines",
        choice("shell", "SHELL", ("bash", "zsh", "fish"), help="bash, zsh or fish"),
        examples=("queuectl completion bash", "queuectl completion fish | head -n 1"),
    ),
    "schema": Command(
        "print what authors may write as JSON Schema, or the API as OpenAPI",
        choice("what", "WHAT", ("job", "config", "openapi"), help="job, config (config.yaml) or openapi"),
        examples=("queuectl schema job", "queuectl schema config", "queuectl schema openapi"),
    ),
    "help": Command(
        "explain a command or a topic; alone it lists them",
        option("words", metavar="TOPIC", nargs="*", help="a command, or a topic, for instance exit-codes"),
        examples=("queuectl help", "queuectl help worker start", "queuectl help exit-codes"),
    ),
}
