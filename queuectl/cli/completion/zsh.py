"""zsh: the completion of zsh, with what each word means.

Source:     zshcompsys(1), zshcompwid(1).
"""

from __future__ import annotations

from queuectl.cli.aliases import ALIASES
from queuectl.cli.completion import table
from queuectl.cli.completion.table import ANYTHING, FILE, FOLDER, NOTHING, QUESTIONS
from queuectl.cli.verbs import GROUPS, VERBS

SCRIPT = """\
#compdef queuectl
# Completion of queuectl for zsh. To use it: source <(queuectl completion zsh)

_queuectl_ask() {{
    local -a answers
    [[ -d ${{home:-${{QUEUECTL_HOME:-$HOME/.queuectl}}}} ]] || return 1  # asking would make it
    answers=("${{(@f)$("$words[1]" ${{home:+--home}} $home "$@" < /dev/null 2> /dev/null)}}")
    compadd -a answers
}}

_queuectl() {{
    local command= home= before=$words[CURRENT-1] i
    local -a found
    for ((i = 2; i < CURRENT; i++)); do
        case $words[i] in
            (--home) home=$words[++i] ;;
            (--home=*) home=${{words[i]#*=}} ;;
            ({common}) ((i++)) ;;
            (--) _files; return ;;
            (-*) ;;
            (*) case $command in
                ({groups}) command=${{command:+$command }}$words[i] ;;
            esac ;;
        esac
    done
    if [[ $PREFIX == --*=* ]]; then
        before=${{PREFIX%%=*}}
        compset -P '*='
    fi
    case $command in
{aliases}
    esac
    case $command:$before in
{values}
    esac
    if [[ $PREFIX == -* ]]; then
        case $command in
{options}
        esac
        found+=(
{all_have}
            '--help:show help'
        )
        _describe -o option found
        return
    fi
    case $command in
{places}
    esac
}}

# Loaded from $fpath, this file is the function itself the first time.
if [[ $funcstack[1] == _queuectl ]]; then _queuectl "$@"; else compdef _queuectl queuectl; fi
"""


def script() -> str:
    """Return the text that zsh sources, or finds as _queuectl in its $fpath."""
    commands = ("", *VERBS)
    return SCRIPT.format(
        common="|".join(name for name in table.taking_values("") if name != "--home"),
        groups="|".join(("''", *GROUPS)),
        aliases="\n".join(
            f"        ({_quoted(alias)}) command={_quoted(meant)} ;;" for alias, meant in ALIASES.items()
        ),
        values="\n".join(
            f"        ({_labels(command, entry)}) {_offer(entry.value)}; return ;;"
            for command in commands
            for entry in table.options(command)
            if entry.value != NOTHING
        ),
        options="\n".join(
            f"            ({_quoted(command)}) found=(\n{_described(command)}\n            ) ;;"
            for command in VERBS
            if table.options(command)
        ),
        all_have=_described(""),
        places="\n".join(
            [
                *(f"        ({_quoted(name)}) {_words(table.following(name))} ;;" for name in ("", *GROUPS)),
                *(f"        ({_quoted(name)}) {_offer(value)} ;;" for name in VERBS if (value := table.place(name))),
            ]
        ),
    )


def _labels(command: str, entry: table.Entry) -> str:
    return "|".join(f"{_quoted(command) if command else '*'}:{name}" for name in entry.names)


def _described(command: str) -> str:
    rows = ((name, entry.help) for entry in table.options(command) for name in entry.names)
    return "\n".join(f"            {_quoted(f'{name}:{meaning}')}" for name, meaning in rows)


def _words(rows: list[tuple[str, str]]) -> str:
    lines = "\n".join(f"            {_quoted(f'{word}:{meaning}')}" for word, meaning in rows)
    return f"found=(\n{lines}\n        ); _describe command found"


def _offer(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"compadd {' '.join(value)}"
    if value in QUESTIONS:
        return "_queuectl_ask " + QUESTIONS[value].format("${PREFIX:+--search} $PREFIX")
    return {FILE: "_files", FOLDER: "_files -/", ANYTHING: ":", NOTHING: ":"}[value]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
