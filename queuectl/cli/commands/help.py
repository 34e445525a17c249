"""help: what explains the program: help, completion, schema, and the text of --version."""

from __future__ import annotations

import os
import sys

from queuectl.cli.aliases import ALIASES, MEANT
from queuectl.cli.commandline import did_you_mean, parse
from queuectl.cli.options import Misuse, choice, command, option
from queuectl.cli.topics import TOPICS, text_of
from queuectl.cli.verbs import subcommands
from queuectl.spool.layout import FORMAT
from queuectl.version import PACKAGE, __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

COMMIT = os.path.join(PACKAGE, "COMMIT")
USES = {
    "bash": "source <(queuectl completion bash)            in ~/.bashrc",
    "zsh": 'source <(queuectl completion zsh)             in ~/.zshrc, after "compinit"',
    "fish": "queuectl completion fish | source             in ~/.config/fish/config.fish",
}


@command(
    "help",
    option("words", metavar="TOPIC", nargs="*", help="a command, or a topic, for instance exit-codes"),
    examples=("queuectl help", "queuectl help worker start", "queuectl help exit-codes"),
)
def run_help(args: Arguments, screen: Screen) -> int:
    """Explain the command or the topic that `args.words` name."""
    name = args.words[0] if args.words else ""
    if name in TOPICS and len(args.words) == 1:
        return _show_topic(screen, name)
    known = [*subcommands(), *TOPICS]
    if name and name not in (*known, *ALIASES, *MEANT):
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


@command(
    "completion",
    choice("shell", "SHELL", ("bash", "zsh", "fish"), help="bash, zsh or fish"),
    examples=("queuectl completion bash", "queuectl completion fish | head -n 1"),
)
def run_completion(args: Arguments, screen: Screen) -> int:
    """Print the script of a shell."""
    module = __import__(f"queuectl.cli.completion.{args.shell}", fromlist=["script"])
    text = str(module.script())
    screen.result({"shell": args.shell, "script": text}, [text.rstrip("\n")])
    screen.hint(f"To use it: {USES[args.shell]}")
    return 0


@command(
    "schema",
    choice("what", "WHAT", ("job", "config", "openapi"), help="job, config (config.yaml) or openapi"),
    examples=("queuectl schema job", "queuectl schema config", "queuectl schema openapi"),
)
def run_schema(args: Arguments, screen: Screen) -> int:
    """Print a schema."""
    if args.what == "openapi":
        import json

        from queuectl.web.routes import document

        screen.json(json.loads(document()))
        return 0
    from queuectl import json_schema

    screen.json(json_schema.job_schema() if args.what == "job" else json_schema.config_schema())
    return 0


def version() -> str:
    """Return the version, then what it runs on and what it was built from, as far as that is known."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{__version__}\n" + ", ".join([f"Python {python}", f"spool format {FORMAT}", *_commit()])


def _commit() -> list[str]:
    """Return the commit that a build left, with a + behind it where files differed from it."""
    try:
        with open(COMMIT, encoding="ascii") as file:
            return [f"commit {file.read().strip()}"]
    except OSError:
        return []
