"""``ping``: one destination, step by step as a connection takes them, with the time of each, through to the resource.

Each step is an event as soon as it is over; the answer holds them all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from client.core.classify import Target
from client.core.direct import DirectPath, Way
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
from runtime.status_socket import Emit

STEP_S: Final = 12.0
RELAY_S: Final = 5.0
WARM_MS: Final = 1.0
"""A tunnel that was there in less was there before."""
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

    async def run(self, args: Mapping[str, Any], emit: Emit) -> dict[str, Any]:
        """Goes step by step and stops at the first that fails; ``emit`` is given ``{"kind": "step", …}`` for each.

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
        steps = _Steps(self._clock, self._reach.readable, emit)
        ok = False
        match decide(self._policy.index, request, self._clock.wall()), self._policy.classifier.blocked:
            case Permit(entry), None:
                await steps.add(_step("policy", f"permits it by the resource {entry.resource.name!r}"))
                ok = await self._walk(Target(request.host, request.transport, request.port, entry), steps)
            case Permit(), Reason() as blocked:
                await steps.add(_failed("policy", RefusedError(blocked)))
            case Deny(reason), _:
                await steps.add(_failed("policy", RefusedError(reason)))
        return {
            "ok": ok,
            "host": str(request.host),
            "port": request.port,
            "transport": request.transport.value,
            "steps": steps.done,
        }

    async def _walk(self, target: Target, steps: "_Steps") -> bool:
        try:
            await self._controller(steps)
            tunnel = await steps.timed("tunnel", self._tunnel(target.entry), self._says_tunnel)
            name = self._name(tunnel)
            await self._between(tunnel.path, steps)
            await steps.timed("connector", tunnel.tunnel.probe(PROBE_S), lambda *_: f"{name} answers by the tunnel")
            if target.transport is Transport.TCP:
                accepts = f"accepts connections on port {target.port}, as {name} sees it"
                await steps.timed("resource", self._resource(target), lambda *_: accepts)
        except _StepFailedError:
            return False
        return True

    def _name(self, tunnel: ConnectorTunnel) -> str:
        return self._reach.connector_name(tunnel.path.connector) or tunnel.path.connector

    def _says_tunnel(self, tunnel: ConnectorTunnel, ms: float) -> str:
        age = f"up for {self._clock.monotonic() - tunnel.since:.0f} s" if ms < WARM_MS else "made for this"
        return f"to the connector {self._name(tunnel)}, {age}"

    async def _controller(self, steps: "_Steps") -> None:
        """Not needed for a tunnel that is up: said, but nothing ends here."""
        link = self._session.link
        state = None if link is None else link.state
        if state is None or not state.connected:
            error = (None if state is None else state.error) or RemoteError(Reason.CONTROLLER_UNREACHABLE)
            await steps.add({**_failed("controller", error), "status": "warn"})
            return
        rtt = None if state.rtt_ms is None else round(state.rtt_ms, 2)
        age = self._clock.monotonic() - state.last_contact
        await steps.add({**_step("controller", f"connected, heard {age:.0f} s ago"), "ms": rtt})

    async def _tunnel(self, entry: Entry) -> ConnectorTunnel:
        tunnels = self._gateway.tunnels
        if tunnels is None:
            raise RefusedError(Reason.SIGN_IN_REQUIRED)
        tunnel = await tunnels.reach(entry)
        await asyncio.shield(tunnel.proven)
        return tunnel

    async def _between(self, way: Way, steps: "_Steps") -> None:
        """The relay, or that there is none."""
        if isinstance(way, DirectPath):
            await steps.add(_step("direct", f"at {way.where}, without a relay"))
            return
        fqdn, port = way.fqdn, way.port
        await steps.timed("relay", self._relay(fqdn, port), lambda *_: f"{fqdn}:{port} answers")

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


class _Steps:
    """What is over, told as it happens.

    Args:
        readable: puts names for ids in a sentence.
        emit: is given each step.
    """

    def __init__(self, clock: Clock, readable: Callable[[str], str], emit: Emit) -> None:
        self.done: list[dict[str, Any]] = []
        self._clock = clock
        self._readable = readable
        self._emit = emit

    async def add(self, step: dict[str, Any]) -> None:
        """One step is over, well or not."""
        told = {**step, "sentence": self._readable(step["sentence"])}
        self.done.append(told)
        await self._emit({"kind": "step", **told})

    async def timed(self, name: str, work: Awaitable[T], say: Callable[[T, float], str]) -> T:
        """Does the step, and says it with what ``say`` makes of its result and of the milliseconds that it took.

        Raises:
            _StepFailedError: it failed, and that is said.
        """
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(STEP_S):
                result = await work
        except TimeoutError as exc:
            await self.add(_failed(name, RemoteError(Reason.TIMEOUT, f"no answer within {STEP_S:g} s")))
            raise _StepFailedError from exc
        except OstiaryError as error:
            await self.add(_failed(name, error))
            raise _StepFailedError from error
        ms = round((self._clock.monotonic() - began) * 1000, 3)
        await self.add({**_step(name, say(result, ms)), "ms": ms})
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
