"""completion: what a shell needs to complete command lines of queuectl."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from queuectl.cli.commandline import Arguments
    from queuectl.cli.terminal import Screen

USES = {
    "bash": "source <(queuectl completion bash)            in ~/.bashrc",
    "zsh": 'source <(queuectl completion zsh)             in ~/.zshrc, after "compinit"',
    "fish": "queuectl completion fish | source             in ~/.config/fish/config.fish",
}


def run(args: Arguments, screen: Screen) -> int:
    """Print the script of a shell."""
    module = __import__(f"queuectl.cli.completion.{args.shell}", fromlist=["script"])
    text = str(module.script())
    screen.result({"shell": args.shell, "script": text}, [text.rstrip("\n")])
    screen.hint(f"To use it: {USES[args.shell]}")
    return 0
