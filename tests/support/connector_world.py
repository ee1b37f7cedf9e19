"""Builders for tests of the connector: one issuer, one connector, one client with a key, and what they sign."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from connector.core.admission import Admission, Admitted
from connector.core.config import ConfigKeeper, ServedConfig
from connector.core.cutoffs import Cutoffs
from connector.core.flows import Flow
from connector.core.opening import Circumstances
from protocol.acl.match import AclIndex
from protocol.acl.model import Acl, Entry, PortRange, Ports, Request, Resource, Transport
from protocol.acl.names import parse_pattern
from protocol.control import Cutoff
from protocol.ids import (
    ConnectorId,
    DeviceId,
    Epoch,
    FlowId,
    GrantId,
    NetworkId,
    ResourceId,
    Revision,
    SessionId,
    SpkiPin,
)
from protocol.pop import ProvenPeer, prove, transcript
from protocol.streams import Proof, StreamHeader, StreamKind
from protocol.tokens.claims import Access, Config, ConfigRelay
from protocol.tokens.issue import issue_access, issue_config
from protocol.tokens.keys import SigningKey, VerificationKeys, generate_key, public_jwk

NOW = 1_800_000_000
ISSUER = "ctl_AAAAAAAAAAAAAAAAAAAAAA"
CONNECTOR = ConnectorId("con_AAAAAAAAAAAAAAAAAAAAAA")
NETWORK = NetworkId("net_AAAAAAAAAAAAAAAAAAAAAA")
DEVICE = DeviceId("dev_AAAAAAAAAAAAAAAAAAAAAA")
USER = "usr_AAAAAAAAAAAAAAAAAAAAAA"
GRANT = GrantId("gra_AAAAAAAAAAAAAAAAAAAAAA")
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
EXPORTER = b"e" * 32
ALL = (PortRange(1, 65535),)


def identifier(kind: str, number: int) -> str:
    """Returns the ``number``-th id of a three-letter kind."""
    return f"{kind}_{number:022d}"


def res(number: int) -> ResourceId:
    return ResourceId(identifier("res", number))


def flow_id(number: int) -> FlowId:
    return FlowId(identifier("flw", number))


def entry(
    address: str,
    *,
    number: int = 1,
    tcp: Iterable[PortRange] = ALL,
    udp: Iterable[PortRange] = ALL,
    icmp: bool = True,
    lease_s: int = 3600,
    grants: tuple[GrantId, ...] = (GRANT,),
    expires: int | None = None,
) -> Entry:
    """One resource; everything is open unless said otherwise."""
    ports = Ports(tuple(tcp), tuple(udp), icmp)
    return Entry(Resource(res(number), f"r{number}", NETWORK, parse_pattern(address), ports, lease_s), grants, expires)


def acl(*entries: Entry) -> Acl:
    return Acl(entries)


def bare(whole: Acl) -> Acl:
    """The same destinations as a connector's config has them: without grants."""
    return Acl(tuple(replace(item, grants=(), expires=None) for item in whole.entries))


@dataclass
class World:
    """Controller's and client's keys."""

    issuer: str = ISSUER
    connector: ConnectorId = CONNECTOR
    signing: SigningKey = field(default_factory=lambda: SigningKey("key-1", generate_key()))
    client_key: object = field(default_factory=generate_key)
    pins: tuple[SpkiPin, ...] = (PIN,)
    jti: int = 0

    @property
    def keys(self) -> VerificationKeys:
        return VerificationKeys.of(self.signing)

    def access(
        self,
        whitelist: Acl,
        *,
        issued_at: int = NOW,
        life_s: int = 300,
        device: DeviceId = DEVICE,
        user: str = USER,
        connector: ConnectorId | None = None,
        revision: int = 7,
    ) -> str:
        """Returns a signed access token."""
        self.jti += 1
        grants = tuple(sorted({grant for item in whitelist.entries for grant in item.grants}))
        claims = Access(
            issuer=self.issuer,
            connector=connector or self.connector,
            device=device,
            user=user,
            session=SessionId("ses_AAAAAAAAAAAAAAAAAAAAAA"),
            jti=f"jti-{self.jti}",
            acl=whitelist,
            jwk=public_jwk(self.client_key),  # type: ignore[arg-type]
            revision=Revision(revision),
            grants=grants,
            issued_at=issued_at,
            expires=issued_at + life_s,
            pins=self.pins,
        )
        return issue_access(claims, self.signing)

    def proof(self, token: str, *, number: int = 1, exporter: bytes = EXPORTER, pin: SpkiPin = PIN) -> Proof:
        """Returns a correct proof for ``token``."""
        signed = transcript(exporter=exporter, token=token, connector=self.connector, pin=pin, number=number)
        return Proof(token, number, prove(self.client_key, signed))  # type: ignore[arg-type]

    def config_claims(
        self,
        whitelist: Acl,
        *,
        revision: int = 7,
        epoch: int = 1,
        issued_at: int = NOW,
        life_s: int = 86_400,
        relays: tuple[ConfigRelay, ...] = (),
        cutoffs: tuple[Cutoff, ...] = (),
        egress_allow: tuple[str, ...] = (),
    ) -> Config:
        return Config(
            issuer=self.issuer,
            connector=self.connector,
            network=NETWORK,
            epoch=Epoch(epoch),
            revision=Revision(revision),
            issued_at=issued_at,
            not_after=issued_at + life_s,
            acl=bare(whitelist),
            relays=relays,
            cutoffs=cutoffs,
            log_head="",
            egress_allow=egress_allow,
        )

    def config(self, claims: Config) -> str:
        return issue_config(claims, self.signing)

    def served(self, whitelist: Acl, **fields: object) -> ServedConfig:
        return ConfigKeeper().accept(self.config_claims(whitelist, **fields))  # type: ignore[arg-type]

    def admission(self, *, cutoffs: Cutoffs | None = None, now: float = 0.0) -> Admission:
        return Admission(
            connector=self.connector,
            issuer=self.issuer,
            pin=PIN,
            exporter=EXPORTER,
            cutoffs=cutoffs or Cutoffs(),
            now=now,
        )


def admitted(whitelist: Acl, *, issued_at: int = NOW, device: DeviceId = DEVICE) -> Admitted:
    """What an accepted proof would give, without the cryptography."""
    grants = tuple(grant for item in whitelist.entries for grant in item.grants)
    peer = ProvenPeer(
        device=device,
        user=USER,
        session=SessionId(""),
        acl=whitelist,
        revision=Revision(7),
        grants=grants,
        issued_at=issued_at,
        expires=issued_at + 300,
        number=1,
    )
    claims = Access(
        issuer=ISSUER,
        connector=CONNECTOR,
        device=device,
        user=USER,
        session=SessionId(""),
        jti="",
        acl=whitelist,
        jwk={},
        revision=Revision(7),
        grants=grants,
        issued_at=issued_at,
        expires=issued_at + 300,
    )
    return Admitted(peer, AclIndex(whitelist), claims, ends=300.0, renewed=False)


def circumstances(
    token: Acl,
    served: ServedConfig | None,
    *,
    cutoffs: Cutoffs | None = None,
    wall: float = NOW,
    away_s: float = 0.0,
    issued_at: int = NOW,
) -> Circumstances:
    return Circumstances(admitted(token, issued_at=issued_at), served, cutoffs or Cutoffs(), wall, away_s)


def header(host: str, port: int | None = 443, *, kind: StreamKind = "tcp", number: int = 1) -> StreamHeader:
    return StreamHeader(kind, host, port, flow_id(number), res(1))


def flow(
    number: int,
    *,
    resource: int = 1,
    tunnel: int = 1,
    device: DeviceId = DEVICE,
    host: str = "10.0.0.5",
    port: int = 443,
    issued_at: int = NOW,
    lease_s: int = 3600,
    expires: int | None = None,
) -> Flow:
    return Flow(
        flow=flow_id(number),
        tunnel=tunnel,
        device=device,
        user=USER,
        resource=res(resource),
        request=Request(ipaddress.ip_address(host), Transport.TCP, port),
        grants=(GRANT,),
        revision=Revision(7),
        issued_at=issued_at,
        token_ends=300.0,
        expires=expires,
        lease_s=lease_s,
        started_wall=NOW,
        address=ipaddress.ip_address(host),
    )
