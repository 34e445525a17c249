"""bash: the completion of bash.

Guarantees: works with bash 3.2 and newer, without the package bash-completion.
Source:     bash(1), Programmable Completion.
"""

from __future__ import annotations

from queuectl.cli.aliases import ALIASES
from queuectl.cli.completion import table
from queuectl.cli.completion.table import ANYTHING, FILE, FOLDER, NOTHING, QUESTIONS
from queuectl.cli.verbs import GROUPS, VERBS

SCRIPT = """\
# Completion of queuectl for bash. To use it: source <(queuectl completion bash)

_queuectl_offer() {{
    local line
    while IFS= read -r line; do COMPREPLY+=("${{line#"$lead"}}"); done < <(compgen "$@" -- "$word" 2> /dev/null)
}}

_queuectl_files() {{
    compopt -o filenames 2> /dev/null
    _queuectl_offer "$1"
}}

_queuectl_ask() {{
    [[ -d ${{home:-${{QUEUECTL_HOME:-$HOME/.queuectl}}}} ]] || return  # asking would make it
    _queuectl_offer -W "$("$program" ${{home:+--home "$home"}} "$@" < /dev/null 2> /dev/null)"
}}

_queuectl() {{
    local program=$1 word=$2 at=$COMP_CWORD before command= home= i lead= typed=${{COMP_LINE:0:COMP_POINT}}
    COMPREPLY=()
    typed=${{typed##*[[:space:]=]}}
    if [[ $typed == *@* && $COMP_WORDBREAKS == *@* ]]; then  # bash split NAME@SLOT, and replaces what is after the last @
        word=$typed lead=${{typed%@*}}@
        while [[ ${{COMP_WORDS[at]}} == @ || ${{COMP_WORDS[at - 1]}} == @ ]]; do ((at--)); done
    fi
    before=${{COMP_WORDS[at - 1]}}
    [[ $word == = ]] && word=
    [[ ${{COMP_WORDS[at]}} == = ]] || [[ $before != = ]] || before=${{COMP_WORDS[at - 2]}}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --home)
                [[ ${{COMP_WORDS[i + 1]}} == = ]] && ((i++))
                home=${{COMP_WORDS[++i]}} ;;
            {common}) [[ ${{COMP_WORDS[i + 1]}} == = ]] || ((i++)) ;;
            --) _queuectl_files -f; return ;;
            -* | =) ;;
            *) [[ ${{COMP_WORDS[i - 1]}} == = ]] || case $command in
                {groups}) command=${{command:+$command }}${{COMP_WORDS[i]}} ;;
            esac ;;
        esac
    done
    case $command in
{aliases}
    esac
    case $command:$before in
{values}
    esac
    if [[ $word == -* ]]; then
        case $command in
{options}
        esac
        _queuectl_offer -W '{all_have} --help'
        return
    fi
    case $command in
{places}
    esac
}}

complete -F _queuectl queuectl
"""


def script() -> str:
    """Return the text that bash sources."""
    return SCRIPT.format(
        common=" | ".join(name for name in table.taking_values("") if name != "--home"),
        groups="|".join(("''", *GROUPS)),
        aliases="\n".join(f"        {_quoted(alias)}) command={_quoted(meant)} ;;" for alias, meant in ALIASES.items()),
        values="\n".join(
            _value_case(name, entry) for name in ("", *VERBS) for entry in table.options(name) if entry.value != NOTHING
        ),
        options="\n".join(_options_case(command) for command in VERBS if table.options(command)),
        all_have=" ".join(name for entry in table.options("") for name in entry.names),
        places="\n".join([*map(_words_case, ("", *GROUPS)), *filter(None, map(_place_case, VERBS))]),
    )


def _value_case(command: str, entry: table.Entry) -> str:
    start = _quoted(command) if command else "*"
    return f"        {' | '.join(f'{start}:{name}' for name in entry.names)}) {_offer(entry.value)}return ;;"


def _options_case(command: str) -> str:
    names = " ".join(name for entry in table.options(command) for name in entry.names)
    return f"            {_quoted(command)}) _queuectl_offer -W '{names}' ;;"


def _words_case(command: str) -> str:
    words = " ".join(word for word, _ in table.following(command))
    return f"        {_quoted(command)}) _queuectl_offer -W '{words}' ;;"


def _place_case(command: str) -> str:
    value = table.place(command)
    return "" if value in (NOTHING, ANYTHING) else f"        {_quoted(command)}) {_offer(value).rstrip('; ')} ;;"


def _offer(value: str | tuple[str, ...]) -> str:
    if isinstance(value, tuple):
        return f"_queuectl_offer -W '{' '.join(value)}'; "
    if value in QUESTIONS:
        return "_queuectl_ask " + QUESTIONS[value].format('${word:+--search "$word"}') + "; "
    return {FILE: "_queuectl_files -f; ", FOLDER: "_queuectl_files -d; "}.get(value, "")


def _quoted(command: str) -> str:
    return f"'{command}'" if " " in command or not command else command
