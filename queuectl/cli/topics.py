"""topics: the texts of `queuectl help TOPIC`; the man page is made of some of them.

Guarantees: only the standard library is imported. What the program knows is not written down here a second time: settings,
            examples and the format come from where they are declared.
"""

from __future__ import annotations

import os

from queuectl.cli.tree import COMMANDS
from queuectl.config.settings import SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FORMAT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "spool", "FORMAT.md")

EXIT_CODES = """\
    0  done
    1  failed, for none of the reasons below
    2  the command line is wrong
    3  not found: no such job, worker or setting
    4  conflict: the id exists, the job is in the wrong state, a supervisor runs
    5  no supervisor is running, and one is needed
    6  invalid data: a job or the configuration
    7  a part of it failed; the rest was done
    8  not allowed
    9  busy or full: a lock is held, the disk is full; try again
   10  the job that was waited for did not succeed
   70  a bug in queuectl: add --debug and report what it shows
  124  --timeout ran out
  130  Ctrl-C
  141  nobody reads any more what it writes

"queuectl check" ends as monitoring plugins do: 0 OK, 1 WARNING, 2 CRITICAL,
3 UNKNOWN.

With --propagate, "wait" and "enqueue" end with the exit code of the job that
did not succeed: 128 + n when signal n ended it, 124 when it took too long.

With --json an error is an object on standard error: type, title, detail,
exit_code, and where they help, hint and excerpt.
"""

CRON = """\
Cron mails what a command writes. Maintenance writes nothing when all is well;
with -q, other commands write nothing but ids, which /dev/null takes.

  PATH=/usr/local/bin:/usr/bin:/bin

  # Mends, removes and tidies; brings workers back after a reboot.
  */15 * * * *  queuectl maintenance --ensure-workers 4

  # Each night; not twice while that of last night still waits or runs.
  30 2 * * *    queuectl enqueue -q --unique nightly --on-conflict skip --command 'backup.sh' >/dev/null

  # A job may have a time of its own: put in on Friday evening, run at night.
  0 18 * * 5    queuectl enqueue -q --at 'tomorrow 02:00' --command 'weekly.sh' >/dev/null

In a crontab a percent sign ends the line; write it as \\%. "queuectl service
install" starts workers without cron, by systemd or launchd.
"""

SELECTORS = """\
cancel, retry, delete, wait, logs, "dlq retry" and "dlq delete" take ids, or
selectors that choose jobs by what they are like; not both.

  ID ...            ids, or unique prefixes (to change a job: of generated
                    ids only)
  -                 whole ids from standard input, one a line, or jobs as
                    jsonl or tsv: list ... -o name | cancel -
  --state STATE     a comma list; may be repeated
  --queue, --tag, --batch NAME
  --error TEXT      in the last error
  --search TEXT     in id, name or command
  --since, --until  of the last change
  --all             all jobs to which the command applies
  --limit N         only the first N, in the order of --sort

Without --state, "cancel" chooses what has not ended, "retry" what failed or is
dead, and the dlq commands what is dead; "retry" runs completed jobs again only
with --state completed. "wait --all" chooses what has not ended; with other
selectors "wait" chooses ended jobs too, and exits with 10 if one did not
succeed.

Naming ids is consent. What selectors choose is counted first, and only these
jobs are changed, however many there are by then; a job whose state has changed
meanwhile is left alone. On a terminal you are asked. Elsewhere the command
needs --yes, and says how many jobs it would change without it. --dry-run only
counts; with -o name it prints the ids.

"list", "dlq list" and "purge" take the same filters. Lists for programs (-o
name, jsonl, tsv, json) are complete; --limit N cuts them, which is said.
"""

STATES = """\
  pending      ready to run, or waiting for its time (run_at)
  held         not to be started until it is released
  failed       its last attempt failed; it waits for the next one
  processing   a worker runs its command
  completed    the command ended with exit code 0
  cancelled    somebody ended it
  dead         given up: no retry is left, expired, interrupted too often

  enqueue ---> pending ---> processing ---> completed
                  ^             |
                  |             +---> failed, then processing once more
                  |             |
                  |             +---> dead ---> pending, by "queuectl dlq retry"
                  |             |
                  +-------------+ interrupted: worker or machine went down

"queuectl cancel" ends a job in any of the first four states. "queuectl retry"
runs one again now, also one that has ended. Attempts are numbered for ever; the
retries are counted anew when a job that has ended is run again. An expiry that
has passed is then removed. Cancelling a job that has ended changes nothing.
"""

TIMES = """\
Durations: --delay, --timeout, --kill-after; settings in config.yaml
  90              seconds; also 0.5
  10m             w, d, h, m, s and ms, from the greatest down
  2h30m, 3d 4h, 1h30, 500ms
  5min, 5 minutes, 2 hours 30 minutes

Points in time: --at, --expires, --since, --until; in the local time zone
  10m             from now; with --since and --until: ago
  now + 10m, in 10m; with --since and --until also -10m, 10m ago
  14:30, 2am, 2:30pm, noon, midnight
                  the next such time of day; with --since and --until: the last
  monday 9:00     the next such day; with --since and --until: the last
  today 18:00, tomorrow 02:00, yesterday
  2026-11-24, 2026-11-24 14:30, 2026-11-24T14:30:15, Nov 24 14:30
  2026-11-24T14:30:15Z, 2026-11-24T15:30:15+01:00, T14:30Z, 14:30 +0100
  2026-11-24 14:30 Europe/Berlin
                  with its zone; RFC 3339 is one form of it
  Tue Nov 24 14:30:15 UTC 2026
                  all that date, date -u, date -R and date -I write
  @1800000000     a Unix time: seconds since 1970; @ may be left out
                  where ten digits could not be a duration

A local time that occurs twice, when clocks go back, is the first of the two. A
local time that is skipped, when they go forward, is the first instant after.

In the file of a job, run_at and expires_at are RFC 3339 with a zone, and
durations are numbers of seconds.
"""

READ = """\
Read by queuectl:
  QUEUECTL_HOME    the queue's directory; ~/.queuectl when it is not set
  NO_COLOR         no colour, if it is not empty
  TERM             no colour, if it is "dumb"
  COLUMNS          how wide tables are; else as wide as the terminal
  PAGER            shows long texts on a terminal; less when it is not set, none
                   when it is empty
  NOTIFY_SOCKET    where the supervisor tells systemd how it is

Each setting has a variable that wins over config.yaml. For jobs the environment
counts that the supervisor was started in.
"""

GIVEN = """\
A command starts with these, and nothing else of the environment of queuectl:
  PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ
                     from the supervisor
  ...                what the job says in "env"
  QUEUECTL_JOB_ID    the job's id
  QUEUECTL_ATTEMPT   1, 2 ...
  QUEUECTL_QUEUE     the queue it waited in
  QUEUECTL_HOME      the queue's directory
  QUEUECTL_RUN_ID    names this attempt; queuectl finds its processes by it
  QUEUECTL_RESULT    a file for the job's result: JSON of at most 64 KiB
  QUEUECTL_PROGRESS  a file; "0.4 halfway" written there is shown meanwhile
"""


def _environment() -> str:
    width = max(len(setting.variable) for setting in SETTINGS)
    settings = "".join(
        f"  {setting.variable:<{width}}  default {setting.spell(setting.default)}\n" for setting in SETTINGS
    )
    return f"{READ}{settings}\n{GIVEN}"


def _examples() -> str:
    from textwrap import fill

    parts = []
    for name, command in COMMANDS.items():
        parts.append(
            "\n".join([fill(f"{name}: {command.help}", 80), *(f"  {example}" for example in command.examples), ""])
        )
    return "\n".join(parts)


def _format() -> str:
    with open(FORMAT, encoding="utf-8") as file:
        return file.read()


TEXTS: dict[str, Callable[[], str]] = {
    "cron": lambda: CRON,
    "environment": _environment,
    "examples": _examples,
    "exit-codes": lambda: EXIT_CODES,
    "spool-format": _format,
    "selectors": lambda: SELECTORS,
    "states": lambda: STATES,
    "time-formats": lambda: TIMES,
}
