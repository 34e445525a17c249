"""aliases: words of other programs, and the commands that they stand for here.

Read only when a word that was typed is not a command, and by help, completion and the reference.
"""

from __future__ import annotations

ALIASES = {
    "add": "enqueue",
    "kill": "cancel",
    "ls": "list",
    "ps": "status",
    "rm": "delete",
    "config ls": "config list",
    "dlq ls": "dlq list",
    "dlq rm": "dlq delete",
    "queue ls": "queue list",
    "worker ls": "worker list",
}

# Not done, because the word may mean something else; an error names what was probably meant.
MEANT = {
    **dict.fromkeys(("abort", "terminate"), "cancel"),
    **dict.fromkeys(("clean", "clear", "flush", "prune"), "purge"),
    **dict.fromkeys(("create", "push", "put", "submit"), "enqueue"),
    **dict.fromkeys(("dead", "dead-letter", "deadletter", "dead-letters", "failed"), "dlq list"),
    **dict.fromkeys(("del", "remove"), "delete"),
    **dict.fromkeys(("describe", "get", "info", "inspect"), "show"),
    **dict.fromkeys(("job", "jobs"), "list"),
    **dict.fromkeys(("change", "modify", "update"), "edit"),
    **dict.fromkeys(("unhold",), "release"),
    **dict.fromkeys(("each", "foreach", "parallel", "xargs"), "map"),
    **dict.fromkeys(("log", "output", "tail", "follow"), "logs"),
    **dict.fromkeys(("requeue", "rerun", "revive"), "retry"),
    **dict.fromkeys(("serve", "server", "ui", "dashboard"), "web"),
    "set": "config set",
    "settings": "config list",
    **dict.fromkeys(("start", "up", "worker run", "worker add", "worker up"), "worker start"),
    **dict.fromkeys(("stop", "shutdown", "quit", "down", "worker kill", "worker shutdown"), "worker stop"),
    **dict.fromkeys(("restart", "reload", "worker reload"), "worker restart"),
    **dict.fromkeys(("worker status", "worker show", "worker ps", "workers"), "worker list"),
    **dict.fromkeys(("dlq purge", "dlq clear", "dlq remove"), "dlq delete"),
    **dict.fromkeys(("dlq requeue", "dlq rerun", "dlq revive"), "dlq retry"),
    **dict.fromkeys(("config show", "config dump"), "config list"),
    **dict.fromkeys(("config delete", "config reset", "config remove", "config rm"), "config unset"),
    **dict.fromkeys(("queues", "queue show", "queue status"), "queue list"),
    **dict.fromkeys(("suspend", "freeze", "queue pause"), "pause"),
    **dict.fromkeys(("unpause", "continue", "unfreeze", "thaw", "queue resume"), "resume"),
    **dict.fromkeys(("queue limit", "queue config", "queue edit"), "queue set"),
    **dict.fromkeys(("prio", "prioritize", "renice", "bump"), "priority"),
    "scale": "worker scale",
    "version": "--version",
}

# Options of other programs, by the command they are typed after ("" for any).
MEANT_OPTIONS = {
    ("enqueue", "--cmd"): "--command",
    ("enqueue", "--dir"): "--cwd",
    ("enqueue", "--workdir"): "--cwd",
    ("enqueue", "--working-directory"): "--cwd",
    ("enqueue", "--in"): "--delay",
    ("enqueue", "--label"): "--tag",
    ("enqueue", "--group"): "--batch",
    ("enqueue", "--retries"): "--max-retries",
    ("enqueue", "--niceness"): "--nice",
    ("enqueue", "--input"): "--stdin",
    **{("enqueue", name): "--memory" for name in ("--mem", "--memory-limit", "--max-memory")},
    **{("enqueue", name): "--cpu-time" for name in ("--cpu", "--cpu-limit", "--max-cpu")},
    **{
        ("enqueue", name): "--after"
        for name in ("--depends-on", "--depends", "--dependency", "--needs-job", "--parent")
    },
    **{("enqueue", name): "--lock" for name in ("--mutex", "--exclusive", "--semaphore")},
    **{("enqueue", name): "--needs" for name in ("--resource", "--resources", "--gpu", "--gpus")},
    ("worker start", "--workers"): "--count",
    ("", "--status"): "--state",
    ("", "--format"): "--output",
    ("", "--older"): "--older-than",
    ("", "--force"): "--yes",
}
ABSENT_OPTIONS = {
    ("enqueue", "--cron"): "for recurring jobs: queuectl help cron",
    ("enqueue", "--every"): "for recurring jobs: queuectl help cron",
    **{
        ("edit", f"--{name}"): f"to change a field: --set {name.replace('-', '_')}=VALUE"
        for name in (
            *("command", "name", "priority", "delay", "at", "expires", "timeout", "kill-after", "max-retries"),
            *("backoff-base", "cwd", "env", "leftovers", "after", "after-policy", "lock", "needs", "weight"),
            *("shell", "nice", "ionice", "memory", "cpu-time"),
            *("on-success", "on-failure", "on-dead", "on-cancel", "on-batch-done"),
        )
    },
    ("purge", "--all"): "without selectors it removes all completed and cancelled jobs; others need --state",
    ("worker stop", "--all"): "without --id it stops all workers",
    ("worker restart", "--all"): "without --id it restarts all workers",
}


def aliases_of(command: str) -> list[str]:
    """Return the last words by which a command may be called besides its own."""
    return [alias.split()[-1] for alias, meant in ALIASES.items() if meant == command]
