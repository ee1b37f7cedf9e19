"""`ostiary events`: what happened to this host's connections, and why, as it happens."""

import time
from collections.abc import Mapping
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import call
from client.cli.sizes import size
from runtime.console import OK, exit_on_error, print_json, print_lines, say

_VERBS: Final = {
    "held": "held",
    "allowed": "allowed",
    "denied": "DENIED",
    "cancelled": "gave up",
    "cut": "CUT",
    "closed": "closed",
    "state": "client",
}
_STATES: Final = {"sign_in_required": "needs a sign-in", "not_configured": "is not set up"}
TROUBLE: Final = frozenset({"denied", "cut", "state"})


def events(count: int, *, follow: bool, trouble: bool, as_json: bool) -> int:
    """Prints the newest ``count`` happenings, and with ``follow`` those to come; ``trouble`` leaves out what went well."""

    def show(item: object) -> None:
        # A daemon older than this command sends every kind.
        if not isinstance(item, Mapping) or (trouble and item.get("kind") not in TROUBLE):
            return
        if as_json:
            print_json(item)
        else:
            print_lines(*describe(item))

    with exit_on_error(as_json=as_json):
        deadline_s = None if follow else 15.0
        args: dict[str, Any] = {"n": count, "follow": follow}
        if trouble:
            args["kinds"] = sorted(TROUBLE)
        result = call("events", args, deadline_s=deadline_s, on_event=show)
        shown = result.get("events") or ()
        for item in shown:
            show(item)
    if not shown and not as_json and not follow:
        say("Nothing has happened since the daemon started, or since the sign-in.")
    return OK


def describe(item: Mapping[str, Any]) -> list[str]:
    """Returns the lines of one happening: when, what, where to, and for what went wrong why and what helps."""
    kind = str(item.get("kind"))
    at = item.get("at")
    clock = time.strftime("%H:%M:%S", time.localtime(at)) if isinstance(at, int | float) else "--:--:--"
    head = f"{clock} {_VERBS.get(kind, kind):<8}"
    if kind == "state":
        state = str(item.get("state", "?"))
        return [f"{head} {_STATES.get(state) or 'is ' + state.replace('_', ' ')}"]
    name = f" ({item['resource_name']})" if item.get("resource_name") else ""
    line = f"{head} {render.target_of(item)}{name}"
    if kind not in ("denied", "cut"):
        reason = item.get("reason")
        line += _moved(item)
        return [line + (f": {item.get('sentence')}" if reason and reason != "normal" else "")]
    lines = [f"{line}{_moved(item)}: {item.get('sentence', '')}"]
    return [*lines, f"{'':8} next: {item['next']}"] if item.get("next") else lines


def _moved(item: Mapping[str, Any]) -> str:
    """What went through a connection that has ended."""
    return f", {size(item['bytes_up'])} up, {size(item.get('bytes_down'))} down" if "bytes_up" in item else ""
