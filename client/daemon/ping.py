"""``ping``: one destination, step by step as a connection takes them, with the time of each, through to the resource."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from client.core.classify import Target
from client.daemon.connector_tunnel import ConnectorTunnel
from client.daemon.doctor import is_down
from client.daemon.gateway import Gateway
from client.daemon.policy import Policy
from client.daemon.reach import PROBE_S, Reach
from client.daemon.report import Reporter
from client.daemon.session import Session
from protocol.acl.decide import decide
from protocol.acl.model import Deny, Entry, Permit, Request, Transport
from protocol.errors import LocalError, OstiaryError, RefusedError, RemoteError
from protocol.ids import FlowId
from protocol.reasons import Reason
from runtime.clock import Clock
from runtime.entropy import new_id
from runtime.sockets import connect_socket

STEP_S: Final = 12.0
RELAY_S: Final = 5.0
T = TypeVar("T")


class Pinger:
    """The verb ``ping``.

    Args:
        mark: SO_MARK of our own sockets.
    """

    def __init__(
        self,
        session: Session,
        policy: Policy,
        gateway: Gateway,
        reach: Reach,
        reporter: Reporter,
        clock: Clock,
        *,
        mark: int | None,
    ) -> None:
        self._session = session
        self._policy = policy
        self._gateway = gateway
        self._reach = reach
        self._reporter = reporter
        self._clock = clock
        self._mark = mark

    async def run(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Goes step by step and stops at the first that fails.

        Returns:
            ``{"ok", "host", "port", "transport", "steps": [{name, status, ms, sentence, reason, next}]}``.

        Raises:
            LocalError: INVALID_INPUT.
        """
        if self._session.state == "down":
            # There is no policy now: what it said, or will say, is not known.
            asked = {"host": str(args.get("host")), "port": args.get("port"), "transport": args.get("transport", "tcp")}
            return {"ok": False, **asked, "steps": [{**is_down("client"), "ms": None}]}
        request = self._asked_for(args)
        steps: list[dict[str, Any]] = []
        body = {
            "host": str(request.host),
            "port": request.port,
            "transport": request.transport.value,
            "steps": steps,
        }
        ok = False
        match decide(self._policy.index, request, self._clock.wall()), self._policy.classifier.blocked:
            case Permit(entry), None:
                steps.append(_step("policy", f"permits it by the resource {entry.resource.name!r}"))
                ok = await self._walk(Target(request.host, request.transport, request.port, entry), steps)
            case Permit(), Reason() as blocked:
                steps.append(_failed("policy", RefusedError(blocked)))
            case Deny(reason), _:
                steps.append(_failed("policy", RefusedError(reason)))
        for step in steps:
            step["sentence"] = self._reach.readable(step["sentence"])
        return {"ok": ok, **body}

    async def _walk(self, target: Target, steps: list[dict[str, Any]]) -> bool:
        clock = self._clock
        try:
            await self._controller(steps)
            tunnel = await _timed(clock, steps, "tunnel", self._tunnel(target.entry), lambda _: "")
            name = self._reach.connector_name(tunnel.path.connector) or tunnel.path.connector
            steps[-1]["sentence"] = f"to the connector {name}" + (
                f", up for {self._clock.monotonic() - tunnel.since:.0f} s" if steps[-1]["ms"] < 1 else ", made for this"
            )
            relay = f"{tunnel.path.fqdn}:{tunnel.path.port}"
            await _timed(
                clock, steps, "relay", self._relay(tunnel.path.fqdn, tunnel.path.port), lambda _: f"{relay} answers"
            )
            await _timed(
                clock, steps, "connector", tunnel.tunnel.probe(PROBE_S), lambda _: f"{name} answers by the tunnel"
            )
            if target.transport is Transport.TCP:
                await _timed(
                    clock,
                    steps,
                    "resource",
                    self._resource(target),
                    lambda _: f"accepts connections on port {target.port}, as {name} sees it",
                )
        except _StepFailedError:
            return False
        return True

    async def _controller(self, steps: list[dict[str, Any]]) -> None:
        """Not needed for a tunnel that is up: said, but nothing ends here."""
        link = self._session.link
        state = None if link is None else link.state
        if state is None or not state.connected:
            error = (None if state is None else state.error) or RemoteError(Reason.CONTROLLER_UNREACHABLE)
            steps.append({**_failed("controller", error), "status": "warn"})
            return
        rtt = None if state.rtt_ms is None else round(state.rtt_ms, 2)
        age = self._clock.monotonic() - state.last_contact
        steps.append({**_step("controller", f"connected, heard {age:.0f} s ago"), "ms": rtt})

    async def _tunnel(self, entry: Entry) -> ConnectorTunnel:
        tunnels = self._gateway.tunnels
        if tunnels is None:
            raise RefusedError(Reason.SIGN_IN_REQUIRED)
        tunnel = await tunnels.reach(entry)
        await asyncio.shield(tunnel.proven)
        return tunnel

    async def _relay(self, fqdn: str, port: int) -> None:
        """A TCP handshake with the relay, beside the tunnel: how far it is. It is closed at once."""
        sock = await connect_socket(fqdn, port, mark=self._mark, deadline_s=RELAY_S, what=Reason.RELAY_UNREACHABLE)
        sock.close()

    async def _resource(self, target: Target) -> None:
        """A real connection, as an application would make it; closed as soon as it is accepted."""
        flow = FlowId(new_id("flow"))
        opened, tunnel = await self._gateway.open(target, flow)
        self._gateway.begin(flow, target, tunnel, opened.stream.reset)
        opened.stream.reset(Reason.NORMAL)
        self._gateway.end(flow, target, Reason.NORMAL)

    def _asked_for(self, args: Mapping[str, Any]) -> Request:
        """A host, an address, or the name of a resource that has one address."""
        text = args.get("host")
        if isinstance(text, str) and args.get("transport", "tcp") != "icmp":
            wanted = text.strip().casefold()
            for entry in self._policy.index.acl.entries:
                if entry.resource.name.casefold() == wanted:
                    return self._reporter.request_of({**args, "host": _only_host(entry)})
        return self._reporter.request_of(args)


def _only_host(entry: Entry) -> str:
    """Raises LocalError(INVALID_INPUT) for a resource with more than one host."""
    address = str(entry.resource.address)
    if address.startswith("*.") or "/" in address:
        raise LocalError(Reason.INVALID_INPUT, f"{entry.resource.name!r} is {address}: name one host in it")
    return address


class _StepFailedError(Exception):
    """Carries nothing: the step says it."""


async def _timed(
    clock: Clock, steps: list[dict[str, Any]], name: str, work: Awaitable[T], say: Callable[[T], str]
) -> T:
    began = clock.monotonic()
    try:
        async with asyncio.timeout(STEP_S):
            result = await work
    except TimeoutError as exc:
        steps.append(_failed(name, RemoteError(Reason.TIMEOUT, f"no answer within {STEP_S:g} s")))
        raise _StepFailedError from exc
    except OstiaryError as error:
        steps.append(_failed(name, error))
        raise _StepFailedError from error
    steps.append({**_step(name, say(result)), "ms": round((clock.monotonic() - began) * 1000, 3)})
    return result


def _step(name: str, sentence: str) -> dict[str, Any]:
    return {"name": name, "status": "ok", "ms": None, "sentence": sentence, "reason": None, "next": ""}


def _failed(name: str, error: OstiaryError) -> dict[str, Any]:
    reason = error.reason
    silent = name == "connector" and reason is Reason.PEER_SILENT
    return {
        "name": name,
        "status": "fail",
        "ms": None,
        "sentence": str(error),
        "reason": reason.code,
        "next": (Reason.PAIRING_TIMEOUT if silent else reason).next_step,
    }
