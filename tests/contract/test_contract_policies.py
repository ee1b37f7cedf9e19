"""Conditions through both databases: what was decided is what is folded after a restart, and the chain holds."""

from log_checks import verify_chain
from policy_world import START, WEB, fresh_id
from store_steps import give

from controller.domain import commands as c
from controller.domain.commands_policies import CreateExclusion, CreatePolicy, ReportDeviceFacts, TrustDevice
from controller.domain.conditions import Conditions, SystemRule
from controller.domain.evaluate import may_reach
from controller.domain.hours import Hours, Window
from controller.domain.model import PublicKey, Role, SubjectKind
from controller.store import Store
from protocol.acl.model import Deny, Entry
from protocol.device_facts import DeviceFacts
from protocol.ids import (
    DeviceId,
    ExclusionId,
    GrantId,
    NetworkId,
    PolicyId,
    ResourceId,
    SessionId,
    UserId,
)
from protocol.reasons import Reason

CONDITIONS = Conditions(
    sign_in_max_age_s=3600,
    mfa_max_age_s=600,
    device_trusted=True,
    systems=(SystemRule("debian", "12"),),
    disk_encrypted=True,
    hours=Hours("Europe/Berlin", (Window((1, 2, 3, 4, 5), 8 * 60, 18 * 60),)),
)
"""The log begins on a Friday at 09:00 in Berlin."""


async def test_conditions_hold_after_a_restart_as_they_did_before(store: Store, url: str) -> None:
    user, device = UserId(fresh_id("user")), DeviceId(fresh_id("device"))
    network, resource = NetworkId(fresh_id("network")), ResourceId(fresh_id("resource"))
    policy = PolicyId(fresh_id("policy"))
    await give(
        store,
        c.CreateUser(user, Role.MEMBER),
        c.RegisterDevice(device, SubjectKind.USER, user, PublicKey("x", "y"), "linux"),
        c.StartSession(SessionId(fresh_id("session")), device, user, START + 86_400, START, START, "password+totp"),
        TrustDevice(device),
        ReportDeviceFacts(device, DeviceFacts("linux", "debian", "12.1", disk_encrypted=True), START),
        c.CreateNetwork(network, "office"),
        c.CreateResource(resource, network, "web", "web.internal", WEB),
        CreatePolicy(policy, "strict", CONDITIONS),
        c.CreateGrant(GrantId(fresh_id("grant")), SubjectKind.USER, user, resource, None, policy),
    )
    again = await Store.open(url)
    try:
        for state in (store.feed.state, again.feed.state):
            assert state.policies[policy].conditions == CONDITIONS
            entry = may_reach(state, device, resource, START)
            assert isinstance(entry, Entry)
            assert entry.expires == START + 600
            assert may_reach(state, device, resource, START + 600) == Deny(Reason.MFA_REQUIRED, resource)
        assert again.feed.state == store.feed.state
    finally:
        await again.close()
    await give(store, CreateExclusion(ExclusionId(fresh_id("exclusion")), SubjectKind.USER, user, resource))
    assert may_reach(store.feed.state, device, resource, START) == Deny(Reason.EXCLUDED, resource)
    assert (await verify_chain(store)).faults == ()
