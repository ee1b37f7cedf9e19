"""Resources, snapshots and tokens for tests of the client's core."""

from collections.abc import Sequence

from protocol.acl.match import AclIndex
from protocol.acl.model import ALL_PORTS, Acl, Entry, PortRange, Ports, Resource
from protocol.acl.names import parse_pattern
from protocol.ids import (
    ConnectorHash,
    ConnectorId,
    DeviceId,
    Epoch,
    GrantId,
    NetworkId,
    RelayId,
    ResourceId,
    Revision,
    SessionId,
    SpkiPin,
)
from protocol.tokens.claims import Access, Authorisation, Path, Snapshot

WALL = 1_800_000_000
EVERYTHING = Ports(tcp=(ALL_PORTS,), udp=(ALL_PORTS,), icmp=True)


def entry(
    address: str,
    *,
    number: int = 1,
    ports: Ports = EVERYTHING,
    expires: int | None = None,
    network: str = "net_a",
    lease_s: int = 3600,
) -> Entry:
    """One resource with a grant."""
    resource = Resource(
        ResourceId(f"res_{number}"), address, NetworkId(network), parse_pattern(address), ports, lease_s
    )
    return Entry(resource, (GrantId("gra_1"),), expires)


def tcp_ports(*ports: int) -> Ports:
    """These TCP ports and nothing else."""
    return Ports(tcp=tuple(PortRange(port, port) for port in ports))


def index(*entries: Entry) -> AclIndex:
    """An index of these entries."""
    return AclIndex(Acl(entries))


def snapshot(*entries: Entry, epoch: int = 1, revision: int = 1, not_after: int = WALL + 3600) -> Snapshot:
    """A verified snapshot with these entries."""
    return Snapshot(
        issuer="ctl_1",
        device=DeviceId("dev_1"),
        user="usr_1",
        user_kind="user",
        session=SessionId("ses_1"),
        epoch=Epoch(epoch),
        revision=Revision(revision),
        issued_at=WALL,
        not_after=not_after,
        acl=Acl(entries),
        networks={},
        log_head="",
    )


def access(
    *entries: Entry, connector: str = "con_1", issued_at: int = WALL, life_s: int = 300, revision: int = 1
) -> Access:
    """A verified access token with these entries."""
    return Access(
        issuer="ctl_1",
        connector=ConnectorId(connector),
        device=DeviceId("dev_1"),
        user="usr_1",
        session=SessionId("ses_1"),
        jti=f"{revision}",
        acl=Acl(entries),
        jwk={},
        revision=Revision(revision),
        grants=(),
        issued_at=issued_at,
        expires=issued_at + life_s,
        pins=(SpkiPin("sha256/x"),),
    )


def path(connector: str, relay: str) -> Path:
    """One way to a remote network."""
    return Path(
        ConnectorId(connector), ConnectorHash(connector), (SpkiPin("sha256/x"),), RelayId(relay), relay, 443, "ticket"
    )


def authorisation(resource: str, paths: Sequence[Path] = (), *, expires: int = WALL + 60) -> Authorisation:
    """A verified authorisation."""
    return Authorisation("ctl_1", DeviceId("dev_1"), ResourceId(resource), Revision(1), WALL, expires, tuple(paths))
