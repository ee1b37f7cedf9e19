"""Tunnels, tokens and leases in one process: a client, a connector with its real decisions, a relay that loses and repeats, a
controller with its real ledger of cut-offs that both may lose sight of, and a clock that only this test moves.

Beside it runs a reference model that knows nothing of tokens: who was allowed what, and when. Held against it:

    no byte reaches a resource that the model forbids: within a second while the connector hears the controller, and no longer
    than the resource's lease while it does not (C23, C24), even when the client is a liar that cuts nothing by itself;
    the honest client keeps nothing open that its own snapshot or lease forbids;
    a proof of one tunnel is worth nothing on another one;
    when all faults are over, what is allowed works and what is not is refused.
"""

import ipaddress
from dataclasses import dataclass, field
from typing import Final

import pytest
from connector_world import CONNECTOR, DEVICE, NETWORK, NOW, PIN, World, acl, entry, flow_id, res
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from client.core.classify import Target
from client.core.reevaluate import beyond_lease, reevaluate
from connector.core.admission import Admission, RefusedProofError
from connector.core.flows import Flow
from connector.enforcer import Enforcer, Origin
from controller.domain.losses import Loss
from controller.publish.cutoffs import CutoffLedger
from protocol.acl.decide import decide
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Entry, Permit, Request, Transport
from protocol.errors import RemoteError
from protocol.ids import RelayId
from protocol.reasons import Reason
from protocol.streams import Proof, StreamHeader
from runtime.clock import ManualClock

RELAY = RelayId("rel_AAAAAAAAAAAAAAAAAAAAAA")
REVOKED_WITHIN_S: Final = 1.0
"""While the connector hears the controller (design C23)."""
TOKEN_LIFE_S: Final = 300
SILENCE_S: Final = 30.0
"""By then both ends of a lost tunnel know."""
TINY_S: Final = 1e-6
LEASES: Final = {1: 60, 2: 120, 3: 900}
"""By resource: shorter than a token lives, and longer."""
NUMBERS: Final = sorted(LEASES)
WORLD: Final = World()


def host(number: int) -> str:
    return f"10.0.{number}.5"


@dataclass
class Model:
    """Who may reach what, by hand: spans of time for each resource."""

    spans: dict[int, list[list[float | None]]] = field(default_factory=lambda: {each: [] for each in NUMBERS})

    def allow(self, number: int, now: float, until: float | None) -> None:
        self.forbid(number, now)
        self.spans[number].append([now, until])

    def forbid(self, number: int, now: float) -> None:
        for span in self.spans[number]:
            if span[1] is None or span[1] > now:
                span[1] = now

    def allowed(self, number: int, now: float) -> bool:
        return any(
            begin is not None and begin <= now and (end is None or now < end) for begin, end in self.spans[number]
        )

    def last_allowed(self, number: int, now: float) -> float:
        """The last moment until now at which it was allowed."""
        if self.allowed(number, now):
            return now
        return max((end for _, end in self.spans[number] if end is not None and end <= now), default=-1e18)

    def until(self, number: int, now: float) -> float | None:
        return next(
            (end for begin, end in self.spans[number] if begin is not None and begin <= now and (end or 1e18) > now),
            None,
        )


@dataclass(eq=False)
class Tunnel:
    """One inner TLS session; either end may be dead without the other one knowing."""

    number: int
    admission: Admission
    exporter: bytes
    proofs: int = 0
    token_until: float = 0.0
    known: AclIndex = field(default_factory=lambda: AclIndex(Acl(())))
    client_end: bool = True
    connector_end: bool = True
    lost_at: float = 0.0


@dataclass(eq=False)
class Stream:
    """A flow as its application sees it."""

    number: int
    resource: int
    tunnel: Tunnel
    target: Target
    honest: bool
    flow: Flow
    open: bool = True


class Leases(RuleBasedStateMachine):
    """Rules are faults and wishes in any order; ``settle`` is what everybody does by itself as time passes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(wall=NOW)
        self.model = Model()
        self.revision = 7
        self.ledger = CutoffLedger()
        self.client_up = self.connector_up = self.relay_up = True
        self.client_heard = self.clock.monotonic()
        self.connector_due: float | None = None
        """When the connector will have heard of the last change; None: it has."""
        self.client_due: float | None = None
        self.enforcer = Enforcer(connector=CONNECTOR, network=NETWORK, clock=self.clock)
        self.snapshot = AclIndex(Acl(()))
        self.tunnel: Tunnel | None = None
        self.tunnels: list[Tunnel] = []
        self.streams: list[Stream] = []
        self.proofs: list[Proof] = []
        self.opened = 0
        self.came_back = False
        """The connector's connection is a new one: it asks which of its flows may go on (D4)."""
        self.standing = set(NUMBERS)
        """What the controller believes to be allowed; the end of a grant is a change that it makes by itself."""
        for number in NUMBERS:
            self.model.allow(number, self.clock.wall(), None)
        self.tell_connector()
        self.tell_client()

    # The policy

    @rule(number=st.sampled_from(NUMBERS), for_s=st.sampled_from([None, None, 20, 200]))
    def grant(self, number: int, for_s: int | None) -> None:
        now = self.clock.wall()
        self.model.allow(number, now, None if for_s is None else int(now) + for_s)
        self.changed()

    @rule(number=st.sampled_from(NUMBERS))
    def revoke(self, number: int) -> None:
        now = self.clock.wall()
        if self.model.allowed(number, now):
            self.model.forbid(number, now)
            self.lost(number)

    # Faults

    @rule(who=st.sampled_from(["client", "connector", "both"]))
    def lose_the_controller(self, who: str) -> None:
        if who != "connector":
            self.client_up = False
        if who != "client":
            self.connector_up = False

    @rule(who=st.sampled_from(["client", "connector", "both"]))
    def find_the_controller(self, who: str) -> None:
        now = self.clock.monotonic()
        if who != "connector" and not self.client_up:
            self.client_up, self.client_due = True, now + REVOKED_WITHIN_S
        if who != "client" and not self.connector_up:
            self.connector_up, self.came_back, self.connector_due = True, True, now + REVOKED_WITHIN_S

    @rule(up=st.booleans())
    def relay(self, up: bool) -> None:
        self.relay_up = up

    @precondition(lambda self: self.tunnel is not None)
    @rule(who=st.sampled_from(["client", "connector", "both"]))
    def lose_the_tunnel(self, who: str) -> None:
        assert self.tunnel is not None
        self.end(self.tunnel, client=who != "connector", connector=who != "client")

    @precondition(lambda self: self.proofs)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """A hostile relay, or an old tunnel's owner, shows a proof that was good elsewhere."""
        proof = data.draw(st.sampled_from(self.proofs))
        stranger = self.admission(b"another session".ljust(32))
        with pytest.raises(RefusedProofError):
            self.show(stranger, proof)
        assert stranger.admitted is None

    # What clients do

    @precondition(lambda self: self.tunnel is not None and self.client_up)
    @rule(lost=st.booleans())
    def renew(self, lost: bool) -> None:
        assert self.tunnel is not None
        self.prove(self.tunnel, lost=lost)

    @rule(number=st.sampled_from(NUMBERS), honest=st.booleans())
    def connect(self, number: int, honest: bool) -> None:
        """A program connects; a dishonest client asks the connector for what it may not as well."""
        stream = self.open(number, honest=honest)
        quiet = self.connector_due is None and self.client_due is None
        whole = self.tunnel is None or self.tunnel.connector_end
        everything_up = self.client_up and self.connector_up and self.relay_up and quiet and whole
        if everything_up and honest:
            assert (stream is not None) == self.model.allowed(number, self.clock.wall())

    @rule()
    def bytes_flow(self) -> None:
        """Every connection that is open anywhere moves bytes."""
        for stream in self.streams:
            self.move(stream)

    # Time

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, 30.0, 61.0, 200.0, 400.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.clock.wall() + seconds
        step = seconds / (2 if seconds <= 1.0 else 12)
        while (wall := self.clock.wall()) < end - 1e-6:
            flips = [until for each in NUMBERS if (until := self.model.until(each, wall)) is not None]
            self.clock.advance(min(step, end - wall, *(max(flip - wall, 1e-6) for flip in flips)))
            for number in sorted(self.standing):
                if not self.model.allowed(number, self.clock.wall()):
                    self.lost(number)
            self.settle()

    @invariant()
    def the_honest_client_keeps_to_what_it_knows(self) -> None:
        away_s = self.clock.monotonic() - self.client_heard
        for stream in self.streams:
            if stream.honest and stream.open and stream.tunnel.client_end:
                verdict = decide(self.snapshot, stream.target.request, self.clock.wall())
                assert isinstance(verdict, Permit)
                assert away_s < LEASES[stream.resource]

    def teardown(self) -> None:
        """All faults are over: what is allowed works, what is not is refused."""
        self.find_the_controller("both")
        self.relay_up = True
        self.time_passes(REVOKED_WITHIN_S)
        for tunnel in self.tunnels:
            if not (tunnel.client_end and tunnel.connector_end):
                self.end(tunnel, client=True, connector=True)
        for number in NUMBERS:
            stream = self.open(number, honest=True)
            assert (stream is not None) == self.model.allowed(number, self.clock.wall()), number
            assert stream is None or self.move(stream)
            if stream is None:
                assert self.open(number, honest=False) is None
        self.bytes_flow()

    # Inside: the controller

    def changed(self) -> None:
        self.revision += 1
        self.standing = {each for each in NUMBERS if self.model.allowed(each, self.clock.wall())}
        now = self.clock.monotonic()
        self.connector_due = self.connector_due or now + REVOKED_WITHIN_S
        self.client_due = self.client_due or now + REVOKED_WITHIN_S

    def lost(self, number: int) -> None:
        """The device may not have it any more: what rests on tokens from before this moment ends."""
        loss = Loss(DEVICE, res(number), frozenset({NETWORK}), Reason.ACCESS_REVOKED)
        self.ledger.note([loss], self.clock.wall())
        self.changed()

    def entries(self) -> Acl:
        now = self.clock.wall()
        held: list[Entry] = []
        for number in NUMBERS:
            if self.model.allowed(number, now):
                until = self.model.until(number, now)
                ends = None if until is None else int(until)
                held.append(entry(f"{host(number)}/32", number=number, lease_s=LEASES[number], expires=ends))
        return acl(*held)

    def tell_connector(self) -> None:
        """What it serves for anyone is always there: that this device may not have it is what the cut-offs say."""
        everything = acl(*(entry(f"{host(each)}/32", number=each, lease_s=LEASES[each]) for each in NUMBERS))
        now = self.clock.wall()
        # A cut-off is repeated while a token from before it may be alive; the verdict is for what is older.
        cutoffs = self.ledger.live_in(NETWORK, now)
        claims = WORLD.config_claims(
            everything, revision=self.revision, issued_at=int(now), cutoffs=cutoffs, life_s=10 * 86_400
        )
        self.enforcer.heard(self.clock.monotonic())
        self.enforcer.accept_config(claims)
        if self.came_back:
            live = self.enforcer.flows.live()
            numbers = {res(each): each for each in NUMBERS}
            allowed = [each.flow for each in live if self.model.allowed(numbers[each.resource], now)]
            self.enforcer.apply_verdict([each.flow for each in live], allowed)
        self.connector_due, self.came_back = None, False

    def tell_client(self) -> None:
        self.client_heard = self.clock.monotonic()
        self.snapshot = AclIndex(self.entries())
        self.judge()
        self.client_due = None

    # Inside: time

    def settle(self) -> None:
        now = self.clock.monotonic()
        if self.connector_up:
            self.enforcer.heard(now)
            if self.connector_due is not None and now >= self.connector_due - TINY_S:
                self.tell_connector()
        if self.client_up:
            self.client_heard = now
            if self.client_due is not None and now >= self.client_due - TINY_S:
                self.tell_client()
        self.enforcer.tick()
        self.judge()
        tunnel = self.tunnel
        if tunnel is not None and self.client_up and tunnel.token_until - self.clock.wall() < TOKEN_LIFE_S / 2:
            self.prove(tunnel, lost=False)
        for each in self.tunnels:
            if each.client_end != each.connector_end and now - each.lost_at >= SILENCE_S:
                self.end(each, client=True, connector=True)

    def judge(self) -> None:
        """The honest client, by its snapshot, the time and its lease."""
        live = [(each, each.target) for each in self.streams if each.open and each.honest]
        endings = list(reevaluate(live, self.snapshot, self.clock.wall()))
        endings += beyond_lease(live, self.clock.monotonic() - self.client_heard)
        for stream, reason in endings:
            self.close(stream, reason)

    # Inside: tunnels

    def admission(self, exporter: bytes) -> Admission:
        return Admission(
            connector=CONNECTOR,
            issuer=WORLD.issuer,
            pin=PIN,
            exporter=exporter,
            cutoffs=self.enforcer.cutoffs,
            now=self.clock.monotonic(),
        )

    def show(self, admission: Admission, proof: Proof) -> None:
        admission.receive_proof(proof, keys=WORLD.keys, now=self.clock.monotonic(), wall=self.clock.wall())

    def prove(self, tunnel: Tunnel, *, lost: bool) -> bool:
        """A fresh token and a proof for it; one that is lost takes the tunnel with it."""
        wall = self.clock.wall()
        issued_at = max(int(wall), self.ledger.floor(DEVICE))
        whitelist = self.entries()
        token = WORLD.access(whitelist, issued_at=issued_at, life_s=TOKEN_LIFE_S, revision=self.revision)
        proof = WORLD.proof(token, number=tunnel.proofs + 1, exporter=tunnel.exporter)
        self.proofs = [*self.proofs[-3:], proof]
        if lost:
            self.end(tunnel, client=True, connector=False)
            return False
        if not tunnel.connector_end:
            return False
        try:
            self.show(tunnel.admission, proof)
        except RefusedProofError:
            self.end(tunnel, client=True, connector=True)
            return False
        tunnel.proofs += 1
        tunnel.token_until, tunnel.known = wall + TOKEN_LIFE_S, AclIndex(whitelist)
        self.enforcer.renewed(Origin(tunnel.number, RELAY, tunnel.admission))
        return True

    def a_tunnel(self) -> Tunnel | None:
        if self.tunnel is not None and self.tunnel.client_end:
            return self.tunnel
        if not (self.client_up and self.relay_up):
            return None
        number = len(self.tunnels) + 1
        exporter = f"session {number}".encode().ljust(32)
        tunnel = Tunnel(number, self.admission(exporter), exporter)
        if not self.prove(tunnel, lost=False):
            return None
        self.tunnels.append(tunnel)
        self.tunnel = tunnel
        return tunnel

    def end(self, tunnel: Tunnel, *, client: bool, connector: bool) -> None:
        """An end of the tunnel is gone, and with it that end of its streams."""
        if tunnel.client_end and tunnel.connector_end:
            tunnel.lost_at = self.clock.monotonic()
        tunnel.client_end &= not client
        tunnel.connector_end &= not connector
        for stream in self.streams:
            if stream.tunnel is tunnel:
                if client:
                    stream.open = False
                if connector:
                    self.enforcer.close(stream.flow.flow, Reason.TUNNEL_LOST)
        if client and self.tunnel is tunnel:
            self.tunnel = None

    # Inside: streams

    def open(self, number: int, *, honest: bool) -> Stream | None:
        """An honest client tries once more on a new tunnel when the one that it had ends under its hands."""
        had = self.tunnel
        stream = self.open_once(number, honest=honest)
        if stream is None and honest and had is not None and self.tunnel is None:
            stream = self.open_once(number, honest=True)
        return stream

    def open_once(self, number: int, *, honest: bool) -> Stream | None:
        target = ipaddress.ip_address(host(number))
        request = Request(target, Transport.TCP, 443)
        verdict = decide(self.snapshot, request, self.clock.wall())
        away_s = self.clock.monotonic() - self.client_heard
        if honest and (not isinstance(verdict, Permit) or away_s >= LEASES[number]):
            return None
        tunnel = self.a_tunnel()
        if tunnel is None:
            return None
        outdated = not isinstance(decide(tunnel.known, request, self.clock.wall()), Permit)
        if honest and self.client_up and outdated and not self.prove(tunnel, lost=False):
            return None
        if not tunnel.connector_end:
            return None
        self.opened += 1
        header = StreamHeader("tcp", host(number), 443, flow_id(self.opened), res(number))
        origin = Origin(tunnel.number, RELAY, tunnel.admission)
        made: list[Stream] = []

        def abort(reason: Reason) -> None:
            for stream in made:
                stream.open &= not stream.tunnel.client_end

        try:
            flow = self.enforcer.open(header, origin, abort)
        except RemoteError as error:
            if error.reason is Reason.TOKEN_REVOKED and self.client_up and honest and self.prove(tunnel, lost=False):
                return self.open_once(number, honest=True) if self.model.allowed(number, self.clock.wall()) else None
            return None
        flow.address, flow.accepted = target, True
        entry_of = verdict.entry if isinstance(verdict, Permit) else entry(host(number), number=number)
        stream = Stream(self.opened, number, tunnel, Target(target, Transport.TCP, 443, entry_of), honest, flow)
        made.append(stream)
        self.streams.append(stream)
        return stream

    def close(self, stream: Stream, reason: Reason) -> None:
        """The client resets it; the connector hears of it if there is still a tunnel."""
        stream.open = False
        if stream.tunnel.client_end and stream.tunnel.connector_end:
            self.enforcer.close(stream.flow.flow, reason)

    def move(self, stream: Stream) -> bool:
        """Sends a byte; what comes to the resource is held against the model."""
        tunnel = stream.tunnel
        if not (stream.open and tunnel.client_end and tunnel.connector_end and stream.flow.flow in self.enforcer.flows):
            return False
        now, wall = self.clock.monotonic(), self.clock.wall()
        unheard_s = now - self.enforcer.heard_at
        assert unheard_s <= LEASES[stream.resource], "beyond the lease"
        late_s = wall - self.model.last_allowed(stream.resource, wall)
        if self.connector_due is None:
            assert late_s == 0, "the connector has heard of everything"
        else:
            alone = not self.connector_up or self.came_back
            bound_s = (LEASES[stream.resource] if alone else 0) + 2 * REVOKED_WITHIN_S
            assert late_s <= bound_s, "beyond the time that a revocation takes"
        return True


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.soak
class TestLeasesForLong(Leases.TestCase):  # type: ignore[misc]
    """The same, deeper."""

    settings = settings(max_examples=1500, stateful_step_count=80, deadline=None)
