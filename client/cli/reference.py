"""Writes what is told of the commands from the commands themselves (``make reference``).

``python -m client.cli.reference > docs/commands.md``; with ``--pages`` the pages of ``client.cli.help_pages``.
"""

import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import typer
from typer.main import get_command

from client.cli.admin import build_whole
from client.cli.commands import app
from client.cli.help_pages import COLUMNS
from runtime.console import print_lines

_HEAD: Final = """# Commands

`ostiary` is the user's and the administrator's command. The user's verbs talk to the client daemon (`ostiaryd`) over its
control socket; `ostiary admin` talks to the controller's REST API and needs nothing on this host but Python.

Written by `python -m client.cli.reference > docs/commands.md`.

## Output

* The result goes to standard output, everything else (questions, hints, errors) to standard error.
* `--json` prints one JSON object with `"schema": 1` and the members of the thing; lists print
  `{"schema": 1, "items": [...]}`, errors `{"schema": 1, "ok": false, "error": {"reason", "sentence", "detail", "next"}}`.
  Members may be added within a schema; none is removed or changed.
* `ostiary admin` also knows `-o table`, `-o json`, and `-o jsonl` (one object per line).
* No colours are used, so there is nothing to switch off; `NO_COLOR` is honoured by using none.
* When something is wrong, the last line begins with `next:` and names the command or step that helps.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | ok; `status`: online; `explain`: allowed, or not handled by Ostiary |
| 1 | failed |
| 2 | wrong usage, invalid input or configuration |
| 3 | not connected or not ready (also: the controller cannot be reached) |
| 4 | sign-in required |
| 5 | the client daemon is not running |
| 6 | permission denied: needs root or the group `ostiary` |
| 7 | timed out |
| 8 | denied by policy (`explain`) or by your role (`admin`) |
| 9 | changes are pending (`admin apply --dry-run`) |
| 130 | interrupted by Ctrl-C |

## Environment and files

| name | meaning |
| --- | --- |
| `OSTIARY_SOCKET` | the control socket; default `/run/ostiary/ostiary.sock`, else `$XDG_RUNTIME_DIR/ostiary/ostiary.sock` |
| `OSTIARY_RUNTIME_DIR` | the directory of the control socket |
| `XDG_CONFIG_HOME` | where `ostiary/admin.json` (0600) keeps the administrator's sign-in; default `~/.config` |

Things are addressed by name (users by e-mail address) or by id. Deleting asks; without a terminal it needs `--yes`.
`grant revoke` never asks.
"""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its whole name, and what its ``--help`` says."""

    name: str
    help: str


def walk() -> Iterator[Command]:
    """Yields every command in the order of the help."""
    yield from _below(app, "ostiary", without=("admin",))
    yield from _below(build_whole(), "ostiary admin")


def pages() -> str:
    """Returns client/cli/help_pages.json: by command what its ``--help`` prints, of the user's commands and their groups."""
    whole = _pages(get_command(app), "ostiary", None, skip="admin")
    admin = _pages(get_command(build_whole()), "ostiary admin", None, deep=False)
    return json.dumps(dict([*whole, *admin]), indent=1, ensure_ascii=False)


def _pages(
    command: object, path: str, parent: object, *, skip: str = "", deep: bool = True
) -> Iterator[tuple[str, str]]:
    make_context = getattr(command, "make_context")  # noqa: B009 - typer's own copy of click has no public type
    word = path if parent is None else path.rpartition(" ")[2]
    how = {"resilient_parsing": True, "terminal_width": COLUMNS - 2, "help_option_names": ["-h", "--help"]}
    with make_context(word, [], parent=parent, **how) as context:
        yield path, str(context.get_help())
        for child, found in getattr(command, "commands", {}).items() if deep else ():
            if child != skip:
                yield from _pages(found, f"{path} {child}", context)


def _below(application: typer.Typer, name: str, without: tuple[str, ...] = ()) -> Iterator[Command]:
    command = get_command(application)
    yield from _commands(command, name, without)


def _commands(command: object, name: str, without: tuple[str, ...] = ()) -> Iterator[Command]:
    children = getattr(command, "commands", None)
    if children is None:
        yield Command(name, _help(command, name))
        return
    for word, child in children.items():
        if word not in without:
            yield from _commands(child, f"{name} {word}")


def _help(command: object, name: str) -> str:
    make_context = getattr(command, "make_context")  # noqa: B009 - typer's own copy of click has no public type
    with make_context(
        name, [], resilient_parsing=True, terminal_width=100, help_option_names=["-h", "--help"]
    ) as context:
        return str(context.get_help())


def text() -> str:
    """Returns the whole page."""
    parts = [inspect.cleandoc(_HEAD)]
    section = ""
    for command in walk():
        group = "ostiary admin" if command.name.startswith("ostiary admin ") else "ostiary"
        if group != section:
            section = group
            parts.append(f"## `{group}`")
        parts.append(f"### `{command.name}`\n\n```text\n{command.help.strip()}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    written = pages() if sys.argv[1:] == ["--pages"] else text()
    print_lines(*written.rstrip("\n").split("\n"))
