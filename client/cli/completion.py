"""`ostiary completion`: static scripts for bash, zsh and fish, written from the commands themselves.

A script knows every command and option, so that pressing Tab starts no Python; only the names of resources are asked of the
daemon, by `ostiary resources --names`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from runtime.console import OK, print_lines

TAKES_A_RESOURCE: Final = ("explain", "ping", "request", "wait")


@dataclass(frozen=True, slots=True)
class Place:
    """What may stand after ``path``: commands and options, each with its help."""

    path: str
    words: tuple[tuple[str, str], ...]
    group: bool


def show(shell: str) -> int:
    """Prints the script."""
    places = list(walk())
    text = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](places)
    print_lines(*text.rstrip("\n").split("\n"))
    return OK


def walk() -> Iterator[Place]:
    """Yields every place of the whole command line."""
    from typer.main import get_command

    from client.cli.admin import build_whole
    from client.cli.commands import app

    yield from _below(get_command(app), "ostiary", skip="admin")
    yield from _below(get_command(build_whole()), "ostiary admin", skip="")


def _below(command: Any, path: str, *, skip: str) -> Iterator[Place]:
    subcommands: dict[str, Any] = {
        name: found for name, found in getattr(command, "commands", {}).items() if not found.hidden
    }
    words = [(name, _short(found.get_short_help_str(80))) for name, found in subcommands.items()]
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            words += [(name, _short(parameter.help or "")) for name in (*parameter.opts, *parameter.secondary_opts)]
    words.append(("--help", "Show what it does, with examples."))
    yield Place(path, tuple(dict(words).items()), bool(subcommands))
    for name, found in subcommands.items():
        if name != skip:
            yield from _below(found, f"{path} {name}", skip="")


def _short(text: str) -> str:
    """One line that no shell reads anything into."""
    return re.sub(r"[^\w .,:;()/+=-]", "", " ".join(text.split()))[:80]


def _bash(places: list[Place]) -> str:
    table = "\n".join(f"  [{place.path!r}]={' '.join(word for word, _ in place.words)!r}" for place in places)
    resources = "|".join(f"'ostiary {verb}'" for verb in TAKES_A_RESOURCE)
    return f"""# bash completion of ostiary; written by `ostiary completion bash`
declare -gA _ostiary_words=(
{table}
)

_ostiary() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" place="ostiary" word index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="${{COMP_WORDS[index]}}"
    [[ -n "${{_ostiary_words["$place $word"]-}}" ]] && place="$place $word"
  done
  local words="${{_ostiary_words[$place]-}}"
  if [[ "$current" != -* ]]; then
    case "$place" in
      {resources}) words="$words $(ostiary resources --names 2>/dev/null)" ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}}
complete -o default -o nosort -F _ostiary ostiary 2>/dev/null || complete -o default -F _ostiary ostiary
"""


def _zsh(places: list[Place]) -> str:
    table = "\n".join(
        f"  {place.path!r} {' '.join(f'{word}:{text}' if text else word for word, text in _zsh_words(place))!r}"
        for place in places
    )
    resources = "|".join(f"'ostiary {verb}'" for verb in TAKES_A_RESOURCE)
    return f"""#compdef ostiary
# zsh completion of ostiary; written by `ostiary completion zsh`
typeset -gA _ostiary_words
_ostiary_words=(
{table}
)

_ostiary() {{
  local place=ostiary word index
  for ((index = 2; index < CURRENT; index++)); do
    word="${{words[index]}}"
    [[ -n "${{_ostiary_words[$place $word]-}}" ]] && place="$place $word"
  done
  local -a known
  known=(${{=_ostiary_words[$place]}})
  if [[ "$PREFIX" != -* ]]; then
    case "$place" in
      ({resources}) known+=(${{(f)"$(ostiary resources --names 2>/dev/null)"}}) ;;
    esac
  fi
  compadd -a known || _files
}}
if [[ "$funcstack[1]" == _ostiary ]]; then _ostiary "$@"; else compdef _ostiary ostiary; fi
"""


def _zsh_words(place: Place) -> Iterator[tuple[str, str]]:
    """Words alone: `compadd` takes no descriptions."""
    return ((word, "") for word, _ in place.words)


def _fish(places: list[Place]) -> str:
    lines = [
        "# fish completion of ostiary; written by `ostiary completion fish`",
        "function __ostiary_at",
        "    set -l words (commandline -opc | string match -v -- '-*')",
        '    test "$words" = "$argv[1]"; and return 0',
        '    test "$argv[2]" = leaf; and string match -q -- "$argv[1] *" "$words"',
        "end",
    ]
    for place in places:
        kind = "group" if place.group else "leaf"
        where = f"-n '__ostiary_at \"{place.path}\" {kind}'"
        for word, text in place.words:
            described = f" -d '{text}'" if text else ""
            if word.startswith("--"):
                lines.append(f"complete -c ostiary {where} -l {word[2:]}{described}")
            elif word.startswith("-"):
                lines.append(f"complete -c ostiary {where} -s {word[1:]}{described}")
            else:
                lines.append(f"complete -c ostiary -f {where} -a {word}{described}")
        if place.path.removeprefix("ostiary ") in TAKES_A_RESOURCE:
            lines.append(f"complete -c ostiary -f {where} -a '(ostiary resources --names 2>/dev/null)'")
    return "\n".join(lines) + "\n"
