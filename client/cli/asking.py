"""`ostiary request` and `ostiary requests`: asks for access after a denial, and shows what became of it."""

import time
from collections.abc import Mapping
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import call
from client.cli.times import ago, parse_duration, span, until
from client.cli.user import parse_target
from protocol.errors import LocalError, RefusedError
from protocol.reasons import Reason
from runtime.console import DENIED, FAILED, OK, AdviceError, exit_on_error, print_json, print_lines, print_table, say

POLL_S: Final = 2.0
_EXIT: Final = {"open": OK, "approved": OK, "denied": DENIED}


def request(resource: str, reason: str, *, duration: str | None, wait: bool, timeout: str, as_json: bool) -> int:
    """Asks; with ``wait`` comes back when it was answered: 0 approved, 8 denied."""
    with exit_on_error(as_json=as_json):
        target, port = _target(resource)
        args = {"target": target, "port": port, "reason": reason, "duration_s": _seconds(duration)}
        made = _ask(resource, args)
        if wait and made.get("status") == "open":
            if not as_json:
                say(f"asked; waiting for an answer to {made.get('id')}")
            made = _wait(str(made.get("id")), _seconds(timeout) or 0)
    if as_json:
        print_json(made)
    else:
        print_lines(*describe(made, time.time()))
    return _EXIT.get(str(made.get("status")), FAILED)


def requests(*, withdraw: str | None, as_json: bool) -> int:
    """Lists what this user asked for, or takes one request back."""
    with exit_on_error(as_json=as_json):
        if withdraw is not None:
            gone = call("withdraw", {"request": withdraw})["request"]
            if as_json:
                print_json(gone)
            else:
                print_lines(f"request {gone.get('id')} for {target_of(gone)} is withdrawn")
            return OK
        result = call("requests")
    if as_json:
        print_json(result)
        return OK
    found = [item for item in result.get("requests") or () if isinstance(item, dict)]
    if found:
        now = time.time()
        rows = [
            (
                target_of(item),
                _state(item, now),
                ago(item.get("asked"), now),
                str(item.get("answer") or ""),
                str(item.get("id")),
            )
            for item in found
        ]
        print_table(("TARGET", "STATUS", "ASKED", "ANSWER", "ID"), rows)
    else:
        say("You have asked for nothing.", 'next: ostiary request HOST[:PORT] --reason "…"')
    return OK


def describe(item: Mapping[str, Any], now: float) -> list[str]:
    """Returns the lines of ``ostiary request``."""
    what, status = target_of(item), item.get("status")
    rows = [("answer", str(item["answer"]))] if item.get("answer") else []
    match status:
        case "open":
            head = f"asked for {what}, for {span(float(item.get('duration_s') or 0))}."
            rows.append(("answered by", f"somebody who may, or it closes {until(item.get('expires'), now)}"))
            return [head, *render.aligned(rows), "next: ostiary requests"]
        case "approved":
            return [f"{what} is yours until it ends {until(item.get('granted_until'), now)}.", *render.aligned(rows)]
        case "denied":
            return [f"access to {what} was denied.", *render.aligned(rows)]
    return [f"the request for {what} is {status}.", *render.aligned(rows)]


def _ask(resource: str, args: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return dict(call("request", args)["request"])
    except RefusedError as error:
        if error.reason is not Reason.ALREADY_EXISTS:
            raise
        sentence, step = "You have a grant for this already.", f"ostiary explain {resource}"
        raise AdviceError(error.reason, error.detail, sentence=sentence, next_step=step) from error


def _wait(request_id: str, timeout_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        found = (item for item in call("requests").get("requests") or () if item.get("id") == request_id)
        item = next(found, None)
        if item is None:
            raise RefusedError(Reason.NOT_FOUND, f"the request {request_id} is gone")
        if item.get("status") != "open":
            return dict(item)
    raise RefusedError(Reason.TIMEOUT, f"nobody answered yet; `ostiary requests` shows {request_id}")


def _target(text: str) -> tuple[str, int | None]:
    """A host with or without a port, or a resource's name, which may hold blanks."""
    return (text, None) if " " in text.strip() else parse_target(text, "tcp")


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return round(parse_duration(text))
    except ValueError as exc:
        raise LocalError(Reason.INVALID_INPUT, str(exc)) from exc


def target_of(item: Mapping[str, Any]) -> str:
    """What was asked for, as it is typed: ``HOST`` or ``HOST:PORT``."""
    host, port = str(item.get("target", "?")), item.get("port")
    if port is None:
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _state(item: Mapping[str, Any], now: float) -> str:
    if item.get("status") == "approved":
        return f"approved, ends {until(item.get('granted_until'), now)}"
    return str(item.get("status"))
