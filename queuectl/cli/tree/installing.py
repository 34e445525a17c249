"""installing: the commands that fit the program into a system, and that explain it."""

from __future__ import annotations

from queuectl.cli.grammar import Command, choice, flag, number, option

WHAT = (
    number("--workers", default=1, help="number of workers to start (default: 1)"),
    flag("--user", help="for systemd, started at login (default, except for root)"),
    flag("--system", help="for systemd, started at boot; runs as the owner of the home"),
    flag("--launchd", help="for launchd (default on macOS)"),
    flag("--web", help="also install the status page, as a separate service"),
)

INSTALLING: dict[str, Command] = {
    "service print": Command(
        "print the service files for systemd or launchd",
        *WHAT,
        examples=(
            "queuectl service print --workers 4",
            "queuectl service print --system --web",
            "queuectl service print --launchd",
        ),
    ),
    "service install": Command(
        "write the service files for systemd or launchd; starts nothing",
        *WHAT,
        flag("--dry-run", help="report what would be written, but write nothing"),
        flag("--force", help="replace files that have other content"),
        examples=(
            "queuectl service install --user --workers 4 --dry-run",
            "queuectl service install --user --workers 2 --web --force",
        ),
    ),
    "completion": Command(
        "print the completion script for a shell",
        choice("shell", "SHELL", ("bash", "zsh", "fish"), help="bash, zsh or fish"),
        examples=("queuectl completion bash", "queuectl completion fish | head -n 1"),
    ),
    "schema": Command(
        "print the JSON Schema of jobs or config.yaml, or the OpenAPI of the API",
        choice("what", "WHAT", ("job", "config", "openapi"), help="job, config (config.yaml) or openapi"),
        examples=("queuectl schema job", "queuectl schema config", "queuectl schema openapi"),
    ),
    "help": Command(
        "show help for a command or a topic; without arguments list them",
        option("words", metavar="TOPIC", nargs="*", help="a command, or a topic, for instance exit-codes"),
        examples=("queuectl help", "queuectl help worker start", "queuectl help exit-codes"),
    ),
}
