"""What a plan changes for people: who gains and who loses which ports of what, which connections end, what was expected.

Two kinds of difference. For a user or service account: where grants lead, whether or not anybody is signed in. For a device:
what it can open at this moment, by the evaluator. Conditions that the log cannot know (where a device is) count as met.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from controller.domain.access_at import ask
from controller.domain.affected import Affected, affected_by
from controller.domain.conditions import Assumed
from controller.domain.desired import Expectation
from controller.domain.evaluate import acl_for_device
from controller.domain.held import Exclusions, grants_of
from controller.domain.model import SubjectKind, SubjectRef
from controller.domain.plan import Plan
from controller.domain.reconcile import Ids, People, Scope
from controller.domain.state import PolicyState, fold_name
from protocol.acl.decide import decide
from protocol.acl.model import Acl, AddressPattern, Deny, Entry, PortRange, Ports, Request, Transport
from protocol.ids import DeviceId, GrantId, NetworkId, PolicyId, ResourceId, ServiceAccountId, UserId
from protocol.reasons import Reason

NOTHING: Final = Ports()


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody reaches a resource: to where, which ports, by which grants, under which policies."""

    network: NetworkId
    address: AddressPattern
    ports: Ports
    grants: frozenset[GrantId]
    policies: frozenset[PolicyId | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changes for ``owner`` (``device`` None) or for one of his devices. None: not reachable at all."""

    owner: SubjectRef
    device: DeviceId | None
    resource: ResourceId
    before: Way | None
    after: Way | None

    @property
    def gained(self) -> Ports:
        """Ports that are new; all of them when the resource is somewhere else now."""
        return self._ports(self.after, self.before)

    @property
    def lost(self) -> Ports:
        """Ports that go; all of them when the resource is somewhere else now."""
        return self._ports(self.before, self.after)

    def _ports(self, there: Way | None, other: Way | None) -> Ports:
        if there is None:
            return NOTHING
        if other is None or (there.network, there.address) != (other.network, other.address):
            return there.ports
        return ports_without(there.ports, other.ports)


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """A connection that is open now, as it was reported. ``request`` is what was asked for; times in Unix ms."""

    flow: str
    device: DeviceId
    user: str
    resource: ResourceId | None
    request: Request
    started_ms: int


@dataclass(frozen=True, slots=True)
class Cut:
    """An open connection that the plan would end, and why."""

    flow: OpenFlow
    reason: Reason


@dataclass(frozen=True, slots=True)
class Failed:
    """An expectation that does not hold under the plan. ``line`` is where it stands."""

    line: int
    text: str
    detail: str


def differences(plan: Plan, now: float) -> Iterator[Difference]:
    """Yields every difference, people first, each sorted by id."""
    if not plan.changes:
        return
    owners = {_owner(SubjectKind.USER, item) for state in (plan.base, plan.after) for item in state.users}
    owners |= {
        _owner(SubjectKind.SERVICE_ACCOUNT, item)
        for state in (plan.base, plan.after)
        for item in state.service_accounts
    }
    for owner in sorted(owners, key=lambda item: (item.kind.value, item.id)):
        yield from _compare(owner, None, ways(plan.base, owner, now), ways(plan.after, owner, now))
    touched = Affected()
    for change in plan.changes:
        touched |= affected_by(change.before, change.after.state, change.event)
    for device in sorted(touched.devices):
        known = plan.base.devices.get(device) or plan.after.devices.get(device)
        if known is not None:
            old, new = (_device_ways(state, device, now) for state in (plan.base, plan.after))
            yield from _compare(known.owner, device, old, new)


def ways(state: PolicyState, owner: SubjectRef, now: float) -> dict[ResourceId, Way]:
    """Returns where grants lead ``owner`` (none while he is disabled), whatever device he uses and wherever he is."""
    if not _able(state, owner):
        return {}
    found: dict[ResourceId, Way] = {}
    excluded = Exclusions(state, owner, now)
    for grant in grants_of(state, owner):
        if grant.resource in excluded or (grant.expires is not None and grant.expires <= now):
            continue
        resource = state.resources[grant.resource]
        old = found.get(grant.resource)
        grants = frozenset((grant.id,)) | (old.grants if old is not None else frozenset())
        policies = frozenset((grant.policy,)) | (old.policies if old is not None else frozenset())
        found[grant.resource] = Way(resource.network, resource.address, resource.ports, grants, policies)
    return found


def cuts(plan: Plan, flows: Iterable[OpenFlow], now: float) -> Iterator[Cut]:
    """Yields the open connections that are allowed now and would not be under the plan."""
    lists: dict[DeviceId, tuple[Acl, Acl]] = {}
    for flow in flows:
        if flow.device not in lists:
            before, after = (
                acl_for_device(state, flow.device, now, source=Assumed.MET) for state in (plan.base, plan.after)
            )
            lists[flow.device] = before, after
        before, after = lists[flow.device]
        refused = decide(after, flow.request, now)
        if isinstance(refused, Deny) and not isinstance(decide(before, flow.request, now), Deny):
            yield Cut(flow, _why(plan.after, flow, now) or refused.reason)


def _why(state: PolicyState, flow: OpenFlow, now: float) -> Reason | None:
    """What the evaluator says about the resource, when the whole of it is gone and not only a port."""
    return None if flow.resource is None else ask(state, flow.device, flow.resource, now).reason


def unmet(plan: Plan, expectations: Iterable[Expectation], people: People, now: float) -> Iterator[Failed]:
    """Yields the expectations that do not hold in the plan's outcome, and those that name nobody or nothing."""
    scope = Scope(plan.after, people, Ids(b""), prune=False)
    for item in expectations:
        del scope.problems[:]
        owner = scope.subject(item.who, item.line)
        target = _target(plan.after, item)
        if owner is None:
            yield Failed(item.line, item.text, scope.problems[0].detail)
        elif target is None:
            yield Failed(item.line, item.text, f"there is no resource {item.what!r}")
        else:
            resource, transport, port = target
            way = ways(plan.after, owner, now).get(resource)
            reached = way is not None and (transport is None or _includes(way.ports, transport, port))
            if reached is not item.can:
                yield Failed(item.line, item.text, "it can" if reached else "it cannot")


def ports_without(ports: Ports, taken: Ports) -> Ports:
    """Returns what is in ``ports`` and not in ``taken``."""
    return Ports(
        tuple(_ranges_without(ports.tcp, taken.tcp)),
        tuple(_ranges_without(ports.udp, taken.udp)),
        ports.icmp and not taken.icmp,
    )


def _ranges_without(ranges: Iterable[PortRange], taken: Iterable[PortRange]) -> Iterator[PortRange]:
    holes = sorted(taken)
    for item in ranges:
        first = item.first
        for hole in holes:
            if hole.last < first or hole.first > item.last:
                continue
            if hole.first > first:
                yield PortRange(first, hole.first - 1)
            first = hole.last + 1
        if first <= item.last:
            yield PortRange(first, item.last)


def _compare(
    owner: SubjectRef, device: DeviceId | None, old: Mapping[ResourceId, Way], new: Mapping[ResourceId, Way]
) -> Iterator[Difference]:
    for resource in sorted(old.keys() | new.keys()):
        before, after = old.get(resource), new.get(resource)
        if before is None or after is None or _shows(before) != _shows(after):
            yield Difference(owner, device, resource, before, after)


def _shows(way: Way) -> object:
    """Grants are how, not what: another grant for the same is no difference."""
    return way.network, way.address, way.ports, way.policies


def _device_ways(state: PolicyState, device: DeviceId, now: float) -> dict[ResourceId, Way]:
    return {
        entry.resource.id: _way(state, entry)
        for entry in acl_for_device(state, device, now, source=Assumed.MET).entries
    }


def _way(state: PolicyState, entry: Entry) -> Way:
    resource = entry.resource
    policies = frozenset(state.grants[grant].policy for grant in entry.grants)
    return Way(resource.network, resource.address, resource.ports, frozenset(entry.grants), policies)


def _owner(kind: SubjectKind, thing: str) -> SubjectRef:
    return SubjectRef(kind, thing)


def _able(state: PolicyState, owner: SubjectRef) -> bool:
    if owner.kind is SubjectKind.USER:
        user = state.users.get(UserId(owner.id))
        return user is not None and not user.disabled
    account = state.service_accounts.get(ServiceAccountId(owner.id))
    return account is not None and not account.disabled


def _target(state: PolicyState, item: Expectation) -> tuple[ResourceId, Transport | None, int | None] | None:
    """A resource may be called ``db:5432``; only if none is, the end is a port."""
    found = _resource(state, item.what)
    if found is not None:
        return found, None, None
    precise = item.precisely()
    if precise is None or (found := _resource(state, precise[0])) is None:
        return None
    return found, precise[1], precise[2]


def _resource(state: PolicyState, name: str) -> ResourceId | None:
    found = state.names.get(("resource", fold_name(name)))
    return None if found is None else ResourceId(found)


def _includes(ports: Ports, transport: Transport, port: int | None) -> bool:
    ranges = ports.tcp if transport is Transport.TCP else ports.udp
    return port is not None and any(item.first <= port <= item.last for item in ranges)
