"""help: the help of a command, as --help shows it, and of topics."""

from __future__ import annotations

from queuectl.cli.commandline import did_you_mean, parse
from queuectl.cli.grammar import Misuse
from queuectl.cli.topics import TOPICS, text_of
from queuectl.cli.tree import subcommands
from queuectl.cli.tree.aliases import ABSENT, ALIASES, MEANT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen


def run(args: Arguments, screen: Screen) -> int:
    """Explain the command or the topic that `args.words` name."""
    name = args.words[0] if args.words else ""
    if name in TOPICS and len(args.words) == 1:
        return _show_topic(screen, name)
    known = [*subcommands(), *TOPICS]
    if name and name not in (*known, *ALIASES, *MEANT, *ABSENT):
        raise Misuse(f'no help on "{name}"{did_you_mean(name, known)}', "queuectl help")
    screen.flush()
    parse([*args.words, "--help"])
    return 0


def _show_topic(screen: Screen, name: str) -> int:
    text = text_of(name)
    if screen.format in ("json", "jsonl"):
        screen.json({"topic": name, "summary": TOPICS[name], "text": text})
    else:
        screen.write(text)
    return 0
