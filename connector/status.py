"""What the daemon says about itself on its status socket."""

from collections.abc import Mapping
from typing import Any

from connector.core.witness import Witness
from connector.daemon import Daemon
from connector.identity import certificate_made_at
from connector.probe import parse_target, probe
from protocol.errors import LocalError, OstiaryError
from protocol.reasons import Reason
from protocol.version import SOFTWARE
from runtime.console import error_object
from runtime.status_socket import Emit, Handler, Peer, Result


def status_handler(daemon: Daemon) -> Handler:
    """Returns the handler of the daemon's status socket; its verbs are status, health, rotate-key and test."""

    async def handle(verb: str, args: Mapping[str, Any], _peer: Peer, emit: Emit) -> Result:
        match verb:
            case "status":
                return describe(daemon)
            case "health":
                return {"live": True, "ready": daemon.ready, "why": why_not_ready(daemon)}
            case "rotate-key":
                daemon.rotation.ask()
                return describe_rotation(daemon)
            case "test":
                target = parse_target(str(args.get("target", "")))
                return await probe(
                    target,
                    resolver=daemon.resolver,
                    served=daemon.enforcer.keeper.current,
                    wall=daemon.clock.wall(),
                    emit=emit,
                )
        raise LocalError(Reason.INVALID_INPUT, f"unknown verb {verb[:32]!r}")

    return handle


def describe(daemon: Daemon) -> dict[str, Any]:
    """Returns everything that ``status`` shows, as JSON values."""
    now, enforcer, link = daemon.clock.monotonic(), daemon.enforcer, daemon.link.state
    return {
        "software": SOFTWARE,
        "connector": daemon.identity.connector,
        "network": enforcer.network,
        "pin": daemon.identity.pin,
        "key": describe_rotation(daemon),
        "uptime_s": round(now - daemon.started_at, 1),
        "ready": daemon.ready,
        "draining": daemon.draining,
        "problem": _error(daemon.problem),
        "controller": {
            "url": daemon.identity.controller_url,
            "at": link.url,
            "connected": link.connected,
            "since_s": round(now - link.since, 1) if link.since else None,
            "heard_s_ago": round(max(0.0, now - enforcer.heard_at), 1),
            "clock_offset_ms": None if link.clock_offset_ms is None else round(link.clock_offset_ms, 1),
            "rtt_ms": None if link.rtt_ms is None else round(link.rtt_ms, 2),
            "error": _error(link.error),
        },
        "config": _config(daemon),
        "relays": [
            {
                "relay": uplink.relay.relay,
                "fqdn": uplink.relay.fqdn,
                "port": uplink.relay.port,
                "attached": uplink.attached,
                "since_s": round(now - uplink.since, 1),
                "parked": uplink.parked,
                "error": _error(uplink.error),
            }
            for uplink in daemon.uplinks
        ],
        "tunnels": [
            {
                "device": peer.admitted.peer.device,
                "user": peer.admitted.peer.user,
                "relay": peer.relay,
                "rtt_ms": None if peer.tunnel.rtt is None else round(peer.tunnel.rtt * 1000, 2),
                "streams": peer.tunnel.stream_count,
            }
            for peer in daemon.peers.values()
            if peer.admitted is not None
        ],
        "direct": {
            "addresses": list(daemon.direct.told),
            "connections": daemon.direct.doorway.connections,
            "strangers": daemon.direct.doorway.strangers,
            "refused": daemon.direct.doorway.refused,
        },
        "flows": len(enforcer.flows),
        "bytes_up": enforcer.bytes_up,
        "bytes_down": enforcer.bytes_down,
        "outcomes": {
            reason.code: count for reason, count in sorted(enforcer.outcomes.items(), key=lambda item: -item[1])
        },
        "cutoffs": len(enforcer.cutoffs),
        "witness": _witness(daemon.observer.witness),
        "records": {"waiting": len(enforcer.records), "dropped": enforcer.records.dropped},
        "resolvers": list(daemon.resolver.servers()),
    }


def why_not_ready(daemon: Daemon) -> dict[str, str] | None:
    """Returns what keeps the connector from serving; None when nothing does."""
    if daemon.ready:
        return None
    if daemon.draining:
        return _reason(Reason.SHUTTING_DOWN, "")
    if daemon.problem is not None:
        return _error(daemon.problem)
    served = daemon.enforcer.keeper.current
    if served is None:
        return _error(daemon.link.state.error) or _reason(Reason.CONTROLLER_UNREACHABLE, "no config yet")
    if served.expired(daemon.clock.wall()):
        return _reason(Reason.LEASE_EXPIRED, "the config has expired")
    errors = [uplink.error for uplink in daemon.uplinks if uplink.error is not None]
    return _error(errors[0]) if errors else _reason(Reason.RELAY_UNREACHABLE, "not attached to any relay yet")


def _config(daemon: Daemon) -> dict[str, Any] | None:
    served = daemon.enforcer.keeper.current
    if served is None:
        return None
    config = served.config
    return {
        "epoch": config.epoch,
        "revision": config.revision,
        "issued_at": config.issued_at,
        "not_after": config.not_after,
        "expired": served.expired(daemon.clock.wall()),
        "resources": len(config.acl.entries),
        "egress_allow": list(config.egress_allow),
    }


def describe_rotation(daemon: Daemon) -> dict[str, Any]:
    """Returns where the connector's key is in its life; times are Unix seconds."""
    progress = daemon.rotation.progress
    return {
        "pin": daemon.identity.pin,
        "made_at": certificate_made_at(daemon.identity.certificate_pem),
        "phase": progress.phase,
        "next_pin": progress.next_pin,
        "switch_at": progress.switch_at,
        "former_until": progress.drop_at,
        "error": _error(progress.error),
    }


def _witness(witness: Witness) -> dict[str, Any]:
    newest = witness.newest
    return {
        "checkpoints": len(witness.checkpoints),
        "newest": None if newest is None else {"epoch": newest.epoch, "position": newest.position, "hash": newest.hash},
        "conflicts": len(witness.conflicts),
        "last_conflict": None if not witness.conflicts else witness.conflicts[-1].detail,
        "refused": witness.conflict_count,
    }


def _error(error: OstiaryError | None) -> dict[str, str] | None:
    return None if error is None else error_object(error)


def _reason(reason: Reason, detail: str) -> dict[str, str]:
    return error_object(LocalError(reason, detail))
