"""error_output: an error as a person reads it, and as the problem object a program reads.

Source:     RFC 9457 (without `status`, which would be HTTP's; `exit_code` is ours).
"""

from __future__ import annotations

from queuectl.cli.text import safe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.errors import QueueError

INDENT = " " * 10  # under the message, behind "queuectl: "


def describe(error: QueueError, prefix: str = "queuectl: ", *, with_hint: bool = True) -> str:
    """Return the lines that tell a person of an error."""
    lines = [prefix + safe(str(error))]
    if error.excerpt:
        lines += [f"{INDENT}  {safe(line)}" for line in error.excerpt.split("\n")]
    if error.hint and with_hint:
        lines.append(f"{INDENT}hint: {safe(error.hint)}")
    lines += [describe(each, prefix, with_hint=with_hint) for each in error.more]
    return "\n".join(lines)


def problem(error: QueueError) -> dict[str, object]:
    """Return the RFC 9457 problem object of an error."""
    made: dict[str, object] = {
        "type": f"urn:queuectl:problem:{error.title.replace(' ', '-')}",
        "title": error.title,
        "detail": str(error),
        "exit_code": error.exit_code,
    }
    if error.hint:
        made["hint"] = error.hint
    if error.excerpt:
        made["excerpt"] = error.excerpt
    errors = [*error.errors, *map(problem, error.more)]
    if errors:
        made["errors"] = errors
    return made
