"""`ostiary ping`, `ostiary netcheck` and `ostiary wait`: is it reachable, through to the end, and until when is it worth waiting?"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from client.cli import render
from client.cli.control_socket import CALL_DEADLINE_S, Event, call
from client.cli.times import parse_duration, span
from client.cli.user import PROBE, VERIFY_S, code_of, parse_target
from protocol.errors import LocalError, OstiaryError, RefusedError
from protocol.reasons import Reason
from runtime.console import (
    DENIED,
    FAILED,
    NOT_READY,
    OK,
    AdviceError,
    exit_code,
    exit_on_error,
    print_json,
    print_lines,
    say,
)

PING_DEADLINE_S: Final = 60.0
NETCHECK_DEADLINE_S: Final = 60.0
PING_EVERY_S: Final = 1.0
POLL_S: Final = 0.5
LOOK_MIN_S: Final = 1.0
"""The first look is given so long even when the whole wait is shorter, so that there is an answer."""
ANSWER_S: Final = 0.5
"""What the daemon is given beyond the time in which it is to find out."""
TELL_AFTER_S: Final = 1.0
_DOCTOR: Final = "ostiary doctor"
_STEP_CHARS: Final = len("controller")
"""The longest name of a step."""
_PASSING: Final = frozenset({Reason.DAEMON_NOT_RUNNING, Reason.TIMEOUT, Reason.UNAVAILABLE})
_NOT_UP: Final = frozenset({"not_configured", "down"})


def ping(target: str, *, count: int, udp: bool, as_json: bool) -> int:
    """Goes to the resource step by step; returns 0 when it accepted, else the code of what stopped the last try."""
    code = OK
    for number in range(count):
        if number:
            time.sleep(PING_EVERY_S)
        told = _Told()
        with exit_on_error(as_json=as_json):
            result = _ping(target, "udp" if udp else "tcp", on_event=None if as_json else told.show)
        code = code_of_steps(result)
        if as_json:
            print_json(result)
        else:
            print_lines(*describe(result)[told.steps :])
    return code


class _Told:
    """Prints the steps of a ping as they come, and knows how many those were."""

    def __init__(self) -> None:
        self.steps = 0

    def show(self, event: Mapping[str, Any]) -> None:
        """Takes an event of the daemon's."""
        if event.get("kind") == "step":
            self.steps += 1
            print_lines(_step(event))


def wait(what: str, name: str | None, *, timeout: str, as_json: bool) -> int:
    """Comes back when the client, or one resource, can be used; 7 when that takes longer than ``timeout``."""
    with exit_on_error(as_json=as_json):
        deadline_s = _seconds(timeout)
        if what == "resource" and name is None:
            raise LocalError(Reason.INVALID_INPUT, "name the resource: `ostiary wait --for resource NAME`")
        if what != "resource" and name is not None:
            raise LocalError(Reason.INVALID_INPUT, f"{name!r}: only `--for resource` takes a name")
        began = time.monotonic()
        with _telling(what, name, deadline_s, wanted=not as_json and sys.stderr.isatty()):
            last = _wait(what, name or "", began + deadline_s)
    took = time.monotonic() - began
    if as_json:
        print_json({"ok": True, "waited_s": round(took, 3), "for": what, "resource": name, "last": last})
    else:
        say(f"{name or 'the client'} is ready after {took:.1f} s")
    return OK


@contextmanager
def _telling(what: str, name: str | None, deadline_s: float, *, wanted: bool) -> Iterator[None]:
    """Says on a terminal what is waited for when that lasts."""
    import threading

    aim = {"live": "the daemon to answer", "ready": "a connector to answer"}.get(what, f"{name} to accept connections")
    timer = threading.Timer(TELL_AFTER_S, say, (f"waiting for {aim}, {span(deadline_s)} at most…",))
    timer.daemon = True
    if wanted:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look showed. ``why`` not yet, and what helps; ``refused``: the policy's answer, which time does not change."""

    done: bool
    result: dict[str, Any]
    why: str = ""
    next_step: str = _DOCTOR
    refused: Reason | None = None


def _wait(what: str, name: str, deadline: float) -> dict[str, Any]:
    last, within_s = _Look(done=False, result={}), max(deadline - time.monotonic(), LOOK_MIN_S)
    while True:
        try:
            look = _look(what, name, within_s)
        except OstiaryError as error:
            if error.reason not in _PASSING or isinstance(error, AdviceError):
                raise
            look = _passing(error, last)
        if look.done:
            return look.result
        over = time.monotonic() >= deadline
        # Just after a start the daemon may still go by the whitelist of the last one: it is heard twice.
        if look.refused is not None and (over or look.refused is last.refused):
            raise AdviceError(look.refused, "", next_step=look.next_step, sentence=look.why)
        if not over:
            time.sleep(min(POLL_S, max(deadline - time.monotonic(), 0.0)))
        within_s = deadline - time.monotonic()
        if within_s <= 0:
            raise AdviceError(Reason.TIMEOUT, look.why, next_step=look.next_step)
        last = look


def _passing(error: OstiaryError, last: _Look) -> _Look:
    """What a look that failed shows: one that was cut off by the deadline says less than the one before."""
    if error.reason is Reason.TIMEOUT and last.why:
        return last
    away = error.reason is Reason.DAEMON_NOT_RUNNING
    return _Look(done=False, result={}, why=str(error), next_step=error.reason.next_step if away else _DOCTOR)


def _look(what: str, name: str, within_s: float) -> _Look:
    """Looks once, for at most so long. Raises RefusedError, AdviceError when waiting alone cannot help."""
    until = time.monotonic() + within_s
    if what == "live":
        return _Look(done=True, result=call("version", deadline_s=min(2.0, within_s)))
    probe = {**PROBE, "verify_s": min(VERIFY_S, within_s)} if what == "ready" else None
    status = call("status", probe, deadline_s=min(CALL_DEADLINE_S, within_s + ANSWER_S))
    state = str(status.get("state"))
    if state in _NOT_UP:
        sentence = f"The client is {state.replace('_', ' ')}."
        raise AdviceError(Reason.UNAVAILABLE, "", next_step=render.NEXT_OF_STATE[state], sentence=sentence)
    if state == "sign_in_required":
        raise RefusedError(Reason.SIGN_IN_REQUIRED)
    if what == "ready":
        ready = code_of(status) == OK and status.get("health") != "no_resources"
        return _Look(ready, status, "; ".join(render.status(status, time.time())[:1]))
    result = _ping(name, "tcp", min(PING_DEADLINE_S, max(until - time.monotonic(), 0.0) + ANSWER_S))
    if result.get("ok"):
        return _Look(done=True, result=result)
    failed = _failed_step(result)
    reason = render.reason_of(failed)
    final = state == render.ONLINE and failed.get("name") == "policy" and exit_code(reason) == DENIED
    sentence = f"{render.target_of(result)} is not reachable: {failed.get('sentence') or reason.sentence}"
    return _Look(False, result, sentence, str(failed.get("next") or _DOCTOR), reason if final else None)


def netcheck(url: str | None, *, as_json: bool) -> int:
    """Checks the network: by the daemon, or for ``url`` by this process when none runs or another one is meant."""
    with exit_on_error(as_json=as_json):
        if url is None:
            result = _netcheck_by_daemon()
        else:
            result = _netcheck_here(url)
    if as_json:
        print_json(result)
    else:
        print_lines(*describe_network(result))
    failures = [item for item in result.get("checks") or () if render.outcome(item) == "fail"]
    return (exit_code(render.reason_of(failures[0])) or FAILED) if failures else OK


def _netcheck_by_daemon() -> dict[str, Any]:
    try:
        return call("netcheck", deadline_s=NETCHECK_DEADLINE_S)
    except LocalError as error:
        if error.reason is not Reason.DAEMON_NOT_RUNNING:
            raise
        step = "Start it, or name the controller: ostiary netcheck https://CONTROLLER"
        raise AdviceError(error.reason, error.detail, next_step=step) from error


def _netcheck_here(url: str) -> dict[str, Any]:
    import asyncio

    from client.cli.sign_in import split_url
    from client.daemon.netcheck import NetworkCheck, Surroundings
    from runtime import upstream_proxy
    from runtime.clock import SystemClock
    from runtime.trust import client_context

    base, _ = split_url(url, None)
    upstream_proxy.use(upstream_proxy.choose(None, None))
    around = Surroundings(base, client_context(None), pinned=False)
    return asyncio.run(NetworkCheck(around, SystemClock(), mark=None).run())


def describe_network(result: Mapping[str, Any]) -> list[str]:
    """Returns the lines of ``ostiary netcheck``: one per check, then what it comes to, or what helps against the first cause."""
    checks = [item for item in result.get("checks") or () if isinstance(item, Mapping)]
    rows = []
    for item in checks:
        took = f" ({item['ms']:.0f} ms)" if isinstance(item.get("ms"), int | float) and item["ms"] >= 1 else ""
        rows.append((f"{render.mark(item)} {item.get('name')}", f"{item.get('sentence', '')}{took}"))
    lines = render.aligned(rows, indent="")
    for wrong in ("fail", "warn"):
        found = next((item for item in checks if render.outcome(item) == wrong), None)
        if found is not None:
            if wrong == "warn":
                lines.append(f"Ostiary may not work from here: see the warning about {found.get('name')}")
            return [*lines, f"next: {found.get('next') or 'ostiary doctor'}"]
    if any(item.get("name") == "controller" and render.outcome(item) == "skipped" for item in checks):
        return [*lines, "a server answers in the controller's place; neither its certificate nor relays were checked"]
    if not any(str(item.get("name")).startswith("relay ") for item in checks):
        return [*lines, "the controller is reachable; relays were not checked"]
    return [*lines, "this network lets through what Ostiary needs"]


def describe(result: Mapping[str, Any]) -> list[str]:
    """Returns the lines of ``ostiary ping``: one per step with its time, then what it comes to."""
    lines = [_step(step) for step in result.get("steps") or () if isinstance(step, Mapping)]
    target = render.target_of(result)
    if result.get("ok"):
        return [*lines, f"{target} is reachable"]
    return [*lines, f"{target} is NOT reachable", f"next: {_failed_step(result).get('next') or _DOCTOR}"]


def _step(step: Mapping[str, Any]) -> str:
    """The line of one step; its columns stand fast, because the next steps are not known yet."""
    took = f"{step['ms']:.1f} ms" if isinstance(step.get("ms"), int | float) else ""
    return f"{render.mark(step)} {step.get('name')!s:<{_STEP_CHARS}}  {took:>10}  {step.get('sentence', '')}".rstrip()


def code_of_steps(result: Mapping[str, Any]) -> int:
    """Returns 0, or the exit code of the step that failed."""
    if result.get("ok"):
        return OK
    step = _failed_step(result)
    return (exit_code(render.reason_of(step)) or FAILED) if step else NOT_READY


def _failed_step(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the step at which it ended; empty when none says so."""
    steps = [step for step in result.get("steps") or () if isinstance(step, Mapping)]
    return next((step for step in steps if step.get("status") == "fail"), {})


def _ping(
    target: str,
    transport: str,
    deadline_s: float = PING_DEADLINE_S,
    *,
    on_event: Callable[[Event], None] | None = None,
) -> dict[str, Any]:
    host, port = (target, None) if " " in target.strip() else parse_target(target, transport)
    return call("ping", {"host": host, "port": port, "transport": transport}, deadline_s=deadline_s, on_event=on_event)


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise AdviceError(Reason.INVALID_INPUT, f"--timeout: {exc}", next_step="See `ostiary wait --help`.") from exc
