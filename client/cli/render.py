"""What the user's commands print, as lines. Pure: answers of the daemon and ``now`` in, text out.

House rules: aligned, calm, how fresh each fact is on its own line, and the next command as the last line when something is
wrong. Answers are read leniently: a member that a daemon does not know yet is left out, never an error.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from client.cli.sizes import size
from client.cli.times import ago, for_how_long, until
from protocol.reasons import Reason, reason_from_code

Result = Mapping[str, Any]

ONLINE: Final = "online"
NEXT_OF_STATE: Final = {
    "online": "",
    "connecting": "ostiary doctor",
    "offline": "ostiary doctor",
    "down": "ostiary up",
    "sign_in_required": "ostiary login",
    "not_configured": "ostiary up https://CONTROLLER --ca-pin sha256/…",
}
_WORD_OF_STATE: Final = {
    "online": "online",
    "connecting": "connecting",
    "offline": "offline: the controller is away; what was allowed goes on until its lease ends,",
    "down": "down",
    "sign_in_required": "sign-in required",
    "not_configured": "not set up: no controller is known,",
}
_WORD_OF_HEALTH: Final = {
    "degraded": "; NOT EVERY NETWORK IS REACHABLE",
    "unreachable": "; BUT NO CONNECTOR ANSWERS",
    "unchecked": "; the connectors are still being asked",
    "no_resources": "; nothing is granted to you yet",
}
_LOG_HEAD: Final = ("timestamp", "level", "event", "logger", "component")
CLOCK_WARN_MS: Final = 2000


def status(result: Result, now: float) -> list[str]:
    """Returns the lines of ``ostiary status``."""
    state = str(result.get("state", "unknown"))
    head = f"{_WORD_OF_STATE.get(state, state)}{for_how_long(result.get('since'), now)}".rstrip(",")
    if result.get("user"):
        head += f" as {'service account ' if result.get('service') else ''}{result['user']}"
    head += _WORD_OF_HEALTH.get(str(result.get("health")), "")
    lines = [head, *_facts(result, now), *_networks(result, now), *_tunnels(result, now)]
    lines += [*_connections(result, now), *_denials(result, now)]
    lines += [f"warning: {_sentence(item)}" for item in _list(result, "warnings")]
    step = next_step(result)
    return [*lines, f"next: {step}"] if step else lines


def next_step(result: Result) -> str:
    """Returns the command, or the sentence, that helps against what a status shows; empty when nothing is wrong."""
    state = str(result.get("state", "unknown"))
    if step := NEXT_OF_STATE.get(state, "ostiary doctor"):
        return step
    if result.get("health") in ("unreachable", "unchecked", "degraded"):
        return "ostiary doctor"
    return next((str(item["next"]) for item in _list(result, "warnings") if item.get("next")), "")


def _facts(result: Result, now: float) -> list[str]:
    rows: list[tuple[str, str]] = []
    controller = _dict(result, "controller")
    if controller.get("url"):
        word = "connected" if controller.get("connected") else "not connected"
        text = f"{controller['url']}, {word}{for_how_long(controller.get('since'), now)}"
        if controller.get("connected") and controller.get("at") not in (None, controller["url"]):
            text += f", at {controller['at']}"
        offset = controller.get("clock_offset_ms")
        if isinstance(offset, int | float) and abs(offset) > CLOCK_WARN_MS:
            text += f"; this host's clock is {abs(offset) / 1000:.1f} s {'ahead' if offset > 0 else 'behind'}"
        rows.append(("controller", text))
    if result.get("revision"):
        text = f"revision {result['revision']}"
        if result.get("snapshot_not_after"):
            text += f", to be renewed {until(result['snapshot_not_after'], now)}"
        rows.append(("policy", text))
    if result.get("session_expires"):
        rows.append(("sign-in", f"ends {until(result['session_expires'], now)}"))
    if result.get("device"):
        rows.append(("device", str(result["device"])))
    dns = _dict(result, "dns")
    if result.get("mode") or dns:
        parts = [str(result.get("mode") or "")]
        if result.get("proxy"):
            parts.append(f"SOCKS5 and HTTP CONNECT on {result['proxy']}")
        if dns.get("mode") not in (None, "", "off"):
            parts.append(f"names by {dns['mode']}" + (f" at {dns['server']}" if dns.get("server") else ""))
        rows.append(("mode", ", ".join(part for part in parts if part)))
    if result.get("state") == ONLINE:
        rows.append(("flows", f"{result.get('flows', 0)} open now"))
    return aligned(rows)


def who_answers(result: Result) -> str:
    """Returns ``, office-1 answers`` of those connectors that did; empty when none was asked."""
    found = [item.get("connector_name") or item.get("connector") for item in _list(result, "networks")]
    names = sorted({str(name) for name in found if name})
    return f", {', '.join(names)} {'answers' if len(names) == 1 else 'answer'}" if names else ""


def _networks(result: Result, now: float) -> list[str]:
    rows = []
    for item in _list(result, "networks"):
        name = str(item.get("network_name") or item.get("network") or "?")
        checked = f"checked {ago(item['checked'], now)}" if item.get("checked") else "not checked yet"
        match item.get("state"):
            case "reachable":
                rtt = f" in {item['rtt_ms']:.0f} ms" if isinstance(item.get("rtt_ms"), int | float) else ""
                text = f"{item.get('connector_name') or item.get('connector')} answers{rtt}"
            case "unreachable":
                text = f"UNREACHABLE: {_sentence(item)}"
            case _:
                text = "asking a connector"
        rows.append((name, f"{text}; {checked}"))
    return ["networks", *aligned(rows)] if rows else []


def _tunnels(result: Result, now: float) -> list[str]:
    rows = []
    for item in _list(result, "tunnels"):
        name = item.get("connector_name") or item.get("network_name") or item.get("connector") or "?"
        text = f"up{for_how_long(item.get('since'), now)}"
        if isinstance(item.get("rtt_ms"), int | float):
            text += f", {item['rtt_ms']:.0f} ms"
        text += f", {_count(item.get('flows', 0), 'flow')}"
        if item.get("access_expires"):
            text += f", access renewed {until(item['access_expires'], now)}"
        rows.append((f"{name}{_by(item)}", text))
    return ["tunnels", *aligned(rows)] if rows else []


def _by(item: Result) -> str:
    """Which way the tunnel goes."""
    if item.get("direct"):
        return f", direct at {item['direct']}"
    relay = item.get("relay_name") or item.get("relay")
    return f" via {relay}" if relay else ""


def _connections(result: Result, now: float) -> list[str]:
    rows = []
    for item in _list(result, "connections"):
        open_for = f", open{for_how_long(item.get('since'), now)}"
        rows.append(
            (target_of(item), f"{size(item.get('bytes_up'))} up, {size(item.get('bytes_down'))} down{open_for}")
        )
    return ["busiest connections", *aligned(rows)] if rows else []


def _denials(result: Result, now: float) -> list[str]:
    rows = []
    for item in _list(result, "denials"):
        times = f" ({item['count']} times)" if isinstance(item.get("count"), int) and item["count"] > 1 else ""
        rows.append((target_of(item), f"{ago(item.get('last', item.get('at')), now)}: {_sentence(item)}{times}"))
    return ["refused lately", *aligned(rows)] if rows else []


def resources(result: Result) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns header and rows of ``ostiary resources``."""
    rows: list[tuple[str, ...]] = []
    for item in _list(result, "resources"):
        rows.append(
            (
                str(item.get("name", "")),
                str(item.get("address", "")),
                ports(item.get("ports")),
                str(item.get("network_name") or item.get("network") or ""),
            )
        )
    return ("NAME", "ADDRESS", "PORTS", "NETWORK"), rows


def names(result: Result) -> list[str]:
    """Returns the names and addresses of resources that stand for one host and can be typed as one word."""
    found = [str(item.get(member, "")) for item in _list(result, "resources") for member in ("address", "name")]
    return sorted({text for text in found if text and not set(text) & set(" *?/\"'`$\\;&|<>()!#~")})


def ports(value: object) -> str:
    """Returns ``tcp 80,8000-8100; udp 53; ping``; pairs and texts are both understood."""
    if not isinstance(value, Mapping):
        return "" if value is None else str(value)
    parts = []
    for transport in ("tcp", "udp"):
        ranges = [_range(item) for item in value.get(transport) or ()]
        if ranges:
            parts.append(f"{transport} {'all' if ranges == ['1-65535'] else ','.join(ranges)}")
    if value.get("icmp"):
        parts.append("ping")
    return "; ".join(parts)


def _range(item: object) -> str:
    if isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 2:
        return str(item[0]) if item[0] == item[1] else f"{item[0]}-{item[1]}"
    return str(item)


def explain(result: Result, now: float) -> list[str]:
    """Returns the lines of ``ostiary explain``: the verdict, why, and what to do."""
    target = target_of(result)
    rows: list[tuple[str, str]] = []
    if result.get("intercepted") is False:
        lines = [f"{target} is not handled by Ostiary: your host reaches it directly, as if the client did not run."]
        if result.get("ask"):
            lines.append(f"If it should be a resource for you, ask {_joined(result['ask'])}.")
        if result.get("request"):
            lines.append(f"to ask for access: {result['request']}")
        return lines
    if result.get("allowed"):
        verdict = f"{target} is allowed."
    else:
        verdict = f"{target} is refused: {_sentence(result)}"
    name = result.get("resource_name") or result.get("resource")
    if name:
        rows.append(("resource", str(name)))
    if result.get("network_name"):
        rows.append(("network", str(result["network_name"])))
    for other in result.get("also") or ():
        where = other.get("network_name") or other.get("network")
        rows.append(("also in", f"{where}" + (f": reach it there as {other['name']}" if other.get("name") else "")))
    if result.get("local_network"):
        rows.append(("hides", f"your local network {result['local_network']}: the resource wins"))
    if result.get("via"):
        rows.append(("granted by", _joined(result["via"])))
    elif result.get("grants"):
        rows.append(("grants", _joined(result["grants"])))
    path = _dict(result, "path")
    if path.get("connector"):
        rows.append(("path", f"{path.get('connector_name') or path['connector']}{_by(path)}"))
        for where, code in _dict(path, "direct_failures").items():
            rows.append(("not direct", f"{where}: {code}"))
    if result.get("revision"):
        source = "your policy" if result.get("source") == "snapshot" else "the controller's answer"
        rows.append(("decided by", f"{source}, revision {result['revision']}"))
    for number, wanted in enumerate(result.get("missing") or ()):
        rows.append(("it needs" if number == 0 else "and", str(wanted)))
    if result.get("changes_at"):
        rows.append(("open again", until(result["changes_at"], now)))
    if result.get("ask"):
        rows.append(("ask", _joined(result["ask"])))
    lines = [verdict, *aligned(rows)]
    failure = _dict(result, "last_failure")
    if failure:
        lines.append(f"But the last attempt failed {ago(result.get('at'), now)}: {_sentence(failure)}")
    step = result.get("next")
    return [*lines, f"next: {step}"] if step else lines


def doctor(result: Result, state: str = ONLINE) -> list[str]:
    """Returns the lines of ``ostiary doctor``: one per link, then what helps against the first cause.

    Args:
        result: the checks.
        state: the client's, because who is not set up, signed out or down needs another command than who is cut off.
    """
    checks = _list(result, "checks")
    rows = [(f"{mark(item)} {item.get('name', item.get('check', '?'))}", _sentence(item)) for item in checks]
    broken = next((item for item in checks if outcome(item) in ("fail", "warn")), None)
    lines = aligned(rows, indent="")
    if broken is None:
        return [*lines, "everything works"]
    step = str(broken.get("next") or reason_of(broken).next_step)
    if reason_of(broken) is Reason.SIGN_IN_REQUIRED:
        step = NEXT_OF_STATE.get(state) or step
    return [*lines, f"next: {step}"] if step else lines


def outcome(check: Result) -> str:
    """Returns ``ok``, ``warn``, ``fail`` or ``skipped`` of one check of the doctor."""
    said = check.get("status", check.get("outcome", check.get("ok")))
    if isinstance(said, bool):
        return "ok" if said else "fail"
    if said is None:
        return "skipped"
    return {"warning": "warn", "failed": "fail", "error": "fail", "skip": "skipped", "passed": "ok"}.get(
        str(said), str(said)
    )


def mark(check: Result) -> str:
    """Returns the word, of one width, that begins a check's line."""
    return {"ok": "ok     ", "warn": "warning", "fail": "FAILED ", "skipped": "skipped"}.get(outcome(check), "?      ")


def reason_of(item: Result) -> Reason:
    """Returns the Reason in an answer; NORMAL when it names none."""
    code = item.get("reason")
    return reason_from_code(code) if isinstance(code, str) else Reason.NORMAL


def target_of(item: Result) -> str:
    """Returns ``host:port/udp``; TCP is not named."""
    host, port, transport = item.get("host", "?"), item.get("port"), item.get("transport", "tcp")
    text = str(host)
    if port:
        text = f"[{host}]:{port}" if ":" in text else f"{host}:{port}"
    return text if transport == "tcp" else f"{text} ({'ping' if transport == 'icmp' else str(transport).upper()})"


def log_entry(item: object) -> dict[str, Any]:
    """Returns a line of the daemon's log as an object: its members when it is JSON, else ``{"line": …}``."""
    entry = dict(item) if isinstance(item, Mapping) else {"line": str(item)}
    entry.pop("kind", None)
    line = entry.get("line")
    if isinstance(line, str) and line.startswith("{"):
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            return entry
        return parsed if isinstance(parsed, dict) else entry
    return entry


def log_line(entry: Result) -> str:
    """Returns one line of the daemon's log: ``13:21:25 info     controller.connected revision=28``."""
    if isinstance(entry.get("line"), str):
        return str(entry["line"])
    shown = {key: value for key, value in entry.items() if key not in _LOG_HEAD}
    moment = str(entry.get("timestamp", ""))
    clock = moment.partition("T")[2][:8] or moment
    head = f"{clock} {str(entry.get('level', '')).ljust(8)} {entry.get('event', '')}"
    return " ".join([head.strip(), *(f"{key}={value}" for key, value in shown.items() if value not in (None, ""))])


def aligned(rows: Sequence[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Returns ``label  text`` lines whose texts begin in one column."""
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{indent}{label.ljust(width)}  {text}".rstrip() for label, text in rows]


def _sentence(item: Result) -> str:
    text = str(item.get("sentence") or item.get("detail") or "")
    reason = reason_of(item)
    if not text and reason is not Reason.NORMAL:
        text = reason.sentence
    return text


def _joined(value: object) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("id") or "")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_joined(item) for item in value)
    return str(value)


def _count(value: object, word: str) -> str:
    return f"{value} {word}" if value == 1 else f"{value} {word}s"


def _dict(result: Result, key: str) -> Result:
    value = result.get(key)
    return value if isinstance(value, Mapping) else {}


def _list(result: Result, key: str) -> list[Result]:
    value = result.get(key)
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
