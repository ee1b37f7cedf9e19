"""`ostiary dns`: how this host's questions come to the client, what becomes of one, and starting afresh."""

from collections.abc import Mapping
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import call
from client.cli.user import refuse_if_down
from runtime.console import (
    DENIED,
    FAILED,
    NOT_READY,
    OK,
    TIMED_OUT,
    exit_code,
    exit_on_error,
    print_json,
    print_lines,
)

_WHO: Final = {
    "client": "the client itself",
    "connector": "the resource's connector",
    "upstream": "this host's own resolver: it is no resource of yours",
}


def status(*, as_json: bool) -> int:
    """`ostiary dns status`: 3 while no question comes here."""
    with exit_on_error(as_json=as_json):
        result = call("dns_status")
    _show(result, as_json=as_json)
    return NOT_READY if result.get("mode") == "off" else OK


def query(name: str, kind: str, *, as_json: bool) -> int:
    """`ostiary dns query`: 0 for an answer, 1 when there is none, 8 when it was refused, 3 or 7 when nobody answered."""
    with exit_on_error(as_json=as_json):
        result = call("dns_query", {"name": name, "type": kind})
        if result.get("up") is False and result.get("answered_by") == "upstream":
            refuse_if_down("down")
    if as_json:
        print_json(result)
    else:
        print_lines(*_answer(result))
    return _exit_code(result)


def reset(*, forget: bool, as_json: bool) -> int:
    """`ostiary dns reset`; ``forget``: the names that strict DNS keeps, too."""
    with exit_on_error(as_json=as_json):
        result = call("dns_reset", {"forget": forget})
    _show(result, as_json=as_json)
    return OK


def _show(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(dict(result))
        return
    if result.get("mode") == "off":
        lines = ["questions   this host's own resolver has them all: the client is not up"]
    elif result.get("mode") == "proxy":
        strict = f"on: {result.get('guarded')} names are never looked up elsewhere" if result.get("strict") else "off"
        print_lines(f"questions   none: {result.get('explanation')}", f"strict      {strict}")
        return
    else:
        which = "those about the domains below" if result.get("splits") else "all; what is no resource is passed on"
        lines = [
            f"questions   {which}",
            f"by          {result.get('mode')}: {result.get('explanation')}",
            f"answered at {result.get('server')}",
        ]
    shown, count = [str(domain) for domain in result.get("domains") or ()], result.get("domain_count") or 0
    if shown:
        more = f" and {count - len(shown)} more" if count > len(shown) else ""
        lines.append(f"domains     {' '.join(shown)}{more}")
    lines.append(f"passed to   {' '.join(str(item) for item in result.get('upstreams') or ()) or 'nobody'}")
    lines += _strict(result)
    lines.append(f"in use      {result.get('known_names')} names known, {result.get('synthetic_names')} with addresses")
    print_lines(*lines)


def _strict(result: Mapping[str, Any]) -> list[str]:
    if not result.get("strict"):
        return ["strict      off"]
    searches = " ".join(str(domain) for domain in result.get("searches") or ())
    behind = f", nor with {searches} behind them" if searches else ""
    lines = [f"strict      on: {result.get('guarded')} names never reach another resolver{behind}"]
    if result.get("splits"):
        lines.append("            but with a search domain that this host gets while no daemon runs they would")
    return lines


def _answer(result: Mapping[str, Any]) -> list[str]:
    lines = [str(line) for line in result.get("answers") or ()]
    if not lines:
        said = "no such data" if result.get("rcode") == "NOERROR" else str(result.get("rcode"))
        lines = [f"{result.get('name')} {result.get('type')}: {said}"]
    lines += [str(text) for text in result.get("why") or () if text]
    who = _WHO.get(str(result.get("answered_by")), str(result.get("answered_by")))
    if result.get("up") is False:
        lines.append("the client is down: `ostiary up` brings it up")
    said = f"asked {who}, no answer" if _unanswered(result) else f"answered by {who}"
    return [*lines, f"{said}, in {result.get('took_ms')} ms"]


def _exit_code(result: Mapping[str, Any]) -> int:
    if result.get("answers"):
        return OK
    return _unanswered(result) or (DENIED if result.get("why") else FAILED)


def _unanswered(result: Mapping[str, Any]) -> int:
    """Returns the exit code of whoever was asked and did not answer; 0 when it did, or when we refused."""
    if result.get("answered_by") not in ("connector", "upstream"):
        return OK
    code = exit_code(render.reason_of(result))
    return code if code in (NOT_READY, TIMED_OUT) else OK
