"""From what is known to what is shown. Pure; every field is named, so nothing else can leak (T-10)."""

from collections.abc import Mapping
from typing import Final, Literal

from controller.api.operations.sessions import Principal
from controller.api.presence import AgentPresence, RelayPresence
from controller.api.schemas import activity, people, places, sessions
from controller.api.schemas.common import Ports, from_ms, from_s
from controller.api.views_policies import device_facts
from controller.domain import model
from controller.domain.event_codec import event_to_json
from controller.domain.overlap import overlapping
from controller.domain.state import PolicyState
from controller.domain.ties import ties
from controller.identity.web_sessions import Origin, is_complete
from controller.store import StoredEvent
from controller.store.credentials import PersonalData
from controller.store.record_rows import StoredRecord
from protocol.acl.diff import address_covers
from protocol.acl.model import AddressPattern, CidrPattern, NamePattern, Resource

TIES_MAX: Final = 16

_KEY_ORDER = ("active", "next", "previous", "distrusted")


def network(state: PolicyState, item: model.Network) -> places.Network:
    """A remote network."""
    return places.Network(
        id=item.id,
        name=item.name,
        created_at=from_ms(item.created_ms),
        egress_allow=list(item.egress_allow),
        version=state.version_of(item.id),
    )


def connector(state: PolicyState, item: model.Connector, seen: AgentPresence) -> places.Connector:
    """A connector with what its heartbeats say."""
    return places.Connector(
        id=item.id,
        network=item.network,
        name=item.name,
        created_at=from_ms(item.created_ms),
        enrolled=item.key is not None,
        online=seen.online,
        since=None if seen.since is None else from_s(seen.since),
        software=seen.software,
        hostname=seen.hostname,
        clock_offset_ms=seen.clock_offset_ms,
        relays=list(seen.relays),
        flows=seen.flows,
        tunnels=seen.tunnels,
        pin=item.pin,
        enforced_revision=seen.enforced_revision or None,
        version=state.version_of(item.id),
    )


def relay(state: PolicyState, item: model.Relay, seen: RelayPresence) -> places.Relay:
    """A relay with what it reports."""
    return places.Relay(
        id=item.id,
        name=item.name,
        fqdn=item.fqdn,
        port=item.port,
        created_at=from_ms(item.created_ms),
        enrolled=item.key is not None,
        online=seen.online,
        since=None if seen.since is None else from_s(seen.since),
        software=seen.software,
        clock_offset_ms=seen.clock_offset_ms,
        attachments=seen.attachments,
        parked=seen.parked,
        pairs=seen.pairs,
        bytes_copied=seen.bytes_copied,
        version=state.version_of(item.id),
    )


def resource(state: PolicyState, item: Resource) -> places.Resource:
    """A resource."""
    return places.Resource(
        id=item.id,
        network=item.network,
        name=item.name,
        address=str(item.address),
        ports=Ports.of(item.ports),
        lease_s=item.lease_s,
        version=state.version_of(item.id),
    )


def resource_detail(state: PolicyState, item: Resource, *, told: bool) -> places.ResourceDetail:
    """A resource with the first of those that tie with it, if they may be told."""
    found = ties(item, state.resources.values())[:TIES_MAX] if told else ()
    return places.ResourceDetail(
        **resource(state, item).model_dump(),
        ties=[
            places.ResourceTie(
                id=other.id,
                name=other.name,
                network=other.network,
                network_name=state.networks[other.network].name,
                decides=other.id < item.id,
            )
            for other in found
        ],
    )


def address_preview(state: PolicyState, address: AddressPattern, without: str | None) -> places.AddressPreview:
    """What an address would mean beside the resources that there are; ``without`` the one that is being changed."""
    found = overlapping(address, (item for item in state.resources.values() if item.id != without))
    network = address.network if isinstance(address, CidrPattern) else None
    several = network is not None and network.num_addresses > 1
    if isinstance(address, NamePattern):
        kind: Literal["name", "wildcard", "address", "network"] = "wildcard" if address.wildcard else "name"
    else:
        kind = "network" if several else "address"
    return places.AddressPreview(
        address=str(address),
        kind=kind,
        first=str(network[0]) if network is not None and several else None,
        last=str(network[-1]) if network is not None and several else None,
        overlaps=[
            places.ResourceOverlap(
                id=item.id,
                name=item.name,
                network=item.network,
                network_name=state.networks[item.network].name,
                address=str(item.address),
                relation=(
                    "same"
                    if item.address == address
                    else "wider"
                    if address_covers(item.address, address)
                    else "narrower"
                ),
            )
            for item in found[:TIES_MAX]
        ],
        overlaps_total=len(found),
    )


def user(state: PolicyState, item: model.User, personal: PersonalData | None) -> people.User:
    """A person; without name and address once they are erased."""
    return people.User(
        id=item.id,
        email=personal.email if personal else None,
        name=personal.fields.get("name") if personal else None,
        role=item.role.value,
        disabled=item.disabled,
        second_factor=item.second_factor,
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def group(state: PolicyState, item: model.Group) -> people.Group:
    """A group."""
    return people.Group(
        id=item.id,
        name=item.name,
        members=len(state.members.get(item.id, ())),
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def service_account(state: PolicyState, item: model.ServiceAccount) -> people.ServiceAccount:
    """A service account."""
    owner = model.SubjectRef(model.SubjectKind.SERVICE_ACCOUNT, item.id)
    return people.ServiceAccount(
        id=item.id,
        name=item.name,
        disabled=item.disabled,
        devices=len(state.devices_of.get(owner, ())),
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def device(
    state: PolicyState, item: model.Device, personal: PersonalData | None, seen: AgentPresence, now: float
) -> people.Device:
    """A device with its session, unless that has expired."""
    session = state.sessions.get(state.session_of[item.id]) if item.id in state.session_of else None
    if session is not None and session.expires <= now:
        session = None
    return people.Device(
        id=item.id,
        name=personal.fields.get("name") if personal else None,
        platform=item.platform,
        owner_kind="user" if item.owner.kind is model.SubjectKind.USER else "service_account",
        owner=item.owner.id,
        registered_at=from_ms(item.registered_ms),
        session=session.id if session else None,
        session_expires_at=from_s(session.expires) if session else None,
        trusted=item.trusted,
        facts=device_facts(item),
        online=seen.online,
        since=None if seen.since is None else from_s(seen.since),
        software=seen.software,
        clock_offset_ms=seen.clock_offset_ms,
        enforced_revision=seen.enforced_revision or None,
        version=state.version_of(item.id),
    )


def grant(state: PolicyState, item: model.Grant, now: float) -> people.Grant:
    """A grant."""
    return people.Grant(
        id=item.id,
        subject_kind=item.subject.kind.value,
        subject=item.subject.id,
        resource=item.resource,
        expires_at=None if item.expires is None else from_s(item.expires),
        expired=item.expires is not None and item.expires <= now,
        policy=item.policy,
        created_at=from_ms(item.created_ms),
        version=state.version_of(item.id),
    )


def session(item: Principal, *, seen: float, current: bool) -> sessions.Session:
    """A complete sign-in."""
    origin, how = Origin.of_label(item.session.label), item.session.how
    if not is_complete(item.kind):
        raise ValueError(f"a {item.kind} session is not shown")
    return sessions.Session(
        id=item.id,
        user=item.user,
        kind=item.kind,
        method=how.method,
        authenticated_at=from_s(how.authenticated_s),
        second_factor_at=None if how.mfa_s is None else from_s(how.mfa_s),
        created_at=from_s(item.session.created_at),
        seen_at=from_s(seen),
        expires_at=from_s(item.session.expires),
        address=origin.address,
        agent=origin.agent,
        current=current,
    )


def key(state: PolicyState, item: model.SigningKeyRecord) -> activity.Key:
    """A signing key."""
    return activity.Key(
        kid=item.kid, status=item.status.value, added_at=from_ms(item.added_ms), version=state.version_of(item.kid)
    )


def keys(state: PolicyState) -> list[activity.Key]:
    """The ring: active, next, previous, distrusted."""
    shown = [key(state, item) for item in state.signing_keys.values()]
    shown += [
        activity.Key(kid=kid, status="distrusted", added_at=None, version=state.version_of(kid))
        for kid in state.distrusted_keys
    ]
    return sorted(shown, key=key_order)


def key_order(item: activity.Key) -> tuple[int, str]:
    """By status, then by name."""
    return _KEY_ORDER.index(item.status), item.kid


def connection(item: StoredRecord, other: StoredRecord | None = None) -> activity.Connection:
    """A connection record and the other side's, if there is one. What an open one would say about its end is left out."""
    record = item.record
    return activity.Connection(
        id=item.id,
        flow=record.flow,
        token=record.token,
        reporter=record.reporter,
        device=record.device,
        user=record.user,
        resource=record.resource,
        network=record.network,
        connector=record.connector,
        relay=record.relay,
        path=record.path,
        host=record.host,
        address=record.address,
        transport=record.transport,
        port=record.port,
        started_at=from_ms(record.started_ms),
        ended_at=None if item.open else from_ms(record.ended_ms),
        open=item.open,
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        outcome=None if item.open else record.outcome,
        revision=record.revision,
        grants=list(record.grants),
        differs=list(item.differs),
        other=None if other is None else _other_side(other),
    )


def _other_side(item: StoredRecord) -> activity.OtherSide:
    record = item.record
    return activity.OtherSide(
        reporter=record.reporter,
        token=record.token,
        started_at=from_ms(record.started_ms),
        ended_at=None if item.open else from_ms(record.ended_ms),
        open=item.open,
        bytes_up=record.bytes_up,
        bytes_down=record.bytes_down,
        outcome=None if item.open else record.outcome,
    )


def event(item: StoredEvent, personal: Mapping[str, PersonalData]) -> activity.Event:
    """An event with the names of those in it."""
    data = event_to_json(item.event)
    subjects = subjects_of(item)
    return activity.Event(
        position=item.position,
        type=item.event.TYPE,
        at=from_ms(item.at_ms),
        actor=item.actor,
        stream=item.event.stream,
        request_id=item.request_id,
        data=dict(data),
        names={subject: personal[subject].name for subject in subjects if subject in personal},
        hash=item.hash,
    )


def subjects_of(item: StoredEvent) -> list[str]:
    """The people, devices and API tokens that an event mentions."""
    values = [item.actor, *(value for value in event_to_json(item.event).values() if isinstance(value, str))]
    return [value for value in dict.fromkeys(values) if value.startswith(("usr_", "dev_", "apt_"))]
