"""The warm tunnels of this host, and how a stream for a target comes out of them (C11 to C19, C24).

One tunnel per connector carries everything; one dialling per remote network is in progress at a time, however many
connections wait for it. Tokens are fetched ahead of use: for the next flow the controller is not needed while they live.
"""

import asyncio
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric import ec

from client.core.access import AccessBook, AuthorisationBook
from client.core.direct import DirectPath, Way, describe
from client.daemon.connector_tunnel import PROBE_AFTER_MOVE_S, ConnectorTunnel
from client.daemon.control import ControlLink
from client.daemon.dialling import DialContext, Dialling
from client.daemon.improvement import Improvement
from client.daemon.known import Known
from client.daemon.network_watch import is_here
from client.daemon.opening import ConnectorRefusedError, Opened
from client.daemon.policy import Policy
from client.daemon.relay_lines import RelayDialler, RelayName
from client.daemon.wanted import Begun, Wanted
from protocol.acl.model import Entry
from protocol.errors import OstiaryError, RefusedError, RemoteError
from protocol.ids import ConnectorId, FlowId, NetworkId, ResourceId
from protocol.reasons import Reason
from protocol.tokens.claims import Access, Authorisation
from protocol.tokens.keys import VerificationKeys
from protocol.tokens.verify import signed_by_one_of
from runtime.clock import Clock
from runtime.tasks import TaskScope

ATTEMPTS: Final = 3
_STALE: Final = frozenset(
    {
        Reason.TOKEN_EXPIRED,
        Reason.TOKEN_REVOKED,
        Reason.ACCESS_REVOKED,
        Reason.CONNECTOR_NOT_ALLOWED,
        Reason.PROOF_MISSING,
        Reason.NOT_A_RESOURCE,
        Reason.RESOURCE_CHANGED,
    }
)
"""A connector says these also when our token, or its config, is a moment behind: once more with a fresh token."""
_CATCH_UP_S: Final = 0.3
_LOST: Final = frozenset({Reason.TUNNEL_LOST, Reason.PEER_SILENT, Reason.CANCELLED, Reason.SHUTTING_DOWN})

_log = structlog.get_logger(__name__)


class Tunnels:
    """All tunnels of one identity; ends with its scope.

    Args:
        link: the controller.
        policy: for revision, leases and what is blocked.
        key: the device's key.
        clock: the controller's time.
        scope: owns the diallings.
        sock_mark: SO_MARK of the legs.
        known: ways that were good before.
    """

    def __init__(
        self,
        link: ControlLink,
        policy: Policy,
        key: ec.EllipticCurvePrivateKey,
        clock: Clock,
        scope: TaskScope,
        *,
        sock_mark: int | None,
        known: Known,
    ) -> None:
        self._link = link
        self._policy = policy
        self._clock = clock
        self._scope = scope
        self._access = AccessBook()
        self._authorisations = AuthorisationBook()
        self._memory = known.paths
        self._addresses = known.addresses
        self._tunnels: list[ConnectorTunnel] = []
        self._dialling: dict[NetworkId, Dialling] = {}
        self._renewing: dict[ConnectorTunnel, asyncio.Task[OstiaryError | None]] = {}
        self._fetching: dict[ConnectorId, asyncio.Task[Access | OstiaryError]] = {}
        self.policy_moved = asyncio.Event()
        """Set by each policy that comes into force; who waits for it clears it."""
        self._parts = DialContext(
            relays=RelayDialler(link.relay_context, clock, sock_mark, known.addresses),
            key=key,
            clock=clock,
            access=self._usable_access,
            on_lost=self._lost,
            on_gone_away=self._gone_away,
        )
        self._improvement = Improvement(self._memory, self._parts, scope, self._adopt, self._ask_paths)

    @property
    def live(self) -> tuple[ConnectorTunnel, ...]:
        """Tunnels that are up."""
        return tuple(tunnel for tunnel in self._tunnels if tunnel.tunnel.lost is None)

    @property
    def relay_names(self) -> frozenset[str]:
        """FQDNs of relays seen: never answered by synthetic addresses, whatever the resources are called."""
        return frozenset(self._memory.relay_names)

    @property
    def relays(self) -> tuple[tuple[str, int], ...]:
        """FQDN and port of the relays in use, then of those that the controller named last, reached or not."""
        used = (tunnel.path for tunnel in self.live if not isinstance(tunnel.path, DirectPath))
        return tuple(dict.fromkeys((path.fqdn, path.port) for path in (*used, *self._memory)))

    def find(self, network: NetworkId) -> ConnectorTunnel | None:
        """Returns the tunnel for new streams into a remote network: the newest usable one, a direct one before all others."""
        usable = [each for each in reversed(self._tunnels) if each.network == network and each.usable]
        return next((each for each in usable if each.direct), usable[0] if usable else None)

    def direct_failures(self, connector: ConnectorId) -> dict[str, str]:
        """Where a connector listens itself and could not be reached, with the reason's code."""
        return {where: reason.code for where, reason in self._memory.direct.failures(connector).items()}

    def begin(self, wanted: Wanted, flow: FlowId) -> Begun | None:
        """Opens a stream at once where a warm tunnel serves it; None: only ``open`` can tell."""
        if self._policy.refusal_of(wanted.entry, self._link.away_s()) is not None:
            return None
        tunnel = self.find(wanted.network)
        if tunnel is None or not self._serves(tunnel, wanted) or not self._fresh(tunnel):
            return None
        try:
            return Begun(tunnel.begin(wanted.header(flow)), tunnel)
        except OstiaryError:
            return None

    async def open(self, wanted: Wanted, flow: FlowId, begun: Begun | None = None) -> tuple[Opened, ConnectorTunnel]:
        """Opens a stream, beginning with what ``begin`` returned; the caller sets the deadline.

        Raises:
            ConnectorRefusedError: the connector said no.
            OstiaryError: it never came to a connector's word: policy, controller, relays, tunnel.
        """
        refreshed = False
        for attempt in range(ATTEMPTS):
            reason = self._policy.refusal_of(wanted.entry, self._link.away_s())
            if reason is not None:
                raise RefusedError(reason, "by this host's snapshot")
            tunnel = await self._tunnel_for(wanted) if begun is None else begun.tunnel
            try:
                opening = tunnel.begin(wanted.header(flow)) if begun is None else begun.opening
                return await tunnel.finish(opening), tunnel
            except ConnectorRefusedError as refused:
                if refused.reason not in _STALE or refreshed or not self._link.connected:
                    raise
                refreshed = True
                await asyncio.sleep(_CATCH_UP_S)
                await self._renew(tunnel)
            except RemoteError as error:
                if attempt + 1 == ATTEMPTS or (tunnel.usable and error.reason not in _LOST):
                    raise
            begun = None
        raise RemoteError(Reason.TUNNEL_LOST, "again and again")

    async def reach(self, entry: Entry) -> ConnectorTunnel:
        """Returns a tunnel into the remote network of ``entry``, made if there is none. Raises OstiaryError."""
        return await self._tunnel_for(Wanted("resolve", "", None, entry))

    def policy_changed(self) -> None:
        """A new snapshot is in force: tokens are asked for anew, tunnels without a purpose end."""
        self.policy_moved.set()
        self._authorisations.clear()
        networks = self._policy.networks()
        for tunnel in self.live:
            if tunnel.network in networks:
                self._renew_soon(tunnel)
            elif self._policy.current is not None:
                tunnel.close(Reason.NORMAL)
                self._forget(tunnel)

    def keys_changed(self, keys: VerificationKeys) -> None:
        """The controller signs with these keys and no others: what rests on another one ends at once (F-22, T-64)."""
        self._authorisations.clear()
        self._access.keep_only(lambda access: signed_by_one_of(access.token, keys))
        for tunnel in self.live:
            if tunnel.standing is not None and not signed_by_one_of(tunnel.standing.access.token, keys):
                tunnel.close(Reason.TOKEN_KEY_UNKNOWN)
                self._forget(tunnel)

    def tick(self) -> None:
        """Renews the tokens that are due, and tries again what is better than a relay."""
        for tunnel in self.live:
            # Whoever leaves the office may keep his way to the internet: ``doubt`` is not told then.
            if tunnel.direct and tunnel.local is not None and not is_here(tunnel.local):
                tunnel.close(Reason.TUNNEL_LOST)
                self._lost(tunnel, Reason.TUNNEL_LOST)
        self._improvement.look(self.live)
        for connector in self._access.due(self._clock.wall()):
            for tunnel in self.live:
                if tunnel.path.connector == connector:
                    self._renew_soon(tunnel)

    def doubt(self) -> None:
        """The host's network has changed, or the host has slept: tunnels that do not answer at once are given up (F-17).

        Those from an address that this host has no more are given up unasked.
        """
        self._addresses.clear()
        self._improvement.moved()
        for tunnel in self.live:
            if tunnel.local is not None and not is_here(tunnel.local):
                tunnel.close(Reason.TUNNEL_LOST)
                self._forget(tunnel)
            else:
                self._scope.spawn(self._doubt(tunnel), name="doubt")

    async def _doubt(self, tunnel: ConnectorTunnel) -> None:
        try:
            await tunnel.doubt(PROBE_AFTER_MOVE_S)
        except RemoteError:
            self._forget(tunnel)

    def close(self, reason: Reason) -> None:
        """Ends everything."""
        for tunnel in tuple(self._tunnels):
            tunnel.close(reason)
        self._tunnels.clear()
        self._access.clear()
        self._authorisations.clear()

    # Which tunnel

    async def _tunnel_for(self, wanted: Wanted) -> ConnectorTunnel:
        tunnel = self.find(wanted.network)
        if tunnel is None:
            return await self._dial(wanted)
        if self._serves(tunnel, wanted) and self._fresh(tunnel):
            return tunnel
        error = await self._renew(tunnel)
        if not tunnel.usable:
            return await self._dial(wanted)
        if error is not None and not self._serves(tunnel, wanted):
            raise error
        return tunnel

    def _serves(self, tunnel: ConnectorTunnel, wanted: Wanted) -> bool:
        wall = self._clock.wall()
        request = wanted.request
        return tunnel.knows(wanted.resource, wall) if request is None else tunnel.permits(request, wall)

    def _fresh(self, tunnel: ConnectorTunnel) -> bool:
        """A token older than the policy in force may have been cut off by it; asked for once per revision."""
        standing, revision = tunnel.standing, self._policy.revision
        return standing is not None and (standing.access.revision >= revision or tunnel.renewed_for >= revision)

    async def _dial(self, wanted: Wanted) -> ConnectorTunnel:
        dialling = self._dialling.get(wanted.network)
        if dialling is None:
            dialling = self._dialling[wanted.network] = Dialling(wanted.network, self._memory, self._parts)
            self._scope.spawn(self._run(dialling, wanted), name="dial")
        # Shielded: one who gives up must not take the tunnel away from the others.
        return await asyncio.shield(dialling.current)

    async def _run(self, dialling: Dialling, wanted: Wanted) -> None:
        try:
            tunnel = await dialling.run(self._authorise(wanted), self._likely_relay(wanted))
        except OstiaryError as error:
            _log.info("tunnel.failed", network=wanted.network, reason=error.reason.code, detail=error.detail)
            self._authorisations.drop(wanted.resource)
        else:
            self._adopt(tunnel)
        finally:
            del self._dialling[wanted.network]

    def _adopt(self, tunnel: ConnectorTunnel) -> None:
        if tunnel.tunnel.lost is None:
            self._tunnels.append(tunnel)
            self._access.keep(tunnel.path.connector)
            _log.info("tunnel.up", connector=tunnel.path.connector, path=describe(tunnel.path))

    def _likely_relay(self, wanted: Wanted) -> RelayName | None:
        """Where the paths led last, while the controller has to be asked: most likely they lead there again."""
        if self._authorisations.usable(wanted.resource, self._clock.wall()) is not None or not self._link.connected:
            return None
        best = self._memory.likely(wanted.network, self._clock.monotonic())
        return None if best is None else (best.fqdn, best.port)

    async def _authorise(self, wanted: Wanted) -> Authorisation:
        known = self._authorisations.usable(wanted.resource, self._clock.wall())
        if known is not None:
            return known
        last = self._memory.of(wanted.network)
        if last and self._access.usable(last[0].connector, self._clock.wall()) is None:
            # Both answers in one round trip: most likely it is the same connector as last time.
            self._fetch(last[0].connector)
        return await self._ask_paths(wanted.network, wanted.resource)

    async def _ask_paths(self, network: NetworkId, resource: ResourceId) -> Authorisation:
        found = await self._link.authorise(resource)
        if not found.paths:
            raise RefusedError(Reason.NO_CONNECTOR, f"of the remote network {network}")
        self._authorisations.store(found)
        self._memory.store(network, found.paths)
        for path in found.paths:
            self._memory.direct.store(path.connector, self._link.direct.get(path.connector, ()))
        return found

    # Access tokens

    async def _usable_access(self, path: Way) -> Access:
        connector = path.connector
        known = self._access.usable(connector, self._clock.wall())
        current = known is not None and known.revision >= self._policy.revision and {*path.pins} <= {*known.pins}
        if known is not None and (current or not self._link.connected):
            return known
        outcome = await asyncio.shield(self._fetch(connector))
        if not isinstance(outcome, OstiaryError):
            return outcome
        if known is not None and not isinstance(outcome, RefusedError):
            return known
        raise outcome

    def _fetch(self, connector: ConnectorId) -> "asyncio.Task[Access | OstiaryError]":
        task = self._fetching.get(connector)
        if task is None:
            task = self._fetching[connector] = self._scope.spawn(self._fetch_once(connector), name="access")
        return task

    async def _fetch_once(self, connector: ConnectorId) -> Access | OstiaryError:
        try:
            access = await self._link.access(connector)
        except OstiaryError as error:
            if isinstance(error, RefusedError):
                self._access.drop(connector)
            return error
        finally:
            del self._fetching[connector]
        self._access.store(access, self._clock.wall())
        return access

    async def _renew(self, tunnel: ConnectorTunnel) -> OstiaryError | None:
        return await asyncio.shield(self._renew_soon(tunnel))

    def _renew_soon(self, tunnel: ConnectorTunnel) -> "asyncio.Task[OstiaryError | None]":
        task = self._renewing.get(tunnel)
        if task is None:
            task = self._renewing[tunnel] = self._scope.spawn(self._renew_once(tunnel), name="renew")
        return task

    async def _renew_once(self, tunnel: ConnectorTunnel) -> OstiaryError | None:
        """Fetches a fresh token and proves it on the tunnel, under whatever flows there are."""
        connector = tunnel.path.connector
        revision = self._policy.revision
        try:
            outcome = await asyncio.shield(self._fetch(connector))
            if isinstance(outcome, OstiaryError):
                _log.debug("access.not_renewed", connector=connector, reason=outcome.reason.code)
                if isinstance(outcome, RefusedError):
                    tunnel.renewed_for = max(tunnel.renewed_for, revision)
                if outcome.reason is Reason.NO_CONNECTOR:
                    # It was removed, and may not be the administrator's any more: whatever is open in it ends (T-36).
                    tunnel.close(outcome.reason)
                return outcome
            tunnel.renewed_for = max(tunnel.renewed_for, revision)
            if tunnel.tunnel.lost is None:
                await tunnel.finish_proof(tunnel.begin_proof(outcome))
        except OstiaryError as error:
            self._access.drop(connector)
            if tunnel.tunnel.lost is not None:
                self._forget(tunnel)
            return error
        else:
            return None
        finally:
            del self._renewing[tunnel]

    # The end of tunnels

    def _lost(self, tunnel: ConnectorTunnel, reason: Reason) -> None:
        _log.info("tunnel.lost", connector=tunnel.path.connector, path=describe(tunnel.path), reason=reason.code)
        # What broke it may still be broken: other paths first (F-1, F-4).
        self._memory.failed(tunnel.path, self._clock.monotonic(), reason)
        self._forget(tunnel)

    def _gone_away(self, tunnel: ConnectorTunnel, reason: Reason) -> None:
        _log.info("tunnel.draining", connector=tunnel.path.connector, path=describe(tunnel.path), reason=reason.code)

    def _forget(self, tunnel: ConnectorTunnel) -> None:
        self._authorisations.clear()
        if tunnel in self._tunnels:
            self._tunnels.remove(tunnel)
        if not any(other.path.connector == tunnel.path.connector for other in self._tunnels):
            self._access.release(tunnel.path.connector)
