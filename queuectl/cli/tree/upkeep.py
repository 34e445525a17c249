"""upkeep: the commands for settings, the index, diagnosis and help."""

from __future__ import annotations

from queuectl.cli.grammar import Command, flag, number, option

TASKS = ("reclaim", "retention", "output", "litter", "logs", "statistics", "index")  # queuectl/maintenance/runner.py

UPKEEP: dict[str, Command] = {
    "config list": Command(
        "list settings, their values and where these come from",
        examples=("queuectl config list", "queuectl config list --json"),
    ),
    "config get": Command(
        "print the value of a setting",
        option("key", metavar="KEY", help="the setting's name"),
        examples=("queuectl config get max_retries_default", "queuectl config get backoff_base"),
    ),
    "config set": Command(
        "change a setting; running workers apply it at once",
        option("key", metavar="KEY", help="the setting's name"),
        option("value", metavar="VALUE", help="its new value"),
        examples=("queuectl config set max_retries_default 5", "queuectl config set timeout 2h30m"),
    ),
    "config unset": Command(
        "remove a setting from the file, so that its default applies",
        option("key", metavar="KEY", help="the setting's name"),
        examples=("queuectl config unset timeout", "queuectl config unset max-retries"),
    ),
    "config path": Command(
        "print where config.yaml is", examples=("queuectl config path", "$EDITOR $(queuectl config path)")
    ),
    "config check": Command(
        "check whether the configuration is valid; exit with 6 if not",
        examples=("queuectl config check", "queuectl config check --json"),
    ),
    "index rebuild": Command(
        "rebuild the index from the job files",
        examples=("queuectl index rebuild", "queuectl index rebuild --json"),
    ),
    "index verify": Command(
        "compare the index with the job files",
        examples=("queuectl index verify", "queuectl index verify --json"),
    ),
    "doctor": Command(
        "report problems and how to fix them; exit with 1 for errors, not for warnings",
        flag("--fix", help="repair what can be repaired without losing a job; exit with 7 if an error is left"),
        flag("-v", "--verbose", help="also list the checks that found no problem"),
        examples=("queuectl doctor", "queuectl doctor --fix", "queuectl doctor --verbose", "queuectl doctor --json"),
    ),
    "maintenance": Command(
        "repair and clean up the queue; prints nothing when all is well",
        option("tasks", metavar="TASK", nargs="*", help="only these tasks: " + ", ".join(TASKS)),
        flag("-v", "--verbose", help="show what each task did"),
        flag("--dry-run", help="change nothing; show what would be done"),
        number("--ensure-workers", help="first start N workers if no supervisor is running, as after a reboot"),
        examples=(
            "queuectl maintenance",
            "queuectl maintenance --verbose --dry-run",
            "queuectl maintenance retention output --verbose",
        ),
    ),
}
