"""A policy built by commands, as the product builds it: decide, store as JSON, read back, evolve."""

import json
from itertools import count
from typing import TypeVar

from controller.domain import commands as c
from controller.domain.commands_policies import CreateExclusion, CreatePolicy
from controller.domain.conditions import Conditions
from controller.domain.decide import decide
from controller.domain.event_codec import event_from_json, event_to_json
from controller.domain.events import Event
from controller.domain.evolve import evolve
from controller.domain.log import Change, Head
from controller.domain.model import PublicKey, Role, SubjectKind
from controller.domain.rules import Refusal
from controller.domain.state import PolicyState
from protocol.acl.model import PortRange, Ports
from protocol.ids import (
    ConnectorId,
    DeviceId,
    ExclusionId,
    GrantId,
    GroupId,
    NetworkId,
    PolicyId,
    RelayId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    SpkiPin,
    UserId,
    make_id,
)
from protocol.reasons import Reason

START = 1_800_000_000
"""Unix seconds at which these worlds begin; the same as ``runtime.clock.ManualClock``."""
FAR = START + 10_000_000
PIN = SpkiPin("sha256/" + "A" * 43 + "=")
WEB = Ports(tcp=(PortRange(443, 443),))

KINDS = {"usr": SubjectKind.USER, "grp": SubjectKind.GROUP, "svc": SubjectKind.SERVICE_ACCOUNT}

_numbers = count(1)
T = TypeVar("T")


def fresh_id(kind: str) -> str:
    """Returns an id that no other call returns."""
    return make_id(kind, next(_numbers).to_bytes(16, "big"))


def fresh_key() -> PublicKey:
    """Returns a key that is none on any curve; good where nobody verifies with it."""
    return PublicKey(f"x{next(_numbers)}", "y")


def fresh_name() -> str:
    """Returns a name that no other call returns, in whatever case (ids differ in case alone)."""
    return f"thing {next(_numbers)}"


class World:
    """A policy and its log. Every event passes through its JSON form."""

    def __init__(self, *, initialised: bool = True) -> None:
        self.head = Head(PolicyState())
        self.changes: list[Change] = []
        self.now_ms = START * 1000
        if initialised:
            self.do(c.InitialiseController("ctl_test", "https://ostiary.test"))

    @property
    def state(self) -> PolicyState:
        """The policy now."""
        return self.head.state

    def do(self, command: c.Command) -> tuple[Event, ...]:
        """Gives a command that must be accepted."""
        decided = decide(self.state, command)
        assert not isinstance(decided, Refusal), decided
        for event in decided:
            stored = json.loads(json.dumps(event_to_json(event)))
            self.append(event_from_json(event.TYPE, stored))
        return decided

    def append(self, event: Event) -> None:
        """Folds one event."""
        self.now_ms += 1
        position = self.head.position + 1
        after = Head(evolve(self.state, event, position, self.now_ms), f"{position:064x}")
        self.changes.append(Change(event, self.state, after))
        self.head = after

    def refused(self, command: c.Command) -> tuple[Reason, str]:
        """Gives a command that must be refused; returns why."""
        decided = decide(self.state, command)
        assert isinstance(decided, Refusal), decided
        return decided.reason, decided.detail

    # --- one word per thing ------------------------------------------------------------------------------------------

    def network(self, name: str = "") -> NetworkId:
        network = NetworkId(fresh_id("network"))
        self.do(c.CreateNetwork(network, name or fresh_name()))
        return network

    def connector(self, network: NetworkId, key: PublicKey | None = None, *, enrolled: bool = True) -> ConnectorId:
        connector = ConnectorId(fresh_id("connector"))
        self.do(c.CreateConnector(connector, network, fresh_name()))
        if enrolled:
            self.do(c.EnrolConnector(connector, key or fresh_key(), PIN))
        return connector

    def relay(self, fqdn: str = "", port: int = 443, *, enrolled: bool = True) -> RelayId:
        relay = RelayId(fresh_id("relay"))
        self.do(c.CreateRelay(relay, fresh_name(), fqdn or f"relay{next(_numbers)}.example", port))
        if enrolled:
            self.do(c.EnrolRelay(relay, fresh_key()))
        return relay

    def resource(self, network: NetworkId, address: str = "", ports: Ports = WEB, name: str = "") -> ResourceId:
        resource = ResourceId(fresh_id("resource"))
        address = address or f"host{next(_numbers)}.internal"
        self.do(c.CreateResource(resource, network, name or fresh_name(), address, ports))
        return resource

    def user(self, role: Role = Role.MEMBER) -> UserId:
        user = UserId(fresh_id("user"))
        self.do(c.CreateUser(user, role))
        return user

    def group(self, *users: UserId, name: str = "") -> GroupId:
        group = GroupId(fresh_id("group"))
        self.do(c.CreateGroup(group, name or fresh_name()))
        for user in users:
            self.do(c.AddGroupMember(group, user))
        return group

    def group_member(self, group: GroupId, user: UserId) -> None:
        self.do(c.AddGroupMember(group, user))

    def service_account(self, name: str = "") -> ServiceAccountId:
        account = ServiceAccountId(fresh_id("service_account"))
        self.do(c.CreateServiceAccount(account, name or fresh_name()))
        return account

    def device(self, owner: UserId | ServiceAccountId, key: PublicKey | None = None) -> DeviceId:
        device = DeviceId(fresh_id("device"))
        kind = SubjectKind.USER if owner.startswith("usr_") else SubjectKind.SERVICE_ACCOUNT
        self.do(c.RegisterDevice(device, kind, owner, key or fresh_key(), "linux"))
        return device

    def session(
        self,
        device: DeviceId,
        *,
        expires: int = FAR,
        authenticated_s: int | None = None,
        mfa_s: int | None = None,
    ) -> SessionId:
        session = SessionId(fresh_id("session"))
        owner = UserId(self.state.devices[device].owner.id)
        self.do(c.StartSession(session, device, owner, expires, authenticated_s, mfa_s))
        return session

    def laptop(self, user: UserId, key: PublicKey | None = None) -> DeviceId:
        """A device of the user with a session."""
        device = self.device(user, key)
        self.session(device)
        return device

    def grant(
        self, subject: str, resource: ResourceId, *, expires: int | None = None, policy: PolicyId | None = None
    ) -> GrantId:
        grant = GrantId(fresh_id("grant"))
        self.do(c.CreateGrant(grant, KINDS[subject[:3]], subject, resource, expires, policy))
        return grant

    def policy(self, conditions: Conditions) -> PolicyId:
        policy = PolicyId(fresh_id("policy"))
        self.do(CreatePolicy(policy, fresh_name(), conditions))
        return policy

    def exclusion(self, subject: str, resource: ResourceId, *, expires: int | None = None) -> ExclusionId:
        exclusion = ExclusionId(fresh_id("exclusion"))
        self.do(CreateExclusion(exclusion, KINDS[subject[:3]], subject, resource, expires))
        return exclusion
