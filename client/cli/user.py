"""What the user's commands do: ask the daemon, print its answer, leave with the exit code that says how it is."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import call
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from runtime.console import (
    DENIED,
    FAILED,
    NOT_READY,
    OK,
    SIGN_IN,
    AdviceError,
    exit_code,
    exit_on_error,
    print_json,
    print_lines,
    print_table,
    print_version,
    say,
)

WATCH_EVERY_S: Final = 1.0
VERIFY_S: Final = 5.0
"""So long the ways into the networks are checked before `status` tells what is known by then."""
PROBE: Final = {"verify_s": VERIFY_S, "fresh_s": 1.0}
"""`--check ready` takes nothing for granted that is older."""
DOCTOR_DEADLINE_S: Final = 60.0
_LOG: Final = "Look into the daemon's log."
EXIT_OF_STATE: Final = {"online": OK, "sign_in_required": SIGN_IN}


def status(*, as_json: bool, watch: bool, check: str | None) -> int:
    """`ostiary status`."""
    if check is not None:
        return _check(check, as_json=as_json)
    if watch:
        return _watch(as_json=as_json)
    with exit_on_error(as_json=as_json):
        result = call("status", {"verify_s": VERIFY_S})
    _print_status(result, as_json=as_json)
    return code_of(result)


def code_of(result: Mapping[str, Any]) -> int:
    """Returns the exit code of a status: 0 only when a connector has answered, or there is none to ask."""
    code = EXIT_OF_STATE.get(str(result.get("state")), NOT_READY)
    return NOT_READY if code == OK and result.get("health") in ("unreachable", "unchecked") else code


def _print_status(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_lines(*render.status(result, time.time()))


def _check(level: str, *, as_json: bool) -> int:
    """``live``: the daemon answers. ``ready``: traffic can flow. Silent but for the exit code and lines on stderr."""
    with exit_on_error(as_json=as_json):
        result = call("status", None if level == "live" else PROBE)
    state, health = str(result.get("state")), result.get("health")
    code, why = OK, ""
    if level == "ready":
        code, why = code_of(result), f"the client is {state.replace('_', ' ')}"
        if code == OK and health == "no_resources":
            code, why = NOT_READY, "nothing is granted to you, so that no connector can be asked"
        elif code == NOT_READY and state == render.ONLINE:
            why = "no connector answers"
    if as_json:
        networks = result.get("networks") or []
        print_json({"check": level, "ok": code == OK, "state": state, "health": health, "networks": networks})
    elif code != OK:
        step = render.next_step(result)
        say(why, *([f"next: {step}"] if step else []))
    return code


def _watch(*, as_json: bool) -> int:
    while True:
        with exit_on_error(as_json=as_json):
            try:
                result = call("status", {"verify_s": VERIFY_S})
            except OstiaryError as error:
                if error.reason is not Reason.DAEMON_NOT_RUNNING:
                    raise
                result = {"state": "not running", "warnings": [{"reason": error.reason.code}]}
            if not as_json and sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")
            _print_status(result, as_json=as_json)
            if not as_json and not sys.stdout.isatty():
                print_lines("")
            time.sleep(WATCH_EVERY_S)


def resources(*, as_json: bool, names: bool = False) -> int:
    """`ostiary resources`; ``names``: nothing but what may be typed after other commands, one per line."""
    with exit_on_error(as_json=as_json):
        result = call("resources")
        if not names:
            refuse_if_down(result.get("state"))
    if names:
        print_lines(*render.names(result))
        return OK
    if as_json:
        print_json(result)
        return OK
    headers, rows = render.resources(result)
    if rows:
        print_table(headers, rows)
    else:
        say("You have no resources at the moment.", "next: ostiary status")
    return OK


def explain(target: str, transport: str, *, as_json: bool) -> int:
    """`ostiary explain`: 0 when allowed or not handled, 8 when refused."""
    with exit_on_error(as_json=as_json):
        host, port = parse_target(target, transport)
        result = call("explain", {"host": host, "port": port, "transport": transport})
        refuse_if_down(result.get("state"))
    if as_json:
        print_json(result)
    else:
        print_lines(*render.explain(result, time.time()))
    refused = not result.get("allowed") and result.get("intercepted") is not False
    return DENIED if refused else OK


def refuse_if_down(state: object) -> None:
    """Raises AdviceError after `ostiary down`: what was granted is not known then, so nothing is said about it."""
    if state == "down":
        step = render.NEXT_OF_STATE["down"]
        raise AdviceError(Reason.UNAVAILABLE, "", next_step=step, sentence="The client is down.")


def parse_target(text: str, transport: str) -> tuple[str, int | None]:
    """Splits ``host``, ``host:port``, ``[v6]:port``, ``scheme://host[:port]/…``. Raises LocalError(INVALID_INPUT)."""
    default: int | None = None
    if "://" in text:
        scheme, _, rest = text.partition("://")
        default = {"http": 80, "https": 443, "ssh": 22, "postgresql": 5432}.get(scheme)
        text = rest.partition("/")[0].rpartition("@")[2]
    host, port_text = text, ""
    if text.startswith("["):
        host, _, port_text = text[1:].partition("]")
        if port_text and not port_text.startswith(":"):
            raise LocalError(Reason.INVALID_INPUT, f"{text!r} is not HOST or HOST:PORT")
        port_text = port_text[1:]
    elif text.count(":") == 1:
        host, _, port_text = text.partition(":")
    if not host:
        raise LocalError(Reason.INVALID_INPUT, "a host is wanted, for example db.corp.internal:5432")
    if transport == "icmp":
        return host, None
    if not port_text:
        return host, default
    if not (port_text.isascii() and port_text.isdigit() and 1 <= int(port_text) <= 65535):
        raise LocalError(Reason.INVALID_INPUT, f"{port_text!r} is not a port between 1 and 65535")
    return host, int(port_text)


def down(*, as_json: bool) -> int:
    """`ostiary down`."""
    sentence = "down: your host's own network is as it was."
    strict = "down: strict DNS keeps the names of resources on this host; all else is as it was."
    return _simple("down", sentence, strict=strict, as_json=as_json)


def logout(*, as_json: bool) -> int:
    """`ostiary logout`."""
    return _simple("logout", "signed out; `ostiary login` signs in again.", as_json=as_json)


def _simple(verb: str, sentence: str, *, strict: str = "", as_json: bool) -> int:
    """``strict``: the sentence while strict DNS is on."""
    with exit_on_error(as_json=as_json):
        result = call(verb)
    names = result.get("dns")
    if strict and isinstance(names, Mapping) and names.get("strict") == "on":
        sentence = strict
    if as_json:
        print_json(result)
    else:
        print_lines(str(result.get("sentence") or sentence))
    return OK


def doctor(*, as_json: bool) -> int:
    """`ostiary doctor`: 0 when every link works, else the code of the first cause."""
    state = ""
    with exit_on_error(as_json=as_json):
        try:
            state = str(call("status").get("state"))
            result = call("doctor", deadline_s=DOCTOR_DEADLINE_S)
        except OstiaryError as error:
            # The first link is the daemon itself.
            step = _LOG if error.reason is Reason.TIMEOUT else error.reason.next_step
            failed = {"name": "daemon", "status": "fail", "sentence": str(error), "next": step}
            result = {"ok": False, "checks": [{**failed, "reason": error.reason.code}]}
    checks = [item for item in result.get("checks") or () if isinstance(item, dict)]
    if all(item.get("name") != "daemon" for item in checks):
        checks.insert(0, {"name": "daemon", "status": "ok", "sentence": "It runs and answers."})
    result = {**result, "checks": checks}
    if as_json:
        print_json(result)
    else:
        print_lines(*render.doctor(result, state))
    failures = [item for item in checks if render.outcome(item) == "fail"]
    return (exit_code(render.reason_of(failures[0])) or FAILED) if failures else OK


def logs(count: int, *, follow: bool, as_json: bool) -> int:
    """`ostiary logs`."""

    def show(item: object) -> None:
        entry = render.log_entry(item)
        if as_json:
            print_json(entry)
        else:
            print_lines(render.log_line(entry))

    with exit_on_error(as_json=as_json):
        deadline_s = None if follow else 15.0
        result = call("logs", {"n": count, "follow": follow}, deadline_s=deadline_s, on_event=show)
        for item in result.get("lines") or ():
            show(item)
    return OK


def version(*, as_json: bool) -> int:
    """`ostiary version`: of the command and, when it runs, of the daemon."""
    try:
        daemon = call("version", deadline_s=2.0)
    except OstiaryError:
        daemon = {}
    running = daemon.get("version")
    print_version("ostiary", as_json=as_json, daemon=running)
    if not as_json:
        print_lines(f"ostiaryd {running or 'is not running'}")
    return OK


def has_desktop(env: Mapping[str, str] | None = None) -> bool:
    """Tells whether a browser can be opened for this user: a display, and not root."""
    known = os.environ if env is None else env
    return bool(known.get("DISPLAY") or known.get("WAYLAND_DISPLAY")) and os.geteuid() != 0
