"""Random commands for property tests: mostly about things that exist, sometimes about nothing."""

from typing import TypeVar

from hypothesis import strategies as st
from policy_world import START, World, fresh_id, fresh_key

from controller.domain import commands as c
from controller.domain.commands_policies import (
    ChangePolicy,
    CreateExclusion,
    CreatePolicy,
    RemoveExclusion,
    RemovePolicy,
    ReportDeviceFacts,
    TrustDevice,
    UntrustDevice,
)
from controller.domain.conditions import Conditions, SystemRule
from controller.domain.hours import Hours, Window
from controller.domain.model import PublicKey, Role, SubjectKind
from protocol.acl.model import PortRange, Ports
from protocol.device_facts import DeviceFacts
from protocol.ids import (
    ConnectorId,
    DeviceId,
    ExclusionId,
    GrantId,
    GroupId,
    NetworkId,
    PolicyId,
    ResourceId,
    ServiceAccountId,
    SessionId,
    UserId,
)

T = TypeVar("T")

POOL = 4
"""Things of each kind: few, so that commands meet."""


class Pool:
    """The ids that random commands choose from."""

    def __init__(self) -> None:
        self.networks = [NetworkId(fresh_id("network")) for _ in range(POOL)]
        self.connectors = [ConnectorId(fresh_id("connector")) for _ in range(POOL)]
        self.resources = [ResourceId(fresh_id("resource")) for _ in range(POOL)]
        self.users = [UserId(fresh_id("user")) for _ in range(POOL)]
        self.groups = [GroupId(fresh_id("group")) for _ in range(POOL)]
        self.accounts = [ServiceAccountId(fresh_id("service_account")) for _ in range(POOL)]
        self.devices = [DeviceId(fresh_id("device")) for _ in range(POOL)]
        self.sessions = [SessionId(fresh_id("session")) for _ in range(POOL)]
        self.grants = [GrantId(fresh_id("grant")) for _ in range(POOL * 2)]
        self.policies = [PolicyId(fresh_id("policy")) for _ in range(POOL)]
        self.exclusions = [ExclusionId(fresh_id("exclusion")) for _ in range(POOL)]
        self.keys: list[PublicKey] = [fresh_key() for _ in range(POOL)]


NAMES = st.sampled_from(["a", "A", "b", "c", "", "bad\n"])
ADDRESSES = st.sampled_from(["a.internal", "*.internal", "10.0.0.0/8", "10.1.2.3", "10.0.0.1/8"])
PORTS = st.sampled_from(
    [
        Ports(),
        Ports(tcp=(PortRange(1, 65535),)),
        Ports(udp=(PortRange(53, 53),), icmp=True),
        Ports(tcp=(PortRange(9, 8),)),
    ]
)
CONDITIONS = st.sampled_from(
    [
        Conditions(),
        Conditions(sign_in_max_age_s=60),
        Conditions(mfa_max_age_s=90),
        Conditions(device_trusted=True),
        Conditions(disk_encrypted=True, facts_max_age_s=1800),
        Conditions(systems=(SystemRule("debian", "12"),)),
        Conditions(sources=("10.0.0.0/8",)),
        # The worlds begin on a Friday at 08:00 in UTC.
        Conditions(hours=Hours("UTC", (Window((5,), 480, 481),))),
        Conditions(hours=Hours("UTC", (Window((5,), 481, 600),)), device_trusted=True),
    ]
)
FACTS = st.sampled_from(
    [DeviceFacts("linux", "debian", "12", disk_encrypted=True), DeviceFacts("linux", "debian", "11"), DeviceFacts()]
)
EXPIRIES = st.one_of(st.none(), st.integers(START - 10, START + 100))


def commands_in(_world: World) -> st.SearchStrategy[c.Command]:
    """Commands over one pool of ids."""
    pool = Pool()

    def one(things: list[T]) -> st.SearchStrategy[T]:
        return st.sampled_from(things)

    subjects = st.one_of(
        st.tuples(st.just(SubjectKind.USER), one(pool.users)),
        st.tuples(st.just(SubjectKind.GROUP), one(pool.groups)),
        st.tuples(st.just(SubjectKind.SERVICE_ACCOUNT), one(pool.accounts)),
    )
    policies = one(pool.policies)
    grants = st.tuples(one(pool.grants), subjects, one(pool.resources), EXPIRIES, st.none() | policies).map(
        lambda item: c.CreateGrant(item[0], item[1][0], item[1][1], item[2], item[3], item[4])
    )
    exclusions = st.tuples(one(pool.exclusions), subjects, one(pool.resources), EXPIRIES).map(
        lambda item: CreateExclusion(item[0], item[1][0], item[1][1], item[2], item[3])
    )
    devices = st.tuples(one(pool.devices), subjects, one(pool.keys)).map(
        lambda item: c.RegisterDevice(item[0], item[1][0], item[1][1], item[2], "linux")
    )
    users, groups, accounts = one(pool.users), one(pool.groups), one(pool.accounts)
    return st.one_of(
        st.builds(c.CreateNetwork, one(pool.networks), NAMES),
        st.builds(c.RenameNetwork, one(pool.networks), NAMES),
        st.builds(c.RemoveNetwork, one(pool.networks)),
        st.builds(c.CreateConnector, one(pool.connectors), one(pool.networks), NAMES),
        st.builds(c.RemoveConnector, one(pool.connectors)),
        st.builds(c.CreateResource, one(pool.resources), one(pool.networks), NAMES, ADDRESSES, PORTS),
        st.builds(c.ChangeResource, one(pool.resources), one(pool.networks), NAMES, ADDRESSES, PORTS),
        st.builds(c.RemoveResource, one(pool.resources)),
        st.builds(c.CreateUser, users, st.sampled_from(Role)),
        st.builds(c.ChangeUserRole, users, st.sampled_from(Role)),
        st.builds(c.DisableUser, users),
        st.builds(c.EnableUser, users),
        st.builds(c.RemoveUser, users),
        st.builds(c.CreateGroup, groups, NAMES),
        st.builds(c.RemoveGroup, groups),
        st.builds(c.AddGroupMember, groups, users),
        st.builds(c.RemoveGroupMember, groups, users),
        st.builds(c.CreateServiceAccount, accounts, NAMES),
        st.builds(c.DisableServiceAccount, accounts),
        st.builds(c.RemoveServiceAccount, accounts),
        devices,
        st.builds(c.RevokeDevice, one(pool.devices)),
        st.builds(
            c.StartSession,
            one(pool.sessions),
            one(pool.devices),
            users,
            st.integers(START, START + 100),
            st.none() | st.integers(START - 60, START),
            st.none() | st.integers(START - 60, START),
        ),
        st.builds(c.EndSession, one(pool.sessions)),
        grants,
        st.builds(CreatePolicy, policies, NAMES, CONDITIONS),
        st.builds(ChangePolicy, policies, NAMES, CONDITIONS),
        st.builds(RemovePolicy, policies),
        exclusions,
        st.builds(RemoveExclusion, one(pool.exclusions)),
        st.builds(TrustDevice, one(pool.devices)),
        st.builds(UntrustDevice, one(pool.devices)),
        st.builds(ReportDeviceFacts, one(pool.devices), FACTS, st.integers(START, START + 100)),
        st.builds(c.RevokeGrant, one(pool.grants)),
    )
