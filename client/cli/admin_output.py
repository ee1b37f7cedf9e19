"""How the administrator's commands print: tables for people, JSON and JSON lines for programs."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from client.cli.times import ago, until
from runtime.console import print_json, print_lines, print_table, say

Item = Mapping[str, Any]
Cell = Callable[[Item], object]
Column = tuple[str, str | Cell]
"""Header, and the member or the function that fills it."""


class Output(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


Columns = Sequence[Column]


def show_list(items: Iterable[Item], columns: Columns, output: Output, *, empty: str) -> None:
    """Prints a list; ``empty`` is said on stderr when a table would have no row."""
    if output is Output.JSON:
        print_json({"items": list(items)})
        return
    if output is Output.JSONL:
        for item in items:
            print_json(item)
        return
    rows = [[_cell(item, source) for _, source in columns] for item in items]
    if rows:
        print_table([header for header, _ in columns], rows)
    else:
        say(empty)


def show_one(item: Item, output: Output, *, sentence: str = "") -> None:
    """Prints one object: as JSON, or as a sentence, or as its members line by line."""
    if output is not Output.TABLE:
        print_json(item)
    elif sentence:
        print_lines(sentence)
    else:
        width = max((len(key) for key in item), default=0)
        print_lines(*(f"{key.ljust(width)}  {shown(value)}".rstrip() for key, value in item.items()))


def shown(value: object) -> str:
    """Returns a JSON value as a person reads it."""
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=True)
    return str(value)


def age(member: str) -> Cell:
    """Returns a column's function: how long ago the point in time ``member`` was."""
    return lambda item: ago(item.get(member), time.time())


def expiry(member: str) -> Cell:
    """Returns a column's function: when the point in time ``member`` is; ``never`` when there is none."""
    return lambda item: until(item[member], time.time()) if item.get(member) else "never"


def online(item: Item) -> str:
    """Returns ``online for 3 min``, ``offline`` or ``not enrolled``."""
    if item.get("enrolled") is False:
        return "not enrolled"
    if not item.get("online"):
        return "offline"
    since = ago(item.get("since"), time.time())
    return f"online for {since.removesuffix(' ago')}" if since not in ("-", "now") else "online"


def yes(member: str, *, yes: str = "yes", no: str = "") -> Cell:
    """Returns a column's function for a flag."""
    return lambda item: yes if item.get(member) else no


def _cell(item: Item, source: str | Cell) -> str:
    value = item.get(source) if isinstance(source, str) else source(item)
    return shown(value)
