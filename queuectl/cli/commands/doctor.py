"""doctor: what is wrong with the queue, what helps, and with --fix the help itself."""

from __future__ import annotations

import os

from queuectl.cli.home import refuse_wrong_name
from queuectl.cli.options import command, flag
from queuectl.cli.progress import Progress
from queuectl.cli.table import emit
from queuectl.cli.text import safe
from queuectl.doctor.checks import CHECKS, examine, level_of, repair_all
from queuectl.doctor.result import ERROR, FIX, INFO, OK, WARN
from queuectl.doctor.scan import Context
from queuectl.errors import PartlyFailed, QueueError
from queuectl.spool.layout import Layout, default_home
from queuectl.units import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen
    from queuectl.doctor.checks import Check, Repair
    from queuectl.doctor.result import Finding

COLOURS = {OK: "green", INFO: "dim", WARN: "yellow", ERROR: "red"}
WRAP_AT = 100
LEAST = 30  # columns for text, however narrow the terminal is
FIELDS = ("check", "level", "text", "cure", "fixable")


@command(
    "doctor",
    flag("--fix", help="repair what can be repaired without losing a job; exit with 7 if an error is left"),
    flag("-v", "--verbose", help="also list the checks that found no problem"),
    examples=("queuectl doctor", "queuectl doctor --fix", "queuectl doctor --verbose", "queuectl doctor --json"),
)
def run(args: Arguments, screen: Screen) -> int:
    """Examine the home; a finding of level error is an error of this command."""
    repairs: list[Repair] = []
    layout = Layout(args.home or default_home())
    refuse_wrong_name(args, layout)
    with Progress(screen, "Examining") as progress:
        context = Context(layout, os.environ, progress.step)
        there = context.find()
        if args.fix and there:
            repairs = repair_all(context)
            context = Context(layout, os.environ, progress.step)  # settings and all
        findings = examine(context)
    shown = CHECKS if there else ()
    _write(screen, layout.home, shown, findings, repairs, everything=args.verbose)
    if there:
        _sum_up(screen, findings, repairs, fix=args.fix)
    return 0


def _write(
    screen: Screen,
    home: str,
    checks: Sequence[Check],
    findings: list[Finding],
    repairs: list[Repair],
    *,
    everything: bool,
) -> None:
    if screen.format == "json":
        screen.json(
            {
                "home": home,
                "level": level_of(findings),
                "checks": [{"name": c.name, "about": c.about, "level": level_of(findings, c.name)} for c in checks],
                "findings": [finding.as_dict() for finding in findings],
                "mended": [done.as_dict() for done in repairs],
            }
        )
        return
    if not screen.is_table:
        emit(screen, [finding.as_dict() for finding in findings], (), FIELDS, name="check")
        return
    for done in repairs:
        _paragraph(screen, "fixed" if done.is_done else "left", WARN if not done.is_done else OK, done.check, done.text)
    wrong = {finding.check for finding in findings}
    for check in checks if everything else ():
        if check.name not in wrong:
            _paragraph(screen, OK, OK, check.name, check.about)
    untold: dict[str, list[str]] = {}
    for finding in findings:
        if finding.reason:
            untold.setdefault(finding.reason, []).append(finding.check)
        if not finding.reason or len(untold[finding.reason]) == 1:
            _paragraph(screen, finding.level, finding.level, finding.check, finding.text, finding.cure)
    for names in untold.values():
        if len(names) > 1:
            text = f"for the same reason these checks could not be made: {', '.join(names[1:])}"
            _paragraph(screen, ERROR, ERROR, names[0], text)


def _paragraph(screen: Screen, word: str, level: str, check: str, text: str, cure: str = "") -> None:
    """Write a text behind its level and its check; what is to be typed is on a line of its own, and never broken."""
    from textwrap import wrap

    head = f"{word:<5}  {check:<{max(len(c.name) for c in CHECKS)}}  "
    room = max(LEAST, min(screen.columns, WRAP_AT) - len(head)) if screen.columns else len(text) * 10
    first, *more = wrap(safe(text), room, break_on_hyphens=False, break_long_words=False) or [""]
    screen.line(screen.paint(head, COLOURS[level]) + first)
    for line in more:
        screen.line(" " * len(head) + line)
    if cure:
        screen.line(" " * len(head) + screen.paint(f"cure: {safe(cure)}", "dim"))


def _sum_up(screen: Screen, findings: list[Finding], repairs: list[Repair], *, fix: bool) -> None:
    levels = [finding.level for finding in findings]
    words = [plural(levels.count(level), noun) for level, noun in WORDS if level in levels]
    left = ", ".join(words)
    failed = [done for done in repairs if not done.is_done]
    if fix and (failed or ERROR in levels):
        raise PartlyFailed(
            f"not everything could be repaired; left: {left or failed[0].text}", "follow the advice above"
        )
    if ERROR in levels:
        raise QueueError(
            f"{len(CHECKS)} checks: {left}",
            FIX if any(finding.repair for finding in findings) else "follow the advice above",
        )
    screen.message(f"{len(CHECKS)} checks: {left}" if left else f"{len(CHECKS)} checks, no problems found")


WORDS = ((ERROR, "error"), (WARN, "warning"), (INFO, "note"))
