"""topics: the texts of `queuectl help TOPIC`; some of them are part of the man page.

Guarantees: only the standard library is imported. Settings, examples and the file format are read from where they are
            declared; they are not repeated here.
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
    0  success
    1  failed, for a reason that has no code of its own
    2  wrong command line
    3  not found: no such job, worker or setting
    4  conflict: the id exists, the job is in the wrong state, a supervisor runs
    5  no supervisor is running, but the command needs one
    6  invalid data: a job or the configuration
    7  partly failed; the rest was done
    8  not allowed
    9  busy or full: a lock is held or the disk is full; try again
   10  the job that was waited for did not succeed
   70  a bug in queuectl; run again with --debug and report the output
  124  the --timeout was reached
  130  interrupted by Ctrl-C
  141  the reader of the output has closed it

"queuectl check" uses the exit codes of monitoring plugins: 0 OK, 1 WARNING,
2 CRITICAL, 3 UNKNOWN.

With --propagate, "wait" and "enqueue" exit with the exit code of the job that
did not succeed. It is 128 + n if signal n ended the job, and 124 if the job
reached its timeout.

With --json, an error is a JSON object on standard error. It has type, title,
detail and exit_code, and optionally hint and excerpt.
"""

CRON = """\
Cron mails what a command prints. "queuectl maintenance" prints nothing if there
is no error. With -q, other commands print only ids; send these to /dev/null.

  PATH=/usr/local/bin:/usr/bin:/bin

  # Runs the maintenance tasks; starts workers if none is running.
  */15 * * * *  queuectl maintenance --ensure-workers 4

  # Every night, unless the job of last night is still waiting or running.
  30 2 * * *    queuectl enqueue -q --unique nightly --on-conflict skip --command 'backup.sh' >/dev/null

  # Enqueued on Friday evening, runs at night.
  0 18 * * 5    queuectl enqueue -q --at 'tomorrow 02:00' --command 'weekly.sh' >/dev/null

In a crontab, write a percent sign as \\%. "queuectl service install" starts
workers with systemd or launchd, without cron.
"""

SELECTORS = """\
cancel, retry, hold, release, edit, delete, wait, logs, "dlq retry" and "dlq
delete" take either ids or selectors. A job is selected if it matches all
selectors.

  ID ...            ids, or unique prefixes; a command that changes jobs takes
                    a prefix only of a generated id
  -                 complete ids from standard input, one a line, or jobs as
                    jsonl or tsv: list ... -o name | cancel -
  --state STATE     one or more states, separated by commas; may be repeated
  --queue, --tag, --batch NAME
  --error TEXT      TEXT is in the last error
  --search TEXT     TEXT is in the id, name or command
  --since, --until  time of the last change
  --all             all jobs that the command can act on
  --limit N         only the first N, in the order of --sort

Without --state:
  cancel            selects jobs that have not ended
  retry             selects failed and dead jobs; completed jobs are run again
                    only with --state completed
  hold              selects pending and failed jobs; release: held jobs; edit:
                    all three
  dlq               selects dead jobs
  wait              with --all, selects jobs that have not ended; with other
                    selectors, also ended jobs; it exits with 10 if a job did
                    not succeed

With ids, the command acts without asking. With selectors, it first counts the
selected jobs. If there are none, it exits with 0. On a terminal it asks.
Elsewhere it needs --yes; without it, it only prints the number. The command
changes only the jobs that were counted. It skips a job whose state has changed
since. --dry-run only counts; with -o name it also prints the ids.

"list", "dlq list" and "purge" take the same selectors. The output formats for
programs (-o name, jsonl, tsv, json) list all jobs, unless --limit N is given.
If rows are left out, a message says so.
"""

STATES = """\
  pending      ready to run, or waiting for its time (run_at)
  held         does not start until "queuectl release"
  failed       its last attempt failed; it waits for a retry
  processing   a worker runs its command
  completed    the command exited with code 0
  cancelled    a user cancelled it
  dead         no retries are left, it expired, or it was interrupted too often

  enqueue ---> pending ---> processing ---> completed
                  ^             |
                  |             +---> failed, then processing again
                  |             |
                  |             +---> dead ---> pending, by "queuectl dlq retry"
                  |             |
                  +-------------+ interrupted: worker or machine went down

"queuectl cancel" ends a job in any of the first four states. It does not change
a job that has ended.

"queuectl retry" runs a job now, also if it has ended. The attempts continue to
be numbered. A job that has ended gets all its retries again. An expiry that has
passed is removed from the job.
"""

TIMES = """\
Durations: --delay, --timeout, --kill-after; settings in config.yaml
  90              seconds; also 0.5
  10m             units w, d, h, m, s and ms, the largest first
  2h30m, 3d 4h, 1h30, 500ms
  5min, 5 minutes, 2 hours 30 minutes

Points in time: --at, --expires, --since, --until; in the local time zone
  10m             from now; with --since and --until: ago
  now + 10m, in 10m; with --since and --until also -10m, 10m ago
  14:30, 2am, 2:30pm, noon, midnight
                  the next such time; with --since and --until: the last
  monday 9:00     the next such day; with --since and --until: the last
  today 18:00, tomorrow 02:00, yesterday
  2026-11-24, 2026-11-24 14:30, 2026-11-24T14:30:15, Nov 24 14:30
  2026-11-24T14:30:15Z, 2026-11-24T15:30:15+01:00, T14:30Z, 14:30 +0100
  2026-11-24 14:30 Europe/Berlin
                  with a time zone; this includes RFC 3339
  20261124T143015Z
                  the same without separators: date -u +%Y%m%dT%H%M%SZ
  Tue Nov 24 14:30:15 UTC 2026
                  the output of date, date -u, date -R and date -I
  17h30           refused, it has two meanings: 17:30 or in 17h30
  @1800000000     a Unix time: seconds since 1970; the @ may be left out
                  before ten digits

When clocks go back, a local time occurs twice; the first is meant. When clocks
go forward, a local time is skipped; the first instant after the gap is meant.

In a job file, run_at and expires_at are RFC 3339 with a zone, and durations are
numbers of seconds.
"""

READ = """\
Read by queuectl:
  QUEUECTL_HOME    the queue's directory; default ~/.queuectl
  NO_COLOR         if not empty: no colour
  TERM             if "dumb": no colour
  COLUMNS          width of tables; default: the width of the terminal
  NOTIFY_SOCKET    set by systemd; the supervisor reports its state there

Each setting has a variable, which overrides config.yaml. For jobs, the
environment in which the supervisor was started applies.
"""

GIVEN = """\
A command starts with these variables only. It does not inherit others:
  PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_*, TZ
                     from the supervisor
  ...                the variables in "env" of the job
  QUEUECTL_JOB_ID    the id of the job
  QUEUECTL_ATTEMPT   the number of the attempt: 1, 2 ...
  QUEUECTL_QUEUE     the queue of the job
  QUEUECTL_HOME      the queue's directory
  QUEUECTL_RUN_ID    identifies this attempt; queuectl uses it to find processes
  QUEUECTL_RESULT    file for the result of the job: JSON of at most 64 KiB
  QUEUECTL_PROGRESS  file for progress, such as "0.4 halfway"; shown while the
                     job runs
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
