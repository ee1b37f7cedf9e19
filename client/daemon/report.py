"""What ``status``, ``resources`` and ``explain`` answer. The shapes are fixed: commands and scripts read them."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import replace
from heapq import nlargest
from typing import Any, Final

from client.core.direct import way_body
from client.core.network_names import is_network_name
from client.core.synthetic import SyntheticPool
from client.daemon import same_address
from client.daemon.asking import ASKABLE, command_for
from client.daemon.denials import Denials
from client.daemon.gateway import Gateway
from client.daemon.policy import Policy
from client.daemon.reach import Reach
from client.daemon.renewal import is_ending
from client.daemon.session import Session
from protocol.acl.codec import ports_to_json
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Entry, IPAddress, IPNetwork, Permit, Request, Transport
from protocol.acl.names import parse_host
from protocol.errors import LocalError, OstiaryError
from protocol.ids import NetworkId
from protocol.limits import CLOCK_WARN_S
from protocol.reasons import Reason, reason_from_code
from protocol.version import PROTOCOL, SOFTWARE
from runtime.clock import Clock

SHOWN_DENIALS: Final = 5
SHOWN_CONNECTIONS: Final = 10


class Reporter:
    """Reads everything, changes nothing."""

    def __init__(
        self,
        session: Session,
        policy: Policy,
        gateway: Gateway,
        denials: Denials,
        clock: Clock,
        *,
        mode: str,
        pool: SyntheticPool,
    ) -> None:
        self._session = session
        self._policy = policy
        self._gateway = gateway
        self._denials = denials
        self._clock = clock
        self._mode = mode
        self._pool = pool
        self.dns: Callable[[], dict[str, str]] = lambda: {"mode": "off", "server": ""}
        self.reach: Reach | None = None
        """What is known about the way into each remote network."""
        self.proxy: Callable[[], str | None] = lambda: None
        """Where the proxy mode listens."""
        self.warnings: dict[str, LocalError] = {}
        self.local_networks: Callable[[], tuple[IPNetwork, ...]] = tuple
        """The networks that this host stands in."""

    def version(self) -> dict[str, Any]:
        """``version``."""
        return {"version": SOFTWARE, "protocol": PROTOCOL, "mode": self._mode}

    def status(self) -> dict[str, Any]:
        """``status``. ``health`` and ``networks`` rest on checks through to the connectors, with the time of each."""
        session, snapshot = self._session, self._policy.current
        identity = session.identity
        networks = [] if self.reach is None or self._gateway.tunnels is None else self.reach.shown()
        return {
            "state": session.state,
            "since": session.since,
            "health": _health(session.state, networks),
            "user": None if identity is None else identity.user_name or identity.user,
            "device": None if identity is None else identity.device,
            "controller": self._controller(),
            "revision": None if snapshot is None else snapshot.revision,
            "epoch": None if snapshot is None else snapshot.epoch,
            "snapshot_not_after": None if snapshot is None else snapshot.not_after,
            "session_expires": None if identity is None else identity.session_expires,
            "service": identity is not None and identity.service,
            "networks": networks,
            "tunnels": self._tunnels(),
            "flows": len(self._policy.flows),
            "connections": self._connections(),
            "records": {"waiting": len(self._gateway.records.queue), "dropped": self._gateway.records.queue.dropped},
            "dns": self.dns(),
            "mode": self._mode,
            "proxy": self.proxy(),
            "denials": [refusal.as_json() for refusal in self._denials.recent(SHOWN_DENIALS)],
            "warnings": self._warnings(),
        }

    def resources(self) -> dict[str, Any]:
        """``resources``."""
        snapshot = self._policy.current
        if snapshot is None:
            return {"resources": [], "revision": None}
        entries = sorted(snapshot.acl.entries, key=lambda entry: entry.resource.name)
        shown = [self._resource(entry, snapshot.networks) for entry in entries]
        return {"resources": shown, "revision": snapshot.revision}

    async def explain(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """``explain``: what the snapshot says; where it says no, the controller is asked for more.

        Raises:
            LocalError: INVALID_INPUT.
        """
        request = self.request_of(args)
        body: dict[str, Any] = {
            "host": str(request.host),
            "port": request.port,
            "transport": request.transport.value,
            "revision": self._policy.revision or None,
            "ask": [],
            "via": [],
            "grants": [],
            "path": None,
            "source": "snapshot",
        }
        located = self._policy.classifier.locate(request.host) if isinstance(request.host, str) else None
        index = self._policy.index
        if located is not None:
            # An address in a network, by name: about that address in that network alone.
            request, index = replace(request, host=located[0]), located[1]
            body["host"] = str(located[0])
        verdict = decide(index, request, self._clock.wall())
        if isinstance(verdict, Permit):
            body |= self._permitted(request, verdict.entry) | self._meanings(request, verdict.entry, index)
        else:
            body |= _said(verdict.reason)
            if verdict.resource is not None:
                body |= _named(self._policy.entry(verdict.resource))
        covered = bool(index.match(request.host)) or self._owns(request.host)
        covered = covered or (isinstance(request.host, str) and is_network_name(request.host))
        await self._ask_controller(request, body, covered=covered)
        self._name_the_request(request, body)
        return body

    def _meanings(self, request: Request, entry: Entry, index: AclIndex) -> dict[str, Any]:
        """In which network it lies, and what else the same address means (T-53)."""
        snapshot = self._policy.current
        networks = {} if snapshot is None else snapshot.networks
        local = same_address.local_network(request.host, self.local_networks())
        names = self._policy.classifier.names
        return {
            "network": entry.resource.network,
            "network_name": networks.get(entry.resource.network, ""),
            "also": same_address.meanings(request.host, entry, index, names, networks),
            "local_network": None if local is None else str(local),
        }

    # status

    def _controller(self) -> dict[str, Any]:
        session = self._session
        link, controller = session.link, session.controller
        body: dict[str, Any] = {
            "url": None if controller is None else controller.url,
            "at": None,
            "connected": False,
            "since": None,
            "clock_offset_ms": None,
        }
        if link is not None:
            ago = self._clock.monotonic() - link.state.since if link.state.since else None
            body["connected"] = link.connected
            body["at"] = link.state.url or None
            body["since"] = None if ago is None else self._unix_ago(ago)
            offset = link.state.clock_offset_ms
            # As a person says it: positive when this host's clock is ahead.
            body["clock_offset_ms"] = None if offset is None else -round(offset)
            if link.state.error is not None and not link.connected:
                captive = None if session.captive is None else session.captive.found
                error = captive or link.state.error
                body["error"] = {"reason": error.reason.code, "detail": error.detail}
        return body

    def _tunnels(self) -> list[dict[str, Any]]:
        tunnels = self._gateway.tunnels
        found = []
        for each in () if tunnels is None else tunnels.live:
            rtt = each.tunnel.rtt
            found.append(
                {
                    "connector": each.path.connector,
                    "connector_name": self._connector_name(each.path.connector),
                    **way_body(each.path),
                    "network": each.network,
                    "network_name": self._network_name(each.network),
                    "since": self._unix_ago(self._clock.monotonic() - each.since),
                    "rtt_ms": None if rtt is None else round(rtt * 1000, 1),
                    "flows": self._policy.flows.count(each.path.connector),
                    "access_expires": None if each.standing is None else each.standing.access.expires,
                    "bytes_up": each.tunnel.bytes_sent,
                    "bytes_down": each.tunnel.bytes_received,
                }
            )
        return found

    def _connections(self) -> list[dict[str, Any]]:
        """The open flows that have moved most so far."""
        counted = [(flow.traffic(), flow) for flow in self._policy.flows]
        return [
            {
                "flow": flow.id,
                "host": str(flow.target.host),
                "port": flow.target.port,
                "transport": flow.target.transport.value,
                "resource": flow.target.resource,
                "resource_name": flow.target.entry.resource.name,
                "connector": flow.via.connector,
                "since": round(flow.started, 3),
                "bytes_up": up,
                "bytes_down": down,
            }
            for (up, down), flow in nlargest(SHOWN_CONNECTIONS, counted, key=lambda item: sum(item[0]))
        ]

    def _warnings(self) -> list[dict[str, Any]]:
        found = [_warning(error) for error in self.warnings.values()]
        link = self._session.link
        if link is not None:
            offset = link.state.clock_offset_ms
            if offset is not None and abs(offset) > CLOCK_WARN_S * 1000:
                found.append(_warning(LocalError(Reason.CLOCK_OFFSET, f"{-offset / 1000:+.1f} s")))
            captive = None if self._session.captive is None else self._session.captive.found
            if captive is not None and not link.connected:
                found.append(_warning(captive))
            elif not link.connected and link.state.error is not None:
                found.append(_warning(link.state.error))
        if is_ending(self._session.identity, self._clock.wall()):
            found.append(_warning(LocalError(Reason.SIGN_IN_ENDING)))
        blocked = self._policy.classifier.blocked
        if blocked is not None and blocked is not Reason.SIGN_IN_REQUIRED:
            found.append(_warning(LocalError(blocked)))
        return found

    def _connector_name(self, connector: str) -> str:
        return "" if self.reach is None else self.reach.connector_name(connector)

    def _unix_ago(self, seconds: float) -> float:
        return round(self._clock.wall() - seconds, 3)

    def _network_name(self, network: NetworkId) -> str:
        snapshot = self._policy.current
        return "" if snapshot is None else snapshot.networks.get(network, "")

    # resources and explain

    def _resource(self, entry: Entry, networks: Mapping[NetworkId, str]) -> dict[str, Any]:
        resource = entry.resource
        return {
            "id": resource.id,
            "name": resource.name,
            "address": str(resource.address),
            "ports": ports_to_json(resource.ports),
            "network": resource.network,
            "network_name": networks.get(resource.network, ""),
            "lease_s": resource.lease_s,
            "grants": list(entry.grants),
            "expires": entry.expires,
        }

    def request_of(self, args: Mapping[str, Any]) -> Request:
        """Returns what ``host``, ``port`` and ``transport`` ask about. Raises LocalError(INVALID_INPUT)."""
        host, port, name = args.get("host"), args.get("port"), args.get("transport", "tcp")
        if not isinstance(host, str) or name not in {each.value for each in Transport}:
            raise LocalError(Reason.INVALID_INPUT, "host, and transport tcp, udp or icmp, are wanted")
        usable = isinstance(port, int) and not isinstance(port, bool) and 1 <= port <= 65535
        if port is not None and not usable:
            raise LocalError(Reason.INVALID_INPUT, f"{port!r} is no port")
        transport = Transport(name)
        where = parse_host(host)
        if not isinstance(where, str):
            synthetic = self._pool.find(where.packed)
            where = where if synthetic is None else synthetic.name
        if transport is Transport.ICMP:
            return Request(where, transport, None)
        return Request(where, transport, port if port is not None else self._likely_port(where, transport))

    def _likely_port(self, host: str | IPAddress, transport: Transport) -> int:
        """Asked about without a port: about the first one that the resource has."""
        located = self._policy.classifier.locate(host) if isinstance(host, str) else None
        for entry in self._policy.index.match(host) if located is None else located[1].match(located[0]):
            ranges = entry.resource.ports.tcp if transport is Transport.TCP else entry.resource.ports.udp
            if ranges:
                return ranges[0].first
        return 443

    def _permitted(self, request: Request, entry: Entry) -> dict[str, Any]:
        link = self._session.link
        reason = self._policy.refusal_of(entry, 0.0 if link is None else link.away_s())
        body = _named(entry) | {"grants": list(entry.grants)}
        if reason is None:
            body |= {"allowed": True, "reason": None, "sentence": "Your snapshot permits it.", "next": ""}
        else:
            body |= _said(reason)
        refused = self._denials.find(str(request.host), request.transport, request.port)
        if reason is None and refused is not None and self._clock.wall() - refused.last < 60:
            body["last_failure"] = refused.as_json()
            body["sentence"] += f" The last attempt failed all the same: {refused.reason.sentence}"
            body["next"] = refused.reason.next_step
            body["at"] = refused.last
        tunnels = self._gateway.tunnels
        tunnel = None if tunnels is None else tunnels.find(entry.resource.network)
        if tunnel is not None:
            path = tunnel.path
            body["path"] = {
                "connector": path.connector,
                "connector_name": self._connector_name(path.connector),
                **way_body(path),
                "direct_failures": tunnels.direct_failures(path.connector) if tunnels is not None else {},
            }
        return body

    async def _ask_controller(self, request: Request, body: dict[str, Any], *, covered: bool) -> None:
        link = self._session.link
        if link is None or not link.connected:
            if not covered:
                body |= _BYPASSED
            return
        try:
            told = await link.explain(str(request.host), request.transport.value, request.port)
        except OstiaryError:
            if not covered:
                body |= _BYPASSED
            return
        body["ask"], body["via"] = list(told.ask), list(told.via)
        if told.allowed or covered:
            return
        reason = Reason.NOT_A_RESOURCE if told.reason is None else reason_from_code(told.reason)
        if reason is Reason.NOT_A_RESOURCE:
            body |= _BYPASSED
            return
        body |= _said(reason) | {
            "resource": told.resource,
            "resource_name": told.resource_name,
            "revision": told.revision,
            "source": "controller",
            "missing": list(told.missing),
            "changes_at": told.changes_at,
        }

    def _name_the_request(self, request: Request, body: dict[str, Any]) -> None:
        """Says by which command access is asked for: the same for what does not exist (T-10)."""
        identity = self._session.identity
        code = body.get("reason")
        if body.get("allowed") or identity is None or identity.service or not isinstance(code, str):
            return
        if reason_from_code(code) in ASKABLE:
            body["request"] = command_for(str(request.host), request.port)
            if body.get("intercepted") is not False:
                body["next"] = body["request"]

    def _owns(self, host: str | IPAddress) -> bool:
        return not isinstance(host, str) and self._pool.owns(ipaddress.ip_address(host))


_BYPASSED: Final[dict[str, Any]] = {
    "intercepted": False,
    "allowed": False,
    "reason": Reason.NOT_A_RESOURCE.code,
    "sentence": "It is no resource of yours: this host's own network serves it.",
    "next": "",
}


def _health(state: str, networks: list[dict[str, Any]]) -> str | None:
    """Whether traffic can flow, as far as it was checked; None while nobody is signed in or the client is down."""
    if state not in ("online", "offline", "connecting"):
        return None
    found = [network["state"] for network in networks]
    if not found:
        return "no_resources"
    if "reachable" not in found:
        return "unchecked" if "unchecked" in found else "unreachable"
    return "ready" if set(found) == {"reachable"} else "degraded"


def _said(reason: Reason) -> dict[str, Any]:
    return {"allowed": False, "reason": reason.code, "sentence": reason.sentence, "next": reason.next_step}


def _named(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {}
    return {"resource": entry.resource.id, "resource_name": entry.resource.name}


def _warning(error: OstiaryError) -> dict[str, Any]:
    return {"reason": error.reason.code, "sentence": str(error), "next": error.reason.next_step}
