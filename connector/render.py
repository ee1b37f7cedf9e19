"""How a person reads the connector's answers. Nothing here is parsed by anybody: scripts use ``--json``."""

from collections.abc import Mapping
from typing import Any

from runtime.console import print_lines, print_table


def render_status(answer: Mapping[str, Any]) -> None:
    """Prints the answer of the verb ``status``."""
    controller, config = answer["controller"], answer["config"]
    state = "ready" if answer["ready"] else "draining" if answer["draining"] else "NOT READY"
    print_lines(f"connector   {answer['connector']}  {state}, up {_span(answer['uptime_s'])}")
    print_lines(f"controller  {controller['url']}  {_controller_state(controller)}")
    if controller.get("at") not in (None, "", controller["url"]):
        print_lines(f"            at {controller['at']}")
    if config is None:
        print_lines("config      none yet")
    else:
        expired = ", EXPIRED" if config["expired"] else ""
        print_lines(f"config      revision {config['revision']}, {config['resources']} resources{expired}")
        if config["egress_allow"]:
            print_lines(f"            egress rules lifted for {', '.join(config['egress_allow'])}")
    key = answer["key"]
    if key["phase"] != "idle":
        print_lines(f"key         another one is {key['phase'].replace('making', 'being made')}: {key['next_pin']}")
    witness = answer["witness"]
    if witness["newest"] is not None:
        newest = witness["newest"]
        print_lines(
            f"witness     event {newest['position']} of epoch {newest['epoch']}, {witness['checkpoints']} checkpoints"
        )
    if witness["conflicts"]:
        print_lines(
            f"            THE CONTROLLER'S LOG WAS REWRITTEN: {witness['last_conflict']}",
            "            keep the evidence: ostiary-connector witness export --output FILE",
        )
    if answer["problem"]:
        problem = answer["problem"]
        print_lines(f"problem     {problem['sentence']} ({problem['detail']})", f"            {problem['next']}")
    # A connector of the version before does not say it.
    direct = answer.get("direct")
    if direct and direct["addresses"]:
        counts = f"{direct['connections']} connections, {direct['refused']} refused"
        print_lines(f"direct      listens at {', '.join(direct['addresses'])}; {counts}")
    print_lines(f"resolvers   {', '.join(answer['resolvers']) or 'none'}")
    print_lines(
        f"flows       {answer['flows']} open, {_size(answer['bytes_up'])} up, {_size(answer['bytes_down'])} down"
    )
    records = answer["records"]
    if records["waiting"] or records["dropped"]:
        print_lines(f"records     {records['waiting']} waiting for the controller, {records['dropped']} dropped")
    if answer["relays"]:
        print_lines("")
        print_table(["RELAY", "ADDRESS", "STATE", "PARKED"], [_relay_row(relay) for relay in answer["relays"]])
    if answer["tunnels"]:
        print_lines("")
        rows = [
            [item["device"], item["user"], item["relay"] or "direct", item["streams"], _ms(item["rtt_ms"])]
            for item in answer["tunnels"]
        ]
        print_table(["DEVICE", "USER", "RELAY", "STREAMS", "RTT"], rows)


def render_probe_step(step: Mapping[str, Any]) -> None:
    """Prints one step of ``test`` as it happens."""
    match step["step"]:
        case "policy" if step["known"]:
            covered = (
                f"covered by {step['resource']}" if step["resource"] else "no resource covers it (no user gets there)"
            )
            print_lines(f"policy   {covered}")
        case "resolve":
            print_lines(f"resolve  {', '.join(step['addresses'])}  ({step['ms']} ms)")
        case "egress":
            verdict = "may be connected to" if step["allowed"] else f"refused: {step['detail']}"
            print_lines(f"egress   {step['address']} {verdict}")


def _controller_state(controller: Mapping[str, Any]) -> str:
    if controller["connected"]:
        offset = controller["clock_offset_ms"]
        clock = f", clock {offset:+.0f} ms" if offset is not None else ""
        return f"connected for {_span(controller['since_s'] or 0)}, {_ms(controller['rtt_ms'])}{clock}"
    error = controller["error"]
    why = f": {error['sentence']} ({error['detail']})" if error else ""
    return f"NOT connected, last heard {_span(controller['heard_s_ago'])} ago{why}"


def _relay_row(relay: Mapping[str, Any]) -> list[object]:
    address = f"{relay['fqdn']}:{relay['port']}"
    if relay["attached"]:
        return [relay["relay"], address, f"attached for {_span(relay['since_s'])}", relay["parked"]]
    error = relay["error"]
    return [relay["relay"], address, f"not attached: {error['sentence'] if error else 'connecting'}", relay["parked"]]


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole < 86_400 else f"{whole // 86_400} d"


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
