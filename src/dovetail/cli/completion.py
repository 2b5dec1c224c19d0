"""``dovetail completion bash|zsh|fish``: a script that completes commands, options and their values, and files.

Theory of operation. What there is to complete is read from the commands themselves (cyclopts' for the client commands,
argparse's for ``run`` and ``dev``, the metadata of applications for theirs) and written into one script for each shell.
The script starts nothing, so a TAB is quick, and never runs a server or reaches one: targets, and names of tools and
others with their arguments, are those that commands before it saw (`dovetail.cli.seen`). Nothing that is read there is
ever expanded by the shell. Each script knows where it is by the first words after ``dovetail``, which is where a
command is; so a tool that is called ``list`` is none.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

try:
    from cyclopts import App as Commands
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol.revisions import REVISIONS
from .applications import ApplicationCommand
from .dev import DevCommand
from .gateway import GatewayCommand
from .proxy import ProxyCommand
from .record import RecordCommand
from .remote import RemoteCommand
from .run import RunCommand
from .worker import WorkerCommand

__all__ = ["SHELLS", "CompletedCommand", "Option", "Shell", "known_commands", "script"]

Shell = Literal["bash", "zsh", "fish"]
SHELLS: Final[tuple[Shell, ...]] = ("bash", "zsh", "fish")
_FILES: Final = frozenset({"--check", "--output", "--record", "--store", "--uds"})
_NAMED: Final[dict[tuple[str, ...], str]] = {
    ("call",): "tool",
    ("prompt",): "prompt",
    ("read",): "resource template",
    ("complete",): "prompt template",
}
"""What is named after the target of a command."""
_VALUES: Final = {"--revision": REVISIONS}


class Option(NamedTuple):
    """An option: its names, its help in one line, whether it takes a value (and which, or a file), and often."""

    names: tuple[str, ...]
    about: str
    valued: bool = False
    choices: tuple[str, ...] = ()
    file: bool = False
    often: bool = False


class CompletedCommand(NamedTuple):
    """A command: the words that name it, its help in one line, its options, and whether a Python file comes first."""

    words: tuple[str, ...]
    about: str
    options: tuple[Option, ...] = ()
    file: bool = False


def known_commands(commands: Commands) -> list[CompletedCommand]:
    """All commands, those that hold others (``auth``) before them."""
    found: list[CompletedCommand] = []
    for name in _names(commands):
        command = commands[name]
        inner = _names(command)
        found.append(_described((name,), command, grouping=bool(inner)))
        found += [_described((name, each), command[each]) for each in inner]
    return found


def script(shell: Shell, commands: Commands, applications: Iterable[ApplicationCommand] = ()) -> str:
    """The script for a shell. Of the commands of ``applications`` it has what can be known without importing them:
    their names, and what they do.
    """
    writer = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    others = [CompletedCommand((each.name,), _brief(each.about), (_HELP_OPTION,)) for each in applications]
    return writer([*known_commands(commands), *others])


# What there is


def _names(commands: Commands) -> list[str]:
    return [name for name in commands if not name.startswith("-")]


def _described(words: tuple[str, ...], command: Commands, *, grouping: bool = False) -> CompletedCommand:
    about = _brief(str(command.help or ""))
    parser = _PARSERS.get(words)
    if parser is not None:
        return CompletedCommand(words, about, tuple(_of_parser(parser())), file=True)
    if words == ("completion",):
        return CompletedCommand(words, about, (_HELP_OPTION,))
    options = [_HELP_OPTION] if grouping else [*_of_signature(command), _HELP_OPTION]
    return CompletedCommand(words, about, tuple(options), file=not grouping and words[0] != "auth")


_PARSERS: Final[dict[tuple[str, ...], type[argparse.ArgumentParser]]] = {
    ("run",): RunCommand,
    ("proxy",): ProxyCommand,
    ("gateway",): GatewayCommand,
    ("remote",): RemoteCommand,
    ("worker",): WorkerCommand,
    ("dev",): DevCommand,
    ("record",): RecordCommand,
}
_HELP_OPTION: Final = Option(("--help", "-h"), "Show the help.")


def _of_signature(command: Commands) -> Iterable[Option]:
    for argument in command.assemble_argument_collection(parse_docstring=True):
        names = tuple(name for name in argument.names if name.startswith("-"))
        if not argument.show or not names:
            continue
        yield Option(
            names,
            _brief(argument.parameter.help or ""),
            valued=argument.hint is not bool,
            choices=tuple(map(str, argument.get_choices() or _VALUES.get(names[0], ()))),
            file=names[0] in _FILES,
            often=str(argument.hint).startswith("list["),
        )


def _of_parser(parser: argparse.ArgumentParser) -> Iterable[Option]:
    for action in parser._actions:
        if action.option_strings:
            names = sorted(action.option_strings, key=len, reverse=True)
            yield Option(
                tuple(names),
                _brief(action.help or ""),
                valued=action.nargs != 0,
                choices=tuple(map(str, action.choices or ())),
                file=names[0] in _FILES,
                often=type(action).__name__ == "_AppendAction",
            )


def _brief(text: str) -> str:
    """The first sentence, in one line."""
    line = " ".join(text.split())
    end = line.find(". ")
    return (line if end < 0 else line[:end]).rstrip(".")


def _quoted(text: str) -> str:
    """A word of any of the three shells."""
    return "'" + text.replace("'", "'\\''") + "'"


def _groups(commands: Sequence[CompletedCommand]) -> list[tuple[str, ...]]:
    """Where a command is expected: at the beginning, and after the commands that hold others."""
    return [(), *dict.fromkeys(each.words[:-1] for each in commands if len(each.words) > 1)]


def _inside(commands: Sequence[CompletedCommand], group: tuple[str, ...]) -> list[CompletedCommand]:
    return [each for each in commands if each.words[:-1] == group]


# The scripts

_BASH: Final = r"""# Completion of dovetail for bash: source <(dovetail completion bash)
_dovetail_seen() {
    local seen=${DOVETAIL_COMPLETION-${XDG_STATE_HOME:-$HOME/.local/state}/dovetail/completion}
    local at=$1 target kind name arguments each sign='=' head=${whole%"$cur"}
    [[ $names != 'prompt template' ]] || sign=''
    local -a found=() listed=()
    [[ -r $seen ]] || return 0
    while IFS=$'\t' read -r target kind name arguments; do
        if [[ $at == 0 ]]; then [[ $kind != target || $target == /* ]] || found+=("$target")
        elif [[ $target != "${given[0]}" && $target != "$PWD/${given[0]#./}" ]]; then continue
        elif [[ $at == 1 ]]; then [[ " $names " != *" $kind "* ]] || found+=("$name")
        elif [[ " $names " == *" $kind "* && $name == "${given[1]}" ]]; then
            IFS=' ' read -ra listed <<< "$arguments"
            for each in "${listed[@]}"; do found+=("$each$sign"); done
        fi
    done < "$seen"
    for each in "${found[@]}"; do
        [[ $each != "$whole"* ]] || COMPREPLY+=("${each#"$head"}")
    done
    if [[ $at != [01] && -n ${COMPREPLY[0]} ]] && type compopt > /dev/null 2>&1; then compopt -o nospace; fi
    if [[ $at == 0 && ${#COMPREPLY[@]} -gt 0 && $whole == *:* ]]; then file=''; fi
}
_dovetail() {
    local IFS=$' \t\n' cur=$2 at word prev='' skip='' place=0
    local commands='' options='' valued='' files='' values='' file='' names='' whole=''
    local -a words given=()
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    if [[ ${COMP_LINE:COMP_POINT-1:1} != [[:space:]] ]]; then
        whole=${words[${#words[@]}-1]}
        words=("${words[@]:0:${#words[@]}-1}")
    fi
    at=${words[1]}
    words=("${words[@]:2}")
    case $at in
@GROUPS@
    esac
    case $at in
@COMMANDS@
    esac
    for word in "${words[@]}"; do
        prev=$word
        if [[ -n $skip ]]; then skip=''
        elif [[ $word == -- ]]; then place=command; break
        elif [[ " $valued " == *" $word "* ]]; then skip=1
        elif [[ $word != -* ]]; then place=$((place + 1)); given+=("$word")
        fi
    done
    IFS=$'\n'
    COMPREPLY=()
    if [[ $place == command ]]; then
        COMPREPLY=($(compgen -c -- "$cur"; compgen -f -- "$cur"))
    elif [[ -n $skip ]]; then
        case "$at $prev" in
@VALUES@
        esac
        if [[ -n $values ]]; then IFS=' '; COMPREPLY=($(compgen -W "$values" -- "$cur"))
        elif [[ " $files " == *" $prev "* ]]; then file=1; COMPREPLY=($(compgen -f -- "$cur"))
        elif [[ $prev == -a || $prev == --arg ]]; then _dovetail_seen 2
        fi
    elif [[ -n $commands && $cur != -* ]]; then
        IFS=' '; COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    elif [[ $cur == -* ]]; then
        IFS=' '; COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ $place == 0 && -n $files ]]; then
        file=1; COMPREPLY=($(compgen -f -X '!*.py' -- "$cur"; compgen -d -- "$cur"))
        _dovetail_seen 0
    elif [[ $place != 0 && -n $names ]]; then
        _dovetail_seen "$place"
    fi
    if [[ -n $file ]] && type compopt > /dev/null 2>&1; then compopt -o filenames; fi
}
complete -F _dovetail dovetail
"""


def _bash(commands: Sequence[CompletedCommand]) -> str:
    groups = [group[0] for group in _groups(commands) if group]
    cases: list[str] = []
    for group in _groups(commands):
        inside = _quoted(" ".join(each.words[-1] for each in _inside(commands, group)))
        options = f"'--help -h{'' if group else ' --version'}'"
        cases.append(f"    {_quoted(' '.join(group))}) commands={inside}; options={options} ;;")
    values: list[str] = []
    for command in commands:
        at = " ".join(command.words)
        if command.words in _groups(commands):
            continue
        named = {
            "options": [name for option in command.options for name in option.names],
            "valued": [name for option in command.options if option.valued for name in option.names],
            "files": [name for option in command.options if option.file for name in option.names],
        }
        if command.file:
            named["files"].append("TARGET")
        if command.words == ("completion",):
            named["commands"] = list(SHELLS)
        named["names"] = _NAMED.get(command.words, "").split()
        said = "; ".join(f"{key}={_quoted(' '.join(names))}" for key, names in named.items() if names)
        cases.append(f"    {_quoted(at)}) {said} ;;")
        for option in command.options:
            if option.choices:
                places = " | ".join(_quoted(f"{at} {name}") for name in option.names)
                values.append(f"        {places}) values={_quoted(' '.join(option.choices))} ;;")
    inner = "\n".join(
        f'    {each}) at="{each}${{words[0]:+ ${{words[0]}}}}"; words=("${{words[@]:1}}") ;;'
        for each in groups
    )
    text = _BASH.replace("@GROUPS@", inner).replace("@COMMANDS@", "\n".join(cases))
    return text.replace("@VALUES@", "\n".join(values))


_ZSH: Final = """#compdef dovetail
# Completion of dovetail for zsh: source <(dovetail completion zsh), or this file as _dovetail in a folder of $fpath.
_dovetail_seen() {
    local seen=${DOVETAIL_COMPLETION-${XDG_STATE_HOME:-$HOME/.local/state}/dovetail/completion}
    local at=$1 names=" $2 " sign='=' target kind name arguments each
    local -a found listed
    [[ $2 != 'prompt template' ]] || sign=''
    if [[ -r $seen ]]; then
        while IFS=$'\\t' read -r target kind name arguments; do
            if [[ $at == 0 ]]; then [[ $kind != target || $target == /* ]] || found+=("$target")
            elif [[ $target != "$line[1]" && $target != "$PWD/${line[1]#./}" ]]; then continue
            elif [[ $at == 1 ]]; then [[ $names != *" $kind "* ]] || found+=("$name")
            elif [[ $names == *" $kind "* && $name == "$line[2]" ]]; then
                listed=(${(s: :)arguments})
                for each in $listed; do found+=("$each$sign"); done
            fi
        done < "$seen"
    fi
    if [[ $at == 2 && -n $sign ]]; then compadd -S '' -a found; else compadd -a found; fi
    [[ $at != 0 ]] || _files -g '*.py(-.)'
}
_dovetail() {
    local -a found line
@BODY@
}
if [[ $funcstack[1] == _dovetail ]]; then _dovetail "$@"; else compdef _dovetail dovetail; fi
"""


def _zsh(commands: Sequence[CompletedCommand]) -> str:
    lines: list[str] = []
    for group in _groups(commands):
        position = len(group) + 2
        test = "".join(f" && $words[{number}] == {_quoted(word)}" for number, word in enumerate(group, 2))
        lines.append(
            f"    if (( CURRENT == {position} )){' && [[ ' + test[4:] + ' ]]' if test else ''}; then"
        )
        inside = " ".join(
            _quoted(f"{each.words[-1]}:{each.about.replace(':', chr(92) + ':')}")
            for each in _inside(commands, group)
        )
        lines += [f"        found=({inside})", "        _describe command found; return", "    fi"]
    lines.append("    case $words[2] in")
    for name in dict.fromkeys(each.words[0] for each in commands):
        inner = _inside(commands, (name,))
        if not inner:
            lines.append(
                f"    {_quoted(name)}) shift words; (( CURRENT-- )); {_arguments(_one(commands, (name,)))} ;;"
            )
            continue
        lines += [f"    {_quoted(name)})", "        case $words[3] in"]
        lines += [
            f"        {_quoted(each.words[1])}) shift 2 words; (( CURRENT -= 2 )); {_arguments(each)} ;;"
            for each in inner
        ]
        lines += ["        esac ;;"]
    lines.append("    esac")
    return _ZSH.replace("@BODY@", "\n".join(lines))


def _one(commands: Sequence[CompletedCommand], words: tuple[str, ...]) -> CompletedCommand:
    return next(each for each in commands if each.words == words)


def _arguments(command: CompletedCommand) -> str:
    """One call of zsh's ``_arguments``."""
    specs: list[str] = []
    for option in command.options:
        about = "".join(f"\\{each}" if each in "[]:\\" else each for each in option.about)
        value = ""
        if option.valued:
            action = f"({' '.join(option.choices)})" if option.choices else "_files" if option.file else " "
            if option.names[0] == "--arg" and command.words in _NAMED:
                action = f'{{_dovetail_seen 2 "{_NAMED[command.words]}"}}'
            value = f":{option.names[0].lstrip('-')}:{action}"
        for name in option.names:
            once = "*" if option.often else f"({' '.join(option.names)})"
            specs.append(_quoted(f"{once}{name}[{about}]{value}"))
    if command.words == ("completion",):
        specs.append(_quoted(f"1:shell:({' '.join(SHELLS)})"))
    elif command.file:
        specs.append(_quoted("1:target:{_dovetail_seen 0}"))
    names = _NAMED.get(command.words)
    if names is not None:
        specs.append(_quoted(f'2:name:{{_dovetail_seen 1 "{names}"}}'))
        specs.append(_quoted(f'*:argument:{{_dovetail_seen 2 "{names}"}}'))
    else:
        specs.append(_quoted("*: : "))
    return f"_arguments -S {' '.join(specs)}"


_FISH: Final = """# Completion of dovetail for fish: dovetail completion fish | source
function __dovetail_at
    set -l words (commandline -opc)
    set -l wanted (count $argv)
    if test $wanted -eq 0
        test (count $words) -eq 1
        return
    end
    test (count $words) -gt $wanted; and test "$words[2.."(math $wanted + 1)"]" = "$argv"
end
function __dovetail_choosing
    test (count (commandline -opc)) -eq (math (count $argv) + 1); and __dovetail_at $argv
end
function __dovetail_seen
    set -l seen $HOME/.local/state/dovetail/completion
    if set -q XDG_STATE_HOME; and test -n "$XDG_STATE_HOME"
        set seen $XDG_STATE_HOME/dovetail/completion
    end
    if set -q DOVETAIL_COMPLETION
        set seen $DOVETAIL_COMPLETION
    end
    test -r "$seen"; or return
    set -l names (string split ' ' -- $argv[1])
    set -l sign '='
    test "$argv[1]" = 'prompt template'; and set sign ''
    set -l given
    set -l skip 0
    for word in (commandline -opc)[3..]
        if test $skip = 1
            set skip 0
        else if contains -- $word $argv[2..]
            set skip 1
        else if not string match -q -- '-*' $word
            set -a given $word
        end
    end
    set -l file $PWD/(string replace -r '^\\./' '' -- "$given[1]")
    while read -d \\t -l target kind name arguments
        if test (count $given) -eq 0
            test $kind = target; and not string match -q '/*' -- $target; and echo $target
        else if test $target = "$given[1]" -o $target = $file; and contains -- $kind $names
            if test (count $given) -eq 1
                echo $name
            else if test $name = "$given[2]" -a -n "$arguments"
                for each in (string split ' ' -- $arguments)
                    echo $each$sign
                end
            end
        end
    end <$seen
end
complete -c dovetail -f
complete -c dovetail -n __dovetail_choosing -l version -d 'Show the version'
"""


def _fish(commands: Sequence[CompletedCommand]) -> str:
    lines: list[str] = []
    groups = _groups(commands)
    for command in commands:
        above = " ".join(("__dovetail_choosing", *command.words[:-1]))
        lines.append(_fished(above, "-a", _quoted(command.words[-1]), "-d", _quoted(command.about)))
        here = " ".join(("__dovetail_at", *command.words))
        if command.words in groups:
            continue
        for option in command.options:
            words = [f"-{'l' if name.startswith('--') else 's'} {name.lstrip('-')}" for name in option.names]
            if option.valued:
                words.append("-r -F" if option.file else "-x")
            if option.choices:
                words += ["-a", _quoted(" ".join(option.choices))]
            elif option.names[0] == "--arg" and command.words in _NAMED:
                words += ["-k", "-a", _quoted(_seen_in_fish(command))]
            lines.append(_fished(here, *words, "-d", _quoted(option.about)))
        if command.words == ("completion",):
            lines.append(_fished(f"__dovetail_choosing {command.words[0]}", "-a", _quoted(" ".join(SHELLS))))
        elif command.file:
            choosing = f"__dovetail_choosing {' '.join(command.words)}"
            lines.append(_fished(choosing, "-k", "-a", "'(__fish_complete_suffix .py)'"))
            names = _NAMED.get(command.words, "")
            lines.append(_fished(here if names else choosing, "-k", "-a", _quoted(_seen_in_fish(command))))
    return f"{_FISH}{chr(10).join(lines)}\n"


def _seen_in_fish(command: CompletedCommand) -> str:
    """The call of fish's function: what is named after the target, and the options that take a word with them."""
    valued = [name for option in command.options if option.valued for name in option.names]
    return f"(__dovetail_seen {' '.join([json.dumps(_NAMED.get(command.words, '')), *valued])})"


def _fished(where: str, *words: Any) -> str:
    return f"complete -c dovetail -n {_quoted(where)} {' '.join(words)}"
