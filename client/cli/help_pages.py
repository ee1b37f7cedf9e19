"""What ``--help`` of the user's commands prints, written beforehand: help is read often, and typer takes long to make it.

``python -m client.cli.reference --pages > client/cli/help_pages.json`` writes the pages from the commands themselves, and a
test holds the two together. They are as wide as typer's on a terminal of 80 columns or more; narrower ones are typer's own.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

COLUMNS: Final = 80
FILE: Final = Path(__file__).with_suffix(".json")
_HELP: Final = ("--help", "-h")


def page(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> str | None:
    """Returns the page that ``arguments`` ask for; None when they ask for something else, or it is for typer to make."""
    if not arguments or arguments[-1] not in _HELP or columns(os.environ if env is None else env) < COLUMNS:
        return None
    path = arguments[:-1]
    if any(word.startswith("-") for word in path):
        return None
    pages = json.loads(FILE.read_text(encoding="utf-8"))
    found = pages.get(" ".join(["ostiary", *path]))
    return found if isinstance(found, str) else None


def columns(env: Mapping[str, str]) -> int:
    """Returns how wide the terminal is, by the same rules as ``shutil.get_terminal_size``."""
    text = env.get("COLUMNS", "")
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or COLUMNS if sys.__stdout__ else COLUMNS
    except (OSError, ValueError):
        return COLUMNS
